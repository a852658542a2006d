#!/usr/bin/env python3
"""Writes the seeds of the corpora: the captured requests of real SDKs, some requests that no SDK sends, page tokens.

Run it after requests were captured anew or an operation was added; then minimise (README.md). What it writes is named
`seed-*`; `cargo fuzz cmin` gives what it keeps of it other names.
"""

import base64
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
REQUESTS = FUZZ.parent / "crates/aws/tests/requests"

MEETING = "2f1c9a1e-0000-4000-8000-0123456789ab"
ATTENDEE = "5f1c9a1e-0000-4000-8000-0123456789ab"
ARN = f"arn%3Aaws%3Achime%3Aus-east-1%3A000000000000%3Ameeting%2F{MEETING}"

# What the captured clients do not send: the tags of the old namespace, each structure with all its members, bad values.
WRITTEN = [
    ("POST /meetings", '{"ClientRequestToken":"tok-1","MediaRegion":"us-east-1","ExternalMeetingId":"ext-1",'
     '"MeetingHostId":"host","NotificationsConfiguration":{"SnsTopicArn":"arn:aws:sns:us-east-1:000000000000:t",'
     '"SqsQueueArn":"arn:aws:sqs:us-east-1:000000000000:q","LambdaFunctionArn":"arn:aws:lambda:r:0:function:f"},'
     '"MeetingFeatures":{"Audio":{"EchoReduction":"AVAILABLE"},"Video":{"MaxResolution":"FHD"},'
     '"Content":{"MaxResolution":"UHD"},"Attendee":{"MaxCount":25}},"PrimaryMeetingId":"primary",'
     '"TenantIds":["ab","cd"],"MediaPlacementNetworkType":"DualStack","Tags":[{"Key":"k","Value":"v"}]}'),
    ("POST /meetings", '{"ClientRequestToken":"a b","MediaRegion":3,"Tags":[{"Key":"k"},{"Value":null},{}]}'),
    ("POST /meetings", '{"ClientRequestToken":"a b","MediaRegion":"","TenantIds":["aaaa",""],'
     '"MeetingFeatures":{"Attendee":{"MaxCount":1e400}}}'),
    ("POST /meetings?operation=create-attendees", '{"ClientRequestToken":"tok-1","Attendees":[{"ExternalUserId":"u1",'
     '"Tags":[{"Key":"k","Value":"v"}]},{"ExternalUserId":""}],"Tags":[{"Key":"aws:k","Value":""}]}'),
    ("GET /meetings?max-results=5&next-token=AW0AAAAAAAAABw", ""),
    (f"POST /meetings/{MEETING}/attendees", '{"ExternalUserId":"user","Capabilities":{"Audio":"SendReceive",'
     '"Video":"Receive","Content":"None"},"Tags":[{"Key":"k","Value":"v"},{"Key":"k","Value":"w"}]}'),
    (f"POST /meetings/{MEETING}/attendees?operation=batch-create", '{"Attendees":[{"ExternalUserId":"aws:u",'
     '"Capabilities":{"Audio":"None","Video":"None","Content":"Send"}},{"ExternalUserId":"\\u00ff"},{}]}'),
    (f"GET /meetings/{MEETING}/attendees?max-results=0&next-token=", ""),
    (f"PUT /meetings/{MEETING}/attendees/{ATTENDEE}/capabilities",
     '{"Capabilities":{"Audio":"SendReceive","Video":"Send","Content":"Receive"}}'),
    (f"PUT /meetings/{MEETING}/attendees/capabilities?operation=batch-update-except",
     f'{{"ExcludedAttendeeIds":[{{"AttendeeId":"{ATTENDEE}"}},{{"AttendeeId":"x"}}],'
     '"Capabilities":{"Audio":"None","Video":"None","Content":"None"}}'),
    (f"POST /meetings/{MEETING}/transcription?operation=start", '{"TranscriptionConfiguration":'
     '{"EngineTranscribeSettings":{"LanguageCode":"en-US","VocabularyFilterMethod":"mask",'
     '"VocabularyFilterName":"f","VocabularyName":"v","Region":"auto","EnablePartialResultsStabilization":true,'
     '"PartialResultsStability":"high","ContentIdentificationType":"PII","PiiEntityTypes":"NAME",'
     '"LanguageModelName":"m","IdentifyLanguage":false,"LanguageOptions":"en-US,de-DE",'
     '"PreferredLanguage":"en-US","VocabularyNames":"v","VocabularyFilterNames":"f"}}}'),
    (f"POST /meetings/{MEETING}/transcription?operation=start", '{"TranscriptionConfiguration":'
     '{"EngineTranscribeMedicalSettings":{"LanguageCode":"en-US","Specialty":"PRIMARYCARE",'
     '"Type":"CONVERSATION","VocabularyName":"v","Region":"us-east-1","ContentIdentificationType":"PHI"}}}'),
    (f"POST /meetings/{MEETING}/transcription?operation=stop", ""),
    ("POST /tags?operation=tag-resource",
     f'{{"ResourceARN":"{ARN.replace("%3A", ":").replace("%2F", "/")}","Tags":[{{"Key":"k","Value":"v"}}]}}'),
    ("POST /tags?operation=untag-resource",
     f'{{"ResourceARN":"{ARN.replace("%3A", ":").replace("%2F", "/")}","TagKeys":["k","k",""]}}'),
    (f"GET /tags?arn={ARN}", ""),
    ("GET /tags", ""),
    (f"POST /meetings/{MEETING}/tags?operation=add", '{"Tags":[{"Key":"k","Value":"v"}]}'),
    (f"POST /meetings/{MEETING}/tags?operation=delete", '{"TagKeys":["k"]}'),
    (f"GET /meetings/{MEETING}/tags", ""),
    (f"POST /meetings/{MEETING}/attendees/{ATTENDEE}/tags?operation=add", '{"Tags":[{"Key":"k","Value":"v"}]}'),
    (f"POST /meetings/{MEETING}/attendees/{ATTENDEE}/tags?operation=delete", '{"TagKeys":["k"]}'),
    (f"GET /meetings/{MEETING}/attendees/{ATTENDEE}/tags", ""),
    ("GET //console//meetings/%2F%ff%/attendees/?a=%&b&=c&&", ""),
    ("X-ODD", "[1,2.5,-3,true,null]"),
]

