"""Whether short calls stay covered: by shares, or by calls of their root that expire no sooner.

Selling shares, or a call, shrinks a position and still leaves a short call open to any loss, so this is asked of every
sale, in every state. Sales that work count as if they were filled, purchases that work do not. An order of a spread is
filled as a whole or not at all, so both are looked at. Prices play no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from nautilus_trader.model.identifiers import is_generic_spread_id

from runner._engine import MarginAccount, MarginRates, RiskOrder
from runner.risk.book import Book
from runner.risk.candidate import Candidate
from runner.risk.codes import Code, Denial
from runner.risk.collateral import OCC, legs_of, root_of
from runner.risk.exposure import NANO, ZERO
from runner.risk.positions import Positions
from runner.risk.working import Working

Changes = dict[Any, Decimal]
"""Signed contracts by instrument."""
_LOT = 100  # shares a contract


class Cover:
    """Judges sales by what the account would be left with."""

    def __init__(self, book: Book, positions: Positions, working: Working) -> None:
        self._book = book
        self._positions = positions
        self._working = working

    def check(
        self, candidates: Sequence[Candidate], orders: Sequence[RiskOrder], account_id: Any, *, one: bool
    ) -> tuple[Denial, Any] | None:
        """A denial and the order that it is about, or None. `one`: whether the venue takes them as one order, which is
        filled as a whole; else any of them may be filled alone.
        """
        for candidate in candidates:
            root = self._root(candidate)
            if root is not None and not self._covered(root, candidates, orders, account_id, one=one):
                return (
                    Denial(
                        Code.MARGIN_UNCOVERED,
                        f"{candidate.words} would leave a short call of {root} without cover: buy it back first, and "
                        "cancel what sells its cover",
                    ),
                    candidate.order,
                )
        return None

    def _root(self, candidate: Candidate) -> str | None:
        """The root whose cover this takes away; None where it takes none."""
        sign = 1 if candidate.buy else -1
        if is_generic_spread_id(candidate.instrument_id):
            for instrument_id, ratio in legs_of(candidate.instrument_id):
                if ratio * sign < 0 and _is_call(instrument_id.symbol.value):
                    return root_of(instrument_id.symbol.value)
            return None
        if candidate.buy:
            return None
        symbol: str = candidate.instrument_id.symbol.value
        if len(symbol) <= OCC:
            return symbol
        return root_of(symbol) if _is_call(symbol) else None

    def _covered(
        self, root: str, candidates: Sequence[Candidate], orders: Sequence[RiskOrder], account_id: Any, *, one: bool
    ) -> bool:
        own = {candidate.order.client_order_id for candidate in candidates}
        spreads = [leg for leg in self._working.spreads(account_id) if leg.order.client_order_id not in own]
        if not one:
            spreads += [each.leg for each in candidates if is_generic_spread_id(each.instrument_id)]
        held = self._positions.instruments(account_id) | self._working.instruments(account_id)
        held |= {candidate.instrument_id for candidate in candidates}
        after: Changes = {}
        shares = written = ZERO
        for instrument_id in held:
            symbol = instrument_id.symbol.value
            if root_of(symbol) != root or is_generic_spread_id(instrument_id):
                continue
            sold = self._book.side(instrument_id, account_id, buy=False, orders=orders)
            position = self._positions.qty(instrument_id, account_id)
            left = position - sold
            if len(symbol) <= OCC:
                shares += left
            elif _is_call(symbol):
                # A call that is sold short by itself takes shares, whatever else could cover it.
                short = sold - min(sold, max(position, ZERO))
                if one:
                    short -= _sold_as_legs(instrument_id, candidates)
                alone = max(short, ZERO)
                written += alone
                after[instrument_id] = left + alone
        for candidate in candidates if one else ():
            sign = 1 if candidate.buy else -1
            if is_generic_spread_id(candidate.instrument_id):
                _add(after, candidate.instrument_id, candidate.leg.qty * sign, root)
            elif candidate.buy and candidate.order.parent_order_id is None and len(candidates) > 1:
                _add(after, candidate.instrument_id, candidate.leg.qty, root)  # a leg of what is one order
        shares -= written * _LOT
        if written and shares < 0:
            return False
        return all(_covers(root, shares, each) for each in _with_any_of(after, spreads, root))


def _sold_as_legs(instrument_id: Any, candidates: Sequence[Candidate]) -> Decimal:
    """Contracts that a list of several legs, which is one order, sells of it."""
    if len(candidates) < 2:
        return ZERO
    return sum((each.leg.qty for each in candidates if not each.buy and each.instrument_id == instrument_id), ZERO)


def _with_any_of(after: Changes, spreads: Sequence[Any], root: str) -> Iterator[Changes]:
    """None of the spreads filled, each of them alone, and all together."""
    yield after
    for filled in [*([each] for each in spreads), spreads] if len(spreads) > 1 else [spreads] if spreads else []:
        changed = dict(after)
        for leg in filled:
            _add(changed, leg.order.instrument_id, leg.qty * (1 if leg.buy else -1), root)
        yield changed


def _add(after: Changes, instrument_id: Any, signed: Decimal, root: str) -> None:
    for leg_id, ratio in legs_of(instrument_id):
        symbol = leg_id.symbol.value
        if _is_call(symbol) and root_of(symbol) == root:
            after[leg_id] = after.get(leg_id, ZERO) + signed * ratio


def _covers(root: str, shares: Decimal, calls: Changes) -> bool:
    if all(qty >= 0 for qty in calls.values()):
        return True
    account = MarginAccount()
    for instrument_id, qty in calls.items():
        account.set_option(instrument_id.symbol.value, int(qty.to_integral_value(ROUND_FLOOR)), 0)
    whole = int(shares.to_integral_value(ROUND_FLOOR))
    account.set_position(root, whole * NANO, 0, MarginRates())
    return account.covers(root, 0)


def _is_call(symbol: str) -> bool:
    return len(symbol) > OCC and symbol[-9] == "C"
