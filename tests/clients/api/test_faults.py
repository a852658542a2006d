"""Faults on demand, for the tests of applications: a header or a flag of `campanile dev` says which call fails how.

What the SDK makes of a fault is the point here: the class, the number of attempts, what was done all the same.
"""

import time
import uuid

import pytest

from conftest import Api, status
from wire import Wire, assert_error

# Both names of a class work in a fault; the answer has the one of the caller's namespace.
CLASSES = {
    "BadRequestException": (400, "BadRequestException", "BadRequestException"),
    "ForbiddenException": (403, "ForbiddenException", "ForbiddenException"),
    "NotFoundException": (404, "NotFoundException", "NotFoundException"),
    "UnauthorizedException": (401, "UnauthorizedClientException", "UnauthorizedException"),
    "UnauthorizedClientException": (401, "UnauthorizedClientException", "UnauthorizedException"),
    "ThrottlingException": (429, "ThrottledClientException", "ThrottlingException"),
    "ThrottledClientException": (429, "ThrottledClientException", "ThrottlingException"),
    "LimitExceededException": (400, "ResourceLimitExceededException", "LimitExceededException"),
    "ResourceLimitExceededException": (400, "ResourceLimitExceededException", "LimitExceededException"),
    "ServiceUnavailableException": (503, "ServiceUnavailableException", "ServiceUnavailableException"),
    "ServiceFailureException": (500, "ServiceFailureException", "ServiceFailureException"),
    "ConflictException": (409, "ConflictException", "ConflictException"),
    "UnprocessableEntityException": (422, "UnprocessableEntityException", "UnprocessableEntityException"),
}


@pytest.fixture
def meeting(api):
    return api.new_meeting()


@pytest.fixture
def faulty(service):
    """A client whose calls are faulted; each has a count of its own."""

    def make(spec, **options):
        return Api(service, headers={"x-campanile-fault": spec}, **options)

    return make


def get(api, meeting):
    return api.get_meeting(MeetingId=meeting["MeetingId"])


# -- classes and attempts


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_error_in_the_callers_namespace(service, api, meeting, name):
    expected_status, old, new = CLASSES[name]
    path = f"/meetings/{meeting['MeetingId']}"
    answer = Wire(service).send("GET", path, headers={"x-campanile-fault": f"GetMeeting:*:{name}"})
    kind = new if api.generation == "new" else old
    assert answer.status == expected_status, answer
    assert answer.headers["x-amzn-ErrorType"] == kind
    assert_error(answer, expected_status, kind, answer.json["Code"])


def test_throttling_is_tried_again_and_then_raised(faulty, meeting):
    api = faulty("GetMeeting:*:ThrottlingException")
    with api.raises("ThrottlingException" if api.generation == "new" else "ThrottledClientException") as refused:
        get(api, meeting)
    assert status(refused.value.response) == 429
    assert len(api.sent) == (3 if api.generation == "new" else 5)


def test_one_503_is_tried_again_and_then_well(faulty, meeting):
    api = faulty("GetMeeting:1:ServiceUnavailableException")
    assert get(api, meeting)["Meeting"] == meeting
    assert len(api.sent) == 2
    if api.generation == "new":
        first, second = (request.headers["amz-sdk-invocation-id"] for request in api.sent)
        assert first == second


def test_a_503_says_when_to_come_back(service, meeting):
    path = f"/meetings/{meeting['MeetingId']}"
    answer = Wire(service).send("GET", path, headers={"x-campanile-fault": "GetMeeting:*:ServiceUnavailableException"})
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.new
def test_todays_boto3_tries_a_quota_three_times(faulty, meeting):
    api = faulty("CreateAttendee:*:LimitExceededException")
    with api.raises("LimitExceededException"):
        api.new_attendee(meeting, "ann")
    assert len(api.sent) == 3


# -- which calls


def fates(service, meeting, spec, count=6):
    """The statuses of that many calls under one header."""
    wire = Wire(service)
    path = f"/meetings/{meeting['MeetingId']}"
    return [wire.send("GET", path, headers={"x-campanile-fault": spec}).status for _ in range(count)]


