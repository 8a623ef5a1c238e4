"""What a position can become, added up plainly in decimals: what the engine's book of exposures is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runner.risk.candidate import Candidate
from runner.risk.exposure import ZERO, Leg, nano


def leg(order: Any, qty: Decimal | int, price: Decimal | int | None) -> Leg:
    """The open part of an order, in units and USD."""
    return Leg(order, nano(Decimal(qty)), None if price is None else nano(Decimal(price)))


def candidate(order: Any, qty: Decimal | int | None, price: Decimal | int | None) -> Candidate:
    units, cost = (None if each is None else nano(Decimal(each)) for each in (qty, price))
    return Candidate(order, units, cost)


@dataclass
class Part:
    """What can be filled of one order, or of several of which only one can be."""

    qty: Decimal
    price: Decimal | None


def parts(legs: Iterable[Leg], find: Callable[[Any], Any] = lambda _id: None) -> list[Part]:
    """One side's legs, without what can't be filled as well; `find` gives a parent by its client order id."""
    alone: list[Part] = []
    exclusive: dict[Any, Part] = {}
    for leg in legs:
        part = Part(_released(leg, find), leg.price)
        if leg.group is None:
            alone.append(part)
        elif leg.group not in exclusive:
            exclusive[leg.group] = part
        else:
            other = exclusive[leg.group]
            dearer = None if other.price is None or part.price is None else max(other.price, part.price)
            exclusive[leg.group] = Part(max(other.qty, part.qty), dearer)
    return [part for part in (*alone, *exclusive.values()) if part.qty > 0]


def worst_notional(position: Decimal, side: list[Part], mark: Decimal | None, *, buy: bool) -> Decimal | None:
    """The position's value once one side's orders are all filled; None where a price that it needs is unknown."""
    held = position if buy else -position
    after = held + sum((part.qty for part in side), ZERO)
    prices = [part.price for part in side]
    dearest = None if None in prices else max((price for price in prices if price is not None), default=None)
    if held < 0 < after:
        return None if dearest is None else after * dearest
    value = ZERO
    if (still := held if held > 0 else min(after, ZERO)) != 0:
        price = mark if mark is not None else dearest
        if price is None:
            return None
        value = abs(still) * price
    if held >= 0:
        if None in prices:
            return None
        value += sum((part.qty * part.price for part in side if part.price is not None), ZERO)
    return value


def _released(leg: Leg, find: Callable[[Any], Any]) -> Decimal:
    parent_id = leg.order.parent_order_id
    parent = find(parent_id) if parent_id is not None else None
    if parent is None or parent.instrument_id != leg.order.instrument_id or parent.side == leg.order.side:
        return leg.qty
    if parent.is_quote_quantity:
        return leg.qty
    filled: Decimal = parent.filled_qty.as_decimal()
    more = leg.qty + leg.order.filled_qty.as_decimal() - parent.quantity.as_decimal()
    return min(leg.qty, filled + max(more, ZERO))
