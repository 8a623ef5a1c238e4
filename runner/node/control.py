"""The control channel to the simulated exchange: how far the replay is, its end, and lock-step.

In lock-step (`--speed max`) the exchange goes one slice of its day further only when the node has said that it is
idle: everything sent has been delivered, nothing is in flight, and no queue holds work. So one file gives the same
fills twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

log = logging.getLogger("runner.exchange")
# How many turns of the loop in a row must find nothing to do.
_QUIET_TURNS = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the replay is. `venue_ns` UNIX nanoseconds, `sent` of `total` messages."""

    venue_ns: int
    sent: int
    total: int


@dataclass(frozen=True, slots=True)
class Hello:
    """What will be replayed. Times are UNIX nanoseconds."""

    start_ns: int
    end_ns: int
    total: int
    synthetic: bool


class Gauge(Protocol):
    """What lock-step reads on the node: monotonic counts since the connections were made."""

    def data_delivered(self) -> int: ...
    def trading_delivered(self) -> int: ...
    def requests_answered(self) -> int: ...
    def busy(self) -> bool:
        """Whether a request is in flight or a queue holds work."""
        ...


class Control:
    """A client of `/control`. `on_end` is called once, when the replay has ended or the channel broke."""

    def __init__(
        self,
        url: str,
        *,
        lockstep: bool,
        on_progress: Callable[[Progress], None] = lambda _: None,
        on_end: Callable[[str | None], None],
        patience_s: float = 30.0,
    ) -> None:
        self._url = f"{url}/control"
        self._lockstep = lockstep
        self._on_progress = on_progress
        self._on_end = on_end
        self._patience_s = patience_s
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._gauge: Gauge | None = None
        self.hello: Hello | None = None
        self.steps = 0

    async def open(self) -> Hello:
        """Connect and ask for lock-step if wanted. Raises OSError or TimeoutError."""
        self._socket = await connect(self._url, max_size=None, compression=None, proxy=None)
        said = json.loads(await self._socket.recv())
        self.hello = Hello(int(said["start_ns"]), int(said["end_ns"]), int(said["total"]), bool(said.get("synthetic")))
        if self._lockstep:
            await self._send({"type": "lockstep"})
        return self.hello

    async def start(self, gauge: Gauge) -> None:
        """Let the replay begin: the strategies are running and their subscriptions are made."""
        self._gauge = gauge
        self._task = asyncio.create_task(self._listen(), name="control")
        await self._send({"type": "start"})

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._socket is not None:
            # Not waited for: the exchange may be gone, and is ended next anyway.
            self._socket.transport.abort()
            self._socket = None

    async def _listen(self) -> None:
        socket, gauge = self._socket, self._gauge
        assert socket is not None
        assert gauge is not None
        problem: str | None = "the exchange closed its control channel before the replay's end"
        try:
            async for text in socket:
                message: dict[str, Any] = json.loads(text)
                kind = message.get("type")
                if kind == "step":
                    await self._report(gauge, message)
                elif kind == "progress":
                    self._on_progress(Progress(int(message["venue_ns"]), int(message["sent"]), int(message["total"])))
                elif kind == "end":
                    error = message.get("error")
                    problem = None if error is None else f"the replay failed: {error}"
                    break
        except ConnectionClosed:
            pass
        except Exception as error:  # whatever went wrong, the node must learn that no more will come
            problem = f"the control channel failed: {error!r}"
        self._on_end(problem)

    async def _report(self, gauge: Gauge, step: dict[str, Any]) -> None:
        """Wait until the node has worked off all that the exchange sent, then say so."""
        data, trading = int(step["data"]), int(step["trading"])
        self.steps += 1
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        turns = quiet = 0
        counts = (-1, -1)
        while quiet < _QUIET_TURNS:
            seen = (gauge.trading_delivered(), gauge.requests_answered())
            idle = gauge.data_delivered() >= data and seen[0] >= trading and not gauge.busy()
            # What a delivery started (tasks, queued commands) shows only after the loop has turned: an update that
            # comes in between starts the count anew, and none is confirmed before its consequences were looked for.
            quiet = quiet + 1 if idle and seen == counts else 0
            counts = seen
            if idle:
                await asyncio.sleep(0)
                continue
            turns += 1
            # A reply on loopback takes some hundred microseconds; after that it is not worth a core.
            await asyncio.sleep(0 if turns < 400 else 0.001)
            if turns % 256 == 0 and loop.time() > deadline:
                log.warning(
                    "lock-step: step %s is not idle after %g s (data %d of %d, trade updates %d of %d)%s",
                    step["step"],
                    self._patience_s,
                    gauge.data_delivered(),
                    data,
                    gauge.trading_delivered(),
                    trading,
                    ", going on",
                )
                break
        await self._send(
            {
                "type": "idle",
                "step": step["step"],
                "trading": counts[0],
                "requests": counts[1],
            }
        )

    async def _send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(message))
