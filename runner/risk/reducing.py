"""Whether an order only shrinks what its account holds: such an order passes where others are denied."""

from __future__ import annotations

from collections.abc import Sequence

from runner.risk.book import Book, Look
from runner.risk.candidate import Candidate, Subject
from runner.risk.collateral import OCC, Collateral, legs_of, root_of
from runner.risk.exposure import ZERO
from runner.risk.positions import Positions
from runner.risk.working import Working

NODE_TAG = "RUNNER_STOP"
"""Marks an order by which the node itself closes a position."""


class Reducing:
    """Closing orders, option legs that close, and bought options that hedge."""

    def __init__(self, book: Book, positions: Positions, working: Working, collateral: Collateral) -> None:
        self._book = book
        self._positions = positions
        self._working = working
        self._collateral = collateral

    def all(self, candidates: Sequence[Candidate], look: Look, subject: Subject) -> bool:
        """True where all of them only shrink positions of the account, together with what already works."""
        only = candidates[0]
        if look.reduces or subject.account_id is None or len(candidates) > 1:
            return look.reduces and subject.account_id is not None
        if only.facts is None or not only.facts.option:
            return False
        if only.units is None or only.order.is_quote_quantity:
            return False
        if only.facts.spread:
            return self.closes_legs(only, subject)
        return only.buy and self._hedges(only, subject)

    def closes_legs(self, candidate: Candidate, subject: Subject) -> bool:
        """Whether every leg of a spread closes contracts that are held, less what other orders close of them."""
        sign = 1 if candidate.buy else -1
        for instrument_id, ratio in legs_of(candidate.instrument_id):
            closing = candidate.leg.qty * ratio * sign
            held = self._positions.qty(instrument_id, subject.account_id)
            if held * closing >= 0:
                return False
            others = self._book.side(instrument_id, subject.account_id, buy=closing > 0)
            for other in self._working.spreads(subject.account_id):
                if other.order.client_order_id == candidate.order.client_order_id:
                    continue
                for leg_id, their_ratio in legs_of(other.order.instrument_id):
                    theirs = other.qty * their_ratio * (1 if other.buy else -1)
                    if leg_id == instrument_id and theirs * closing > 0:
                        others += abs(theirs)
            if abs(closing) + others > abs(held):
                return False
        return True

    def _hedges(self, candidate: Candidate, subject: Subject) -> bool:
        """Whether an option that is bought lowers what the account's short ones of its root ask for."""
        symbol = candidate.instrument_id.symbol.value
        working = ZERO
        for instrument_id in self._working.instruments(subject.account_id):
            if len(instrument_id.symbol.value) > OCC and root_of(instrument_id.symbol.value) == root_of(symbol):
                working += self._book.side(instrument_id, subject.account_id, buy=True)
        return self._collateral.hedges(subject.account_id, symbol, int(candidate.leg.qty), working=int(working))
