"""Who may call, as boto3 shows it. Signatures that are wrong in every other way are in test_requests.py."""

import pytest
from botocore.exceptions import ClientError

from conftest import Api, status


@pytest.fixture
def meeting(api):
    return api.new_meeting()


def refused(api, meeting):
    with pytest.raises(ClientError) as refusal:
        api.get_meeting(MeetingId=meeting["MeetingId"])
    assert status(refusal.value.response) == 403
    assert refusal.value.response["Error"]["Message"]
    return refusal.value.response["Error"]["Code"]


def test_the_right_secret(api, meeting):
    assert status(api.get_meeting(MeetingId=meeting["MeetingId"])) == 200


def test_a_wrong_secret(service, meeting):
    assert refused(Api(service, aws_secret_access_key="wrong"), meeting) == "InvalidSignatureException"


def test_an_unknown_key(service, meeting):
    assert refused(Api(service, aws_access_key_id="AKIDNOBODY"), meeting) == "UnrecognizedClientException"


def test_a_session_token_does_no_harm(service, meeting):
    api = Api(service, aws_session_token="IQoJb3JpZ2luX2VjEXAMPLE")
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting


def test_any_region_may_be_signed_for(service, meeting):
    for region in ("eu-west-1", "ap-southeast-2", "us-gov-east-1"):
        assert Api(service, region_name=region).get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
