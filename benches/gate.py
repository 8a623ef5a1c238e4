"""The risk gate's decision: 100 positions, 50 working orders, every limit on every level. `python -m benches.gate`.

Nautilus's real bus, cache and execution engine; what passes goes nowhere. No peer has such a thing.
"""

from __future__ import annotations

import gc
import json
import time
from decimal import Decimal
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, LiquiditySide, OmsType, OrderSide
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    InstrumentId,
    StrategyId,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

from runner.config.risk import Portion
from runner.node.garbage import Collector
from runner.node.gate import illegal
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook, Rate, UniverseLimits

POSITIONS, WORKING, ORDERS = 100, 50, 3000
WARM_UP = 100  # the first find nothing in the processor's caches
TRADER, STRATEGY = TraderId("T-001"), StrategyId("S-one")
PRICE, SIZE = Price.from_str("100.00"), Quantity.from_int(1000)


class Client(ExecutionClient):  # type: ignore[misc]
    """Says of orders what it is told to."""

    def submit_order(self, command: Any) -> None:
        pass

    def working(self, order: Any) -> VenueOrderId:
        number = VenueOrderId(f"V-{order.client_order_id}")
        ids = (order.strategy_id, order.instrument_id, order.client_order_id)
        self.generate_order_submitted(*ids, 0)
        self.generate_order_accepted(*ids, number, 0)
        return number

    def filled(self, order: Any) -> None:
        ids = (order.strategy_id, order.instrument_id, order.client_order_id, self.working(order))
        trade = TradeId(order.client_order_id.value)
        kind = (order.side, order.order_type, order.quantity, PRICE, USD, Money(0, USD), LiquiditySide.TAKER, 0)
        self.generate_order_filled(*ids, None, trade, *kind)

    def rejected(self, order: Any) -> None:
        ids = (order.strategy_id, order.instrument_id, order.client_order_id)
        self.generate_order_submitted(*ids, 0)
        self.generate_order_rejected(*ids, "bench", 0)


def decisions(*, spread: bool) -> list[float]:
    """Nanoseconds of each decision; the working orders are on many instruments, or all on the one that is judged."""
    clock, cache = TestClock(), Cache()
    bus = MessageBus(TRADER, clock)
    Portfolio(bus, cache, clock)
    engine = ExecutionEngine(bus, cache, clock)
    client = Client(ClientId("ALPACA"), Venue("ALPACA"), OmsType.NETTING, AccountType.MARGIN, USD, bus, cache, clock)
    client._set_account_id(AccountId("ALPACA-001"))
    engine.register_client(client)
    money = Money(1_000_000, USD)
    figures = {"equity": "1000000", "cash": "1000000", "multiplier": "2", "buying_power": "2000000",
               "non_marginable_buying_power": "1000000", "options_buying_power": "1000000"}  # fmt: skip

    def told() -> None:
        client.generate_account_state([AccountBalance(money, Money(0, USD), money)], [], True, 0, figures)

    instruments = [InstrumentId.from_str(f"S{n}.ALPACA") for n in range(POSITIONS)]
    for each in instruments:
        cache.add_instrument(Equity(each, each.symbol, USD, 2, Price.from_str("0.01"), Quantity.from_int(1), 0, 0))
        cache.add_quote_tick(QuoteTick(each, PRICE, PRICE, SIZE, SIZE, 0, 0))
    told()
    high = Decimal(10**9)
    often = Rate(10**6, 60 * 10**9)
    limits = Limits(
        max_order_qty=Decimal(1000),
        max_order_notional=high,
        max_position_notional=high,
        max_orders=often,
        collar_percent=Decimal("0.02"),
        collar_absolute=Decimal(5),
        max_quote_age_ns=5 * 10**9,
        max_gross_exposure=Portion(amount=high),
        max_open_orders=10**6,
        max_daily_loss=Portion(fraction=Decimal("0.5")),
        max_drawdown=Portion(amount=high),
        max_cancels=often,
        max_fills=often,
        duplicate_window_ns=1,
        self_match=True,
        universe=UniverseLimits(allow=("S*",), deny=("GME",), sessions=("core", "post")),
        headroom=Decimal("0.1"),
    )
    book = LimitsBook(top=limits, accounts={"ALPACA": limits}, strategies={"one": limits})
    gate = RiskGate(
        msgbus=bus,
        cache=cache,
        clock=clock,
        limits=book,
        legality=lambda order, instrument, params: illegal(order, instrument, params, clock.timestamp_ns()),
        outage=lambda _account, _strategy: None,
        account_name=lambda account_id: str(account_id.get_issuer()),
    )
    gate.install(engine)
    orders = OrderFactory(TRADER, STRATEGY, clock)

    def submit(order: Any) -> Any:
        command = SubmitOrder(TRADER, STRATEGY, order, UUID4(), 0, None, client.id)
        bus.send("ExecEngine.execute", command)
        return order

    for each in instruments:
        client.filled(submit(orders.market(each, OrderSide.BUY, Quantity.from_int(10))))
    for n in range(WORKING):
        side = OrderSide.BUY if n % 2 else OrderSide.SELL
        where = instruments[2 * n if spread else 0]
        clock.set_time(clock.timestamp_ns() + 1)  # the same order is no double any more
        price = "99.00" if side == OrderSide.BUY else "101.00"
        client.working(submit(orders.limit(where, side, Quantity.from_int(1), Price.from_str(price))))
    assert len(cache.positions_open()) == POSITIONS
    assert len(cache.orders_open()) == WORKING, gate.denied

    told()  # figures that the broker could tell after the positions

    gc.collect()
    collector = Collector()
    collector.calm()  # as the node does once it runs
    took = []
    gate._seat.inner = lambda _command: None
    for _ in range(WARM_UP + ORDERS):
        order = orders.limit(instruments[0], OrderSide.BUY, Quantity.from_int(1), Price.from_str("99.50"))
        clock.set_time(clock.timestamp_ns() + 1)
        cache.add_order(order, None, None)
        command = SubmitOrder(TRADER, STRATEGY, order, UUID4(), 0, None, client.id)
        began = time.perf_counter_ns()
        gate.execute(command)
        took.append(float(time.perf_counter_ns() - began))
        client.rejected(order)
    collector.restore()
    assert not gate.denied
    return took[WARM_UP:]


if __name__ == "__main__":
    print(json.dumps({"spread": decisions(spread=True), "one": decisions(spread=False)}))
