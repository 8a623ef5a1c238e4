"""A real `TradingNode` on the simulated exchange, whose market the test moves by hand. Everything in one loop."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.events import OrderEvent, OrderInitialized
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from runner.alpaca import (
    AlpacaDataClientConfig,
    AlpacaExecClientConfig,
    AlpacaLiveDataClientFactory,
    AlpacaLiveExecClientFactory,
    use_direct_delivery,
)
from runner.alpaca.execution import AlpacaExecutionClient
from runner.exchange.market import Quote
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.node.books import multiplier

NEW_YORK = ZoneInfo("America/New_York")
TEN_O_CLOCK = int(datetime(2026, 1, 12, 10, 0, tzinfo=NEW_YORK).timestamp()) * 1_000_000_000
IBM = InstrumentId.from_str("IBM.ALPACA")
BAC = InstrumentId.from_str("BAC.ALPACA")
DEADLINE_S = 15.0
VENUE: dict[str, Any] = {"wait": True, "symbols": ("IBM", "BAC")}
#: A market that the test moves: hardly anything is generated.
STILL: dict[str, Any] = {"activity": 0.001}
#: Everything a hundred times faster than in earnest.
QUICK: dict[str, Any] = {
    "http_timeout_s": 2.0,
    "connect_timeout_s": 5.0,
    "backoff_min_s": 0.02,
    "backoff_max_s": 0.1,
    "busy_backoff_s": 0.05,
    "retry_delay_s": 0.02,
    "trading_per_min": 100_000,
    "data_per_min": 100_000,
}
#: A test sends more in a second than Nautilus lets through by default.
UNTHROTTLED: dict[str, Any] = {
    "max_order_submit_rate": "10000/00:00:01",
    "max_order_modify_rate": "10000/00:00:01",
}
_ids = itertools.count(1)


class Recorder(Strategy):
    """Keeps every order event, and wakes whoever waits for one."""

    def __init__(self, tag: str) -> None:
        super().__init__(StrategyConfig(order_id_tag=tag))
        self.events: list[OrderEvent] = []
        self.data: list[Any] = []
        self.woken = asyncio.Event()

    def on_order_event(self, event: OrderEvent) -> None:
        self.events.append(event)
        self.woken.set()

    def on_quote_tick(self, tick: Any) -> None:
        self._note(tick)

    def on_trade_tick(self, tick: Any) -> None:
        self._note(tick)

    def on_bar(self, bar: Any) -> None:
        self._note(bar)

    def on_data(self, data: Any) -> None:
        self._note(data)

    def on_historical_data(self, data: Any) -> None:
        self._note(data)

    def _note(self, data: Any) -> None:
        self.data.append(data)
        self.woken.set()

    def names(self, order: Any) -> list[str]:
        """The events of one order, in short."""
        return [
            type(event).__name__.removeprefix("Order")
            for event in self.events
            if event.client_order_id == order.client_order_id and not isinstance(event, OrderInitialized)
        ]


class Rig:
    """The node, its strategy and client, and the exchange that they talk to."""

    def __init__(self, exchange: ExchangeServer, node: TradingNode, strategy: Recorder) -> None:
        self.exchange = exchange
        self.node = node
        self.strategy = strategy
        self.key = ""

    @property
    def client(self) -> AlpacaExecutionClient:
        (client,) = self.node.kernel.exec_engine._clients.values()
        return client

    @property
    def data(self) -> Any:
        (client,) = self.node.kernel.data_engine._clients.values()
        return client

    @property
    def faults(self) -> Any:
        return self.exchange.broker.faults

    @property
    def account(self) -> Any:
        return self.exchange.broker.desk.account(self.key)

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        """The market moves: a quote, a millisecond later than the last."""
        market = self.exchange.market
        market.set_clock(market.now_ns + 1_000_000)
        market.set_quote(Quote(symbol, Decimal(bid), 100, Decimal(ask), 100, market.now_ns))

    def position(self, symbol: str) -> Decimal:
        """What the venue holds for us."""
        held = self.account.positions.get(symbol)
        return Decimal(0) if held is None else held.qty

    def market(self, side: str, qty: object, instrument_id: InstrumentId = IBM, **kw: Any) -> Any:
        return self.send("market", side, qty, instrument_id, **kw)

    def limit(self, side: str, qty: object, price: str, instrument_id: InstrumentId = IBM, **kw: Any) -> Any:
        instrument = self.node.kernel.cache.instrument(instrument_id)
        return self.send("limit", side, qty, instrument_id, price=instrument.make_price(Decimal(price)), **kw)

    def send(self, kind: str, side: str, qty: object, instrument_id: InstrumentId = IBM, **kw: Any) -> Any:
        """Submit an order through the strategy; returns the order."""
        instrument = self.node.kernel.cache.instrument(instrument_id)
        params = kw.pop("params", None)
        make = getattr(self.strategy.order_factory, kind)
        order = make(
            instrument_id,
            OrderSide.BUY if side == "buy" else OrderSide.SELL,
            instrument.make_qty(Decimal(str(qty))),
            **kw,
        )
        self.strategy.submit_order(order, params=params)
        return order

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until something holds: looked at after each event, and every few milliseconds for what has none."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self.strategy.woken.clear()
                    try:
                        async with asyncio.timeout(0.01):
                            await self.strategy.woken.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            seen = [type(event).__name__ for event in self.strategy.events]
            raise AssertionError(f"never came: {what or condition}; events: {seen}") from None

    async def status(self, order: Any, status: OrderStatus) -> None:
        await self.until(
            lambda: order.status == status, f"{order.client_order_id} {status.name}, is {order.status.name}"
        )

    async def agree(self, *symbols: str) -> None:
        """Positions of the venue, of the adapter and of Nautilus are the same, and cash is what the fills make it."""
        await self.client.settle()
        net_position = self.node.kernel.portfolio.net_position
        for symbol in ("IBM", "BAC", *symbols):
            held, instrument_id = self.position(symbol), InstrumentId.from_str(f"{symbol}.ALPACA")
            assert self.client.crossings.position(symbol) == held
            # What the settling has just told may still be on its way to the engine's queue, which is empty meanwhile.
            await self.until(
                lambda held=held, each=instrument_id: Decimal(str(net_position(each))) == held,
                f"{symbol}: {held} at the venue, {net_position(instrument_id)} in Nautilus",
            )
        snapshot = await self.client.broker_snapshot()
        assert self.client.opening is not None
        spent = sum(
            (
                (fill.qty if fill.side == "buy" else -fill.qty) * fill.price * multiplier(fill.symbol) + fill.fee_usd
                for fill in self.client.fills
            ),
            Decimal(0),
        )
        cash = self.client.opening.cash - spent
        assert snapshot.cash == cash.quantize(Decimal("1e-9"))  # as the venue writes it


@asynccontextmanager
async def _running(
    *,
    data: bool = False,
    data_config: dict[str, Any] | None = None,
    exec_config: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    before: Callable[[ExchangeServer, str], None] | None = None,
    strategies: Sequence[Strategy] = (),
) -> AsyncIterator[Rig]:
    """A connected node. The market stands still at ten o'clock, IBM at 180.00 to 180.02, BAC at 14.00 to 14.01.

    `before` is called with the exchange and the account's key before the node connects. Nothing patrols unless
    `exec_config` says so, so that a test sees what the stream alone brings about. `strategies` run beside the recorder.
    """
    number = next(_ids)
    key = f"PKTEST{number}"
    async with ExchangeServer(Settings(**(VENUE | (settings or STILL)))) as exchange:
        urls = {"trading_url": exchange.url, "data_url": exchange.url, "stream_url": exchange.ws_url}
        common = {
            "api_key": key,
            "api_secret": "secret",
            "instrument_provider": InstrumentProviderConfig(load_ids=frozenset({IBM, BAC})),
            **urls,
            **QUICK,
        }
        engines = {"graceful_shutdown_on_exception": True}
        quick_exec = {
            "unknown_timeout_s": 0.4,
            "lookup_delay_min_s": 0.02,
            "lookup_delay_max_s": 0.1,
            "account_refresh_s": 0.02,
            "check_interval_s": 0.0,
            "stream_wait_s": 5.0,
        }
        node = TradingNode(
            TradingNodeConfig(
                trader_id=f"TEST-{number:03d}",
                logging=LoggingConfig(log_level=os.environ.get("TEST_LOG", "ERROR"), log_colors=False),
                data_clients={"ALPACA": AlpacaDataClientConfig(**(common | (data_config or {})))} if data else {},
                exec_clients={"ALPACA": AlpacaExecClientConfig(**(common | quick_exec | (exec_config or {})))},
                data_engine=LiveDataEngineConfig(**engines),
                risk_engine=LiveRiskEngineConfig(**engines, **UNTHROTTLED),
                exec_engine=LiveExecEngineConfig(inflight_check_interval_ms=0, **engines),
                timeout_connection=10.0,
                timeout_post_stop=0.05,
                timeout_disconnection=5.0,
            ),
            loop=asyncio.get_running_loop(),
        )
        strategy = Recorder(str(number))
        node.add_data_client_factory("ALPACA", AlpacaLiveDataClientFactory)
        node.add_exec_client_factory("ALPACA", AlpacaLiveExecClientFactory)
        for one in (strategy, *strategies):
            node.trader.add_strategy(one)
        node.build()
        if data:
            use_direct_delivery(node.kernel.data_engine)
        rig = Rig(exchange, node, strategy)
        rig.key = key
        if not settings:
            exchange.market.set_clock(TEN_O_CLOCK)
            rig.quote("IBM", "180.00", "180.02")
            rig.quote("BAC", "14.00", "14.01")
        if before is not None:
            before(exchange, key)
        run = asyncio.create_task(node.run_async())
        try:
            await rig.until(lambda: node.trader.is_running or run.done(), "the trader's start")
            yield rig
        finally:
            await node.stop_async()
            await run


@pytest.fixture
def running() -> Any:
    """See `_running`."""
    return _running


type Play = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def play() -> Iterator[Play]:
    """Run a scenario on a loop of its own, as a node wants one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def go(scenario: Coroutine[Any, Any, None]) -> None:
        loop.run_until_complete(scenario)

    yield go
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()
