"""EventIngestionUrl, spoken to as a client that may be wrong in any way; what it told is on the meeting's timeline.

That the real client's events arrive is shown in browser/rows.test.mjs, and what dead tokens open in browser/tokens.test.mjs.
"""

import json
import subprocess
import uuid

import pytest

from conftest import Api
from service import BINARY
from wire import Wire

# Clients tell the same whoever made their meeting.
pytestmark = pytest.mark.new

# What makes the client send all of it again, up to 15 times.
RETRIED = {408, 429, 500, 502, 503, 504}
ORIGIN = {"Origin": "http://localhost:3000"}


def report(*payloads, **metadata):
    return {"metadata": metadata, "events": [{"type": "Meet", "v": 1, "payloads": list(payloads)}]}


def event(name="meetingStartRequested", **attributes):
    return {"name": name, "ts": 1_700_000_000_000, **attributes}


class Client:
    """One attendee's."""

    def __init__(self, service, api, meeting, name):
        self.wire = Wire(service)
        self.attendee = api.new_attendee(meeting, name)
        self.id = self.attendee["AttendeeId"]
        url = meeting["MediaPlacement"]["EventIngestionUrl"]
        self.path = "/" + url.split("://", 1)[1].split("/", 1)[1]

    def tell(self, body, headers=(), token=True, path=None, method="POST"):
        shown = {"Authorization": f"Bearer {self.attendee['JoinToken']}"} if token else {}
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "text/plain;charset=UTF-8", **ORIGIN, **shown, **dict(headers)}
        answer = self.wire.send(method, path or self.path, body, headers, sign=False)
        assert answer.headers["Access-Control-Allow-Origin"] == "*", answer
        return answer


@pytest.fixture
def meeting(api):
    return api.new_meeting()


@pytest.fixture
def client(service, api, meeting):
    return Client(service, api, meeting, "ann")


@pytest.fixture
def admin(service):
    def ask(path):
        key = {"Authorization": f"Bearer {service.ready['operator_key']}"}
        return Wire(service).send("GET", f"/admin/v1/{path}", b"", key, sign=False).json

    return ask


@pytest.fixture
def timeline(admin, meeting):
    def look():
        return admin(f"meetings/{meeting['MeetingId']}/timeline")["timeline"]

    return look


def metrics(service, name):
    text = Wire(service).send("GET", "/metrics", sign=False).body.decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name)]
    return {labels.removeprefix(name): float(value) for labels, value in lines}


def test_a_page_may_send_its_token(client):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = client.tell(b"", asked, token=False, method="OPTIONS")
    assert answer.status == 204
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_events_are_on_the_timeline(service, client, meeting, timeline):
    before = metrics(service, "campanile_client_events_total")
    answer = client.tell(report(
        event("meetingStartRequested"),
        event("meetingFailed", meetingStatus="AudioDisconnected", meetingDurationMs=1234, meetingErrorMessage="no way to 10.1.2.3:3478"),
        event("somethingNew", secret="hush"),
        meetingId=meeting["MeetingId"], attendeeId=client.id, externalUserId="ann@example.org", deviceName="Ann's phone",
        browserName="Chrome", browserVersion="130.0.0.0", sdkName="amazon-chime-sdk-js", sdkVersion="3.32.0",
    ))
    assert (answer.status, answer.json) == (200, {})
    told = timeline()
    assert [entry["event"] for entry in told] == ["meetingStartRequested", "meetingFailed", "other"]
    assert {entry["attendee_id"] for entry in told} == {client.id}
    assert told[0]["at"] == "2023-11-14T22:13:20Z" and told[0]["source"] == "client"
    assert told[0]["platform"] == "amazon-chime-sdk-js 3.32.0, Chrome 130.0.0.0"
    assert told[1]["attributes"] == {
        "meetingStatus": "AudioDisconnected", "meetingDurationMs": 1234, "meetingErrorMessage": "no way to …",
    }
    after = metrics(service, "campanile_client_events_total")
    for name in ("meetingFailed", "other"):
        assert after[f'{{event="{name}"}}'] == before.get(f'{{event="{name}"}}', 0) + 1
    assert not any("somethingNew" in labels for labels in after)


def test_nothing_that_names_anybody_is_kept(service, client):
    words = ["ann@example.org", "10.1.2.3", "phone-of-ann", "hush"]
    told = {"externalUserId": words[0], "address": words[1], "deviceName": words[2]}
    client.tell(report(event("meetingFailed", meetingErrorMessage=" ".join(words[:2]), note=words[3], **told), **told))
    rows = service.rows("SELECT * FROM timeline WHERE attendee = ?", client.id)
    assert len(rows) == 1
    assert not any(word in str(rows) for word in words), rows


