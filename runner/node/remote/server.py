"""JSON over HTTP, on the node's loop: over a Unix socket for its user, over TCP for who has the token.

The two have a server each, so that strangers on the network can't use up the connections of the one on the machine.
A connection that asks nothing within `TIMEOUT_S`, and a body that does not arrive within it, is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast, get_args

import uvicorn
from pydantic import SecretStr
from uvicorn.protocols.http.h11_impl import H11Protocol

from runner.node.remote.commands import Commands, Refused, Verb, audit, parse

log = logging.getLogger("runner.node")
LARGEST_BYTES = 16_384
LARGEST_HEAD_BYTES = 16_384
CONNECTIONS = 32
TIMEOUT_S = 10.0
_VERBS: tuple[str, ...] = get_args(Verb)
_CREDENTIALS = struct.Struct("3i")  # ucred of unix(7): pid, uid, gid


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user on the other end of a Unix socket, as the kernel knows them (SO_PEERCRED)."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def is_own(uid: int) -> bool:
    """Whether this user may command the node: the one that runs it, and nobody else."""
    return uid == os.getuid()


class _Protocol(H11Protocol):
    """Closes connections that ask nothing in time: uvicorn waits for ever for the first request."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._silence = self.loop.call_later(TIMEOUT_S, self._silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence.cancel()
        super().connection_lost(exc)

    def _silent(self) -> None:
        if getattr(self, "cycle", None) is None:
            self.transport.close()


class _Local(_Protocol):
    """Of the Unix socket: the kernel says who it is, and others are cut off before they are read."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        with socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as own:
            pid, uid = peer(own)
        if not is_own(uid):
            audit.warning("uid %d (process %d): refused: the control socket is for uid %d", uid, pid, os.getuid())
            transport.abort()
        self.client = (f"uid {uid}, process", pid)


class Server:
    """One listener. `token` None is for the Unix socket, whose peers are known."""

    def __init__(
        self,
        listener: socket.socket,
        commands: Commands,
        status: Callable[[], dict[str, Any]],
        *,
        token: SecretStr | None = None,
    ) -> None:
        self._listener = listener
        self._commands = commands
        self._status = status
        self._token = token
        self._local = listener.family == socket.AF_UNIX
        if not self._local and token is None:
            raise ValueError("commands over the network need a token")
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                proxy_headers=False,  # the log names who really connected
                http=_Local if self._local else _Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=1,
                timeout_graceful_shutdown=1,
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen from the loop's next turns on."""
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._listener]), name="control")
        self._task.add_done_callback(_tell)

    async def stop(self) -> None:
        """Let commands in progress end, for a second, and stop listening."""
        self._uvicorn.should_exit = True
        if self._task is not None:
            with contextlib.suppress(Exception):
                await self._task
        self._listener.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        client = scope["client"] or ("unknown", 0)
        who = f"{client[0]} {client[1]}" if self._local else f"token, {client[0]}:{client[1]}"
        try:
            code, answer = 200, await self._answer(scope, receive, who)
        except Refused as error:
            code, answer = error.status, {"error": str(error)}
        except Exception:
            log.exception("a command failed")
            code, answer = 500, {"error": "the node failed at it, see its log"}
        body = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Any, receive: Any, who: str) -> dict[str, Any]:
        headers = dict(scope["headers"])
        if self._token is not None and not _bears(headers, self._token):
            audit.warning("%s: refused: no token, or a wrong one", who.removeprefix("token, "))
            raise Refused(401, "a token is needed: `Authorization: Bearer …`")
        path, method = scope["path"], scope["method"]
        if path == "/v1/status":
            if method != "GET":
                raise Refused(405, "ask for the status with GET")
            return self._status()
        verb = path.removeprefix("/v1/")
        if not path.startswith("/v1/") or verb not in _VERBS:
            raise Refused(404, f"there are /v1/status and /v1/{{{','.join(_VERBS)}}}")
        if method != "POST":
            raise Refused(405, "give commands with POST")
        try:
            command = parse(await _body(headers, receive))
        except Refused as error:
            audit.warning("%s: %s: refused: %s", who, verb, error)
            raise
        if command.files and not self._local:
            # Whoever can name a file has the node import what it likes: that is for its own user.
            audit.warning("%s: %s: refused: files named over the network", who, verb)
            raise Refused(403, "files can be named over the Unix socket only; without them the node reads its own")
        return await self._commands.do(cast("Verb", verb), command, who)


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the node's business."""
        yield


def _bears(headers: dict[bytes, bytes], token: SecretStr) -> bool:
    kind, _, given = headers.get(b"authorization", b"").partition(b" ")
    same = hmac.compare_digest(given.strip(), token.get_secret_value().encode())
    return same and kind.lower() == b"bearer"


async def _body(headers: dict[bytes, bytes], receive: Any) -> bytes:
    """Raises Refused where it is too large or does not come."""
    too_large = Refused(413, f"a command has at most {LARGEST_BYTES} bytes")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 9 or int(length) > LARGEST_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the connection broke off")
                body += message.get("body", b"")
                if len(body) > LARGEST_BYTES:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(408, "the command did not arrive in time") from None


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the control server has ended, the node can't be commanded", exc_info=task.exception())
