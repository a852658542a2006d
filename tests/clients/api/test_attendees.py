"""The five attendee operations, as boto3 sees them."""

import concurrent.futures
import re

import pytest
from botocore.exceptions import ParamValidationError

from conftest import status

GUID = re.compile(r"^[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}$")
# What a browser takes as a WebSocket subprotocol and AWS documents as the token's alphabet.
JOIN_TOKEN = re.compile(r"^[A-Za-z0-9]{2,2048}$")
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def meeting(api):
    made = api.new_meeting()
    yield made
    try:
        api.delete_meeting(MeetingId=made["MeetingId"])
    except api.client.exceptions.NotFoundException:
        pass


def everyone(api, meeting, **options):
    found, more = [], {}
    while True:
        page = api.list_attendees(MeetingId=meeting["MeetingId"], **options, **more)
        found += page["Attendees"]
        if not page.get("NextToken"):
            return found
        more = {"NextToken": page["NextToken"]}


def fill(api, meeting, count):
    for start in range(0, count, 100):
        names = [{"ExternalUserId": f"user-{n}"} for n in range(start, min(start + 100, count))]
        answer = api.batch_create_attendee(MeetingId=meeting["MeetingId"], Attendees=names)
        assert not answer.get("Errors")


# -- create


def test_create_answers_an_attendee(api, meeting):
    answer = api.create_attendee(MeetingId=meeting["MeetingId"], ExternalUserId="ann")
    assert status(answer) == 201
    attendee = answer["Attendee"]
    assert GUID.match(attendee["AttendeeId"])
    assert JOIN_TOKEN.match(attendee["JoinToken"])
    assert attendee["ExternalUserId"] == "ann"


def test_same_external_id_is_the_same_attendee(service, api, meeting):
    first = api.new_attendee(meeting, "ann")
    assert api.new_attendee(meeting, "ann") == first
    assert len(everyone(api, meeting)) == 1
    assert len(service.events(meeting["MeetingId"], "AttendeeAdded")) == 1, "added once"


def test_same_external_id_from_many_callers_is_one_attendee(api, meeting):
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda _: api.new_attendee(meeting, "ann"), range(10)))
    assert len({attendee["AttendeeId"] for attendee in made}) == 1
    assert len(everyone(api, meeting)) == 1


def test_a_deleted_attendee_comes_back_as_another(api, meeting):
    first = api.new_attendee(meeting, "ann")
    api.delete_attendee(MeetingId=meeting["MeetingId"], AttendeeId=first["AttendeeId"])
    again = api.new_attendee(meeting, "ann")
    assert again["AttendeeId"] != first["AttendeeId"]
    assert again["JoinToken"] != first["JoinToken"]


def test_one_external_id_in_two_meetings_is_two_attendees(api, meeting):
    other = api.new_meeting()
    assert api.new_attendee(meeting, "ann")["AttendeeId"] != api.new_attendee(other, "ann")["AttendeeId"]


@pytest.mark.parametrize("name", ["user-é", "with space", "a#b", "x" * 64])
def test_odd_external_ids_come_back_byte_for_byte(api, meeting, name):
    attendee = api.new_attendee(meeting, name)
    assert attendee["ExternalUserId"] == name
    found = api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])["Attendee"]
    assert found == attendee


def test_external_id_of_65_characters_is_refused(api, meeting):
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "x" * 65)
    assert everyone(api, meeting) == []


@pytest.mark.new
def test_reserved_external_ids_are_refused(api, meeting):
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "aws:u")


@pytest.mark.new
@pytest.mark.parametrize("name", ["a*b", "a?b", "a$b", "日本"])
def test_external_ids_with_other_characters_are_refused(api, meeting, name):
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, name)


def test_an_external_id_of_one_character_does_not_leave_boto3(api, meeting):
    """The same by raw HTTP: test_requests.py."""
    sent = len(api.sent)
    with pytest.raises(ParamValidationError):
        api.new_attendee(meeting, "x")
    assert len(api.sent) == sent


def test_create_in_an_unknown_meeting(api, unharmed):
    with api.raises("NotFoundException"):
        api.create_attendee(MeetingId=UNKNOWN, ExternalUserId="ann")


# -- capabilities


@pytest.mark.new
def test_capabilities_default_to_send_and_receive(api, meeting):
    assert api.new_attendee(meeting, "ann")["Capabilities"] == dict.fromkeys(["Audio", "Video", "Content"], "SendReceive")


