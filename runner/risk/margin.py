"""Whether an account can pay for what an order opens: Reg T, by our own computation and by the broker's last word.

Own computation, in USD: excess = equity - initial margin of all positions. A margin account (equity from 2,000 up) buys
marginable stock with twice the excess, options with the excess, and what is not marginable (crypto too) with the
smaller of cash and excess; a cash account buys everything with the latter. Working orders that open take their cost
off it: a purchase its limit, or the far side of the quote (a stop what Alpaca's protective limit allows); a short sale
the greater of its limit and 1.03 × ask. What closes costs nothing and gives nothing back before it is filled.

The broker's figure has working orders taken off already, but only those that it knew of when it told us. The smaller of
the two is what is available.

Sources: docs.alpaca.markets "Margin and Short Selling", "Orders at Alpaca" (buying power), trading OpenAPI
specification, `Account.buying_power`. Four times the excess, which Alpaca lends within a day, is not used.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from nautilus_trader.model.enums import OrderType

from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code, Denial, percent, text
from runner.risk.collateral import Collateral, Uncovered, is_option
from runner.risk.exposure import ATTO, NANO, ZERO, atto, nanos, usd
from runner.risk.instruments import Facts, Instruments
from runner.risk.ledger import Ledger
from runner.risk.limits import Bound
from runner.risk.options import NoPrice, OptionOrders, by_root
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.reservations import Reservations
from runner.risk.working import Working

Purse = Literal["regt", "cash", "options"]
LEAST_EQUITY = 2000 * ATTO
# A report that was asked for before an order reached the broker can come after the order's answer, but not so much
# later: no request is waited for any longer.
LATEST_REPORT_NS = 10_000_000_000
_STOP = OrderType.STOP_MARKET
_FIFTY = 50 * NANO
_NO_REST = Bound(ZERO, "")
_KEYS: dict[Purse, str] = {
    "regt": "buying_power",
    "cash": "non_marginable_buying_power",
    "options": "options_buying_power",
}


@dataclass(slots=True)
class Entry:
    """One working order: what of it closes (in billionths), the least that a unit costs (in nano-dollars), what it
    costs (in atto-dollars), and since when the broker knows it.
    """

    order: Any
    account_id: Any
    closing: int
    least: int
    amount: int = 0
    known_ns: int | None = None
    seen: bool = False
    lent: bool = False
    """Whether half of what it costs is lent."""
    whole: int | None = None
    """What an options order costs as a whole, worked out when it, or a modification, passed."""
    units: int = 0
    """Of how many billionths that is."""


class Report:
    """The broker's figures (AccountState.info), when they came, and when those before them had."""

    __slots__ = ("_figures", "_info", "at_ns", "before_ns")

    def __init__(self, info: Any, at_ns: int, before_ns: int) -> None:
        self._info = info
        self._figures: dict[str, int | None] = {}
        self.at_ns = at_ns
        self.before_ns = before_ns

    def figure(self, key: str) -> int | None:
        """In units of 10^-18; None where it was not told. Raises ArithmeticError or ValueError where it is no number.

        Each by itself, so that one which is no number holds back nothing that does not need it.
        """
        if key not in self._figures:
            told = self._info.get(key)
            self._figures[key] = None if told is None else atto(Decimal(str(told)))
        return self._figures[key]


