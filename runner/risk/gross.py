"""Gross exposure: Σ over instruments of what each could become, its working orders counted at once.

An instrument counts with the larger of abs(position + Σ buys) and abs(position - Σ sells), at the orders' own prices.
Each instrument's part is kept and worked out anew only after something happened to it; `mark` looks at all prices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from runner.risk.candidate import Candidate
from runner.risk.exposure import ZERO, Sum, worst_notional
from runner.risk.positions import Positions
from runner.risk.prices import Prices, multiplier
from runner.risk.working import Working

Part = tuple[Any, Any, Any]
"""Instrument, account, and the strategy, or None for all of the account's."""
Sums = Callable[[Part, bool], Sum]
Worst = Callable[[Part, bool], Decimal | None]
_NOTHING = (ZERO, ZERO)


class GrossExposure:
    """Totals by (account, strategy), the strategy None for the account as a whole."""

    def __init__(self, cache: Any, positions: Positions, working: Working, prices: Prices) -> None:
        self._cache = cache
        self._orders = _Cached(cache)
        self._positions = positions
        self._working = working
        self._prices = prices
        # By account and strategy, then instrument: what it could become by its buys, and by its sells.
        self._parts: dict[tuple[Any, Any], dict[Any, list[Decimal]]] = {}
        self._totals: dict[tuple[Any, Any], Decimal] = {}
        self._dirty: dict[tuple[Any, Any], set[tuple[Any, bool]]] = {}

    def touch(self, part: Part, buy: bool) -> None:
        """Its orders of one side changed."""
        dirty = self._dirty.get((part[1], part[2]))
        if dirty is not None:
            dirty.add((part[0], buy))

    def on_event(self, event: Any) -> None:
        """A position changed."""
        for key, dirty in self._dirty.items():
            if key[0] == event.account_id and key[1] in (None, event.strategy_id):
                dirty.update(((event.instrument_id, True), (event.instrument_id, False)))

    def mark(self) -> None:
        """Forget all parts, as prices have moved. What has no price now is told of when it is asked for."""
        for key, parts in self._parts.items():
            self._dirty[key].update((instrument_id, buy) for instrument_id in parts for buy in (True, False))
            with contextlib.suppress(LookupError):
                self.total(*key)

    def total(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """What is held and ordered now. Raises LookupError where a price that it needs is unknown."""
        key = (account_id, strategy_id)
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = {}
            self._totals[key] = ZERO
            known = self._positions.instruments(account_id) | self._working.instruments(account_id)
            self._dirty[key] = {(instrument_id, buy) for instrument_id in known for buy in (True, False)}
        dirty = self._dirty[key]
        if not dirty:
            return self._totals[key]
        while dirty:
            each = dirty.pop()
            instrument_id, buy = each
            try:
                side = self._working.side(instrument_id, account_id, strategy_id, buy=buy).sum(self._orders)
                worst = self._worst((instrument_id, *key), side, buy)
            except Exception:
                dirty.add(each)
                raise
            part = parts.get(instrument_id)
            if part is None:
                part = parts[instrument_id] = [ZERO, ZERO]
            before = part[0] if part[0] > part[1] else part[1]
            part[buy] = worst
            self._totals[key] += (part[0] if part[0] > part[1] else part[1]) - before
        return self._totals[key]

    def largest(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The largest part of the total: one instrument's."""
        self.total(account_id, strategy_id)
        return max((max(part) for part in self._parts[account_id, strategy_id].values()), default=ZERO)

    def after(
        self, candidates: Sequence[Candidate], account_id: Any, strategy_id: Any, sums: Sums, worst: Worst
    ) -> tuple[Decimal, Decimal]:
        """The total now, and once these could be filled as well.

        `sums` gives a side's sums with them, `worst` what the position could become by that side where it is known.
        """
        before = after = self.total(account_id, strategy_id)
        parts = self._parts[account_id, strategy_id]
        if len(candidates) == 1:
            only = candidates[0]
            buy = only.buy
            mine = parts.get(only.instrument_id, _NOTHING)
            whole = (only.instrument_id, account_id, strategy_id)
            known = worst(whole, buy)
            would = self._worst(whole, sums(whole, buy), buy) if known is None else known
            was, other = mine[buy], mine[not buy]
            now = was if was > other else other
            return before, before - now + (would if would > other else other)
        moved: dict[Any, list[Decimal]] = {}
        for instrument_id, buy in {(candidate.instrument_id, candidate.buy) for candidate in candidates}:
            if (part := moved.get(instrument_id)) is None:
                part = moved[instrument_id] = list(parts.get(instrument_id, _NOTHING))
                after -= max(part)
            whole = (instrument_id, account_id, strategy_id)
            known = worst(whole, buy)
            part[buy] = self._worst(whole, sums(whole, buy), buy) if known is None else known
        for part in moved.values():
            after += max(part)
        return before, after

    def _worst(self, part: Part, side: Sum, buy: bool) -> Decimal:
        instrument_id, account_id, strategy_id = part
        held = self._positions.qty(instrument_id, account_id, strategy_id)
        if not held and not side.qty:
            return ZERO
        mark = self._prices.market(instrument_id, buy=buy)
        if mark is None and held:
            mark = self._opened_at(part)
        worst = worst_notional(held, side, mark, buy=buy)
        if worst is None:
            raise LookupError(f"no price of {instrument_id} is known")
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return worst * multiplier(instrument)

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
