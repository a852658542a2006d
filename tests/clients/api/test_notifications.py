"""Events reach SQS, SNS, EventBridge, Lambda, a webhook, a file and the operator's stream."""

import hashlib
import hmac
import json
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import Api
from service import BINARY, until
from sinks import ACCOUNT, CREDENTIALS, Moto, Receiver, kind
from test_operator import Operator

# What is delivered does not depend on who calls the API.
pytestmark = pytest.mark.new

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def moto():
    running = Moto().start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def notifying(own_service, moto):
    """A service that delivers to moto; more settings may be given."""

    def make(**settings):
        return own_service(settings=moto.settings() | settings).start()

    return make


def life(api, **targets):
    """A meeting from its making to its end; answers it with the kinds of its events."""
    meeting = api.new_meeting(NotificationsConfiguration=targets)
    attendee = api.new_attendee(meeting, "ann")
    api.delete_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
    api.delete_meeting(MeetingId=meeting["MeetingId"])
    kinds = ["chime:MeetingStarted", "chime:AttendeeAdded", "chime:AttendeeDeleted", "chime:MeetingEnded"]
    return meeting, attendee, kinds


def test_a_queue_gets_every_event_in_its_envelope_and_in_order(notifying, moto):
    service, queue = notifying(), moto.queue("envelopes")
    meeting, attendee, kinds = life(Api(service), SqsQueueArn=queue.arn)
    records = queue.until(4)
    assert [kind(record) for record in records] == kinds
    for record in records:
        envelope = json.loads(record["body"])
        assert envelope["version"] == "0"
        assert GUID.fullmatch(envelope["id"])
        assert envelope["detail-type"] == "Chime Meeting State Change"
        assert envelope["source"] == "aws.chime"
        assert envelope["account"] == "000000000000"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", envelope["time"])
        assert envelope["region"] == "us-east-1"
        assert envelope["resources"] == []
        detail = envelope["detail"]
        assert detail["version"] == "0"
        assert abs(detail["timestamp"] / 1000 - time.time()) < 60
        assert detail["meetingId"] == meeting["MeetingId"]
        assert detail["externalMeetingId"] == meeting["ExternalMeetingId"]
        assert detail["mediaRegion"] == "us-east-1"
        if "Attendee" in detail["eventType"]:
            assert detail["attendeeId"] == attendee["AttendeeId"]
            assert detail["externalUserId"] == "ann"
    assert len({json.loads(record["body"])["id"] for record in records}) == 4
    assert service.rows("SELECT count(*) FROM deliveries") == [(0,)]


def test_a_fifo_queue_gets_group_and_deduplication(notifying, moto):
    service, queue = notifying(), moto.queue("ordered.fifo", FifoQueue="true")
    meeting, _, kinds = life(Api(service), SqsQueueArn=queue.arn)
    records = queue.until(4)
    assert [kind(record) for record in records] == kinds
    for record in records:
        assert record["attributes"]["MessageGroupId"] == meeting["MeetingId"]
        assert record["attributes"]["MessageDeduplicationId"] == json.loads(record["body"])["id"]


def test_a_topic_passes_events_on(notifying, moto):
    service, queue = notifying(), moto.queue("behind-a-topic")
    sns = moto.client("sns")
    topic = sns.create_topic(Name="chime")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    _, _, kinds = life(Api(service), SnsTopicArn=topic)
    messages = [json.loads(record["body"])["Message"] for record in queue.until(4)]
    assert [json.loads(message)["detail"]["eventType"] for message in messages] == kinds


def test_the_default_bus_gets_every_event(notifying, moto):
    service, queue = notifying(NOTIFY__EVENTBRIDGE="true"), moto.queue("behind-the-bus")
    events = moto.client("events")
    pattern = json.dumps({"detail-type": ["Chime Meeting State Change"]})
    events.put_rule(Name="chime", EventPattern=pattern)
    events.put_targets(Rule="chime", Targets=[{"Id": "queue", "Arn": queue.arn}])
    _, _, kinds = life(Api(service))
    records = queue.until(4)
    assert [kind(record) for record in records] == kinds
    envelope = json.loads(records[0]["body"])
    assert envelope["source"] == "campanile.chime"
    assert GUID.fullmatch(envelope["detail"]["eventId"])
    events.remove_targets(Rule="chime", Ids=["queue"])
    events.delete_rule(Name="chime")