@dataclass(slots=True)
class Purses:
    """What an account's working orders hold, in atto-dollars."""

    reserved: int = 0
    halved: int = 0
    """The part of it of which half is lent."""
    unseen: dict[Any, tuple[int, int | None]] = field(default_factory=dict)
    """By order: what the broker's last figure can't have had taken off, and since when the broker knows it."""
    missing: int = 0
    """Their sum."""
    report: Report | None = None
    filled_ns: int | None = None
    """When the last fill was told of."""

    def knows(self, at_ns: int) -> bool:
        """Whether the last report was asked for after that time: it was, where the one before it had come since."""
        report = self.report
        return report is not None and (at_ns < report.before_ns or report.at_ns - at_ns >= LATEST_REPORT_NS)

    def miss(self, client_order_id: Any, amount: int, known_ns: int | None) -> None:
        before = self.unseen.get(client_order_id)
        self.missing += amount if before is None else amount - before[0]
        self.unseen[client_order_id] = amount, known_ns

    def saw(self, client_order_id: Any) -> None:
        before = self.unseen.pop(client_order_id, None)
        if before is not None:
            self.missing -= before[0]


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
    """Keeps what every working order costs, by events; a decision adds up nothing but the figures of its account."""

    def __init__(
        self,
        *,
        cache: Any,
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
        self._instruments = instruments
        self._ledger = ledger
        self._collateral = collateral
        self._positions = positions
        self._working = working
        self._reservations = reservations
        self._prices = prices
        self._clock = clock
        self._options = OptionOrders(cache, collateral, positions, working, prices)
        self.enabled = False
        """Whether any level asks for it; without, nothing is followed."""
        self._entries: dict[Any, Entry] = {}
        self._purses: defaultdict[Any, Purses] = defaultdict(Purses)
        # The entry of the last order that was judged, with where it belongs, until anything happens to any order.
        self._judged: tuple[Candidate, Entry, Purses] | None = None

    # -- events ------------------------------------------------------------------------------------------------------

    def reserve(self, candidate: Candidate, subject: Subject) -> None:
        """An order passed, and works from now on."""
        if not self.enabled:
            return
        judged, self._judged = self._judged, None
        if judged is not None and judged[0] is candidate:
            _, entry, purses = judged
            client_order_id = candidate.order.client_order_id
            self._entries[client_order_id] = entry
            purses.reserved += entry.amount
            if entry.lent:
                purses.halved += entry.amount
            if purses.report is not None:
                purses.miss(client_order_id, entry.amount, None)
            return
        entry = Entry(
            candidate.order, subject.account_id, self._closing(candidate, subject.account_id), self._least(candidate)
        )
        facts = candidate.facts
        if facts is not None and facts.option:
            entry.whole, entry.units = self._whole(candidate, subject), candidate.leg.units
        elif facts is not None:
            entry.lent = facts.lent_on
        self._entries[candidate.order.client_order_id] = entry
        self.note(candidate.order.client_order_id)

    def expect(self, candidate: Candidate, account_id: Any) -> None:
        """A modification passed: what it asks for counts from now on, a unit for the dearer of before and after (it may
        still be refused). To be called before its room is reserved.
        """
        entry = self._entries.get(candidate.order.client_order_id)
        if entry is None:
            return
        entry.least = max(entry.least, self._least(candidate))
        if entry.whole is None or candidate.leg.units <= 0:
            return
        try:
            whole = atto(self._options.cost([candidate], account_id))
        except (Uncovered, NoPrice, LookupError):
            return  # what opens was judged by the same figures: this one takes away
        if whole * entry.units > entry.whole * candidate.leg.units:
            entry.whole, entry.units = whole, candidate.leg.units

    def _whole(self, candidate: Candidate, subject: Subject) -> int:
        try:
            return self._options_cost([candidate], subject)
        except (Uncovered, NoPrice):
            return 0  # a leg of a list that was judged as a whole, or an order that closes

    def note(self, client_order_id: Any) -> None:
        """Something happened to an order: what it still costs is worked out anew."""
        if not self.enabled:
            return
        self._judged = None
        entry = self._entries.get(client_order_id)
        if entry is None:
            entry = self._adopt(client_order_id)
            if entry is None:
                return
        order, closed = entry.order, entry.order.is_closed
        purses = self._purses[entry.account_id]
        amount = 0 if closed else self._amount(entry)
        more = amount - entry.amount
        if more:
            purses.reserved += more
            if entry.lent:
                purses.halved += more
            entry.amount = amount
        if entry.known_ns is None and order.venue_order_id is not None:
            entry.known_ns = self._clock.timestamp_ns()
        if closed:
            del self._entries[client_order_id]
        if purses.report is None:
            return  # nobody tells figures that could lack it
        if closed and not order.filled_qty.raw:
            purses.saw(client_order_id)
            return
        before = purses.unseen.get(client_order_id, (0, None))[0]
        if entry.seen and more > 0:
            # A modification adds to what the broker knows.
            purses.miss(client_order_id, before + more, self._clock.timestamp_ns())
        elif not entry.seen and (amount or client_order_id in purses.unseen):
            # What was filled of it stays missing in the broker's figure until the next report.
            known_ns = self._clock.timestamp_ns() if closed else entry.known_ns
            purses.miss(client_order_id, max(before, amount), known_ns)

    def on_account(self, event: Any) -> None:
        """The broker told the account's figures."""
        purses, now_ns = self._purses[event.account_id], self._clock.timestamp_ns()
        before_ns = 0 if purses.report is None else purses.report.at_ns
        purses.report = Report(event.info or {}, now_ns, before_ns)
        for client_order_id, (_, known_ns) in list(purses.unseen.items()):
            if known_ns is None or not purses.knows(known_ns):
                continue
            purses.saw(client_order_id)
            if (entry := self._entries.get(client_order_id)) is not None:
                entry.seen = True

    def on_fill(self, account_id: Any) -> None:
        self._purses[account_id].filled_ns = self._clock.timestamp_ns()

    def is_current(self, account_id: Any) -> bool:
        """Whether the broker's last report has every fill in it that was told of."""
        purses = self._purses[account_id]
        return purses.filled_ns is None or purses.knows(purses.filled_ns)

    # -- figures -----------------------------------------------------------------------------------------------------

    def reserved(self, account_id: Any) -> Decimal:
        """What working orders hold, in USD."""
        return usd(self._purses[account_id].reserved)

    def power(self, account_id: Any, purse: Purse) -> Power | None:
        """What is left to spend on one kind of asset; None where the account's equity is not known."""
        known = self._ledger.attos(account_id)
        if known is None:
            return None
        equity, cash = known
        purses, burden = self._purses[account_id], self._collateral.burden(account_id)
        excess = equity - burden if equity > burden else 0
        if purse == "regt" and not self._levered(account_id, purses, equity):
            purse = "cash"
        if purse == "regt":
            own, whole = (excess - purses.reserved) * 2 + purses.halved, equity * 2
        elif purse == "options":
            own, whole = excess - purses.reserved + purses.halved // 2, equity
        else:
            own, whole = min(cash, excess) - purses.reserved, equity
        broker = None if purses.report is None else purses.report.figure(_KEYS[purse])
        return Power(own, None if broker is None else broker - purses.missing, whole)

    def levered(self, account_id: Any) -> bool:
        """Whether the broker lends: a margin account, with the least equity that one needs."""
        known = self._ledger.attos(account_id)
        return known is not None and self._levered(account_id, self._purses[account_id], known[0])

    def _levered(self, account_id: Any, purses: Purses, equity: int) -> bool:
        if equity < LEAST_EQUITY:
            return False
        told = None if purses.report is None else purses.report.figure("multiplier")
        if told is None:
            return bool(self._cache.account(account_id).is_margin_account)
        return told > ATTO

    def used(self) -> Iterator[tuple[Any, Decimal]]:
        """Each account with the fraction of its buying power that is in use."""
        for account_id in self._collateral.known():
            power = self.power(account_id, "regt")
            if power is not None and power.whole > 0:
                yield account_id, 1 - Decimal(max(power.available, 0)) / power.whole

    # -- judging -----------------------------------------------------------------------------------------------------

    def _closing(self, candidate: Candidate, account_id: Any) -> int:
        """How much of an order closes what is held, less what other orders close already. In billionths."""
        order, leg = candidate.order, candidate.leg
        if order.parent_order_id is not None and leg.units:
            parent = self._cache.order(order.parent_order_id)
            if parent is None or parent.side != order.side:
                return leg.units  # an exit of its own entry
        position = self._positions.units(candidate.instrument_id, account_id)
        if not position or (position > 0) == candidate.buy:
            return 0
        others = 0
        for other in self._working.legs(candidate.instrument_id, account_id):
            if other.buy == candidate.buy and other.order.client_order_id != order.client_order_id:
                others += other.units
        return min(leg.units, max(abs(position) - others, 0))

    def check_closing(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        """Of options that close or hedge: selling the cover of a short put asks for money, and so may closing a
        spread, or buying a short option back. Headroom is not kept for that, and a missing price holds nothing back.
        """
        options = [candidate for candidate in candidates if is_option(candidate.instrument_id)]
        if not options:
            return None
        denial = self.check(options, subject, _NO_REST)
        return None if denial is not None and denial.code is Code.NO_PRICE else denial

    def check(self, candidates: Sequence[Candidate], subject: Subject, headroom: Bound) -> Denial | None:
        """Whether what these open can be paid for, a list as a whole, a modification by what it adds."""
        costs: dict[Purse, int] = {}
        options: list[Candidate] = []
        try:
            for candidate in candidates:
                facts = candidate.facts
                if facts is None:
                    raise LookupError(f"{candidate.instrument_id} is not in the cache")
                if facts.option:
                    options.append(candidate)
                elif cost := self._cost(candidate, subject, facts):
                    if not candidate.buy and not self.levered(subject.account_id):
                        return Denial(
                            Code.MARGIN_INSUFFICIENT,
                            f"{candidate.words} opens a short, which needs a margin account and "
                            f"{text(usd(LEAST_EQUITY))} of equity",
                        )
                    purse: Purse = "regt" if facts.lent_on else "cash"
                    costs[purse] = costs.get(purse, 0) + cost
            for own in by_root(options) if options else ():
                if cost := self._options_cost(own, subject):
                    costs["options"] = costs.get("options", 0) + cost
            for purse, cost in costs.items():
                denial = self._afford(purse, cost, candidates[0], subject, headroom)
                if denial is not None:
                    return denial
        except Uncovered as error:
            return Denial(Code.MARGIN_UNCOVERED, f"{candidates[0].words}: {error}")
        except NoPrice as error:
            return Denial(Code.NO_PRICE, str(error))
        return None

    def _afford(self, purse: Purse, cost: int, first: Candidate, subject: Subject, headroom: Bound) -> Denial | None:
        power = self.power(subject.account_id, purse)
        if power is None:
            return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
        own, broker, whole = power
        kept = -(-whole * headroom.nanos // NANO)
        if cost + kept <= own and (broker is None or cost + kept <= broker):
            return None
        told = "" if broker is None else f", {text(usd(broker))} by the broker's figures"
        less = f" and {percent(headroom.value)} ({text(usd(kept))}) is kept by {headroom.where}" if kept else ""
        return Denial(
            Code.MARGIN_INSUFFICIENT,
            f"{first.words} costs {text(usd(cost))} of buying power; "
            f"available are {text(usd(own))} by our own computation{told}{less}",
        )

    def refused(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        """Why the venue takes no such order of options, be it that it closes."""
        purses = self._purses.get(subject.account_id)
        told = None if purses is None or purses.report is None else purses.report.figure("options_trading_level")
        return self._options.refused(candidates, subject.account_id, 3 if told is None else told // ATTO)

    def _options_cost(self, candidates: Sequence[Candidate], subject: Subject) -> int:
        cost = atto(self._options.cost(candidates, subject.account_id))
        own = (candidate.order.client_order_id for candidate in candidates)
        return max(cost - sum(self._entries[each].amount for each in own if each in self._entries), 0)

    def _cost(self, candidate: Candidate, subject: Subject, facts: Facts) -> int:
        """Of stock and pairs, in atto-dollars."""
        order = candidate.order
        known = self._entries.get(order.client_order_id)
        closing = known.closing if known is not None else self._closing(candidate, subject.account_id)
        if closing and order.filled_qty.raw:
            closing = max(closing - nanos(order.filled_qty), 0)
        opens = candidate.leg.units - closing
        if opens <= 0:
            return 0
        if candidate.cost is None or candidate.units is None:
            raise NoPrice(candidate)
        unit, least = candidate.cost, self._least(candidate)
        cost = opens * (least if least > unit else unit) * facts.size
        if known is None:
            entry = Entry(order, subject.account_id, closing, least, cost, lent=facts.lent_on)
            self._judged = candidate, entry, self._purses[subject.account_id]
        if candidate.before is not None and known is not None:
            cost -= known.amount
        return cost if cost > 0 else 0

    def _least(self, candidate: Candidate) -> int:
        """What a unit costs at least, besides its own price, in nano-dollars."""
        order = candidate.order
        if not candidate.buy:
            _, ask, _ = self._prices.quote(candidate.instrument_id)
            reference = ask if ask is not None else self._prices.market(candidate.instrument_id, buy=True)
            return 0 if reference is None else -(-reference * 103 // 100)
        if order.order_type == _STOP:
            # Alpaca turns a buy stop into a stop-limit that far above the stop: below 50 dollars, and from there on.
            stop = nanos(order.trigger_price)
            if candidate.before is not None and candidate.cost is not None:
                stop = candidate.cost  # where its trigger would be
            return -(-stop * (1040 if stop < _FIFTY else 1025) // 1000)
        return 0

    def _amount(self, entry: Entry) -> int:
        reservation = self._reservations.get(entry.order.client_order_id)
        leg = self._working.other(entry.order) if reservation is None else reservation.leg()
        if entry.whole is not None:
            return -(-entry.whole * leg.units // entry.units)
        closing = max(entry.closing - nanos(entry.order.filled_qty), 0) if entry.closing else 0
        opens = leg.units - closing
        if opens <= 0:
            return 0
        unit = entry.least if leg.worth is None else max(leg.worth, entry.least)
        return opens * unit * self._instruments.of(entry.order.instrument_id).size

    def _adopt(self, client_order_id: Any) -> Entry | None:
        """An order that the gate has not judged: made elsewhere, or before a restart."""
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or order.account_id is None or not (order.is_open or order.is_inflight):
            return None
        leg = self._working.other(order)
        filled = nanos(order.filled_qty)
        facts = self._instruments.get(order.instrument_id)
        limit = nanos(order.price) if order.has_price else None
        candidate = Candidate(
            order, leg.units + filled, self._prices.order(order), worth=leg.worth, limit=limit, facts=facts
        )
        closing = self._closing(candidate, order.account_id) + filled
        # The broker's figures are asked for after the orders that are open already.
        entry = Entry(order, order.account_id, closing, self._least(candidate), seen=True)
        if facts is not None and facts.option and candidate.leg.units > 0:
            with contextlib.suppress(Uncovered, NoPrice, LookupError):  # else it counts by its price alone
                entry.whole = atto(self._options.cost([candidate], order.account_id))
                entry.units = candidate.leg.units
        elif facts is not None:
            entry.lent = facts.lent_on
        self._entries[client_order_id] = entry
        return entry

    def unseen(self, account_id: Any) -> int:
        """What the broker's last figure can't have had taken off yet, in atto-dollars."""
        return self._purses[account_id].missing
