"""Sends alerts to a webhook from a thread of its own: whoever raises an alert never waits, and never hears of failures.

Of each kind at most one message goes out in `min_interval_s`; what comes meanwhile is grouped into the next one, which
says how many it leaves out. Waiting alerts are bounded, and messages that fail are retried with growing pauses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from runner import http
from runner.config.secrets import redact

log = logging.getLogger("runner.alerts")
Format = Literal["json", "slack", "discord"]
_LINES = 10  # of one kind that wait to be shown; the rest are counted
_LONGEST = 300  # characters of one line, so that a message stays below Discord's 2000 with room for the head


@dataclass
class _Waiting:
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    count: int = 0
    due: float = 0.0


class AlertSink:
    """`url` is never logged. `close` sends what waits within its time, whatever the rate limit says."""

    def __init__(
        self,
        url: SecretStr,
        node: str,
        *,
        format: Format = "json",
        min_interval_s: float = 60.0,
        timeout_s: float = 5.0,
        pauses_s: tuple[float, ...] = (1.0, 5.0, 15.0),
    ) -> None:
        self._url, self._node, self._format = url, node, format
        self._min_interval_s, self._timeout_s, self._pauses_s = min_interval_s, timeout_s, pauses_s
        self._waiting: dict[str, _Waiting] = {}
        self._changed = threading.Condition()
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self.sent = self.failed = 0

    def start(self) -> None:
        self._thread.start()

    def send(self, kind: str, line: str) -> None:
        """Queue one alert. `kind` is one of a fixed few; returns at once."""
        text = redact(" ".join(line.split()))[:_LONGEST]
        with self._changed:
            waiting = self._waiting.setdefault(kind, _Waiting())
            waiting.lines.append(text)
            waiting.count += 1
            self._changed.notify()

    def stats(self) -> dict[str, int]:
        """Messages that were delivered, and that were given up."""
        return {"sent": self.sent, "failed": self.failed}

    def close(self, timeout_s: float) -> bool:
        """Send what waits, for `timeout_s` at most. False where some could not be sent."""
        with self._changed:
            self._until = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            return not self._thread.is_alive() and not any(each.count for each in self._waiting.values())

    def _run(self) -> None:
        # Its own logger would write the address, which is the secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        with http.client(self._timeout_s) as client:
            while (taken := self._take()) is not None:
                kind, lines, count = taken
                if self._deliver(client, self._body(kind, lines, count)):
                    self.sent += 1
                else:
                    self.failed += 1
                    log.error("an alert (%s) could not be delivered: %s", kind, lines[-1])

    def _take(self) -> tuple[str, list[str], int] | None:
        with self._changed:
            while True:
                now = time.monotonic()
                full = [(each.due, kind) for kind, each in self._waiting.items() if each.count]
                if self._until is not None and (not full or now >= self._until):
                    return None
                if full:
                    due, kind = min(full)
                    if due <= now or self._until is not None:
                        waiting = self._waiting[kind]
                        lines, count = list(waiting.lines), waiting.count
                        self._waiting[kind] = _Waiting(due=now + self._min_interval_s)
                        return kind, lines, count
                    self._changed.wait(due - now)
                else:
                    self._changed.wait()

    def _body(self, kind: str, lines: list[str], count: int) -> dict[str, Any]:
        held = count - len(lines)
        if self._format == "json":
            return {"node": self._node, "kind": kind, "alerts": lines, "held_back": held}
        text = "\n".join([f"{self._node}: {kind}", *lines, *([f"({held} earlier ones held back)"] if held else [])])
        if self._format == "slack":
            return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        # Nobody is pinged by what a venue or a strategy writes into an error.
        return {"content": text[:1900], "allowed_mentions": {"parse": []}}

    def _deliver(self, client: httpx.Client, body: dict[str, Any]) -> bool:
        for pause_s in (*self._pauses_s, None):
            try:
                # What it says besides is of no interest, and may never end.
                with client.stream("POST", self._url.get_secret_value(), json=body) as reply:
                    if reply.is_success:
                        return True
                    problem = f"HTTP {reply.status_code}"
                if reply.status_code not in (408, 429) and reply.status_code < 500:
                    pause_s = None  # it will not be taken next time either
            except Exception as error:  # the text may hold the address
                problem = type(error).__name__
            if pause_s is None:
                break
            with self._changed:
                now = time.monotonic()
                end = now + pause_s if self._until is None else min(now + pause_s, self._until)
                if self._until is not None and now >= self._until:
                    break
                self._changed.wait(max(end - now, 0.0))
        log.warning("the alerts' webhook does not take a message: %s", problem)
        return False
