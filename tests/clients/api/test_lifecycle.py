"""How meetings end without being deleted: idle, of age, with their primary, by the operator. What those in them see of it
is in browser/endings.test.mjs."""

import pytest

from conftest import Api
from service import until

# The rules do not depend on who calls.
pytestmark = pytest.mark.new


def gone(api, meeting):
    try:
        api.get_meeting(MeetingId=meeting["MeetingId"])
        return False
    except api.client.exceptions.NotFoundException:
        return True


def ended(service, meeting):
    """The recorded reason, and how long the meeting lived, in seconds."""
    query = "SELECT end_reason, ended_at - created_at FROM meetings WHERE id = ?"
    ((reason, lived),) = service.rows(query, meeting["MeetingId"])
    return reason, lived and lived / 1000


def test_a_meeting_that_nobody_joins_ends(own_service):
    service = own_service(settings={"LIMITS__IDLE": "2s"}).start()
    api = Api(service)
    meeting = api.new_meeting()
    attendee = api.new_attendee(meeting, "ann")
    assert not gone(api, meeting)
    until("the idle meeting ends", lambda: gone(api, meeting))
    reason, lived = ended(service, meeting)
    assert reason == "idle" and 2 <= lived < 6
    (event,) = service.events(meeting["MeetingId"], "MeetingEnded")
    assert event["mediaRegion"] == "us-east-1"
    assert event["externalMeetingId"] == meeting["ExternalMeetingId"]
    for call in (
        lambda: api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"]),
        lambda: api.new_attendee(meeting, "bob"),
        lambda: api.delete_meeting(MeetingId=meeting["MeetingId"]),
    ):
        with api.raises("NotFoundException"):
            call()
    service.stop()


def test_a_meeting_of_age_ends(own_service):
    service = own_service(settings={"LIMITS__AGE": "2s", "LIMITS__IDLE": "never"}).start()
    api = Api(service)
    meeting = api.new_meeting()
    until("the old meeting ends", lambda: gone(api, meeting))
    reason, lived = ended(service, meeting)
    assert reason == "aged" and 2 <= lived < 6
    assert len(service.events(meeting["MeetingId"], "MeetingEnded")) == 1
    service.stop()


def test_never_is_never(own_service):
    """Beside a meeting that ends for its idleness stands a service whose meetings do not."""
    patient = own_service(settings={"LIMITS__IDLE": "never", "LIMITS__AGE": "never"}).start()
    hasty = own_service(settings={"LIMITS__IDLE": "1s"}).start()
    kept, lost = Api(patient).new_meeting(), Api(hasty).new_meeting()
    until("the idle meeting ends", lambda: gone(Api(hasty), lost))
    assert not gone(Api(patient), kept)
    patient.stop()
    hasty.stop()


def test_a_meeting_of_before_a_restart_idles_out_too(own_service):
    service = own_service(settings={"LIMITS__IDLE": "3s"}).start()
    meeting = Api(service).new_meeting()
    service.stop()
    service.start()
    api = Api(service)
    until("the idle meeting ends", lambda: gone(api, meeting), within=15)
    assert ended(service, meeting)[0] == "idle"
    service.stop()


def test_replicas_do_not_idle_out(own_service):
    """A replica ends with its primary: here when the primary idles out, and not before it though it was made first to."""
    service = own_service(settings={"LIMITS__IDLE": "2s"}).start()
    api = Api(service)
    primary = api.new_meeting()
    replica = api.new_meeting(PrimaryMeetingId=primary["MeetingId"])
    until("the primary ends", lambda: gone(api, primary))
    until("its replica ends", lambda: gone(api, replica))
    assert ended(service, primary)[0] == "idle"
    assert ended(service, replica)[0] == "primary-ended"
    service.stop()


def test_delete_is_recorded_as_such(service, api):
    meeting = api.new_meeting()
    api.delete_meeting(MeetingId=meeting["MeetingId"])
    assert ended(service, meeting)[0] == "deleted"
    assert len(service.events(meeting["MeetingId"], "MeetingEnded")) == 1


def test_a_token_of_a_meeting_that_idled_out_makes_a_new_one(own_service):
    service = own_service(settings={"LIMITS__IDLE": "1s"}).start()
    api = Api(service)
    meeting = api.new_meeting(ClientRequestToken="token-of-the-idle")
    until("the idle meeting ends", lambda: gone(api, meeting))
    again = api.new_meeting(ClientRequestToken="token-of-the-idle")
    assert again["MeetingId"] != meeting["MeetingId"]
    service.stop()


@pytest.mark.parametrize(
    ("key", "value"), [("IDLE", "soon"), ("IDLE", "5"), ("AGE", "-1s"), ("ALONE", "30 metres"), ("END_RULES", "2020")]
)
def test_limits_that_make_no_sense_are_explained(own_service, key, value):
    service = own_service(settings={f"LIMITS__{key}": value})
    with pytest.raises(AssertionError, match="before it was ready") as refused:
        service.start()
    assert f"CAMPANILE_LIMITS__{key}" in str(refused.value) and value in str(refused.value)


def test_the_rules_of_2019_are_a_setting(own_service):
    """They add an end for whoever is alone for long; idle and age stay as they are."""
    service = own_service(settings={"LIMITS__END_RULES": "2019", "LIMITS__IDLE": "1s"}).start()
    api = Api(service)
    meeting = api.new_meeting()
    until("the idle meeting ends", lambda: gone(api, meeting))
    assert ended(service, meeting)[0] == "idle"
    service.stop()
