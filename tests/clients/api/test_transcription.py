"""Starting and stopping live transcription, without an engine that could do it: the law, the shapes, the events."""

import json

import pytest

from conftest import status
from wire import Wire, assert_error

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"
ENGLISH = {"EngineTranscribeSettings": {"LanguageCode": "en-US", "Region": "us-east-1"}}
MEDICAL = {"EngineTranscribeMedicalSettings": {"LanguageCode": "en-US", "Specialty": "PRIMARYCARE", "Type": "CONVERSATION"}}


@pytest.fixture
def meeting(api):
    return api.new_meeting()


def start(api, meeting, configuration):
    return api.start_meeting_transcription(MeetingId=meeting["MeetingId"], TranscriptionConfiguration=configuration)


@pytest.mark.parametrize(
    "configuration",
    [
        ENGLISH,
        MEDICAL,
        {"EngineTranscribeSettings": {"IdentifyLanguage": True, "LanguageOptions": "en-US,de-DE", "PreferredLanguage": "en-US"}},
        {
            "EngineTranscribeSettings": {
                "LanguageCode": "de-DE", "VocabularyFilterMethod": "mask", "VocabularyFilterName": "filter", "VocabularyName": "words",
                "Region": "auto", "EnablePartialResultsStabilization": True, "PartialResultsStability": "high",
                "ContentRedactionType": "PII", "PiiEntityTypes": "NAME,PHONE", "LanguageModelName": "model",
            }
        },
    ],
    ids=["english", "medical", "identify", "everything"],
)
def test_start_without_an_engine_says_so(api, meeting, configuration):
    with pytest.raises(api.client.exceptions.ClientError) as refused:
        start(api, meeting, configuration)
    assert status(refused.value.response) == 422
    assert refused.value.response["Error"]["Code"] == "UnprocessableEntityException"
    assert "engine" in refused.value.response["Error"]["Message"]


@pytest.mark.new
def test_the_refusal_has_a_class_in_todays_namespace(api, meeting):
    with api.raises("UnprocessableEntityException"):
        start(api, meeting, ENGLISH)


def test_a_failed_start_is_an_event(service, api, meeting):
    with pytest.raises(api.client.exceptions.ClientError):
        start(api, meeting, ENGLISH)
    (event,) = service.events(meeting["MeetingId"], "TranscriptionFailed")
    assert event["mediaRegion"] == "us-east-1"
    assert event["message"]
    # A string with JSON in it, as AWS has it.
    configuration = json.loads(event["transcriptionConfiguration"])
    assert "en-US" in json.dumps(configuration)


def test_stop_with_nothing_to_stop(service, api, meeting):
    with pytest.raises(api.client.exceptions.ClientError) as refused:
        api.stop_meeting_transcription(MeetingId=meeting["MeetingId"])
    assert status(refused.value.response) == 422
    assert refused.value.response["Error"]["Code"] == "UnprocessableEntityException"
    assert service.events(meeting["MeetingId"], "TranscriptionStopped") == []


def test_transcription_of_an_unknown_meeting(api, unharmed):
    for call in (
        lambda: api.start_meeting_transcription(MeetingId=UNKNOWN, TranscriptionConfiguration=ENGLISH),
        lambda: api.stop_meeting_transcription(MeetingId=UNKNOWN),
    ):
        with api.raises("NotFoundException"):
            call()


@pytest.mark.parametrize(
    "bad",
    [
        {"EngineTranscribeSettings": {"LanguageCode": "xx-XX"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "Region": "moon-1"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "VocabularyFilterMethod": "shout"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "PartialResultsStability": "rock"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "ContentRedactionType": "PHI"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "ContentIdentificationType": "PHI"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "VocabularyName": "x" * 4097}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "VocabularyNames": "has space"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "VocabularyFilterNames": "has space"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "LanguageModelName": "has space"}},
        {"EngineTranscribeSettings": {"LanguageCode": "en-US", "PiiEntityTypes": "lower"}},
        {"EngineTranscribeSettings": {"IdentifyLanguage": True, "LanguageOptions": "en_US"}},
        {"EngineTranscribeSettings": {"IdentifyLanguage": True, "PreferredLanguage": "xx-XX"}},
        {"EngineTranscribeMedicalSettings": {"LanguageCode": "de-DE", "Specialty": "PRIMARYCARE", "Type": "CONVERSATION"}},
        {"EngineTranscribeMedicalSettings": {"LanguageCode": "en-US", "Specialty": "DENTISTRY", "Type": "CONVERSATION"}},
        {"EngineTranscribeMedicalSettings": {"LanguageCode": "en-US", "Specialty": "PRIMARYCARE", "Type": "MONOLOGUE"}},
    ],
    ids=[
        "language", "region", "filter", "stability", "redaction", "identification", "vocabulary", "vocabularies",
        "filters", "model", "pii", "options", "preferred",
        "medical-language", "medical-specialty", "medical-type",
    ],
)
def test_configurations_out_of_their_bounds(service, api, meeting, bad):
    with api.raises("BadRequestException") as refused:
        start(api, meeting, bad)
    assert status(refused.value.response) == 400
    assert service.events(meeting["MeetingId"], "TranscriptionFailed") == []


def test_what_boto3_does_not_let_through(service, meeting, unharmed):
    wire = Wire(service)
    path = f"/meetings/{meeting['MeetingId']}/transcription"
    for body in (
        {},
        {"TranscriptionConfiguration": "english"},
        {"TranscriptionConfiguration": {"EngineTranscribeMedicalSettings": {"LanguageCode": "en-US"}}},
    ):
        answer = wire.send("POST", f"{path}?operation=start", body)
        assert answer.status == 400, answer
        assert_error(answer, 400, answer.headers["x-amzn-ErrorType"])
    assert_error(wire.send("POST", f"{path}?operation=pause", {}), 404, "UnknownOperationException")