def test_a_function_is_invoked_asynchronously(notifying):
    function = Receiver(status=202)
    service = notifying(NOTIFY__LAMBDA_ENDPOINT=function.url)
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:chime"
    _, _, kinds = life(Api(service), LambdaFunctionArn=arn)
    until("four invocations", lambda: len(function.requests) >= 4)
    assert [json.loads(body)["detail"]["eventType"] for _, _, body in function.requests] == kinds
    for path, headers, _ in function.requests:
        assert path.startswith("/2015-03-31/functions/") and path.endswith("/invocations")
        assert {name.lower(): value for name, value in headers.items()}["x-amz-invocation-type"] == "Event"
    function.close()


def test_a_webhook_is_signed_over_time_and_body(notifying):
    hook = Receiver()
    service = notifying(NOTIFY__WEBHOOK_URL=f"{hook.url}/hook", NOTIFY__WEBHOOK_SECRET="shared")
    _, _, kinds = life(Api(service))
    until("four posts", lambda: len(hook.requests) >= 4)
    assert [json.loads(body)["detail"]["eventType"] for _, _, body in hook.requests] == kinds
    for path, headers, body in hook.requests:
        headers = {name.lower(): value for name, value in headers.items()}
        assert path == "/hook"
        at, shown = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["campanile-signature"]).groups()
        assert abs(int(at) - time.time()) < 60
        expected = hmac.new(b"shared", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(expected, shown)
        assert headers["campanile-event-id"] == json.loads(body)["id"]
    hook.close()


def test_a_file_gets_a_line_for_each_event(notifying, tmp_path):
    path = tmp_path / "events.jsonl"
    service = notifying(NOTIFY__FILE=str(path))
    _, _, kinds = life(Api(service))
    until("four lines", lambda: path.exists() and len(path.read_text().splitlines()) >= 4)
    assert [json.loads(line)["detail"]["eventType"] for line in path.read_text().splitlines()] == kinds


def test_events_are_followed_and_resumed(notifying):
    service = notifying()
    operator, api = Operator(service), Api(service)
    tail = subprocess.Popen(
        [BINARY, "events", "tail"], stdout=subprocess.PIPE, text=True, env=operator.environment
    )
    try:
        # Nothing says that the stream has begun but its first event.
        lines = []
        threading.Thread(target=lambda: lines.extend(iter(tail.stdout.readline, "")), daemon=True).start()

        def something():
            api.new_meeting()
            return lines

        until("the stream has begun", something)
    finally:
        tail.terminate()
        tail.wait(5)
    first = json.loads(lines[0])
    meeting, _, kinds = life(api)
    resumed = subprocess.Popen(
        [BINARY, "events", "tail", "--after", first["id"], "--meeting", meeting["MeetingId"]],
        stdout=subprocess.PIPE, text=True, env=operator.environment,
    )
    try:
        assert [json.loads(resumed.stdout.readline())["detail"]["eventType"] for _ in kinds] == kinds
    finally:
        resumed.terminate()
        resumed.wait(5)
    listed = operator.json("events", "list", "--meeting", meeting["MeetingId"])["events"]
    assert [event["detail"]["eventType"] for event in listed] == kinds


def test_who_may_send_where_is_the_operators_choice(notifying, moto):
    service, queue = notifying(NOTIFY__ALLOW="own"), moto.queue("foreign")
    operator = Operator(service)
    meeting, _, kinds = life(Api(service), SqsQueueArn=queue.arn)
    dead = until("four given up", lambda: len(found := operator.json("events", "dead")["deliveries"]) == 4 and found)
    assert [one["event_type"] for one in dead] == kinds
    assert {one["sink"] for one in dead} == {f"sqs:{queue.arn}"}
    assert all("notify.allow" in one["last_error"] for one in dead)
    shown = operator.json("meetings", "show", meeting["MeetingId"])["sinks"]
    assert [(one["pending"], one["dead"]) for one in shown] == [(0, 4)]
    assert queue.take() == []


def test_what_was_given_up_can_be_replayed(notifying, moto):
    service, queue = notifying(NOTIFY__ALLOW="own"), moto.queue("replayed")
    life(Api(service), SqsQueueArn=queue.arn)
    until("four given up", lambda: len(Operator(service).json("events", "dead")["deliveries"]) == 4)
    service.stop()
    service.settings["NOTIFY__ALLOW"] = f"arn:aws:sqs:us-east-1:{ACCOUNT}:*"
    service.start()
    operator = Operator(service)
    assert operator.text("events", "replay", "--all") == "4 deliveries are tried again\n"
    kinds = ["MeetingStarted", "AttendeeAdded", "AttendeeDeleted", "MeetingEnded"]
    assert [kind(record).removeprefix("chime:") for record in queue.until(4)] == kinds
    until("none are left", lambda: operator.text("events", "dead") == "nothing was given up\n")


def test_a_target_that_cannot_be_reached_fails_no_call_and_is_shown(notifying, moto):
    service = notifying()
    api, operator = Api(service), Operator(service)
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:nobody-made-this"
    meeting, _, _ = life(api, SqsQueueArn=arn)
    [shown] = until(
        "a failure is shown",
        lambda: [one for one in operator.json("meetings", "show", meeting["MeetingId"])["sinks"] if one["last_error"]],
    )
    assert (shown["sink"], shown["pending"], shown["dead"]) == (f"sqs:{arn}", 4, 0)
    assert "NonExistentQueue" in shown["last_error"]
    assert "an event was not delivered" in service.output()
    queue = moto.queue("nobody-made-this")
    assert len(queue.until(4)) == 4


def test_endpoints_and_webhooks_inside_are_refused(own_service):
    for settings in (
        {"NOTIFY__SQS_ENDPOINT": "http://169.254.169.254/"},
        {"NOTIFY__WEBHOOK_URL": "http://127.0.0.1:1/", "NOTIFY__WEBHOOK_SECRET": "s"},
    ):
        service = own_service(settings=settings, config="")
        with pytest.raises(AssertionError, match="allow_private_addresses"):
            service.start()


def test_a_webhook_whose_name_leads_inside_is_not_reached(own_service):
    hook = Receiver()
    # The own name of a machine leads to itself. Not refused at the start: how it is written says nothing.
    settings = {"NOTIFY__WEBHOOK_URL": f"http://{socket.gethostname()}:{hook.port}/", "NOTIFY__WEBHOOK_SECRET": "s"}
    service = own_service(settings=settings, config="").start()
    life(Api(service))
    until(
        "a failure is kept",
        lambda: [row for row in service.rows("SELECT last_error FROM deliveries") if row[0] and "not in the Internet" in row[0]],
    )
    assert hook.requests == []
    hook.close()


def test_calls_do_not_wait_for_a_sink_that_hangs(notifying):
    hook = Receiver()
    hook.status = None
    service = notifying(NOTIFY__WEBHOOK_URL=hook.url, NOTIFY__WEBHOOK_SECRET="s")
    api = Api(service)
    for _ in range(40):
        api.new_meeting()
    # Not one of them has been delivered, and all are answered.
    (pending,) = service.rows("SELECT count(*) FROM deliveries")[0]
    assert pending >= 40
    hook.released.set()
    hook.close()


def test_no_event_is_lost_when_the_sink_stops_and_the_service_is_killed(notifying):
    hook = Receiver()
    service = notifying(NOTIFY__WEBHOOK_URL=hook.url, NOTIFY__WEBHOOK_SECRET="s")
    expected = {}
    for _ in range(5):
        api = Api(service)
        for number in range(12):
            meeting, _, kinds = life(api)
            expected[meeting["MeetingId"]] = kinds
            if number == 4:
                hook.status = 503
        service.kill()
        hook.status = 200
        service.start()
        # The next round's load meets what is left of this one.
    until("nothing is pending", lambda: service.rows("SELECT count(*) FROM deliveries") == [(0,)], within=60)
    arrived, ids = {}, {}
    for _, _, body in hook.requests:
        envelope = json.loads(body)
        known = ids.setdefault(envelope["id"], body)
        if known is body:
            arrived.setdefault(envelope["detail"]["meetingId"], []).append(envelope["detail"]["eventType"])
        else:
            assert known == body, "a duplicate that is not the same"
    assert arrived == expected
    hook.close()
