"""A bug in the gate of a running node: the file, the adapter and the simulated exchange are as in earnest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from runner.config.load import load
from runner.config.strategies import resolve
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.node.assemble import assemble
from runner.node.exit_codes import ExitCode
from runner.node.progress import ReplayBar
from tests.alerts.test_sink import Receiver, receiver  # noqa: F401

KEY = "PKGATEFAULT000000001"
FILE = """
name: faulty
environment: paper
feeds: {{stocks: {{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}}}
accounts:
  main: {{broker: alpaca, key: {{env: TEST_KEY}}, secret: {{env: TEST_SECRET}}, url: "{url}"}}
strategies:
  quiet:
    {{class: "tests.node.test_gate_fault:Idle", account: main, feed: stocks, params: {{instrument_id: IBM.ALPACA}}}}
risk: {{max_order_qty: 100}}
alerts: {{webhook: {{url: {{env: HOOK}}}}, denials_in_row: 1}}
metrics: {{listen: "127.0.0.1:0"}}
state: {{dir: "{folder}"}}
log: {{level: error}}
"""


IBM = InstrumentId.from_str("IBM.ALPACA")


class IdleConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]
    instrument_id: InstrumentId


class Idle(Strategy):  # type: ignore[misc]
    """Does what the test tells it."""

    def __init__(self, config: IdleConfig) -> None:
        super().__init__(config)

    def send(self, price: str | None = None) -> Any:
        factory, one = self.order_factory, Quantity.from_int(1)
        if price is None:
            order = factory.market(IBM, OrderSide.BUY, one, time_in_force=TimeInForce.DAY)
        else:
            order = factory.limit(IBM, OrderSide.BUY, one, Price.from_str(price), time_in_force=TimeInForce.DAY)
        self.submit_order(order)
        return order


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


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
        path.write_text(FILE.format(url=exchange.url, ws_url=exchange.ws_url, folder=tmp_path / "state"))
        keys = {"TEST_KEY": KEY, "TEST_SECRET": "s3cret-s3cret-s3cret", "HOOK": receiver.url.get_secret_value()}
        loaded = load([path], environ=keys)
        assembled = assemble(
            loaded.config, resolve(loaded), exchange=None, ready=None, sim=None, live=False, bar=ReplayBar("faulty")
        )
        node = assembled.node
        run = asyncio.create_task(node.run())
        try:
            await until(lambda: node.ready or run.done())
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

            assert not run.done()
            gate.judge.submit = sound
            again = strategy.send("1.00")
            await until(lambda: again.status == OrderStatus.ACCEPTED)
            node.request_stop()
            assert await run == ExitCode.OK
        finally:
            node.request_stop()
            await run
            assembled.close()


async def scrape(telemetry: Any) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return (await client.get(telemetry.server.url + "/metrics")).text
