"""A backtest on a margin account with the gate in its seat, and a strategy that does one thing at each quote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.orders import OrderList
from nautilus_trader.trading.strategy import Strategy

from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook

IBM = InstrumentId(Symbol("IBM"), Venue("ALPACA"))
SECOND = 1_000_000_000
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def equity(instrument_id: Any = IBM) -> Any:
    return Equity(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        margin_init=Decimal("0.5"),
        margin_maint=Decimal("0.25"),
        ts_event=0,
        ts_init=0,
    )


def quote(bid: str, ask: str, second: int, instrument_id: Any = IBM) -> Any:
    size = Quantity.from_int(1_000_000)
    ts = second * SECOND
    return QuoteTick(instrument_id, Price.from_str(bid), Price.from_str(ask), size, size, ts, ts)


def linked_to(order: Any, list_id: Any, others: list[str]) -> Any:
    """The order as one of a list that cancels the others."""
    return remade(order, contingency_type="OCO", order_list_id=list_id.value, linked_order_ids=others)


def remade(order: Any, **links: Any) -> Any:
    event = order.init_event
    return type(order).create(type(event).from_dict(event.to_dict(event) | links))


class Scripted(Strategy):  # type: ignore[misc]
    """Runs one step a quote, after the venue has seen the quote, and keeps all its order events."""

    def __init__(self, steps: list[Callable[[Scripted], Any]], tag: str) -> None:
        super().__init__(StrategyConfig(order_id_tag=tag))
        self.steps = iter(steps)
        self.at_start: Callable[[Scripted], Any] | None = None
        self.events: list[Any] = []
        self.on_each_event: Callable[[], None] | None = None

    def on_start(self) -> None:
        self.subscribe_quote_ticks(IBM)
        if self.at_start is not None:
            self.at_start(self)

    def on_quote_tick(self, tick: Any) -> None:
        step = next(self.steps, None)
        if step is not None:
            step(self)

    def on_order_event(self, event: Any) -> None:
        self.events.append(event)
        if self.on_each_event is not None:
            self.on_each_event()

    def market(self, side: Any, qty: int | str, **more: Any) -> Any:
        order = self.order_factory.market(IBM, side, Quantity.from_str(str(qty)), time_in_force=TimeInForce.DAY, **more)
        self.submit_order(order)
        return order

    def limit(self, side: Any, qty: int, price: str, **more: Any) -> Any:
        order = self.order_factory.limit(IBM, side, Quantity.from_int(qty), Price.from_str(price), **more)
        self.submit_order(order)
        return order

    def several(self, *wanted: tuple[Any, ...], **more: Any) -> Any:
        """A list of independent orders: side, quantity, limit (None: at the market), and of what where it isn't IBM."""
        orders = self.order_factory.create_list([self.made(*each) for each in wanted])
        self.submit_order_list(orders, **more)
        return orders

    def made(self, side: Any, qty: int, price: str | None = None, of: Any = IBM) -> Any:
        """An order that is not sent."""
        size = Quantity.from_int(qty)
        if price is None:
            return self.order_factory.market(of, side, size, time_in_force=TimeInForce.DAY)
        return self.order_factory.limit(of, side, size, Price.from_str(price))

    def pair(self, side: Any, qty: int, target: str, stop: str) -> Any:
        """Two exits of what is held, of which one cancels the other."""
        size, made = Quantity.from_int(qty), self.order_factory
        orders = [
            made.limit(IBM, side, size, Price.from_str(target)),
            made.stop_market(IBM, side, size, Price.from_str(stop)),
        ]
        list_id, ids = made.create_list(orders).id, [order.client_order_id.value for order in orders]
        linked = [
            linked_to(order, list_id, [id_ for id_ in ids if id_ != order.client_order_id.value]) for order in orders
        ]
        found = OrderList(list_id, linked)
        self.submit_order_list(found)
        return found

    def bracket(self, side: Any, qty: int, entry: str, stop: str, target: str) -> Any:
        orders = self.order_factory.bracket(
            IBM,
            side,
            Quantity.from_int(qty),
            entry_order_type=OrderType.LIMIT,
            entry_price=Price.from_str(entry),
            sl_trigger_price=Price.from_str(stop),
            tp_price=Price.from_str(target),
            tp_post_only=False,
        )
        self.submit_order_list(orders)
        return orders

    def entry_and_exit(self, qty: int, exits: int, price: str, target: str) -> Any:
        """An entry at a limit with one exit, of whatever quantity."""
        list_id = self.order_factory.generate_order_list_id()
        entry, exit_ = (
            self.order_factory.limit(IBM, side, Quantity.from_int(size), Price.from_str(at))
            for side, size, at in ((BUY, qty, price), (SELL, exits, target))
        )
        entry = remade(
            entry, contingency_type="OTO", order_list_id=list_id.value, linked_order_ids=[exit_.client_order_id.value]
        )
        exit_ = remade(exit_, order_list_id=list_id.value, parent_order_id=entry.client_order_id.value)
        self.submit_order_list(OrderList(list_id, [entry, exit_]))
        return entry, exit_

    def denials(self) -> list[str]:
        return [event.reason for event in self.events if type(event).__name__ == "OrderDenied"]

    def codes(self) -> list[str]:
        return [reason.split(":")[0] for reason in self.denials()]


@dataclass
class Bench:
    """One backtest: `run` it with the steps of each strategy, by tag."""

    engines: list[Any] = field(default_factory=list)

    def run(
        self,
        *steps: Callable[[Scripted], Any],
        limits: LimitsBook | Limits | None = None,
        quotes: list[Any] | None = None,
        others: dict[str, list[Callable[[Scripted], Any]]] | None = None,
        at_start: Callable[[Scripted], Any] | None = None,
        prepare: Callable[[Any, RiskGate], None] | None = None,
        instruments: list[Any] | None = None,
        **gate: Any,
    ) -> tuple[Scripted, RiskGate, Any]:
        book = limits if isinstance(limits, LimitsBook) else LimitsBook(top=limits or Limits())
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        self.engines.append(engine)
        engine.add_venue(
            venue=Venue("ALPACA"),
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            starting_balances=[Money(1_000_000, USD)],
        )
        for instrument_id in (IBM, *(instruments or ())):
            engine.add_instrument(equity(instrument_id) if isinstance(instrument_id, InstrumentId) else instrument_id)
        engine.add_data(quotes or [quote("100.00", "100.00", second) for second in range(1, len(steps) + 3)])
        ours = Scripted(list(steps), "main")
        ours.at_start = at_start
        strategies = [ours, *(Scripted(their_steps, tag) for tag, their_steps in (others or {}).items())]
        for strategy in strategies:
            engine.add_strategy(strategy)
        kernel = engine.kernel
        the_gate = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=book, **gate)
        the_gate.install(kernel.exec_engine)
        if prepare is not None:
            prepare(engine, the_gate)
        engine.run()
        return ours, the_gate, engine


@pytest.fixture
def quotes() -> Callable[..., list[Any]]:
    """Quotes of IBM a second apart, bid and ask alike."""
    return lambda *prices: [quote(price, price, second) for second, price in enumerate(prices, 1)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for engine in bench.engines:
        engine.dispose()
