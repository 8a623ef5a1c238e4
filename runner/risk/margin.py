"""Whether an account can pay for what an order opens: Reg T, by our own computation and by the broker's last word.

Own computation, in USD: excess = equity - initial margin of all positions. A margin account (equity from 2,000 up) buys
marginable stock with twice the excess, options with the excess, and what is not marginable (crypto too) with the
smaller of cash and excess; a cash account buys everything with the latter, less what secures options. Working orders
that open take their cost off it: a purchase its limit, or the far side of the quote (a stop what Alpaca's protective
limit allows); a short sale the greater of its limit and 1.03 × ask. What closes costs nothing and gives nothing back
before it is filled.

The broker's figure has working orders taken off already, but only those that it knew of when it told us. The smaller of
the two is what is available.

Sources: docs.alpaca.markets "Margin and Short Selling", "Orders at Alpaca" (buying power), trading OpenAPI
specification, `Account.buying_power`. Four times the excess, which Alpaca lends within a day, is not used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from runner._engine import RiskBook, RiskOrder
from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code, Denial, percent, text
from runner.risk.collateral import Collateral, Uncovered, is_option, legs_of, root_of
from runner.risk.exposure import NANO, ZERO, Leg, atto, nanos, usd
from runner.risk.instruments import Facts, Instruments
from runner.risk.ledger import Ledger
from runner.risk.limits import I128, Bound, share
from runner.risk.options import NoPrice, OptionOrders, by_root
from runner.risk.positions import Positions
from runner.risk.prices import ONE, Prices
from runner.risk.reservations import Reservations
from runner.risk.working import Working

Purse = Literal["regt", "cash", "options"]
_NO_REST = Bound(ZERO, "")


class Power(NamedTuple):
    """What can be spent on one kind of asset, before headroom, in atto-dollars; `broker` is None where the broker has
    told nothing.
    """

    own: int
    broker: int | None
    whole: int
    """What headroom is a part of: the power of the equity, with nothing held."""

    @property
    def available(self) -> int:
        return self.own if self.broker is None or self.own < self.broker else self.broker


class Margin:
    """Tells the engine's book what accounts have and what orders cost; judges what it does not: orders of options."""

    def __init__(
        self,
        *,
        cache: Any,
        book: Book,
        instruments: Instruments,
        ledger: Ledger,
        collateral: Collateral,
        positions: Positions,
        working: Working,
        reservations: Reservations,
        prices: Prices,
        clock: Any,
    ) -> None:
        self._cache = cache
        self._book = book
        self._instruments = instruments
        self._ledger = ledger
        self._collateral = collateral
        self._working = working
        self._reservations = reservations
        self._prices = prices
        self._clock = clock
        self._options = OptionOrders(cache, collateral, positions, working, prices)
        self.enabled = False
        """Whether any level asks for it; without, nothing is followed."""
        self._orders: dict[Any, Any] = {}  # those that are entered, by their ids
        self._accounts: dict[Any, Any] = {}  # of each of them: one that never leaves has no account of its own
        self._raised: set[Any] = set()  # those that may count for more than they are, by a modification
        self._own: dict[Any, tuple[tuple[int, int] | None, int | None]] = {}  # what the engine was told last
        self._levels: dict[Any, Any] = {}  # of option trading, by account, as the broker told it

    def enable(self) -> None:
        self.enabled = True
        self._book.engine.follow_margin()

    # -- events ------------------------------------------------------------------------------------------------------

    def whole(self, candidate: Candidate, subject: Subject) -> int | None:
        """What an order of options that passed costs; None where its price tells that."""
        client_order_id = candidate.order.client_order_id
        self._orders[client_order_id] = candidate.order
        self._accounts[client_order_id] = subject.account_id
        if subject.rules.headroom is None:
            self.tell(subject.account_id)  # whether anything is lent: no limit has asked for it
        if candidate.facts is None or not candidate.facts.option or candidate.leg.units <= 0:
            return None
        try:
            return self._options_cost([candidate], subject, one=True)
        except (Uncovered, NoPrice):
            return 0  # a leg of a list that was judged as a whole, or an order that closes

    def expect(self, candidate: Candidate, account_id: Any) -> None:
        """A modification passed: what it asks for counts from now on, and a unit for the dearer of before and after,
        until it is confirmed or refused. To be called before its room is reserved.
        """
        if not self.enabled:
            return
        whole = self._whole(candidate, account_id)
        client_order_id = candidate.order.client_order_id
        self._raised.add(client_order_id)
        self._book.engine.expect(client_order_id.value, candidate.least, whole, candidate.row)

    def note(self, client_order_id: Any) -> None:
        """Something happened to an order: what it still costs is worked out anew."""
        if not self.enabled:
            return
        order = self._orders.get(client_order_id)
        if order is None:
            order = self._adopt(client_order_id)
            if order is None:
                return
        left, worth, closed, settled = 0, None, order.is_closed, False
        if not closed:
            reservation = self._reservations.get(client_order_id)
            leg = self._working.other(order) if reservation is None else reservation.leg()
            left, worth = leg.units, leg.worth
            if self._raised and client_order_id in self._raised and not self._reservations.is_moving(client_order_id):
                self._settle(order, leg)
                settled = True
        self._book.engine.note(
            client_order_id.value,
            self._book.instrument(order.instrument_id),
            left,
            worth,
            nanos(order.filled_qty),
            closed,
            order.venue_order_id is not None,
            self._clock.timestamp_ns(),
        )
        if closed or settled:
            self._recost(self._accounts[client_order_id], order.instrument_id)
        if closed:  # last: where the engine could not be told, it is asked for once more
            del self._orders[client_order_id], self._accounts[client_order_id]
            self._raised.discard(client_order_id)

    def stands_anew(self, client_order_id: Any) -> None:
        """An order was updated: what it costs is worked out anew, whoever asked for that."""
        if client_order_id in self._orders:
            self._raised.add(client_order_id)

    def moved(self, account_id: Any, instrument_id: Any) -> None:
        """A position changed."""
        if self.enabled:
            self._recost(account_id, instrument_id)

    def _recost(self, account_id: Any, instrument_id: Any) -> None:
        """What orders of options of this root close, and so what they cost, may be something else by now. A position
        is there for them in the order in which they came.
        """
        if (root := _root(instrument_id)) is None:
            return
        earlier: set[Any] = set()
        for client_order_id, order in self._orders.items():
            its_own = self._accounts[client_order_id] == account_id and _root(order.instrument_id) == root
            if order.is_closed or not its_own:
                continue
            reservation = self._reservations.get(client_order_id)
            leg = self._working.other(order) if reservation is None else reservation.leg()
            candidate = self._working_one(order, leg, self._instruments.get(order.instrument_id))
            if (whole := self._whole(candidate, account_id, self._options.among(earlier))) is not None:
                self._book.engine.recost(client_order_id.value, whole)
            earlier.add(client_order_id)

    def on_account(self, event: Any) -> None:
        """The broker told the account's figures."""
        info = event.info or {}
        self._levels[event.account_id] = info.get("options_trading_level")
        self._book.engine.report(
            self._book.account(event.account_id),
            _figure(info.get("buying_power")),
            _figure(info.get("non_marginable_buying_power")),
            _figure(info.get("options_buying_power")),
            _figure(info.get("multiplier")),
            self._clock.timestamp_ns(),
        )

    def on_fill(self, account_id: Any) -> None:
        self._book.engine.fill(self._book.account(account_id), self._clock.timestamp_ns())

    def is_current(self, account_id: Any) -> bool:
        """Whether the broker's last report has every fill in it that was told of."""
        return self._book.engine.is_current(self._book.account(account_id))

    def tell(self, account_id: Any) -> None:
        """Tell the engine what the account has by our own books, where that has changed. Raises nothing: what can't be
        told is asked again, and heard, where it is needed, so that it holds back nothing else.
        """
        try:
            own = self._ledger.attos(account_id)
        except Exception:
            own = None
        try:
            burden: int | None = self._collateral.burden(account_id)
        except Exception:
            burden = None
        told = self._own.get(account_id)
        if told is not None and told[0] is own and told[1] is burden:
            return
        account = self._cache.account(account_id)
        lends = account is not None and bool(account.is_margin_account)
        equity, cash = (None, 0) if own is None or max(map(abs, own)) >= I128 else own
        fits = burden is not None and abs(burden) < I128
        secured = self._collateral.secured(account_id) if fits else 0
        self._book.engine.own(self._book.account(account_id), equity, cash, burden if fits else None, lends, secured)
        self._own[account_id] = own, burden

    # -- figures -----------------------------------------------------------------------------------------------------

    def reserved(self, account_id: Any) -> Decimal:
        """What working orders hold, in USD."""
        self._book.sync()
        return usd(self._book.engine.reserved(self._book.account(account_id)))

    def unseen(self, account_id: Any) -> int:
        """What the broker's last figure can't have had taken off yet, in atto-dollars."""
        return self._book.engine.missing(self._book.account(account_id))

    def power(self, account_id: Any, purse: Purse) -> Power | None:
        """What is left to spend on one kind of asset; None where the account's equity is not known. Raises Uncovered,
        LookupError where a price is unknown, ValueError or ArithmeticError for a figure of the broker's that is no
        number.
        """
        self._book.sync()
        self.tell(account_id)
        own, burden = self._own[account_id]
        if own is None:
            self._ledger.attos(account_id)
        elif burden is None:
            self._collateral.burden(account_id)
        power = self._book.engine.power(self._book.account(account_id), purse)
        return None if power is None else Power(*power)

    def used(self, account_id: Any) -> Decimal | None:
        """The fraction of its buying power that is in use: all of it where short calls are uncovered, or nothing is
        left of the equity. None where that is not known. Raises as `power` does otherwise.
        """
        try:
            power = self.power(account_id, "regt")
        except Uncovered:
            return ONE
        if power is None:
            return None
        return ONE - min(share(Decimal(power.available), Decimal(power.whole)), ONE) if power.whole > 0 else ONE

    # -- judging -----------------------------------------------------------------------------------------------------

    def check_closing(self, candidates: Sequence[Candidate], subject: Subject, *, one: bool) -> Denial | None:
        """Of options that close or hedge: selling the cover of a short put asks for money, and so may closing a
        spread, or buying a short option back. Headroom is not kept for that, and a missing price holds nothing back.
        """
        denial = self.check_options(candidates, (), subject, _NO_REST, one=one)
        return None if denial is not None and denial.code is Code.NO_PRICE else denial

    def check_options(
        self,
        candidates: Sequence[Candidate],
        orders: Sequence[RiskOrder],
        subject: Subject,
        headroom: Bound,
        *,
        one: bool,
    ) -> Denial | None:
        """Whether what their orders of options open can be paid for, a list as a whole, a modification by what it adds.

        The engine judges all others; `orders`, as it has them, are paid for from the same equity. `one`: what several
        orders of contracts are to the venue, one order or each by itself.
        """
        options = [each for each in candidates if each.facts is not None and each.facts.option]
        if not options:
            return None
        try:
            cost = self._options_cost(options, subject, one=one)
            if not cost:
                return None
            lent, cash = 0, 0
            if len(options) < len(orders):
                lent, cash = self._book.engine.costs(self._book.account(subject.account_id), orders)
            return self._pays(candidates[0], subject, headroom, cost, lent, cash)
        except Uncovered as error:
            return Denial(Code.MARGIN_UNCOVERED, f"{candidates[0].words}: {error}")
        except NoPrice as error:
            return Denial(Code.NO_PRICE, str(error))

    def _pays(
        self, candidate: Candidate, subject: Subject, headroom: Bound, cost: int, lent: int, cash: int
    ) -> Denial | None:
        """Whether options can be paid for beside what else their list buys, in any order: what is lent on, and what is
        not. All in atto-dollars.
        """
        purses: list[tuple[Purse, int]] = [("options", cost + cash - (-lent // 2))]
        if lent:
            purses.append(("regt", lent + 2 * (cash + cost)))
        if cash:
            purses.append(("cash", cash + lent + cost))
        for purse, asked in purses:
            power = self.power(subject.account_id, purse)
            if power is None:
                return self.no_equity(subject)
            kept = -(-power.whole * headroom.nanos // NANO)
            if asked + kept > power.available:
                return insufficient(candidate, asked, kept, power.own, power.broker, headroom)
        return None

    def refused(self, candidates: Sequence[Candidate], subject: Subject, *, one: bool) -> Denial | None:
        """Why the venue takes no such order of options, be it that it closes. `one`: see `check_options`."""
        told = self._levels.get(subject.account_id)
        level = 3 if told is None else int(Decimal(str(told)))
        for options, own in self._as_sent(candidates, one=one):
            if (denial := options.refused(own, subject.account_id, level)) is not None:
                return denial
        return None

    def _as_sent(
        self, candidates: Sequence[Candidate], *, one: bool
    ) -> Iterator[tuple[OptionOrders, Sequence[Candidate]]]:
        """What is one order to the venue, and what judges it beside those that come before."""
        if one:
            yield self._options, candidates
            return
        for index, candidate in enumerate(candidates):
            yield self._options.beside(candidates[:index]), [candidate]

    def no_short(self, candidate: Candidate, subject: Subject) -> Denial:
        """Raises as `no_equity`."""
        self._ledger.attos(subject.account_id)
        least = text(usd(RiskBook.LEAST_EQUITY))
        return Denial(
            Code.MARGIN_INSUFFICIENT,
            f"{candidate.words} opens a short, which needs a margin account and {least} of equity",
        )

    def no_equity(self, subject: Subject) -> Denial:
        """Raises ValueError or ArithmeticError where the broker told one that is no number."""
        self._ledger.attos(subject.account_id)
        return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")

    def no_burden(self, candidate: Candidate, subject: Subject) -> Denial:
        """What an account's positions ask for can't be told. Raises LookupError where a price is unknown."""
        try:
            self._collateral.burden(subject.account_id)
        except Uncovered as error:
            return Denial(Code.MARGIN_UNCOVERED, f"{candidate.words}: {error}")
        raise LookupError(f"the margin of what {subject.account} holds was not known")

    def _options_cost(self, candidates: Sequence[Candidate], subject: Subject, *, one: bool) -> int:
        total = 0
        for options, sent in self._as_sent(candidates, one=one):
            for own in by_root(sent):
                cost = atto(options.cost(own, subject.account_id))
                if own[0].before is not None:  # it keeps its place among those that came after it, by which it is held
                    among = options.among(self._before(own[0].order.client_order_id))
                    cost = max(cost, atto(among.cost(own, subject.account_id)))
                held = sum(self._book.engine.cost(candidate.order.client_order_id.value) for candidate in own)
                total += max(cost - held, 0)
        return total

    def _before(self, client_order_id: Any) -> set[Any]:
        """The orders that came before one of them."""
        return set(takewhile(lambda each: each != client_order_id, self._orders))

    def _adopt(self, client_order_id: Any) -> Any:
        """Enter an order that the gate has not judged: made elsewhere, or before a restart."""
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or order.account_id is None or not (order.is_open or order.is_inflight):
            return None
        leg, filled = self._working.other(order), nanos(order.filled_qty)
        engine, account = self._book.engine, self._book.account(order.account_id)
        closing = leg.units
        if not self._book.is_exit(order, leg):
            self._book.sync()
            instrument = self._book.instrument(order.instrument_id)
            closing = min(closing, engine.closable(account, instrument, leg.buy, client_order_id.value))
        facts = self._instruments.get(order.instrument_id)
        least, whole = self._least(order), self._whole(self._working_one(order, leg, facts), order.account_id)
        lent = facts is not None and not facts.option and facts.lent_on
        # The broker's figures are asked for after the orders that are open already.
        priced = self._priced(leg)
        self.tell(order.account_id)  # whether anything is lent
        engine.enter(client_order_id.value, account, priced, closing + filled, least, lent, whole, seen=True)
        self._orders[client_order_id], self._accounts[client_order_id] = order, order.account_id
        return order

    def _settle(self, order: Any, leg: Leg) -> None:
        """No modification of it is under way any more: it counts for what it is, as soon as that can be told."""
        facts = self._instruments.get(order.instrument_id)
        whole = self._whole(self._working_one(order, leg, facts), order.account_id)
        if whole is not None or facts is None or not facts.option:
            self._raised.discard(order.client_order_id)
        self._book.engine.settle(order.client_order_id.value, self._priced(leg), self._least(order), whole)

    def _priced(self, leg: Leg) -> tuple[int, bool, int | None]:
        return self._book.instrument(leg.instrument_id), leg.buy, leg.worth

    def _least(self, order: Any) -> int:
        return self._prices.least(order, nanos(order.trigger_price) if order.has_trigger_price else None)

    def _working_one(self, order: Any, leg: Leg, facts: Facts | None) -> Candidate:
        """An order as it works: `leg` is its open part."""
        limit = leg.limit
        if limit is None and order.has_price:
            limit = nanos(order.price)
        units, cost = leg.units + nanos(order.filled_qty), self._prices.order(order)
        if limit is None and leg.worth is not None and not (facts is not None and facts.spread):
            cost = leg.worth if cost is None else max(cost, leg.worth)  # a dearer trigger may be under way
        return Candidate(order, units, cost, worth=leg.worth, limit=limit, facts=facts)

    def _whole(
        self, candidate: Candidate, account_id: Any, options: OptionOrders | None = None
    ) -> tuple[int, int] | None:
        """What an order of options costs, and of how many units; None of others, or where that can't be told: it counts
        by its price alone then, or as before. What opens was judged by the same figures: one that has none takes away.
        """
        if candidate.facts is None or not candidate.facts.option or candidate.leg.units <= 0:
            return None
        with contextlib.suppress(Uncovered, NoPrice, LookupError):
            return atto((options or self._options).cost([candidate], account_id)), candidate.leg.units
        return None


def insufficient(candidate: Candidate, cost: int, kept: int, own: int, broker: int | None, headroom: Bound) -> Denial:
    """All in atto-dollars; `kept` is what headroom keeps."""
    told = "" if broker is None else f", {text(usd(broker))} by the broker's figures"
    less = f" and {percent(headroom.value)} ({text(usd(kept))}) is kept by {headroom.where}" if kept else ""
    return Denial(
        Code.MARGIN_INSUFFICIENT,
        f"{candidate.words} costs {text(usd(cost))} of buying power; "
        f"available are {text(usd(own))} by our own computation{told}{less}",
    )


def _root(instrument_id: Any) -> str | None:
    """Of an option, or of a spread; None of anything else."""
    first = legs_of(instrument_id)[0][0]
    return root_of(first.symbol.value) if is_option(first) else None


def _figure(told: Any) -> int | str | None:
    """In atto-dollars; empty where it is no number, which holds back only what needs it."""
    try:
        return None if told is None else atto(Decimal(str(told)))
    except (ArithmeticError, ValueError):
        return ""
