"""CreateMeeting, CreateMeetingWithAttendees, GetMeeting, DeleteMeeting, ListMeetings, as boto3 sees them."""

import concurrent.futures
import re
import urllib.parse
import uuid

import pytest
from botocore.exceptions import ParamValidationError

from conftest import Api, status

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
        MediaPlacementNetworkType="DualStack",
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
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting


@pytest.mark.new
def test_create_with_every_notification_target(api):
    arns = {
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:on-meeting",
        "SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:meetings",
        "SqsQueueArn": "arn:aws:sqs:us-east-1:000000000000:meetings",
    }
    assert api.new_meeting(NotificationsConfiguration=arns)


@pytest.mark.new
def test_a_meeting_without_features_says_so_as_aws_does(api):
    assert api.new_meeting()["MeetingFeatures"]["Audio"]["EchoReduction"] == "UNAVAILABLE"


@pytest.mark.new
@pytest.mark.parametrize("features", [{"Video": {"MaxResolution": "FHD"}}, {"Content": {"MaxResolution": "UHD"}}])
def test_high_resolutions_are_for_up_to_25(api, features):
    fitting = {**features, "Attendee": {"MaxCount": 25}}
    assert api.new_meeting(MeetingFeatures=fitting)["MeetingFeatures"]["Attendee"]["MaxCount"] == 25
    with api.raises("BadRequestException"):
        api.new_meeting(MeetingFeatures={**features, "Attendee": {"MaxCount": 26}})


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


def test_same_token_answers_the_same_meeting(service, api):
    members = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "once"}
    first = api.create_meeting(**members)["Meeting"]
    again = api.create_meeting(**members)
    assert status(again) == 201
    assert again["Meeting"] == first
    assert len(service.events(first["MeetingId"], "MeetingStarted")) == 1, "the meeting has started once"


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
        {"MediaRegion": "x" * 65},
        {"MeetingHostId": "x" * 65},
        {"PrimaryMeetingId": "x" * 65},
        {"NotificationsConfiguration": {"SqsQueueArn": "not-an-arn"}},
        {"NotificationsConfiguration": {"SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:*"}},
        {"NotificationsConfiguration": {"LambdaFunctionArn": "arn:" + "x" * 1021}},
        {"MeetingFeatures": {"Audio": {"EchoReduction": "MAYBE"}}},
        {"MeetingFeatures": {"Video": {"MaxResolution": "8K"}}},
        {"MeetingFeatures": {"Video": {"MaxResolution": "FHD"}}},
        {"MeetingFeatures": {"Content": {"MaxResolution": "HD"}}},
        {"MeetingFeatures": {"Content": {"MaxResolution": "UHD"}}},
        {"MeetingFeatures": {"Attendee": {"MaxCount": 251}}},
        {"MediaPlacementNetworkType": "Ipv5Only"},
        {"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]},
        {"Tags": [{"Key": "k" * 129, "Value": "v"}]},
        {"Tags": [{"Key": "k", "Value": "v" * 257}]},
        {"TenantIds": ["aaaa"]},
        {"TenantIds": ["x*y"]},
        {"TenantIds": ["xy" * 129]},
        {"TenantIds": [f"tenant-{n}" for n in range(6)]},
    ],
    ids=[
        "region", "host", "primary", "queue", "topic", "lambda", "echo", "resolution", "fhd-without-count", "content",
        "uhd-without-count", "count", "network", "tags", "tag-key", "tag-value", "tenant-repeats", "tenant-characters",
        "tenant-length", "tenants",
    ],
)
def test_members_out_of_their_bounds_are_refused(api, members):
    with api.raises("BadRequestException"):
        api.new_meeting(**members)


@pytest.mark.new
def test_a_refusal_names_the_member_the_value_and_the_rule(api):
    with api.raises("BadRequestException") as refused:
        api.new_meeting(MediaPlacementNetworkType="Ipv5Only")
    message = refused.value.response["Error"]["Message"]
    for part in ("1 validation error detected", "Ipv5Only", "mediaPlacementNetworkType", "Ipv4Only", "DualStack"):
        assert part in message, message


