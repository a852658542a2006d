"""Requests that are wrong, sent as raw HTTP: each gets its AWS error, and nothing else suffers."""

import datetime
import hashlib
import socket
import threading
import time

import pytest

from wire import UUID, assert_error, token

UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"

pytestmark = pytest.mark.usefixtures("unharmed")


def create(**members):
    return {"ClientRequestToken": token(), "MediaRegion": "us-east-1", "ExternalMeetingId": "raw", **members}


@pytest.fixture
def meeting(wire):
    answer = wire.send("POST", "/meetings", create())
    assert answer.status == 201, answer
    return answer.json["Meeting"]["MeetingId"]


# -- what must work


def test_a_right_request_works(wire):
    answer = wire.send("POST", "/meetings", create())
    assert answer.status == 201
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert UUID.match(answer.headers["x-amzn-RequestId"])
    assert "Content-Encoding" not in answer.headers


def test_no_content_type_is_needed(wire):
    body = b'{"ClientRequestToken":"%s"}' % token().encode()
    answer = wire.send("POST", "/meetings", body, change=lambda headers: None)
    assert answer.status == 201
    host, port = wire.service.address
    from wire import signed_headers

    ready = wire.service.ready
    headers = signed_headers(
        "POST", f"http://{host}:{port}/meetings", body, {}, ready["access_key_id"], ready["secret_access_key"]
    )
    headers["Content-Length"] = str(len(body))
    assert "Content-Type" not in headers
    assert wire.plain("POST", "/meetings", body, headers).status == 201


def test_unknown_members_are_ignored(wire):
    assert wire.send("POST", "/meetings", create(Whatever={"a": [1, 2]})).status == 201


def test_null_members_are_absent_members(wire):
    assert wire.send("POST", "/meetings", create(MeetingHostId=None, NotificationsConfiguration=None)).status == 201


def test_the_console_prefix_of_old_sdks(wire):
    assert wire.send("POST", "/console/meetings", create()).status == 201


def test_repeated_slashes_are_folded(wire, meeting):
    assert wire.send("GET", f"//meetings/{meeting}").status == 200


def test_a_payload_hash_in_the_header(wire):
    body = b'{"ClientRequestToken":"%s"}' % token().encode()
    digest = hashlib.sha256(body).hexdigest()
    assert wire.send("POST", "/meetings", body, {"X-Amz-Content-SHA256": digest}).status == 201


def test_deletes_answer_without_a_body(wire, meeting):
    answer = wire.send("DELETE", f"/meetings/{meeting}")
    assert answer.status == 204
    assert answer.body == b""
    assert answer.headers.get("Content-Length") in (None, "0")


# -- bodies


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1,2", b'{"ClientRequestToken": }', b"\xff\xfe", b'{"ClientRequestToken": "abc"} trailing', b"nul\0l"],
)
def test_malformed_json(wire, body):
    assert_error(wire.send("POST", "/meetings", body), 400, "SerializationException", "Serialization")


def test_json_that_is_deeper_than_any_parser_needs(wire):
    answer = wire.send("POST", "/meetings", b'{"a":' * 20_000 + b"1" + b"}" * 20_000)
    assert_error(answer, 400, "SerializationException", "Serialization")


@pytest.mark.parametrize(
    "members",
    [
        {"ClientRequestToken": 5},
        {"ClientRequestToken": ["x"]},
        {"ExternalMeetingId": {"a": 1}},
        {"MediaRegion": True},
        {"NotificationsConfiguration": "queue"},
        {"Tags": "none"},
        {"Tags": [1]},
        {"MeetingFeatures": [1]},
        {"MeetingFeatures": {"Attendee": {"MaxCount": "many"}}},
    ],
    ids=str,
)
def test_wrong_types(wire, members):
    answer = wire.send("POST", "/meetings", create(**members))
    assert answer.status == 400
    kind = answer.headers["x-amzn-ErrorType"]
    assert kind in ("SerializationException", "BadRequestException")
    assert_error(answer, 400, kind)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"null", b"true"])
