"""Tags: by ARN in today's namespace; of meetings and attendees, by their paths, in the old one."""

import pytest

from conftest import status
from wire import Wire, assert_error

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def numbered(count, start=0):
    return [{"Key": f"key-{n}", "Value": str(n)} for n in range(start, start + count)]


def as_dict(answer):
    return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}


# -- today's namespace


@pytest.fixture
def arn(api):
    return api.new_meeting()["MeetingArn"]


@pytest.mark.new
def test_tags_are_put_listed_and_removed(api, arn):
    assert status(api.tag_resource(ResourceARN=arn, Tags=tags(team="blue", stage="test"))) == 204
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"team": "blue", "stage": "test"}
    assert status(api.untag_resource(ResourceARN=arn, TagKeys=["team"])) == 204
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"stage": "test"}


@pytest.mark.new
def test_a_meeting_without_tags_has_an_empty_list(api, arn):
    assert api.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


@pytest.mark.new
def test_the_tags_of_a_create_are_listed(api):
    meeting = api.new_meeting(Tags=tags(team="blue", empty=""))
    assert as_dict(api.list_tags_for_resource(ResourceARN=meeting["MeetingArn"])) == {"team": "blue", "empty": ""}


@pytest.mark.new
def test_a_key_that_is_there_gets_the_new_value(api, arn):
    api.tag_resource(ResourceARN=arn, Tags=tags(team="blue"))
    api.tag_resource(ResourceARN=arn, Tags=tags(team="red"))
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"team": "red"}


@pytest.mark.new
def test_removing_absent_keys_succeeds(api, arn):
    api.tag_resource(ResourceARN=arn, Tags=tags(team="blue"))
    assert status(api.untag_resource(ResourceARN=arn, TagKeys=["stage"])) == 204
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"team": "blue"}


@pytest.mark.new
def test_empty_lists_change_nothing(api, arn):
    api.tag_resource(ResourceARN=arn, Tags=tags(team="blue"))
    assert status(api.tag_resource(ResourceARN=arn, Tags=[])) == 204
    assert status(api.untag_resource(ResourceARN=arn, TagKeys=[])) == 204
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"team": "blue"}


@pytest.mark.new
def test_the_arn_may_be_written_with_a_colon(api, arn):
    head, identity = arn.rsplit("/", 1)
    other = f"{head}:{identity}"
    api.tag_resource(ResourceARN=other, Tags=tags(team="blue"))
    assert as_dict(api.list_tags_for_resource(ResourceARN=other)) == {"team": "blue"}
    assert as_dict(api.list_tags_for_resource(ResourceARN=arn)) == {"team": "blue"}


@pytest.mark.new
@pytest.mark.parametrize("call", ["tag", "untag", "list"])
def test_an_unknown_arn(api, call):
    arn = f"arn:aws:chime:us-east-1:000000000000:meeting/{UNKNOWN}"
    with api.raises("ResourceNotFoundException") as refused:
        {
            "tag": lambda: api.tag_resource(ResourceARN=arn, Tags=tags(team="blue")),
            "untag": lambda: api.untag_resource(ResourceARN=arn, TagKeys=["team"]),
            "list": lambda: api.list_tags_for_resource(ResourceARN=arn),
        }[call]()
    assert status(refused.value.response) == 404
    assert refused.value.response["ResourceName"] == arn


@pytest.mark.new
def test_the_arn_of_an_ended_meeting(api):
    meeting = api.new_meeting()
    api.delete_meeting(MeetingId=meeting["MeetingId"])
    with api.raises("ResourceNotFoundException"):
        api.list_tags_for_resource(ResourceARN=meeting["MeetingArn"])


@pytest.mark.new
def test_an_arn_of_another_account_is_unknown(api, arn):
    with api.raises("ResourceNotFoundException"):
        api.list_tags_for_resource(ResourceARN=arn.replace("000000000000", "111122223333"))