@pytest.mark.new
def test_capabilities_are_echoed(api, meeting):
    wanted = dict.fromkeys(["Audio", "Video", "Content"], "Receive")
    assert api.new_attendee(meeting, "ann", Capabilities=wanted)["Capabilities"] == wanted


@pytest.mark.new
def test_capabilities_without_content_do_not_leave_boto3(api, meeting):
    """The same by raw HTTP: test_requests.py."""
    with pytest.raises(ParamValidationError):
        api.new_attendee(meeting, "ann", Capabilities={"Audio": "SendReceive", "Video": "SendReceive"})


@pytest.mark.new
@pytest.mark.parametrize("content", ["SendReceive", "Receive"])
@pytest.mark.parametrize(("video", "fits"), [("SendReceive", True), ("Receive", True), ("Send", False), ("None", False)])
def test_content_that_is_received_needs_video_that_is_received(api, meeting, content, video, fits):
    wanted = {"Audio": "SendReceive", "Video": video, "Content": content}
    if fits:
        assert api.new_attendee(meeting, "ann", Capabilities=wanted)["Capabilities"] == wanted
        return
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "ann", Capabilities=wanted)


@pytest.mark.new
def test_capabilities_have_four_values(api, meeting):
    for value in ("SendReceive", "Send", "Receive", "None"):
        wanted = {"Audio": value, "Video": "SendReceive", "Content": "None"}
        assert api.new_attendee(meeting, f"user-{value}", Capabilities=wanted)["Capabilities"] == wanted
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "ann", Capabilities={"Audio": "Loud", "Video": "SendReceive", "Content": "None"})


@pytest.mark.new
def test_one_who_is_there_keeps_its_capabilities(api, meeting):
    first = api.new_attendee(meeting, "ann")
    listen = dict.fromkeys(["Audio", "Video", "Content"], "Receive")
    assert api.new_attendee(meeting, "ann", Capabilities=listen) == first


@pytest.mark.new
def test_capabilities_follow_the_meetings_features(api):
    meeting = api.new_meeting(MeetingFeatures={"Video": {"MaxResolution": "None"}})
    granted = api.new_attendee(meeting, "ann")["Capabilities"]
    assert (granted["Video"], granted["Content"]) == ("Receive", "SendReceive")
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "bob", Capabilities=dict.fromkeys(["Audio", "Video", "Content"], "SendReceive"))


# -- batch


def test_batch_makes_all(api, meeting):
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"], Attendees=[{"ExternalUserId": "ann"}, {"ExternalUserId": "bob"}]
    )
    assert status(answer) == 201
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["ann", "bob"]
    assert not answer.get("Errors")


def test_batch_of_a_hundred(api, meeting):
    fill(api, meeting, 100)
    assert len(everyone(api, meeting)) == 100


def test_batch_of_101_makes_none(api, meeting):
    with api.raises("BadRequestException"):
        api.batch_create_attendee(
            MeetingId=meeting["MeetingId"], Attendees=[{"ExternalUserId": f"user-{n}"} for n in range(101)]
        )
    assert everyone(api, meeting) == []


def test_batch_with_one_bad_id_makes_the_others(api, meeting):
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"],
        Attendees=[{"ExternalUserId": "ann"}, {"ExternalUserId": "x" * 65}, {"ExternalUserId": "bob"}],
    )
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["ann", "bob"]
    (error,) = answer["Errors"]
    assert error["ExternalUserId"] == "x" * 65
    assert error["ErrorCode"] and error["ErrorMessage"]


@pytest.mark.new
def test_batch_with_capabilities_of_each(api, meeting):
    listen = dict.fromkeys(["Audio", "Video", "Content"], "Receive")
    impossible = {"Audio": "SendReceive", "Video": "None", "Content": "Receive"}
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"],
        Attendees=[
            {"ExternalUserId": "ann", "Capabilities": listen},
            {"ExternalUserId": "bob", "Capabilities": impossible},
            {"ExternalUserId": "cleo"},
        ],
    )
    assert [attendee["Capabilities"]["Audio"] for attendee in answer["Attendees"]] == ["Receive", "SendReceive"]
    assert [error["ExternalUserId"] for error in answer["Errors"]] == ["bob"]


def test_batch_with_one_id_twice_makes_one(api, meeting):
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"], Attendees=[{"ExternalUserId": "ann"}, {"ExternalUserId": "ann"}]
    )
    assert len({attendee["AttendeeId"] for attendee in answer["Attendees"]}) == 1
    assert len(everyone(api, meeting)) == 1


