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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from nautilus_trader.model.enums import InstrumentClass, OrderType

from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code, Denial, percent, text
from runner.risk.collateral import Collateral, Uncovered, is_option, marginable
from runner.risk.exposure import ZERO
from runner.risk.ledger import Ledger
from runner.risk.limits import Bound
from runner.risk.options import NoPrice, OptionOrders, by_root
from runner.risk.positions import Positions
from runner.risk.prices import Prices, multiplier
from runner.risk.reservations import Reservations
from runner.risk.working import Working

Purse = Literal["regt", "cash", "options"]
HALF = Decimal("0.5")
ONE = Decimal(1)
SHORT_MARKUP = Decimal("1.03")
LEAST_EQUITY = Decimal(2000)
# Alpaca turns a buy stop into a stop-limit that far above the stop: below 50 dollars, and from there on.
PROTECTION = (Decimal("1.04"), Decimal("1.025"))
FIFTY = Decimal(50)
# A report that was asked for before an order reached the broker can come after the order's answer, but not so much
# later: no request is waited for any longer.
LATEST_REPORT_NS = 10_000_000_000
_OPTIONS = frozenset({InstrumentClass.OPTION, InstrumentClass.OPTION_SPREAD})
_KEYS: dict[Purse, str] = {
    "regt": "buying_power",
    "cash": "non_marginable_buying_power",
    "options": "options_buying_power",
}


@dataclass(slots=True)
class Entry:
    """One working order: what of it closes, the least that a unit costs, and since when the broker knows it."""

    order: Any
    account_id: Any
    closing: Decimal
    least: Decimal
    amount: Decimal = ZERO
    known_ns: int | None = None
    seen: bool = False
    rate: Decimal = ONE
    """How much of what it costs is the account's own money: half where the rest is lent."""
    whole: Decimal | None = None
    """What an options order costs as a whole, worked out when it passed."""


@dataclass(slots=True)
class Report:
    """The broker's figures (AccountState.info), when they came, and when those before them had."""

    info: Any
    at_ns: int
    before_ns: int


class Power(NamedTuple):
    """What can be spent on one kind of asset, before headroom; `broker` is None where the broker has told nothing."""

    own: Decimal
    broker: Decimal | None
    whole: Decimal
    """What headroom is a part of: the power of the equity, with nothing held."""

    @property
    def available(self) -> Decimal:
        return self.own if self.broker is None or self.own < self.broker else self.broker


