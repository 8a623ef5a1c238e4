"""The decision on an order, a list or a modification: let through, or denied with a code and the numbers.

Nothing here touches the message bus or changes anything; gate.py does both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nautilus_trader.model.enums import OrderSide, OrderType
from nautilus_trader.model.identifiers import ClientOrderId

from runner._engine import RateWindows
from runner.risk import quotes, universe
from runner.risk.candidate import Candidate, Subject, base_units, other_price
from runner.risk.codes import Code, Denial, seconds, text
from runner.risk.collateral import Collateral, is_option
from runner.risk.cover import Cover
from runner.risk.duplicates import Duplicates
from runner.risk.exposure import NANO, decimal, nanos, nanos_below, usd
from runner.risk.exposures import Exposures, Outlook, named, no_price
from runner.risk.instruments import Instruments
from runner.risk.limits import LimitsBook, Rules
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.reducing import Reducing
from runner.risk.self_match import exempt
from runner.risk.state import State, States
from runner.risk.trading_day import TradingDay
from runner.risk.universe import Legality, ListLegality
from runner.risk.working import Working


class Schedule(Protocol):
    """When strategies may trade, by their names in the file; answers are in words, None where all is well."""

    def closed(self, strategy: str) -> str | None:
        """What keeps it from opening anything now."""

    def flattening(self, strategy: str) -> str | None:
        """What keeps it from letting exits rest now: what is held is being closed for it."""


class Judge:
    """Applies the limits to what the cache, the reservations and the states say now."""

    def __init__(
        self,
        *,
        cache: Any,
        instruments: Instruments,
        limits: LimitsBook,
        prices: Prices,
        positions: Positions,
        working: Working,
        states: States,
        exposures: Exposures,
        margin: Margin,
        collateral: Collateral,
        outage: Callable[[str, str], str | None],
        schedule: Schedule | None = None,
        legality: Legality | None = None,
        list_legality: ListLegality | None = None,
        session: Callable[[int], str] | None = None,
    ) -> None:
        self.limits = limits
        self.rates = RateWindows()
        self.duplicates = Duplicates()
        self.largest: dict[str, int] = {}
        """By the place of a limit on one order in the file: the largest that it let through, in billionths or, of
        notionals, in atto-dollars.
        """
        self._cache = cache
        self._instruments = instruments
        self._prices = prices
        self._states = states
        self._margin = margin
        self._positions = positions
        self._exposures = exposures
        self._reducing = Reducing(exposures, positions, working, collateral)
        self._cover = Cover(exposures, positions, working)
        self._outage = outage
        self._schedule = schedule
        self._legality = legality
        self._list_legality = list_legality
        self._session = session or TradingDay().session

    def candidate(self, order: Any) -> Candidate:
        """The order as it was made."""
        return self._candidate(order, order.quantity, order.price if order.has_price else None, None)

    def modified(self, order: Any, command: Any) -> Candidate:
        """The order as the command would make it."""
        limit = command.price if command.price is not None else (order.price if order.has_price else None)
        before = self.candidate(order)
        return self._candidate(order, command.quantity or order.quantity, limit, command.trigger_price, before)

    def _candidate(
        self, order: Any, quantity: Any, limit: Any, trigger: Any, before: Candidate | None = None
    ) -> Candidate:
        facts = self._instruments.get(order.instrument_id)
        price = self._prices.order(order, price=limit, trigger_price=trigger)
        if limit is not None:  # a price finer than we count is taken for the one that is nearer to the other side
            limit = nanos(limit) if order.side == OrderSide.BUY else nanos_below(limit)
        worth = price if facts is None or not facts.option else self._prices.worth(order.instrument_id, price)
        return Candidate(
            order,
            base_units(order, quantity, price),
            price,
            worth=worth,
            limit=limit,
            before=before,
            facts=facts,
        )

    def submit(
        self, candidates: Sequence[Candidate], subject: Subject, now_ns: int, params: Any = None
    ) -> tuple[Denial, Any] | None:
        """Judge an order, or a list as a whole: a denial with the order that it is about, or None.

        `now_ns` is venue time; `params` are the command's own, for the adapter.
        """
        rules = subject.rules
        outlook = self._exposures.outlook(candidates, subject)
        reducing = self._reducing.all(candidates, outlook, subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial, candidates[0].order
        if reducing and (denial := self._may_not_rest(candidates, subject)) is not None:
            return denial, candidates[0].order
        if len(candidates) > 1 and self._list_legality is not None:
            orders = [candidate.order for candidate in candidates]
            if (illegal := self._list_legality(orders, self._cache.instrument, params)) is not None:
                return Denial(Code.ORDER_ILLEGAL, illegal[0]), illegal[1]
        for candidate, met in zip(candidates, outlook.met, strict=True):
            denial = self._as_an_order(candidate, met, subject, params, now_ns)
            if denial is None:
                denial = self._order_size(candidate, rules, reducing=reducing)
            if denial is not None:
                return denial, candidate.order
        if (denied := self._uncovers(candidates, outlook, subject, reducing=reducing)) is not None:
            return denied
        if reducing:
            return None
        for candidate in candidates:
            if (denial := self._in_this_market(candidate, rules, now_ns)) is not None:
                return denial, candidate.order
        if (denied := self._holdings(candidates, outlook, subject)) is not None:
            return denied
        denial = self._rate(len(candidates), rules, now_ns)
        if denial is None and rules.headroom is not None:
            denial = self._margin.check(candidates, subject, rules.headroom)
        return None if denial is None else (denial, candidates[0].order)

    def modify(self, candidate: Candidate, command: Any, subject: Subject, now_ns: int) -> Denial | None:
        """Judge a modification by what it adds: one that only takes quantity away always passes."""
        before, rules = candidate.before, subject.rules
        assert before is not None
        grows = candidate.units is None or before.units is None or candidate.units > before.units
        repriced = other_price(candidate.order, command)
        if not grows and not repriced:
            return None
        outlook = self._exposures.outlook([candidate], subject, new=False)
        reducing = self._reducing.all([candidate], outlook, subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial
        if repriced and rules.self_match is not None and (denial := self._self_match(candidate, outlook.met[0], rules)):
            return denial
        value, before_value = candidate.value, before.value
        dearer = value is None or before_value is None or value > before_value
        if denial := self._order_size(candidate, rules, reducing=reducing, qty=grows, notional=dearer):
            return denial
        if grows and (denied := self._uncovers([candidate], outlook, subject, reducing=reducing)) is not None:
            return denied[0]
        if reducing:
            return None
        if denial := self._in_this_market(candidate, rules, now_ns, command):
            return denial
        if (grows or dearer) and (denied := self._holdings([candidate], outlook, subject)):
            return denied[0]
        # A put that is sold for less must be secured with more.
        if (grows or dearer or is_option(candidate.instrument_id)) and rules.headroom is not None:
            denial = self._margin.check([candidate], subject, rules.headroom)
            if denial is not None:
                return denial
        return self._rate(1, rules, now_ns)

    def count(self, orders: Sequence[Any], subject: Subject, now_ns: int) -> None:
        """Remember what goes out: for the order rates, whether or not it was bound by them, and against doubles."""
        rules = subject.rules
        if rules.orders:
            self.rates.count(rules.order_rates, len(orders) or 1, now_ns)
        if rules.duplicates_ns is not None and orders:
            self.duplicates.passed(orders, rules.duplicates_ns, now_ns)

    def reduces(self, candidates: Sequence[Candidate], subject: Subject) -> bool:
        """True where all of them only shrink positions of the account."""
        return self._reducing.all(candidates, self._exposures.outlook(candidates, subject), subject)

    def cover(self, candidates: Sequence[Candidate], subject: Subject, *, reducing: bool) -> tuple[Denial, Any] | None:
        """What would leave a short option without its cover is denied in every state, though it shrinks a position;
        so are orders of options that the venue does not take.
        """
        return self._uncovers(candidates, self._exposures.outlook(candidates, subject), subject, reducing=reducing)

    def _uncovers(
        self, candidates: Sequence[Candidate], outlook: Outlook, subject: Subject, *, reducing: bool
    ) -> tuple[Denial, Any] | None:
        if subject.rules.headroom is None:
            return None
        for candidate in candidates:
            if not candidate.buy or candidate.facts is None or candidate.facts.option:
                break
        else:
            return None  # buying shares takes no cover away
        denial = self._margin.refused(candidates, subject)
        if denial is None and reducing:
            denial = self._margin.check_closing(candidates, subject)
        if denial is not None:
            return denial, candidates[0].order
        return self._cover.check(candidates, outlook.rows, subject.account_id)

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
        if self._schedule is not None and (closed := self._schedule.closed(subject.strategy)) is not None:
            return Denial(Code.SCHEDULE_CLOSED, f"{closed}: only what shrinks a position passes")
        if (outage := self._outage(subject.account, subject.strategy)) is not None:
            return Denial(Code.STREAM_DOWN, f"{outage}, so nothing can be opened")
        return None

    def _may_not_rest(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        """While a strategy's positions are being closed an exit of its own that rests would hold them back."""
        if self._schedule is None or all(each.order.order_type == OrderType.MARKET for each in candidates):
            return None
        flattening = self._schedule.flattening(subject.strategy)
        if flattening is None:
            return None
        return Denial(Code.SCHEDULE_CLOSED, f"{flattening}: only market orders that close pass")

    def _as_an_order(
        self, candidate: Candidate, met: str | None, subject: Subject, params: Any, now_ns: int
    ) -> Denial | None:
        """What holds for every order, those that reduce included. `met`: our own order that it could trade with."""
        order, rules = candidate.order, subject.rules
        if self._legality is not None:
            facts = candidate.facts or self._instruments.of(candidate.instrument_id)
            illegal = self._legality(order, facts.instrument, params)
            if illegal is not None:
                return Denial(Code.ORDER_ILLEGAL, illegal)
        if rules.duplicates is not None and rules.duplicates_ns is not None:
            denial = self.duplicates.check(order, rules.duplicates, rules.duplicates_ns, now_ns)
            if denial is not None:
                return denial
        return None if rules.self_match is None else self._self_match(candidate, met, rules)

    def _self_match(self, candidate: Candidate, met: str | None, rules: Rules) -> Denial | None:
        if met is None or exempt(candidate.order):
            return None
        other = self._cache.order(ClientOrderId(met))
        theirs = other.price if other is not None and other.has_price else None
        at = "at the market" if theirs is None else f"at {text(theirs.as_decimal())}"
        return Denial(
            Code.SELF_MATCH,
            f"it could trade with our own order {met} to {'sell' if candidate.buy else 'buy'} {at}: "
            f"cancel that first ({rules.self_match})",
        )

    def _holdings(
        self, candidates: Sequence[Candidate], outlook: Outlook, subject: Subject
    ) -> tuple[Denial, Any] | None:
        """What the account could come to hold, and how many orders work for it."""
        for candidate in candidates:
            if candidate.buy:
                continue
            instrument_id, account_id = candidate.instrument_id, subject.account_id
            sold = self._exposures.side(instrument_id, account_id, buy=False, rows=outlook.rows)
            after = self._positions.qty(instrument_id, account_id) - sold
            denial = universe.check_short(self._instruments.of(instrument_id), subject.rules, after)
            if denial is not None:
                return denial, candidate.order
        return self._exposures.check(candidates, outlook, subject)

    def _in_this_market(self, candidate: Candidate, rules: Rules, now_ns: int, command: Any = None) -> Denial | None:
        """What holds for an order that opens: whether this may be traded, now, at its price."""
        if rules.universe:
            facts = candidate.facts or self._instruments.of(candidate.instrument_id)
            denial = universe.check(facts, rules, self._session, now_ns)
            if denial is not None:
                return denial
        if not rules.quoted:
            return None
        return quotes.check(candidate.order, rules, self._prices, now_ns, command=command)

    def _order_size(
        self, candidate: Candidate, rules: Rules, *, reducing: bool, qty: bool = True, notional: bool = True
    ) -> Denial | None:
        bound, units = rules.order_qty if qty else None, candidate.units
        if bound is not None:
            if units is None:
                return None if reducing else no_price(candidate, bound)
            if units > bound.nanos:
                return Denial(Code.MAX_ORDER_QTY, f"{candidate.words} is more than the {named(bound)}")
            if units > self.largest.get(bound.where, 0):
                self.largest[bound.where] = units
        bound = rules.order_notional if notional else None
        if bound is not None:
            value = candidate.value
            if value is None:
                return None if reducing else no_price(candidate, bound)
            value *= (candidate.facts or self._instruments.of(candidate.instrument_id)).size
            if value > bound.nanos * NANO:
                return Denial(
                    Code.MAX_ORDER_NOTIONAL,
                    f"{candidate.words} at {text(decimal(candidate.leg.worth or 0))} is {text(usd(value))}, "
                    f"more than the {named(bound)}",
                )
            if value > self.largest.get(bound.where, 0):
                self.largest[bound.where] = value
        return None

    def _rate(self, orders: int, rules: Rules, now_ns: int) -> Denial | None:
        if not rules.orders:
            return None
        exceeded = self.rates.exceeded(rules.order_rates, orders, now_ns)
        if exceeded is None:
            return None
        index, held = exceeded
        scope, rate = rules.orders[index]
        return Denial(
            Code.MAX_ORDERS,
            f"{orders} more on top of {held} is over the {rate.count} in {seconds(rate.per_ns)} that "
            f"{scope.section}.max_orders allows",
        )
