"""The decision on an order, a list or a modification: let through, or denied with a code and the numbers.

The engine's book holds what is numbers against the limits, in one step; here is what else is asked, in the order of the
questions: the states, what the venue takes, what must stay covered, what may be traded now. Nothing here touches the
message bus or changes anything; gate.py does both.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Protocol

from nautilus_trader.model.enums import OrderSide, OrderType

from runner._engine import RiskBook, RiskFault, RiskLook, RiskOrder
from runner.risk import quotes, universe
from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject, base_units, other_price
from runner.risk.codes import Code, Denial, text
from runner.risk.collateral import Collateral
from runner.risk.cover import Cover
from runner.risk.exercise import Shares, is_exercise, refused
from runner.risk.exposure import nanos, nanos_below
from runner.risk.faults import Denied, Faults
from runner.risk.instruments import Instruments
from runner.risk.limits import LimitsBook
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.reducing import Reducing
from runner.risk.state import Scope, State, States
from runner.risk.trading_day import TradingDay
from runner.risk.universe import Legality, ListLegality
from runner.risk.working import Working

_BUY, _MARKET = OrderSide.BUY, OrderType.MARKET
_EXERCISE = RiskBook.NEW_ORDER & ~RiskBook.SELF_MATCH  # it trades with nobody


class Schedule(Protocol):
    """When strategies may trade, by their names in the file; answers are in words, None where all is well."""

    def closed(self, strategy: str) -> str | None:
        """What keeps it from opening anything now."""

    def flattening(self, strategy: str) -> str | None:
        """What keeps it from letting exits rest now: what is held is being closed for it."""


class Judge:
    """Applies the limits to what the cache, the book and the states say now."""

    def __init__(
        self,
        *,
        cache: Any,
        book: Book,
        instruments: Instruments,
        limits: LimitsBook,
        prices: Prices,
        positions: Positions,
        working: Working,
        states: States,
        margin: Margin,
        collateral: Collateral,
        outage: Callable[[str, str], str | None],
        schedule: Schedule | None = None,
        legality: Legality | None = None,
        list_legality: ListLegality | None = None,
        session: Callable[[int], str] | None = None,
        closing: Container[Any] = (),
        extended: Callable[[Any], bool] | None = None,
    ) -> None:
        self.limits = limits
        self._cache = cache
        self._book = book
        self._instruments = instruments
        self._prices = prices
        self._states = states
        self._margin = margin
        self._positions = positions
        self._faults = Faults(cache, book, margin, prices)
        self._reducing = Reducing(book, working, collateral)
        self._cover = Cover(book, positions, working)
        self._outage = outage
        self._schedule = schedule
        self._legality = legality
        self._list_legality = list_legality
        self._session = session or TradingDay().session
        self._closing = closing
        self._extended = extended or (lambda _order: False)

    def candidate(self, order: Any) -> Candidate:
        """The order as it was made."""
        limit = order.price if order.has_price else None
        return self._candidate(order, order.quantity, limit, order.trigger_price if order.has_trigger_price else None)

    def modified(self, order: Any, command: Any) -> Candidate:
        """The order as the command would make it."""
        limit = command.price if command.price is not None else (order.price if order.has_price else None)
        own = order.trigger_price if order.has_trigger_price else None
        trigger = command.trigger_price if command.trigger_price is not None else own
        return self._candidate(order, command.quantity or order.quantity, limit, trigger, self.candidate(order))

    def _candidate(
        self, order: Any, quantity: Any, limit: Any, trigger: Any, before: Candidate | None = None
    ) -> Candidate:
        facts, buy = self._instruments.get(order.instrument_id), order.side == _BUY
        up = None if limit is None else nanos(limit)
        if trigger is not None:
            trigger = nanos(trigger)
        price = self._prices.order(order, up, trigger)
        # A limit finer than we count is taken for the one that is nearer to the other side.
        limit = up if buy or limit is None else nanos_below(limit)
        asked = nanos(quantity)
        units: int | None = asked
        if order.is_quote_quantity:
            price = self._prices.lowest(order, limit)
            units = base_units(asked, price)
        worth = price if facts is None or not facts.option else self._prices.worth(order.instrument_id, price)
        least = 0 if buy and trigger is None else self._prices.least(order, trigger)
        # By place, as keywords take longer than all that is assigned.
        return Candidate(order, units, price, worth, limit, trigger, least, asked, before, facts)

    def submit(
        self, candidates: Sequence[Candidate], subject: Subject, now_ns: int, params: Any = None
    ) -> Denied | None:
        """Judge an order, or a list as a whole: a denial with the order that it is about, or None.

        `now_ns` is venue time; `params` are the command's own, for the adapter. An exercise that passes has
        its shares from then on.
        """
        if is_exercise(params):
            denied = self._exercise(candidates, subject, now_ns, params)
            return None if denied is None else (denied[0], candidates[0].order)
        look = self._look(candidates, subject, now_ns)
        reducing = self._reduce(candidates, look, subject)
        if not reducing and (denial := self.may_not_open(subject)) is not None:
            return denial, candidates[0].order
        if reducing and (denial := self._may_not_rest(candidates, subject)) is not None:
            return denial, candidates[0].order
        if (denied := self._illegal(candidates, params)) is not None:
            return denied
        fault = look.at_all
        if fault is not None and reducing and self._closes_for_the_node(candidates):
            # No handler that ran twice and no fat finger sends these, and nothing else would close the position.
            fault = self._book.look_at(look.orders, subject, now_ns, RiskBook.SELF_MATCH).at_all
        if fault is not None and not (reducing and _wants_a_price(fault)):
            return self._faults.words(fault, candidates, subject, now_ns)
        one = _one_order(candidates, params)
        if (
            denied := self._uncovers(candidates, look.orders, subject, reducing=reducing, one=one)
        ) is not None or reducing:
            return denied
        extended = params is not None and bool(params.get("extended_hours"))
        denied = self._may_not_trade(candidates, subject, now_ns, extended=extended)
        return denied or self._breaks(candidates, look, subject, now_ns, one=one)

    def _exercise(self, candidates: Sequence[Candidate], subject: Subject, now_ns: int, params: Any) -> Denied | None:
        """What exercising comes to: an order for the shares, and contracts that are gone."""
        contracts, order = candidates[0], candidates[0].order
        shares = self._shares(contracts) if len(candidates) == 1 else refused("send one order at a time, not a list")
        if isinstance(shares, Denial):
            return shares, order
        look = self._look([shares], subject, now_ns, _EXERCISE)
        reducing = self._reduce([shares], look, subject)
        if not reducing and (denial := self.may_not_open(subject)) is not None:
            return denial, order
        if reducing and (denial := self._may_not_rest([shares], subject)) is not None:
            return denial, order
        if (denied := self._illegal([contracts], params)) is not None:
            return denied
        if (denial := self._not_there(contracts, subject)) is not None:
            return denial, order
        if (fault := look.at_all) is not None and not (reducing and _wants_a_price(fault)):
            return self._faults.words(fault, [shares], subject, now_ns)
        both = [contracts, shares]
        rows = self._book.rows(both)
        if (denied := self._uncovers(both, rows, subject, reducing=True, one=False)) is None and not reducing:
            denied = self._may_not_trade([shares], subject, now_ns)
            denied = denied or self._breaks([shares], look, subject, now_ns, one=True)
        if denied is None:
            contracts.shares = shares
        return denied

    def _not_there(self, contracts: Candidate, subject: Subject) -> Denial | None:
        """Why these contracts can't be exercised. In no state those of others are used up: their owner would keep a
        position that is gone, and this strategy be left with one of the other side.
        """
        instrument_id, account_id = contracts.instrument_id, subject.account_id
        held = text(self._positions.qty(instrument_id, account_id))
        look = self._book.look([contracts], subject, 0, 0)
        if contracts.order.order_type != _MARKET or contracts.buy or not look.reduces:
            sold = text(self._book.side(instrument_id, account_id, buy=False))
            return refused(
                f"{contracts.words} must be a market order that sells contracts which are held (the position is "
                f"{held}) and which no other order sells ({sold} are for sale)"
            )
        if self._book.shrink_its_own(look.orders, subject):
            return None
        own = text(self._positions.qty(instrument_id, account_id, subject.strategy_id))
        return refused(
            f"{contracts.words} would use up contracts that others hold ({held} are held, of which {own} are this "
            "strategy's own): let each close its own"
        )

    def _shares(self, contracts: Candidate) -> Candidate | Denial:
        """What exercising brings or takes; the reason where it can't be judged."""
        if contracts.facts is None:
            return refused(f"{contracts.instrument_id} is not loaded")
        try:
            order = Shares(contracts.order, contracts.facts.instrument)
        except ValueError as error:
            return refused(str(error))
        facts, strike, buy = self._instruments.get(order.instrument_id), nanos(order.price), order.side == _BUY
        if facts is None:
            return refused(f"{order.instrument_id} is not loaded, so that nothing can be held against its shares")
        # Whatever the strike, the shares are worth what the market says once they are there.
        market = self._prices.market(order.instrument_id, buy=buy)
        worth = None if market is None else max(market, strike)
        least = 0 if buy else self._prices.least(order, None)
        units, cost = nanos(order.quantity), strike if buy else worth
        return Candidate(order, units, cost, worth=worth, limit=strike, least=least, facts=facts)

    def modify(self, candidate: Candidate, command: Any, subject: Subject, now_ns: int) -> Denial | None:
        """Judge a modification by what it adds: one that only takes quantity away always passes."""
        before, candidates = candidate.before, [candidate]
        assert before is not None
        grows = candidate.grows
        repriced = other_price(candidate.order, command)
        if not grows and not repriced:
            return None
        value, before_value = candidate.value, before.value
        dearer = value is None or before_value is None or value > before_value
        checks = RiskBook.QUOTES | RiskBook.RATES
        for asked, check in (
            (repriced, RiskBook.SELF_MATCH),
            (grows, RiskBook.QTY),
            (dearer, RiskBook.NOTIONAL),
            (grows or dearer, RiskBook.EXPOSURE | RiskBook.MARGIN),
        ):
            checks |= check if asked else 0
        look = self._look(candidates, subject, now_ns, checks)
        reducing = self._reduce(candidates, look, subject)
        reducing = reducing or self._comes_to_close(candidate, command, subject)
        denied: Denied | None = None
        if not reducing and (denial := self.may_not_open(subject)) is not None:
            return denial
        if (fault := look.at_all) is not None and not (reducing and _wants_a_price(fault)):
            denied = self._faults.words(fault, candidates, subject, now_ns)
        elif grows:
            denied = self._uncovers(candidates, look.orders, subject, reducing=reducing, one=True)
        if denied is None and not reducing:
            denied = self._may_not_trade(candidates, subject, now_ns, extended=self._extended(candidate.order))
            denied = denied or self._breaks(candidates, look, subject, now_ns, checks, one=True)
        return None if denied is None else denied[0]

    def _comes_to_close(self, candidate: Candidate, command: Any, subject: Subject) -> bool:
        """Whether a modification to this quantity closes no more than is left to be closed. The book counts the order
        with the larger of both quantities, as this may be refused: but then it has changed nothing.
        """
        if command.quantity is None or candidate.units is None or candidate.order.is_quote_quantity:
            return False
        if subject.account_id is None:
            return False
        closable = self._book.closable(candidate, subject, its_own=self._is_held_to_its_own(subject))
        return 0 < candidate.leg.units <= closable

    def _look(
        self, candidates: Sequence[Candidate], subject: Subject, now_ns: int, checks: int = RiskBook.NEW_ORDER
    ) -> RiskLook:
        if subject.rules.headroom is not None and subject.account_id is not None:
            self._margin.tell(subject.account_id)
        return self._book.look(candidates, subject, now_ns, checks)

    def reduces(self, candidates: Sequence[Candidate], subject: Subject) -> bool:
        """True where all of them only shrink positions."""
        return self._reduce(candidates, self._book.look(candidates, subject, 0, 0), subject)

    def surely_reduces(self, candidates: Sequence[Candidate], subject: Subject, params: Any) -> bool:
        """True where all of them only shrink positions, and take no cover away."""
        look = self._book.look(candidates, subject, 0, 0)
        if is_exercise(params) or not self._reduce(candidates, look, subject):
            return False
        one = _one_order(candidates, params)
        return self._uncovers(candidates, look.orders, subject, reducing=True, one=one) is None

    def _uncovers(
        self,
        candidates: Sequence[Candidate],
        orders: Sequence[RiskOrder],
        subject: Subject,
        *,
        reducing: bool,
        one: bool,
    ) -> Denied | None:
        """What would leave a short option without its cover is denied in every state, though it shrinks a position;
        so are orders of options that the venue does not take.
        """
        if subject.rules.headroom is None:
            return None
        for candidate in candidates:
            if not candidate.buy or candidate.facts is None or candidate.facts.option:
                break
        else:
            return None  # buying shares takes no cover away
        denial = self._margin.refused(candidates, subject, one=one)
        if denial is None and reducing:
            denial = self._margin.check_closing(candidates, subject, one=one)
        if denial is not None:
            return denial, candidates[0].order
        return self._cover.check(candidates, orders, subject.account_id, one=one)

    def _reduce(self, candidates: Sequence[Candidate], look: RiskLook, subject: Subject) -> bool:
        """Whether all of them only shrink what the account holds; and what their strategy does, where that one may only
        reduce: it would close what another holds else, and open a position of its own.
        """
        if not self._reducing.all(candidates, look, subject):
            return False
        its_own = self._is_held_to_its_own(subject) and look.reduces
        return not its_own or self._book.shrink_its_own(look.orders, subject)

    def _is_held_to_its_own(self, subject: Subject) -> bool:
        """Whatever the account and the node may: theirs may be more severe, and ask about the account alone."""
        return self._states.get(Scope("strategy", subject.strategy)).state is not State.ACTIVE

    def _closes_for_the_node(self, candidates: Sequence[Candidate]) -> bool:
        return all(candidate.order.client_order_id in self._closing for candidate in candidates)

    def may_not_open(self, subject: Subject) -> Denial | None:
        """What keeps all that opens from being sent now, whatever it is."""
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
        if self._schedule is None or all(each.order.order_type == _MARKET for each in candidates):
            return None
        flattening = self._schedule.flattening(subject.strategy)
        if flattening is None:
            return None
        return Denial(Code.SCHEDULE_CLOSED, f"{flattening}: only market orders that close pass")

    def _illegal(self, candidates: Sequence[Candidate], params: Any) -> Denied | None:
        """What the venue takes of no account."""
        if len(candidates) > 1 and self._list_legality is not None:
            orders = [candidate.order for candidate in candidates]
            if (illegal := self._list_legality(orders, self._cache.instrument, params)) is not None:
                return Denial(Code.ORDER_ILLEGAL, illegal[0]), illegal[1]
        if self._legality is None:
            return None
        for candidate in candidates:
            facts = candidate.facts or self._instruments.of(candidate.instrument_id)
            if (reason := self._legality(candidate.order, facts.instrument, params)) is not None:
                return Denial(Code.ORDER_ILLEGAL, reason), candidate.order
        return None

    def _may_not_trade(
        self, candidates: Sequence[Candidate], subject: Subject, now_ns: int, *, extended: bool = False
    ) -> Denied | None:
        """Whether what they open may be traded, now and as long as it may be filled."""
        rules = subject.rules
        for candidate in candidates:
            facts = candidate.facts or self._instruments.of(candidate.instrument_id)
            if not rules.universe:
                continue
            time_in_force = candidate.order.time_in_force if extended else None
            if (denial := universe.check(facts, rules, self._session, now_ns, time_in_force)) is not None:
                return denial, candidate.order
        return None

    def _breaks(
        self,
        candidates: Sequence[Candidate],
        look: RiskLook,
        subject: Subject,
        now_ns: int,
        checks: int = RiskBook.NEW_ORDER,
        *,
        one: bool,
    ) -> Denied | None:
        """What they break of the limits on what opens."""
        rules, fault = subject.rules, look.opening
        if fault is not None and isinstance(fault, quotes.Fault):
            return self._faults.words(fault, candidates, subject, now_ns)
        if checks & RiskBook.EXPOSURE:
            if (denied := self._shorts(candidates, look, subject)) is not None:
                return denied
            if rules.of_equity:
                gross = self._book.gross(subject)
                if isinstance(gross, Denial):
                    return gross, candidates[0].order
                checked = checks & (RiskBook.EXPOSURE | RiskBook.OPEN_ORDERS)
                again = self._book.look_at(look.orders, subject, now_ns, checked, gross).opening
                fault = fault if again is None else again
        if fault is not None:
            return self._faults.words(fault, candidates, subject, now_ns)
        if rules.headroom is None:
            return None
        # A put that is sold for less must be secured with more, so a modification is looked at whatever it changes.
        denial = self._margin.check_options(candidates, look.orders, subject, rules.headroom, one=one)
        return None if denial is None else (denial, candidates[0].order)

    def _shorts(self, candidates: Sequence[Candidate], look: RiskLook, subject: Subject) -> Denied | None:
        """What the account could come to hold short."""
        for candidate in candidates:
            if candidate.buy:
                continue
            instrument_id, account_id = candidate.instrument_id, subject.account_id
            sold = self._book.side(instrument_id, account_id, buy=False, orders=look.orders)
            after = self._positions.qty(instrument_id, account_id) - sold
            denial = universe.check_short(self._instruments.of(instrument_id), subject.rules, after)
            if denial is not None:
                return denial, candidate.order
        return None


def _one_order(candidates: Sequence[Candidate], params: Any) -> bool:
    """Whether the venue takes them as one order, of several legs; a list is sent order by order otherwise."""
    return len(candidates) == 1 or (params is not None and params.get("order_class") == "mleg")


def _wants_a_price(fault: RiskFault) -> bool:
    """A limit can't be judged for want of a price, which holds back nothing that reduces."""
    return isinstance(fault, RiskFault.Unpriced)
