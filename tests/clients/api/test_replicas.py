"""Replica meetings: the law. What their attendees see and hear of the primary is the media's."""

import pytest

from conftest import Api, status

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"

pytestmark = pytest.mark.new


def replica(api, primary, **members):
    return api.new_meeting(PrimaryMeetingId=primary["MeetingId"], **members)


def refused(api, **members):
    with api.raises("BadRequestException") as refusal:
        api.new_meeting(**members)
    assert status(refusal.value.response) == 400
    assert "primaryMeetingId" in refusal.value.response["Error"]["Message"]


def test_a_replica_names_its_primary(api):
    primary = api.new_meeting()
    assert not primary.get("PrimaryMeetingId")
    made = replica(api, primary)
    assert made["PrimaryMeetingId"] == primary["MeetingId"]
    assert made["MeetingId"] != primary["MeetingId"]
    assert api.get_meeting(MeetingId=made["MeetingId"])["Meeting"] == made


def test_a_replica_has_attendees_of_its_own(api):
    primary = api.new_meeting()
    made = replica(api, primary)
    here, there = api.new_attendee(primary, "ann"), api.new_attendee(made, "ann")
    assert here["AttendeeId"] != there["AttendeeId"]
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=primary["MeetingId"], AttendeeId=there["AttendeeId"])


def test_a_replica_of_nothing(api, unharmed):
    refused(api, PrimaryMeetingId=UNKNOWN)
    refused(api, PrimaryMeetingId="no-guid")
    ended = api.new_meeting()
    api.delete_meeting(MeetingId=ended["MeetingId"])
    refused(api, PrimaryMeetingId=ended["MeetingId"])


def test_a_replica_of_a_replica(api):
    refused(api, PrimaryMeetingId=replica(api, api.new_meeting())["MeetingId"])


def test_a_primary_has_four_replicas(api):
    primary = api.new_meeting()
    made = [replica(api, primary) for _ in range(4)]
    with api.raises("LimitExceededException") as refusal:
        replica(api, primary)
    assert status(refusal.value.response) == 400
    api.delete_meeting(MeetingId=made[0]["MeetingId"])
    assert replica(api, primary), "one that ended makes room"


def test_the_number_of_replicas_is_a_setting(own_service):
    service = own_service(settings={"LIMITS__REPLICAS": "1"}).start()
    api = Api(service)
    primary = api.new_meeting()
    replica(api, primary)
    with api.raises("LimitExceededException"):
        replica(api, primary)
    service.stop()


def test_the_same_token_is_the_same_replica(api):
    primary = api.new_meeting()
    first = replica(api, primary, ClientRequestToken="replica-token-1")
    assert replica(api, primary, ClientRequestToken="replica-token-1") == first


def test_replicas_end_with_their_primary(service, api):
    primary = api.new_meeting()
    replicas = [replica(api, primary) for _ in range(2)]
    attendee = api.new_attendee(replicas[0], "ann")
    api.delete_meeting(MeetingId=primary["MeetingId"])
    for one in replicas:
        with api.raises("NotFoundException"):
            api.get_meeting(MeetingId=one["MeetingId"])
        assert len(service.events(one["MeetingId"], "MeetingEnded")) == 1
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=replicas[0]["MeetingId"], AttendeeId=attendee["AttendeeId"])


def test_a_replica_ends_alone(api):
    primary = api.new_meeting()
    first, second = replica(api, primary), replica(api, primary)
    api.delete_meeting(MeetingId=first["MeetingId"])
    for alive in (primary, second):
        assert api.get_meeting(MeetingId=alive["MeetingId"])["Meeting"] == alive


def test_attendees_in_one_call_with_a_replica(api):
    primary = api.new_meeting()
    answer = api.create_meeting_with_attendees(
        ClientRequestToken="replica-with-attendees", MediaRegion="us-east-1", ExternalMeetingId="replica",
        PrimaryMeetingId=primary["MeetingId"], Attendees=[{"ExternalUserId": "ann"}],
    )
    assert answer["Meeting"]["PrimaryMeetingId"] == primary["MeetingId"]
    assert len(answer["Attendees"]) == 1
