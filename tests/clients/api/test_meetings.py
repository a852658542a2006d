"""CreateMeeting, GetMeeting, DeleteMeeting, ListMeetings, as boto3 sees them."""

import concurrent.futures
import re
import urllib.parse
import uuid

import pytest

from conftest import status

GUID = re.compile(r"^[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}$")
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"


def token():
    return str(uuid.uuid4())


# -- create


def test_create_answers_a_meeting(api):
    answer = api.create_meeting(ClientRequestToken=token(), MediaRegion="us-east-1", ExternalMeetingId="first")
    assert status(answer) == 201
    meeting = answer["Meeting"]
    assert GUID.match(meeting["MeetingId"])
    assert meeting["MediaRegion"] == "us-east-1"
    assert meeting["ExternalMeetingId"] == "first"
    assert answer["ResponseMetadata"]["RequestId"]
    api.delete_meeting(MeetingId=meeting["MeetingId"])


@pytest.mark.old
def test_create_needs_nothing_in_the_api_of_2019(api):
    answer = api.create_meeting(ClientRequestToken=token())
    assert status(answer) == 201
    assert answer["Meeting"]["MediaRegion"] == "us-east-1"


@pytest.mark.old
def test_create_with_tags_in_the_old_namespace(api):
    answer = api.create_meeting(
        ClientRequestToken=token(), ExternalMeetingId="tagged", Tags=[{"Key": "team", "Value": "blue"}]
    )
    assert status(answer) == 201
    assert answer["Meeting"]["ExternalMeetingId"] == "tagged"


@pytest.mark.new
def test_create_answers_an_arn(api):
    meeting = api.new_meeting()
    assert meeting["MeetingArn"] == f"arn:aws:chime:us-east-1:000000000000:meeting/{meeting['MeetingId']}"


@pytest.mark.new
def test_create_takes_and_echoes_todays_members(api):
    meeting = api.new_meeting(
        MeetingHostId="host-1",
        NotificationsConfiguration={},
        MeetingFeatures={
            "Audio": {"EchoReduction": "AVAILABLE"},
            "Video": {"MaxResolution": "HD"},
            "Content": {"MaxResolution": "FHD"},
            "Attendee": {"MaxCount": 12},
        },
        TenantIds=["tenant-a"],
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    assert meeting["MeetingHostId"] == "host-1"
    assert meeting["MeetingFeatures"]["Audio"]["EchoReduction"] == "AVAILABLE"
    assert meeting["MeetingFeatures"]["Video"]["MaxResolution"] == "HD"
    assert meeting["MeetingFeatures"]["Content"]["MaxResolution"] == "FHD"
    assert meeting["MeetingFeatures"]["Attendee"]["MaxCount"] == 12
    assert meeting["TenantIds"] == ["tenant-a"]


def test_placement_has_all_eight_urls_in_their_shapes(api):
    meeting = api.new_meeting()
    placement, identity = meeting["MediaPlacement"], meeting["MeetingId"]
    assert all(2 < len(url) <= 4096 for url in placement.values())

    host, port = placement["AudioHostUrl"].rsplit(":", 1)
    assert host and "/" not in host and int(port) > 200, "host:port without a scheme; native clients subtract 200"
    assert "?" not in placement["SignalingUrl"], "clients append their own query"
    assert urllib.parse.urlsplit(placement["SignalingUrl"]).path == f"/control/{identity}"
    assert placement["SignalingUrl"].startswith(("ws://", "wss://"))
    assert placement["TurnControlUrl"].endswith("/v2/turn_sessions")
    assert placement["ScreenDataUrl"].endswith(f"/v2/screen/{identity}")
    assert placement["ScreenSharingUrl"] == placement["ScreenDataUrl"]
    viewing = urllib.parse.urlsplit(placement["ScreenViewingUrl"])
    assert viewing.path == "/ws/connect" and identity in viewing.query, "clients append &session_token="
    assert placement["AudioFallbackUrl"].endswith(f"/calls/{identity}")
    assert placement["EventIngestionUrl"].endswith("/v1/client-events")


def test_same_token_answers_the_same_meeting(api):
    members = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "once"}
    first = api.create_meeting(**members)["Meeting"]
    again = api.create_meeting(**members)
    assert status(again) == 201
    assert again["Meeting"] == first


def test_same_token_with_another_external_id_answers_the_stored_meeting(api):
    shared = token()
    first = api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="one")
    assert api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="two") == first


def test_same_token_from_many_callers_makes_one_meeting(api):
    shared = token()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="same"), range(20)))
    assert len({meeting["MeetingId"] for meeting in made}) == 1


def test_two_tokens_make_two_meetings_of_one_external_id(api):
    first = api.new_meeting(ExternalMeetingId="shared-name")
    assert api.new_meeting(ExternalMeetingId="shared-name")["MeetingId"] != first["MeetingId"]


def test_token_of_an_ended_meeting_makes_a_new_one(api):
    shared = token()
    first = api.new_meeting(ClientRequestToken=shared)
    api.delete_meeting(MeetingId=first["MeetingId"])
    assert api.new_meeting(ClientRequestToken=shared)["MeetingId"] != first["MeetingId"]


