"""Whatever is ordered, filled, canceled, rejected or modified, in any order: the limit on the position holds.

Nautilus's real message bus, cache and execution engine with the gate in its seat; the venue is the test, which books
in its own way what could still be filled. All prices are 100, so 10,000 is 100 shares. Lists are of independent orders,
or of two on one side of which one cancels the other (OCO) with its first fill; they pass as a whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, LiquiditySide, OmsType, OrderSide
from nautilus_trader.model.events import OrderPendingUpdate
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    InstrumentId,
    StrategyId,
    Symbol,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.model.orders import OrderList
from nautilus_trader.portfolio.portfolio import Portfolio

from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook
from tests.risk.conftest import linked_to

IBM = InstrumentId(Symbol("IBM"), Venue("ALPACA"))
PRICE = Price.from_str("100.00")
LIMIT = 100
STRATEGIES = [StrategyId("S-one"), StrategyId("S-two")]


class Venue_(ExecutionClient):  # type: ignore[misc]
    """Keeps the commands that reach it."""

    def __init__(self, bus: Any, cache: Any, clock: Any) -> None:
        super().__init__(
            client_id=ClientId("ALPACA"),
            venue=Venue("ALPACA"),
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            msgbus=bus,
            cache=cache,
            clock=clock,
        )
        self._set_account_id(AccountId("ALPACA-001"))
        self.received: list[Any] = []

    def submit_order(self, command: Any) -> None:
        self.received.append(command)

    def submit_order_list(self, command: Any) -> None:
        self.received.append(command)

    def modify_order(self, command: Any) -> None:
        self.received.append(command)


@dataclass
class Working:
    """The test's own book of one order at the venue."""

    order: Any
    buy: bool
    qty: int
    filled: int = 0
    accepted: bool = False
    asked: list[int] = field(default_factory=list)  # whole quantities of modifications under way
    doubtful: list[int] = field(default_factory=list)  # those, and the refused until all are answered
    pair: int | None = None  # of the two orders of a pair only one can be filled

    @property
    def leaves(self) -> int:
        return max([self.qty, *self.doubtful]) - self.filled