def test_json_that_is_no_object(wire, body):
    answer = wire.send("POST", "/meetings", body)
    assert answer.status == 400
    assert answer.headers["x-amzn-ErrorType"] in ("SerializationException", "BadRequestException")


def test_an_empty_body(wire):
    assert_error(wire.send("POST", "/meetings"), 400, "BadRequestException")


@pytest.mark.parametrize("bad", ["x", "x" * 65, "a b", "é-é", ""])
def test_request_tokens_out_of_their_bounds(wire, bad):
    assert_error(wire.send("POST", "/meetings", create(ClientRequestToken=bad)), 400, "BadRequestException")


def test_a_create_without_a_request_token(wire):
    body = create()
    del body["ClientRequestToken"]
    answer = wire.send("POST", "/meetings", body)
    assert_error(answer, 400, "BadRequestException")
    assert "clientRequestToken" in answer.json["Message"]


@pytest.mark.parametrize("members", [{"ExternalMeetingId": "x" * 65}, {"MeetingHostId": "x" * 65}, {"MediaRegion": "x" * 65}])
def test_members_that_are_too_long(wire, members):
    assert_error(wire.send("POST", "/meetings", create(**members)), 400, "BadRequestException")


@pytest.mark.parametrize(
    "members",
    [
        {"ExternalMeetingId": "x"},
        {"MeetingHostId": "x"},
        {"MediaRegion": "x"},
        {"PrimaryMeetingId": "x"},
        {"TenantIds": []},
        {"TenantIds": ["x"]},
        {"MeetingFeatures": {"Attendee": {"MaxCount": 0}}},
        {"Tags": [{"Key": "", "Value": "v"}]},
        {"Tags": [{"Value": "v"}]},
    ],
    ids=str,
)
def test_members_that_are_too_small(wire, members):
    assert_error(wire.send("POST", "/meetings", create(**members)), 400, "BadRequestException")


def test_numbers_of_attendees_with_a_meeting(wire):
    """A member that only today's namespace has tells that the caller is of it: it must name one to twenty."""
    path = "/meetings?operation=create-attendees"
    for count in (0, 21):
        attendees = [{"ExternalUserId": f"user-{n}"} for n in range(count)]
        body = create(MeetingFeatures={}, Attendees=attendees)
        assert_error(wire.send("POST", path, body), 400, "BadRequestException")
    assert_error(wire.send("POST", path, create(MeetingFeatures={})), 400, "BadRequestException")


def test_a_constraint_is_explained(wire):
    answer = wire.send("POST", "/meetings", create(ExternalMeetingId="x" * 65))
    assert "externalMeetingId" in answer.json["Message"] or "ExternalMeetingId" in answer.json["Message"]
    assert "64" in answer.json["Message"]


@pytest.mark.parametrize("name", ["x", "", "x" * 65])
def test_external_user_ids_out_of_their_bounds(wire, meeting, name):
    answer = wire.send("POST", f"/meetings/{meeting}/attendees", {"ExternalUserId": name})
    assert_error(answer, 400, "BadRequestException")


def test_capabilities_come_all_three_or_not_at_all(wire, meeting):
    answer = wire.send(
        "POST", f"/meetings/{meeting}/attendees",
        {"ExternalUserId": "ann", "Capabilities": {"Audio": "SendReceive", "Video": "SendReceive"}},
    )
    assert_error(answer, 400, "BadRequestException")


def test_an_empty_batch(wire, meeting):
    answer = wire.send("POST", f"/meetings/{meeting}/attendees?operation=batch-create", {"Attendees": []})
    assert_error(answer, 400, "BadRequestException")


def refuses_two_mebibytes(answer):
    assert answer.status == 413, answer
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert answer.json["Message"]


def test_a_body_of_two_mebibytes(wire):
    refuses_two_mebibytes(wire.send("POST", "/meetings", b'{"ClientRequestToken":"' + b"x" * (2 << 20) + b'"}'))


