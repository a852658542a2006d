"""UpdateAttendeeCapabilities and BatchUpdateAttendeeCapabilitiesExcept. What a create does with them: test_attendees.py."""

import pytest

from conftest import status
from wire import Wire, assert_error

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"
ALL = dict.fromkeys(["Audio", "Video", "Content"], "SendReceive")
LISTEN = dict.fromkeys(["Audio", "Video", "Content"], "Receive")

pytestmark = pytest.mark.new


@pytest.fixture
def meeting(api):
    return api.new_meeting()


def capabilities(api, meeting):
    page = api.list_attendees(MeetingId=meeting["MeetingId"])
    return {attendee["ExternalUserId"]: attendee["Capabilities"] for attendee in page["Attendees"]}


# -- one attendee


def test_update_answers_the_whole_attendee(api, meeting):
    ann, bob = api.new_attendee(meeting, "ann"), api.new_attendee(meeting, "bob")
    here = {"MeetingId": meeting["MeetingId"], "AttendeeId": ann["AttendeeId"]}
    answer = api.update_attendee_capabilities(**here, Capabilities=LISTEN)
    assert status(answer) == 200
    assert answer["Attendee"] == {**ann, "Capabilities": LISTEN}, "its id and token stay"
    assert api.get_attendee(**here)["Attendee"] == answer["Attendee"]
    assert capabilities(api, meeting)["bob"] == bob["Capabilities"]


def test_update_is_an_event(service, api, meeting):
    ann = api.new_attendee(meeting, "ann")
    api.update_attendee_capabilities(MeetingId=meeting["MeetingId"], AttendeeId=ann["AttendeeId"], Capabilities=LISTEN)
    (event,) = service.events(meeting["MeetingId"], "AttendeeCapabilitiesUpdated")
    assert event["attendeeId"] == ann["AttendeeId"]
    assert event["externalUserId"] == "ann"
    assert event["success"] == "1"
    assert event["attendeeCapabilities"] == {"audio": "Receive", "video": "Receive", "content": "Receive"}


@pytest.mark.parametrize(
    "bad",
    [
        {"Audio": "SendReceive", "Video": "None", "Content": "SendReceive"},
        {"Audio": "SendReceive", "Video": "Send", "Content": "Receive"},
        {"Audio": "Everything", "Video": "SendReceive", "Content": "SendReceive"},
    ],
    ids=["content-without-video", "content-with-video-sent-only", "value"],
)
def test_update_checks_the_capabilities(api, meeting, bad):
    ann = api.new_attendee(meeting, "ann")
    with api.raises("BadRequestException"):
        api.update_attendee_capabilities(MeetingId=meeting["MeetingId"], AttendeeId=ann["AttendeeId"], Capabilities=bad)
    assert capabilities(api, meeting)["ann"] == ann["Capabilities"]


def test_update_checks_the_meetings_features(api):
    meeting = api.new_meeting(MeetingFeatures={"Video": {"MaxResolution": "None"}, "Content": {"MaxResolution": "None"}})
    ann = api.new_attendee(meeting, "ann")
    here = {"MeetingId": meeting["MeetingId"], "AttendeeId": ann["AttendeeId"]}
    with api.raises("BadRequestException"):
        api.update_attendee_capabilities(**here, Capabilities=ALL)
    none = {"Audio": "SendReceive", "Video": "None", "Content": "None"}
    assert api.update_attendee_capabilities(**here, Capabilities=none)["Attendee"]["Capabilities"] == none


def test_update_of_what_is_not_there(api, meeting):
    for there in (
        {"MeetingId": meeting["MeetingId"], "AttendeeId": UNKNOWN},
        {"MeetingId": UNKNOWN, "AttendeeId": UNKNOWN},
        {"MeetingId": api.new_meeting()["MeetingId"], "AttendeeId": api.new_attendee(meeting, "ann")["AttendeeId"]},
    ):
        with api.raises("NotFoundException"):
            api.update_attendee_capabilities(**there, Capabilities=LISTEN)


# -- all but some


