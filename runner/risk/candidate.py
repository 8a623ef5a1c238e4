"""An order as it is judged: whose it is, what it would be, and what one unit of it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import EllipsisType
from typing import Any

from runner.risk.codes import text
from runner.risk.exposure import NANO, Leg, decimal, nanos
from runner.risk.instruments import Facts
from runner.risk.limits import Rules
from runner.risk.prices import Prices


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose order it is: ids as Nautilus has them, names as the file has them, and what binds it."""

    account_id: Any  # None where the account could not be told
    strategy_id: Any
    account: str
    strategy: str
    rules: Rules


class Candidate:
    """An order as it would be. For a modification `before` holds the quantity and the price it has now.

    Parameters
    ----------
    order : Order
        Nautilus's.
    units : int, optional
        Its whole base quantity, in billionths; None where it is given in money and no price is known.
    cost : int, optional
        What a unit costs at most, in nano-dollars; None where nothing tells.
    worth : int, optional
        What a unit counts for in limits on value; by default its cost.
    limit : int, optional
        The limit that it has, or would have.
    facts : Facts, optional
        Of its instrument; None where the cache does not have it.

    """

    __slots__ = ("before", "buy", "cost", "facts", "instrument_id", "leg", "limit", "order", "units")

    def __init__(
        self,
        order: Any,
        units: int | None,
        cost: int | None,
        *,
        worth: int | EllipsisType | None = ...,
        limit: int | None = None,
        before: Candidate | None = None,
        facts: Facts | None = None,
    ) -> None:
        self.order = order
        self.units = units
        self.cost = cost
        self.limit = limit
        self.before = before
        self.facts = facts
        filled: int = order.filled_qty.raw
        left = units or 0
        if filled:
            left -= nanos(order.filled_qty)
        self.leg = leg = Leg(order, left, cost if worth is ... else worth)
        self.buy = leg.buy
        self.instrument_id = leg.instrument_id

    @property
    def qty(self) -> Decimal | None:
        return None if self.units is None else decimal(self.units)

    @property
    def value(self) -> int | None:
        """The whole order's, in atto-dollars; of contracts, without their multiplier."""
        worth = self.leg.worth
        return None if worth is None or self.units is None else self.units * worth

    @property
    def words(self) -> str:
        side = "buy" if self.buy else "sell"
        qty = "an unknown quantity of" if self.units is None else text(decimal(self.units))
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
    units = base_units(order, order.leaves_qty, price)
    worth = prices.worth(order.instrument_id, price)
    return Leg(order, nanos(order.leaves_qty) if units is None else units, worth)


def base_units(order: Any, quantity: Any, price: int | None) -> int | None:
    """A quantity in billionths; one that is given in money is divided as the venue does it, to nine places."""
    units = nanos(quantity)
    if not order.is_quote_quantity:
        return units
    return units * NANO // price if price else None


def other_price(order: Any, command: Any) -> bool:
    """Whether a modification asks for another limit or another trigger."""
    return bool(
        (command.price is not None and (not order.has_price or command.price != order.price))
        or (command.trigger_price is not None and command.trigger_price != getattr(order, "trigger_price", None))
    )