def test_a_chunked_body_of_two_mebibytes(wire):
    ready = wire.service.ready
    host, port = wire.service.address
    connection = socket.create_connection((host, port), timeout=10)
    connection.sendall(
        f"POST /meetings HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={ready['access_key_id']}/20260101/us-east-1/chime/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\nX-Amz-Date: 20260101T000000Z\r\n\r\n".encode()
    )
    try:
        for _ in range(32):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass
    # Refused for its size, or for its signature before anyone cared for its size; in no case read to its end and kept.
    assert connection.recv(64).split()[1] in (b"413", b"403")
    connection.close()


# -- routes and queries


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nope"),
        ("POST", "/meetings?operation=nope"),
        ("PUT", "/meetings"),
        ("POST", f"/meetings/{UNKNOWN}/attendees?operation=nope"),
        ("PATCH", f"/meetings/{UNKNOWN}"),
        ("GET", f"/meetings/{UNKNOWN}/attendees/{UNKNOWN}/more"),
        ("PUT", f"/meetings/{UNKNOWN}/attendees/capabilities?operation=nope"),
        ("POST", f"/meetings/{UNKNOWN}/transcription?operation=nope"),
        ("POST", f"/meetings/{UNKNOWN}/tags?operation=nope"),
        ("POST", f"/meetings/{UNKNOWN}/attendees/{UNKNOWN}/tags?operation=nope"),
        ("POST", "/tags?operation=nope"),
    ],
)
def test_unknown_routes(wire, method, path):
    answer = wire.send(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else b"")
    assert_error(answer, 404, "UnknownOperationException")


@pytest.mark.parametrize("query", ["max-results=0", "max-results=101", "max-results=abc", "max-results=-1", "next-token=garbage"])
def test_queries_of_list_meetings(wire, query):
    assert_error(wire.send("GET", f"/meetings?{query}"), 400, "BadRequestException")


def test_queries_of_list_attendees(wire, meeting):
    for query in ("max-results=0", "max-results=101", "max-results=abc", "next-token=garbage"):
        assert_error(wire.send("GET", f"/meetings/{meeting}/attendees?{query}"), 400, "BadRequestException")


def test_a_token_of_one_list_opens_no_other(wire, meeting):
    for name in ("ann", "bob", "cleo"):
        assert wire.send("POST", f"/meetings/{meeting}/attendees", {"ExternalUserId": name}).status == 201
    first = wire.send("GET", f"/meetings/{meeting}/attendees?max-results=1").json
    other = wire.send("POST", "/meetings", create()).json["Meeting"]["MeetingId"]
    from urllib.parse import quote

    answer = wire.send("GET", f"/meetings/{other}/attendees?next-token={quote(first['NextToken'], safe='')}")
    assert_error(answer, 400, "BadRequestException")


@pytest.mark.parametrize("path", ["/meetings/", "/meetings/%2F", "/meetings/a%2Fb%20c", "/meetings/..%2f..%2fetc", "/meetings/%00", "/meetings/%zz"])
def test_labels_that_are_no_ids(wire, path):
    answer = wire.send("GET", path)
    assert answer.status in (400, 404), answer
    assert answer.headers["x-amzn-ErrorType"]
    assert "Meetings" not in answer.json


def test_an_unknown_meeting(wire):
    assert_error(wire.send("GET", f"/meetings/{UNKNOWN}"), 404, "NotFoundException")


# -- signatures


def test_no_authorization(wire):
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", sign=False)
    assert_error(answer, 403, "MissingAuthenticationTokenException", "MissingAuthenticationToken")


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=zz",
        "AWS4-HMAC-SHA256 Credential=campanile-dev/20260101/us-east-1/chime, SignedHeaders=host, Signature=" + "0" * 64,
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256 " + "=,".join("x" * 50) * 100,
    ],
    ids=["bare", "short", "garbled", "scope", "basic", "long"],
)
def test_a_malformed_authorization(wire, value):
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", change=lambda headers: headers.update({"Authorization": value}))
    assert answer.status in (400, 403), answer
    assert answer.headers["x-amzn-ErrorType"] in ("IncompleteSignatureException", "MissingAuthenticationTokenException")
    assert_error(answer, answer.status, answer.headers["x-amzn-ErrorType"])


