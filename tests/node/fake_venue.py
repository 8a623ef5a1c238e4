"""A venue without a network: enough of an adapter to bring a node up, and every way in which one can fail."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, LiquiditySide, OmsType, OrderSide, OrderType
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    InstrumentId,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy, StrategyConfig

from runner.alpaca.models import CalendarDay
from runner.alpaca.venue_clock import VenueClock
from runner.config.models import RunnerConfig
from runner.node.build import Endpoint, NodePlan
from runner.node.node import Node

VENUE = Venue("ALPACA")
IBM = InstrumentId.from_str("IBM.ALPACA")


def equity(symbol: str) -> Any:
    return Equity(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def quote(price: str = "100.00", n: int = 1) -> Any:
    return QuoteTick(
        IBM, Price.from_str(price), Price.from_str(price), Quantity.from_int(5), Quantity.from_int(5), n, n
    )


@dataclass
class Behaviour:
    """How the fake venue behaves; tests change it before, or while, the node runs."""

    data_connect: Any = None
    exec_connect: Any = None
    report: Any = None
    disconnect: Any = None
    snapshot: Any = None
    look_up: Any = None
    fill_markets: bool = True
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    cash: Decimal = Decimal(100000)
    venue_clock: VenueClock | None = None
    calendar: Any = None
    short_days: set[str] = field(default_factory=set)
    cancels: list[str] = field(default_factory=list)
    marks: dict[str, Decimal] = field(default_factory=dict)


async def act(behaviour: Any) -> None:
    """Raise an exception, hang on 'hang', or hang and ignore cancellation until a Stubborn is released."""
    if isinstance(behaviour, BaseException):
        raise behaviour
    if behaviour == "hang":
        await asyncio.Event().wait()
    while isinstance(behaviour, Stubborn) and not behaviour.released.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await behaviour.released.wait()


class Stubborn:
    """Ignores cancellation; released when the test is over, so that the loop can close."""

    def __init__(self) -> None:
        self.released = asyncio.Event()


@dataclass(frozen=True)
class FakeFill:
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    inferred: bool = False


class FakeLedger(list[FakeFill]):
    """None of its fills is kept as a sum alone."""

    earlier = None


@dataclass(frozen=True)
class FakeSnapshot:
    cash: Decimal
    equity: Decimal
    positions: dict[str, Decimal]
    ts_ns: int = 0
    marks: dict[str, Decimal] = field(default_factory=dict)


class FakeData(LiveMarketDataClient):
    def __init__(self, name: str, behaviour: Behaviour, kernel: Any) -> None:
        super().__init__(
            loop=asyncio.get_running_loop(),
            client_id=ClientId(name),
            venue=VENUE,
            msgbus=kernel.msgbus,
            cache=kernel.cache,
            clock=kernel.clock,
            instrument_provider=InstrumentProvider(),
        )
        self.behaviour = behaviour

    async def _connect(self) -> None:
        await act(self.behaviour.data_connect)
        for symbol in ("IBM", "BAC"):
            self._handle_data(equity(symbol))

    async def _disconnect(self) -> None:
        await act(self.behaviour.disconnect)

    async def look_up(self, instruments: Any, bars: Any, quotes: Any) -> list[str]:
        await act(self.behaviour.look_up)
        return self.behaviour.look_up if isinstance(self.behaviour.look_up, list) else []

    async def _subscribe_quote_ticks(self, command: Any) -> None: ...
    async def _unsubscribe_quote_ticks(self, command: Any) -> None: ...

    def stream_stats(self) -> dict[str, int]:
        return {"quotes": 3, "trades": 2, "bars": 1, "delivered": 6}

    #: What only the real clients have: nothing is missing, and trade updates arrive.
    gapped = False

    def send(self, tick: Any) -> None:
        self._handle_data(tick)


class FakeExec(LiveExecutionClient):
    def __init__(self, name: str, behaviour: Behaviour, kernel: Any) -> None:
        super().__init__(
            loop=asyncio.get_running_loop(),
            client_id=ClientId(name),
            venue=VENUE if name == "ALPACA" else None,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            instrument_provider=InstrumentProvider(),
            msgbus=kernel.msgbus,
            cache=kernel.cache,
            clock=kernel.clock,
        )
        self._set_account_id(AccountId(f"{name}-1"))
        self.behaviour = behaviour
        self.opening: FakeSnapshot | None = None
        self.fills = FakeLedger()
        self.in_flight = 0
        self.sent: list[str] = []
        self.held: dict[str, Decimal] = {}
        self.cash = behaviour.cash
        self.ready = True
        self.venue_clock = behaviour.venue_clock or VenueClock(self._clock.timestamp_ns)
        self.rest = SimpleNamespace(calendar=self._calendar)
        self._numbers = 0

    async def _calendar(self, first: date, last: date) -> list[CalendarDay]:
        await act(self.behaviour.calendar)
        short = self.behaviour.short_days
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        closes = {day: "13:00" if day.isoformat() in short else "16:00" for day in days if day.weekday() < 5}
        return [CalendarDay(date=day.isoformat(), open="09:30", close=close) for day, close in closes.items()]

    def set_gate_check(self, check: Any, *, legal: bool = False) -> None:
        """Every order is taken."""

    def set_opening_check(self, check: Any) -> None:
        """No order waits, so that nobody but a test asks."""
        self.opening_check = check

    def is_extended(self, client_order_id: Any) -> bool:
        return False

    async def _connect(self) -> None:
        await act(self.behaviour.exec_connect)
        total = Money(self.cash, USD)
        self.generate_account_state(
            balances=[AccountBalance(total, Money(0, USD), total)],
            margins=[],
            reported=True,
            ts_event=self._clock.timestamp_ns(),
        )
        await self._await_account_registered()
        self.opening = FakeSnapshot(self.cash, self.cash, {})
        self.behaviour.connected.set()

    async def _disconnect(self) -> None:
        await act(self.behaviour.disconnect)

    async def generate_order_status_report(self, command: Any) -> None:
        return None

    async def generate_order_status_reports(self, command: Any) -> list[Any]:
        await act(self.behaviour.report)
        return []

    async def generate_fill_reports(self, command: Any) -> list[Any]:
        return []

    async def generate_position_status_reports(self, command: Any) -> list[Any]:
        return []

    async def settle(self) -> None: ...

    async def broker_snapshot(self) -> FakeSnapshot:
        await act(self.behaviour.snapshot)
        return FakeSnapshot(self.cash, self.cash, dict(self.held), marks=dict(self.behaviour.marks))

    async def non_trade_activities(self, since: Any) -> list[Any]:
        return []

    def unsettled(self) -> set[Any]:
        return set()

    async def cancel_others(self, kept: Any, timeout_s: float) -> tuple[int, list[str]]:
        return 0, []

    def awaited_activities(self) -> dict[str, int]:
        return {}

    def stream_stats(self) -> dict[str, int]:
        return {"delivered": len(self.fills)}

    def fill(self, order: Any, price: str = "100.00") -> None:
        """Fill an order completely, as the venue would say it on its stream."""
        self._numbers += 1
        sign = 1 if order.is_buy else -1
        qty = order.quantity.as_decimal()
        self.held["IBM"] = self.held.get("IBM", Decimal(0)) + sign * qty
        self.cash -= sign * qty * Decimal(price)
        self.fills.append(FakeFill("IBM", "buy" if order.is_buy else "sell", qty, Decimal(price)))
        self.generate_order_filled(
            **self._ids(order),
            venue_order_id=order.venue_order_id or VenueOrderId(f"V-{order.client_order_id}"),
            venue_position_id=None,
            trade_id=TradeId(f"T{self._numbers}"),
            order_side=order.side,
            order_type=order.order_type,
            last_qty=order.quantity,
            last_px=Price.from_str(price),
            quote_currency=USD,
            commission=Money(0, USD),
            liquidity_side=LiquiditySide.TAKER,
            ts_event=self._clock.timestamp_ns(),
        )

    def _ids(self, order: Any) -> dict[str, Any]:
        return {
            "strategy_id": order.strategy_id,
            "instrument_id": order.instrument_id,
            "client_order_id": order.client_order_id,
        }

    async def _submit_order(self, command: Any) -> None:
        order, now = command.order, self._clock.timestamp_ns()
        self.sent.append(order.client_order_id.value)
        self.generate_order_submitted(**self._ids(order), ts_event=now)
        voi = VenueOrderId(f"V-{order.client_order_id}")
        self.generate_order_accepted(**self._ids(order), venue_order_id=voi, ts_event=now)
        if order.order_type == OrderType.MARKET and self.behaviour.fill_markets:
            self.fill(order)

    async def _cancel_order(self, command: Any) -> None:
        order = self._cache.order(command.client_order_id)
        self.behaviour.cancels.append(command.client_order_id.value)
        self.generate_order_canceled(
            **self._ids(order),
            venue_order_id=VenueOrderId(f"V-{order.client_order_id}"),
            ts_event=self._clock.timestamp_ns(),
        )

    async def _cancel_all_orders(self, command: Any) -> None:
        for order in self._cache.orders_open(instrument_id=command.instrument_id, strategy_id=command.strategy_id):
            await self._cancel_order(order)


class FakeAdapter:
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.data: Any = None
        self.exec: dict[str, Any] = {}

    def data_client(self, name: str, feed: Any, endpoint: Any, instruments: Any, plan: Any, kernel: Any) -> Any:
        self.data = FakeData(name, self.behaviour, kernel)
        return self.data

    def exec_client(self, name: str, endpoint: Any, instruments: Any, plan: Any, kernel: Any) -> Any:
        client = FakeExec(name, self.behaviour, kernel)
        self.exec[name] = client
        return client


class Quiet(Strategy):
    """Counts ticks, and fails where a test tells it to."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.ticks = 0
        self.heard: list[str] = []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(IBM)

    def on_quote_tick(self, tick: Any) -> None:
        self.ticks += 1

    def on_order_event(self, event: Any) -> None:
        self.heard.append(type(event).__name__)

    def on_stop(self) -> None:
        self.heard.append("on_stop")

    def limit(self, price: str = "90.00", side: Any = OrderSide.BUY, **more: Any) -> Any:
        order = self.order_factory.limit(IBM, side, Quantity.from_int(10), Price.from_str(price), **more)
        self.submit_order(order)
        return order

    def market(self, side: Any = OrderSide.BUY) -> Any:
        order = self.order_factory.market(IBM, side, Quantity.from_int(10))
        self.submit_order(order)
        return order