def test_batch_in_an_unknown_meeting(api, unharmed):
    with api.raises("NotFoundException"):
        api.batch_create_attendee(MeetingId=UNKNOWN, Attendees=[{"ExternalUserId": "ann"}])


# -- limits


def test_the_251st_attendee_is_over_the_limit(api, meeting):
    fill(api, meeting, 250)
    sent = len(api.sent)
    with api.raises(api.quota()) as refused:
        api.new_attendee(meeting, "one-more")
    assert status(refused.value.response) == 400
    # Today's boto3 takes the new class for throttling and tries three times; the old class is tried once.
    assert len(api.sent) - sent == (1 if api.generation == "old" else 3)
    assert len(everyone(api, meeting)) == 250
    assert api.new_attendee(meeting, "user-7"), "one who is there already does not count again"


def test_batch_over_the_limit_makes_those_that_fit(api, meeting):
    fill(api, meeting, 249)
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"], Attendees=[{"ExternalUserId": f"late-{n}"} for n in range(3)]
    )
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["late-0"]
    assert [error["ExternalUserId"] for error in answer["Errors"]] == ["late-1", "late-2"]
    assert all("LimitExceeded" in error["ErrorCode"] for error in answer["Errors"])


@pytest.mark.new
def test_a_meetings_own_limit(api):
    meeting = api.new_meeting(MeetingFeatures={"Attendee": {"MaxCount": 2}})
    fill(api, meeting, 2)
    with api.raises("LimitExceededException"):
        api.new_attendee(meeting, "third")


# -- get and list


def test_get_answers_what_create_answered(api, meeting):
    attendee = api.new_attendee(meeting, "ann")
    found = api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
    assert found["Attendee"] == attendee


def test_get_of_an_unknown_attendee(api, meeting, unharmed):
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=UNKNOWN)


def test_get_of_another_meetings_attendee(api, meeting, unharmed):
    other = api.new_attendee(api.new_meeting(), "ann")
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=other["AttendeeId"])


def test_list_answers_what_create_answered(api, meeting):
    made = [api.new_attendee(meeting, name) for name in ("ann", "bob", "cleo")]
    assert everyone(api, meeting) == made, "in the order of their making"


def test_list_pages_without_repeats(api, meeting):
    fill(api, meeting, 250)
    found = everyone(api, meeting, MaxResults=99)
    assert len(found) == len({attendee["AttendeeId"] for attendee in found}) == 250
    assert len(api.list_attendees(MeetingId=meeting["MeetingId"], MaxResults=7)["Attendees"]) == 7


def test_a_page_holds_at_most_100(api, meeting):
    fill(api, meeting, 101)
    here = {"MeetingId": meeting["MeetingId"]}
    assert len(api.list_attendees(**here, MaxResults=100)["Attendees"]) == 100
    with api.raises("BadRequestException"):
        api.list_attendees(**here, MaxResults=101)
    default = 99 if api.generation == "old" else 100
    assert len(api.list_attendees(**here)["Attendees"]) == default, "unless told otherwise"


def test_pages_stay_right_while_attendees_come_and_go(api, meeting):
    made = [api.new_attendee(meeting, f"user-{n}") for n in range(6)]
    here = {"MeetingId": meeting["MeetingId"]}
    page = api.list_attendees(**here, MaxResults=3)
    for gone in (made[0], made[2], made[4]):
        api.delete_attendee(**here, AttendeeId=gone["AttendeeId"])
    late = api.new_attendee(meeting, "late")
    rest = api.list_attendees(**here, NextToken=page["NextToken"])
    assert rest["Attendees"] == [made[3], made[5], late]


def test_list_refuses_a_token_that_it_did_not_make(api, meeting):
    with api.raises("BadRequestException"):
        api.list_attendees(MeetingId=meeting["MeetingId"], NextToken="garbage")


# -- delete


def test_delete_removes_an_attendee(api, meeting):
    ann, bob = api.new_attendee(meeting, "ann"), api.new_attendee(meeting, "bob")
    gone = {"MeetingId": meeting["MeetingId"], "AttendeeId": ann["AttendeeId"]}
    assert status(api.delete_attendee(**gone)) == 204
    for call in (api.get_attendee, api.delete_attendee):
        with api.raises("NotFoundException"):
            call(**gone)
    assert everyone(api, meeting) == [bob]
