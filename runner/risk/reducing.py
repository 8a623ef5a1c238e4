"""Whether an order only shrinks what its account holds: such an order passes where others are denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.risk.candidate import Candidate, Finder, Subject
from runner.risk.collateral import OCC, OPTION, SPREAD, Collateral, legs_of, root_of
from runner.risk.exposure import ZERO
from runner.risk.positions import Positions
from runner.risk.sums import Sums
from runner.risk.working import Working


class Reducing:
    """Closing orders, option legs that close, and bought options that hedge."""

    def __init__(self, cache: Any, sums: Sums, positions: Positions, working: Working, collateral: Collateral) -> None:
        self._cache = cache
        self._sums = sums
        self._positions = positions
        self._working = working
        self._collateral = collateral

    def all(self, candidates: Sequence[Candidate], subject: Subject) -> bool:
        """True where all of them only shrink positions of the account, together with what already works."""
        if subject.account_id is None:
            return False
        for candidate in candidates:
            if candidate.qty is None or candidate.order.is_quote_quantity:
                return False  # money can't be compared with a position for certain
        if len(candidates) == 1:
            only = candidates[0]
            if self.one(only.instrument_id, candidates, subject):
                return True
            instrument = self._cache.instrument(only.instrument_id)
            kind = None if instrument is None else instrument.instrument_class
            if kind == SPREAD:
                return self.closes_legs(only, subject)
            if kind == OPTION and only.buy and only.qty is not None:
                return self._hedges(only, subject)
            return False
        instruments = {candidate.instrument_id for candidate in candidates}
        return all(self.one(instrument_id, candidates, subject) for instrument_id in instruments)

    def one(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any = None
    ) -> bool:
        position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
        if not position:
            return False
        buy = position < 0
        for candidate in candidates:
            if candidate.buy != buy and candidate.instrument_id == instrument_id:
                return False
        closing = self._sums.side(instrument_id, candidates, subject, strategy_id, buy=buy)
        return closing.qty <= abs(position)

    def closes_legs(self, candidate: Candidate, subject: Subject) -> bool:
        """Whether every leg of a spread closes contracts that are held, less what other orders close of them."""
        sign = 1 if candidate.buy else -1
        for instrument_id, ratio in legs_of(candidate.instrument_id):
            closing = candidate.leg.qty * ratio * sign
            held = self._positions.qty(instrument_id, subject.account_id)
            if held * closing >= 0:
                return False
            side = self._working.side(instrument_id, subject.account_id, None, buy=closing > 0)
            others = side.sum(Finder((), self._cache)).qty
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
                side = self._working.side(instrument_id, subject.account_id, None, buy=True)
                working += side.sum(Finder((), self._cache)).qty
        return self._collateral.hedges(subject.account_id, symbol, int(candidate.leg.qty), working=int(working))
