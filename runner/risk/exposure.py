"""What may still be filled of one order, and the integers that the engine counts in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.objects import Price

ZERO = Decimal(0)
_BILLION = Decimal(10**9)
_RAW = Price(1, 0).raw // 10**9  # Nautilus's raw values have one scale, that of its build
_EITHER = frozenset({ContingencyType.OCO, ContingencyType.OUO})


@dataclass(slots=True)
class Leg:
    """The open part of one order: base quantity, and the price that one unit is taken to be worth (None: unknown)."""

    order: Any
    qty: Decimal
    price: Decimal | None
    buy: bool = field(init=False)
    instrument_id: Any = field(init=False)
    group: str | None = field(init=False)
    """Of the orders of one group, which cancel each other (OCO, OUO), only one can be filled."""
    plain: bool = field(init=False)
    """Whether it counts by itself, whatever else works."""
    units: int = field(init=False)
    """The quantity in billionths."""
    worth: int | None = field(init=False)
    """The price in nano-dollars."""

    def __post_init__(self) -> None:
        order = self.order
        self.buy = order.side == OrderSide.BUY
        self.instrument_id = order.instrument_id
        self.group = _group(order) if order.contingency_type in _EITHER else None
        self.plain = self.group is None and order.parent_order_id is None
        self.units = nano(self.qty)
        self.worth = None if self.price is None else nano(self.price)


def released(leg: Leg, find: Callable[[Any], Any]) -> Decimal:
    """What can be filled now: of an order that closes what its parent opens (a bracket's exits), as far as that is.

    `find` gives an order by its client order id, or None.
    """
    parent_id = leg.order.parent_order_id
    parent = find(parent_id) if parent_id is not None else None
    if parent is None or parent.instrument_id != leg.instrument_id or parent.side == leg.order.side:
        return leg.qty
    filled: Decimal = parent.filled_qty.as_decimal()
    return min(leg.qty, filled)


def nano(value: Decimal) -> int:
    """In billionths, rounded away from zero."""
    scaled = value * _BILLION
    whole = int(scaled)
    if whole == scaled:
        return whole
    return whole + 1 if value > 0 else whole - 1


def nano_price(price: Any) -> int:
    """Nautilus's Price in nano-dollars, rounded down."""
    return price.raw // _RAW  # type: ignore[no-any-return]


def atto(value: Decimal) -> int:
    """A bound in 10^-18 USD; finer than that nothing is counted."""
    return int(value.scaleb(18))


def _group(order: Any) -> str | None:
    # Only a list is one order to the venue; links between separate orders are kept by software that may be late.
    if order.order_list_id is None or not order.linked_order_ids:
        return None
    first = min(id_.value for id_ in (order.client_order_id, *order.linked_order_ids))
    return f"{order.order_list_id}/{first}"
