"""The room an order keeps, modification by modification."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.events import (
    OrderAccepted,
    OrderModifyRejected,
    OrderPendingUpdate,
    OrderSubmitted,
    OrderUpdated,
)
from nautilus_trader.model.identifiers import AccountId, InstrumentId, StrategyId, TraderId, VenueOrderId
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import NANO, Leg
from runner.risk.reservations import Reservations, Wishes

IBM = InstrumentId.from_str("IBM.ALPACA")
ACCOUNT = AccountId("ALPACA-001")
D = Decimal


class Book:
    def __init__(self, side: Any = OrderSide.BUY) -> None:
        factory = OrderFactory(TraderId("T-001"), StrategyId("S-one"), TestClock())
        self.order = factory.limit(IBM, side, Quantity.from_int(50), Price.from_str("100.00"))
        self.reservations = Reservations()
        self.reservations.reserve(self.order, ACCOUNT, 100 * NANO)
        ids = (self.order.trader_id, self.order.strategy_id, IBM, self.order.client_order_id)
        self.order.apply(OrderSubmitted(*ids, ACCOUNT, UUID4(), 0, 0))
        self.order.apply(OrderAccepted(*ids, VenueOrderId("V-1"), ACCOUNT, UUID4(), 0, 0))
        self.ids = (self.order.trader_id, self.order.strategy_id, IBM, self.order.client_order_id)

    def ask(self, qty: int | None = None, price: int | None = None, *, passes: bool = True) -> None:
        self.apply(OrderPendingUpdate(*self.ids, None, ACCOUNT, UUID4(), 0, 0))
        if passes:
            self.passes(qty, price)

    def passes(self, qty: int | None = None, price: int | None = None) -> None:
        wishes = Wishes(
            None if qty is None else Quantity.from_int(qty), None if price is None else Price.from_str(f"{price}.00")
        )
        units, worth = (50 if qty is None else qty) * NANO, (100 if price is None else price) * NANO
        self.reservations.expect(self.order, ACCOUNT, wishes, units, worth, 100 * NANO)

    def updated(self, qty: int, price: int | None = None) -> None:
        limit = None if price is None else Price.from_str(f"{price}.00")
        self.apply(OrderUpdated(*self.ids, None, ACCOUNT, Quantity.from_int(qty), limit, None, UUID4(), 0, 0))

    def refused(self) -> None:
        self.apply(OrderModifyRejected(*self.ids, None, ACCOUNT, "no", UUID4(), 0, 0))

    def apply(self, event: Any) -> None:
        self.order.apply(event)
        self.reservations.on_event(event)

    @property
    def kept(self) -> tuple[Decimal, Decimal | None]:
        return self.leg.qty, self.leg.price

    @property
    def leg(self) -> Leg:
        return self.reservations.get(self.order.client_order_id).leg()  # type: ignore[union-attr]


@pytest.fixture
def book() -> Book:
    return Book()


def test_the_largest_of_what_may_come_is_kept(book):
    book.ask(80, 101)
    book.ask(60, 99)
    assert book.kept == (80, 101)


def test_what_is_confirmed_is_what_the_order_is_now(book):
    book.ask(80, 101)
    book.ask(60, 99)
    book.updated(80, 101)
    assert book.kept == (80, 101)
    book.updated(60, 99)
    assert book.kept == (60, 99)


def test_one_that_is_confirmed_first_leaves_the_others_in_doubt(book):
    book.ask(80, 101)
    book.ask(60, 99)
    book.updated(60, 99)
    assert book.kept == (80, 101)
    book.refused()
    assert book.kept == (60, 99)


def test_an_update_that_nobody_asked_for_answers_nothing(book):
    book.ask(80)
    book.updated(70)
    assert book.kept == (80, 100)
    book.refused()
    assert book.kept == (70, 100)


def test_the_venue_or_another_program_may_move_the_price(book):
    book.updated(50, 120)
    assert book.kept == (50, 120)
    book.updated(50, 90)
    assert book.kept == (50, 90)


def test_a_sale_that_is_moved_elsewhere_counts_for_no_less_than_it_was_judged_at():
    book = Book(OrderSide.SELL)
    book.updated(50, 90)
    assert book.kept == (50, 100)
    book.updated(50, 120)
    assert book.kept == (50, 120)


def test_the_later_of_two_is_refused_at_once_and_the_first_one_comes(book):
    """As our adapter does; the refusal does not say which it was."""
    book.ask(price=179)
    book.ask(price=11)
    book.refused()
    assert book.kept == (50, 179)
    book.updated(50, 179)
    assert book.kept == (50, 179)


def test_nothing_is_kept_of_what_was_refused_once_all_have_their_answers(book):
    book.ask(60)
    book.ask(100)
    book.refused()
    assert book.kept[0] == 100, "either may still come"
    book.updated(60)
    assert book.kept[0] == 60
    book.ask(80)
    book.refused()
    assert book.kept == (60, 100)


def test_one_that_is_asked_for_after_a_refusal_is_awaited_once(book):
    """Three are asked for, two are refused: no one knows which, so that all of them may still come."""
    for qty in (60, 70, 80):
        book.ask(qty)
    book.refused()
    book.refused()
    book.ask(65)
    book.refused()
    assert book.kept == (80, 100)
    book.refused()
    assert book.kept == (50, 100)
    assert not book.reservations.is_moving(book.order.client_order_id)


def test_while_any_is_in_doubt_the_dearest_price_goes_with_the_largest_quantity(book):
    book.ask(50, 199)
    book.ask(150, 11)
    assert book.kept == (150, 199)
    book.refused()
    assert book.kept == (150, 199)
    book.updated(50, 199)
    assert book.kept == (50, 199)


def test_a_quantity_that_is_confirmed_after_a_price_leaves_the_price(book):
    book.ask(price=120)
    book.ask(80)
    book.updated(50, 120)
    assert book.kept == (80, 120)
    book.updated(80, 120)
    assert book.kept == (80, 120)


def test_a_refusal_of_one_that_never_came_here_gives_no_room_back(book):
    """By the gate itself, or by Nautilus's risk engine before it."""
    book.ask(80)
    book.ask(200, passes=False)
    book.refused()
    assert book.kept[0] == 80
    book.refused()
    assert book.kept[0] == 50


def test_one_that_nobody_said_was_asked_for_is_awaited_too(book):
    book.passes(80)
    book.passes(60)
    book.refused()
    assert book.kept[0] == 80
    book.refused()
    assert book.kept[0] == 50


def test_what_is_asked_of_an_order_that_the_gate_has_never_seen_is_awaited_as_well(book):
    """Two are asked for in one turn, and come here after it; one of them does not."""
    book.reservations.release(book.order.client_order_id)
    book.ask(passes=False)
    book.ask(passes=False)
    book.passes(80)
    book.refused()
    assert book.kept == (80, 100)
    book.updated(80)
    assert book.kept == (80, 100)
    book.reservations.release(book.order.client_order_id)
    book.ask(passes=False)
    book.refused()
    book.ask(90)
    book.refused()
    assert book.kept == (80, 100)


@pytest.mark.parametrize(("side", "nearest"), [(OrderSide.BUY, 120), (OrderSide.SELL, 90)])
def test_it_rests_where_it_could_come_nearest_to_the_other_side(side, nearest):
    book = Book(side)
    book.ask(price=120)
    book.ask(price=90)
    book.ask(80)
    assert book.leg.limit == nearest * NANO
    for _ in range(3):
        book.refused()
    assert book.leg.limit is None


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
