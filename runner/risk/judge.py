"""The decision on an order, a list or a modification: let through, or denied with a code and the numbers.

Nothing here touches the message bus or changes anything; gate.py does both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from runner.risk.codes import Code, Denial, text
from runner.risk.exposure import ZERO, Leg, Sum, worst_notional
from runner.risk.limits import Bound, LimitsBook
from runner.risk.prices import Prices
from runner.risk.rate import OrderRates
from runner.risk.state import State, States
from runner.risk.working import Working


@dataclass(slots=True)
class Subject:
    """Whose order it is: ids as Nautilus has them, names as the file has them."""

    account_id: Any  # None where the account could not be told
    strategy_id: Any
    account: str
    strategy: str


@dataclass(slots=True)
class Candidate:
    """An order as it would be. For a modification `before` holds the quantity and the price it has now."""

    order: Any
    qty: Decimal | None  # whole base quantity; None where it is given in money and no price is known
    price: Decimal | None  # what one unit is worth
    before: Candidate | None = None
    buy: bool = field(init=False)
    leg: Leg = field(init=False)

    def __post_init__(self) -> None:
        self.leg = Leg(self.order, (self.qty or ZERO) - self.order.filled_qty.as_decimal(), self.price)
        self.buy = self.leg.buy

    @property
    def notional(self) -> Decimal | None:
        return None if self.qty is None or self.price is None else self.qty * self.price

    @property
    def words(self) -> str:
        side = "buy" if self.buy else "sell"
        qty = "an unknown quantity of" if self.qty is None else text(self.qty)
        return f"to {side} {qty} {self.order.instrument_id}"


class _Orders:
    """Finds an order among those being judged, else in the cache."""

    def __init__(self, candidates: Sequence[Candidate], cache: Any) -> None:
        self._own = {candidate.order.client_order_id: candidate.order for candidate in candidates}
        self._cache = cache

    def get(self, client_order_id: Any) -> Any:
        return self._own.get(client_order_id) or self._cache.order(client_order_id)


class Judge:
    """Applies the limits to what the cache, the reservations and the states say now."""

    def __init__(
        self,
        *,
        cache: Any,
        limits: LimitsBook,
        prices: Prices,
        working: Working,
        rates: OrderRates,
        states: States,
        venue_now_ns: Callable[[], int],
        outage: Callable[[str, str], str | None],
    ) -> None:
        self.limits = limits
        self._cache = cache
        self._prices = prices
        self._working = working
        self._rates = rates
        self._states = states
        self._venue_now_ns = venue_now_ns
        self._outage = outage
        self._held: dict[tuple[Any, Any, Any], Decimal] = {}  # the positions that one decision has asked for

    def candidate(self, order: Any) -> Candidate:
        """The order as it was made."""
        price = self._prices.order(order)
        return Candidate(order, _base_qty(order, order.quantity, price), price)

    def modified(self, order: Any, command: Any) -> Candidate:
        """The order as the command would make it."""
        price = self._prices.order(order, price=command.price, trigger_price=command.trigger_price)
        qty = _base_qty(order, command.quantity or order.quantity, price)
        return Candidate(order, qty, price, before=self.candidate(order))

    def submit(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """Judge an order, or a list as a whole: a denial with the order that it is about, or None."""
        reducing = self.reduces(candidates, subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial, candidates[0].order
        for candidate in candidates:
            if (denial := self._order_size(candidate, subject, reducing=reducing)) is not None:
                return denial, candidate.order
        if reducing:
            return None
        denied = self._positions(candidates, subject)
        if denied is None and (denial := self._rate(len(candidates), subject)) is not None:
            return denial, candidates[0].order
        return denied

    def modify(self, candidate: Candidate, command: Any, subject: Subject) -> Denial | None:
        """Judge a modification by what it adds: one that only takes quantity away always passes."""
        before = candidate.before
        assert before is not None
        grows = candidate.qty is None or before.qty is None or candidate.qty > before.qty
        if not grows and not _other_price(candidate.order, command):
            return None
        reducing = self.reduces([candidate], subject)
        if not reducing and (denial := self._may_not_open(subject)) is not None:
            return denial
        dearer = candidate.notional is None or before.notional is None or candidate.notional > before.notional
        if denial := self._order_size(candidate, subject, reducing=reducing, qty=grows, notional=dearer):
            return denial
        if reducing:
            return None
        if (grows or dearer) and (denied := self._positions([candidate], subject)) is not None:
            return denied[0]
        return self._rate(1, subject)

    def count(self, orders: int, subject: Subject) -> None:
        """Count what goes out against the order rates, whether or not it was bound by them."""
        self._rates.count(self.limits.rates(subject.account, subject.strategy), orders, self._venue_now_ns())

    def reduces(self, candidates: Sequence[Candidate], subject: Subject) -> bool:
        """True where all of them only shrink positions of the account, together with what already works."""
        self._held.clear()
        if subject.account_id is None:
            return False
        for candidate in candidates:
            if candidate.qty is None or candidate.order.is_quote_quantity:
                return False  # money can't be compared with a position for certain
        if len(candidates) == 1:
            return self._reduces(candidates[0].order.instrument_id, candidates, subject)
        instruments = {candidate.order.instrument_id for candidate in candidates}
        return all(self._reduces(instrument_id, candidates, subject) for instrument_id in instruments)

    def _reduces(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any = None
    ) -> bool:
        position = self._position_once(instrument_id, subject.account_id, strategy_id)
        own = [candidate for candidate in candidates if candidate.order.instrument_id == instrument_id]
        buy = position < 0
        if position == 0 or any(candidate.buy != buy for candidate in own):
            return False
        closing = self._side(instrument_id, candidates, subject, strategy_id, buy=buy)
        return closing.qty <= abs(position)

    def position(self, instrument_id: Any, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The account's signed position, or one strategy's share of it, in base units."""
        positions = self._cache.positions_open(
            instrument_id=instrument_id, strategy_id=strategy_id, account_id=account_id
        )
        held = ZERO
        for position in positions:
            held += position.signed_decimal_qty()
        return held

    def _position_once(self, instrument_id: Any, account_id: Any, strategy_id: Any) -> Decimal:
        """The same within one decision, looked up once."""
        key = (instrument_id, account_id, strategy_id)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = self.position(instrument_id, account_id, strategy_id)
        return held

    def _side(
        self, instrument_id: Any, candidates: Sequence[Candidate], subject: Subject, strategy_id: Any, *, buy: bool
    ) -> Sum:
        """One side's working orders and the candidates, each candidate in the place of what it would replace."""
        side = self._working.side(instrument_id, subject.account_id, strategy_id, buy=buy)
        if len(candidates) == 1 and not side.special:
            only = candidates[0]
            if only.buy == buy and only.leg.plain and only.order.client_order_id not in side.plain:
                return side.plus(only.leg)
        own = {
            c.order.client_order_id: c.leg
            for c in candidates
            if c.buy == buy and c.order.instrument_id == instrument_id
        }
        for client_order_id, leg in own.items():
            working = side.plain.get(client_order_id) or side.special.get(client_order_id)
            if working is not None and working.qty > leg.qty:  # a larger modification is still under way
                own[client_order_id] = Leg(leg.order, working.qty, leg.price)
        return side.with_candidates(own, _Orders(candidates, self._cache))

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

    def _order_size(
        self, candidate: Candidate, subject: Subject, *, reducing: bool, qty: bool = True, notional: bool = True
    ) -> Denial | None:
        bound = self.limits.tightest("max_order_qty", subject.account, subject.strategy) if qty else None
        if bound is not None:
            if candidate.qty is None:
                return None if reducing else _no_price(candidate, bound)
            if candidate.qty > bound.value:
                return Denial(Code.MAX_ORDER_QTY, f"{candidate.words} is more than the {_named(bound)}")
        bound = self.limits.tightest("max_order_notional", subject.account, subject.strategy) if notional else None
        if bound is not None:
            worth = self._times(candidate.notional, candidate.order.instrument_id)
            if worth is None:
                return None if reducing else _no_price(candidate, bound)
            if worth > bound.value:
                return Denial(
                    Code.MAX_ORDER_NOTIONAL,
                    f"{candidate.words} at {text(candidate.price or ZERO)} is {text(worth)}, "
                    f"more than the {_named(bound)}",
                )
        return None

    def _positions(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        account = self.limits.of_account("max_position_notional", subject.account)
        strategy = self.limits.of_strategy("max_position_notional", subject.strategy)
        for bound, strategy_id in ((account, None), (strategy, subject.strategy_id)):
            if bound is None:
                continue
            seen = set()
            for candidate in candidates:
                key = (candidate.order.instrument_id, candidate.buy)
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
        instrument_id = candidate.order.instrument_id
        # All together were found not to reduce the account's positions; one instrument, or a strategy's share, may be.
        alone = strategy_id is None and len(candidates) == 1
        if not alone and self._reduces(instrument_id, candidates, subject, strategy_id):
            return None
        position = self._position_once(instrument_id, subject.account_id, strategy_id)
        side = self._side(instrument_id, candidates, subject, strategy_id, buy=candidate.buy)
        mark = self._prices.market(instrument_id, buy=candidate.buy)
        worst = self._times(worst_notional(position, side, mark, buy=candidate.buy), instrument_id)
        if worst is None or candidate.qty is None:
            return _no_price(candidate, bound)
        if worst <= bound.value:
            return None
        working = side.qty - candidate.leg.qty
        return Denial(
            Code.MAX_POSITION_NOTIONAL,
            f"{candidate.words} could take the position to {text(worst)} (held {text(position)}, working "
            f"{'buys' if candidate.buy else 'sells'} {text(max(working, ZERO))}), more than the {_named(bound)}",
        )

    def _rate(self, orders: int, subject: Subject) -> Denial | None:
        rates = self.limits.rates(subject.account, subject.strategy)
        exceeded = self._rates.exceeded(rates, orders, self._venue_now_ns())
        if exceeded is None:
            return None
        scope, rate, held = exceeded
        return Denial(
            Code.MAX_ORDERS,
            f"{orders} more on top of {held} is over the {rate.count} in {text(Decimal(rate.per_ns) / 10**9)} s that "
            f"{scope.section}.max_orders allows",
        )

    def _times(self, notional: Decimal | None, instrument_id: Any) -> Decimal | None:
        """With the contract's multiplier. Raises LookupError for an instrument that is not in the cache."""
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return None if notional is None else notional * instrument.multiplier.as_decimal()


def working_leg(order: Any, prices: Prices) -> Leg:
    """What may still be filled of an order that the gate has not judged, at today's prices."""
    price = prices.order(order)
    qty = _base_qty(order, order.leaves_qty, price)
    return Leg(order, order.leaves_qty.as_decimal() if qty is None else qty, price)


def _base_qty(order: Any, quantity: Any, price: Decimal | None) -> Decimal | None:
    qty: Decimal = quantity.as_decimal()
    if not order.is_quote_quantity:
        return qty
    return qty / price if price else None


def _other_price(order: Any, command: Any) -> bool:
    return bool(
        (command.price is not None and (not order.has_price or command.price != order.price))
        or (command.trigger_price is not None and command.trigger_price != getattr(order, "trigger_price", None))
    )


def _no_price(candidate: Candidate, bound: Bound) -> Denial:
    return Denial(
        Code.NO_PRICE,
        f"{candidate.words} can't be held against {_named(bound)}: no quote, trade or bar has arrived yet",
    )


def _named(bound: Bound) -> str:
    return f"{text(bound.value)} of {bound.where}"
