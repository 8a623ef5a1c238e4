"""An order as it is judged: whose it is, what it would be, and what one unit of it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from types import EllipsisType
from typing import Any

from runner.risk.codes import text
from runner.risk.exposure import ZERO, Leg
from runner.risk.limits import Rules
from runner.risk.prices import Prices

_NANO = Decimal("1e-9")


@dataclass(slots=True)
class Subject:
    """Whose order it is: ids as Nautilus has them, names as the file has them, and what binds it."""

    account_id: Any  # None where the account could not be told
    strategy_id: Any
    account: str
    strategy: str
    rules: Rules
    params: Any = None
    """The command's own, for the adapter."""


@dataclass(slots=True)
class Candidate:
    """An order as it would be. For a modification `before` holds the quantity and the price it has now."""

    order: Any
    qty: Decimal | None  # whole base quantity; None where it is given in money and no price is known
    price: Decimal | None  # what one unit is worth
    before: Candidate | None = None
    limit: Decimal | None = None  # the limit that it has, or would have
    worth: Decimal | EllipsisType | None = ...  # what one unit counts for in limits on value; by default its price
    buy: bool = field(init=False)
    leg: Leg = field(init=False)
    instrument_id: Any = field(init=False)
    notional: Decimal | None = field(init=False)

    def __post_init__(self) -> None:
        order = self.order
        self.instrument_id = order.instrument_id
        qty = self.qty
        left = qty or ZERO
        if order.filled_qty.raw:
            left -= order.filled_qty.as_decimal()
        unit = self.price if isinstance(self.worth, EllipsisType) else self.worth
        self.leg = Leg(order, left, unit)
        self.buy = self.leg.buy
        self.notional = None if qty is None or unit is None else qty * unit

    @property
    def words(self) -> str:
        side = "buy" if self.buy else "sell"
        qty = "an unknown quantity of" if self.qty is None else text(self.qty)
        return f"to {side} {qty} {self.instrument_id}"


class Finder:
    """Finds an order among those being judged, else in the cache."""

    def __init__(self, candidates: Sequence[Candidate], cache: Any) -> None:
        self._own = {candidate.order.client_order_id: candidate.order for candidate in candidates}
        self._cache = cache

    def get(self, client_order_id: Any) -> Any:
        return self._own.get(client_order_id) or self._cache.order(client_order_id)


def working_leg(order: Any, prices: Prices) -> Leg:
    """What may still be filled of an order that the gate has not judged, at today's prices."""
    price = prices.order(order)
    qty = base_qty(order, order.leaves_qty, price)
    worth = prices.worth(order.instrument_id, price)
    return Leg(order, order.leaves_qty.as_decimal() if qty is None else qty, worth)


def base_qty(order: Any, quantity: Any, price: Decimal | None) -> Decimal | None:
    qty: Decimal = quantity.as_decimal()
    if not order.is_quote_quantity:
        return qty
    # As the venue divides it, to nine places.
    return (qty / price).quantize(_NANO, ROUND_FLOOR) if price else None


def other_price(order: Any, command: Any) -> bool:
    """Whether a modification asks for another limit or another trigger."""
    return bool(
        (command.price is not None and (not order.has_price or command.price != order.price))
        or (command.trigger_price is not None and command.trigger_price != getattr(order, "trigger_price", None))
    )
