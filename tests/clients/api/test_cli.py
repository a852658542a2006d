"""The AWS CLI, as people type it: every command of today's namespace."""

import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"

pytestmark = pytest.mark.new


class Aws:
    def __init__(self, service, home):
        self.endpoint = service.endpoint
        self.environment = {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "AWS_PAGER": "",
            "AWS_ACCESS_KEY_ID": service.ready["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": service.ready["secret_access_key"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def run(self, *arguments, **environment):
        return subprocess.run(
            ["aws", "--endpoint-url", self.endpoint, "chime-sdk-meetings", *arguments],
            capture_output=True, text=True, timeout=60, env=self.environment | environment,
        )

    def __call__(self, *arguments):
        """The JSON it prints, or None when it prints nothing."""
        answer = self.run(*arguments)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout) if answer.stdout.strip() else None

    def refused(self, *arguments, **environment):
        answer = self.run(*arguments, **environment)
        assert answer.returncode != 0
        assert answer.stdout.strip() == ""
        return answer.stderr

    def new_meeting(self, *arguments):
        return self(
            "create-meeting", "--client-request-token", str(uuid.uuid4()), "--media-region", "us-east-1",
            "--external-meeting-id", "from-the-cli", *arguments,
        )["Meeting"]


@pytest.fixture
def aws(service, tmp_path):
    return Aws(service, tmp_path)


@pytest.fixture
def meeting(aws):
    return aws.new_meeting()["MeetingId"]


def test_a_meeting_is_made_found_and_deleted(aws):
    meeting = aws.new_meeting()
    assert meeting["ExternalMeetingId"] == "from-the-cli"
    assert aws("get-meeting", "--meeting-id", meeting["MeetingId"])["Meeting"] == meeting
    assert aws("delete-meeting", "--meeting-id", meeting["MeetingId"]) is None
    assert "(NotFoundException)" in aws.refused("get-meeting", "--meeting-id", meeting["MeetingId"])


def test_attendees_are_made_found_and_deleted(aws, meeting):
    here = ["--meeting-id", meeting]
    ann = aws("create-attendee", *here, "--external-user-id", "ann")["Attendee"]
    this = [*here, "--attendee-id", ann["AttendeeId"]]
    assert aws("get-attendee", *this)["Attendee"] == ann
    batch = aws("batch-create-attendee", *here, "--attendees", "ExternalUserId=bob", "ExternalUserId=cleo")
    assert [attendee["ExternalUserId"] for attendee in batch["Attendees"]] == ["bob", "cleo"]
    listed = aws("list-attendees", *here, "--max-results", "2")
    rest = aws("list-attendees", *here, "--next-token", listed["NextToken"])
    assert listed["Attendees"] + rest["Attendees"] == [ann, *batch["Attendees"]]
    assert aws("delete-attendee", *this) is None
    assert "(NotFoundException)" in aws.refused("get-attendee", *this)


def test_a_meeting_with_attendees(aws):
    answer = aws(
        "create-meeting-with-attendees", "--client-request-token", str(uuid.uuid4()), "--media-region", "us-east-1",
        "--external-meeting-id", "together", "--attendees", "ExternalUserId=ann", "ExternalUserId=bob",
    )
    assert answer["Meeting"]["ExternalMeetingId"] == "together"
    assert len(answer["Attendees"]) == 2


def test_capabilities(aws, meeting):
    ann = aws("create-attendee", "--meeting-id", meeting, "--external-user-id", "ann")["Attendee"]
    bob = aws("create-attendee", "--meeting-id", meeting, "--external-user-id", "bob")["Attendee"]
    listen = "Audio=Receive,Video=Receive,Content=Receive"
    answer = aws(
        "update-attendee-capabilities", "--meeting-id", meeting, "--attendee-id", ann["AttendeeId"], "--capabilities", listen
    )
    assert answer["Attendee"]["Capabilities"]["Audio"] == "Receive"
    assert aws(
        "batch-update-attendee-capabilities-except", "--meeting-id", meeting,
        "--excluded-attendee-ids", f"AttendeeId={ann['AttendeeId']}", "--capabilities", listen,
    ) is None
    found = aws("get-attendee", "--meeting-id", meeting, "--attendee-id", bob["AttendeeId"])["Attendee"]
    assert found["Capabilities"] == {"Audio": "Receive", "Video": "Receive", "Content": "Receive"}


def test_tags(aws):
    arn = aws.new_meeting("--tags", "Key=team,Value=blue")["MeetingArn"]
    assert aws("tag-resource", "--resource-arn", arn, "--tags", "Key=stage,Value=test") is None
    listed = aws("list-tags-for-resource", "--resource-arn", arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in listed} == {"team": "blue", "stage": "test"}
    assert aws("untag-resource", "--resource-arn", arn, "--tag-keys", "team", "stage") is None
    assert aws("list-tags-for-resource", "--resource-arn", arn)["Tags"] == []


def test_transcription_without_an_engine(aws, meeting):
    refusal = aws.refused(
        "start-meeting-transcription", "--meeting-id", meeting,
        "--transcription-configuration", "EngineTranscribeSettings={LanguageCode=en-US}",
    )
    assert "(UnprocessableEntityException)" in refusal
    assert "(UnprocessableEntityException)" in aws.refused("stop-meeting-transcription", "--meeting-id", meeting)


def test_errors_have_their_classes(aws, meeting):
    assert "(NotFoundException)" in aws.refused("get-meeting", "--meeting-id", UNKNOWN)
    long = ["create-attendee", "--meeting-id", meeting, "--external-user-id", "x" * 65]
    assert "(BadRequestException)" in aws.refused(*long)


def test_a_wrong_secret(aws, meeting):
    refusal = aws.refused("get-meeting", "--meeting-id", meeting, AWS_SECRET_ACCESS_KEY="wrong")
    assert "(InvalidSignatureException)" in refusal
