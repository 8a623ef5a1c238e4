"""The open part of one order, and the integers that are counted in."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import Leg, atto, nano, nanos, nanos_below, released
from tests.risk import plain

D = Decimal


def leg(name: str, side: str, qty: int, price: str | None = "100", **more: Any) -> Leg:
    order = SimpleNamespace(
        client_order_id=ClientOrderId(name),
        instrument_id="IBM",
        side=OrderSide.BUY if side == "buy" else OrderSide.SELL,
        parent_order_id=None,
        linked_order_ids=None,
        order_list_id=None,
        contingency_type=ContingencyType.NO_CONTINGENCY,
        quantity=Quantity.from_int(qty),
        filled_qty=Quantity.zero(),
        is_quote_quantity=False,
    )
    vars(order).update(more)
    return plain.leg(order, qty, None if price is None else D(price))


def oco(*names: str, list_id: str | None = "L-1") -> dict[str, Any]:
    return {
        "contingency_type": ContingencyType.OCO,
        "order_list_id": list_id,
        "linked_order_ids": [ClientOrderId(name) for name in names],
    }


def test_orders_of_a_list_that_cancel_each_other_are_of_one_group():
    one, other = leg("a", "sell", 10, **oco("b")), leg("b", "sell", 8, **oco("a"))
    assert one.group == other.group is not None
    assert not one.plain
    assert leg("c", "sell", 8, **oco("d")).group != one.group


def test_links_between_orders_that_are_no_list_count_for_nothing():
    assert leg("a", "sell", 10, **oco("b", list_id=None)).plain


def test_an_exit_counts_as_far_as_its_entry_is_filled():
    entry = leg("entry", "buy", 10)
    exit_ = leg("exit", "sell", 10, parent_order_id=entry.order.client_order_id)
    orders = {entry.order.client_order_id: entry.order}
    assert not exit_.plain
    assert released(exit_, orders.get) == 0
    entry.order.filled_qty = Quantity.from_int(4)
    assert released(exit_, orders.get) == 4 * 10**9
    assert released(exit_, {}.get) == 10 * 10**9


def test_what_an_exit_has_more_than_its_entry_counts_from_the_start():
    entry = leg("entry", "buy", 10)
    exit_ = leg("exit", "sell", 13, parent_order_id=entry.order.client_order_id)
    find = {entry.order.client_order_id: entry.order}.get
    assert released(exit_, find) == 3 * 10**9
    entry.order.filled_qty = Quantity.from_int(4)
    assert released(exit_, find) == 7 * 10**9
    entry.order.filled_qty = Quantity.from_int(10)
    assert released(exit_, find) == 13 * 10**9
    exit_.order.filled_qty, exit_.units = Quantity.from_int(5), 8 * 10**9
    assert released(exit_, find) == 8 * 10**9
    exit_.units = 5 * 10**9  # it was made smaller meanwhile
    assert released(exit_, find) == 5 * 10**9


def test_an_exit_of_an_entry_in_money_counts_in_full():
    entry = leg("entry", "buy", 1_000, is_quote_quantity=True)
    exit_ = leg("exit", "sell", 10, parent_order_id=entry.order.client_order_id)
    assert released(exit_, {entry.order.client_order_id: entry.order}.get) == 10 * 10**9


def test_a_child_on_its_parents_side_counts_in_full():
    entry = leg("entry", "buy", 10)
    more = leg("more", "buy", 5, parent_order_id=entry.order.client_order_id)
    assert released(more, {entry.order.client_order_id: entry.order}.get) == 5 * 10**9


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("1.5", 1_500_000_000),
        ("-1.5", -1_500_000_000),
        ("0", 0),
        ("0.0000000001", 1),
        ("-0.0000000001", -1),
        ("1234567890.123456789", 1_234_567_890_123_456_789),
    ],
)
def test_quantities_and_prices_are_counted_in_billionths_and_never_less(value, whole):
    assert nano(D(value)) == whole


@pytest.mark.parametrize(
    ("price", "up", "down"),
    [
        ("1.5", 1_500_000_000, 1_500_000_000),
        ("-1.5", -1_500_000_000, -1_500_000_000),
        ("0.0000000001", 1, 0),
        ("-0.0000000001", 0, -1),
    ],
)
def test_nautilus_values_are_counted_alike(price, up, down):
    assert (nanos(Price.from_str(price)), nanos_below(Price.from_str(price))) == (up, down)


def test_a_bound_is_never_more_than_it_says():
    assert atto(D("1.0000000000000000019")) == 1_000_000_000_000_000_001
