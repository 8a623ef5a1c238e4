"""`/control`: how the process that started the exchange follows the replay, and moves it on step by step.

The exchange sends `hello`, `progress`, `step` (in lock-step only) and `end`; the client sends `lockstep`, `start` and
`idle`. Counts: `data` are market-data messages sent, `trading` trade updates sent, `requests` REST requests answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.exchange.replay import Replay
from runner.exchange.traffic import Traffic

log = logging.getLogger(__name__)


class TradingCount(Protocol):
    """What the broker has sent."""

    @property
    def trading_messages_sent(self) -> int:
        """Trade updates sent on all sockets since the start."""


class Control:
    """All control clients; at most one of them is in lock-step."""

    def __init__(self, replay: Replay, broker: TradingCount, traffic: Traffic, *, synthetic: bool) -> None:
        self._replay = replay
        self._broker = broker
        self._traffic = traffic
        self._synthetic = synthetic
        self._clients: set[WebSocket] = set()
        self._stepping: WebSocket | None = None
        self._idle: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._step = 0
        # What others than the client have caused and been sent; found out when its counts stay behind.
        self._foreign = {"trading": 0, "requests": 0}
        replay.stepper = self

    @property
    def engaged(self) -> bool:
        """Whether a client is in lock-step."""
        return self._stepping is not None

    @property
    def messages_sent(self) -> int:
        """Market data and trade updates sent so far."""
        return self._replay.hub.messages_sent + self._broker.trading_messages_sent

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint: one client from upgrade to close."""
        await websocket.accept()
        self._clients.add(websocket)
        try:
            await self._send(websocket, self._hello())
            if self._replay.ended.is_set():
                await self._send(websocket, self._end())
            while True:
                said = json.loads(await websocket.receive_text())
                self._handle(websocket, said if isinstance(said, dict) else {})
        except (WebSocketDisconnect, RuntimeError, KeyError):
            pass
        except ValueError:
            await websocket.close(1003, "not a JSON object")
        finally:
            self._clients.discard(websocket)
            if self._stepping is websocket:
                log.warning("the client in lock-step is gone: the replay goes on without it")
                self._stepping = None
                self._idle.put_nowait(None)

    async def run(self) -> None:
        """Send progress until the replay has ended, then the end. Cancel it to stop earlier."""
        interval_s = self._replay.settings.progress_interval_s
        shown = -1
        while not self._replay.ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._replay.ended.wait(), interval_s)
            if self._replay.sent != shown:
                shown = self._replay.sent
                await self._broadcast(self._progress())
        await self._broadcast(self._end())

    async def step(self) -> None:
        """Offer the step to the client until it is idle with the same counts that the exchange has."""
        client = self._stepping
        if client is None:
            return
        self._step += 1
        while not self._idle.empty():
            self._idle.get_nowait()
        last: tuple[int, ...] | None = None
        unchanged = 0
        while self._stepping is client:
            trading = self._broker.trading_messages_sent
            await self._send(
                client,
                {
                    "type": "step",
                    "step": self._step,
                    "venue_ns": self._replay.market.now_ns,
                    "data": self._replay.hub.messages_sent,
                    "trading": trading,
                },
            )
            idle = await self._idle_for(self._step)
            if idle is None:
                return
            behind, counts = self._behind(idle)
            if behind is None:
                continue
            if not any(behind.values()):
                return
            unchanged = unchanged + 1 if counts == last else 0
            last = counts
            if unchanged >= self._replay.settings.step_retries:
                # Another client talks to the exchange too: its share is not this client's to confirm.
                log.warning("lock-step: counts differ by %s and stay so; taken to be another client's", behind)
                for name, difference in behind.items():
                    self._foreign[name] += difference
                return
            if unchanged:
                await asyncio.sleep(self._replay.settings.step_retry_s)

    def _behind(self, idle: dict[str, Any]) -> tuple[dict[str, int] | None, tuple[int, ...]]:
        """By how much the client's counts are behind; None while requests are still being answered."""
        if self._traffic.in_flight:
            return None, ()
        now = {"trading": self._broker.trading_messages_sent, "requests": self._traffic.done}
        said = {name: _count(idle, name) for name in now}
        behind = {name: now[name] - said[name] - self._foreign[name] for name in now}
        return behind, (*now.values(), *said.values())

    async def _idle_for(self, step: int) -> dict[str, Any] | None:
        """The client's next `idle` for this step, once no request is being answered; None when it has gone."""
        while True:
            idle = await self._idle.get()
            if idle is None:
                return None
            if _count(idle, "step") == step:
                await self._traffic.quiet()
                return idle

    def _handle(self, websocket: WebSocket, said: dict[str, Any]) -> None:
        kind = said.get("type")
        if kind == "start":
            self._replay.start()
        elif kind == "lockstep":
            self._stepping = websocket
            self._idle = asyncio.Queue()
        elif kind == "idle" and websocket is self._stepping:
            self._idle.put_nowait(said)
        else:
            log.warning("control: %r is not understood", kind)

    def _hello(self) -> dict[str, Any]:
        replay, settings = self._replay, self._replay.settings
        return {
            "type": "hello",
            "lockstep_possible": True,
            "speed": "max" if math.isinf(settings.speed) else settings.speed,
            "start_ns": replay.start_ns,
            "end_ns": replay.player.info.end_ns,
            "total": replay.total,
            "synthetic": self._synthetic,
            "symbols": list(replay.player.info.symbols),
            "venue_ns": replay.market.now_ns,
        }

    def _progress(self) -> dict[str, Any]:
        replay = self._replay
        return {"type": "progress", "venue_ns": replay.market.now_ns, "sent": replay.sent, "total": replay.total}

    def _end(self) -> dict[str, Any]:
        replay = self._replay
        end: dict[str, Any] = {
            "type": "end",
            "venue_ns": replay.market.now_ns,
            "data": replay.hub.messages_sent,
            "trading": self._broker.trading_messages_sent,
        }
        return end if replay.error is None else {**end, "error": str(replay.error)}

    async def _broadcast(self, message: dict[str, Any]) -> None:
        for client in list(self._clients):
            await self._send(client, message)

    async def _send(self, client: WebSocket, message: dict[str, Any]) -> None:
        if client.application_state is not WebSocketState.CONNECTED:
            return
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await client.send_text(json.dumps(message, separators=(",", ":")))


def _count(message: dict[str, Any], name: str) -> int:
    value = message.get(name, 0)
    return value if isinstance(value, int) else 0
