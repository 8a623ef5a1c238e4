"""An order that could trade with one of our own: Alpaca refuses it as a potential wash trade.

Source: docs.alpaca.markets "User protection". Against any open order on the other side of the symbol: where one of
the two is a market or a stop order, always; where both have a limit, if the buy's is at or above the sale's. Trailing
stops, and orders of a list (brackets, OCO, OTO), are exempt on either side.
"""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.enums import ContingencyType, OrderType

from runner.risk.codes import Code, Denial, text
from runner.risk.working import Side

_TRAILING = frozenset({OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT})


def check(order: Any, others: Side, where: str, *, price: Any = None) -> Denial | None:
    """Judge one order against the working ones on the other side; `price` stands in for its own in a modification."""
    if not others or exempt(order):
        return None
    buy = order.is_buy
    own = price if price is not None else (order.price if order.has_price else None)
    limit = None if own is None else own.raw  # of one scale for all prices
    for other in others.resting():
        theirs = other.price if other.has_price else None
        if limit is not None and theirs is not None and (limit < theirs.raw if buy else theirs.raw < limit):
            continue
        if other.client_order_id == order.client_order_id or exempt(other):
            continue
        at = "at the market" if theirs is None else f"at {text(theirs.as_decimal())}"
        return Denial(
            Code.SELF_MATCH,
            f"it could trade with our own order {other.client_order_id} to {'sell' if buy else 'buy'} {at}: "
            f"cancel that first ({where})",
        )
    return None


def exempt(order: Any) -> bool:
    return order.order_type in _TRAILING or order.contingency_type != ContingencyType.NO_CONTINGENCY
