"""Fixtures for the boto3 generations: the tests are the same, the client is the one that this environment has."""

import uuid

import boto3
import pytest
from botocore.config import Config

from service import BINARY, Service
from wire import Wire


# The marks that say which generations a test is for, and what they have. Without a mark it is for old and new.
MARKS = {
    "of2019": "needs client('chime') as it began, with nine operations for meetings",
    "old": "needs client('chime') as it was in the end",
    "new": "needs today's client('chime-sdk-meetings')",
}


def generation():
    """Which of the marks this environment is, by what its client('chime') still or already has."""
    chime = boto3.client("chime", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    if not hasattr(chime, "create_meeting"):
        return "new"
    return "old" if hasattr(chime, "create_meeting_with_attendees") else "of2019"


GENERATION = generation()


def pytest_configure(config):
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")
    if not BINARY.exists():
        pytest.exit(f"{BINARY} does not exist: build it, or say where it is with CAMPANILE_BIN", returncode=2)


def pytest_collection_modifyitems(config, items):
    """Leaves out what this boto3 has no words for; another environment runs it."""

    def for_generations(item):
        return {mark for mark in MARKS if item.get_closest_marker(mark)} or {"old", "new"}

    foreign = [item for item in items if GENERATION not in for_generations(item)]
    items[:] = [item for item in items if item not in foreign]
    config.hook.pytest_deselected(items=foreign)


class Api:
    """boto3 with the two differences between the namespaces taken out: what a create needs, and error names.

    `sent` holds every request as it went out, those of retries too. `headers` are added to each.
    """

    def __init__(self, service, generation=GENERATION, headers=None, **options):
        self.generation = generation
        self.headers = dict(headers or {})
        options.setdefault("aws_access_key_id", service.ready["access_key_id"])
        options.setdefault("aws_secret_access_key", service.ready["secret_access_key"])
        options.setdefault("region_name", service.ready["region"])
        self.client = boto3.client(
            "chime-sdk-meetings" if generation == "new" else "chime",
            endpoint_url=service.endpoint,
            config=Config(connect_timeout=5, read_timeout=15),
            **options,
        )
        self.sent = []
        self.client.meta.events.register("before-sign.*.*", self._before_sign)
        self.client.meta.events.register("before-send.*.*", self._before_send)

    def _before_sign(self, request, **_):
        for name, value in self.headers.items():
            del request.headers[name]
            request.headers[name] = value

    def _before_send(self, request, **_):
        self.sent.append(request)

    def __getattr__(self, name):
        return getattr(self.client, name)

    def raises(self, name):
        """`pytest.raises` for a modelled error of this client's own classes."""
        return pytest.raises(getattr(self.client.exceptions, name))

    def quota(self):
        return "LimitExceededException" if self.generation == "new" else "ResourceLimitExceededException"

    def new_meeting(self, **members):
        """CreateMeeting with no more than this generation needs, unless told otherwise; answers the Meeting."""
        members.setdefault("ClientRequestToken", str(uuid.uuid4()))
        if self.generation == "new":
            members.setdefault("MediaRegion", "us-east-1")
            members.setdefault("ExternalMeetingId", f"ext-{uuid.uuid4().hex[:12]}")
        return self.client.create_meeting(**members)["Meeting"]

    def new_attendee(self, meeting, name, **members):
        answer = self.client.create_attendee(MeetingId=meeting["MeetingId"], ExternalUserId=name, **members)
        return answer["Attendee"]


def status(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    running = Service(tmp_path_factory.mktemp("campanile") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def own_service(tmp_path):
    """A factory for tests that start, end and restart services of their own."""
    made = []

    def make(**options):
        made.append(Service(tmp_path / f"data-{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        if one.process and one.process.poll() is None:
            one.kill()


@pytest.fixture
def api(service):
    return Api(service)


@pytest.fixture
def wire(service):
    return Wire(service)


@pytest.fixture
def unharmed(service):
    """A meeting that was there before a test must be there after it, unchanged, from a service that still answers."""
    api = Api(service)
    meeting = api.new_meeting()
    attendee = api.new_attendee(meeting, "witness")
    yield
    assert service.process.poll() is None, f"the service died:\n{service.tail()}"
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
    found = api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
    assert found["Attendee"] == attendee
    api.delete_meeting(MeetingId=meeting["MeetingId"])
