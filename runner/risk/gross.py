"""Gross exposure: Σ over instruments of what each could become, its working orders counted at once.

An instrument counts with the larger of abs(position + Σ buys) and abs(position - Σ sells), at the orders' own prices.
Each instrument's part is kept and worked out anew only after something happened to it; `mark` looks at all prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from runner.risk.candidate import Candidate
from runner.risk.exposure import ZERO, Sum, worst_notional
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.working import Working

Part = tuple[Any, Any, Any]
"""Instrument, account, and the strategy, or None for all of the account's."""
Sums = Callable[[Part, bool], Sum]


class GrossExposure:
    """Totals by (account, strategy), the strategy None for the account as a whole."""

    def __init__(self, cache: Any, positions: Positions, working: Working, prices: Prices) -> None:
        self._cache = cache
        self._positions = positions
        self._working = working
        self._prices = prices
        self._parts: dict[tuple[Any, Any], dict[Any, Decimal]] = {}
        self._totals: dict[tuple[Any, Any], Decimal] = {}
        self._dirty: dict[tuple[Any, Any], set[Any]] = {}

    def touch(self, part: Part) -> None:
        """Its orders changed."""
        instrument_id, *whose = part
        key = (whose[0], whose[1])
        if key in self._parts:
            self._dirty[key].add(instrument_id)

    def on_event(self, event: Any) -> None:
        """A position changed."""
        for key in self._parts:
            if key[0] == event.account_id and key[1] in (None, event.strategy_id):
                self._dirty[key].add(event.instrument_id)

    def mark(self) -> None:
        """Forget all parts, as prices have moved."""
        for key, parts in self._parts.items():
            self._dirty[key].update(parts)
            self.total(*key)

    def total(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """What is held and ordered now. Raises LookupError where a price that it needs is unknown."""
        key = (account_id, strategy_id)
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = {}
            self._totals[key] = ZERO
            self._dirty[key] = self._positions.instruments(account_id) | self._working.instruments(account_id)
        dirty = self._dirty[key]
        while dirty:
            instrument_id = dirty.pop()
            try:
                worst = self._worst((instrument_id, *key), self._sums)
            except Exception:
                dirty.add(instrument_id)
                raise
            self._totals[key] += worst - parts.get(instrument_id, ZERO)
            if worst:
                parts[instrument_id] = worst
            else:
                parts.pop(instrument_id, None)
        return self._totals[key]

    def after(
        self, candidates: Iterable[Candidate], account_id: Any, strategy_id: Any, sums: Sums
    ) -> tuple[Decimal, Decimal]:
        """The total now, and once these could be filled as well; `sums` gives a side's sums with them."""
        before = after = self.total(account_id, strategy_id)
        parts = self._parts[account_id, strategy_id]
        for instrument_id in {candidate.instrument_id for candidate in candidates}:
            part = (instrument_id, account_id, strategy_id)
            after += self._worst(part, sums) - parts.get(instrument_id, ZERO)
        return before, after

    def _sums(self, part: Part, buy: bool) -> Sum:
        instrument_id, account_id, strategy_id = part
        side = self._working.side(instrument_id, account_id, strategy_id, buy=buy)
        return side.with_candidates({}, _Cached(self._cache))

    def _worst(self, part: Part, sums: Sums) -> Decimal:
        instrument_id, account_id, strategy_id = part
        held = self._positions.qty(instrument_id, account_id, strategy_id)
        worst = ZERO
        for buy in (True, False):
            side = sums(part, buy)
            if not held and not side.qty:
                continue
            mark = self._prices.market(instrument_id, buy=buy)
            if mark is None and held:
                mark = self._opened_at(part)
            value = worst_notional(held, side, mark, buy=buy)
            if value is None:
                raise LookupError(f"no price of {instrument_id} is known")
            worst = max(worst, value)
        if not worst:
            return ZERO
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return worst * instrument.multiplier.as_decimal()  # type: ignore[no-any-return]

    def _opened_at(self, part: Part) -> Decimal | None:
        """What a position that no price has arrived for was opened at: better than to count nothing, or to stop all."""
        instrument_id, account_id, strategy_id = part
        for position in self._cache.positions_open(
            instrument_id=instrument_id, account_id=account_id, strategy_id=strategy_id
        ):
            return Decimal(str(position.avg_px_open))
        return None


class _Cached:
    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def get(self, client_order_id: Any) -> Any:
        return self._cache.order(client_order_id)
