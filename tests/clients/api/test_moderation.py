"""Moderation by an operator: what is answered to what. What is heard of it, the browser tests know."""

import http.client
import json
import urllib.parse
import urllib.request

import pytest

from service import until
from test_operator import UNKNOWN, Operator

# The verbs do not depend on who calls the API.
pytestmark = pytest.mark.new


@pytest.fixture
def operator(service):
    return Operator(service)


@pytest.fixture
def meeting(api):
    return api.new_meeting()["MeetingId"]


@pytest.fixture
def admin(service):
    """One request to /admin/v1: its status and its JSON."""

    def ask(method, path, body=None):
        address = urllib.parse.urlsplit(service.endpoint)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        headers = {"Authorization": f"Bearer {service.ready['operator_key']}"}
        connection.request(method, f"/admin/v1/{path}", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    return ask


def metric(service, name):
    with urllib.request.urlopen(f"{service.endpoint}/metrics", timeout=10) as answer:
        lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return next((float(value) for found, value in filter(lambda line: len(line) == 2, lines) if found == name), 0)


def listed(operator, meeting):
    return {one["attendee_id"]: one for one in operator.json("attendees", "list", meeting)["attendees"]}


def attendees(api, meeting, *names):
    return [api.new_attendee({"MeetingId": meeting}, name)["AttendeeId"] for name in names]


def test_an_attendee_is_muted_for_all(operator, api, meeting):
    ann, bob = attendees(api, meeting, "ann", "bob")
    assert operator.text("attendees", "mute", meeting, ann) == f"attendee {ann} is muted for all\n"
    shown = listed(operator, meeting)
    assert (shown[ann]["muted"], shown[bob]["muted"]) == (True, False)
    assert operator.json("attendees", "mute", meeting, ann)["muted"] is True
    assert operator.json("attendees", "unmute", meeting, ann)["muted"] is False
    assert listed(operator, meeting)[ann]["muted"] is False


def test_an_attendee_waits_and_is_let_in(operator, api, meeting):
    (ann,) = attendees(api, meeting, "ann")
    assert operator.json("attendees", "hold", meeting, ann)["waiting"] is True
    assert listed(operator, meeting)[ann]["waiting"] is True
    assert operator.text("attendees", "admit", meeting, ann) == f"attendee {ann} was let in\n"
    assert listed(operator, meeting)[ann]["waiting"] is False


def test_mix_rules_are_set_shown_and_cleared(operator, api, meeting, admin):
    ann, bob, cleo = attendees(api, meeting, "ann", "bob", "cleo")
    assert operator.text("meetings", "mix-rules", meeting) == "everybody hears everybody\n"
    flags = ["--hears", f"{ann}={bob}", "--heard-by", f"{cleo}={bob}, {ann}", "--hears", f"{cleo}="]
    rules = operator.json("meetings", "mix-rules", meeting, *flags)["rules"]
    expected = [
        {"listener": ann, "hears": [bob]},
        {"listener": cleo, "hears": []},
        {"speaker": cleo, "heard_by": sorted([ann, bob])},
    ]
    assert len(rules) == 3 and all(rule in rules for rule in expected), rules
    text = operator.text("meetings", "mix-rules", meeting)
    assert f"{ann} hears only {bob}\n" in text and f"{cleo} hears only nobody\n" in text
    assert admin("GET", f"meetings/{meeting}/mix-rules") == (200, {"meeting_id": meeting, "rules": rules})
    operator.text("meetings", "mix-rules", meeting, "--hears", f"{bob}={cleo}")
    assert admin("GET", f"meetings/{meeting}/mix-rules")[1]["rules"] == [{"listener": bob, "hears": [cleo]}]
    assert operator.text("meetings", "mix-rules", meeting, "--clear") == "everybody hears everybody\n"


def test_rules_that_cannot_be_used_are_refused_with_what_is_wrong(operator, api, meeting, admin):
    ann, bob = attendees(api, meeting, "ann", "bob")
    path = f"meetings/{meeting}/mix-rules"
    many = attendees(api, meeting, *[f"n{number}" for number in range(18)])
    for body, status, said in [
        ("{", 400, "no JSON"),
        ("[]", 400, '{"rules": […]}'),
        ({"rules": [], "more": 1}, 400, '{"rules": […]}'),
        ({"rules": [{"listener": ann}]}, 400, "rule 1 must be"),
        ({"rules": [{"listener": ann, "hears": bob}]}, 400, "rule 1 must be"),
        ({"rules": [{"listener": ann, "heard_by": [bob]}]}, 400, "rule 1 must be"),
        ({"rules": [{"listener": ann, "hears": [bob]}, {"listener": "ann", "hears": [bob]}]}, 400, "rule 2: `ann`"),
        ({"rules": [{"listener": ann, "hears": [5]}]}, 400, "rule 1 must be"),
        ({"rules": [{"listener": ann, "hears": []}, {"listener": ann, "hears": [bob]}]}, 400, f"listener {ann}"),
        ({"rules": [{"speaker": ann, "heard_by": []}] * 2}, 400, f"speaker {ann}"),
        ({"rules": [{"listener": one, "hears": [other]} for one, other in zip(many, many[1:])]}, 400, "different mixes"),
        ({"rules": [{"listener": ann, "hears": [UNKNOWN]}]}, 404, UNKNOWN),
    ]:
        text = body if isinstance(body, str) else json.dumps(body)
        answer, told = admin("PUT", path, text)
        assert (answer, said in told["error"]) == (status, True), (text, answer, told)
    assert admin("GET", path)[1]["rules"] == [], "nothing was taken"
    assert "no rule" in operator.refused("meetings", "mix-rules", meeting, "--hears", "nobody")


def test_what_is_unknown_is_404_and_what_is_over_is_409(api, meeting, admin):
    (ann,) = attendees(api, meeting, "ann")
    other = api.new_meeting()["MeetingId"]
    for verb in ["muted", "waiting"]:
        for method in ["PUT", "DELETE"]:
            assert admin(method, f"meetings/{UNKNOWN}/attendees/{ann}/{verb}")[0] == 404
            assert admin(method, f"meetings/{meeting}/attendees/{UNKNOWN}/{verb}")[0] == 404
            assert admin(method, f"meetings/{other}/attendees/{ann}/{verb}")[0] == 404, "of another meeting"
            assert admin(method, f"meetings/{meeting}/attendees/ann/{verb}")[0] == 400
    api.delete_meeting(MeetingId=other)
    for path in ["mix-rules", "recording"]:
        body = json.dumps({"rules": []})
        assert admin("PUT", f"meetings/{UNKNOWN}/{path}", body)[0] == 404
        assert admin("PUT", f"meetings/{other}/{path}", body)[0] == 409


def test_a_replica_has_no_sound_of_its_own_to_decide_about(api, meeting, admin):
    replica = api.new_meeting(PrimaryMeetingId=meeting)["MeetingId"]
    (ann,) = attendees(api, replica, "ann")
    for method, path in [
        ("PUT", f"attendees/{ann}/muted"),
        ("PUT", f"attendees/{ann}/waiting"),
        ("GET", "mix-rules"),
        ("PUT", "mix-rules"),
        ("DELETE", "mix-rules"),
        ("PUT", "recording"),
    ]:
        status, answer = admin(method, f"meetings/{replica}/{path}", json.dumps({"rules": []}))
        assert status == 409 and meeting in json.dumps(answer), (path, answer)


def test_decisions_hold_before_anybody_joins_and_end_with_the_meeting(service, operator, api, meeting, admin):
    ann, bob = attendees(api, meeting, "ann", "bob")
    operator.text("attendees", "mute", meeting, ann)
    operator.text("attendees", "hold", meeting, bob)
    operator.text("attendees", "remove", meeting, bob)
    assert listed(operator, meeting)[ann]["muted"] is True
    before = metric(service, "campanile_live_meetings")
    api.delete_meeting(MeetingId=meeting)
    until("the live meeting is gone", lambda: metric(service, "campanile_live_meetings") < before)
    assert admin("PUT", f"meetings/{meeting}/attendees/{ann}/muted")[0] == 409
