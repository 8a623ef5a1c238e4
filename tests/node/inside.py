"""A node of a file that runs within the test, with the adapter and a simulated exchange as in earnest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from runner.config.load import load
from runner.config.strategies import resolve
from runner.exchange.server import ExchangeServer
from runner.node.assemble import Assembled, assemble
from runner.node.exit_codes import ExitCode
from runner.node.progress import ReplayBar

IBM = InstrumentId.from_str("IBM.ALPACA")
FILE = """
name: inside
environment: paper
feeds: {{stocks: {{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}}}
accounts:
  main: {{broker: alpaca, key: {{env: TEST_KEY}}, secret: {{env: TEST_SECRET}}, url: "{url}"}}
strategies:
  quiet:
    class: "tests.node.inside:Idle"
    account: main
    feed: stocks
    on_stop: {on_stop}
    params: {{instrument_id: IBM.ALPACA}}
state: {{dir: "{state}"}}
log: {{level: error}}
"""


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


def write(path: Path, exchange: ExchangeServer, state: Path, *, on_stop: str = "cancel", more: str = "") -> None:
    """The file of a node on this exchange; `more` is appended."""
    path.write_text(FILE.format(url=exchange.url, ws_url=exchange.ws_url, state=state, on_stop=on_stop) + more)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(path: Path, key: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Assembled]:
    """Its node from when it is ready until it has wound down, which must end well."""
    loaded = load([path], environ={"TEST_KEY": key, "TEST_SECRET": "s3cret-s3cret-s3cret", **(environ or {})})
    assembled = assemble(
        loaded.config, resolve(loaded), exchange=None, ready=None, sim=None, live=False, bar=ReplayBar("inside")
    )
    run = asyncio.create_task(assembled.node.run())
    try:
        await until(lambda: assembled.node.ready or run.done())
        yield assembled
        assert not run.done()
    finally:
        assembled.node.request_stop()
        code = await run
        assembled.close()
    assert code == ExitCode.OK
