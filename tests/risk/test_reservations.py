"""The room an order keeps, modification by modification."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.events import OrderModifyRejected, OrderPendingUpdate, OrderUpdated
from nautilus_trader.model.identifiers import AccountId, InstrumentId, StrategyId, TraderId
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import NANO
from runner.risk.reservations import Reservations

IBM = InstrumentId.from_str("IBM.ALPACA")
ACCOUNT = AccountId("ALPACA-001")
D = Decimal


class Book:
    def __init__(self) -> None:
        factory = OrderFactory(TraderId("T-001"), StrategyId("S-one"), TestClock())
        self.order = factory.limit(IBM, OrderSide.BUY, Quantity.from_int(50), Price.from_str("100.00"))
        self.reservations = Reservations()
        self.reservations.reserve(self.order, ACCOUNT, 100 * NANO)
        self.ids = (self.order.trader_id, self.order.strategy_id, IBM, self.order.client_order_id)

    def ask(self, qty: int, price: int = 100, *, passes: bool = True) -> None:
        self.reservations.on_event(OrderPendingUpdate(*self.ids, None, ACCOUNT, UUID4(), 0, 0))
        if passes:
            self.reservations.expect(self.order, ACCOUNT, qty * NANO, price * NANO, 100 * NANO)

    def updated(self, qty: int) -> None:
        self.reservations.on_event(
            OrderUpdated(*self.ids, None, ACCOUNT, Quantity.from_int(qty), None, None, UUID4(), 0, 0)
        )

    def refused(self, *, here: bool = False) -> None:
        event = OrderModifyRejected(*self.ids, None, ACCOUNT, "no", UUID4(), 0, 0)
        self.reservations.on_event(event, denied_here=here)

    @property
    def kept(self) -> tuple[Decimal, Decimal | None]:
        leg = self.reservations.get(self.order.client_order_id).leg()  # type: ignore[union-attr]
        return leg.qty, leg.price


@pytest.fixture
def book() -> Book:
    return Book()


def test_the_largest_of_what_may_come_is_kept(book):
    book.ask(80, 101)
    book.ask(60, 99)
    assert book.kept == (80, 101)


def test_a_confirmed_modification_and_those_before_it_are_over(book):
    book.ask(80, 101)
    book.ask(60, 99)
    book.updated(60)
    assert book.kept == (50, 99)  # the order itself was not changed in this test


def test_an_update_that_nobody_asked_for_changes_nothing(book):
    book.ask(80)
    book.updated(70)
    assert book.kept[0] == 80


def test_of_two_under_way_the_refused_one_is_taken_to_be_the_smaller(book):
    book.ask(60)
    book.ask(80)
    book.refused()
    assert book.kept[0] == 80
    book.refused()
    assert book.kept[0] == 50


def test_a_refusal_by_the_gate_itself_gives_no_room_back(book):
    book.ask(80)
    book.ask(200, passes=False)
    book.refused(here=True)
    assert book.kept[0] == 80


def test_a_refusal_that_may_be_nautiluss_own_gives_no_room_back(book):
    book.ask(80)
    book.ask(200, passes=False)
    book.refused()
    assert book.kept[0] == 80
    book.refused()
    assert book.kept[0] == 50


def test_an_order_in_money_keeps_its_shares(book):
    order = SimpleNamespace(
        client_order_id="O-1",
        instrument_id=IBM,
        is_quote_quantity=True,
        is_closed=False,
        side=OrderSide.BUY,
        parent_order_id=None,
        contingency_type=ContingencyType.NO_CONTINGENCY,
        leaves_qty=Quantity.from_int(1000),
    )
    book.reservations.reserve(order, ACCOUNT, 100 * NANO)
    assert book.reservations.get("O-1").leg().qty == 10  # type: ignore[union-attr]


def test_events_of_other_orders_are_none_of_its_business(book):
    book.reservations.release("unknown")
    book.reservations.release(book.order.client_order_id)
    book.refused()
    assert len(book.reservations) == 0


def test_a_modification_that_could_not_be_followed_takes_no_room(book):
    def broken(_client_order_id: object) -> None:
        raise RuntimeError("a bug")

    book.reservations.on_change = broken
    with pytest.raises(RuntimeError):
        book.ask(80)
    book.reservations.on_change = None
    assert book.kept == (50, 100)
