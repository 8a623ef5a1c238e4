"""Orders that would cross a position through zero, which Alpaca refuses: what may go now, and what must wait.

Arithmetic only: quantities are positive shares, positions signed. Source: Alpaca-API issues 82, 90, 129, 250.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """How an order is sent: `now` shares at once, `later` once the position they would cross is closed."""

    now: Decimal
    later: Decimal

    @property
    def is_whole(self) -> bool:
        """Whether it goes as it is."""
        return self.later == 0


def signed(side: str, qty: Decimal) -> Decimal:
    """Shares as a change of position."""
    return qty if side == "buy" else -qty


def closable(side: str, position: Decimal, closing_working: Decimal) -> Decimal:
    """Shares that an order of this side can still close, next to the closing orders that are on their way."""
    if position == 0 or (position > 0) == (side == "buy"):
        return ZERO
    return max(ZERO, abs(position) - closing_working)


def is_opposed(side: str, position: Decimal) -> bool:
    """Whether the position lies on the other side of zero from where this order goes."""
    return position != 0 and (position > 0) != (side == "buy")


def plan(side: str, qty: Decimal, position: Decimal, closing_working: Decimal) -> Plan:
    """Split an order of `qty` at zero.

    `closing_working` is what other orders of the same side, sent or being sent, will still close of `position`.
    """
    if not is_opposed(side, position):
        return Plan(qty, ZERO)
    now = min(qty, closable(side, position, closing_working))
    return Plan(now, qty - now)