def test_the_beacon_has_its_token_in_the_body(client, timeline):
    body = report(event("meetingEnded")) | {"authorization": client.attendee["JoinToken"]}
    assert client.tell(body, token=False, path=f"{client.path}?beacon=1").status == 200
    assert [entry["event"] for entry in timeline()] == ["meetingEnded"]
    assert client.tell(body, token=False).status == 401, "only as a beacon"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not JSON", 400),
        (b"[]", 400),
        (b'{"events": 1}', 400),
        (b"[" * 60_000, 400),
        ({"metadata": {"meetingId": "no-guid"}, "events": []}, 400),
        (report(event(), meetingId=str(uuid.uuid4())), 403),
        (report(event(), attendeeId=str(uuid.uuid4())), 403),
        (b" " * (129 << 10), 413),
    ],
    ids=["empty", "text", "list", "number", "deep", "no-id", "other-meeting", "other-attendee", "large"],
)
def test_what_is_wrong_is_refused_for_good(service, client, timeline, body, status):
    answer = client.tell(body)
    assert answer.status == status and status not in RETRIED, answer
    assert answer.json["Message"]
    assert timeline() == []


def test_other_methods_are_refused_for_good(client):
    assert client.tell(b"", method="GET").status == 405


def test_a_stranger_is_not_listened_to(client):
    for headers in ({}, {"Authorization": "Basic eDp5"}):
        assert client.tell(report(event()), headers, token=False).status == 401
    assert client.tell(report(event()), {"Authorization": "Bearer hush"}, token=False).status == 403


def test_one_request_has_a_bounded_number_of_events(service, client, timeline):
    before = metrics(service, "campanile_client_events_lost_total").get('{cause="too-many"}', 0)
    assert client.tell(report(*[event()] * 150)).status == 200
    assert len(timeline()) == 100
    assert metrics(service, "campanile_client_events_lost_total")['{cause="too-many"}'] == before + 50


def test_one_attendee_has_a_rate_and_a_share(service, api, meeting, client, admin):
    """The attendee's own, that is: another's events arrive all the same."""
    statuses = [client.tell(report(*[event()] * 100)).status for _ in range(75)]
    refused = statuses.count(403)
    assert set(statuses) == {200, 403} and statuses[:60] == [200] * 60, statuses
    assert refused >= 1
    bob = Client(service, api, meeting, "bob")
    assert bob.tell(report(event("meetingEnded"))).status == 200
    entries, after = [], ""
    while True:
        page = admin(f"meetings/{meeting['MeetingId']}/timeline?limit=1000{after}")
        assert len(page["timeline"]) <= 1000
        entries += page["timeline"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert [entry["attendee_id"] for entry in entries] == [client.id] * 1000 + [bob.id]


def test_the_operator_sees_the_timeline(service, client, meeting):
    client.tell(report(event("meetingStartSucceeded", meetingStartDurationMs=900)))

    def run(*arguments):
        environment = {"CAMPANILE_ENDPOINT": service.endpoint, "CAMPANILE_OPERATOR_KEY": service.ready["operator_key"]}
        return subprocess.run(
            [BINARY, "meetings", "timeline", *arguments], capture_output=True, text=True, timeout=20, env=environment,
        )

    text = run(meeting["MeetingId"]).stdout
    assert "meetingStartSucceeded" in text and client.id in text and "900" in text
    told = json.loads(run("--json", meeting["MeetingId"]).stdout)["timeline"]
    assert [entry["event"] for entry in told] == ["meetingStartSucceeded"]
    Api(service).delete_meeting(MeetingId=meeting["MeetingId"])
    assert "meetingStartSucceeded" in run(meeting["MeetingId"]).stdout, "as long as the meeting is remembered"
    unknown = run("01234567-89ab-cdef-0123-456789abcdef")
    assert unknown.returncode == 1 and "meeting" in unknown.stderr


def test_a_timeline_survives_a_kill(own_service):
    service = own_service().start()
    api = Api(service)
    meeting = api.new_meeting()
    client = Client(service, api, meeting, "ann")
    assert client.tell(report(event())).status == 200
    service.kill()
    service.start()
    assert len(service.rows("SELECT * FROM timeline")) == 1
    service.stop()
