"""Every REST request: its X-Request-ID, and how many are being answered and have been."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Traffic:
    """Counts of REST requests. Those under /control don't count: they belong to no client of the venue."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.done = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def quiet(self) -> None:
        """Return when no request is being answered."""
        await self._quiet.wait()

    def begin(self) -> None:
        """A request came in."""
        self.in_flight += 1
        self._quiet.clear()

    def end(self) -> None:
        """Its reply has been written, or its connection is gone."""
        self.in_flight -= 1
        self.done += 1
        if not self.in_flight:
            self._quiet.set()


class TrafficMiddleware:
    """Outermost: everything that a client can notice happens inside it."""

    def __init__(self, app: ASGIApp, traffic: Traffic, drop: Callable[[Scope], None] | None = None) -> None:
        """`drop` breaks the connection of a request without an answer, for faults that want that."""
        self._app = app
        self._traffic = traffic
        self._drop = drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/control"):
            await self._app(scope, receive, send)
            return

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Request-ID", uuid.uuid4().hex)
            await send(message)

        self._traffic.begin()
        try:
            await self._app(scope, receive, stamped)
        except ConnectionAbortedError:
            if self._drop is None:
                raise
            self._drop(scope)
            await asyncio.sleep(0)  # the loop tells the server that the connection is lost
        finally:
            self._traffic.end()
