"""`campanile dev` as a stranger meets it: what it prints and writes, whom it refuses, what it tells operators."""

import os
import pathlib
import re
import socket
import stat
import subprocess
import sys
import time

import pytest

from conftest import Api
from service import BINARY, Service
from wire import Wire, token

READY_MEMBERS = {"endpoint", "region", "access_key_id", "secret_access_key", "console_url", "pid"}


def test_the_ready_file(service):
    assert READY_MEMBERS <= set(service.ready)
    assert service.ready["pid"] == service.process.pid
    assert re.match(r"^http://(127\.0\.0\.1|localhost):\d+$", service.ready["endpoint"])
    assert service.ready["region"] == "us-east-1"
    assert service.ready["access_key_id"] == "campanile-dev"
    assert service.ready["secret_access_key"] == "campanile-dev-secret"
    assert service.ready["console_url"].startswith(service.ready["endpoint"].rsplit(":", 1)[0])


def test_everything_accepts_once_the_ready_file_is_there(own_service):
    for _ in range(3):
        service = own_service().start()
        assert Wire(service).send("POST", "/meetings", {"ClientRequestToken": token()}).status == 201
        service.stop()


def test_it_listens_on_loopback_only(service):
    """Read from the kernel's tables, by the inodes of the process's own sockets."""
    inodes = set()
    for link in pathlib.Path(f"/proc/{service.process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if found := re.match(r"socket:\[(\d+)\]", target):
            inodes.add(found.group(1))
    bound = []
    for table in ("tcp", "udp"):
        for line in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] in ("0A", "07"):
                bound.append((table, fields[1].split(":")[0]))
    assert {table for table, _ in bound} == {"tcp", "udp"}
    assert {address for _, address in bound} == {"0100007F"}, bound
    for table in ("tcp6", "udp6"):
        lines = pathlib.Path("/proc/net", table).read_text().splitlines()[1:] if pathlib.Path("/proc/net", table).exists() else []
        for line in lines:
            fields = line.split()
            if fields[9] in inodes and fields[3] in ("0A", "07"):
                assert fields[1].split(":")[0] == "00000000000000000000000001000000"


def test_own_keys_and_region(own_service):
    service = own_service(
        arguments=["--access-key-id", "AKIDOWN", "--secret-access-key", "own-secret-0123456789", "--region", "eu-central-1"]
    ).start()
    assert service.ready["access_key_id"] == "AKIDOWN"
    assert service.ready["region"] == "eu-central-1"
    Api(service).new_meeting()
    assert Wire(service).send("GET", "/meetings", key="campanile-dev", secret="campanile-dev-secret").status == 403
    service.stop()


def test_beyond_loopback_the_keys_are_random(own_service, tmp_path):
    import json

    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [BINARY, "dev", "--bind", "0.0.0.0", "--advertise", "127.0.0.1", "--http", "0.0.0.0:0", "--media", "0.0.0.0:0",
         "--data-dir", tmp_path / "data", "--ready-file", ready],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        begun = time.monotonic()
        while not ready.exists() and process.poll() is None and time.monotonic() - begun < 20:
            time.sleep(0.01)
        assert ready.exists(), process.stdout.read().decode() if process.poll() is not None else "not ready"
        told = json.loads(ready.read_text())
        assert told["access_key_id"] != "campanile-dev"
        assert told["secret_access_key"] != "campanile-dev-secret"
        assert len(told["secret_access_key"]) >= 20
    finally:
        process.terminate()
        process.wait(10)


def test_it_says_that_a_temporary_data_directory_is_temporary(tmp_path):
    ready = tmp_path / "ready.json"
    log = tmp_path / "log.txt"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [BINARY, "dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--ready-file", ready],
            stdout=output, stderr=output, cwd=tmp_path,
        )
    begun = time.monotonic()
    while not ready.exists() and process.poll() is None and time.monotonic() - begun < 20:
        time.sleep(0.01)
    process.terminate()
    assert process.wait(10) == 0
    assert "temporary" in log.read_text().lower()
    assert {path.name for path in tmp_path.iterdir()} <= {"ready.json", "log.txt"}, "nothing is left where it was started"


