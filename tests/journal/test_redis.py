"""A real Redis: strategies' state moves to another machine, messages are streamed, and losing it stops nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time as clock
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import redis

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.journal import SharedStates
from tests.journal.test_kill import KILLS, Life, write_file

pytestmark = pytest.mark.slow
PASSWORD = "a-password-of-redis-1"
DAY: dict[str, Any] = {
    "wait": True, "symbols": ("IBM", "BAC", "BTC/USD"), "options": ("IBM",), "start": time(10, 0), "speed": 20,
    "activity": 0.3,
}  # fmt: skip


class Server:
    """redis-server on a free port, without a file."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, password=PASSWORD, socket_timeout=2.0)

    def start(self) -> None:
        words = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            PASSWORD,
        ]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = clock.monotonic() + 20
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert clock.monotonic() < deadline, "redis-server did not start"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server() -> Iterator[Server]:
    if shutil.which("redis-server") is None and os.geteuid() == 0:
        for words in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "redis-server"]):
            subprocess.run(words, check=False, capture_output=True, timeout=110)
    if shutil.which("redis-server") is None:
        pytest.fail("these tests need redis-server: install Debian's package of that name (apt-get install)")
    made = Server()
    made.start()
    yield made
    made.stop()


def shared(server: Server, password: str | None = PASSWORD) -> SharedStates:
    return SharedStates("n:paper", host="127.0.0.1", port=server.port, username=None, password=password, tls=False)


def test_a_state_comes_back_as_it_was(server: Server) -> None:
    states = shared(server)
    states.check()
    assert states.load("one") is None
    states.save("one", 5, {"a": b"\x00\xff", "b": b""})
    assert states.load("one") == (5, {"a": b"\x00\xff", "b": b""})
    assert states.load("two") is None


def test_a_wrong_password_and_a_server_that_is_down_are_told_without_the_password(server: Server) -> None:
    with pytest.raises(OSError, match="can't be used") as caught:
        shared(server, "wrong-password-9").check()
    assert "wrong-password-9" not in str(caught.value)
    server.stop()
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port} can't be used"):
        shared(server).check()


def redis_text(server: Server) -> str:
    return f", redis: {{port: {server.port}, password: {{env: REDIS_PASSWORD}}}}"


async def test_a_node_streams_its_orders_and_hands_its_state_to_another_machine(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    async with ExchangeServer(Settings(**DAY)) as exchange:
        for number, machine in enumerate(("a", "b")):
            folder = tmp_path / machine  # each with a state folder of its own
            folder.mkdir()
            life = Life(folder, write_file(folder, exchange, redis_text(server)), number if machine == "a" else KILLS)
            await life.start()
            await life.until_trading()
            if machine == "a":
                key = b"kill:events.order.Frantic-one"
                deadline = clock.monotonic() + 20
                while not server.client.xlen(key):
                    assert clock.monotonic() < deadline, (server.client.keys(), life.log)
                    await asyncio.sleep(0.02)
            await life.kill(signal.SIGTERM)
            assert life.process is not None
            assert life.process.returncode == 0, life.log
            assert PASSWORD not in life.log
        assert json.loads((tmp_path / "b" / "one.json").read_text())["lives"] == 2
    kinds = {json.loads(row[b"payload"])["type"] for _, row in server.client.xrange(key)}
    assert {"OrderSubmitted", "OrderAccepted"} <= kinds
    assert not any(name.startswith(b"kill:data.quotes") for name in server.client.scan_iter())


async def test_a_redis_that_dies_during_the_run_stops_nothing_and_one_that_is_down_at_the_start_refuses_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    async with ExchangeServer(Settings(**DAY)) as exchange:
        path = write_file(tmp_path, exchange, redis_text(server))
        life = Life(tmp_path, path, 0)
        await life.start()
        await life.until_trading()
        server.stop()
        orders = len(exchange.broker.desk.account("PKKILLTEST0000000001").orders)
        deadline = clock.monotonic() + 20
        while len(exchange.broker.desk.account("PKKILLTEST0000000001").orders) < orders + 3:
            assert clock.monotonic() < deadline, life.log
            await asyncio.sleep(0.02)
        await life.kill(signal.SIGTERM)
        assert life.process is not None
        assert life.process.returncode == 0, life.log
        assert "the state of strategy one could not be saved" in life.log
        life = Life(tmp_path, path, 1)
        await life.start()
        assert life.process is not None
        await life.process.communicate()
        assert life.process.returncode == 69, life.log
        assert "take state.redis out of the file" in life.log
