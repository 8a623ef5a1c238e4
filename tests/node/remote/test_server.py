"""What the control server refuses, and that it lives on afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.node.exit_codes import NodeError
from runner.node.remote import server as module
from runner.node.remote.commands import Command, Refused, parse
from runner.node.remote.place import Place, answers, listen
from runner.node.remote.server import LARGEST_BYTES, LARGEST_HEAD_BYTES, Server, is_own, peer

TOKEN = "k" * 32
WHY = b'{"why": "a test"}'


class Commands:
    """Takes them all."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Command, str]] = []

    async def do(self, verb: str, command: Command, who: str) -> dict[str, Any]:
        self.done.append((verb, command, who))
        return {"outcome": "done", "left": {}}


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
async def local(tmp_path: Path, commands: Commands) -> AsyncIterator[Path]:
    """A socket deep enough that its path alone would be too long for an address."""
    place = Place("test", "sim", os.getpid(), tmp_path / ("deep" * 25))
    server = Server(listen(place), commands, lambda: {"name": "test"})  # type: ignore[arg-type]
    server.start()
    yield place.path
    await server.stop()
    place.path.unlink()


@pytest.fixture
async def port(commands: Commands) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = Server(listener, commands, lambda: {"name": "test"}, token=SecretStr(TOKEN))  # type: ignore[arg-type]
    server.start()
    yield listener.getsockname()[1]
    await server.stop()


