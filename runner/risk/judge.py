"""The decision on an order, a list or a modification: let through, or denied with a code and the numbers.

Nothing here touches the message bus or changes anything; gate.py does both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from runner.risk import quotes, self_match, universe
from runner.risk.candidate import Candidate, Finder, Subject, base_qty, other_price
from runner.risk.codes import Code, Denial, percent, seconds, text
from runner.risk.collateral import OCC, OPTION, SPREAD, Collateral, legs_of, root_of
from runner.risk.cover import Cover
from runner.risk.duplicates import Duplicates
from runner.risk.exposure import ZERO, Leg, Sum, worst_notional
from runner.risk.gross import GrossExposure, Part
from runner.risk.ledger import Ledger
from runner.risk.limits import Bound, LimitsBook, Rules
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.prices import Prices, multiplier
from runner.risk.rate import Rates
from runner.risk.state import State, States
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
        self._positions = positions
        self._working = working
        self._states = states
        self._venue_now_ns = venue_now_ns
        self._gross = gross
        self._ledger = ledger
        self._margin = margin
        self._collateral = collateral
        self._cover = Cover(cache, positions, working)
        self._outage = outage
        self._legality = legality
        # What one decision has asked for: sums of sides, and what positions could become by them.
        self._sides: dict[tuple[Any, Any, bool], Sum] = {}
        self._worsts: dict[tuple[Any, Any, bool], Decimal | None] = {}
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
        if (denied := self._holdings(candidates, subject)) is not None:
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
        if (grows or dearer) and (denied := self._holdings([candidate], subject)) is not None:
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
        """True where all of them only shrink positions of the account, together with what already works."""
        self._sides.clear()
        self._worsts.clear()
        if subject.account_id is None:
            return False
        for candidate in candidates:
            if candidate.qty is None or candidate.order.is_quote_quantity:
                return False  # money can't be compared with a position for certain
        if len(candidates) == 1:
            only = candidates[0]
            if self._reduces(only.instrument_id, candidates, subject):
                return True
            instrument = self._cache.instrument(only.instrument_id)
            kind = None if instrument is None else instrument.instrument_class
            if kind == SPREAD:
                return self._closes_legs(only, subject)
            if kind == OPTION and only.buy and only.qty is not None:
                return self._hedges(only, subject)
            return False
        instruments = {candidate.instrument_id for candidate in candidates}
        return all(self._reduces(instrument_id, candidates, subject) for instrument_id in instruments)

    def cover(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """What would leave a short call open to any loss is denied in every state, though it shrinks a position."""
        if subject.rules.headroom is None:
            return None

        def sales(instrument_id: Any) -> Decimal:
            return self._side(instrument_id, candidates, subject, None, buy=False).qty

        return self._cover.check(candidates, subject.account_id, sales)

    def _reduces(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any = None
    ) -> bool:
        position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
        if not position:
            return False
        buy = position < 0
        for candidate in candidates:
            if candidate.buy != buy and candidate.instrument_id == instrument_id:
                return False
        closing = self._side(instrument_id, candidates, subject, strategy_id, buy=buy)
        return closing.qty <= abs(position)

    def _hedges(self, candidate: Candidate, subject: Subject) -> bool:
        """Whether an option that is bought lowers what the account's short ones of its root ask for."""
        symbol = candidate.instrument_id.symbol.value
        working = ZERO
        for instrument_id in self._working.instruments(subject.account_id):
            if len(instrument_id.symbol.value) > OCC and root_of(instrument_id.symbol.value) == root_of(symbol):
                side = self._working.side(instrument_id, subject.account_id, None, buy=True)
                working += side.sum(Finder((), self._cache)).qty
        return self._collateral.hedges(subject.account_id, symbol, int(candidate.leg.qty), working=int(working))

    def _closes_legs(self, candidate: Candidate, subject: Subject) -> bool:
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

    def _side(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Sum:
        """One side's working orders and the candidates, each candidate in the place of what it would replace."""
        key = (instrument_id, strategy_id, buy)
        found = self._sides.get(key)
        if found is None:
            found = self._sides[key] = self._add_up(instrument_id, candidates, subject, strategy_id, buy=buy)
        return found

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
            illegal = self._legality(order, self._instrument(candidate.instrument_id), subject.params)
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
            instrument = self._instrument(candidate.instrument_id)
            denial = universe.check(instrument, rules, lambda: self._session(self._venue_now_ns()))
            if denial is not None:
                return denial
        if not rules.quoted:
            return None
        return quotes.check(candidate.order, rules, self._prices, self._venue_now_ns(), command=command)

    def _holdings(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """What the account could come to hold: short sales, and the limits on positions."""
        for candidate in candidates:
            if candidate.buy:
                continue
            held = self._positions.qty(candidate.instrument_id, subject.account_id)
            side = self._side(candidate.instrument_id, candidates, subject, None, buy=False)
            instrument = self._instrument(candidate.instrument_id)
            if (denial := universe.check_short(instrument, subject.rules, held - side.qty)) is not None:
                return denial, candidate.order
        denied = self._position_limits(candidates, subject)
        if denied is None and subject.rules.gross and (denial := self._gross_exposure(candidates, subject)) is not None:
            return denial, candidates[0].order
        return denied

    def _gross_exposure(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        own = subject.account_id

        def sums(part: Part, buy: bool) -> Sum:
            return self._side(part[0], candidates, subject, part[2], buy=buy)

        def worst(part: Part, buy: bool) -> Decimal | None:
            return self._worst(part[0], candidates, subject, part[2], buy=buy)

        known: dict[Any, tuple[Decimal, Decimal]] = {}
        for scope, limit in subject.rules.gross:
            strategy_id = subject.strategy_id if scope.kind == "strategy" else None
            others: list[Any] = []
            if scope.kind == "node" and len(accounts := self._cache.accounts()) > 1:
                others = [account.id for account in accounts if account.id != own]
            try:
                if (found := known.get(strategy_id)) is None:
                    found = known[strategy_id] = self._gross.after(candidates, own, strategy_id, sums, worst)
                before, after = found
                more = sum((self._gross.total(each) for each in others), ZERO) if others else ZERO
            except LookupError as error:
                return Denial(Code.NO_PRICE, f"{scope.section}.max_gross_exposure can't be judged: {error}")
            most = limit.amount
            if limit.fraction is not None:
                equity = self._ledger.equities([own, *others])
                if equity is None:
                    return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
                most = max(equity, ZERO) * limit.fraction
            assert most is not None
            if after + more > most and after > before:
                shown = text(most) if limit.fraction is None else f"{text(most)} ({percent(limit.fraction)})"
                return Denial(
                    Code.MAX_GROSS_EXPOSURE,
                    f"{candidates[0].words} could take the gross exposure from {text(before + more)} to "
                    f"{text(after + more)}, more than the {shown} of {scope.section}.max_gross_exposure",
                )
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

    def _instrument(self, instrument_id: Any) -> Any:
        """Raises LookupError for one that is not in the cache."""
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return instrument

    def _order_size(
        self, candidate: Candidate, rules: Rules, *, reducing: bool, qty: bool = True, notional: bool = True
    ) -> Denial | None:
        bound = rules.order_qty if qty else None
        if bound is not None:
            if candidate.qty is None:
                return None if reducing else _no_price(candidate, bound)
            if candidate.qty > bound.value:
                return Denial(Code.MAX_ORDER_QTY, f"{candidate.words} is more than the {_named(bound)}")
            if candidate.qty > self.largest.get(bound.where, ZERO):
                self.largest[bound.where] = candidate.qty
        bound = rules.order_notional if notional else None
        if bound is not None:
            worth = self._times(candidate.notional, candidate.instrument_id)
            if worth is None:
                return None if reducing else _no_price(candidate, bound)
            if worth > bound.value:
                return Denial(
                    Code.MAX_ORDER_NOTIONAL,
                    f"{candidate.words} at {text(candidate.price or ZERO)} is {text(worth)}, "
                    f"more than the {_named(bound)}",
                )
            if worth > self.largest.get(bound.where, ZERO):
                self.largest[bound.where] = worth
        return None

    def _position_limits(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        rules = subject.rules
        for bound, strategy_id in (
            (rules.position_of_account, None),
            (rules.position_of_strategy, subject.strategy_id),
        ):
            if bound is None:
                continue
            seen = set()
            for candidate in candidates:
                key = (candidate.instrument_id, candidate.buy)
                if key in seen:
                    continue
                seen.add(key)
                denial = self._position(candidate, candidates, subject, strategy_id, bound)
                if denial is not None:
                    return denial, candidate.order
        return None

    def _position(
        self,
        candidate: Candidate,
        candidates: Sequence[Candidate],
        subject: Subject,
        strategy_id: Any,
        bound: Bound,
    ) -> Denial | None:
        instrument_id = candidate.instrument_id
        # All together were found not to reduce the account's positions; one instrument, or a strategy's share, may be.
        alone = strategy_id is None and len(candidates) == 1
        if not alone and self._reduces(instrument_id, candidates, subject, strategy_id):
            return None
        worst = self._worst(instrument_id, candidates, subject, strategy_id, buy=candidate.buy)
        if worst is None or candidate.qty is None:
            return _no_price(candidate, bound)
        if worst <= bound.value:
            return None
        position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
        side = self._side(instrument_id, candidates, subject, strategy_id, buy=candidate.buy)
        working = side.qty - candidate.leg.qty
        return Denial(
            Code.MAX_POSITION_NOTIONAL,
            f"{candidate.words} could take the position to {text(worst)} (held {text(position)}, working "
            f"{'buys' if candidate.buy else 'sells'} {text(max(working, ZERO))}), more than the {_named(bound)}",
        )

    def _worst(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Decimal | None:
        """What the position could become by one side's orders, in money; None where a price is unknown."""
        key = (instrument_id, strategy_id, buy)
        worsts = self._worsts
        if key not in worsts:
            position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
            if strategy_id is not None and self._alone(instrument_id, subject, strategy_id, position, buy=buy):
                found = self._worst(instrument_id, candidates, subject, None, buy=buy)
            else:
                side = self._side(instrument_id, candidates, subject, strategy_id, buy=buy)
                mark = self._prices.market(instrument_id, buy=buy)
                found = self._times(worst_notional(position, side, mark, buy=buy), instrument_id)
            worsts[key] = found
            return found
        return worsts[key]

    def _alone(self, instrument_id: Any, subject: Subject, strategy_id: Any, position: Decimal, *, buy: bool) -> bool:
        """Whether the account has no more there than the strategy, whose orders are among the account's."""
        account_id = subject.account_id
        if strategy_id != subject.strategy_id or position != self._positions.qty(instrument_id, account_id):
            return False
        own = self._working.side(instrument_id, account_id, strategy_id, buy=buy)
        of_all = self._working.side(instrument_id, account_id, None, buy=buy)
        return len(own.plain) == len(of_all.plain) and len(own.special) == len(of_all.special)

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

    def _times(self, notional: Decimal | None, instrument_id: Any) -> Decimal | None:
        """With the contract's multiplier. Raises LookupError for an instrument that is not in the cache."""
        instrument = self._instrument(instrument_id)
        return None if notional is None else notional * multiplier(instrument)


def _no_price(candidate: Candidate, bound: Bound) -> Denial:
    return Denial(
        Code.NO_PRICE,
        f"{candidate.words} can't be held against {_named(bound)}: no quote, trade or bar has arrived yet",
    )


def _named(bound: Bound) -> str:
    return f"{text(bound.value)} of {bound.where}"