@pytest.mark.new
@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("3", [200, 200, 409, 200, 200, 200]),
        ("2-4", [200, 409, 409, 409, 200, 200]),
        ("5-", [200, 200, 200, 200, 409, 409]),
        ("*", [409] * 6),
    ],
)
def test_calls_are_counted(own_service, calls, expected):
    service = own_service().start()
    assert fates(service, Api(service).new_meeting(), f"GetMeeting:{calls}:ConflictException") == expected
    service.stop()


@pytest.mark.new
def test_each_header_has_a_count_of_its_own(own_service):
    service = own_service().start()
    meeting = Api(service).new_meeting()
    assert fates(service, meeting, "GetMeeting:1:ConflictException", 2) == [409, 200]
    assert fates(service, meeting, "GetMeeting:1:ForbiddenException", 2) == [403, 200]
    assert fates(service, meeting, "GetMeeting:1:ConflictException", 1) == [200], "this one was counted before"
    service.stop()


@pytest.mark.new
def test_other_operations_are_left_alone(service, api, meeting):
    assert fates(service, meeting, "DeleteMeeting:*:ConflictException", 1) == [200]
    assert fates(service, meeting, "*:*:ConflictException", 1) == [409]
    assert get(api, meeting)["Meeting"] == meeting


@pytest.mark.new
@pytest.mark.parametrize("spec", ["nonsense", "GetMeeting:0:ConflictException", "GetMeeting:*:NoSuchException", "Nope:*:lost", "GetMeeting:*:delay=soon"])
def test_a_fault_that_makes_no_sense_is_explained(service, meeting, spec):
    answer = Wire(service).send("GET", f"/meetings/{meeting['MeetingId']}", headers={"x-campanile-fault": spec})
    assert answer.status == 400
    assert "fault" in answer.json["Message"].lower()


# -- delays and lost answers


@pytest.mark.new
def test_a_delay(faulty, meeting):
    api = faulty("GetMeeting:*:delay=700ms")
    begun = time.monotonic()
    assert get(api, meeting)["Meeting"] == meeting
    assert time.monotonic() - begun >= 0.7


@pytest.mark.new
def test_a_lost_answer_of_a_create_is_found_by_its_token(faulty, service):
    """What was lost is done: the SDK's retry, with the same token, finds it."""
    api = faulty("CreateMeeting:1:lost")
    shared = str(uuid.uuid4())
    meeting = api.new_meeting(ClientRequestToken=shared)
    assert len(api.sent) == 2
    assert service.rows("SELECT id FROM meetings WHERE token = ?", shared) == [(meeting["MeetingId"],)]


@pytest.mark.new
def test_a_lost_answer_of_a_delete(service, api, meeting):
    path = f"/meetings/{meeting['MeetingId']}"
    answer = Wire(service).send("DELETE", path, headers={"x-campanile-fault": "DeleteMeeting:*:lost"})
    assert_error(answer, 500, "ServiceFailureException", "ServiceFailure")
    with api.raises("NotFoundException"):
        get(api, meeting)


# -- the flag, and its absence


@pytest.mark.new
def test_faults_by_flag(own_service):
    service = own_service(
        arguments=["--fault", "GetMeeting:2:ForbiddenException", "--fault", "CreateAttendee:*:BadRequestException"]
    ).start()
    api = Api(service)
    meeting = api.new_meeting()
    assert get(api, meeting)["Meeting"] == meeting
    with api.raises("ForbiddenException"):
        get(api, meeting)
    assert get(api, meeting)["Meeting"] == meeting
    with api.raises("BadRequestException"):
        api.new_attendee(meeting, "ann")
    service.stop()


@pytest.mark.new
def test_a_flag_that_makes_no_sense_is_explained(own_service):
    with pytest.raises(AssertionError, match="before it was ready") as refused:
        own_service(arguments=["--fault", "nonsense"]).start()
    assert "nonsense" in str(refused.value)


@pytest.mark.new
def test_serve_has_no_faults(own_service):
    service = own_service(config="").start()
    api = Api(service, headers={"x-campanile-fault": "*:*:ConflictException"})
    assert api.new_meeting()
    with pytest.raises(AssertionError, match="before it was ready"):
        own_service(config="", arguments=["--fault", "*:*:ConflictException"]).start()
    service.stop()