class Margin:
    """Keeps what every working order costs, by events; a decision adds up nothing but the figures of its account."""

    def __init__(
        self,
        *,
        cache: Any,
        ledger: Ledger,
        collateral: Collateral,
        positions: Positions,
        working: Working,
        reservations: Reservations,
        prices: Prices,
        clock: Any,
    ) -> None:
        self._cache = cache
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
        self._reserved: dict[Any, Decimal] = {}  # by account: what orders cost
        self._own: dict[Any, Decimal] = {}  # and how much of it is the account's own money
        self._unseen: dict[Any, dict[Any, tuple[Decimal, int | None]]] = {}
        self._reports: dict[Any, Report] = {}
        # What was worked out of the last order that was judged, until anything happens to any order: it, what of it
        # closes, the least that a unit costs, and the rate.
        self._judged: tuple[Candidate, Decimal, Decimal, Decimal] | None = None

    # -- events ------------------------------------------------------------------------------------------------------

    def reserve(self, candidate: Candidate, subject: Subject) -> None:
        """An order passed. To be called before the reservation is made."""
        if not self.enabled:
            return
        order, judged = candidate.order, self._judged
        if judged is not None and judged[0] is candidate:
            _, closing, least, rate = judged
            self._entries[order.client_order_id] = Entry(order, subject.account_id, closing, least, rate=rate)
            return
        entry = Entry(order, subject.account_id, self.closing(candidate, subject), self._least(candidate))
        instrument = self._cache.instrument(candidate.instrument_id)
        if instrument is not None and instrument.instrument_class in _OPTIONS:
            entry.whole = self._whole(candidate, subject)
        elif instrument is not None and marginable(instrument):
            entry.rate = HALF
        self._entries[order.client_order_id] = entry

    def _whole(self, candidate: Candidate, subject: Subject) -> Decimal:
        try:
            return self._options_cost([candidate], subject)
        except (Uncovered, NoPrice):
            return ZERO  # a leg of a list that was judged as a whole, or an order that closes

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
        order, account_id = entry.order, entry.account_id
        amount = ZERO if order.is_closed else self._amount(entry)
        more = amount - entry.amount
        if more:
            self._reserved[account_id] = self._reserved.get(account_id, ZERO) + more
            self._own[account_id] = self._own.get(account_id, ZERO) + more * entry.rate
            entry.amount = amount
        now_ns = self._clock.timestamp_ns()
        if entry.known_ns is None and order.venue_order_id is not None:
            entry.known_ns = now_ns
        if order.is_closed:
            del self._entries[client_order_id]
        if account_id not in self._reports:
            return  # nobody tells figures that could lack it
        unseen = self._unseen.setdefault(account_id, {})
        if order.is_closed and not order.filled_qty:
            unseen.pop(client_order_id, None)
            return
        before = unseen.get(client_order_id, (ZERO, None))[0]
        if entry.seen and more > 0:
            # A modification adds to what the broker knows.
            unseen[client_order_id] = (before + more, now_ns)
        elif not entry.seen and (amount or client_order_id in unseen):
            # What was filled of it stays missing in the broker's figure until the next report.
            unseen[client_order_id] = (max(before, amount), now_ns if order.is_closed else entry.known_ns)

    def on_account(self, event: Any) -> None:
        """The broker told the account's figures."""
        info = event.info or {}
        account_id, now_ns = event.account_id, self._clock.timestamp_ns()
        last = self._reports.get(account_id)
        before_ns = 0 if last is None else last.at_ns
        self._reports[account_id] = Report(info, now_ns, before_ns)
        unseen = self._unseen.get(account_id, {})
        for client_order_id, (_, known_ns) in list(unseen.items()):
            if known_ns is None or (known_ns >= before_ns and now_ns - known_ns < LATEST_REPORT_NS):
                continue
            del unseen[client_order_id]
            if (entry := self._entries.get(client_order_id)) is not None:
                entry.seen = True

    # -- figures -----------------------------------------------------------------------------------------------------

    def reserved(self, account_id: Any) -> Decimal:
        """What working orders hold."""
        return self._reserved.get(account_id, ZERO)

    def power(self, account_id: Any, purse: Purse) -> Power | None:
        """What is left to spend on one kind of asset; None where the account's equity is not known."""
        equity = self._ledger.equity(account_id)
        if equity is None:
            return None
        report = self._reports.get(account_id)
        info = {} if report is None else report.info
        excess = max(equity - self._collateral.burden(account_id), ZERO)
        own_money = self._own.get(account_id, ZERO)
        if purse == "regt" and not self._levered(account_id, equity):
            purse = "cash"
        if purse == "regt":
            own, whole = (excess - own_money) * 2, equity * 2
        elif purse == "options":
            own, whole = excess - own_money, equity
        else:
            reserved = self._reserved.get(account_id, ZERO)
            own, whole = min(self._ledger.cash(account_id), excess) - reserved, equity
        told = info.get(_KEYS[purse])
        broker = None if told is None else Decimal(str(told)) - self.unseen(account_id)
        return Power(own, broker, whole)

    def levered(self, account_id: Any) -> bool:
        """Whether the broker lends: a margin account, with the least equity that one needs."""
        return self._levered(account_id, self._ledger.equity(account_id))

    def _levered(self, account_id: Any, equity: Decimal | None) -> bool:
        if equity is None or equity < LEAST_EQUITY:
            return False
        report = self._reports.get(account_id)
        told = None if report is None else report.info.get("multiplier")
        if told is None:
            return bool(self._cache.account(account_id).is_margin_account)
        return Decimal(str(told)) > 1

    def used(self) -> Iterator[tuple[Any, Decimal]]:
        """Each account with the fraction of its buying power that is in use."""
        for account_id in self._collateral.known():
            power = self.power(account_id, "regt")
            if power is not None and power.whole > 0:
                yield account_id, ONE - max(power.available, ZERO) / power.whole

    # -- judging -----------------------------------------------------------------------------------------------------

    def closing(self, candidate: Candidate, subject: Subject) -> Decimal:
        """How much of an order closes what is held, less what other orders close already."""
        if candidate.order.parent_order_id is not None and candidate.leg.qty:
            parent = self._cache.order(candidate.order.parent_order_id)
            if parent is None or parent.side != candidate.order.side:
                return candidate.leg.qty  # an exit of its own entry
        position = self._positions.qty(candidate.instrument_id, subject.account_id)
        if not position or (position > 0) == candidate.buy:
            return ZERO
        others = ZERO
        for leg in self._working.legs(candidate.instrument_id, subject.account_id):
            if leg.buy == candidate.buy and leg.order.client_order_id != candidate.order.client_order_id:
                others += leg.qty
        return min(candidate.leg.qty, max(abs(position) - others, ZERO))

    def check_closing(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        """Of options that close or hedge: selling the cover of a short put asks for money, and so may closing a
        spread. Headroom is not kept for that.
        """
        options = [candidate for candidate in candidates if is_option(candidate.instrument_id)]
        if not options:
            return None
        return self.check(options, subject, Bound(ZERO, ""))

    def check(self, candidates: Sequence[Candidate], subject: Subject, headroom: Bound) -> Denial | None:
        """Whether what these open can be paid for, a list as a whole, a modification by what it adds."""
        costs: dict[Purse, Decimal] = {}
        options: list[Candidate] = []
        try:
            for candidate in candidates:
                instrument = self._cache.instrument(candidate.instrument_id)
                if instrument is None:
                    raise LookupError(f"{candidate.instrument_id} is not in the cache")
                if instrument.instrument_class in _OPTIONS:
                    options.append(candidate)
                    continue
                lent = marginable(instrument)
                cost = self._cost(candidate, subject, instrument, HALF if lent else ONE)
                if cost and not candidate.buy and not self.levered(subject.account_id):
                    return Denial(
                        Code.MARGIN_INSUFFICIENT,
                        f"{candidate.words} opens a short, which needs a margin account and {text(LEAST_EQUITY)} of "
                        "equity",
                    )
                if cost:
                    purse: Purse = "regt" if lent else "cash"
                    costs[purse] = costs.get(purse, ZERO) + cost
            for own in by_root(options) if options else ():
                costs["options"] = costs.get("options", ZERO) + self._options_cost(own, subject)
            return self._afford(costs, candidates[0], subject, headroom)
        except Uncovered as error:
            return Denial(Code.MARGIN_UNCOVERED, f"{candidates[0].words}: {error}")
        except NoPrice as error:
            return Denial(Code.NO_PRICE, str(error))

    def _afford(
        self, costs: dict[Purse, Decimal], first: Candidate, subject: Subject, headroom: Bound
    ) -> Denial | None:
        for purse, cost in costs.items():
            power = self.power(subject.account_id, purse)
            if power is None:
                return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
            kept = power.whole * headroom.value
            if cost <= power.available - kept:
                continue
            told = "" if power.broker is None else f", {text(power.broker)} by the broker's figures"
            less = f" and {percent(headroom.value)} ({text(kept)}) is kept by {headroom.where}" if kept else ""
            return Denial(
                Code.MARGIN_INSUFFICIENT,
                f"{first.words} costs {text(cost)} of buying power; "
                f"available are {text(power.own)} by our own computation{told}{less}",
            )
        return None

    def refused(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        """Why the venue takes no such order of options, be it that it closes."""
        report = self._reports.get(subject.account_id)
        level = 3 if report is None else int(str(report.info.get("options_trading_level", 3)))
        return self._options.refused(candidates, subject.account_id, level)

    def _options_cost(self, candidates: Sequence[Candidate], subject: Subject) -> Decimal:
        cost = self._options.cost(candidates, subject.account_id)
        own = (candidate.order.client_order_id for candidate in candidates)
        return max(cost - sum((self._entries[each].amount for each in own if each in self._entries), ZERO), ZERO)

    def _cost(self, candidate: Candidate, subject: Subject, instrument: Any, rate: Decimal) -> Decimal:
        known = self._entries.get(candidate.order.client_order_id)
        closing = known.closing if known is not None else self.closing(candidate, subject)
        if candidate.order.filled_qty:
            closing = max(closing - candidate.order.filled_qty.as_decimal(), ZERO)
        opens = candidate.leg.qty - closing
        if opens <= 0:
            return ZERO
        if candidate.price is None or candidate.qty is None:
            raise NoPrice(candidate)
        unit, least = candidate.price, self._least(candidate)
        if known is None:
            self._judged = candidate, closing, least, rate
        cost = opens * (least if least > unit else unit) * multiplier(instrument)
        if candidate.before is not None:
            cost -= known.amount if known is not None else ZERO
        return cost if cost > ZERO else ZERO

    def _least(self, candidate: Candidate) -> Decimal:
        """What a unit costs at least, besides its own price."""
        order = candidate.order
        if not candidate.buy:
            _, ask, _ = self._prices.quote(candidate.instrument_id)
            reference = ask if ask is not None else self._prices.market(candidate.instrument_id, buy=True)
            return ZERO if reference is None else reference * SHORT_MARKUP
        if order.order_type == OrderType.STOP_MARKET:
            stop: Decimal = order.trigger_price.as_decimal()
            return stop * (PROTECTION[0] if stop < FIFTY else PROTECTION[1])
        return ZERO

    def _amount(self, entry: Entry) -> Decimal:
        reservation = self._reservations.get(entry.order.client_order_id)
        leg = self._working.other(entry.order) if reservation is None else reservation.leg()
        if entry.whole is not None:
            quantity: Decimal = entry.order.quantity.as_decimal()
            return entry.whole * leg.qty / quantity
        closing = max(entry.closing - entry.order.filled_qty.as_decimal(), ZERO) if entry.closing else ZERO
        opens = leg.qty - closing
        if opens <= 0:
            return ZERO
        instrument = self._cache.instrument(entry.order.instrument_id)
        if instrument is None:
            raise LookupError(f"{entry.order.instrument_id} is not in the cache")
        unit = entry.least if leg.price is None else max(leg.price, entry.least)
        return opens * unit * multiplier(instrument)

    def _adopt(self, client_order_id: Any) -> Entry | None:
        """An order that the gate has not judged: made elsewhere, or before a restart."""
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or order.account_id is None or not (order.is_open or order.is_inflight):
            return None
        leg = self._working.other(order)
        limit = order.price.as_decimal() if order.has_price else None
        candidate = Candidate(
            order, leg.qty + order.filled_qty.as_decimal(), self._prices.order(order), limit=limit, worth=leg.price
        )
        subject = Subject(order.account_id, order.strategy_id, "", "", None)  # type: ignore[arg-type]
        closing = self.closing(candidate, subject) + order.filled_qty.as_decimal()
        # The broker's figures are asked for after the orders that are open already.
        entry = Entry(order, order.account_id, closing, self._least(candidate), seen=True)
        instrument = self._cache.instrument(order.instrument_id)
        if instrument is not None and instrument.instrument_class not in _OPTIONS and marginable(instrument):
            entry.rate = HALF
        self._entries[client_order_id] = entry
        return entry

    def unseen(self, account_id: Any) -> Decimal:
        """What the broker's last figure can't have had taken off yet."""
        unseen = self._unseen.get(account_id)
        return sum((amount for amount, _ in unseen.values()), ZERO) if unseen else ZERO
