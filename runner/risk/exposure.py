"""What may still be filled of one order, and the integers that the gate counts in.

Quantities are counted in billionths of a unit (`units`), prices in nano-dollars a unit, and what is the product of the
two in atto-dollars (10^-18 USD). Decimals are made of them where a person is told.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.objects import Price

ZERO = Decimal(0)
NANO = 10**9
ATTO = 10**18
_BILLION = Decimal(NANO)
_RAW = Price(1, 0).raw // NANO  # Nautilus's raw values have one scale, that of its build
_BUY = OrderSide.BUY
_ALONE = ContingencyType.NO_CONTINGENCY
_EITHER = (ContingencyType.OCO, ContingencyType.OUO)


class Leg:
    """The open part of one order: base quantity, and the price that one unit is taken to be worth (None: unknown)."""

    __slots__ = ("buy", "group", "instrument_id", "limit", "order", "plain", "units", "worth")

    def __init__(self, order: Any, units: int, worth: int | None) -> None:
        self.order = order
        self.units = units
        self.worth = worth
        self.limit: int | None = None
        """In nano-dollars, where it may rest nearer to the other side than its order's own price says."""
        self.buy: bool = order.side == _BUY
        self.instrument_id = order.instrument_id
        self.group: str | None = None
        """Of the orders of one group, which cancel each other (OCO, OUO), only one can be filled."""
        self.plain: bool = order.parent_order_id is None
        """Whether it counts by itself, whatever else works."""
        if order.contingency_type != _ALONE and order.contingency_type in _EITHER:
            self.group = _group(order)
            self.plain = self.plain and self.group is None

    @property
    def qty(self) -> Decimal:
        return decimal(self.units)

    @property
    def price(self) -> Decimal | None:
        return None if self.worth is None else decimal(self.worth)


def released(leg: Leg, find: Callable[[Any], Any]) -> int:
    """What can be filled now, in billionths: of an order that closes what its parent opens (a bracket's exits), as far
    as that is filled; what it has more than its parent counts at once.

    `find` gives an order by its client order id, or None.
    """
    order = leg.order
    parent = find(order.parent_order_id) if order.parent_order_id is not None else None
    if parent is None or parent.instrument_id != leg.instrument_id or parent.side == order.side:
        return leg.units
    return min(leg.units, nanos(parent.filled_qty) + beyond(leg, parent))


def beyond(leg: Leg, parent: Any) -> int:
    """What an exit has more than its entry opens, in billionths."""
    if parent.is_quote_quantity:
        return leg.units  # nothing tells how many units its money buys
    return max(leg.units + nanos(leg.order.filled_qty) - nanos(parent.quantity), 0)


def nano(value: Decimal) -> int:
    """In billionths, rounded away from zero."""
    scaled = value * _BILLION
    whole = int(scaled)
    if whole == scaled:
        return whole
    return whole + 1 if value > 0 else whole - 1


def nanos(value: Any) -> int:
    """Nautilus's Price or Quantity in billionths, rounded up."""
    return -(-value.raw // _RAW)  # type: ignore[no-any-return]


def nanos_below(value: Any) -> int:
    """The same, rounded down."""
    return value.raw // _RAW  # type: ignore[no-any-return]


def decimal(value: int) -> Decimal:
    """Billionths as units, or nano-dollars as dollars."""
    return Decimal(value).scaleb(-9)


def usd(value: int) -> Decimal:
    """Atto-dollars as dollars."""
    return Decimal(value).scaleb(-18)


def atto(value: Decimal) -> int:
    """A bound in 10^-18 USD; finer than that nothing is counted."""
    return int(value.scaleb(18))


def _group(order: Any) -> str | None:
    # Only a list is one order to the venue; links between separate orders are kept by software that may be late.
    if order.order_list_id is None or not order.linked_order_ids:
        return None
    first = min(id_.value for id_ in (order.client_order_id, *order.linked_order_ids))
    return f"{order.order_list_id}/{first}"