async def say(where: Path | int, raw: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes, read until the end; 0 where it is closed without an answer."""
    if isinstance(where, int):
        reader, writer = await asyncio.open_connection("127.0.0.1", where)
    else:
        folder = os.open(where.parent, os.O_PATH)
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{where.name}")
        os.close(folder)
    try:
        writer.write(raw)
        answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        answer = b""
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return 0, {}
    status = int(head.split()[1])
    return status, json.loads(body) if b"application/json" in head else {}


def request(method: str = "POST", path: str = "/v1/halt", body: bytes = WHY, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: node", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_its_own_user_is_heard_and_named(local: Path, commands: Commands) -> None:
    assert await say(local, request("GET", "/v1/status", b"")) == (200, {"name": "test"})
    assert await say(local, request()) == (200, {"outcome": "done", "left": {}})
    verb, command, who = commands.done[0]
    assert (verb, command.why) == ("halt", "a test")
    assert who == f"uid {os.getuid()}, process {os.getpid()}"


async def test_folder_and_socket_are_the_users_alone(local: Path) -> None:
    assert local.parent.stat().st_mode & 0o777 == 0o700
    assert local.stat().st_mode & 0o777 == 0o600


def test_the_kernel_says_who_it_is_and_only_the_own_user_passes() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer(one) == (os.getpid(), os.getuid())
    assert is_own(os.getuid())
    assert not is_own(os.getuid() + 1)
    assert is_own(0) == (os.getuid() == 0)


async def test_another_user_is_cut_off_before_anything_is_read(
    local: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "peer", lambda _connection: (77, os.getuid() + 1))
    assert await say(local, request()) == (0, {})
    assert commands.done == []
    assert f"uid {os.getuid() + 1} (process 77): refused" in caplog.text
    monkeypatch.undo()
    assert (await say(local, request()))[0] == 200


@pytest.mark.parametrize(
    "header", ["", "Authorization: Bearer wrong", f"Authorization: Basic {TOKEN}", f"Authorization: {TOKEN}"]
)
async def test_without_the_token_nothing_is_told_or_done(
    port: int, commands: Commands, header: str, caplog: pytest.LogCaptureFixture
) -> None:
    more = [header] if header else []
    assert (await say(port, request("POST", "/v1/halt", WHY, *more)))[0] == 401
    assert (await say(port, request("GET", "/v1/status", b"", *more)))[0] == 401
    assert commands.done == []
    assert "no token, or a wrong one" in caplog.text
    assert TOKEN not in caplog.text


async def test_with_the_token_it_is_heard_and_a_proxys_header_is_not_believed(port: int, commands: Commands) -> None:
    more = (f"Authorization: Bearer {TOKEN}", "X-Forwarded-For: 10.9.8.7")
    assert (await say(port, request("POST", "/v1/flatten", WHY, *more)))[0] == 200
    assert commands.done[0][2].startswith("token, 127.0.0.1:")


async def test_files_are_named_by_its_own_user_alone(
    local: Path, port: int, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    named = b'{"why": "a test", "files": ["/tmp/other.yaml"]}'
    assert (await say(local, request(path="/v1/reload", body=named)))[0] == 200
    assert commands.done[0][1].files == ("/tmp/other.yaml",)
    token = f"Authorization: Bearer {TOKEN}"
    status, answer = await say(port, request("POST", "/v1/reload", named, token))
    assert (status, "Unix socket only" in answer["error"]) == (403, True)
    assert (await say(port, request("POST", "/v1/reload", WHY, token)))[0] == 200
    assert [command.files for _, command, _ in commands.done] == [("/tmp/other.yaml",), ()]
    assert "files named over the network" in caplog.text


async def test_over_the_network_it_is_not_served_without_a_token(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ValueError, match="token"):
        Server(listener, commands, dict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x00\xff\x00 rubbish\r\n\r\n", 400),
        (request(body=b"{"), 400),
        (request(body=b""), 400),
        (request(body=b"[]"), 400),
        (request(body=b"\xff\xfe"), 400),
        (request(body=b"[" * 10_000), 400),
        (request(body=b'{"why": ""}'), 400),
        (request(body=b'{"why": 7}'), 400),
        (request(body=b'{"why": "a\\nb"}'), 400),
        (request(body=b'{"why": "x", "acount": "main"}'), 400),
        (request(body=b'{"why": "x", "account": "a", "strategy": "b"}'), 400),
        (request(body=b'{"why": "x", "timeout_s": 1e9}'), 400),
        (request("GET"), 405),
        (request("POST", "/v1/status"), 405),
        (request("POST", "/v1/sell"), 404),
        (request("POST", "/"), 404),
        (request(body=b"x" * (LARGEST_BYTES + 1)), 413),
        (b"POST /v1/halt HTTP/1.1\r\nHost: node\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (
            b"POST /v1/halt HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4000\r\n" + b"x" * 0x4000 + b"\r\n4000\r\n" + b"x" * 0x4000 + b"\r\n0\r\n\r\n",
            413,
        ),
        (b"GET /v1/status HTTP/1.1\r\nHost: node\r\nX: " + b"x" * (LARGEST_HEAD_BYTES * 2), 400),
    ],
)
async def test_what_is_malformed_or_too_large_is_refused_and_does_no_harm(
    local: Path, commands: Commands, raw: bytes, status: int
) -> None:
    assert (await say(local, raw))[0] == status
    assert commands.done == []
    assert (await say(local, request()))[0] == 200


@pytest.mark.parametrize("raw", [b"", b"GET /v1/sta", request()[:-3]], ids=["nothing", "half a head", "half a body"])
async def test_who_says_nothing_more_is_let_go(
    local: Path, commands: Commands, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    assert (await say(local, raw))[0] in (0, 408)
    assert commands.done == []


async def test_a_command_that_fails_says_no_more_than_that(
    local: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("inner things")

    monkeypatch.setattr(commands, "do", fails)
    status, answer = await say(local, request())
    assert (status, answer) == (500, {"error": "the node failed at it, see its log"})
    assert "inner things" in caplog.text


def test_a_refused_command_says_why() -> None:
    with pytest.raises(Refused, match="acount"):
        parse(b'{"why": "x", "acount": "main"}')


async def test_what_ended_nodes_left_is_removed_and_a_running_ones_is_not(local: Path, tmp_path: Path) -> None:
    stale = local.parent / "old.paper.7.sock"
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(tmp_path / "s"))
        (tmp_path / "s").rename(stale)
    assert not answers(stale)
    other = Place("other", "sim", 8, local.parent)
    with listen(other):
        assert not stale.exists()
        assert local.exists()
        assert answers(local)


def test_a_folder_that_is_not_the_users_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NodeError, match="can't be used"):
        listen(Place("test", "sim", 1, tmp_path / "link"))


@pytest.fixture(autouse=True)
def _loud(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    caplog.set_level(logging.DEBUG)
    return lambda: None
