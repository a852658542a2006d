"""Stand-ins for what events are delivered to: AWS's services by moto_server, HTTP receivers by a few lines."""

import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import threading
import urllib.request

import boto3
from botocore.config import Config

from service import free_port, until

MOTO = pathlib.Path(__file__).parents[1] / ".venv-moto" / "bin" / "moto_server"
ACCOUNT = "123456789012"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


class Moto:
    """moto_server on a port of its own. What it holds is gone when it ends."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(MOTO), "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | CREDENTIALS,
        )

        def answers():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{self.url}/moto-api/", timeout=1)

        until("moto answers", answers, within=30)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="testing",
            aws_secret_access_key="testing", config=Config(retries={"max_attempts": 0}),
        )

    def settings(self):
        """What makes the service deliver here."""
        services = ["SQS", "SNS", "LAMBDA", "EVENTBRIDGE"]
        return {f"NOTIFY__{name}_ENDPOINT": self.url for name in services} | {"LOG__LEVEL": "info"}

    def queue(self, name, **attributes):
        """Makes a queue; answers what reads it."""
        return Queue(self, name, attributes)


class Queue:
    def __init__(self, moto, name, attributes):
        self.sqs = moto.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"

    def take(self):
        """What is there now, and no longer afterwards: the SQS records that a Lambda function would be given."""
        records = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=0, AttributeNames=["All"]
            )
            messages = answer.get("Messages", [])
            if not messages:
                return records
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                attributes = message.get("Attributes", {})
                records.append({"body": message["Body"], "attributes": attributes, "md5OfBody": message["MD5OfBody"]})

    def until(self, count, within=20):
        records = []

        def enough():
            records.extend(self.take())
            return len(records) >= count

        until(f"{count} messages; there are {[kind(one) for one in records]}", enough, within)
        return records


def kind(record):
    """As consumers in public samples read a record: `JSON.parse(record.body).detail.eventType`."""
    return json.loads(record["body"])["detail"]["eventType"]


class Receiver:
    """An HTTP server that keeps what it is sent. `answers` may be set to another status, or to None: it hangs."""

    def __init__(self, status=200, port=0):
        self.requests = []
        self.status = status
        self.released = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if receiver.status is None:
                    receiver.released.wait(60)
                    self.close_connection = True
                    return
                receiver.requests.append((self.path, dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
