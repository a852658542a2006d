"""Starts and ends the binary under test. CAMPANILE_BIN says where it is."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time

BINARY = pathlib.Path(
    os.environ.get("CAMPANILE_BIN")
    or pathlib.Path(__file__).parents[3] / "target" / "debug" / "campanile"
)

# `campanile serve` has no keys of its own, and refuses those of `dev`.
KEYS_OF_SERVE = """
[auth]
access_key_id = "AKIDSERVE"
secret_access_key = "secret-of-serve-0123456789"
"""

# Generous: the aim is 300 ms, but the machine that tests may be busy with other things.
READY_WITHIN = 20.0
# What the product promises after SIGTERM.
EXIT_WITHIN = 5.0


def free_port(kind=socket.SOCK_STREAM):
    """A port that was free a moment ago, for tests that must find the service on the same port again."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, look, within=10.0):
    """Polls until `look()` answers something true, and answers that."""
    begun = time.monotonic()
    while not (found := look()):
        assert time.monotonic() - begun < within, f"not within {within} s: {what}"
        time.sleep(0.02)
    return found


class Service:
    """One `campanile dev` on loopback; with `config`, the text of a settings file, one `campanile serve`.

    `settings` go into its environment by the names they have there: {"LIMITS__IDLE": "2s"}.
    """

    def __init__(self, data_dir, http_port=0, media_port=0, arguments=(), settings=None, config=None):
        self.data_dir = pathlib.Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.http_port = http_port
        self.media_port = media_port
        self.arguments = list(arguments)
        self.settings = dict(settings or {})
        self.config = config
        self.process = None
        self.ready = None
        self.starts = 0

    def start(self):
        self.starts += 1
        # Named after this object too: two services may be given one data directory, to see the second refuse it.
        name = f"{self.data_dir.name}-{id(self):x}-{self.starts}"
        ready_file = self.data_dir.with_name(f"{name}-ready.json")
        self.log = self.data_dir.with_name(f"{name}-log.txt")
        mode = ["dev"]
        if self.config is not None:
            config_file = self.data_dir.with_name(f"{name}.toml")
            config_file.write_text(f"{KEYS_OF_SERVE}\n{self.config}")
            mode = ["serve", "--config", str(config_file)]
        command = [
            str(BINARY), *mode,
            "--http", f"127.0.0.1:{self.http_port}",
            "--media", f"127.0.0.1:{self.media_port}",
            "--data-dir", str(self.data_dir),
            "--ready-file", str(ready_file),
            *self.arguments,
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ | {f"CAMPANILE_{key}": value for key, value in self.settings.items()},
            )
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
        if self.config is not None:
            self.ready |= {"access_key_id": "AKIDSERVE", "secret_access_key": "secret-of-serve-0123456789", "region": "us-east-1"}
        return self

    @property
    def endpoint(self):
        return self.ready["endpoint"]

    @property
    def address(self):
        host, port = self.endpoint.removeprefix("http://").rstrip("/").rsplit(":", 1)
        return host, int(port)

    def rows(self, query, *values):
        """What its database holds, read beside it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir / 'campanile.db'}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def events(self, meeting_id, kind=None):
        """The details of the events that were decided for a meeting, in order: what a sink would be sent."""
        details = [json.loads(detail) for (detail,) in self.rows("SELECT detail FROM outbox ORDER BY sequence")]
        return [
            detail for detail in details
            if detail["meetingId"] == meeting_id and kind in (None, detail["eventType"].removeprefix("chime:"))
        ]

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
