"""What accounts and strategies are exposed to, positions and working orders together, by Nautilus's ids.

The engine's book adds it up change by change, exactly; here it is told what changed and asked about candidates. Gross
exposure is Σ over instruments of what each could become, at the orders' own prices, the rest at the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from runner._engine import ExposureBook, ExposureBounds, ExposureBreach
from runner.risk.candidate import Candidate, Finder, Subject
from runner.risk.codes import Code, Denial, percent, text
from runner.risk.exposure import ZERO, Leg, atto, decimal, nano, nanos_below, released, usd
from runner.risk.ledger import Ledger
from runner.risk.limits import Bound
from runner.risk.prices import Prices, whole_multiplier
from runner.risk.self_match import exempt

Row = tuple[str, int, bool, int | None, int | None, str | None]
"""A candidate as the book has it."""
_NO_BOUNDS = ExposureBounds()


class Outlook(NamedTuple):
    """What candidates would do, by the book: see `ExposureBook.look`."""

    rows: list[Row]
    reduces: bool
    met: list[str | None]
    bounds: ExposureBounds | None
    """What `breach` is of; None where some of it is a fraction of the equity, which only what opens is held against."""
    breach: ExposureBreach | None
    new: bool


class _Numbers(dict[Any, int]):
    """Ids by small numbers, in the order in which they came."""

    def __missing__(self, id_: Any) -> int:
        number = self[id_] = len(self)
        return number


class Exposures:
    """Of every account and strategy that ever held or ordered anything."""

    def __init__(self, cache: Any, prices: Prices, ledger: Ledger) -> None:
        self.book = ExposureBook()
        self._cache = cache
        self._prices = prices
        self._ledger = ledger
        self._accounts = _Numbers()
        self._strategies = _Numbers()
        self._instruments: dict[Any, int] = {}
        self._ids: list[Any] = []  # of the instruments, by number
        self._unknown: set[int] = set()  # those that the cache did not have when they were asked for
        self._marks: dict[tuple[int, bool], int | None] = {}
        self._holders: dict[Any, set[tuple[Any, Any]]] = {}
        self._moved: set[Any] = set()

    # -- what changed ------------------------------------------------------------------------------------------------

    def take_up(self) -> None:
        """Look all positions up anew."""
        self._moved.update(self._holders, (position.instrument_id for position in self._cache.positions_open()))

    def touch(self, instrument_id: Any) -> None:
        """A position changed."""
        self._moved.add(instrument_id)

    def put(self, leg: Leg, account_id: Any) -> None:
        """An order works; again where anything of it changed."""
        order = leg.order
        number = self._instruments.get(leg.instrument_id)
        self.book.put(
            order.client_order_id.value,
            self._accounts[account_id],
            self._strategies[order.strategy_id],
            self._declare(leg.instrument_id) if number is None else number,
            leg.buy,
            leg.units if leg.plain else released(leg, self._cache.order),
            leg.worth,
            nanos_below(order.price) if order.has_price else None,
            not leg.plain or exempt(order),
            leg.group,
        )

    def drop(self, client_order_id: Any) -> None:
        self.book.drop(client_order_id.value)

    def mark(self) -> None:
        """Look at the prices of everything that is held or ordered."""
        self._sync()
        for number in self.book.instruments():
            self._look(number)

    # -- what is -----------------------------------------------------------------------------------------------------

    def total(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The gross exposure now. Raises LookupError where a price that it needs is unknown."""
        self._sync()
        whose = self._accounts[account_id], None if strategy_id is None else self._strategies[strategy_id]
        tried: set[int] = set()
        while True:
            try:
                return usd(self.book.total(*whose))
            except LookupError as error:
                number = error.args[0]
                if number in tried:
                    raise LookupError(self._missing(number)) from None
                tried.add(number)
                self._look(number)

    def largest(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The largest part of the total: one instrument's."""
        self.total(account_id, strategy_id)
        strategy = None if strategy_id is None else self._strategies[strategy_id]
        return usd(self.book.largest(self._accounts[account_id], strategy))

    def count(self, account_id: Any = None, strategy_id: Any = None) -> int:
        """How many orders work: of one account, of one strategy on it, or of all."""
        account = None if account_id is None else self._accounts[account_id]
        return self.book.orders(account, None if strategy_id is None else self._strategies[strategy_id])

    def side(self, instrument_id: Any, account_id: Any, *, buy: bool, rows: Sequence[Row] = ()) -> Decimal:
        """The quantity that one side's orders could fill, with those of the candidates."""
        return decimal(self.book.side(self._accounts[account_id], self._instrument(instrument_id), buy, rows))

    # -- candidates --------------------------------------------------------------------------------------------------

    def rows(self, candidates: Sequence[Candidate]) -> list[Row]:
        """Candidates as the book has them, once what it knows of their instruments is as of now."""
        if self._moved:
            self._sync()
        rows: list[Row] = []
        for candidate in candidates:
            leg = candidate.leg
            number = self._instruments.get(leg.instrument_id)
            if number is None or number in self._unknown:
                number = self._declare(leg.instrument_id)
            self._price(number, leg.instrument_id, leg.buy)
            if candidate.units is None:
                units = None
            else:
                units = leg.units if leg.plain else released(leg, Finder(candidates, self._cache).get)
            rows.append((leg.order.client_order_id.value, number, leg.buy, units, leg.worth, leg.group))
        return rows

    def outlook(self, candidates: Sequence[Candidate], subject: Subject, *, new: bool = True) -> Outlook:
        """What they would do to the positions and orders that are; `new`: they are no modifications."""
        rows = self.rows(candidates)
        bounds = subject.rules.bounds if new else subject.rules.bounds_of_changes
        reduces, met, breach = self.book.look(
            self._accounts[subject.account_id],
            self._strategies[subject.strategy_id],
            rows,
            [candidate.limit for candidate in candidates],
            bounds or _NO_BOUNDS,
        )
        return Outlook(rows, reduces, met, bounds, breach, new)

    def check(self, candidates: Sequence[Candidate], outlook: Outlook, subject: Subject) -> tuple[Denial, Any] | None:
        """Hold candidates against the limits on positions, gross exposure and (where they are new) open orders.

        A denial with the order that it is about. Raises LookupError for an instrument that is not in the cache,
        ValueError for what is too large to be added up.
        """
        rows, bounds, breach = outlook.rows, outlook.bounds, outlook.breach
        account, strategy = self._accounts[subject.account_id], self._strategies[subject.strategy_id]
        if bounds is None:
            of_equity = self._bounds(subject, new=outlook.new)
            if isinstance(of_equity, Denial):
                return of_equity, candidates[0].order
            bounds = of_equity
            breach = self.book.check(account, strategy, rows, bounds)
        if self._unknown and (missing := next((row[1] for row in rows if row[1] in self._unknown), None)) is not None:
            raise LookupError(self._missing(missing))
        if breach is None:
            return None
        tried: set[int] = set()
        while breach is not None and breach.instrument is not None and breach.instrument not in tried:
            tried.add(breach.instrument)
            self._look(breach.instrument)  # its price may have arrived in the meantime
            breach = self.book.check(account, strategy, rows, bounds)
        if breach is None:
            return None
        if breach.kind == "overflow":
            raise ValueError("it is more than can be added up")
        candidate = candidates[breach.candidate]
        return self._denial(breach, candidate, len(candidates), subject), candidate.order

    def _denial(self, breach: ExposureBreach, candidate: Candidate, orders: int, subject: Subject) -> Denial:
        rules = subject.rules
        if breach.kind in ("position", "position_unpriced"):
            bound = rules.position_of_account if breach.level == "account" else rules.position_of_strategy
            assert bound is not None
            if breach.kind == "position_unpriced":
                return no_price(candidate, bound)
            return Denial(
                Code.MAX_POSITION_NOTIONAL,
                f"{candidate.words} could take the position to {text(usd(breach.after))} (held "
                f"{text(decimal(breach.before))}, working {'buys' if candidate.buy else 'sells'} "
                f"{text(decimal(breach.working))}), more than the {named(bound)}",
            )
        if breach.kind == "open_orders":
            scope, most = rules.open_orders[breach.bound]
            return Denial(
                Code.MAX_OPEN_ORDERS,
                f"{orders} more beside {breach.working} that work is over the {most} of "
                f"{scope.section}.max_open_orders",
            )
        scope, limit = rules.gross[breach.bound]
        where = f"{scope.section}.max_gross_exposure"
        if breach.instrument is not None:
            return Denial(Code.NO_PRICE, f"{where} can't be judged: {self._missing(breach.instrument)}")
        shown = text(self._most(limit, self._measured(scope.kind, subject)) or ZERO)
        if limit.fraction is not None:
            shown += f" ({percent(limit.fraction)})"
        return Denial(
            Code.MAX_GROSS_EXPOSURE,
            f"{candidate.words} could take the gross exposure from {text(usd(breach.before))} to "
            f"{text(usd(breach.after))}, more than the {shown} of {where}",
        )

    def _bounds(self, subject: Subject, *, new: bool) -> ExposureBounds | Denial:
        """Those of the rules where a limit is a fraction of the equity."""
        gross = []
        for scope, limit in subject.rules.gross:
            most = self._most(limit, self._measured(scope.kind, subject))
            if most is None:
                return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
            gross.append((scope.kind, atto(most)))
        return subject.rules.bounds_with(gross, new=new)

    def _measured(self, kind: str, subject: Subject) -> list[Any]:
        """The accounts whose equity a limit is a fraction of."""
        if kind != "node":
            return [subject.account_id]
        others = (account.id for account in self._cache.accounts() if account.id != subject.account_id)
        return [subject.account_id, *others]

    def _most(self, limit: Any, accounts: list[Any]) -> Decimal | None:
        if limit.fraction is None:
            return limit.amount  # type: ignore[no-any-return]
        equity = self._ledger.equities(accounts)
        return None if equity is None else max(equity, ZERO) * limit.fraction

    # -- telling the book --------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        while self._moved:
            instrument_id = self._moved.pop()
            try:
                self._tell(instrument_id)
            except Exception:
                self._moved.add(instrument_id)
                raise

    def _tell(self, instrument_id: Any) -> None:
        held: dict[tuple[Any, Any], tuple[Decimal, Decimal]] = {}
        for position in self._cache.positions_open(instrument_id=instrument_id):
            qty = position.signed_decimal_qty()
            opened_at = Decimal(str(position.avg_px_open))
            for strategy_id in (None, position.strategy_id):
                key = (position.account_id, strategy_id)
                before = held.get(key)
                held[key] = (qty, opened_at) if before is None else (before[0] + qty, before[1])
        number = self._instrument(instrument_id)
        for key in self._holders.get(instrument_id, set()) | held.keys():
            account_id, strategy_id = key
            qty, opened_at = held.get(key, (ZERO, ZERO))
            strategy = None if strategy_id is None else self._strategies[strategy_id]
            self.book.hold(
                self._accounts[account_id], strategy, number, nano(qty), nano(opened_at) if opened_at else None
            )
        self._holders[instrument_id] = set(held)

    def _look(self, number: int) -> None:
        instrument_id = self._ids[number]
        if number in self._unknown:
            self._declare(instrument_id)
        self._price(number, instrument_id, True)
        self._price(number, instrument_id, False)

    def _price(self, number: int, instrument_id: Any, buy: bool) -> None:
        price = self._prices.worth(instrument_id, self._prices.market(instrument_id, buy=buy))
        key = (number, buy)
        if price != self._marks.get(key):
            self.book.mark(number, buy, price)
            self._marks[key] = price

    def _instrument(self, instrument_id: Any) -> int:
        number = self._instruments.get(instrument_id)
        return self._declare(instrument_id) if number is None else number

    def _declare(self, instrument_id: Any) -> int:
        number = self._instruments.get(instrument_id)
        if number is None:
            number = self._instruments[instrument_id] = len(self._ids)
            self._ids.append(instrument_id)
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            self._unknown.add(number)
            self.book.declare(number, None)
            return number
        of = whole_multiplier(instrument)
        self._unknown.discard(number)
        self.book.declare(number, of)
        self._look(number)
        return number

    def _missing(self, number: int) -> str:
        instrument_id = self._ids[number]
        if number in self._unknown:
            return f"{instrument_id} is not in the cache"
        return f"no price of {instrument_id} is known"


def no_price(candidate: Candidate, bound: Bound) -> Denial:
    """The denial where a limit can't be held against an order of unknown worth."""
    return Denial(
        Code.NO_PRICE,
        f"{candidate.words} can't be held against {named(bound)}: no quote, trade or bar has arrived yet",
    )


def named(bound: Bound) -> str:
    """A limit as it stands in the file."""
    return f"{text(bound.value)} of {bound.where}"
