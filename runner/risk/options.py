"""Orders of options: whether the venue takes them at all, and what they cost of the options buying power.

A purchase costs its premium; one that buys a short option back, its premium less the margin that it frees. A put that
is sold by itself costs its strike less the premium; a call sold by itself needs a hundred shares a contract that
nothing else holds. An order of several contracts that opens costs the requirement of its own legs by the spread rule
and its net price, whatever is held beside them. One that closes any of them, and a sale that closes, cost what they
change of the requirement of all that is held.

Sources: docs.alpaca.markets "Options Trading Overview" (levels, covered calls, cash-secured puts), "Options Level 3
Trading" (cost basis, cover inside one order); alpaca.markets/support, "Why can't I buy to close my short option?". How
much closing legs give back is not documented; this is the reading that the closing orders of those pages need.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from decimal import Decimal
from itertools import chain
from math import gcd
from typing import Any

from nautilus_trader.model.identifiers import InstrumentId, Symbol, is_generic_spread_id

from runner._engine import option_order_refusal
from runner.risk.candidate import Candidate
from runner.risk.codes import Code, Denial, text
from runner.risk.collateral import OCC, Collateral, Uncovered, is_option, legs_of, lots_needed, root_of
from runner.risk.exposure import ZERO, Leg, decimal
from runner.risk.positions import Positions
from runner.risk.prices import Prices, multiplier
from runner.risk.working import Working

Legs = dict[Any, int]
"""Signed contracts by instrument."""
SHARES = 100
_MILLS = Decimal(1000)


class NoPrice(Exception):
    """Nothing tells what an order is worth."""

    def __init__(self, candidate: Candidate) -> None:
        super().__init__(f"what {candidate.words} costs is not known: no quote, trade or bar has arrived yet")


class Beside:
    """What works, and orders of a list that come before another."""

    def __init__(self, working: Working | Beside | Among, earlier: Sequence[Candidate]) -> None:
        self._working = working
        self._earlier = [candidate.leg for candidate in earlier]

    def instruments(self, account_id: Any) -> set[Any]:
        return self._working.instruments(account_id) | {leg.instrument_id for leg in self._earlier}

    def spreads(self, account_id: Any) -> Iterable[Leg]:
        spreads = (leg for leg in self._earlier if is_generic_spread_id(leg.instrument_id))
        return chain(self._working.spreads(account_id), spreads)

    def legs(self, instrument_id: Any, account_id: Any) -> Iterable[Leg]:
        earlier = (leg for leg in self._earlier if leg.instrument_id == instrument_id)
        return chain(self._working.legs(instrument_id, account_id), earlier)


class Among:
    """Of what works, these orders alone."""

    def __init__(self, working: Working | Beside | Among, orders: Container[Any]) -> None:
        self._working = working
        self._orders = orders

    def instruments(self, account_id: Any) -> set[Any]:
        return self._working.instruments(account_id)

    def spreads(self, account_id: Any) -> Iterable[Leg]:
        return (leg for leg in self._working.spreads(account_id) if leg.order.client_order_id in self._orders)

    def legs(self, instrument_id: Any, account_id: Any) -> Iterable[Leg]:
        legs = self._working.legs(instrument_id, account_id)
        return (leg for leg in legs if leg.order.client_order_id in self._orders)


class OptionOrders:
    """Judges orders of contracts by what their account holds and has at work."""

    def __init__(
        self,
        cache: Any,
        collateral: Collateral,
        positions: Positions,
        working: Working | Beside | Among,
        prices: Prices,
    ) -> None:
        self._cache = cache
        self._collateral = collateral
        self._positions = positions
        self._working = working
        self._prices = prices

    def beside(self, earlier: Sequence[Candidate]) -> OptionOrders:
        """The same with orders that come before in their list, as if they worked already."""
        if not earlier:
            return self
        return self._with(Beside(self._working, earlier))

    def among(self, orders: Container[Any]) -> OptionOrders:
        """The same where of all that works there were these orders alone, by their ids."""
        return self._with(Among(self._working, orders))

    def _with(self, working: Beside | Among) -> OptionOrders:
        return OptionOrders(self._cache, self._collateral, self._positions, working, self._prices)

    # -- whether they are taken ------------------------------------------------------------------------------------

    def refused(self, candidates: Sequence[Candidate], account_id: Any, level: int) -> Denial | None:
        """Why the venue takes no such order, whatever money there is and be it that it closes."""
        options = []
        for candidate in candidates:
            if is_option(candidate.instrument_id):
                options.append(candidate)
            elif candidate.order.parent_order_id is not None:
                continue  # it sells what its own entry bought
            elif not candidate.buy and (denial := self._locked(candidate, account_id)) is not None:
                return denial
        for own in by_root(options) if options else ():
            if (reason := self._shape(own, account_id, level)) is not None:
                return Denial(Code.OPTION_REFUSED, f"{own[0].words}: {reason}")
            if (denial := self._naked(own, account_id)) is not None:
                return denial
        return None

    def _shape(self, candidates: Sequence[Candidate], account_id: Any, level: int) -> str | None:
        """Level, ratios, cover within the order."""
        units = [int(abs(candidate.leg.qty)) for candidate in candidates]
        qty = gcd(*units) or 1
        several = len(candidates) > 1 or len(legs_of(candidates[0].instrument_id)) > 1
        legs = []
        for candidate, unit in zip(candidates, units, strict=True):
            for instrument_id, ratio in legs_of(candidate.instrument_id):
                buys = candidate.buy == (ratio > 0)
                held = int(self._positions.qty(instrument_id, account_id))
                closes = held < 0 if buys else held > 0
                if closes and several:  # what is one order can't wait for another to close first
                    others = int(self._closing_elsewhere(instrument_id, candidates, account_id, buy=buys))
                    held += min(others, -held) if buys else -min(others, held)
                intent = f"{'buy' if buys else 'sell'}_to_{'close' if closes else 'open'}"
                legs.append((instrument_id.symbol.value, abs(ratio) * unit // qty, intent, held))
        return option_order_refusal(legs, qty, level)

    def _naked(self, candidates: Sequence[Candidate], account_id: Any) -> Denial | None:
        """A call that is sold by itself is covered by shares alone."""
        candidate = candidates[0]
        symbol: str = candidate.instrument_id.symbol.value
        legs = legs_of(candidate.instrument_id)
        if candidate.buy or len(candidates) > 1 or len(legs) > 1 or symbol[-9] != "C":
            return None
        opens = candidate.leg.qty - self._closes(candidate, account_id)
        needed = opens * SHARES
        if needed <= 0:
            return None
        free = self._free_shares(root_of(symbol), candidate, account_id)
        if needed <= free:
            return None
        return Denial(
            Code.MARGIN_UNCOVERED,
            f"{candidate.words} needs {text(needed)} shares of {root_of(symbol)} that nothing else holds, and "
            f"{text(free)} are free: a call is covered by another one within one order of several legs only",
        )

    def _locked(self, candidate: Candidate, account_id: Any) -> Denial | None:
        """Shares that a call which is for sale by itself needs can't be sold meanwhile."""
        root = candidate.instrument_id.symbol.value
        if not any(is_call_of(each.symbol.value, root) for each in self._working.instruments(account_id)):
            return None
        needed = self._closes(candidate, account_id)
        if needed <= 0 or needed <= (free := self._free_shares(root, candidate, account_id)):
            return None
        return Denial(
            Code.MARGIN_UNCOVERED,
            f"{candidate.words} would sell shares that a call for sale needs, and {text(free)} are free",
        )

    def _free_shares(self, root: str, candidate: Candidate, account_id: Any) -> Decimal:
        """Less those that are for sale, and those that short calls hold, sold already or about to be."""
        shares_id = InstrumentId(Symbol(root), candidate.instrument_id.venue)
        shares = self._positions.qty(shares_id, account_id)
        selling = self._sum(shares_id, [candidate], account_id, buy=False)
        calls = {
            each.symbol.value: int(self._positions.qty(each, account_id))
            for each in self._positions.instruments(account_id)
            if is_call_of(each.symbol.value, root)
        }
        locked = min(Decimal(lots_needed(calls) * SHARES), max(shares, ZERO))
        for each in self._working.instruments(account_id):
            if is_call_of(each.symbol.value, root) and self._positions.qty(each, account_id) <= 0:
                locked += SHARES * self._sum(each, [candidate], account_id, buy=False)
        return max(shares - selling - locked, ZERO)

    # -- what they cost --------------------------------------------------------------------------------------------

    def cost(self, candidates: Sequence[Candidate], account_id: Any) -> Decimal:
        """In USD, of orders of one root. Raises Uncovered, NoPrice."""
        if len(candidates) == 1 and not is_generic_spread_id(candidates[0].instrument_id):
            return self._of_one(candidates[0], account_id)
        legs, debit = self._legs(candidates)
        closes = any(
            held and (held > 0) != (contracts > 0)
            for each, contracts in legs.items()
            if (held := self._positions.qty(each, account_id))
        )
        named = [(each.symbol.value, contracts) for each, contracts in legs.items()]
        paid = sum((premium * signed for premium, signed in debit), ZERO)
        return self._collateral.options_cost(account_id if closes else None, named, paid)

    def _of_one(self, candidate: Candidate, account_id: Any) -> Decimal:
        instrument_id = candidate.instrument_id
        closes = self._closes(candidate, account_id)
        opens = candidate.leg.qty - closes
        premium = self._premium(candidate)
        if premium is None and opens > 0:
            raise NoPrice(candidate)
        size = multiplier(self._cache.instrument(instrument_id))
        known = is_option(instrument_id)  # else it is a contract whose terms the spread rule can't read off its symbol
        if candidate.buy:
            paid = (premium or ZERO) * size
            back = self._bought_back(candidate, closes, paid * closes, account_id) if closes and known else ZERO
            return paid * opens + back
        symbol: str = instrument_id.symbol.value
        cost = ZERO
        if opens > 0 and not known:
            raise Uncovered(f"what covers a short of {symbol} can't be told: it is no OCC symbol")
        if closes and known:
            # Those that other orders sell already go with it. A sale at the market may bring nothing.
            gone = int(
                closes + self._closing_elsewhere(instrument_id, [candidate], account_id, buy=False, spreads=False)
            )
            got = decimal(candidate.limit or 0) * closes
            cost = self._collateral.options_cost(account_id, [(symbol, -gone)], -got)
        if opens > 0 and symbol[-9] == "P":
            cost += max(Decimal(symbol[-8:]) / _MILLS - (premium or ZERO), ZERO) * opens * size
        return cost

    def _bought_back(self, candidate: Candidate, contracts: Decimal, paid: Decimal, account_id: Any) -> Decimal:
        """What is left to pay when the margin that it frees is taken off, less what other orders free before it."""
        symbol: str = candidate.instrument_id.symbol.value
        before: dict[str, int] = {}
        for each in self._positions.instruments(account_id):
            held = self._positions.qty(each, account_id)
            if held < 0 and is_option(each) and root_of(each.symbol.value) == root_of(symbol):
                buying = self._sum(each, [candidate], account_id, buy=True)
                if buying:
                    before[each.symbol.value] = int(min(buying, -held))
        try:
            freed = self._collateral.freed(account_id, before, {symbol: int(contracts)})
        except Uncovered:
            return ZERO  # a call that nothing covers asks for more than it can cost
        return max(paid - freed, ZERO)

    def _legs(self, candidates: Sequence[Candidate]) -> tuple[Legs, list[tuple[Decimal, int]]]:
        """Signed contracts, and of each order its premium with its signed units."""
        legs: Legs = {}
        debit: list[tuple[Decimal, int]] = []
        for candidate in candidates:
            premium = self._premium(candidate)
            if premium is None:
                raise NoPrice(candidate)
            signed = int(candidate.leg.qty) * (1 if candidate.buy else -1)
            debit.append((premium, signed))
            for instrument_id, ratio in legs_of(candidate.instrument_id):
                legs[instrument_id] = legs.get(instrument_id, 0) + ratio * signed
        return legs, debit

    def _premium(self, candidate: Candidate) -> Decimal | None:
        """What is paid a share at most, or got at least: a limit, else the far side of the quote."""
        known = candidate.limit
        if known is None:
            known = candidate.cost if candidate.buy else self._prices.proceeds(candidate.instrument_id)
        return None if known is None else decimal(known)

    # -- what others do --------------------------------------------------------------------------------------------

    def _closes(self, candidate: Candidate, account_id: Any) -> Decimal:
        """How much of a single order closes what is held, less what other orders close already."""
        held = self._positions.qty(candidate.instrument_id, account_id)
        if not held or (held > 0) == candidate.buy:
            return ZERO
        others = self._closing_elsewhere(candidate.instrument_id, [candidate], account_id, buy=candidate.buy)
        return min(candidate.leg.qty, max(abs(held) - others, ZERO))

    def _closing_elsewhere(
        self, instrument_id: Any, candidates: Sequence[Candidate], account_id: Any, *, buy: bool, spreads: bool = True
    ) -> Decimal:
        """Contracts that other orders of this side are to fill, those of spreads included."""
        total = self._sum(instrument_id, candidates, account_id, buy=buy)
        if spreads:
            own = {candidate.order.client_order_id for candidate in candidates}
            for other in self._working.spreads(account_id):
                if other.order.client_order_id in own:
                    continue
                for leg_id, ratio in legs_of(other.order.instrument_id):
                    if leg_id == instrument_id and (other.buy == (ratio > 0)) == buy:
                        total += other.qty * abs(ratio)
        return total

    def _sum(self, instrument_id: Any, without: Sequence[Candidate], account_id: Any, *, buy: bool) -> Decimal:
        """Contracts of one side's single orders that work, those that are judged left aside."""
        own = {candidate.order.client_order_id for candidate in without}
        total = ZERO
        for leg in self._working.legs(instrument_id, account_id):
            if leg.buy == buy and leg.order.client_order_id not in own:
                total += leg.qty
        return total


def by_root(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Options of one underlying are one order to the spread rule."""
    roots: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        first = legs_of(candidate.instrument_id)[0][0]
        roots.setdefault(root_of(first.symbol.value), []).append(candidate)
    return list(roots.values())


def is_call_of(symbol: str, root: str) -> bool:
    return len(symbol) > OCC and symbol[-9] == "C" and root_of(symbol) == root
