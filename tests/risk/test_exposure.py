"""What a position can become."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.identifiers import ClientOrderId

from runner.risk.exposure import Leg, Part, Sum, parts, summed, worst_notional

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
        filled_qty=SimpleNamespace(as_decimal=lambda: D(more.pop("filled", 0))),
    )
    vars(order).update(more)
    return Leg(order, D(qty), None if price is None else D(price))


def oco(*names: str, list_id: str | None = "L-1") -> dict[str, Any]:
    return {
        "contingency_type": ContingencyType.OCO,
        "order_list_id": list_id,
        "linked_order_ids": [ClientOrderId(name) for name in names],
    }


def test_of_orders_that_cancel_each_other_the_largest_counts():
    legs = [leg("a", "sell", 10, "110", **oco("b")), leg("b", "sell", 8, "120", **oco("a")), leg("c", "sell", 1)]
    assert parts(legs, orders={}) == [Part(D(1), D(100)), Part(D(10), D(120))]


def test_links_between_orders_that_are_no_list_count_for_nothing():
    legs = [leg("a", "sell", 10, **oco("b", list_id=None)), leg("b", "sell", 8, **oco("a", list_id=None))]
    assert summed(parts(legs, orders={})).qty == 18


def test_an_exit_counts_as_far_as_its_entry_is_filled():
    entry = leg("entry", "buy", 10)
    exit_ = leg("exit", "sell", 10, parent_order_id=entry.order.client_order_id)
    orders = {entry.order.client_order_id: entry.order}
    assert parts([exit_], orders=orders) == []
    entry.order.filled_qty = SimpleNamespace(as_decimal=lambda: D(4))
    assert summed(parts([exit_], orders=orders)).qty == 4


def test_a_child_on_its_parents_side_counts_in_full():
    entry = leg("entry", "buy", 10)
    more = leg("more", "buy", 5, parent_order_id=entry.order.client_order_id)
    assert summed(parts([entry, more], orders={entry.order.client_order_id: entry.order})).qty == 15


@pytest.mark.parametrize(
    ("position", "side", "mark", "buy", "worth"),
    [
        ("0", [("10", "99")], "100", True, "990"),
        ("0", [("10", "99")], None, True, "990"),
        ("5", [("10", "99")], "100", True, "1490"),
        ("-5", [("10", "99")], "100", False, "1490"),
        ("5", [("10", "99")], None, True, "1485"),
        ("-5", [("10", "99")], "100", True, "495"),  # turned round: what remains is 5
        ("-5", [("3", "99"), ("4", "101")], "100", True, "202"),
        ("-5", [("3", "99")], "100", True, "200"),  # still short
        ("5", [("15", "100")], "100", False, "1000"),
        ("-5", [("5", "99")], "100", True, "0"),
        ("5", [], "100", True, "500"),
    ],
)
def test_the_worst_case_in_money(position, side, mark, buy, worth):
    orders = [Part(D(qty), D(price)) for qty, price in side]
    assert worst_notional(D(position), summed(orders), None if mark is None else D(mark), buy=buy) == D(worth)


def test_without_a_price_that_it_needs_the_worst_case_is_unknown():
    unknown = Part(D(1), None)
    assert worst_notional(D(0), summed([unknown]), D(100), buy=True) is None
    assert worst_notional(D(-1), summed([unknown, Part(D(2), D(100))]), D(100), buy=True) is None
    assert worst_notional(D(5), Sum(), None, buy=True) is None