@pytest.mark.new
@pytest.mark.parametrize("name", ["a*b", "a?b", "a$b", "a;b", "日本"])
def test_external_ids_with_other_characters_are_refused(api, name):
    with api.raises("BadRequestException"):
        api.new_meeting(ExternalMeetingId=name)


@pytest.mark.new
@pytest.mark.parametrize(
    "members",
    [{"MeetingFeatures": {"Attendee": {"MaxCount": 0}}}, {"ExternalMeetingId": "x"}, {"TenantIds": []}, {"MeetingHostId": "x"}],
    ids=["count", "external", "tenants", "host"],
)
def test_what_is_too_small_does_not_leave_boto3(api, members):
    """The same by raw HTTP: test_requests.py."""
    with pytest.raises(ParamValidationError):
        api.new_meeting(**members)
    assert api.sent == []


@pytest.mark.new
def test_another_region_in_the_scope_is_accepted(service):
    meeting = Api(service, region_name="eu-west-1").new_meeting()
    assert meeting["MeetingArn"].startswith("arn:aws:chime:us-east-1:"), "the region is the service's own"


# -- create with attendees


def with_attendees(api, names, **members):
    members = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "together", **members}
    return api.create_meeting_with_attendees(**members, Attendees=[{"ExternalUserId": name} for name in names])


def most_with_a_meeting(api):
    return 20 if api.generation == "new" else 10


def test_a_meeting_is_made_with_its_attendees(service, api):
    names = [f"user-{n}" for n in range(most_with_a_meeting(api))]
    answer = with_attendees(api, names)
    assert status(answer) == 201
    meeting = answer["Meeting"]
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == names
    assert not answer.get("Errors")
    assert api.list_attendees(MeetingId=meeting["MeetingId"])["Attendees"] == answer["Attendees"]
    assert len(service.events(meeting["MeetingId"], "MeetingStarted")) == 1
    assert len(service.events(meeting["MeetingId"], "AttendeeAdded")) == len(names)


@pytest.mark.new
def test_too_many_attendees_with_a_meeting_make_no_meeting(service, api):
    shared = token()
    with api.raises("BadRequestException"):
        with_attendees(api, [f"user-{n}" for n in range(21)], ClientRequestToken=shared)
    assert service.rows("SELECT id FROM meetings WHERE token = ?", shared) == []


@pytest.mark.new
def test_a_meeting_with_attendees_that_have_capabilities(api):
    listen = dict.fromkeys(["Audio", "Video", "Content"], "Receive")
    answer = api.create_meeting_with_attendees(
        ClientRequestToken=token(), MediaRegion="us-east-1", ExternalMeetingId="together",
        Attendees=[{"ExternalUserId": "ann", "Capabilities": listen}, {"ExternalUserId": "bob"}],
    )
    assert [attendee["Capabilities"]["Audio"] for attendee in answer["Attendees"]] == ["Receive", "SendReceive"]


@pytest.mark.old
def test_the_attendees_are_optional_in_the_old_namespace(api):
    answer = api.create_meeting_with_attendees(ClientRequestToken=token())
    assert status(answer) == 201
    assert answer["Meeting"]["MeetingId"] and not answer.get("Attendees") and not answer.get("Errors")


@pytest.mark.old
def test_tags_of_a_meeting_with_attendees(api):
    answer = api.create_meeting_with_attendees(
        ClientRequestToken=token(), Tags=[{"Key": "team", "Value": "blue"}],
        Attendees=[{"ExternalUserId": "ann", "Tags": [{"Key": "seat", "Value": "1"}]}],
    )
    here = {"MeetingId": answer["Meeting"]["MeetingId"]}
    assert api.list_meeting_tags(**here)["Tags"] == [{"Key": "team", "Value": "blue"}]
    (ann,) = answer["Attendees"]
    assert api.list_attendee_tags(**here, AttendeeId=ann["AttendeeId"])["Tags"] == [{"Key": "seat", "Value": "1"}]


