"""Small fake venues: an HTTP server and a stream server that do what a test says, also what no real one should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runner._engine import AlpacaHttpClient, AlpacaWebSocketClient, Builders

KEY, SECRET = "PKTESTKEY", "top-secret-value"


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Reply:
    """What to answer. `cut` closes after so many bytes of the reply (0: at once); `hold` waits for an event first."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hold: asyncio.Event | None = None
    close: bool = False

    def wire(self) -> bytes:
        head = {"Content-Length": str(len(self.body)), "X-Request-ID": "req-1", **self.headers}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass
class HttpVenue:
    """Answers each request with the next of `replies`, or with `handler(request)`."""

    replies: list[Reply] = field(default_factory=list)
    handler: Callable[[Request], Reply] | None = None
    requests: list[Request] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    connections: int = 0
    url: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                path, _, query = target.partition("?")
                request = Request(method, path, query, headers, body, connection)
                async with self.arrived:
                    self.requests.append(request)
                    self.arrived.notify_all()
                reply = self.handler(request) if self.handler else self.replies.pop(0)
                if reply.hold is not None:
                    await reply.hold.wait()
                wire = reply.wire()
                writer.write(wire if reply.cut is None else wire[: reply.cut])
                await writer.drain()
                if reply.cut is not None or reply.close:
                    break
        writer.close()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)


@pytest.fixture
async def venue() -> AsyncIterator[HttpVenue]:
    venue = HttpVenue()
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    venue.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield venue
    server.close()
    for writer in venue.writers:
        writer.close()


@pytest.fixture
def new_client() -> Any:
    """Makes clients attached to the running loop; closes them at the end."""
    made: list[AlpacaHttpClient] = []

    def make(url: str, **settings: Any) -> AlpacaHttpClient:
        settings = {"timeout_s": 5.0, "retry_delay_s": 0.01, **settings}
        client = AlpacaHttpClient(KEY, SECRET, trading_url=url, data_url=url, **settings)
        client.attach(asyncio.get_running_loop())
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def builders() -> Builders:
    """Builders that keep their arguments as tuples."""

    def kept(kind: str) -> Callable[..., tuple[Any, ...]]:
        return lambda *args: (kind, *args)

    return Builders(
        scale=16,
        quote=kept("quote"),
        trade=kept("trade"),
        bar=kept("bar"),
        trade_id=lambda text: f"id:{text}",
        aggressors=("none", "buyer", "seller"),
        revision=kept("revision"),
        band=kept("band"),
    )


class StreamVenue:
    """A stream server. Each connection is handed to `script`; `sockets` are those open now."""

    def __init__(self) -> None:
        self.script: Callable[[ServerConnection], Awaitable[None]] | None = None
        self.sockets: list[ServerConnection] = []
        self.received: list[Any] = []
        self.upgrades: list[dict[str, str]] = []
        self.refuse_upgrade: list[int] = []
        self.connections = 0
        self.url = ""
        self.live = asyncio.Event()

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.sockets.append(socket)
        try:
            assert self.script is not None
            await self.script(socket)
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)

    def on_upgrade(self, connection: ServerConnection, request: Any) -> Any:
        self.upgrades.append({name.lower(): value for name, value in request.headers.raw_items()})
        if self.refuse_upgrade:
            return connection.respond(self.refuse_upgrade.pop(0), "no\n")
        return None

    async def receive(self, socket: ServerConnection) -> Any:
        message = await socket.recv()
        is_pack = isinstance(message, bytes) and message[:1] != b"{"
        value = msgpack.unpackb(message) if is_pack else json.loads(message)
        self.received.append(value)
        return value

    async def market(self, socket: ServerConnection, *, pack: bool = False) -> None:
        """The whole greeting, then acknowledges every subscription, until the connection ends."""

        async def send(value: Any) -> None:
            await socket.send(msgpack.packb(value) if pack else json.dumps(value))

        state: dict[str, set[str]] = {}
        await send([{"T": "success", "msg": "connected"}])
        assert (await self.receive(socket))["action"] == "auth"
        await send([{"T": "success", "msg": "authenticated"}])
        self.live.set()
        while True:
            request = await self.receive(socket)
            for channel, symbols in request.items():
                if channel == "action":
                    continue
                have = state.setdefault(channel, set())
                have |= set(symbols) if request["action"] == "subscribe" else set()
                have -= set(symbols) if request["action"] == "unsubscribe" else set()
            await send([{"T": "subscription", **{channel: sorted(symbols) for channel, symbols in state.items()}}])

    async def trading(self, socket: ServerConnection) -> None:
        """Authorizes and listens, in binary frames of JSON as Alpaca's paper endpoint does."""
        asked = await self.receive(socket)
        assert asked["action"] == "auth"
        answer = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        await socket.send(json.dumps(answer).encode())
        asked = await self.receive(socket)
        assert asked == {"action": "listen", "data": {"streams": ["trade_updates"]}}
        await socket.send(json.dumps({"stream": "listening", "data": {"streams": ["trade_updates"]}}).encode())
        self.live.set()
        await socket.wait_closed()


@pytest.fixture
async def stream_venue() -> AsyncIterator[StreamVenue]:
    venue = StreamVenue()
    venue.script = venue.market
    async with serve(
        venue.handle, "127.0.0.1", 0, process_request=venue.on_upgrade, ping_interval=None, close_timeout=0.2
    ) as server:
        venue.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v2/test"
        yield venue


class Reader:
    """Drains a stream client on the running loop and keeps what it delivers."""

    def __init__(self, client: AlpacaWebSocketClient, limit: int = 512) -> None:
        self.client = client
        self.limit = limit
        self.ticks: list[Any] = []
        self.messages: list[tuple[str, Any]] = []
        self.states: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.paused = False
        asyncio.get_running_loop().add_reader(client.fd, self.drain)

    def drain(self) -> None:
        if self.paused:
            return
        on_message = lambda kind, body: self.messages.append((kind, body))  # noqa: E731
        on_state = lambda state, detail: self.states.append((state, detail))  # noqa: E731
        if self.client.drain(self.ticks.append, on_message, on_state, self.limit):
            self.changed.set()

    def names(self) -> list[str]:
        return [name for name, _ in self.states]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await self.changed.wait()
                self.changed.clear()

    async def state(self, name: str, times: int = 1) -> None:
        await self.until(lambda: self.names().count(name) >= times)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.client.fd)
        self.client.stop()


@pytest.fixture
async def open_stream(stream_venue: StreamVenue, builders: Builders) -> AsyncIterator[Any]:
    """Starts a client against `stream_venue` and reads from it; fast timeouts."""
    readers: list[Reader] = []

    def make(
        *, limit: int = 512, prepare: Callable[[AlpacaWebSocketClient], None] | None = None, **settings: Any
    ) -> Reader:
        settings = {
            "protocol": "market",
            "backoff_min_s": 0.01,
            "backoff_max_s": 0.05,
            "busy_backoff_s": 0.02,
            "connect_timeout_s": 5.0,
            **settings,
        }
        client = AlpacaWebSocketClient(stream_venue.url, KEY, SECRET, **settings)
        client.set_builders(builders)
        if prepare is not None:
            prepare(client)
        reader = Reader(client, limit)
        readers.append(reader)
        client.start()
        return reader

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def keys() -> SimpleNamespace:
    return SimpleNamespace(key=KEY, secret=SECRET)


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