class Desk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = TestClock()
        trader = TraderId("T-001")
        self.bus = MessageBus(trader, self.clock)
        self.cache = Cache()
        self.portfolio = Portfolio(self.bus, self.cache, self.clock)
        self.engine = ExecutionEngine(self.bus, self.cache, self.clock)
        self.venue = Venue_(self.bus, self.cache, self.clock)
        self.engine.register_client(self.venue)
        instrument = Equity(IBM, IBM.symbol, USD, 2, Price.from_str("0.01"), Quantity.from_int(1), 0, 0)
        self.cache.add_instrument(instrument)
        size = Quantity.from_int(1_000)
        self.cache.add_quote_tick(QuoteTick(IBM, PRICE, PRICE, size, size, 0, 0))
        money = Money(1_000_000, USD)
        self.venue.generate_account_state([AccountBalance(money, Money(0, USD), money)], [], True, 0)
        self.gate = RiskGate(
            msgbus=self.bus,
            cache=self.cache,
            clock=self.clock,
            limits=LimitsBook(top=Limits(max_position_notional=Decimal(LIMIT * 100))),
        )
        self.gate.install(self.engine)
        self.factories = [OrderFactory(trader, strategy, self.clock) for strategy in STRATEGIES]
        self.working: dict[str, Working] = {}
        self.position = 0
        self.trades = 0
        self.pairs = 0

    # -- the strategies ------------------------------------------------------------------------------------------

    @rule(who=st.integers(0, 1), buy=st.booleans(), qty=st.integers(1, 220), limit=st.booleans())
    def submit(self, who: int, buy: bool, qty: int, limit: bool) -> None:
        order = self.made(who, buy, qty, limit=limit)
        self.sent(SubmitOrder(order.trader_id, order.strategy_id, order, UUID4(), 0), [Working(order, buy, qty)])

    @rule(
        who=st.integers(0, 1),
        members=st.lists(st.tuples(st.booleans(), st.integers(1, 110), st.booleans()), min_size=2, max_size=4),
    )
    def submit_list(self, who: int, members: list[tuple[bool, int, bool]]) -> None:
        its = [Working(self.made(who, buy, qty, limit=limit), buy, qty) for buy, qty, limit in members]
        self.sent_list(self.factories[who].create_list([it.order for it in its]), its)

    @rule(who=st.integers(0, 1), buy=st.booleans(), one=st.integers(1, 220), other=st.integers(1, 220))
    def submit_pair(self, who: int, buy: bool, one: int, other: int) -> None:
        orders = [self.made(who, buy, qty, limit=True) for qty in (one, other)]
        list_id = self.factories[who].create_list(orders).id
        names = [order.client_order_id.value for order in orders]
        linked = [linked_to(order, list_id, [each]) for order, each in zip(orders, reversed(names), strict=True)]
        self.pairs += 1
        its = [Working(order, buy, int(order.quantity), pair=self.pairs) for order in linked]
        self.sent_list(OrderList(list_id, linked), its)

    def made(self, who: int, buy: bool, qty: int, *, limit: bool) -> Any:
        side, quantity = OrderSide.BUY if buy else OrderSide.SELL, Quantity.from_int(qty)
        factory = self.factories[who]
        return factory.limit(IBM, side, quantity, PRICE) if limit else factory.market(IBM, side, quantity)

    def sent_list(self, orders: Any, its: list[Working]) -> None:
        first = orders.first
        self.sent(SubmitOrderList(first.trader_id, first.strategy_id, orders, UUID4(), 0), its)

    def sent(self, command: Any, its: list[Working]) -> None:
        self.working |= {it.order.client_order_id.value: it for it in its}
        fits = all(self.worst(it.buy) <= LIMIT for it in its)
        if not fits:
            for it in its:
                del self.working[it.order.client_order_id.value]
        self.bus.send("ExecEngine.execute", command)
        assert (command in self.venue.received) == fits
        assert self.gate.approved(command) == fits
        assert [it.order.is_closed for it in its] == [not fits] * len(its)

    @precondition(lambda self: any(w.accepted for w in self.working.values()))
    @rule(data=st.data(), qty=st.integers(1, 220))
    def modify(self, data: Any, qty: int) -> None:
        it = data.draw(st.sampled_from([w for w in self.working.values() if w.accepted]))
        if qty <= it.filled:
            return
        it.doubtful.append(qty)
        fits = qty <= it.qty or self.worst(it.buy) <= LIMIT
        it.doubtful.pop()
        order = it.order
        pending = OrderPendingUpdate(
            order.trader_id, order.strategy_id, IBM, order.client_order_id, order.venue_order_id,
            order.account_id, UUID4(), 0, 0,
        )  # fmt: skip
        self.engine.process(pending)
        command = ModifyOrder(
            order.trader_id, order.strategy_id, IBM, order.client_order_id, order.venue_order_id,
            Quantity.from_int(qty), None, None, UUID4(), 0,
        )  # fmt: skip
        self.bus.send("ExecEngine.execute", command)
        assert (command in self.venue.received) == fits
        if fits:
            it.asked.append(qty)
            it.doubtful.append(qty)

    # -- the venue -----------------------------------------------------------------------------------------------

    @precondition(lambda self: any(not w.accepted for w in self.working.values()))
    @rule(data=st.data(), takes=st.booleans())
    def answer(self, data: Any, takes: bool) -> None:
        it = data.draw(st.sampled_from([w for w in self.working.values() if not w.accepted]))
        key = it.order.client_order_id.value
        self.venue.generate_order_submitted(*self.ids(it), 0)
        if takes:
            self.venue.generate_order_accepted(*self.ids(it), VenueOrderId(f"V-{key}"), 0)
            it.accepted = True
        else:
            self.venue.generate_order_rejected(*self.ids(it), "no", 0)
            del self.working[key]

    @precondition(lambda self: any(w.accepted for w in self.working.values()))
    @rule(data=st.data())
    def fill(self, data: Any) -> None:
        it = data.draw(st.sampled_from([w for w in self.working.values() if w.accepted]))
        qty = data.draw(st.integers(1, it.qty - it.filled))
        self.trades += 1
        self.venue.generate_order_filled(
            *self.ids(it), it.order.venue_order_id, None, TradeId(f"T-{self.trades}"), it.order.side,
            it.order.order_type, Quantity.from_int(qty), PRICE, USD, Money(0, USD), LiquiditySide.TAKER, 0,
        )  # fmt: skip
        it.filled += qty
        self.position += qty if it.buy else -qty
        if it.filled == it.qty:
            del self.working[it.order.client_order_id.value]
        for other in [
            other for other in self.working.values() if it.pair and other.pair == it.pair and other is not it
        ]:
            self.ended(other, expire=False)

    @precondition(lambda self: any(w.accepted for w in self.working.values()))
    @rule(data=st.data(), expire=st.booleans())
    def close(self, data: Any, expire: bool) -> None:
        self.ended(data.draw(st.sampled_from([w for w in self.working.values() if w.accepted])), expire=expire)

    def ended(self, it: Working, *, expire: bool) -> None:
        end = self.venue.generate_order_expired if expire else self.venue.generate_order_canceled
        end(*self.ids(it), it.order.venue_order_id, 0)
        del self.working[it.order.client_order_id.value]

    @precondition(lambda self: any(w.asked for w in self.working.values()))
    @rule(data=st.data(), takes=st.booleans())
    def answer_modification(self, data: Any, takes: bool) -> None:
        """Any modification's answer; one that asks for less than is filled by now can only be refused."""
        it = data.draw(st.sampled_from([w for w in self.working.values() if w.asked]))
        qty = it.asked.pop(data.draw(st.integers(0, len(it.asked) - 1)))
        if takes and qty > it.filled:
            self.venue.generate_order_updated(
                *self.ids(it), it.order.venue_order_id, Quantity.from_int(qty), None, None, 0
            )
            it.doubtful.remove(qty)
            it.qty = qty
        else:
            # The event does not say which it was.
            self.venue.generate_order_modify_rejected(*self.ids(it), it.order.venue_order_id, "no", 0)
        if not it.asked:
            it.doubtful.clear()

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_limit_holds_whatever_is_filled_from_here(self) -> None:
        assert abs(self.position) <= LIMIT
        assert self.position + self.side(buy=True) <= LIMIT
        assert self.position - self.side(buy=False) >= -LIMIT

    @invariant()
    def the_gate_knows_the_position_and_keeps_no_room_for_what_is_over(self) -> None:
        assert self.gate.errors == 0
        assert self.gate.positions.qty(IBM, AccountId("ALPACA-001")) == self.position
        kept = {
            leg.order.client_order_id.value: leg.qty for leg in self.gate.working.legs(IBM, AccountId("ALPACA-001"))
        }
        assert kept == {key: it.leaves for key, it in self.working.items()}

    def side(self, *, buy: bool) -> int:
        its = [it for it in self.working.values() if it.buy == buy]
        pairs = {it.pair for it in its if it.pair is not None}
        either = [max(it.leaves for it in its if it.pair == pair) for pair in pairs]
        return sum(it.leaves for it in its if it.pair is None) + sum(either)

    def worst(self, buy: bool) -> int:
        return (self.position if buy else -self.position) + self.side(buy=buy)

    def ids(self, it: Working) -> tuple[Any, Any, Any]:
        return it.order.strategy_id, IBM, it.order.client_order_id


Desk.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDesk = Desk.TestCase


def test_one_that_is_denied_before_its_order_has_left_leaves_those_that_passed_in_doubt():
    """Of such an order nobody tells that a modification is asked for: the refusal was taken for the other one's."""
    desk = Desk()
    order = desk.made(0, buy=True, qty=1, limit=True)
    desk.bus.send("ExecEngine.execute", SubmitOrder(order.trader_id, order.strategy_id, order, UUID4(), 0))
    for qty in (LIMIT, LIMIT + 1):
        ids = order.trader_id, order.strategy_id, IBM, order.client_order_id, None
        desk.bus.send("ExecEngine.execute", ModifyOrder(*ids, Quantity.from_int(qty), None, None, UUID4(), 0))
    (leg,) = desk.gate.working.legs(IBM, AccountId("ALPACA-001"))
    assert (desk.gate.passed, desk.gate.denied.total(), leg.qty) == (2, 1, LIMIT)
