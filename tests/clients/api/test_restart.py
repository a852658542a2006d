"""What was acknowledged survives: kill -9, restart on the same data and ports; and the ordinary end is clean."""

import concurrent.futures
import http.client
import socket
import threading
import time

import pytest

from conftest import Api, status
from service import EXIT_WITHIN, free_port
from wire import Wire, token


@pytest.fixture
def settled(own_service):
    """A service on ports that it can have again."""
    return own_service(http_port=free_port(), media_port=free_port(socket.SOCK_DGRAM))


def test_all_is_there_after_a_kill(settled):
    api = Api(settled.start())
    shared = token()
    meeting = api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="kept")
    attendees = [api.new_attendee(meeting, name) for name in ("ann", "bob", "cleo")]
    gone = api.new_attendee(meeting, "gone")
    api.delete_attendee(MeetingId=meeting["MeetingId"], AttendeeId=gone["AttendeeId"])
    ended = api.new_meeting()
    api.delete_meeting(MeetingId=ended["MeetingId"])
    endpoint = settled.endpoint

    settled.kill()
    api = Api(settled.start())

    assert settled.endpoint == endpoint
    found = api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"]
    assert found == meeting, "the same MediaPlacement too"
    assert api.list_attendees(MeetingId=meeting["MeetingId"])["Attendees"] == attendees, "the same join tokens too"
    assert api.new_meeting(ClientRequestToken=shared, ExternalMeetingId="kept") == meeting
    assert api.new_attendee(meeting, "ann") == attendees[0]
    with api.raises("NotFoundException"):
        api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=gone["AttendeeId"])
    with api.raises("NotFoundException"):
        api.get_meeting(MeetingId=ended["MeetingId"])
    settled.stop()


def test_all_is_there_after_an_ordinary_end(settled):
    api = Api(settled.start())
    meeting = api.new_meeting()
    attendee = api.new_attendee(meeting, "ann")
    settled.stop()
    api = Api(settled.start())
    assert api.get_meeting(MeetingId=meeting["MeetingId"])["Meeting"] == meeting
    found = api.get_attendee(MeetingId=meeting["MeetingId"], AttendeeId=attendee["AttendeeId"])
    assert found["Attendee"] == attendee
    settled.stop()


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.8])
def test_a_kill_in_the_midst_of_writes_loses_no_acknowledged_one(settled, delay):
    """Eight writers create and delete as fast as they can until the service dies under them."""
    settled.start()
    acknowledged = {"meetings": [], "attendees": [], "deleted": []}
    killed = threading.Event()

    def write(number):
        wire = Wire(settled)
        while True:
            try:
                answer = wire.send("POST", "/meetings", {"ClientRequestToken": token()})
                meeting = answer.json["Meeting"]
                acknowledged["meetings"].append(meeting)
                path = f"/meetings/{meeting['MeetingId']}/attendees"
                answer = wire.send("POST", path, {"ExternalUserId": f"user-{number}"})
                attendee = answer.json["Attendee"]
                acknowledged["attendees"].append((meeting, attendee))
                spare = wire.send("POST", path, {"ExternalUserId": "spare"}).json["Attendee"]
                if wire.send("DELETE", f"{path}/{spare['AttendeeId']}").status == 204:
                    acknowledged["deleted"].append(f"{path}/{spare['AttendeeId']}")
            except (OSError, http.client.HTTPException, ValueError):
                # No connection, or an answer cut short. Before the kill there is no excuse for either.
                if killed.wait(0.5):
                    return
                raise

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, number) for number in range(8)]
        begun = time.monotonic()
        while not acknowledged["deleted"] and time.monotonic() - begun < 10:
            time.sleep(0.005)
        time.sleep(delay)
        killed.set()
        settled.kill()
        for writer in writers:
            writer.result()

    assert acknowledged["attendees"]
    settled.start()
    wire = Wire(settled)
    for meeting in acknowledged["meetings"]:
        assert wire.send("GET", f"/meetings/{meeting['MeetingId']}").json["Meeting"] == meeting
    for meeting, attendee in acknowledged["attendees"]:
        path = f"/meetings/{meeting['MeetingId']}/attendees/{attendee['AttendeeId']}"
        assert wire.send("GET", path).json["Attendee"] == attendee
    for path in acknowledged["deleted"]:
        assert wire.send("GET", path).status == 404
    settled.stop()


def test_sigterm_ends_with_zero_though_connections_are_open(settled):
    settled.start()
    api = Api(settled)
    meeting = api.new_meeting()
    attendee = api.new_attendee(meeting, "ann")
    wire = Wire(settled)
    url = meeting["MediaPlacement"]["SignalingUrl"]
    # A socket that waits with a token, one that waits without, an idle one, and one in the middle of a request.
    held = [wire.upgrade(url, attendee["JoinToken"]), wire.upgrade(url)]
    assert b" 101 " in held[0][1]
    idle = socket.create_connection(settled.address)
    half = socket.create_connection(settled.address)
    half.sendall(b"POST /meetings HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    code, seconds = settled.terminate()

    assert code == 0, settled.tail()
    assert seconds < EXIT_WITHIN
    for connection in (held[0][0], held[1][0], idle, half):
        connection.close()


def test_ctrl_c_ends_with_zero(settled):
    import signal

    settled.start()
    begun = time.monotonic()
    settled.process.send_signal(signal.SIGINT)
    assert settled.process.wait(EXIT_WITHIN) == 0
    assert time.monotonic() - begun < EXIT_WITHIN


def test_requests_in_flight_at_the_end_are_answered_or_not_accepted(settled):
    """No request is acknowledged and lost, none hangs, while the service ends in the ordinary way."""
    settled.start()
    made, stop = [], threading.Event()

    def write():
        wire = Wire(settled)
        while not stop.is_set():
            try:
                answer = wire.send("POST", "/meetings", {"ClientRequestToken": token()})
            except Exception:
                return
            if answer.status == 201:
                made.append(answer.json["Meeting"])

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    time.sleep(0.3)
    code, seconds = settled.terminate()
    stop.set()
    for writer in writers:
        writer.join(15)
        assert not writer.is_alive()
    assert code == 0 and seconds < EXIT_WITHIN

    settled.start()
    api = Api(settled)
    assert made
    for meeting in made:
        answer = api.get_meeting(MeetingId=meeting["MeetingId"])
        assert status(answer) == 200 and answer["Meeting"]["MediaPlacement"] == meeting["MediaPlacement"]
    settled.stop()


def test_a_second_service_on_the_same_data_refuses(settled, own_service):
    settled.start()
    second = own_service()
    second.data_dir = settled.data_dir
    with pytest.raises(AssertionError, match="before it was ready"):
        second.start()
    assert second.process.returncode != 0
    Api(settled).new_meeting()
    settled.stop()
