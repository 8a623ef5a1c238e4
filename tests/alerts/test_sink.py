from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from runner.alerts.sink import AlertSink


class Receiver:
    def __init__(self) -> None:
        self.bodies: queue.Queue[dict[str, Any]] = queue.Queue()
        self.replies: list[int] = []
        self.length = 0
        """How many bytes a reply says that it has; none of them come."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(receiver.replies.pop(0) if receiver.replies else 200)
                self.send_header("Content-Length", str(receiver.length))
                self.end_headers()
                receiver.bodies.put(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = SecretStr(f"http://127.0.0.1:{self.server.server_port}/planted-secret-path")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    receiver.thread.join()


def test_what_comes_too_soon_is_grouped_and_told(receiver: Receiver) -> None:
    sink = AlertSink(receiver.url, "n", min_interval_s=3600)
    sink.start()
    sink.send("denials", "first")
    assert receiver.bodies.get(timeout=10)["alerts"] == ["first"]
    for i in range(25):
        sink.send("denials", str(i))
    sink.send("state", "halted")
    assert receiver.bodies.get(timeout=10)["kind"] == "state"
    assert receiver.bodies.empty()
    assert sink.close(10)
    last = receiver.bodies.get(timeout=10)
    assert (last["alerts"], last["held_back"]) == ([str(i) for i in range(15, 25)], 15)


@pytest.mark.parametrize(("replies", "sent", "failed"), [([500, 429], 1, 0), ([404], 0, 1), ([500] * 3, 0, 1)])
def test_only_what_may_pass_later_is_tried_again(
    receiver: Receiver, replies: list[int], sent: int, failed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.replies = list(replies)
    sink = AlertSink(receiver.url, "n", pauses_s=(0.0, 0.0))
    sink.start()
    sink.send("state", "halted")
    for _ in range(len(replies) + sent):
        receiver.bodies.get(timeout=10)
    sink.close(10)
    assert (sink.sent, sink.failed) == (sent, failed)
    assert "planted-secret-path" not in caplog.text


def test_a_message_that_was_taken_is_not_sent_again_for_a_reply_that_never_ends(receiver: Receiver) -> None:
    receiver.length = 1000
    sink = AlertSink(receiver.url, "n", pauses_s=(0.0, 0.0), timeout_s=0.1)
    sink.start()
    sink.send("state", "halted")
    receiver.bodies.get(timeout=10)
    assert sink.close(10)
    assert (sink.sent, sink.failed, receiver.bodies.qsize()) == (1, 0, 0)


@pytest.mark.parametrize("format_", ["slack", "discord"])
def test_chat_formats(receiver: Receiver, format_: Any) -> None:
    sink = AlertSink(receiver.url, "n", format=format_)
    sink.start()
    sink.send("fault", "<!everyone> @everyone")
    assert sink.close(10)
    body = receiver.bodies.get(timeout=10)
    if format_ == "slack":
        assert body == {"text": "n: fault\n&lt;!everyone&gt; @everyone"}
    else:
        assert body == {"content": "n: fault\n<!everyone> @everyone", "allowed_mentions": {"parse": []}}
