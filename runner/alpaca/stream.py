"""One stream connection on the event loop: drained when it has something, guarded against what a drain raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner._engine import AlpacaWebSocketClient


class StreamRefusedError(ConnectionError):
    """The venue refused the keys, or the plan has not this feed."""


class StreamTimeoutError(ConnectionError):
    """The stream was not ready in time."""


class LoopStream:
    """Reads `ws` whenever it has something. An exception from a handler is counted and logged; reading goes on."""

    def __init__(
        self,
        ws: AlpacaWebSocketClient,
        loop: asyncio.AbstractEventLoop,
        *,
        name: str,
        sink: Callable[[Any], object] | None,
        on_message: Callable[[str, bytes], object],
        on_state: Callable[[str, str], object],
        on_error: Callable[[str, Exception], object],
        limit: int = 512,
    ) -> None:
        self.ws = ws
        self.errors = 0
        self.epoch = 0
        self._loop = loop
        self._name = name
        self._sink = sink
        self._on_message = on_message
        self._on_state = on_state
        self._on_error = on_error
        self._limit = limit
        self._fd: int | None = None
        self._settled = asyncio.Event()
        self._last_state: tuple[str, str] = ("connecting", "")
        #: Why it is not ready, in the venue's words where it gave any; empty once it is.
        self.trouble = ""

    def start(self) -> None:
        """Connect, and read from now on."""
        self._fd = self.ws.fd
        self._loop.add_reader(self._fd, self.drain)
        self.ws.start()

    def stop(self) -> None:
        """Disconnect. What has arrived and was not read is dropped."""
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None
            self.ws.stop()

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until it is ready for the first time. Raises StreamRefusedError or StreamTimeoutError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            state, detail = self._last_state
            raise StreamTimeoutError(
                f"the {self._name} was not ready within {timeout_s:g} s; it is {state}{f': {detail}' if detail else ''}"
            ) from None
        state, detail = self._last_state
        if state == "refused":
            raise StreamRefusedError(f"the venue refused the {self._name}: {detail}")

    def drain(self) -> int:
        """Deliver what is here, up to the limit. Returns how many."""
        try:
            return self.ws.drain(self._sink, self._on_message, self._state, self._limit)
        except Exception as error:
            # Whatever a handler raises, a strategy's included, must not end the reading.
            self.errors += 1
            self._on_error(f"A handler of the {self._name} raised", error)
            return 1

    def drain_all(self) -> None:
        """Deliver everything that is here."""
        while self.drain() > 0:
            continue

    def _state(self, state: str, detail: str) -> None:
        if state != "gapped":
            self._last_state = (state, detail)
        if state == "ready":
            self.epoch += 1
            self.trouble = ""
        elif state in ("disconnected", "refused") and detail:
            self.trouble = detail
        if state in ("ready", "refused"):
            self._settled.set()
        self._on_state(state, detail)
