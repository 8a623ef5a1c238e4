"""Where the metrics are served when the port of the file is taken."""

from __future__ import annotations

import logging
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from runner.node.exit_codes import ExitCode
from runner.node.telemetry import TelemetryHook
from tests.node.fake_venue import Behaviour, Quiet, Run, make_plan


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def healthy() -> tuple[bool, str]:
    return True, "ok"


async def test_a_real_node_refuses_to_start_without_its_port(
    behaviour: Behaviour, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    hook = TelemetryHook("127.0.0.1", taken, healthy)
    run = Run(make_plan({"a": Quiet}), behaviour, hooks=(hook,))
    assert await run.node.run() == ExitCode.CONFIG
    hook.close()
    assert f"can't listen on 127.0.0.1:{taken}" in caplog.text
    assert not behaviour.connected.is_set()


async def test_a_simulated_one_takes_a_free_port_and_says_which(
    behaviour: Behaviour, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hook = TelemetryHook("127.0.0.1", taken, healthy, any_port=True)
    async with Run(make_plan({"a": Quiet}), behaviour, hooks=(hook,)) as run:
        assert hook.server is not None
        assert f"port {taken} is taken" in caplog.text
        assert f"metrics at {hook.server.url}/metrics" in caplog.text
        with urllib.request.urlopen(f"{hook.server.url}/-/healthy") as reply:
            assert reply.status == 200
        assert await run.end() == ExitCode.OK
    hook.close()
