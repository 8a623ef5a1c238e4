"""Whether an order only shrinks what its account holds: such an order passes where others are denied."""

from __future__ import annotations

from collections.abc import Sequence

from runner.risk.book import Book, Look
from runner.risk.candidate import Candidate, Subject
from runner.risk.collateral import OCC, Collateral, root_of
from runner.risk.exposure import ZERO
from runner.risk.working import Working

NODE_TAG = "RUNNER_STOP"
"""Marks an order by which the node itself closes a position."""


class Reducing:
    """Closing orders, spreads whose every leg closes (the engine tells), and bought options that hedge."""

    def __init__(self, book: Book, working: Working, collateral: Collateral) -> None:
        self._book = book
        self._working = working
        self._collateral = collateral

    def all(self, candidates: Sequence[Candidate], look: Look, subject: Subject) -> bool:
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
        symbol = candidate.instrument_id.symbol.value
        working = ZERO
        for instrument_id in self._working.instruments(subject.account_id):
            if len(instrument_id.symbol.value) > OCC and root_of(instrument_id.symbol.value) == root_of(symbol):
                working += self._book.side(instrument_id, subject.account_id, buy=True)
        return self._collateral.hedges(subject.account_id, symbol, int(candidate.leg.qty), working=int(working))