@dataclass(frozen=True)
class FakePlan:
    id: str
    cls: Any
    spec: Any
    config: Any
    instruments: tuple[str, ...] = ("IBM.ALPACA",)


def make_plan(
    strategies: dict[str, Any],
    *,
    on_stop: str | dict[str, str] = "cancel",
    accounts: tuple[str, ...] = ("main",),
    schedules: dict[str, Any] | None = None,
    **times: str,
) -> NodePlan:
    """A plan over the fake venue; `strategies` maps names to classes. Times default to a hundredth of the usual."""
    node = {"connect_timeout": "300ms", "reconcile_timeout": "300ms", "stop_timeout": "1s", **times}
    config = RunnerConfig.model_validate(
        {
            "name": "test",
            "environment": "sim",
            "feeds": {"stocks": {"market": "stocks"}},
            "accounts": {
                a: {"broker": "alpaca", "key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}} for a in accounts
            },
            "strategies": {
                name: {
                    "class": "tests.node:Any",
                    "account": accounts[n % len(accounts)],
                    "feed": "stocks",
                    "on_stop": on_stop if isinstance(on_stop, str) else on_stop[name],
                    "schedule": (schedules or {}).get(name),
                }
                for n, name in enumerate(strategies)
            },
            "log": {"level": "error"},
            "node": node,
        }
    )
    endpoint = Endpoint("key", "secret")
    return NodePlan(
        config=config,
        strategies={
            name: FakePlan(name, cls, config.strategies[name], StrategyConfig(order_id_tag=name))
            for name, cls in strategies.items()
        },
        accounts=dict.fromkeys(accounts, endpoint),
        feeds={"stocks": endpoint},
    )


class Run:
    """A node running in a task. `async with run:` waits until it trades; leaving it stops it."""

    def __init__(self, plan: NodePlan, behaviour: Behaviour, **options: Any) -> None:
        self.adapter = FakeAdapter(behaviour)
        self.behaviour = behaviour
        self.node = Node(plan, self.adapter, **options)
        self.task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Run:
        self.begin()
        await self.until(lambda: self.node.ready or self.task.done())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.node.request_stop()
        await self.task

    def begin(self) -> None:
        self.task = asyncio.create_task(self.node.run())

    async def end(self) -> int:
        self.node.request_stop()
        return await self.task

    @property
    def exec(self) -> FakeExec:
        return self.adapter.exec["ALPACA"]

    def strategy(self, name: str) -> Any:
        return self.node.parts.strategies[name]

    async def until(self, holds: Any, turns: int = 20000) -> None:
        """Let the loop turn until something holds."""
        for _ in range(turns):
            if holds():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to pass")