# Credentials, signed headers, signature, date.
GOOD = ("AKIDEXAMPLE/20261122/us-east-1/chime/aws4_request", "host;x-amz-date", "a" * 64, "20261122T230000Z")
CREDENTIALS = [
    GOOD,
    ("AKID/20261122/us-east-1/chime", *GOOD[1:]),
    ("AKID/20261122/us-east-1/chime/aws3", *GOOD[1:]),
    ("AKID/20261122/us-east-1/s3/aws4_request", *GOOD[1:]),
    ("AKID/20261122//chime/aws4_request", *GOOD[1:]),
    ("AKID/20261122/us east 1/chime/aws4_request", *GOOD[1:]),
    ("A/B/20261122/us-east-1/chime/aws4_request", *GOOD[1:]),
    ("AKIDEXAMPLE/20261122/us-east-1/chime/aws4_request/x", *GOOD[1:]),
    ("AKIDEXAMPLE/20261121/us-east-1/chime/aws4_request", *GOOD[1:]),
    (GOOD[0], "x-amz-date", *GOOD[2:]),
    (GOOD[0], "Host", *GOOD[2:]),
    (GOOD[0], "host;host", *GOOD[2:]),
    (GOOD[0], "host;absent;;", *GOOD[2:]),
    (GOOD[0], ";".join(["host", *(f"h{n}" for n in range(70))]), *GOOD[2:]),
    (*GOOD[:2], "A" * 64, GOOD[3]),
    (*GOOD[:2], "00, Signature=00", GOOD[3]),
    *((*GOOD[:3], date) for date in ["20261122T225959", "20261122T246060Z", "20261122T2300001Z", "99991231T235959Z"]),
]


def captured():
    """Each captured request as it stands in its file: head, empty line, body."""
    for file in sorted(REQUESTS.glob("*.txt")):
        for piece in file.read_text().removesuffix("----\n").split("----\n"):
            head, _, rest = piece.partition("\n\n")
            lengths = [line for line in head.lower().splitlines() if line.startswith("content-length: ")]
            length = int(lengths[0].split(": ")[1]) if lengths else 0
            yield head.encode() + b"\n\n" + rest.encode()[:length]


def written():
    for target, body in WRITTEN:
        yield f"{target} HTTP/1.1\nUser-Agent: api/chime#1\n\n{body}".encode()


def credentials():
    for credential, signed, signature, date in CREDENTIALS:
        yield (
            f"GET /meetings HTTP/1.1\nHost: h\nX-Amz-Date: {date}\nAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={credential}, SignedHeaders={signed}, Signature={signature}\n\n"
        ).encode()


def signed(requests):
    """With a change in front: another part of each request is bent in another place."""
    for number, request in enumerate(requests):
        yield bytes([number % 5, number % 7, number * 5 % 256, 1 << number % 7]) + request


def tokens():
    for place in [0, 7, 2**64 - 1]:
        for mark in [b"m", b"a" + bytes.fromhex(MEETING.replace("-", ""))]:
            token = base64.urlsafe_b64encode(b"\x01" + mark + place.to_bytes(8, "big")).rstrip(b"=")
            yield from [token, token[1:], token + b"A", token + b"=="]
    yield from [b"a/b+c==", b"AQ", "é".encode(), b"A" * 4097]


def write(target, seeds):
    corpus = FUZZ / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, seed in enumerate(seeds, 1):
        (corpus / f"seed-{count:03}").write_bytes(seed)
    print(f"{target}: {count} seeds")


requests = [*captured(), *written()]
write("sigv4", signed([*requests, *credentials()]))
write("rest", requests)
write("page", tokens())
