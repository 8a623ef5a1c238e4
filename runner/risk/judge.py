"""The decision on an order, a list or a modification: let through, or denied with a code and the numbers.

Nothing here touches the message bus or changes anything; gate.py does both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from runner.risk import quotes, self_match, universe
from runner.risk.candidate import Candidate, Subject, base_qty, other_price
from runner.risk.codes import Code, Denial, seconds, text
from runner.risk.collateral import Collateral
from runner.risk.cover import Cover
from runner.risk.duplicates import Duplicates
from runner.risk.exposure import ZERO
from runner.risk.gross import GrossExposure
from runner.risk.holdings import Holdings, named, no_price
from runner.risk.ledger import Ledger
from runner.risk.limits import LimitsBook, Rules
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.rate import Rates
from runner.risk.reducing import Reducing
from runner.risk.state import State, States
from runner.risk.sums import Sums
from runner.risk.trading_day import TradingDay
from runner.risk.universe import Legality
from runner.risk.working import Working


class Judge:
    """Applies the limits to what the cache, the reservations and the states say now."""

    def __init__(
        self,
        *,
        cache: Any,
        limits: LimitsBook,
        prices: Prices,
        positions: Positions,
        working: Working,
        states: States,
        venue_now_ns: Callable[[], int],
        gross: GrossExposure,
        ledger: Ledger,
        margin: Margin,
        collateral: Collateral,
        outage: Callable[[str, str], str | None],
        legality: Legality | None = None,
        session: Callable[[int], str] | None = None,
    ) -> None:
        self.limits = limits
        self.rates = Rates()
        self.duplicates = Duplicates()
        self.largest: dict[str, Decimal] = {}
        """By the place of a limit on one order in the file: the largest that it let through."""
        self._cache = cache
        self._prices = prices
        self._working = working
        self._states = states
        self._venue_now_ns = venue_now_ns
        self._margin = margin
        self._sums = Sums(cache, prices, positions, working)
        self._reducing = Reducing(cache, self._sums, positions, working, collateral)
        self._holdings = Holdings(
            cache=cache, sums=self._sums, positions=positions, reducing=self._reducing, gross=gross, ledger=ledger
        )
        self._cover = Cover(cache, positions, working)
        self._outage = outage
        self._legality = legality
        self._session = session or TradingDay().session

    def candidate(self, order: Any) -> Candidate:
        """The order as it was made."""
        price = self._prices.order(order)
        return Candidate(order, base_qty(order, order.quantity, price), price)

    def modified(self, order: Any, command: Any) -> Candidate:
        """The order as the command would make it."""
        price = self._prices.order(order, price=command.price, trigger_price=command.trigger_price)
        qty = base_qty(order, command.quantity or order.quantity, price)
        return Candidate(order, qty, price, before=self.candidate(order))

    def submit(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """Judge an order, or a list as a whole: a denial with the order that it is about, or None."""
        rules = subject.rules
        reducing = self.reduces(candidates, subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial, candidates[0].order
        for candidate in candidates:
            denial = self._as_an_order(candidate, subject, reducing=reducing)
            if denial is None:
                denial = self._order_size(candidate, rules, reducing=reducing)
            if denial is not None:
                return denial, candidate.order
        if (denied := self.cover(candidates, subject)) is not None:
            return denied
        if reducing:
            return None
        for candidate in candidates:
            if (denial := self._in_this_market(candidate, rules)) is not None:
                return denial, candidate.order
        if (denied := self._holdings.check(candidates, subject)) is not None:
            return denied
        denial = self._open_orders(len(candidates), subject) or self._rate(len(candidates), rules)
        if denial is None and rules.headroom is not None:
            denial = self._margin.check(candidates, subject, rules.headroom)
        return None if denial is None else (denial, candidates[0].order)

    def modify(self, candidate: Candidate, command: Any, subject: Subject) -> Denial | None:
        """Judge a modification by what it adds: one that only takes quantity away always passes."""
        before, rules = candidate.before, subject.rules
        assert before is not None
        grows = candidate.qty is None or before.qty is None or candidate.qty > before.qty
        repriced = other_price(candidate.order, command)
        if not grows and not repriced:
            return None
        reducing = self.reduces([candidate], subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial
        if repriced and rules.self_match is not None and (denial := self._self_match(candidate, subject, command)):
            return denial
        dearer = candidate.notional is None or before.notional is None or candidate.notional > before.notional
        if denial := self._order_size(candidate, rules, reducing=reducing, qty=grows, notional=dearer):
            return denial
        if grows and (denied := self.cover([candidate], subject)) is not None:
            return denied[0]
        if reducing:
            return None
        if denial := self._in_this_market(candidate, rules, command):
            return denial
        if (grows or dearer) and (denied := self._holdings.check([candidate], subject)) is not None:
            return denied[0]
        if (grows or dearer) and rules.headroom is not None:
            denial = self._margin.check([candidate], subject, rules.headroom)
            if denial is not None:
                return denial
        return self._rate(1, rules)

    def count(self, orders: Sequence[Any], subject: Subject) -> None:
        """Remember what goes out: for the order rates, whether or not it was bound by them, and against doubles."""
        rules = subject.rules
        if rules.orders:
            self.rates.count(rules.orders, len(orders) or 1, self._venue_now_ns())
        if rules.duplicates is not None and orders:
            self.duplicates.passed(orders, rules.duplicates.value, self._venue_now_ns())

    def reduces(self, candidates: Sequence[Candidate], subject: Subject) -> bool:
        """True where all of them only shrink positions of the account; with this question a decision begins."""
        self._sums.clear()
        return self._reducing.all(candidates, subject)

    def cover(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """What would leave a short call open to any loss is denied in every state, though it shrinks a position."""
        if subject.rules.headroom is None:
            return None

        def sales(instrument_id: Any) -> Decimal:
            return self._sums.side(instrument_id, candidates, subject, None, buy=False).qty

        return self._cover.check(candidates, subject.account_id, sales)

    def _may_not_open(self, subject: Subject) -> Denial | None:
        standing = self._states.severest(subject.account, subject.strategy)
        if standing.state is not State.ACTIVE:
            code = Code.STATE_HALTED if standing.state is State.HALTED else Code.STATE_REDUCING
            why = f" ({standing.why})" if standing.why else ""
            return Denial(code, f"{standing.scope} is {standing.state}{why}: only what shrinks a position passes")
        if subject.account_id is None or self._cache.account(subject.account_id) is None:
            return Denial(
                Code.NO_ACCOUNT,
                f"the account {subject.account or '(unknown)'} is not known yet, so nothing can be opened",
            )
        if (outage := self._outage(subject.account, subject.strategy)) is not None:
            return Denial(Code.STREAM_DOWN, f"{outage}, so nothing can be opened")
        return None

    def _as_an_order(self, candidate: Candidate, subject: Subject, *, reducing: bool) -> Denial | None:
        """What holds for every order, those that reduce included."""
        order, rules = candidate.order, subject.rules
        if self._legality is not None:
            illegal = self._legality(order, self._sums.instrument(candidate.instrument_id), subject.params)
            if illegal is not None:
                return Denial(Code.ORDER_ILLEGAL, illegal)
        if rules.duplicates is not None:
            denial = self.duplicates.check(order, rules.duplicates, self._venue_now_ns())
            if denial is not None:
                return denial
        return None if rules.self_match is None else self._self_match(candidate, subject, None)

    def _self_match(self, candidate: Candidate, subject: Subject, command: Any) -> Denial | None:
        others = self._working.side(candidate.instrument_id, subject.account_id, None, buy=not candidate.buy)
        price = None if command is None else command.price
        return self_match.check(candidate.order, others, str(subject.rules.self_match), price=price)

    def _in_this_market(self, candidate: Candidate, rules: Rules, command: Any = None) -> Denial | None:
        """What holds for an order that opens: whether this may be traded, now, at its price."""
        if rules.universe:
            instrument = self._sums.instrument(candidate.instrument_id)
            denial = universe.check(instrument, rules, lambda: self._session(self._venue_now_ns()))
            if denial is not None:
                return denial
        if not rules.quoted:
            return None
        return quotes.check(candidate.order, rules, self._prices, self._venue_now_ns(), command=command)

    def _order_size(
        self, candidate: Candidate, rules: Rules, *, reducing: bool, qty: bool = True, notional: bool = True
    ) -> Denial | None:
        bound = rules.order_qty if qty else None
        if bound is not None:
            if candidate.qty is None:
                return None if reducing else no_price(candidate, bound)
            if candidate.qty > bound.value:
                return Denial(Code.MAX_ORDER_QTY, f"{candidate.words} is more than the {named(bound)}")
            if candidate.qty > self.largest.get(bound.where, ZERO):
                self.largest[bound.where] = candidate.qty
        bound = rules.order_notional if notional else None
        if bound is not None:
            worth = self._sums.times(candidate.notional, candidate.instrument_id)
            if worth is None:
                return None if reducing else no_price(candidate, bound)
            if worth > bound.value:
                return Denial(
                    Code.MAX_ORDER_NOTIONAL,
                    f"{candidate.words} at {text(candidate.price or ZERO)} is {text(worth)}, "
                    f"more than the {named(bound)}",
                )
            if worth > self.largest.get(bound.where, ZERO):
                self.largest[bound.where] = worth
        return None

    def _open_orders(self, more: int, subject: Subject) -> Denial | None:
        for scope, most in subject.rules.open_orders:
            if scope.kind == "node":
                working = self._working.count()
            else:
                working = self._working.count(
                    subject.account_id, None if scope.kind == "account" else subject.strategy_id
                )
            if working + more > most:
                return Denial(
                    Code.MAX_OPEN_ORDERS,
                    f"{more} more beside {working} that work is over the {most} of {scope.section}.max_open_orders",
                )
        return None

    def _rate(self, orders: int, rules: Rules) -> Denial | None:
        if not rules.orders:
            return None
        exceeded = self.rates.exceeded(rules.orders, orders, self._venue_now_ns())
        if exceeded is None:
            return None
        scope, rate, held = exceeded
        return Denial(
            Code.MAX_ORDERS,
            f"{orders} more on top of {held} is over the {rate.count} in {seconds(rate.per_ns)} that "
            f"{scope.section}.max_orders allows",
        )
