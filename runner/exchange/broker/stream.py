"""`/stream`: trade updates over a websocket.

Source: docs.alpaca.markets "Websocket streaming". The paper host sends JSON inside binary frames, the live one in
text frames; with the header `Content-Type: application/msgpack` both directions speak msgpack. There is no
greeting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final

import msgpack
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.exchange.auth import authenticate
from runner.exchange.errors import AlpacaError
from runner.exchange.faults import Faults, SocketKind

STREAMS: Final = frozenset({"trade_updates"})
# The close code of a server that ends a connection by itself.
GOING_AWAY: Final = 1001


class TradingSocket:
    """One client of `/stream`. Messages are encoded and queued at once, and written by a task of its own."""

    def __init__(self, websocket: WebSocket, *, binary: bool) -> None:
        self._websocket = websocket
        self._binary = binary
        self._msgpack = "msgpack" in websocket.headers.get("content-type", "").lower()
        self._queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self.key: str | None = None
        self.streams: frozenset[str] = frozenset()
        self.unsent_updates = 0
        self.closing = asyncio.Event()

    def start(self) -> None:
        """Begin to write what is queued."""
        self._writer = asyncio.create_task(self._write())

    def queue(self, message: dict[str, Any], *, update: bool = False) -> None:
        """Encode now, write as soon as the client takes it."""
        if self._msgpack:
            data: bytes = msgpack.packb(message)
        else:
            data = json.dumps(message, separators=(",", ":")).encode()
        self.unsent_updates += update
        self._queue.put_nowait((data, update))

    def decode(self, message: dict[str, Any]) -> object:
        """What the client said, in a text or a binary frame; ValueError where it is neither JSON nor msgpack."""
        text, data = message.get("text"), message.get("bytes")
        if text is not None:
            return json.loads(text)
        if self._msgpack:
            try:
                return msgpack.unpackb(data or b"")
            except (msgpack.UnpackException, ValueError) as error:
                raise ValueError("not msgpack") from error
        return json.loads(data or b"")

    async def flushed(self) -> None:
        """Return once everything queued is written, or the socket is gone."""
        if self._writer is None:
            return
        written = asyncio.create_task(self._queue.join())
        await asyncio.wait({written, self._writer}, return_when=asyncio.FIRST_COMPLETED)
        written.cancel()

    async def stop(self) -> None:
        """End the writer."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer

    async def _write(self) -> None:
        try:
            while True:
                data, update = await self._queue.get()
                if self._binary or self._msgpack:
                    await self._websocket.send_bytes(data)
                else:
                    await self._websocket.send_text(data.decode())
                self.unsent_updates -= update
                self._queue.task_done()
        except (WebSocketDisconnect, RuntimeError, OSError):
            # The client is gone; its reader notices too and takes the socket out.
            self.closing.set()


