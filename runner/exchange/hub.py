"""The sockets of the data streams: who wants what, and what waits to be written to whom."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from runner.exchange.faults import Faults
from runner.exchange.feeds import CHANNELS, Feed, kind_of
from runner.exchange.settings import Settings
from runner.exchange.wire import NS, Message, fields_of, msgpack_array, to_msgpack

type Source = Literal["live", "delayed", "test"]

DELAY_NS: Final = 15 * 60 * NS


class DataSocket:
    """One client of a data stream. Messages gather in `pending` until the hub makes frames of them."""

    def __init__(self, websocket: WebSocket, feed: Feed) -> None:
        self.feed = feed
        self.key: str | None = None
        self.channels: dict[str, set[str]] = {}
        self.pending: list[bytes] = []
        self.unsent = 0
        """Market-data messages in frames that are not written yet."""
        self.closing = asyncio.Event()
        self.msgpack = "msgpack" in websocket.headers.get("content-type", "").lower()
        self._websocket = websocket
        self._frames: deque[tuple[bytes, int]] = deque()
        self._writing = False
        self._ready = asyncio.Event()
        self._written = asyncio.Event()

    def wants(self, channel: str, symbol: str) -> bool:
        """Whether it has subscribed to that."""
        symbols = self.channels.get(channel)
        return symbols is not None and (symbol in symbols or "*" in symbols)

    def wants_any(self, channel: str, symbols: Iterable[str]) -> bool:
        """Whether it has subscribed to one of those."""
        wanted = self.channels.get(channel)
        return wanted is not None and ("*" in wanted or not wanted.isdisjoint(symbols))

    def control(self, message: dict[str, Any]) -> None:
        """Queue a control message: always alone in its array."""
        raw = json.dumps(message, separators=(",", ":")).encode()
        self.frame([to_msgpack(raw) if self.msgpack else raw], data=False)

    def frame(self, messages: list[bytes], *, data: bool = True) -> None:
        """Queue one frame of encoded messages."""
        count = len(messages)
        start, comma, end = (msgpack_array(count), b"", b"") if self.msgpack else (b"[", b",", b"]")
        payload = start + comma.join(messages) + end
        self._frames.append((payload, count if data else 0))
        self.unsent += count if data else 0
        self._ready.set()

    def drop(self, *, all_of_it: bool = False) -> int:
        """Forget what is not being written, or `all_of_it`; return how many market-data messages that were."""
        writing = [self._frames.popleft()] if self._writing and not all_of_it else []
        lost = sum(count for _, count in self._frames)
        self._frames = deque(writing)
        self.pending.clear()
        self.unsent -= lost
        return lost

    async def room(self, limit: int) -> None:
        """Return when at most `limit` messages wait to be written, or the socket is going."""
        while self.unsent > limit and not self.closing.is_set():
            self._written.clear()
            await self._written.wait()

    async def flushed(self) -> None:
        """Return when all frames are handed to the transport, or the socket is going."""
        while self._frames and not self.closing.is_set():
            self._written.clear()
            await self._written.wait()

    async def write(self) -> None:
        """Write frames as the client takes them; ends when the client is gone."""
        try:
            while True:
                while self._frames:
                    payload, count = self._frames[0]
                    self._writing = True
                    if self.msgpack:
                        await self._websocket.send_bytes(payload)
                    else:
                        await self._websocket.send_text(payload.decode())
                    self._writing = False
                    if self._frames:  # else forgotten meanwhile
                        self._frames.popleft()
                        self.unsent -= count
                    self._written.set()
                self._ready.clear()
                await self._ready.wait()
        except (WebSocketDisconnect, RuntimeError, OSError):
            self.closing.set()
        finally:
            self._written.set()


class Hub:
    """All data sockets."""

    def __init__(self, settings: Settings, faults: Faults | None = None) -> None:
        self._settings = settings
        self._faults = faults or Faults()
        self.sockets: set[DataSocket] = set()
        """Open connections."""
        self._targets: dict[tuple[Source, str], list[DataSocket]] = {}
        self._waiting: set[DataSocket] = set()
        self._delayed: deque[tuple[int, Message]] = deque()
        self._has_delayed = False
        self._sent = 0
        self.silent = False
        """Publish nothing: what is skipped at the start is history only."""

    @property
    def messages_sent(self) -> int:
        """Market-data messages sent on all sockets, save those of /v2/test and those lost with their socket."""
        return self._sent

    def add(self, socket: DataSocket) -> None:
        """Take a socket in."""
        self.sockets.add(socket)

    def remove(self, socket: DataSocket) -> None:
        """Let a socket go; what it had not been sent yet does not count as sent."""
        self.sockets.discard(socket)
        self._waiting.discard(socket)
        lost = socket.drop(all_of_it=True)
        if socket.feed.kind != "test":
            self._sent -= lost
        self.changed()

    def changed(self) -> None:
        """Somebody's subscriptions are different now."""
        self._targets.clear()
        self._has_delayed = any(socket.feed.delayed and socket.channels for socket in self.sockets)
        if not self._has_delayed:
            self._delayed.clear()

    def publish(self, message: Message) -> None:
        """Hand a message of the replayed market to whoever wants it; `flush` sends it."""
        if self.silent:
            return
        if self._has_delayed and kind_of(message.kind, message.symbol) == "stocks":
            while self._delayed and self._delayed[0][0] <= message.ts_ns:
                self._hand_out(self._delayed.popleft()[1], "delayed")
            self._delayed.append((message.ts_ns + DELAY_NS, message))
        self._hand_out(message, "live")

    def publish_to(self, socket: DataSocket, message: Message) -> None:
        """Hand a message to one socket, whatever it has subscribed to."""
        socket.pending.append(to_msgpack(message.raw) if socket.msgpack else message.raw)
        self._waiting.add(socket)

    def publish_test(self, message: Message) -> None:
        """Hand a message of the test feed to whoever wants it."""
        self._hand_out(message, "test")

    def wants_test(self) -> bool:
        """Whether anybody listens to the test feed."""
        return any(socket.feed.kind == "test" and socket.channels for socket in self.sockets)

    def flush(self) -> None:
        """Make frames of what has been published. A client too slow for a paced replay gets 407 and is closed."""
        for socket in self._waiting:
            if self._faults.is_muted("data"):
                socket.pending.clear()
                continue
            for at in range(0, len(socket.pending), self._settings.frame_messages):
                socket.frame(socket.pending[at : at + self._settings.frame_messages])
            if socket.feed.kind != "test":
                self._sent += len(socket.pending)
            socket.pending.clear()
            if socket.unsent > self._settings.slow_client_messages:
                self._give_up(socket)
        self._waiting.clear()

    async def room(self, limit: int) -> None:
        """Wait for sockets that are more than `limit` messages behind."""
        for socket in [socket for socket in self.sockets if socket.unsent > limit]:
            await socket.room(limit)

    def _give_up(self, socket: DataSocket) -> None:
        lost = socket.drop()
        if socket.feed.kind != "test":
            self._sent -= lost
        socket.channels = {}
        self.changed()
        socket.control({"T": "error", "code": 407, "msg": "slow client"})
        asyncio.get_running_loop().call_later(self._settings.slow_client_grace_s, socket.closing.set)

    def _hand_out(self, message: Message, source: Source) -> None:
        sockets = self._targets.get((source, message.kind + message.symbol))
        if sockets is None:
            sockets = self._find(message, source)
        packed: bytes | None = None
        for socket in sockets:
            if socket.msgpack:
                packed = packed or to_msgpack(message.raw)
                socket.pending.append(packed)
            else:
                socket.pending.append(message.raw)
            self._waiting.add(socket)

    def _find(self, message: Message, source: Source) -> list[DataSocket]:
        channel = CHANNELS.get(message.kind, "")
        kind = "test" if source == "test" else kind_of(message.kind, message.symbol)
        feeds = [s for s in self.sockets if s.feed.kind == kind and s.feed.delayed == (source == "delayed")]
        if kind == "news":  # it belongs to several symbols, and comes seldom
            symbols = fields_of(message.raw)["symbols"]
            return [s for s in feeds if s.wants_any(channel, symbols)]
        found = [s for s in feeds if s.wants(channel, message.symbol)]
        self._targets[source, message.kind + message.symbol] = found
        return found
