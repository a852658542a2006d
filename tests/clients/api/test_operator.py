"""What operators do: `campanile meetings` and `campanile attendees` against a running service, and /admin/v1 below them."""

import json
import os
import stat
import subprocess

import pytest

from conftest import Api
from service import BINARY, free_port
from wire import Wire

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"

# The verbs do not depend on who calls the API.
pytestmark = pytest.mark.new


class Operator:
    """The verbs, as typed by someone whose shell has the two variables."""

    def __init__(self, service):
        self.environment = {
            "PATH": os.environ["PATH"],
            "CAMPANILE_ENDPOINT": service.endpoint,
            "CAMPANILE_OPERATOR_KEY": service.ready["operator_key"],
        }

    def run(self, *arguments, **environment):
        return subprocess.run(
            [BINARY, *arguments], capture_output=True, text=True, timeout=20, env=self.environment | environment
        )

    def text(self, *arguments):
        answer = self.run(*arguments)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def json(self, *arguments):
        return json.loads(self.text(*arguments, "--json"))

    def refused(self, *arguments, **environment):
        answer = self.run(*arguments, **environment)
        assert answer.returncode == 1, answer
        assert answer.stdout == ""
        lines = answer.stderr.strip().splitlines()
        assert len(lines) == 1, answer.stderr
        return lines[0]


@pytest.fixture
def operator(service):
    return Operator(service)


@pytest.fixture
def meeting(api):
    return api.new_meeting(ExternalMeetingId="seen-by-operators")


# -- meetings


def test_list_shows_live_meetings(operator, api, meeting):
    api.new_attendee(meeting, "ann")
    ended = api.new_meeting()
    api.delete_meeting(MeetingId=ended["MeetingId"])
    listed = {one["meeting_id"]: one for one in operator.json("meetings", "list")["meetings"]}
    assert ended["MeetingId"] not in listed
    shown = listed[meeting["MeetingId"]]
    assert shown["external_meeting_id"] == "seen-by-operators"
    assert shown["media_region"] == "us-east-1"
    assert (shown["attendees"], shown["connected"]) == (1, 0)
    assert shown["created_at"] and shown["ended_at"] is None and shown["end_reason"] is None
    assert meeting["MeetingId"] in operator.text("meetings", "list")


def test_list_shows_ended_meetings_where_it_is_asked_to(operator, api):
    ended = api.new_meeting()
    api.delete_meeting(MeetingId=ended["MeetingId"])
    listed = {one["meeting_id"]: one for one in operator.json("meetings", "list", "--ended")["meetings"]}
    assert listed[ended["MeetingId"]]["end_reason"] == "deleted"


def test_list_shows_every_meeting_of_many(own_service):
    service = own_service().start()
    api, operator = Api(service), Operator(service)
    made = {api.new_meeting()["MeetingId"] for _ in range(120)}
    assert {one["meeting_id"] for one in operator.json("meetings", "list")["meetings"]} == made
    service.stop()


def test_show_tells_of_one_meeting_also_after_its_end(operator, api, meeting):
    shown = operator.json("meetings", "show", meeting["MeetingId"])
    assert shown["meeting_id"] == meeting["MeetingId"]
    assert shown["ended_at"] is None
    assert meeting["MeetingId"] in operator.text("meetings", "show", meeting["MeetingId"])
    api.delete_meeting(MeetingId=meeting["MeetingId"])
    shown = operator.json("meetings", "show", meeting["MeetingId"])
    assert shown["ended_at"] and shown["end_reason"] == "deleted"
    assert "deleted" in operator.text("meetings", "show", meeting["MeetingId"])


def test_end_ends_a_meeting(operator, service, api, meeting):
    operator.text("meetings", "end", meeting["MeetingId"])
    with api.raises("NotFoundException"):
        api.get_meeting(MeetingId=meeting["MeetingId"])
    assert operator.json("meetings", "show", meeting["MeetingId"])["end_reason"] == "operator"
    assert len(service.events(meeting["MeetingId"], "MeetingEnded")) == 1
    assert operator.refused("meetings", "end", meeting["MeetingId"])


def test_end_ends_replicas_too(operator, api, meeting):
    replica = api.new_meeting(PrimaryMeetingId=meeting["MeetingId"])
    operator.text("meetings", "end", meeting["MeetingId"])
    assert operator.json("meetings", "show", replica["MeetingId"])["end_reason"] == "primary-ended"


# -- attendees


