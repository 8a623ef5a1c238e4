"""Small days, and clients for the streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect

from runner.exchange.settings import Settings

DAY = date(2026, 1, 12)
KEYS = {"APCA-API-KEY-ID": "PKTEST", "APCA-API-SECRET-KEY": "secret"}
PATIENCE_S = 10.0


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Settings of a small generated day that waits for a subscription."""

    def make(**more: Any) -> Settings:
        base: dict[str, Any] = {
            "symbols": ("IBM", "BAC"),
            "day": DAY,
            "extended_hours": False,
            "activity": 0.02,
            "speed": float("inf"),
            "wait": True,
            "seed": 7,
        }
        if "replay" in more:
            base.pop("symbols")
        return Settings(**{**base, **more})

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes stream messages to a file, one a line; strings are taken as they are."""

    def put(name: str, *messages: dict[str, Any] | str) -> Path:
        path = tmp_path / name
        lines = [m if isinstance(m, str) else json.dumps(m, separators=(",", ":")) for m in messages]
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return put


def _quote_message(symbol: str, stamp: str, bid: float | str = 10.0, ask: float | str = 10.02) -> str:
    """A quote message; prices as text keep their digits."""
    return (
        f'{{"T":"q","S":"{symbol}","bx":"P","bp":{bid},"bs":300,"ax":"Q","ap":{ask},"as":100,"c":["R"],"z":"A",'
        f'"t":"2013-10-07T{stamp}"}}'
    )


def _trade_message(symbol: str, stamp: str, price: float | str = 10.01, size: int | str = 100, *conditions: str) -> str:
    """A trade message; the price as text keeps its digits."""
    return (
        f'{{"T":"t","S":"{symbol}","i":1,"x":"P","p":{price},"s":{size},"c":{json.dumps(list(conditions or "@"))},'
        f'"z":"A","t":"2013-10-07T{stamp}"}}'
    )


class StreamClient:
    """A data-stream client that keeps messages apart from frames."""

    def __init__(self, url: str, *, packed: bool = False, headers: dict[str, str] | None = None) -> None:
        self._url = url
        self.packed = packed
        self._headers = dict(headers or {})
        if packed:
            self._headers["Content-Type"] = "application/msgpack"
        self.messages: list[dict[str, Any]] = []
        self.ws: ClientConnection

    async def __aenter__(self) -> Self:
        self.ws = await connect(self._url, additional_headers=self._headers, max_queue=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ws.close()

    async def say(self, **message: Any) -> None:
        """Send one message in the codec of the connection."""
        await self.ws.send(msgpack.packb(message) if self.packed else json.dumps(message))

    async def frame(self) -> list[dict[str, Any]]:
        """The messages of the next frame."""
        data = await asyncio.wait_for(self.ws.recv(), PATIENCE_S)
        assert isinstance(data, bytes) is self.packed
        got: list[dict[str, Any]] = msgpack.unpackb(data) if self.packed else json.loads(data)
        return got

    async def one(self) -> dict[str, Any]:
        """The next control message, which must come alone."""
        (message,) = await self.frame()
        return message

    async def login(self, key: str = "PKTEST") -> Self:
        """Greeting and authentication."""
        assert await self.one() == {"T": "success", "msg": "connected"}
        await self.say(action="auth", key=key, secret="secret")
        assert await self.one() == {"T": "success", "msg": "authenticated"}
        return self

    async def subscribe(self, **channels: list[str]) -> dict[str, Any]:
        """Subscribe; the acknowledgement."""
        await self.say(action="subscribe", **channels)
        return await self.one()

    async def until(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Gather market data until `enough` says so of all that has come."""
        while not enough(self.messages):
            self.messages += await self.frame()
        return self.messages


@pytest.fixture
def quote() -> Callable[..., str]:
    """Makes a quote message of 7 October 2013; prices as text keep their digits."""
    return _quote_message


@pytest.fixture
def trade() -> Callable[..., str]:
    """Makes a trade message of 7 October 2013; prices as text keep their digits."""
    return _trade_message


@pytest.fixture
def client() -> type[StreamClient]:
    """A client of a data stream."""
    return StreamClient


@pytest.fixture
def keys() -> dict[str, str]:
    """Headers that authenticate."""
    return dict(KEYS)
