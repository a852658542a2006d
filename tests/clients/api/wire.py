"""Raw HTTP with signatures made step by step by botocore, so that every part of a request can be made wrong."""

import datetime
import http.client
import json
import re
import socket
import uuid

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
TIMEOUT = 10


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:300]!r}"


def signed_headers(method, url, body, headers, key, secret, region="us-east-1", service="chime", when=None):
    """The headers of a signed request; `when` moves the clock of the signer."""
    when = when or datetime.datetime.now(datetime.timezone.utc)
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    signer = SigV4Auth(Credentials(key, secret), service, region)
    request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return dict(request.headers.items())


class Wire:
    """Speaks to one service as a client that may be wrong in any way."""

    def __init__(self, service):
        self.service = service

    def send(self, method, path, body=b"", headers=(), sign=True, key=None, secret=None, change=None, **signing):
        """One request on a connection of its own. `change(headers)` spoils them after they were signed."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        host, port = self.service.address
        headers = {"Content-Type": "application/json", **dict(headers)} if body else dict(headers)
        if sign:
            headers = signed_headers(
                method, f"http://{host}:{port}{path}", body, headers,
                key or self.service.ready["access_key_id"], secret or self.service.ready["secret_access_key"], **signing,
            )
        headers.setdefault("Content-Length", str(len(body)))
        if change:
            change(headers)
        return self.plain(method, path, body, headers)

    def plain(self, method, path, body, headers):
        """Sends exactly these headers (and a Host, unless one is given)."""
        host, port = self.service.address
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            connection.connect()
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            try:
                connection.endheaders(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent: the answer is there to be read
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def upgrade(self, url, token=None):
        """Opens a WebSocket by hand; answers (socket, first bytes of the answer)."""
        host, port = self.service.address
        path = "/" + url.split("://", 1)[1].split("/", 1)[1]
        protocols = "_aws_wt_session" + (f", {token}" if token else "")
        connection = socket.create_connection((host, port), timeout=TIMEOUT)
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n"
            f"Sec-WebSocket-Protocol: {protocols}\r\n\r\n".encode()
        )
        return connection, connection.recv(4096)


def assert_error(answer, status, kind, code=None):
    """An error in the one form that every SDK reads (header with the class, JSON body with the short code)."""
    assert answer.status == status, answer
    assert answer.headers["x-amzn-ErrorType"] == kind, answer
    assert answer.headers["Content-Type"].split(";")[0] == "application/json", answer
    assert UUID.match(answer.headers["x-amzn-RequestId"]), answer
    assert answer.headers["Date"], answer
    body = answer.json
    assert isinstance(body["Message"], str) and body["Message"], answer
    assert body["Code"] == (code or kind.removesuffix("Exception")), answer
    assert body.get("RequestId", answer.headers["x-amzn-RequestId"]) == answer.headers["x-amzn-RequestId"], answer
    assert "__type" not in body, answer


def token():
    return str(uuid.uuid4())
