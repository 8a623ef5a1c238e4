"""A bug in the gate of a running node: the file, the adapter and the simulated exchange are as in earnest."""

from __future__ import annotations

import asyncio
from datetime import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from nautilus_trader.model.enums import OrderStatus

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.alerts.test_sink import Receiver, receiver  # noqa: F401
from tests.node.inside import running, until, write

KEY = "PKGATEFAULT000000001"
MORE = """
risk: {max_order_qty: 100}
alerts: {webhook: {url: {env: HOOK}}, denials_in_row: 1}
metrics: {listen: "127.0.0.1:0"}
"""


def broken(*_args: Any) -> Any:
    raise RuntimeError("a bug")


async def test_it_denies_counts_and_alerts_while_cancels_pass_and_the_node_lives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,  # noqa: F811
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = Settings(wait=True, symbols=("IBM",), start=time(10, 0), activity=0.001)
    async with ExchangeServer(settings) as exchange:
        path = tmp_path / "faulty.yaml"
        write(path, exchange, tmp_path / "state", more=MORE)
        async with running(path, KEY, {"HOOK": receiver.url.get_secret_value()}) as assembled:
            node = assembled.node
            strategy: Any = node.parts.strategies["quiet"]  # type: ignore[union-attr]
            at_venue = exchange.broker.desk.account(KEY).orders
            resting = strategy.send("1.00")
            await until(lambda: resting.status == OrderStatus.ACCEPTED)

            gate: Any = node.gate
            sound, gate.judge.submit = gate.judge.submit, broken
            order = strategy.send()
            await until(lambda: order.status == OrderStatus.DENIED)
            assert order.last_event.reason == "GATE_ERROR: the gate could not judge it (RuntimeError: a bug)"
            strategy.cancel_order(resting)
            await until(lambda: resting.status == OrderStatus.CANCELED)
            assert [each.client_order_id for each in at_venue.values()] == [resting.client_order_id.value]

            told = {}
            while set(told) < {"gate fault", "denials"}:
                body = await asyncio.to_thread(receiver.bodies.get, timeout=20)
                told[body["kind"]] = body["alerts"]
            assert told["gate fault"] == ["the risk gate failed 1 times: see the log"]
            assert told["denials"][0].startswith("strategy quiet: 1 denials in a row, the last: GATE_ERROR: ")
            page = await scrape(assembled.telemetry)
            assert 'runner_denials_total{account="main",code="GATE_ERROR",strategy="quiet"} 1.0' in page
            assert "runner_gate_errors_total 1.0" in page

            gate.judge.submit = sound
            again = strategy.send("1.00")
            await until(lambda: again.status == OrderStatus.ACCEPTED)


async def scrape(telemetry: Any) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return (await client.get(telemetry.server.url + "/metrics")).text
