"""An order as it is judged: whose it is, what it would be, and what one unit of it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import EllipsisType
from typing import Any

from runner._engine import RiskOrder
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
    limit, trigger : int, optional
        The limit, or trigger, that it has or would have.
    least : int
        What a unit costs at least, besides its own price (see `Prices.least`).
    facts : Facts, optional
        Of its instrument; None where the cache does not have it.
    shares : Candidate, optional
        What it brings or takes of the shares, where it exercises contracts.

    """

    __slots__ = (
        "asked", "before", "buy", "cost", "facts", "filled", "instrument_id", "least", "leg", "limit", "order", "row",
        "shares", "trigger", "units",
    )  # fmt: skip

    def __init__(
        self,
        order: Any,
        units: int | None,
        cost: int | None,
        worth: int | EllipsisType | None = ...,
        limit: int | None = None,
        trigger: int | None = None,
        least: int = 0,
        asked: int | None = None,
        before: Candidate | None = None,
        facts: Facts | None = None,
        shares: Candidate | None = None,
    ) -> None:
        self.order = order
        self.units = units
        self.cost = cost
        self.limit = limit
        self.trigger = trigger
        self.least = least
        self.asked = asked if asked is not None else units or 0
        self.before = before
        self.facts = facts
        self.shares = shares
        self.row: RiskOrder | None = None
        left = units or 0
        self.filled = 0
        if order.filled_qty.raw:
            self.filled = nanos(order.filled_qty)
            left -= self.filled
        self.leg = leg = Leg(order, left, cost if worth is ... else worth)
        self.buy = leg.buy
        self.instrument_id = leg.instrument_id

    @property
    def qty(self) -> Decimal | None:
        return None if self.units is None else decimal(self.units)

    @property
    def grows(self) -> bool:
        """Of a modification: whether it adds to the quantity, or that can't be told."""
        before = self.before
        return self.units is None or before is None or before.units is None or self.units > before.units

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
    left = nanos(order.leaves_qty)
    if order.is_quote_quantity:
        price = prices.lowest(order, nanos(order.price) if order.has_price else None)
        units = base_units(left, price)
        left = left if units is None else units
    else:
        price = prices.order(order)
    return Leg(order, left, prices.worth(order.instrument_id, price))


def base_units(money: int, price: int | None) -> int | None:
    """What an order in money asks for, in billionths: the venue divides to nine places. None without a price."""
    return money * NANO // price if price else None


def other_price(order: Any, command: Any) -> bool:
    """Whether a modification asks for another limit or another trigger."""
    return bool(
        (command.price is not None and (not order.has_price or command.price != order.price))
        or (command.trigger_price is not None and command.trigger_price != getattr(order, "trigger_price", None))
    )
