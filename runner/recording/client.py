"""One feed's stream, connected for as long as it is recorded; every moment without it becomes a gap."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from runner.recording.files import Recording

log = logging.getLogger("runner.record")
CHANNELS = {
    "stocks": ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses"),
    "crypto": ("trades", "quotes", "bars", "updatedBars", "dailyBars"),
    "options": ("trades", "quotes"),
}
_CONTROL = frozenset({"success", "error", "subscription"})
#: Of these the stamp says what day it is; corrections and daily bars may be of an earlier one.
_TIMED = frozenset("tqb")
_NEW_YORK = ZoneInfo("America/New_York")
#: Codes that trying again does not change.
_FINAL = {
    400: "it does not understand what was asked for; see --symbols and --channels",
    402: "the keys are refused",
    405: "more symbols than the plan streams; name fewer with --symbols",
    409: "the plan does not have this feed; take the market's free one",
    410: "the feed does not have one of the channels; name others with --channels",
    411: "the keys may not read market data",
    413: "quotes of all options can't be had; name contracts with --symbols",
}


class FeedError(Exception):
    """The feed can't be recorded, now or later: what, and what to do."""


class _LostError(Exception):
    """The stream is gone for now."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to record. Keys stay out of repr."""

    url: str
    market: str
    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    key: str = field(repr=False)
    secret: str = field(repr=False)


class _Head(msgspec.Struct):
    """What is looked at of a message."""

    T: str
    S: str = ""
    t: str = ""
    code: int = 0
    msg: str = ""


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_HEADS = msgspec.json.Decoder(_Head)