@pytest.mark.new
def test_more_than_fifty_on_one_meeting(api, arn):
    api.tag_resource(ResourceARN=arn, Tags=numbered(50))
    with api.raises("TooManyTagsException") as refused:
        api.tag_resource(ResourceARN=arn, Tags=tags(more="1"))
    assert status(refused.value.response) == 400
    assert refused.value.response["ResourceName"] == arn
    assert len(api.list_tags_for_resource(ResourceARN=arn)["Tags"]) == 50
    assert status(api.tag_resource(ResourceARN=arn, Tags=tags(**{"key-7": "other"}))) == 204, "no new key"


@pytest.mark.new
@pytest.mark.parametrize(
    "bad",
    [
        {"Tags": numbered(51)},
        {"Tags": [{"Key": "k" * 129, "Value": "v"}]},
        {"Tags": [{"Key": "k", "Value": "v" * 257}]},
        {"Tags": [{"Key": "with space", "Value": "v"}]},
        {"Tags": [{"Key": "k", "Value": "bad*value"}]},
        {"Tags": [{"Key": "twice", "Value": "1"}, {"Key": "twice", "Value": "2"}]},
    ],
    ids=["51", "key", "value", "characters", "value-characters", "twice"],
)
def test_tags_out_of_their_bounds(api, arn, bad):
    with api.raises("BadRequestException"):
        api.tag_resource(ResourceARN=arn, **bad)
    assert api.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


@pytest.mark.new
def test_fifty_one_keys_to_remove(api, arn):
    with api.raises("BadRequestException"):
        api.untag_resource(ResourceARN=arn, TagKeys=[f"key-{n}" for n in range(51)])


@pytest.mark.new
def test_what_boto3_does_not_let_through(service, arn, unharmed):
    wire = Wire(service)
    for body in (
        {"Tags": tags(team="blue")},
        {"ResourceARN": arn},
        {"ResourceARN": "not-an-arn", "Tags": tags(team="blue")},
        {"ResourceARN": "arn:" + "x" * 1010, "Tags": tags(team="blue")},
        {"ResourceARN": arn, "Tags": [{"Key": "", "Value": "v"}]},
        {"ResourceARN": arn, "Tags": [{"Key": "k"}]},
    ):
        assert_error(wire.send("POST", "/tags?operation=tag-resource", body), 400, "BadRequestException")
    assert_error(wire.send("POST", "/tags?operation=untag-resource", {"ResourceARN": arn}), 400, "BadRequestException")
    assert_error(wire.send("GET", "/tags"), 400, "BadRequestException")
    assert_error(wire.send("GET", "/tags?arn=not-an-arn"), 400, "BadRequestException")
    assert_error(wire.send("POST", "/tags?operation=nope", {"ResourceARN": arn}), 404, "UnknownOperationException")


# -- the old namespace


@pytest.fixture
def meeting(api):
    return api.new_meeting()


@pytest.mark.old
def test_tags_of_a_meeting_by_its_path(api, meeting):
    here = {"MeetingId": meeting["MeetingId"]}
    assert status(api.tag_meeting(**here, Tags=tags(team="blue", stage="test"))) == 204
    answer = api.list_meeting_tags(**here)
    assert status(answer) == 200
    assert as_dict(answer) == {"team": "blue", "stage": "test"}
    assert status(api.untag_meeting(**here, TagKeys=["team", "absent"])) == 204
    assert as_dict(api.list_meeting_tags(**here)) == {"stage": "test"}


@pytest.mark.old
def test_tags_of_an_attendee_by_its_path(api, meeting):
    attendee = api.new_attendee(meeting, "ann", Tags=tags(seat="1"))
    here = {"MeetingId": meeting["MeetingId"], "AttendeeId": attendee["AttendeeId"]}
    assert as_dict(api.list_attendee_tags(**here)) == {"seat": "1"}
    assert status(api.tag_attendee(**here, Tags=tags(role="host", seat="2"))) == 204
    answer = api.list_attendee_tags(**here)
    assert status(answer) == 200
    assert as_dict(answer) == {"seat": "2", "role": "host"}
    assert status(api.untag_attendee(**here, TagKeys=["seat", "absent"])) == 204
    assert as_dict(api.list_attendee_tags(**here)) == {"role": "host"}


