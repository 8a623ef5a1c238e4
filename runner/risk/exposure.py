"""What a position can become once the orders that work are filled: counted at once, whichever of them fill.

With `pos` the signed position, the worst case is max(abs(pos + Σ buys), abs(pos - Σ sells)). An order only moves the
side that it is on, so only that side is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from nautilus_trader.model.enums import ContingencyType, OrderSide

ZERO = Decimal(0)


@dataclass(slots=True)
class Leg:
    """The open part of one order: base quantity, and the price that one unit is taken to be worth (None: unknown)."""

    order: Any
    qty: Decimal
    price: Decimal | None
    buy: bool = field(init=False)
    plain: bool = field(init=False)
    """Whether it counts by itself, whatever else works."""

    def __post_init__(self) -> None:
        self.buy = self.order.side == OrderSide.BUY
        self.plain = self.order.parent_order_id is None and _group(self.order) is None


class Orders(Protocol):
    """Finds an order by its client order id."""

    def get(self, client_order_id: Any, /) -> Any: ...


@dataclass(slots=True)
class Part:
    """What can be filled of one order, or of several of which only one can be."""

    qty: Decimal
    price: Decimal | None


@dataclass(slots=True)
class Sum:
    """One side's parts together: quantity, Σ quantity × price and the dearest price of those whose price is known."""

    qty: Decimal = ZERO
    value: Decimal = ZERO
    dearest: Decimal | None = None
    unpriced: bool = False
    """Whether any has no price."""


def summed(side: Iterable[Part]) -> Sum:
    qty = value = ZERO
    dearest: Decimal | None = None
    unpriced = False
    for part in side:
        qty += part.qty
        if part.price is None:
            unpriced = True
        else:
            value += part.qty * part.price
            dearest = part.price if dearest is None or part.price > dearest else dearest
    return Sum(qty, value, dearest, unpriced)


def parts(legs: Iterable[Leg], *, orders: Orders) -> list[Part]:
    """One side's legs, without what can't be filled as well.

    - Of the orders of one list that cancel each other (OCO, OUO), the largest counts.
    - An order that closes what its parent opens (a bracket's exits) counts as far as the parent is filled.

    `orders` finds a parent by its client order id; it holds the orders that are being judged as well.
    """
    alone: list[Part] = []
    exclusive: dict[Any, Part] = {}
    for leg in legs:
        part = Part(_released(leg, orders), leg.price)
        key = _group(leg.order)
        if key is None:
            alone.append(part)
        elif key not in exclusive:
            exclusive[key] = part
        else:
            other = exclusive[key]
            exclusive[key] = Part(max(other.qty, part.qty), _dearer(other.price, part.price))
    return [part for part in (*alone, *exclusive.values()) if part.qty > 0]


def worst_notional(position: Decimal, side: Sum, mark: Decimal | None, *, buy: bool) -> Decimal | None:
    """The position's value once one side's orders are all filled; None where a price that it needs is unknown.

    What is held is valued at `mark`, what is ordered at the orders' own prices; where the orders turn the position
    round, what remains of them is valued at the dearest.
    """
    held = position if buy else -position
    after = held + side.qty
    dearest = None if side.unpriced else side.dearest
    if held < 0 < after:
        return None if dearest is None else after * dearest
    value = ZERO
    if (still := held if held > 0 else min(after, ZERO)) != 0:
        price = mark if mark is not None else dearest
        if price is None:
            return None
        value = abs(still) * price
    if held >= 0:
        if side.unpriced:
            return None
        value += side.value
    return value


def _released(leg: Leg, orders: Orders) -> Decimal:
    parent_id = leg.order.parent_order_id
    parent = orders.get(parent_id) if parent_id is not None else None
    if parent is None or parent.instrument_id != leg.order.instrument_id or parent.side == leg.order.side:
        return leg.qty
    filled: Decimal = parent.filled_qty.as_decimal()
    return min(leg.qty, filled)


def _group(order: Any) -> Any:
    if order.contingency_type not in (ContingencyType.OCO, ContingencyType.OUO):
        return None
    # Only a list is one order to the venue; links between separate orders are kept by software that may be late.
    if order.order_list_id is None or not order.linked_order_ids:
        return None
    return order.order_list_id, min(id_.value for id_ in (order.client_order_id, *order.linked_order_ids))


def _dearer(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else max(one, other)
