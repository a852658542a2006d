"""Starts and ends the binary under test. CAMPANILE_BIN says where it is."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

BINARY = pathlib.Path(
    os.environ.get("CAMPANILE_BIN")
    or pathlib.Path(__file__).parents[3] / "target" / "debug" / "campanile"
)

# Generous: the aim is 300 ms, but the machine that tests may be busy with other things.
READY_WITHIN = 20.0
# What the product promises after SIGTERM.
EXIT_WITHIN = 5.0


def free_port(kind=socket.SOCK_STREAM):
    """A port that was free a moment ago, for tests that must find the service on the same port again."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """One `campanile dev` on loopback."""

    def __init__(self, data_dir, http_port=0, media_port=0, arguments=()):
        self.data_dir = pathlib.Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.http_port = http_port
        self.media_port = media_port
        self.arguments = list(arguments)
        self.process = None
        self.ready = None
        self.starts = 0

    def start(self):
        self.starts += 1
        # Named after this object too: two services may be given one data directory, to see the second refuse it.
        name = f"{self.data_dir.name}-{id(self):x}-{self.starts}"
        ready_file = self.data_dir.with_name(f"{name}-ready.json")
        self.log = self.data_dir.with_name(f"{name}-log.txt")
        command = [
            str(BINARY), "dev",
            "--http", f"127.0.0.1:{self.http_port}",
            "--media", f"127.0.0.1:{self.media_port}",
            "--data-dir", str(self.data_dir),
            "--ready-file", str(ready_file),
            *self.arguments,
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        begun = time.monotonic()
        while not ready_file.exists():
            if self.process.poll() is not None:
                raise AssertionError(f"{command} ended with {self.process.returncode} before it was ready:\n{self.tail()}")
            if time.monotonic() - begun > READY_WITHIN:
                self.kill()
                raise AssertionError(f"{command} was not ready after {READY_WITHIN} s:\n{self.tail()}")
            time.sleep(0.01)
        # Written atomically: what can be seen can be read.
        self.ready = json.loads(ready_file.read_text())
        return self

    @property
    def endpoint(self):
        return self.ready["endpoint"]

    @property
    def address(self):
        host, port = self.endpoint.removeprefix("http://").rstrip("/").rsplit(":", 1)
        return host, int(port)

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return self.output()[-4000:]

    def terminate(self):
        """SIGTERM; answers (exit code, seconds it took)."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(EXIT_WITHIN + 5)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {EXIT_WITHIN + 5} s after SIGTERM:\n{self.tail()}") from None
        return code, time.monotonic() - begun

    def stop(self):
        """The ordinary end, with what was promised about it."""
        if self.process.poll() is not None:
            raise AssertionError(f"ended by itself with {self.process.returncode}:\n{self.tail()}")
        code, seconds = self.terminate()
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.tail()}"
        assert seconds < EXIT_WITHIN, f"took {seconds:.1f} s to end"

    def kill(self):
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()