@pytest.mark.old
def test_an_attendees_tags_are_its_own(api, meeting):
    ann = api.new_attendee(meeting, "ann", Tags=tags(seat="1"))
    bob = api.new_attendee(meeting, "bob")
    for attendee, expected in ((ann, {"seat": "1"}), (bob, {})):
        answer = api.list_attendee_tags(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
        assert as_dict(answer) == expected
    assert as_dict(api.list_meeting_tags(MeetingId=meeting["MeetingId"])) == {}


@pytest.mark.old
def test_tags_of_a_batch(api, meeting):
    answer = api.batch_create_attendee(
        MeetingId=meeting["MeetingId"],
        Attendees=[{"ExternalUserId": "ann", "Tags": tags(seat="1")}, {"ExternalUserId": "bob"}],
    )
    listed = [
        as_dict(api.list_attendee_tags(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"]))
        for attendee in answer["Attendees"]
    ]
    assert listed == [{"seat": "1"}, {}]


@pytest.mark.old
def test_tags_of_what_is_not_there(api, meeting):
    for call in (
        lambda: api.tag_meeting(MeetingId=UNKNOWN, Tags=tags(team="blue")),
        lambda: api.untag_meeting(MeetingId=UNKNOWN, TagKeys=["team"]),
        lambda: api.list_meeting_tags(MeetingId=UNKNOWN),
        lambda: api.tag_attendee(MeetingId=meeting["MeetingId"], AttendeeId=UNKNOWN, Tags=tags(team="blue")),
        lambda: api.untag_attendee(MeetingId=meeting["MeetingId"], AttendeeId=UNKNOWN, TagKeys=["team"]),
        lambda: api.list_attendee_tags(MeetingId=meeting["MeetingId"], AttendeeId=UNKNOWN),
    ):
        with api.raises("NotFoundException"):
            call()


@pytest.mark.old
def test_more_than_fifty_on_a_meeting_of_the_old_namespace(api, meeting):
    here = {"MeetingId": meeting["MeetingId"]}
    api.tag_meeting(**here, Tags=numbered(50))
    with api.raises("ResourceLimitExceededException") as refused:
        api.tag_meeting(**here, Tags=numbered(1, start=50))
    assert status(refused.value.response) == 400
    assert len(api.list_meeting_tags(**here)["Tags"]) == 50


@pytest.mark.old
def test_more_than_ten_on_an_attendee(api, meeting):
    here = {"MeetingId": meeting["MeetingId"], "AttendeeId": api.new_attendee(meeting, "ann")["AttendeeId"]}
    api.tag_attendee(**here, Tags=numbered(10))
    with api.raises("ResourceLimitExceededException"):
        api.tag_attendee(**here, Tags=numbered(1, start=10))
    assert len(api.list_attendee_tags(**here)["Tags"]) == 10


@pytest.mark.old
def test_numbers_of_tags_that_one_call_may_not_have(service, api, meeting):
    wire = Wire(service)
    of_meeting = f"/meetings/{meeting['MeetingId']}/tags"
    of_attendee = f"/meetings/{meeting['MeetingId']}/attendees/{api.new_attendee(meeting, 'ann')['AttendeeId']}/tags"
    for path, most in ((of_meeting, 50), (of_attendee, 10)):
        for count in (0, most + 1):
            for operation, body in (
                ("add", {"Tags": numbered(count)}),
                ("delete", {"TagKeys": [f"key-{n}" for n in range(count)]}),
            ):
                answer = wire.send("POST", f"{path}?operation={operation}", body)
                assert_error(answer, 400, "BadRequestException")
        assert wire.send("POST", f"{path}?operation=delete", {"TagKeys": [f"key-{n}" for n in range(most)]}).status == 204


@pytest.mark.old
def test_a_value_must_not_be_empty_in_the_old_namespace(service, meeting):
    body = {"Tags": [{"Key": "team", "Value": ""}]}
    answer = Wire(service).send("POST", f"/meetings/{meeting['MeetingId']}/tags?operation=add", body)
    assert_error(answer, 400, "BadRequestException")
