"""What the engine found wrong with an order, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nautilus_trader.model.identifiers import ClientOrderId

from runner._engine import RiskFault
from runner.risk import quotes
from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code, Denial, percent, seconds, text
from runner.risk.exposure import ZERO, decimal, usd
from runner.risk.limits import Bound
from runner.risk.margin import Margin, insufficient
from runner.risk.options import NoPrice
from runner.risk.prices import Prices

Denied = tuple[Denial, Any]
"""A denial, and the order that it is about."""


class Faults:
    """Knows what the engine's numbers stand for."""

    def __init__(self, cache: Any, book: Book, margin: Margin, prices: Prices) -> None:
        self._cache = cache
        self._book = book
        self._margin = margin
        self._prices = prices

    def words(self, fault: RiskFault, candidates: Sequence[Candidate], subject: Subject, now_ns: int) -> Denied:
        """Raises LookupError for an instrument that is not in the cache, ValueError for what can't be counted."""
        rules, order = subject.rules, candidates[getattr(fault, "order", 0)]
        orders = len(candidates)
        denial = self._of_itself(fault, order, subject) or self._of_exposure(fault, order, subject)
        if denial is None:
            denial = self._of_numbers(fault, orders, subject)
        if denial is None and isinstance(fault, quotes.Fault):
            denial = quotes.words(fault, order, rules, self._prices, now_ns)
        if denial is None:
            denial = self._of_margin(fault, order, subject)
        return denial, order.order

    def _of_itself(self, fault: RiskFault, candidate: Candidate, subject: Subject) -> Denial | None:
        """What holds for every order, those that reduce included."""
        rules = subject.rules
        match fault:
            case RiskFault.Twin(age_ns=age):
                assert rules.duplicates is not None
                when = "is in the list twice" if age is None else f"passed {seconds(max(age, 0))} ago"
                return Denial(
                    Code.DUPLICATE_ORDER,
                    f"the same order ({candidate.order.info()}) {when}, "
                    f"within the {seconds(rules.duplicates.value)} of {rules.duplicates.where}",
                )
            case RiskFault.SelfMatch(met=met):
                other = self._cache.order(ClientOrderId(met))
                theirs = other.price if other is not None and other.has_price else None
                at = "at the market" if theirs is None else f"at {text(theirs.as_decimal())}"
                return Denial(
                    Code.SELF_MATCH,
                    f"it could trade with our own order {met} to {'sell' if candidate.buy else 'buy'} {at}: "
                    f"cancel that first ({rules.self_match})",
                )
            case RiskFault.Qty():
                return Denial(Code.MAX_ORDER_QTY, f"{candidate.words} is more than the {_named(rules.order_qty)}")
            case RiskFault.Notional(value=value):
                return Denial(
                    Code.MAX_ORDER_NOTIONAL,
                    f"{candidate.words} at {text(decimal(candidate.leg.worth or 0))} is {text(usd(value))}, "
                    f"more than the {_named(rules.order_notional)}",
                )
            case RiskFault.Unpriced(notional=notional):
                return _no_price(candidate, rules.order_notional if notional else rules.order_qty)
        return None

    def _of_numbers(self, fault: RiskFault, orders: int, subject: Subject) -> Denial | None:
        """How many there are, and were lately."""
        rules = subject.rules
        match fault:
            case RiskFault.Rate(bound=index, held=held):
                scope, rate = rules.orders[index]
                return Denial(
                    Code.MAX_ORDERS,
                    f"{orders} more on top of {held} is over the {rate.count} in {seconds(rate.per_ns)} that "
                    f"{scope.section}.max_orders allows",
                )
            case RiskFault.OpenOrders(bound=index, working=working):
                level, most = rules.open_orders[index]
                return Denial(
                    Code.MAX_OPEN_ORDERS,
                    f"{orders} more beside {working} that work is over the {most} of {level.section}.max_open_orders",
                )
        return None

    def _of_exposure(self, fault: RiskFault, candidate: Candidate, subject: Subject) -> Denial | None:
        rules = subject.rules
        match fault:
            case RiskFault.Position(account=account, instrument=number, worst=worst, held=held, working=working):
                bound = rules.position_of_account if account else rules.position_of_strategy
                instrument_id = self._book.instrument_id(number)
                position, others = "the position", f"working {'buys' if candidate.buy else 'sells'}"
                if instrument_id != candidate.instrument_id:
                    position, others = f"the position in {instrument_id}", "working orders of its side"
                return Denial(
                    Code.MAX_POSITION_NOTIONAL,
                    f"{candidate.words} could take {position} to {text(usd(worst))} (held {text(decimal(held))}, "
                    f"{others} {text(decimal(working))}), more than the {_named(bound)}",
                )
            case RiskFault.PositionUnpriced(account=account):
                return _no_price(candidate, rules.position_of_account if account else rules.position_of_strategy)
            case RiskFault.GrossUnpriced(bound=index, instrument=instrument):
                where = f"{rules.gross[index][0].section}.max_gross_exposure"
                return Denial(Code.NO_PRICE, f"{where} can't be judged: {self._book.missing(instrument)}")
            case RiskFault.Gross(bound=index, before=before, after=after):
                level, limit = rules.gross[index]
                shown = text(self._book.most(limit, level.kind, subject) or ZERO)
                if limit.fraction is not None:
                    shown += f" ({percent(limit.fraction)})"
                return Denial(
                    Code.MAX_GROSS_EXPOSURE,
                    f"{candidate.words} could take the gross exposure from {text(usd(before))} to {text(usd(after))}, "
                    f"more than the {shown} of {level.section}.max_gross_exposure",
                )
        return None

    def _of_margin(self, fault: RiskFault, candidate: Candidate, subject: Subject) -> Denial:
        match fault:
            case RiskFault.Short():
                return self._margin.no_short(candidate, subject)
            case RiskFault.Margin(cost=cost, kept=kept, own=own, broker=broker):
                headroom = subject.rules.headroom
                assert headroom is not None
                return insufficient(candidate, cost, kept, own, broker, headroom)
            case RiskFault.NoPrice():
                return Denial(Code.NO_PRICE, str(NoPrice(candidate)))
            case RiskFault.NoEquity():
                return self._margin.no_equity(subject)
            case RiskFault.Burden():
                return self._margin.no_burden(candidate, subject)
            case RiskFault.Unreadable():
                raise ValueError(f"a figure that the broker told of {subject.account} is no number")
            case RiskFault.Unsized(instrument=instrument):
                raise LookupError(self._book.missing(instrument))
            case RiskFault.Overflow():
                raise ValueError("it is more than can be added up")
        raise NotImplementedError(f"{fault!r} has no words")


def _no_price(candidate: Candidate, bound: Bound | None) -> Denial:
    """The denial where a limit can't be held against an order of unknown worth."""
    return Denial(
        Code.NO_PRICE,
        f"{candidate.words} can't be held against {_named(bound)}: no quote, trade or bar has arrived yet",
    )


def _named(bound: Bound | None) -> str:
    assert bound is not None
    return f"{text(bound.value)} of {bound.where}"