def test_the_master_key_is_private(service):
    mode = stat.S_IMODE((service.data_dir / "master.key").stat().st_mode)
    assert mode == 0o600, oct(mode)


def test_the_printed_exports(service):
    output = service.output()
    for name, value in {
        "AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS": service.endpoint,
        "AWS_ENDPOINT_URL_CHIME": service.endpoint,
        "AWS_ACCESS_KEY_ID": "campanile-dev",
        "AWS_SECRET_ACCESS_KEY": "campanile-dev-secret",
    }.items():
        assert re.search(rf"export {name}=['\"]?{re.escape(value)}['\"]?\s", output), name
    assert re.search(r"export AWS_(DEFAULT_)?REGION=['\"]?us-east-1['\"]?\s", output)
    assert "/ui/meet" in output


@pytest.mark.new
def test_the_printed_command_works_when_pasted(service, tmp_path):
    """The exports and the `aws` line, in a shell that knows nothing else."""
    import json

    lines = [line.strip() for line in service.output().replace("\\\n", " ").splitlines()]
    exports = [line for line in lines if line.startswith("export ")]
    (command,) = [line for line in lines if line.startswith("aws chime-sdk-meetings create-meeting")]
    assert "--endpoint-url" in command
    answer = subprocess.run(
        ["bash", "-c", "\n".join([*exports, command])], capture_output=True, text=True, timeout=60,
        env={"PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "AWS_PAGER": ""},
    )
    assert answer.returncode == 0, answer.stderr
    meeting = json.loads(answer.stdout)["Meeting"]
    assert Api(service).get_meeting(MeetingId=meeting["MeetingId"])["Meeting"]["MeetingId"] == meeting["MeetingId"]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", None])
def test_the_endpoint_from_the_environment(service, monkeypatch, variable):
    import boto3

    old = Api(service).generation == "old"
    name = variable or ("AWS_ENDPOINT_URL_CHIME" if old else "AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS")
    monkeypatch.setenv(name, service.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "campanile-dev")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "campanile-dev-secret")
    client = boto3.client("chime" if old else "chime-sdk-meetings", region_name="us-east-1")
    members = {} if old else {"MediaRegion": "us-east-1", "ExternalMeetingId": "env"}
    assert client.create_meeting(**members)["Meeting"]["MeetingId"]


# -- foreign hosts and origins


@pytest.mark.parametrize("path", ["/", "/ui/", "/ui/meet", "/healthz", "/metrics", "/meetings"])
def test_a_foreign_host_is_refused(service, path):
    _, port = service.address
    answer = Wire(service).plain("GET", path, b"", {"Host": f"rebound.example:{port}"})
    assert 400 <= answer.status < 500, answer
    assert b"<html" not in answer.body.lower()


def test_a_foreign_host_is_refused_though_it_is_signed(service):
    host, port = service.address
    from wire import signed_headers

    ready = service.ready
    headers = signed_headers(
        "POST", f"http://rebound.example:{port}/meetings", b"{}", {}, ready["access_key_id"], ready["secret_access_key"]
    )
    headers |= {"Host": f"rebound.example:{port}", "Content-Length": "2"}
    answer = Wire(service).plain("POST", "/meetings", b"{}", headers)
    assert 400 <= answer.status < 500 and answer.status != 429, answer


def test_a_foreign_origin_is_refused(service):
    for path in ("/ui/meet", "/meetings"):
        answer = Wire(service).send("POST", path, b"{}", {"Origin": "http://evil.example"})
        assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_own_names_are_welcome(service, host):
    _, port = service.address
    assert Wire(service).plain("GET", "/healthz", b"", {"Host": f"{host}:{port}"}).status == 200


