"""The endpoint that Prometheus scrapes, on a thread of its own, so that it answers while the loop is busy or stuck."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.exposition import choose_encoder

from runner.metrics.registry import Metrics

_log = logging.getLogger(__name__)
Answer = Callable[[], tuple[bool, str]]
_PLAIN = "text/plain; charset=utf-8"
_INDEX = """\
/metrics     what Prometheus scrapes
/-/healthy   200 while the node's loop turns
/-/ready     200 while it trades
"""


class ListenError(RuntimeError):
    """The address can't be listened on."""


class MetricsServer:
    """Serves `/metrics` (text or OpenMetrics, as the scraper asks), `/-/healthy` and `/-/ready`.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any that is free.
    metrics : Metrics
        What to serve.
    healthy, ready : callable
        Called on the server's thread: whether, and the reason in words. Not so is answered with 503.
    timeout_s : float
        After this long an idle connection is closed.

    """

    def __init__(
        self, host: str, port: int, metrics: Metrics, healthy: Answer, ready: Answer, *, timeout_s: float = 10.0
    ) -> None:
        self._address = (host, port)
        self._handler = _handler(metrics, healthy, ready, timeout_s)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 while it does not."""
        return 0 if self._server is None else int(self._server.server_address[1])

    @property
    def url(self) -> str:
        host = f"[{self._address[0]}]" if ":" in self._address[0] else self._address[0]
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen. Raises ListenError, with what to do about it."""
        host, port = self._address
        try:
            self._server = _Server(self._address, self._handler)
        except OSError as error:
            raise ListenError(
                f"metrics.listen: can't listen on {host}:{port} ({error.strerror or error}); "
                "choose another port, or stop what uses this one"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let the thread end. Does nothing where it was never started."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A connection on which nobody asks anything must not hold up the node's end.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a request from %s broke off", client_address, exc_info=True)


def _handler(metrics: Metrics, healthy: Answer, ready: Answer, timeout_s: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "runner"
        sys_version = ""
        timeout = timeout_s

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                try:
                    body = encode(metrics.registry)
                except Exception:
                    _log.exception("the metrics could not be written out")
                    self._answer(500, b"the metrics could not be written out; see the log\n")
                    return
                self._answer(200, body, content_type)
            elif path == "/-/healthy":
                self._say(healthy)
            elif path == "/-/ready":
                self._say(ready)
            elif path == "/":
                self._answer(200, _INDEX.encode())
            else:
                self._answer(404, b"not found; there are /metrics, /-/healthy and /-/ready\n")

        do_HEAD = do_GET

        def _say(self, answer: Answer) -> None:
            try:
                yes, why = answer()
            except Exception as error:
                _log.exception("a check failed")
                yes, why = False, f"the check itself failed: {type(error).__name__}"
            self._answer(200 if yes else 503, f"{why or ('ok' if yes else 'no')}\n".encode())

        def _answer(self, status: int, body: bytes, content_type: str = _PLAIN) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            # Scrapes are seconds apart; a connection kept open would be answered even after the server has stopped.
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            _log.debug(format, *args)

    return Handler