class TradingStream:
    """All sockets of `/stream`, and what is sent on them."""

    def __init__(self, faults: Faults, *, binary: bool = True) -> None:
        self._faults = faults
        self._binary = binary
        self._sockets: set[TradingSocket] = set()
        self._queued = 0
        self._swapped: dict[str, dict[str, Any]] = {}
        self.has_listener = asyncio.Event()
        faults.on_cut.append(self._cut)

    @property
    def messages_sent(self) -> int:
        """Trade updates sent on all sockets since the start. What waits for its socket counts, until the socket is
        gone.
        """
        return self._queued

    @property
    def listeners(self) -> int:
        """Sockets that listen to trade updates now."""
        return sum("trade_updates" in socket.streams for socket in self._sockets)

    def publish(self, key: str, update: dict[str, Any]) -> None:
        """Queue one update for every listening socket of the account, with the faults that are armed."""
        sockets = [s for s in self._sockets if s.key == key and "trade_updates" in s.streams]
        held = self._swapped.pop(key, None)
        if not sockets or self._faults.is_muted("trading"):
            return
        fault = self._faults.take_update()
        updates = [update]
        if fault == "drop":
            updates = []
        elif fault == "duplicate":
            updates = [update, update]
        elif fault == "swap" and held is None:
            self._swapped[key] = update
            return
        if held is not None:
            updates.append(held)
        for message in updates:
            for socket in sockets:
                socket.queue({"stream": "trade_updates", "data": message}, update=True)
                self._queued += 1

    async def flushed(self) -> None:
        """Return once every update that is queued has been written."""
        for socket in list(self._sockets):
            await socket.flushed()

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint: one connection from upgrade to close."""
        if self._faults.take_refusal("trading"):
            await websocket.send_denial_response(_too_many())
            return
        await websocket.accept()
        socket = TradingSocket(websocket, binary=self._binary)
        self._sockets.add(socket)
        socket.start()
        reader = asyncio.create_task(self._read(websocket, socket))
        closing = asyncio.create_task(socket.closing.wait())
        try:
            await asyncio.wait({reader, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sockets.discard(socket)
            self._listeners_changed()
            self._queued -= socket.unsent_updates
            for task in (reader, closing):
                task.cancel()
            await asyncio.gather(reader, closing, return_exceptions=True)
            await socket.stop()
            if websocket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                    await websocket.close(GOING_AWAY)

    async def aclose(self) -> None:
        """Close every socket."""
        self._cut("trading")

    def _cut(self, kind: SocketKind) -> None:
        if kind == "trading":
            for socket in self._sockets:
                socket.closing.set()

    async def _read(self, websocket: WebSocket, socket: TradingSocket) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                said = socket.decode(dict(message))
                if not isinstance(said, dict):
                    raise ValueError("not an object")  # noqa: TRY004  # one way out for every bad frame
                self._handle(socket, said)
            except ValueError:
                self._reply(socket, {"action": "error", "data": {"error_message": "invalid message"}})
                await socket.flushed()
                return

    def _handle(self, socket: TradingSocket, said: dict[str, Any]) -> None:
        action = said.get("action")
        if action in {"auth", "authenticate"}:
            self._authenticate(socket, said)
        elif action == "listen":
            self._listen(socket, said)
        else:
            raise ValueError("unknown action")

    def _authenticate(self, socket: TradingSocket, said: dict[str, Any]) -> None:
        """Two shapes: key and secret at the top, or the older `data` with key_id and secret_key."""
        data = said.get("data") if isinstance(said.get("data"), dict) else {}
        assert isinstance(data, dict)
        key = str(said.get("key") or data.get("key_id") or "")
        secret = str(said.get("secret") or data.get("secret_key") or "")
        if key == "oauth" or data.get("oauth_token"):  # a token is key and secret at once, as in a bearer header
            key = secret = str(data.get("oauth_token") or secret)
        try:
            socket.key = authenticate({"apca-api-key-id": key, "apca-api-secret-key": secret})
        except AlpacaError:
            socket.key = None
        status = "authorized" if socket.key else "unauthorized"
        self._reply(socket, {"stream": "authorization", "data": {"status": status, "action": "authenticate"}})

    def _listen(self, socket: TradingSocket, said: dict[str, Any]) -> None:
        """The complete set of streams, not a change of it; unknown ones are dropped without a word."""
        if socket.key is None:
            self._reply(socket, {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}})
            return
        data = said.get("data")
        wanted = data.get("streams") if isinstance(data, dict) else None
        if not isinstance(wanted, list):
            raise ValueError("streams must be a list")  # noqa: TRY004
        socket.streams = STREAMS.intersection(name for name in wanted if isinstance(name, str))
        self._listeners_changed()
        self._reply(socket, {"stream": "listening", "data": {"streams": sorted(socket.streams)}})

    def _listeners_changed(self) -> None:
        if self.listeners:
            self.has_listener.set()
        else:
            self.has_listener.clear()

    def _reply(self, socket: TradingSocket, message: dict[str, Any]) -> None:
        if not self._faults.is_muted("trading"):
            socket.queue(message)


def _too_many() -> Response:
    return JSONResponse({"message": "too many requests."}, status_code=429)