def test_a_wrong_secret(wire):
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", secret="wrong-secret")
    assert_error(answer, 403, "InvalidSignatureException")


def test_an_unknown_key(wire):
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", key="AKIDNOBODY")
    assert_error(answer, 403, "UnrecognizedClientException")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_date_that_is_too_far_away(wire, minutes):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", when=when)
    assert_error(answer, 403, "InvalidSignatureException")
    assert ("expired" if minutes < 0 else "not yet current") in answer.json["Message"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_date_that_is_near_enough(wire, meeting, minutes):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    assert wire.send("GET", f"/meetings/{meeting}", when=when).status == 200


def test_another_service_in_the_scope(wire):
    answer = wire.send("GET", f"/meetings/{UNKNOWN}", service="s3")
    assert answer.status == 403
    assert answer.headers["x-amzn-ErrorType"] in ("InvalidSignatureException", "IncompleteSignatureException")


def test_a_body_that_was_changed_on_the_way(wire):
    body = b'{"ClientRequestToken":"%s"}' % token().encode()
    from wire import signed_headers

    host, port = wire.service.address
    ready = wire.service.ready
    headers = signed_headers(
        "POST", f"http://{host}:{port}/meetings", body, {}, ready["access_key_id"], ready["secret_access_key"]
    )
    changed = body.replace(b"ClientRequestToken", b"ClientRequestTokem")
    headers["Content-Length"] = str(len(changed))
    assert_error(wire.plain("POST", "/meetings", changed, headers), 403, "InvalidSignatureException")


def test_a_payload_hash_that_is_not_the_bodys(wire):
    body = b'{"ClientRequestToken":"%s"}' % token().encode()
    answer = wire.send("POST", "/meetings", body, {"X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()})
    assert answer.status in (400, 403), answer
    assert answer.headers["x-amzn-ErrorType"]


def test_a_query_that_was_changed_on_the_way(wire, meeting):
    host, port = wire.service.address
    from wire import signed_headers

    ready = wire.service.ready
    headers = signed_headers(
        "GET", f"http://{host}:{port}/meetings/{meeting}/attendees?max-results=5", b"", {},
        ready["access_key_id"], ready["secret_access_key"],
    )
    answer = wire.plain("GET", f"/meetings/{meeting}/attendees?max-results=6", b"", headers)
    assert_error(answer, 403, "InvalidSignatureException")


def test_secrets_and_tokens_are_not_logged(wire, meeting):
    attendee = wire.send("POST", f"/meetings/{meeting}/attendees", {"ExternalUserId": "ann"}).json["Attendee"]
    wire.send("GET", f"/meetings/{meeting}", secret="wrong-secret")
    output = wire.service.output()
    assert attendee["JoinToken"] not in output
    assert "wrong-secret" not in output


# -- HTTP itself


def speak(wire, data):
    """Sends bytes that are no request; answers what came back before the connection ended."""
    with socket.create_connection(wire.service.address, timeout=10) as connection:
        received = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(4096):
                received += chunk
        except OSError:
            pass  # the other side had enough before we were done
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /meetings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: banana\r\n\r\n",
        b"POST /meetings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["tls", "bare", "version", "length", "lengths", "headers", "long"],
)
def test_bytes_that_are_no_request(wire, data):
    answer = speak(wire, data)
    assert b" 2" not in answer[:14], answer[:200]


def test_slow_requests_hold_nobody_up(wire, meeting):
    """Two hundred connections that send a byte now and then; a right request is answered meanwhile."""
    address = wire.service.address
    slow = [socket.create_connection(address, timeout=10) for _ in range(200)]
    done = threading.Event()

    def drip():
        for byte in b"POST /meetings HTTP/1.1\r\n":
            for connection in slow:
                try:
                    connection.send(bytes([byte]))
                except OSError:
                    pass
            if done.wait(0.05):
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        for _ in range(10):
            begun = time.monotonic()
            assert wire.send("GET", f"/meetings/{meeting}").status == 200
            assert time.monotonic() - begun < 1.0
    finally:
        done.set()
        dripping.join()
        for connection in slow:
            connection.close()