def test_a_bad_attendee_does_not_keep_the_others_from_the_meeting(api):
    answer = with_attendees(api, ["ann", "x" * 65, "bob"])
    assert status(answer) == 201
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["ann", "bob"]
    (error,) = answer["Errors"]
    assert error["ExternalUserId"] == "x" * 65
    assert error["ErrorCode"] and error["ErrorMessage"]


@pytest.mark.new
def test_the_meetings_own_limit_holds_for_those_made_with_it(api):
    answer = with_attendees(api, ["ann", "bob", "cleo"], MeetingFeatures={"Attendee": {"MaxCount": 2}})
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["ann", "bob"]
    (error,) = answer["Errors"]
    assert error["ExternalUserId"] == "cleo" and "LimitExceeded" in error["ErrorCode"]


def test_a_known_token_answers_the_meeting_and_its_attendees(service, api):
    shared = token()
    first = with_attendees(api, ["ann", "bob"], ClientRequestToken=shared)
    again = with_attendees(api, ["bob", "cleo"], ClientRequestToken=shared)
    assert status(again) == 201
    assert again["Meeting"] == first["Meeting"]
    assert again["Attendees"][0] == first["Attendees"][1]
    assert again["Attendees"][1]["ExternalUserId"] == "cleo"
    listed = api.list_attendees(MeetingId=first["Meeting"]["MeetingId"])["Attendees"]
    assert [attendee["ExternalUserId"] for attendee in listed] == ["ann", "bob", "cleo"]
    assert api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="together") == first["Meeting"]


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
    service = own_service().start()
    api = Api(service)
    made = [api.new_meeting()["MeetingId"] for _ in range(5)]
    pages = all_meetings(api, MaxResults=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(sum(pages, [])) == sorted(made)
    service.stop()


@pytest.mark.old
def test_a_page_holds_99_unless_told_otherwise_and_at_most_100(own_service):
    service = own_service().start()
    api = Api(service)
    for _ in range(101):
        api.new_meeting()
    assert [len(page) for page in all_meetings(api)] == [99, 2]
    assert [len(page) for page in all_meetings(api, MaxResults=100)] == [100, 1]
    with api.raises("BadRequestException"):
        api.list_meetings(MaxResults=101)
    service.stop()


@pytest.mark.old
def test_pages_stay_right_while_meetings_come_and_go(own_service):
    service = own_service().start()
    api = Api(service)
    made = [api.new_meeting()["MeetingId"] for _ in range(6)]
    page = api.list_meetings(MaxResults=3)
    for gone in (made[0], made[2], made[4]):
        api.delete_meeting(MeetingId=gone)
    late = api.new_meeting()["MeetingId"]
    rest = api.list_meetings(MaxResults=99, NextToken=page["NextToken"])
    assert [meeting["MeetingId"] for meeting in rest["Meetings"]] == [made[3], made[5], late]
    service.stop()


# -- both namespaces


@pytest.mark.old
def test_each_namespace_finds_the_meetings_of_the_other(service, api):
    """One pool; and errors have the names of the namespace that made the meeting, where nothing else tells them apart."""
    today = Api(service, generation="new")
    old_meeting, new_meeting = api.new_meeting(), today.new_meeting()
    assert today.get_meeting(MeetingId=old_meeting["MeetingId"])["Meeting"]["MeetingId"] == old_meeting["MeetingId"]
    assert api.get_meeting(MeetingId=new_meeting["MeetingId"])["Meeting"]["MeetingId"] == new_meeting["MeetingId"]
    ann = today.new_attendee(old_meeting, "ann")
    assert api.list_attendees(MeetingId=old_meeting["MeetingId"])["Attendees"][0]["JoinToken"] == ann["JoinToken"]
    assert new_meeting["MeetingId"] in sum(all_meetings(api), [])
    api.delete_meeting(MeetingId=new_meeting["MeetingId"])
    with today.raises("NotFoundException"):
        today.get_meeting(MeetingId=new_meeting["MeetingId"])
