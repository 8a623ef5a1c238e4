"""Runs the simulated exchange: in a process of its own, or inside a test's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import Scope

from runner.exchange.app import Parts, create_app
from runner.exchange.broker import Broker
from runner.exchange.faults import SocketKind
from runner.exchange.market import Market
from runner.exchange.settings import Settings


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's business."""
        yield


class ExchangeServer:
    """The exchange on a port of `settings.host`, as an async context manager.

    Everything runs on the loop that enters it: `market`, `broker`, `faults` may be used directly there.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Prepare the data. Raises TapeError or ValueError where it can't be used."""
        self.settings = settings or Settings()
        self.app = create_app(self.settings)
        self.parts: Parts = self.app.state.parts
        self.parts.drop = self._drop
        self.parts.faults.on_cut.append(self._cut)
        self.port = 0
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL of REST, without a slash at its end."""
        return f"http://{self.settings.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base URL of the streams: append `/stream` or `/v2/iex`."""
        return f"ws://{self.settings.host}:{self.port}"

    @property
    def market(self) -> Market:
        """Venue time and prices."""
        return self.parts.market

    @property
    def broker(self) -> Broker:
        """Accounts and orders."""
        return self.parts.broker

    @property
    def synthetic(self) -> bool:
        """Whether the market data is made up."""
        return self.parts.synthetic

    def start_replay(self) -> None:
        """Let venue time run, for servers that wait."""
        self.parts.replay.start()

    def pause(self) -> None:
        """Hold venue time."""
        self.parts.replay.pause()

    def resume(self) -> None:
        """Let it run on."""
        self.parts.replay.resume()

    async def step_until(self, venue_ns: int) -> None:
        """Play everything up to `venue_ns` now, whatever the speed; returns when it is written to the sockets."""
        await self.parts.replay.step_until(venue_ns)

    async def ended(self) -> None:
        """Return at the end of the replay."""
        await self.parts.replay.ended.wait()

    def cut_sockets(self, which: str = "all") -> None:
        """Break the websockets of that kind (`data`, `trading`, `all`) without a closing hand-shake."""
        self.parts.faults.cut(which)

    async def __aenter__(self) -> Self:
        """Raises OSError where the port is taken."""
        settings = self.settings
        # asyncio switches Nagle's algorithm off only where the protocol is named; with it a reply takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            lifespan="on",
            ws="websockets-sansio",
            log_config=None,
            log_level="warning",
            access_log=False,
            ws_ping_interval=settings.ping_interval_s,
            ws_ping_timeout=settings.ping_timeout_s,
            ws_per_message_deflate=settings.compression,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                listener.close()
                await self._task
                raise RuntimeError("the exchange's server did not start")
            await asyncio.sleep(0.001)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        for connection in list(self._server.server_state.connections):
            _abort(connection)
        await self._task

    def _cut(self, kind: SocketKind) -> None:
        for connection, path in self._websockets():
            if path.startswith("/control"):
                continue
            if (path == "/stream") == (kind == "trading"):
                _abort(connection)

    def _drop(self, scope: Scope) -> None:
        for connection in self._connections():
            if getattr(connection, "client", None) == scope.get("client"):
                _abort(connection)

    def _connections(self) -> list[Any]:
        return list(self._server.server_state.connections) if self._server is not None else []

    def _websockets(self) -> Iterator[tuple[Any, str]]:
        for connection in self._connections():
            scope = getattr(connection, "scope", None)
            if scope is not None and scope["type"] == "websocket":
                yield connection, scope["path"]


def _abort(connection: Any) -> None:
    transport = getattr(connection, "transport", None)
    if transport is not None:
        transport.abort()
