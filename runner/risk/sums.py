"""What one decision asks for: sums of sides with the orders that are judged, and what positions could become by them.

Several limits on several levels ask for the same, so what was worked out is kept until the next decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from runner.risk.candidate import Candidate, Finder, Subject
from runner.risk.exposure import Leg, Sum, worst_notional
from runner.risk.positions import Positions
from runner.risk.prices import Prices, multiplier
from runner.risk.working import Working


class Sums:
    """Call `clear` before each decision."""

    def __init__(self, cache: Any, prices: Prices, positions: Positions, working: Working) -> None:
        self._cache = cache
        self._prices = prices
        self._positions = positions
        self._working = working
        self._sides: dict[tuple[Any, Any, bool], Sum] = {}
        self._worsts: dict[tuple[Any, Any, bool], Decimal | None] = {}

    def clear(self) -> None:
        self._sides.clear()
        self._worsts.clear()

    def side(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Sum:
        """One side's working orders and the candidates, each candidate in the place of what it would replace."""
        key = (instrument_id, strategy_id, buy)
        found = self._sides.get(key)
        if found is None:
            found = self._sides[key] = self._add_up(instrument_id, candidates, subject, strategy_id, buy=buy)
        return found

    def worst(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Decimal | None:
        """What the position could become by one side's orders, in money; None where a price is unknown."""
        key = (instrument_id, strategy_id, buy)
        worsts = self._worsts
        if key not in worsts:
            position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
            if strategy_id is not None and self._alone(instrument_id, subject, strategy_id, position, buy=buy):
                found = self.worst(instrument_id, candidates, subject, None, buy=buy)
            else:
                side = self.side(instrument_id, candidates, subject, strategy_id, buy=buy)
                mark = self._prices.market(instrument_id, buy=buy)
                found = self.times(worst_notional(position, side, mark, buy=buy), instrument_id)
            worsts[key] = found
            return found
        return worsts[key]

    def times(self, notional: Decimal | None, instrument_id: Any) -> Decimal | None:
        """With the contract's multiplier. Raises LookupError for an instrument that is not in the cache."""
        instrument = self.instrument(instrument_id)
        return None if notional is None else notional * multiplier(instrument)

    def instrument(self, instrument_id: Any) -> Any:
        """Raises LookupError for one that is not in the cache."""
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return instrument

    def _add_up(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Sum:
        side = self._working.side(instrument_id, subject.account_id, strategy_id, buy=buy)
        if len(candidates) == 1 and not side.special:
            only = candidates[0]
            if only.buy == buy and only.leg.plain and only.order.client_order_id not in side.plain:
                return side.plus(only.leg)
        own = {c.order.client_order_id: c.leg for c in candidates if c.buy == buy and c.instrument_id == instrument_id}
        for client_order_id, leg in own.items():
            working = side.plain.get(client_order_id) or side.special.get(client_order_id)
            if working is not None and working.qty > leg.qty:  # a larger modification is still under way
                own[client_order_id] = Leg(leg.order, working.qty, leg.price)
        return side.with_candidates(own, Finder(candidates, self._cache))

    def _alone(self, instrument_id: Any, subject: Subject, strategy_id: Any, position: Decimal, *, buy: bool) -> bool:
        """Whether the account has no more there than the strategy, whose orders are among the account's."""
        account_id = subject.account_id
        if strategy_id != subject.strategy_id or position != self._positions.qty(instrument_id, account_id):
            return False
        own = self._working.side(instrument_id, account_id, strategy_id, buy=buy)
        of_all = self._working.side(instrument_id, account_id, None, buy=buy)
        return len(own.plain) == len(of_all.plain) and len(own.special) == len(of_all.special)