def test_update_except_changes_all_but_the_listed(api, meeting):
    made = {name: api.new_attendee(meeting, name) for name in ("ann", "bob", "cleo", "dan")}
    answer = api.batch_update_attendee_capabilities_except(
        MeetingId=meeting["MeetingId"],
        ExcludedAttendeeIds=[{"AttendeeId": made[name]["AttendeeId"]} for name in ("ann", "cleo")],
        Capabilities=LISTEN,
    )
    assert status(answer) == 200
    assert set(answer) == {"ResponseMetadata"}
    assert capabilities(api, meeting) == {"ann": ALL, "bob": LISTEN, "cleo": ALL, "dan": LISTEN}


def test_update_except_is_an_event_for_each(service, api, meeting):
    made = {name: api.new_attendee(meeting, name) for name in ("ann", "bob", "cleo")}
    api.batch_update_attendee_capabilities_except(
        MeetingId=meeting["MeetingId"], ExcludedAttendeeIds=[{"AttendeeId": made["ann"]["AttendeeId"]}], Capabilities=LISTEN,
    )
    events = service.events(meeting["MeetingId"], "AttendeeCapabilitiesUpdated")
    assert {event["externalUserId"] for event in events} == {"bob", "cleo"}
    assert len(events) == 2


def test_update_except_ignores_ids_that_it_does_not_know(api, meeting):
    api.new_attendee(meeting, "ann")
    excluded = [{"AttendeeId": UNKNOWN}]
    api.batch_update_attendee_capabilities_except(
        MeetingId=meeting["MeetingId"], ExcludedAttendeeIds=excluded, Capabilities=LISTEN
    )
    assert capabilities(api, meeting) == {"ann": LISTEN}


def test_update_except_checks_the_capabilities(api):
    meeting = api.new_meeting(MeetingFeatures={"Content": {"MaxResolution": "None"}})
    ann = api.new_attendee(meeting, "ann")
    for bad in (ALL, {"Audio": "SendReceive", "Video": "None", "Content": "Receive"}):
        with api.raises("BadRequestException"):
            api.batch_update_attendee_capabilities_except(
                MeetingId=meeting["MeetingId"], ExcludedAttendeeIds=[{"AttendeeId": UNKNOWN}], Capabilities=bad
            )
    assert capabilities(api, meeting) == {"ann": ann["Capabilities"]}


def test_update_except_in_an_unknown_meeting(api):
    with api.raises("NotFoundException"):
        api.batch_update_attendee_capabilities_except(
            MeetingId=UNKNOWN, ExcludedAttendeeIds=[{"AttendeeId": UNKNOWN}], Capabilities=LISTEN
        )


def test_update_except_takes_one_to_250_ids(service, api, meeting):
    path = f"/meetings/{meeting['MeetingId']}/attendees/capabilities?operation=batch-update-except"
    wire = Wire(service)

    def send(count):
        ids = [{"AttendeeId": f"01234567-89ab-cdef-0123-{n:012x}"} for n in range(count)]
        return wire.send("PUT", path, {"ExcludedAttendeeIds": ids, "Capabilities": LISTEN})

    assert send(1).status == send(250).status == 200
    for count in (0, 251):
        assert_error(send(count), 400, "BadRequestException")


def test_what_boto3_does_not_let_through(service, api, meeting):
    attendee = api.new_attendee(meeting, "ann")
    wire = Wire(service)
    one = f"/meetings/{meeting['MeetingId']}/attendees/{attendee['AttendeeId']}/capabilities"
    all_but = f"/meetings/{meeting['MeetingId']}/attendees/capabilities?operation=batch-update-except"
    excluded = [{"AttendeeId": attendee["AttendeeId"]}]
    for path, body in (
        (one, {}),
        (one, {"Capabilities": {"Audio": "Receive"}}),
        (all_but, {"ExcludedAttendeeIds": excluded}),
        (all_but, {"Capabilities": LISTEN}),
        (all_but, {"ExcludedAttendeeIds": [{}], "Capabilities": LISTEN}),
        (all_but, {"ExcludedAttendeeIds": [{"AttendeeId": "no-guid"}], "Capabilities": LISTEN}),
    ):
        assert_error(wire.send("PUT", path, body), 400, "BadRequestException")
    nope = f"/meetings/{meeting['MeetingId']}/attendees/capabilities?operation=nope"
    assert_error(wire.send("PUT", nope, {}), 404, "UnknownOperationException")