def test_external_id_of_65_characters_is_refused(api):
    with api.raises("BadRequestException") as refused:
        api.new_meeting(ExternalMeetingId="x" * 65)
    assert status(refused.value.response) == 400


@pytest.mark.new
@pytest.mark.parametrize("reserved", ["aws:x", "AWS:x", "Aws:meeting"])
def test_reserved_external_ids_are_refused(api, reserved):
    with api.raises("BadRequestException"):
        api.new_meeting(ExternalMeetingId=reserved)


@pytest.mark.parametrize("name", ["réunion", "«été»", "with space", "a#b", "[x]{y}|'\"/.", "x" * 64])
def test_odd_external_ids_come_back_byte_for_byte(api, name):
    meeting = api.new_meeting(ExternalMeetingId=name)
    assert meeting["ExternalMeetingId"] == name
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"]["ExternalMeetingId"] == name


@pytest.mark.new
@pytest.mark.parametrize(
    "members",
    [
        {"NotificationsConfiguration": {"SqsQueueArn": "not-an-arn"}},
        {"MeetingFeatures": {"Video": {"MaxResolution": "8K"}}},
        {"MeetingFeatures": {"Video": {"MaxResolution": "FHD"}}},
        {"MeetingFeatures": {"Attendee": {"MaxCount": 251}}},
        {"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]},
        {"TenantIds": ["aaaa"]},
    ],
    ids=["arn", "resolution", "fhd-without-count", "count", "tags", "tenant"],
)
def test_members_out_of_their_bounds_are_refused(api, members):
    with api.raises("BadRequestException"):
        api.new_meeting(**members)


@pytest.mark.new
def test_another_region_in_the_scope_is_accepted(service):
    from conftest import Api

    meeting = Api(service, region_name="eu-west-1").new_meeting()
    assert meeting["MeetingArn"].startswith("arn:aws:chime:us-east-1:"), "the region is the service's own"


# -- get


def test_get_answers_what_create_answered(api):
    meeting = api.new_meeting()
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting


def test_get_takes_an_upper_case_id(api):
    meeting = api.new_meeting()
    assert api.get_meeting(MeetingId=meeting["MeetingId"].upper())["Meeting"] == meeting


def test_get_of_an_unknown_meeting(api, unharmed):
    with api.raises("NotFoundException") as refused:
        api.get_meeting(MeetingId=UNKNOWN)
    assert status(refused.value.response) == 404
    assert refused.value.response["Error"]["Message"]


def test_get_of_something_that_is_no_id(api, unharmed):
    with api.raises("BadRequestException"):
        api.get_meeting(MeetingId="not a/guid?x")


def test_get_of_an_empty_id_is_no_list(api, unharmed):
    with pytest.raises(Exception) as refused:
        api.get_meeting(MeetingId="")
    assert status(refused.value.response) in (400, 404)


# -- delete


def test_delete_ends_a_meeting_for_every_operation(api):
    meeting = api.new_meeting()
    attendee = api.new_attendee(meeting, "ann")
    here = {"MeetingId": meeting["MeetingId"]}
    answer = api.delete_meeting(**here)
    assert status(answer) == 204
    for call in (
        lambda: api.get_meeting(**here),
        lambda: api.create_attendee(**here, ExternalUserId="bob"),
        lambda: api.batch_create_attendee(**here, Attendees=[{"ExternalUserId": "bob"}]),
        lambda: api.get_attendee(**here, AttendeeId=attendee["AttendeeId"]),
        lambda: api.delete_attendee(**here, AttendeeId=attendee["AttendeeId"]),
        lambda: api.list_attendees(**here),
        lambda: api.delete_meeting(**here),
    ):
        with api.raises("NotFoundException"):
            call()


def test_delete_of_an_unknown_meeting(api, unharmed):
    with api.raises("NotFoundException"):
        api.delete_meeting(MeetingId=UNKNOWN)


# -- list (the old namespace only)


def all_meetings(api, **options):
    pages, more = [], {}
    while True:
        page = api.list_meetings(**options, **more)
        pages.append([meeting["MeetingId"] for meeting in page["Meetings"]])
        if not page.get("NextToken"):
            return pages
        more = {"NextToken": page["NextToken"]}


@pytest.mark.old
def test_list_holds_live_meetings_only(api):
    live, ended = api.new_meeting(), api.new_meeting()
    api.delete_meeting(MeetingId=ended["MeetingId"])
    listed = sum(all_meetings(api, MaxResults=99), [])
    assert live["MeetingId"] in listed
    assert ended["MeetingId"] not in listed
    page = api.list_meetings(MaxResults=99)
    assert all("SignalingUrl" in meeting["MediaPlacement"] for meeting in page["Meetings"])


@pytest.mark.old
def test_list_pages_without_repeats(own_service):
    from conftest import Api

    service = own_service().start()
    api = Api(service)
    made = [api.new_meeting()["MeetingId"] for _ in range(5)]
    pages = all_meetings(api, MaxResults=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(sum(pages, [])) == sorted(made)
    service.stop()
