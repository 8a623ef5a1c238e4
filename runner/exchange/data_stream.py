"""The market-data streams of stocks, crypto, options and news: hand-shake, subscriptions, errors.

Source: docs.alpaca.markets "WebSocket stream" (streaming-market-data), error table included.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgpack
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.exchange.auth import accepts, credentials
from runner.exchange.faults import Faults
from runner.exchange.feeds import ALL_CHANNELS, Feed
from runner.exchange.history import History
from runner.exchange.hub import DataSocket, Hub
from runner.exchange.settings import Settings

ERRORS: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    412: "option messages are only available in MsgPack format",
    413: "star subscription is not allowed for option quotes",
    500: "internal error",
}


class DataStream:
    """Serves every data socket from upgrade to close."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        history: History,
        faults: Faults,
        on_subscribed: Callable[[], None] | None = None,
    ) -> None:
        """`on_subscribed` is called after the acknowledgement of a subscription to the replayed market."""
        self._settings = settings
        self._hub = hub
        self._history = history
        self._faults = faults
        self._on_subscribed = on_subscribed
        self._taken: dict[tuple[str, str], DataSocket | float] = {}

    def endpoint(self, feed: Feed) -> Callable[[WebSocket], Awaitable[None]]:
        """The endpoint of one feed."""

        async def endpoint(websocket: WebSocket) -> None:
            await self.serve(websocket, feed)

        return endpoint

    async def serve(self, websocket: WebSocket, feed: Feed) -> None:
        """One connection from upgrade to close."""
        if self._faults.take_refusal("data"):
            await websocket.send_denial_response(JSONResponse({"message": "too many requests."}, 429))
            return
        await websocket.accept()
        socket = DataSocket(websocket, feed)
        self._hub.add(socket)
        socket.control({"T": "success", "msg": "connected"})
        given = credentials(websocket.headers)
        if given is not None:
            self._authenticate(socket, *given)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(socket.write()),
            asyncio.create_task(self._read(websocket, socket)),
            asyncio.create_task(socket.closing.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            socket.closing.set()
            self._hub.remove(socket)
            self._release(socket)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if websocket.application_state is WebSocketState.CONNECTED:
                # A client that does not read can't be told; the server drops its connection all the same.
                with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
                    await asyncio.wait_for(websocket.close(1001), self._settings.slow_client_grace_s)

    async def _read(self, websocket: WebSocket, socket: DataSocket) -> None:
        deadline = asyncio.get_running_loop().time() + self._settings.auth_timeout_s
        while True:
            try:
                # The deadline is for the hand-shake only: an authenticated client may be silent for ever.
                async with asyncio.timeout_at(None if socket.key else deadline):
                    event = await websocket.receive()
            except TimeoutError:
                self._error(socket, 404)
                await socket.flushed()
                return
            if event["type"] == "websocket.disconnect":
                return
            said = _decode(socket, event.get("text"), event.get("bytes"))
            if isinstance(said, dict):
                self._handle(socket, said)
            else:
                self._error(socket, 400)

    def _handle(self, socket: DataSocket, said: dict[str, Any]) -> None:
        action = said.get("action")
        if action == "auth":
            key, secret = said.get("key"), said.get("secret")
            if not isinstance(key, str) or not isinstance(secret, str):
                self._error(socket, 400)
            else:
                self._authenticate(socket, key, secret)
        elif action in ("subscribe", "unsubscribe"):
            if socket.key is None:
                self._error(socket, 401)
            else:
                self._subscribe(socket, said, add=action == "subscribe")
        else:
            self._error(socket, 400)

    def _authenticate(self, socket: DataSocket, key: str, secret: str) -> None:
        if socket.key is not None:
            self._error(socket, 403)
            return
        if not accepts(key, secret):
            self._error(socket, 402)
            return
        if socket.feed.msgpack_only and not socket.msgpack:
            self._error(socket, 412)
            return
        if self._settings.plan == "basic" and socket.feed.plus_only:
            self._error(socket, 409)
            return
        owner = self._taken.get((socket.feed.name, key))
        if isinstance(owner, DataSocket) or (owner is not None and owner > asyncio.get_running_loop().time()):
            self._error(socket, 406)
            return
        self._taken[socket.feed.name, key] = socket
        socket.key = key
        socket.control({"T": "success", "msg": "authenticated"})

    def _release(self, socket: DataSocket) -> None:
        if socket.key is None:
            return
        slot = (socket.feed.name, socket.key)
        if self._settings.reap_delay_s > 0:
            self._taken[slot] = asyncio.get_running_loop().time() + self._settings.reap_delay_s
        else:
            self._taken.pop(slot, None)

    def _subscribe(self, socket: DataSocket, said: dict[str, Any], *, add: bool) -> None:
        wanted = {channel: symbols for channel, symbols in said.items() if channel != "action"}
        code = self._refusal(socket, wanted)
        if code is None:
            after = {channel: set(symbols) for channel, symbols in socket.channels.items()}
            for channel, symbols in wanted.items():
                have = after.setdefault(channel, set())
                after[channel] = have | set(symbols) if add else have - set(symbols)
            after = {channel: symbols for channel, symbols in after.items() if symbols}
            limit = self._limit(socket.feed)
            if add and limit is not None and sum(len(after.get(name, ())) for name in socket.feed.limited) > limit:
                code = 405
        if code is not None:
            self._error(socket, code)
            return
        socket.channels = after
        self._hub.changed()
        socket.control(_state(socket))
        if add and "orderbooks" in wanted:
            self._send_books(socket, wanted["orderbooks"])
        if after and socket.feed.kind != "test" and self._on_subscribed is not None:
            self._on_subscribed()

    def _limit(self, feed: Feed) -> int | None:
        if self._settings.symbol_limit is not None:
            return self._settings.symbol_limit
        return feed.basic_limit if self._settings.plan == "basic" else feed.plus_limit

    def _send_books(self, socket: DataSocket, symbols: list[str]) -> None:
        """The whole book of each pair first: what follows are changes of it."""
        for symbol in sorted(self._history.books):
            if symbol in symbols or "*" in symbols:
                self._hub.publish_to(socket, self._history.books[symbol].message(symbol))
        self._hub.flush()

    def _refusal(self, socket: DataSocket, wanted: dict[str, Any]) -> int | None:
        """The error code of a subscription that makes no sense here; None where it does."""
        if not wanted:
            return 400
        for channel, symbols in wanted.items():
            if channel in ALL_CHANNELS and channel not in socket.feed.channels:
                return 410
            if channel not in ALL_CHANNELS or not isinstance(symbols, list) or not symbols:
                return 400
            if socket.feed.kind == "options" and channel == "quotes" and "*" in symbols:
                return 413
            if not all(isinstance(symbol, str) and symbol for symbol in symbols):
                return 400
        return None

    def _error(self, socket: DataSocket, code: int) -> None:
        socket.control({"T": "error", "code": code, "msg": ERRORS[code]})


def _state(socket: DataSocket) -> dict[str, Any]:
    """The acknowledgement: every channel with all its symbols; corrections and cancels ride with the trades."""
    state: dict[str, Any] = {"T": "subscription"}
    for channel in socket.feed.acknowledged:
        state[channel] = sorted(socket.channels.get(channel, ()))
    if "imbalances" in socket.channels:
        state["imbalances"] = sorted(socket.channels["imbalances"])
    if "statuses" in state:  # a stream of stocks
        state["corrections"] = state["cancelErrors"] = state["trades"]
    return state


def _decode(socket: DataSocket, text: str | None, data: bytes | None) -> object:
    """What the client said, in a text or a binary frame; None where it is neither JSON nor msgpack."""
    try:
        if text is None and socket.msgpack:
            return msgpack.unpackb(data or b"")
        return json.loads(text if text is not None else data or b"")
    except (ValueError, msgpack.UnpackException, RecursionError):
        return None