def test_a_foreign_origin_opens_no_signaling(service):
    meeting = Api(service).new_meeting()
    attendee = Api(service).new_attendee(meeting, "ann")
    host, port = service.address
    path = "/" + meeting["MediaPlacement"]["SignalingUrl"].split("://", 1)[1].split("/", 1)[1]
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Origin: http://evil.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n"
            f"Sec-WebSocket-Protocol: _aws_wt_session, {attendee['JoinToken']}\r\n\r\n".encode()
        )
        assert b" 101 " not in connection.recv(4096)[:20]


# -- the placement's services


def test_services_to_come_say_so(service):
    placement = Api(service).new_meeting()["MediaPlacement"]
    wire = Wire(service)
    begun = time.monotonic()
    path = "/" + placement["TurnControlUrl"].split("://", 1)[1].split("/", 1)[1]
    answer = wire.send("POST", path, {"meetingId": "x"}, sign=False)
    assert 400 <= answer.status < 600 and answer.body, answer
    for name in ("ScreenDataUrl", "ScreenViewingUrl", "AudioFallbackUrl"):
        connection, first = wire.upgrade(placement[name])
        assert b" 101 " not in first[:20], (name, first)
        connection.close()
    assert time.monotonic() - begun < 5


# -- what operators see


def test_health_and_readiness(service):
    wire = Wire(service)
    assert wire.send("GET", "/healthz", sign=False).status == 200
    assert wire.send("GET", "/readyz", sign=False).status == 200


def test_metrics_count_api_calls_by_operation_and_status(service):
    def calls():
        text = Wire(service).send("GET", "/metrics", sign=False).body.decode()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if "CreateMeeting" in line and '"201"' in line and not line.startswith("#") and "bucket" not in line
        )

    before = calls()
    Api(service).new_meeting()
    assert calls() >= before + 1


def test_the_test_call_page(service):
    answer = Wire(service).send("GET", "/ui/meet", sign=False)
    assert answer.status == 200
    assert "text/html" in answer.headers["Content-Type"]
    assert b"<script" in answer.body


# -- the command itself


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=20)


def test_the_command_explains_itself():
    assert "dev" in run("--help").stdout
    assert "--ready-file" in run("dev", "--help").stdout
    assert run("--version").stdout.startswith("campanile ")


@pytest.mark.parametrize("arguments", [["dev", "--http", "nonsense"], ["dev", "--no-such-flag"], ["sing"]])
def test_wrong_arguments_are_explained(arguments):
    answer = run(*arguments)
    assert answer.returncode != 0
    assert answer.stderr.strip()


def test_a_port_that_is_taken_is_explained(service, tmp_path):
    host, port = service.address
    answer = run("dev", "--http", f"{host}:{port}", "--media", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    assert answer.returncode != 0
    assert str(port) in answer.stderr + answer.stdout


@pytest.mark.parametrize(
    ("key", "secret"),
    [("campanile-dev", "campanile-dev-secret"), ("AKIDOWN", "campanile-dev-secret"), ("campanile-dev", "own-secret-0123456789")],
    ids=["both", "secret", "key"],
)
def test_serve_refuses_the_known_keys(tmp_path, key, secret):
    config = tmp_path / "campanile.toml"
    config.write_text(
        '[http]\nlisten = "127.0.0.1:0"\n[media]\nlisten = "127.0.0.1:0"\n'
        f'[auth]\naccess_key_id = "{key}"\nsecret_access_key = "{secret}"\n'
    )
    process = subprocess.Popen(
        [BINARY, "serve", "--config", config, "--data-dir", tmp_path / "data"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        output, _ = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("it serves with public keys")
    assert process.returncode != 0
    assert "public" in output and "auth." in output, output


def test_unknown_settings_are_errors(tmp_path):
    config = tmp_path / "campanile.toml"
    config.write_text("[http]\nlissten = \"127.0.0.1:0\"\n")
    answer = run("serve", "--config", str(config), "--data-dir", str(tmp_path / "data"))
    assert answer.returncode != 0
    assert "lissten" in answer.stderr + answer.stdout
