"""Whether an order only shrinks what its account holds: such an order passes where others are denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner._engine import RiskLook
from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject
from runner.risk.collateral import Collateral, is_alike, legs_of
from runner.risk.exposure import ZERO
from runner.risk.working import Working


class ClosingOrders:
    """The orders by which the node itself closes positions, by their client order ids.

    What may do more than a strategy's orders is told by this alone: tags, any strategy can write.
    """

    def __init__(self) -> None:
        self._orders: dict[Any, Any] = {}

    def add(self, order: Any) -> None:
        """Before it is sent; it counts until it is closed."""
        self._orders = {key: each for key, each in self._orders.items() if not each.is_closed}
        self._orders[order.client_order_id] = order

    def discard(self, order: Any) -> None:
        """It could not be sent."""
        self._orders.pop(order.client_order_id, None)

    def __contains__(self, client_order_id: Any) -> bool:
        order = self._orders.get(client_order_id)
        return order is not None and not order.is_closed

    def __len__(self) -> int:
        return len(self._orders)


class Reducing:
    """Closing orders, spreads whose every leg closes (the engine tells), and bought options that hedge."""

    def __init__(self, book: Book, working: Working, collateral: Collateral) -> None:
        self._book = book
        self._working = working
        self._collateral = collateral

    def all(self, candidates: Sequence[Candidate], look: RiskLook, subject: Subject) -> bool:
        """True where all of them only shrink positions of the account, together with what already works."""
        only = candidates[0]
        if look.reduces or subject.account_id is None or len(candidates) > 1:
            return look.reduces and subject.account_id is not None
        if only.facts is None or not only.facts.option or only.facts.spread:
            return False
        if only.units is None or only.order.is_quote_quantity:
            return False
        return only.buy and self._hedges(only, subject)

    def _hedges(self, candidate: Candidate, subject: Subject) -> bool:
        """Whether an option that is bought lowers what the account's short ones of its root ask for."""
        symbol, account_id = candidate.instrument_id.symbol.value, subject.account_id
        working = ZERO
        for instrument_id in self._working.instruments(account_id):
            if is_alike(instrument_id.symbol.value, symbol):
                working += self._book.side(instrument_id, account_id, buy=True)
        for other in self._working.spreads(account_id):
            for leg_id, ratio in legs_of(other.instrument_id):
                if (ratio > 0) == other.buy and is_alike(leg_id.symbol.value, symbol):
                    working += other.qty * abs(ratio)
        return self._collateral.hedges(account_id, symbol, int(candidate.leg.qty), working=int(working))
