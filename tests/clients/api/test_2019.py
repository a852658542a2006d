"""The nine operations as the boto3 of their first winter sends them: no other suite fits its model."""

import re

import pytest
from botocore.exceptions import ClientError

from conftest import Api, status
from wire import UUID

JOIN_TOKEN = re.compile(r"^[A-Za-z0-9]{2,2048}$")
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"
NINE = {
    "create_meeting", "get_meeting", "list_meetings", "delete_meeting",
    "create_attendee", "batch_create_attendee", "get_attendee", "list_attendees", "delete_attendee",
}

pytestmark = pytest.mark.of2019


@pytest.fixture
def meeting(api):
    return api.create_meeting()["Meeting"]


def test_it_has_the_nine_operations(api):
    operations = {name for name in dir(api.client) if re.search("_(meeting|attendee)s?$", name)}
    assert operations == NINE


# -- meetings


def test_create_needs_nothing(api):
    answer = api.create_meeting()
    assert status(answer) == 201
    meeting = answer["Meeting"]
    assert UUID.match(meeting["MeetingId"])
    assert meeting["MediaRegion"] == "us-east-1"
    assert set(meeting["MediaPlacement"]) == {
        "AudioHostUrl", "ScreenDataUrl", "ScreenSharingUrl", "ScreenViewingUrl", "SignalingUrl", "TurnControlUrl",
    }, "what its model knows"
    assert all(0 < len(url) <= 4096 for url in meeting["MediaPlacement"].values())
    assert answer["ResponseMetadata"]["RequestId"]


def test_its_requests_have_no_content_type(api):
    answer = api.create_meeting()
    assert status(answer) == 201
    (request,) = api.sent
    assert request.body and "Content-Type" not in request.headers


def test_create_takes_the_members_of_2019(api):
    answer = api.create_meeting(
        ClientRequestToken="token-of-2019", MeetingHostId="host", MediaRegion="us-west-2",
        NotificationsConfiguration={
            "SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:topic", "SqsQueueArn": "arn:aws:sqs:us-east-1:000000000000:queue",
        },
    )
    assert answer["Meeting"]["MediaRegion"] == "us-west-2"
    again = api.create_meeting(ClientRequestToken="token-of-2019")
    assert again["Meeting"]["MeetingId"] == answer["Meeting"]["MeetingId"]


def test_get_answers_what_create_answered(api, meeting):
    answer = api.get_meeting(MeetingId=meeting["MeetingId"])
    assert status(answer) == 200
    assert answer["Meeting"] == meeting


def test_list_holds_live_meetings_only(api, meeting):
    ended = api.create_meeting()["Meeting"]
    api.delete_meeting(MeetingId=ended["MeetingId"])
    listed, more = [], {}
    while True:
        page = api.list_meetings(MaxResults=2, **more)
        assert len(page["Meetings"]) <= 2
        listed += [one["MeetingId"] for one in page["Meetings"]]
        if not page.get("NextToken"):
            break
        more = {"NextToken": page["NextToken"]}
    assert meeting["MeetingId"] in listed and ended["MeetingId"] not in listed
    assert len(listed) == len(set(listed))


def test_delete_ends_a_meeting(api, meeting):
    attendee = api.new_attendee(meeting, "ann")
    here = {"MeetingId": meeting["MeetingId"]}
    assert status(api.delete_meeting(**here)) == 204
    for call in (
        lambda: api.get_meeting(**here),
        lambda: api.create_attendee(**here, ExternalUserId="bob"),
        lambda: api.get_attendee(**here, AttendeeId=attendee["AttendeeId"]),
        lambda: api.list_attendees(**here),
        lambda: api.delete_meeting(**here),
    ):
        with api.raises("NotFoundException"):
            call()


# -- attendees


def test_create_answers_an_attendee(api, meeting):
    answer = api.create_attendee(MeetingId=meeting["MeetingId"], ExternalUserId="ann")
    assert status(answer) == 201
    attendee = answer["Attendee"]
    assert set(attendee) == {"ExternalUserId", "AttendeeId", "JoinToken"}
    assert UUID.match(attendee["AttendeeId"])
    assert JOIN_TOKEN.match(attendee["JoinToken"])


def test_odd_external_ids_come_back_as_they_were(api, meeting):
    attendee = api.new_attendee(meeting, "user-é")
    assert attendee["ExternalUserId"] == "user-é"
    assert b"user-\\u00e9" in api.sent[-1].body


def test_batch_makes_all(api, meeting):
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"], Attendees=[{"ExternalUserId": "ann"}, {"ExternalUserId": "bob"}]
    )
    assert status(answer) == 201
    assert [attendee["ExternalUserId"] for attendee in answer["Attendees"]] == ["ann", "bob"]
    assert not answer.get("Errors")


def test_get_and_list_answer_what_create_answered(api, meeting):
    made = [api.new_attendee(meeting, name) for name in ("ann", "bob", "cleo")]
    for attendee in made:
        found = api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
        assert found["Attendee"] == attendee
    page = api.list_attendees(MeetingId=meeting["MeetingId"], MaxResults=2)
    rest = api.list_attendees(MeetingId=meeting["MeetingId"], NextToken=page["NextToken"])
    assert page["Attendees"] + rest["Attendees"] == made
    assert not rest.get("NextToken")


def test_delete_removes_an_attendee(api, meeting):
    gone = {"MeetingId": meeting["MeetingId"], "AttendeeId": api.new_attendee(meeting, "ann")["AttendeeId"]}
    assert status(api.delete_attendee(**gone)) == 204
    for call in (api.get_attendee, api.delete_attendee):
        with api.raises("NotFoundException"):
            call(**gone)


# -- errors


def test_get_of_an_unknown_meeting(api):
    with api.raises("NotFoundException") as refused:
        api.get_meeting(MeetingId=UNKNOWN)
    assert status(refused.value.response) == 404
    assert refused.value.response["Error"]["Message"]


def test_a_broken_rule(api, meeting):
    with api.raises("BadRequestException") as refused:
        api.new_attendee(meeting, "x" * 65)
    assert status(refused.value.response) == 400


def test_a_quota_has_the_class_of_2019(api, meeting):
    for start in range(0, 250, 50):
        names = [{"ExternalUserId": f"user-{n}"} for n in range(start, start + 50)]
        assert not api.batch_create_attendee(MeetingId=meeting["MeetingId"], Attendees=names).get("Errors")
    sent = len(api.sent)
    with api.raises("ResourceLimitExceededException") as refused:
        api.new_attendee(meeting, "one-more")
    assert status(refused.value.response) == 400
    assert len(api.sent) - sent == 1, "it is not taken for throttling"


def test_throttling_has_the_class_of_2019_and_is_tried_five_times(service, meeting):
    throttled = Api(service, headers={"x-campanile-fault": "GetMeeting:*:ThrottlingException"})
    with throttled.raises("ThrottledClientException") as refused:
        throttled.get_meeting(MeetingId=meeting["MeetingId"])
    assert status(refused.value.response) == 429
    assert len(throttled.sent) == 5


def test_a_wrong_secret(service, meeting):
    with pytest.raises(ClientError) as refused:
        Api(service, aws_secret_access_key="wrong").get_meeting(MeetingId=meeting["MeetingId"])
    assert status(refused.value.response) == 403
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