@dataclass
class Recorder:
    """Records until `stop` is set. Times are seconds."""

    source: Source
    recording: Recording
    flush_s: float = 1.0
    timeout_s: float = 10.0
    backoff_s: tuple[float, float] = (1.0, 30.0)
    ping_s: float = 10.0
    on_ready: Callable[[], None] = lambda: None
    """Called each time that the feed is subscribed."""
    reconnects: int = 0
    ready: bool = False
    """Whether the feed was ever subscribed."""
    problem: str = ""
    """Why the stream was lost last."""
    _heard: datetime | None = None
    _lost_at: datetime | None = None
    _raws: msgspec.json.Decoder[list[msgspec.Raw]] = field(
        default_factory=lambda: msgspec.json.Decoder(list[msgspec.Raw])
    )
    _heads: msgspec.json.Decoder[_Head] = field(default_factory=lambda: msgspec.json.Decoder(_Head))

    async def run(self, stop: asyncio.Event) -> None:
        """Raises FeedError where the feed can't be had at all, RecordingError where the file can't."""
        flushing = asyncio.create_task(self._flush())
        reading = asyncio.create_task(self._keep_reading())
        stopped = asyncio.create_task(stop.wait())
        tasks = (flushing, reading, stopped)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.ready:
                self._mark("the recorder was ended before it was back")
            self.recording.close()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(self.flush_s)
            self.recording.flush()

    async def _keep_reading(self) -> None:
        delay_s, began = self.backoff_s[0], datetime.now(UTC)
        while True:
            before = self.recording.messages
            try:
                await self._read()
            except (_LostError, OSError, WebSocketException) as error:
                why = self.problem = _why(error)
            self._lost_at = self._lost_at or self._heard or began
            if self.recording.messages > before:
                delay_s = self.backoff_s[0]
            log.warning("the stream is lost: %s; trying again in %g s", why, delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, self.backoff_s[1])
            self.reconnects += 1

    async def _read(self) -> None:
        packed = self.source.market == "options"
        headers = {"Content-Type": "application/msgpack"} if packed else None
        async with connect(
            self.source.url,
            additional_headers=headers,
            open_timeout=self.timeout_s,
            ping_interval=self.ping_s,
            ping_timeout=self.ping_s * 2,
            close_timeout=1.0,
            max_size=None,
            max_queue=None,
        ) as socket:
            await self._subscribe(socket)
            self._mark("the stream was lost")
            self._heard = datetime.now(UTC)
            self.ready = True
            self.on_ready()
            async for frame in socket:
                self._heard = datetime.now(UTC)
                self._take(frame)
        raise _LostError("the server closed it")

    def _mark(self, why: str) -> None:
        """What is missing since the stream was lost, if it was."""
        if self._lost_at is not None:
            self.recording.gap(self._lost_at, datetime.now(UTC), why)
            self._lost_at = None

    async def _subscribe(self, socket: ClientConnection) -> None:
        await self._answer(socket, "success")
        await self._say(socket, action="auth", key=self.source.key, secret=self.source.secret)
        await self._answer(socket, "success")
        wanted = {channel: list(self.source.symbols) for channel in self.source.channels}
        await self._say(socket, action="subscribe", **wanted)
        said = await self._answer(socket, "subscription")
        for channel in self.source.channels:
            missing = set(self.source.symbols) - set(said.get(channel) or ())
            if missing:
                log.warning("the feed does not confirm %s of %s", channel, ", ".join(sorted(missing)))

    async def _say(self, socket: ClientConnection, **message: Any) -> None:
        await socket.send(msgpack.packb(message) if self.source.market == "options" else json.dumps(message))

    async def _answer(self, socket: ClientConnection, wanted: str) -> Mapping[str, Any]:
        """The next control message. What else comes before it is recorded."""
        while True:
            try:
                frame = await asyncio.wait_for(socket.recv(), self.timeout_s)
            except TimeoutError:
                raise _LostError(f"no answer within {self.timeout_s:g} s") from None
            for kind, text in self._messages(frame):
                if kind == wanted:
                    said: dict[str, Any] = json.loads(text)
                    return said
                if kind == "error":
                    self._error(text)
                self._keep(kind, text)

    def _take(self, frame: str | bytes) -> None:
        for kind, text in self._messages(frame):
            if kind == "error":
                self._error(text)
            else:
                self._keep(kind, text)
        if self.recording.full:
            self.recording.flush()

    def _keep(self, kind: str, text: bytes) -> None:
        if kind in _CONTROL:
            return
        head = _HEADS.decode(text)
        day = _day(head.t[:13]) if head.t else datetime.now(_NEW_YORK).date()
        self.recording.write(kind, text, day if kind in _TIMED or not self.recording.messages else date.min)

    def _messages(self, frame: str | bytes) -> Sequence[tuple[str, bytes]]:
        """Each message's T and its JSON text: as it came, or made of msgpack. Raises _LostError."""
        try:
            if self.source.market != "options":
                raws = [bytes(raw) for raw in _RAWS.decode(frame)]
                return [(_HEADS.decode(raw).T, raw) for raw in raws]
            return [(fields["T"], _text(fields)) for fields in msgpack.unpackb(frame)]
        except (msgspec.DecodeError, msgpack.UnpackException, ValueError, KeyError, TypeError) as error:
            raise _LostError(f"a frame that can't be read ({type(error).__name__})") from error

    def _error(self, text: bytes) -> None:
        """Raises FeedError for what stays wrong, _LostError for the rest."""
        head = _HEADS.decode(text)
        if head.code in _FINAL:
            raise FeedError(f"{_FINAL[head.code]} ({head.code})")
        if head.code == 406:
            raise _LostError("another program is connected with these keys (406)")
        raise _LostError(f"the server says {head.code} {head.msg}")


def _text(fields: dict[str, Any]) -> bytes:
    """A msgpack message as Alpaca's JSON has it: T and S first, times as text."""
    plain = {"T": fields["T"], **({"S": fields["S"]} if "S" in fields else {})}
    for key, value in fields.items():
        plain[key] = _rfc3339(value) if isinstance(value, msgpack.Timestamp) else value
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def _rfc3339(stamp: msgpack.Timestamp) -> str:
    return f"{datetime.fromtimestamp(stamp.seconds, UTC):%Y-%m-%dT%H:%M:%S}.{stamp.nanoseconds:09d}Z"


@lru_cache(maxsize=64)
def _day(hour: str) -> date:
    """New York's day of an hour in UTC (2026-01-12T14)."""
    return datetime.fromisoformat(f"{hour}:00:00+00:00").astimezone(_NEW_YORK).date()


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus) and error.response.status_code == 429:
        return "too many connections lately (429)"
    return " ".join(str(error).split()) or type(error).__name__