def test_attendees_are_listed_and_removed(operator, service, api, meeting):
    ann, bob = api.new_attendee(meeting, "ann"), api.new_attendee(meeting, "bob")
    listed = operator.json("attendees", "list", meeting["MeetingId"])["attendees"]
    assert [(one["attendee_id"], one["external_user_id"], one["connected"]) for one in listed] == [
        (ann["AttendeeId"], "ann", False), (bob["AttendeeId"], "bob", False),
    ]
    assert "JoinToken" not in json.dumps(listed) and ann["JoinToken"] not in json.dumps(listed)
    assert bob["AttendeeId"] in operator.text("attendees", "list", meeting["MeetingId"])

    operator.text("attendees", "remove", meeting["MeetingId"], ann["AttendeeId"])
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=ann["AttendeeId"])
    assert len(operator.json("attendees", "list", meeting["MeetingId"])["attendees"]) == 1
    assert len(service.events(meeting["MeetingId"], "AttendeeDeleted")) == 1
    assert operator.refused("attendees", "remove", meeting["MeetingId"], ann["AttendeeId"])


# -- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["meetings", "show", UNKNOWN], "meeting"),
        (["meetings", "end", UNKNOWN], "meeting"),
        (["meetings", "show", "no-guid"], "`no-guid`"),
        (["meetings", "show", "../keys"], "`../keys`"),
        (["attendees", "list", UNKNOWN], "meeting"),
        (["attendees", "remove", UNKNOWN, UNKNOWN], "meeting"),
    ],
    ids=["show", "end", "no-id", "path", "list", "remove"],
)
def test_unknown_ids_are_explained_in_one_line(operator, arguments, what):
    assert what in operator.refused(*arguments)


def test_an_unknown_attendee_is_explained_in_one_line(operator, meeting):
    assert "attendee" in operator.refused("attendees", "remove", meeting["MeetingId"], UNKNOWN).lower()


def test_a_wrong_key_is_explained_in_one_line(operator):
    for arguments in (["meetings", "list"], ["meetings", "list", "--json"], ["attendees", "list", UNKNOWN]):
        assert "key" in operator.refused(*arguments, CAMPANILE_OPERATOR_KEY="wrong-key").lower()


def test_no_server_is_explained_in_one_line(operator):
    endpoint = f"http://127.0.0.1:{free_port()}"
    assert endpoint in operator.refused("meetings", "list", CAMPANILE_ENDPOINT=endpoint)


def test_flags_win_over_the_environment(operator, service):
    answer = operator.run(
        "meetings", "list", "--json", "--endpoint", service.endpoint, "--key", service.ready["operator_key"],
        CAMPANILE_ENDPOINT="http://127.0.0.1:1", CAMPANILE_OPERATOR_KEY="wrong-key",
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["meetings"] is not None


# -- the interface below


def test_dev_has_a_key_that_the_ready_file_names(service):
    assert service.ready["operator_key"] == "campanile-dev-operator"


def test_serve_makes_a_key_of_its_own(own_service):
    service = own_service(config="").start()
    key_file = service.data_dir / "operator.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    service.ready["operator_key"] = "campanile-dev-operator"
    operator = Operator(service)
    operator.refused("meetings", "list")
    answer = operator.run("meetings", "list", "--json", CAMPANILE_OPERATOR_KEY=key_file.read_text().strip())
    assert json.loads(answer.stdout)["meetings"] == []
    service.stop()
    before = key_file.read_text()
    service.start()
    assert key_file.read_text() == before, "and keeps it"
    service.stop()


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}],
    ids=["none", "wrong", "basic", "empty"],
)
def test_the_interface_wants_its_key(service, meeting, headers):
    wire = Wire(service)
    for method, path in (
        ("GET", "/admin/v1/meetings"),
        ("GET", f"/admin/v1/meetings/{meeting['MeetingId']}"),
        ("DELETE", f"/admin/v1/meetings/{meeting['MeetingId']}"),
    ):
        answer = wire.send(method, path, sign=False, headers=headers)
        assert answer.status == 401, answer
        assert b"seen-by-operators" not in answer.body
    assert Api(service).get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting


def test_the_keys_of_the_api_open_nothing_here(service, meeting):
    assert Wire(service).send("GET", "/admin/v1/meetings").status == 401


def test_the_key_is_not_logged(service, operator):
    operator.text("meetings", "list")
    operator.refused("meetings", "list", CAMPANILE_OPERATOR_KEY="wrong-key-that-someone-typed")
    requests = service.output().split("campanile-dev-operator")
    assert len(requests) <= 2, "at most once, in what dev prints at its start"
    assert "wrong-key-that-someone-typed" not in service.output()
