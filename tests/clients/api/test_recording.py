"""Recordings as an operator starts and ends them. What is in the files, the browser tests know."""

import json
import pathlib

import pytest

from conftest import Api
from test_moderation import metric
from test_operator import Operator

# The verbs do not depend on who calls the API.
pytestmark = pytest.mark.new


def test_a_recording_is_started_listed_and_stopped(own_service):
    service = own_service().start()
    api, operator = Api(service), Operator(service)
    meeting = api.new_meeting()["MeetingId"]
    assert operator.text("recordings", "list") == "no recordings\n"
    begun = operator.json("recordings", "start", meeting)
    assert (begun["meeting_id"], begun["state"]) == (meeting, "recording")
    directory = pathlib.Path(begun["directory"])
    assert directory.stat().st_mode & 0o777 == 0o700, "for nobody else"
    assert directory.parent.name == meeting and directory.parent.parent.name == "recordings"
    again = operator.json("recordings", "start", meeting)
    assert again["recording_id"] == begun["recording_id"], "it goes on"
    assert metric(service, "campanile_recordings") == 1
    assert [one["state"] for one in operator.json("recordings", "list", meeting)["recordings"]] == ["recording"]
    ended = operator.json("recordings", "stop", meeting)
    assert (ended["state"], ended["reason"], ended["files"], ended["lost_ticks"]) == ("ended", "stopped", 0, 0)
    lines = [json.loads(line) for line in (directory / "timeline.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["began", "ended"]
    assert "is not being recorded" in operator.refused("recordings", "stop", meeting)
    second = operator.json("recordings", "start", meeting)
    service.stop()
    service.start()
    states = {one["recording_id"]: (one["state"], one["reason"]) for one in operator_list(service)}
    assert states == {begun["recording_id"]: ("ended", "stopped"), second["recording_id"]: ("ended", "shutdown")}
    service.stop()


def operator_list(service):
    return Operator(service).json("recordings", "list")["recordings"]


def test_a_directory_that_cannot_be_written_to_is_told(own_service, tmp_path):
    (tmp_path / "file").write_text("")
    service = own_service(settings={"RECORDING__DIRECTORY": str(tmp_path / "file" / "recordings")}).start()
    api, operator = Api(service), Operator(service)
    meeting = api.new_meeting()["MeetingId"]
    assert "cannot write to" in operator.refused("recordings", "start", meeting)
    assert metric(service, 'campanile_recordings_ended_total{reason="disk"}') == 1
    assert operator.text("recordings", "list") == "no recordings\n"
    assert api.get_meeting(MeetingId=meeting)["Meeting"]["MeetingId"] == meeting, "the meeting goes on"
    service.stop()


def test_the_directory_is_a_setting(own_service, tmp_path):
    service = own_service(settings={"RECORDING__DIRECTORY": str(tmp_path / "deep" / "down")}).start()
    api, operator = Api(service), Operator(service)
    begun = operator.json("recordings", "start", api.new_meeting()["MeetingId"])
    assert pathlib.Path(begun["directory"]).is_relative_to(tmp_path / "deep" / "down")
    service.stop()
