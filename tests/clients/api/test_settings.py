"""Settings that change what the API answers."""

import uuid

import pytest

from conftest import Api, status
from wire import Wire, assert_error, token

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"

pytestmark = pytest.mark.new


# -- api.token_reuse


def test_a_token_used_again_for_another_meeting_may_be_a_conflict(own_service):
    service = own_service(settings={"API__TOKEN_REUSE": "conflict"}).start()
    api = Api(service)
    shared = str(uuid.uuid4())
    first = api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="one")
    assert api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="one") == first, "the same again is no other"
    for other in (
        {"ExternalMeetingId": "two"},
        {"ExternalMeetingId": "one", "MediaRegion": "us-west-2"},
        {"ExternalMeetingId": "one", "MeetingHostId": "host"},
        {"ExternalMeetingId": "one", "TenantIds": ["tenant-a"]},
        {"ExternalMeetingId": "one", "MeetingFeatures": {"Attendee": {"MaxCount": 9}}},
    ):
        with api.raises("ConflictException") as refused:
            api.new_meeting(ClientRequestToken=shared, **other)
        assert status(refused.value.response) == 409
    assert api.get_meeting(MeetingId=first["MeetingId"])["Meeting"] == first
    service.stop()


# -- api.namespace


def test_the_new_namespace_by_setting(own_service):
    """Nothing in a request counts then: what it lacks is missed, and errors have today's names."""
    service = own_service(settings={"API__NAMESPACE": "chime-sdk-meetings"}).start()
    wire = Wire(service)
    for lacking in (
        {"ClientRequestToken": token(), "ExternalMeetingId": "no-region"},
        {"ClientRequestToken": token(), "MediaRegion": "us-east-1"},
        {"ClientRequestToken": token()},
    ):
        assert_error(wire.send("POST", "/meetings", lacking), 400, "BadRequestException")
    throttled = wire.send("GET", f"/meetings/{UNKNOWN}", headers={"x-campanile-fault": "*:*:ThrottledClientException"})
    assert throttled.headers["x-amzn-ErrorType"] == "ThrottlingException"
    service.stop()


def test_the_old_namespace_by_setting(own_service):
    service = own_service(settings={"API__NAMESPACE": "chime"}).start()
    wire = Wire(service)
    answer = wire.send("POST", "/meetings", {"ClientRequestToken": token()})
    assert answer.status == 201 and answer.json["Meeting"]["MediaRegion"] == "us-east-1"
    throttled = wire.send(
        "GET", f"/meetings/{UNKNOWN}",
        headers={"User-Agent": "aws-sdk-js/3.1142.0 api/chime-sdk-meetings#3.1142.0", "x-campanile-fault": "*:*:ThrottlingException"},
    )
    assert throttled.headers["x-amzn-ErrorType"] == "ThrottledClientException"
    attendees = [{"ExternalUserId": f"user-{n}"} for n in range(11)]
    with_attendees = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "eleven"}
    path = "/meetings?operation=create-attendees"
    assert_error(wire.send("POST", path, {**with_attendees, "Attendees": attendees}), 400, "BadRequestException")
    assert wire.send("POST", path, {**with_attendees, "Attendees": attendees[:10]}).status == 201
    service.stop()


# -- api.prefix


def test_a_path_before_every_route(own_service):
    service = own_service(settings={"API__PREFIX": "/pre"}).start()
    wire = Wire(service)
    create = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "prefixed"}
    made = wire.send("POST", "/pre/meetings", create)
    assert made.status == 201
    meeting = made.json["Meeting"]["MeetingId"]
    for path in (f"/pre/meetings/{meeting}", f"/pre//meetings/{meeting}", f"/meetings/{meeting}"):
        assert wire.send("GET", path).status == 200, path
    assert_error(wire.send("GET", f"/other/meetings/{meeting}"), 404, "UnknownOperationException")
    service.stop()


def test_boto3_with_an_endpoint_that_has_a_path(own_service):
    service = own_service(settings={"API__PREFIX": "/pre"}).start()
    service.ready["endpoint"] += "/pre/"
    api = Api(service)
    meeting = api.new_meeting()
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
    service.stop()


# -- api.constraint_error


def test_broken_constraints_may_have_the_class_that_aws_uses(own_service):
    service = own_service(settings={"API__CONSTRAINT_ERROR": "ValidationException"}).start()
    wire = Wire(service)
    long = {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "x" * 65}
    answer = wire.send("POST", "/meetings", long)
    assert_error(answer, 400, "ValidationException", answer.json["Code"])
    assert "failed to satisfy constraint" in answer.json["Message"]
    service.stop()


@pytest.mark.parametrize(
    ("key", "value"),
    [("TOKEN_REUSE", "maybe"), ("NAMESPACE", "both"), ("PREFIX", "no slash"), ("CONSTRAINT_ERROR", "NotFoundException")],
)
def test_settings_that_make_no_sense_are_explained(own_service, key, value):
    with pytest.raises(AssertionError, match="before it was ready") as refused:
        own_service(settings={f"API__{key}": value}).start()
    assert f"CAMPANILE_API__{key}" in str(refused.value) and value in str(refused.value)
