"""The engine's book, by Nautilus's ids: what is held, what works, what it takes of the buying power, and the numbers of
a decision.

The engine adds up change by change, exactly; here it is told what changed and asked about candidates. Gross exposure is
Σ over instruments of what each could become, at the orders' own prices, the rest at the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderType
from nautilus_trader.model.identifiers import generic_spread_id_to_list, is_generic_spread_id

from runner._engine import RiskBook, RiskFault, RiskLook, RiskOrder
from runner.risk.candidate import Candidate, Finder, Subject
from runner.risk.codes import Code, Denial
from runner.risk.collateral import lent_rates
from runner.risk.exposure import ZERO, Leg, atto, beyond, decimal, nano, nanos, nanos_below, released, usd
from runner.risk.ledger import Ledger
from runner.risk.limits import I128
from runner.risk.prices import TRAILING, Prices, whole_multiplier
from runner.risk.quotes import of_spread
from runner.risk.self_match import exempt

_MARKET, _LIMIT, _TRIGGER = 0, 1, 2  # what an order's price is held to
_HELD_TO = {
    OrderType.MARKET: _MARKET,
    OrderType.MARKET_TO_LIMIT: _MARKET,
    OrderType.STOP_LIMIT: _TRIGGER,
    OrderType.TRAILING_STOP_LIMIT: _TRIGGER,
}
#: As the engine has them, and whether they trail.
_KINDS = {kind: (int(kind), _HELD_TO.get(kind, _LIMIT), kind in TRAILING) for kind in OrderType}
_ELSEWHERE, _CASH, _REGT = 0, 1, 2  # what an order is paid from


class _Numbers(dict[Any, int]):
    """Ids by small numbers, in the order in which they came."""

    def __missing__(self, id_: Any) -> int:
        number = self[id_] = len(self)
        return number


class Book:
    """Of every account and strategy that ever held or ordered anything."""

    def __init__(self, cache: Any, prices: Prices, ledger: Ledger) -> None:
        self.engine = RiskBook()
        self._cache = cache
        self._prices = prices
        self._ledger = ledger
        self._accounts = _Numbers()
        self._strategies = _Numbers()
        self._instruments: dict[Any, int] = {}
        self._ids: list[Any] = []  # of the instruments, by number
        self._declared: dict[int, Any] = {}  # as the cache had them then
        self._sizes: dict[int, int] = {}  # what their contracts are of
        self._unknown: dict[int, str] = {}  # those that can't be counted, and why not: not in the cache when asked for
        self._spreads: set[int] = set()  # those that are several contracts at once
        self._quotes: dict[int, Any] = {}  # the last that the engine was told of
        self._holders: dict[Any, set[tuple[Any, Any]]] = {}
        self._moved: set[Any] = set()

    def account(self, account_id: Any) -> int:
        """The engine's number for it."""
        return self._accounts[account_id]

    def lends(self, account_id: Any) -> bool:
        """Whether the broker lends to it. Raises ValueError where it told what is no number."""
        return self.engine.levered(self._accounts[account_id])

    def instrument(self, instrument_id: Any) -> int:
        """The engine's number for it."""
        number = self._instruments.get(instrument_id)
        return self._declare(instrument_id) if number is None or number in self._unknown else number

    # -- what changed ------------------------------------------------------------------------------------------------

    def take_up(self) -> None:
        """Look all positions up anew."""
        self._moved.update(self._holders, (position.instrument_id for position in self._cache.positions_open()))

    def touch(self, instrument_id: Any) -> None:
        """A position changed."""
        self._moved.add(instrument_id)

    def take(
        self,
        candidates: Sequence[Candidate],
        wholes: Sequence[int | None],
        subject: Subject,
        now_ns: int,
        *,
        counted: int,
    ) -> None:
        """Orders passed as one command: their room is taken, and the first `counted` of them count for the rates, and
        as doubles of later ones. `wholes`: what each costs in atto-dollars, where its price does not tell.
        """
        account, strategy = self._accounts[subject.account_id], self._strategies[subject.strategy_id]
        rows = [candidate.row or self.rows([candidate])[0] for candidate in candidates]
        self.engine.take(account, strategy, subject.rules.engine, rows, wholes, counted, now_ns)

    def modified(self, candidate: Candidate, subject: Subject, now_ns: int) -> None:
        """A modification passed: it counts for the rates."""
        rows = [] if candidate.row is None else [candidate.row]
        self.engine.count(self._strategies[subject.strategy_id], subject.rules.engine, rows, now_ns)

    def put(self, leg: Leg, account_id: Any) -> None:
        """An order works; again where anything of it changed."""
        order, limit, number = leg.order, leg.limit, self.instrument(leg.instrument_id)
        if limit is None and order.has_price:
            limit = nanos(order.price) if leg.buy else nanos_below(order.price)
        self.engine.put(
            order.client_order_id.value,
            self._accounts[account_id],
            self._strategies[order.strategy_id],
            number,
            leg.buy,
            leg.units if leg.plain else released(leg, self._cache.order),
            leg.worth,
            limit,
            not leg.plain or exempt(order),
            leg.group,
            self._legs(leg.instrument_id) if number in self._spreads else (),
        )

    def drop(self, client_order_id: Any) -> None:
        self.engine.drop(client_order_id.value)

    def mark(self) -> None:
        """Look at the prices of everything that is held or ordered, and at what it is of."""
        self.sync()
        for number in self.engine.instruments():
            instrument_id = self._ids[number]
            if self._declared.get(number) is not self._cache.instrument(instrument_id):
                self._declare(instrument_id)  # it was put there anew
            self._mark(number)

    def sync(self) -> None:
        """Tell the engine what is held now of everything that moved."""
        while self._moved:
            instrument_id = self._moved.pop()
            try:
                self._tell(instrument_id)
            except Exception:
                self._moved.add(instrument_id)
                raise

    # -- what is -----------------------------------------------------------------------------------------------------

    def total(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The gross exposure now. Raises LookupError where a price that it needs is unknown."""
        self.sync()
        whose = self._accounts[account_id], None if strategy_id is None else self._strategies[strategy_id]
        tried: set[int] = set()
        while True:
            try:
                return usd(self.engine.total(*whose))
            except LookupError as error:
                number = error.args[0]
                if number in tried:
                    raise LookupError(self.missing(number)) from None
                tried.add(number)
                self._mark(number)

    def largest(self, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The largest part of the total: one instrument's."""
        self.total(account_id, strategy_id)
        strategy = None if strategy_id is None else self._strategies[strategy_id]
        return usd(self.engine.largest(self._accounts[account_id], strategy))

    def count(self, account_id: Any = None, strategy_id: Any = None) -> int:
        """How many orders work: of one account, of one strategy on it, or of all."""
        account = None if account_id is None else self._accounts[account_id]
        return self.engine.orders(account, None if strategy_id is None else self._strategies[strategy_id])

    def side(self, instrument_id: Any, account_id: Any, *, buy: bool, orders: Sequence[RiskOrder] = ()) -> Decimal:
        """The quantity that one side's orders could fill, with those of the candidates and without those of spreads."""
        return decimal(self.engine.side(self._accounts[account_id], self.instrument(instrument_id), buy, orders))

    def instrument_id(self, number: int) -> Any:
        """Nautilus's id of it."""
        return self._ids[number]

    def missing(self, number: int) -> str:
        """What is not known of an instrument, in words."""
        return self._unknown.get(number) or f"no price of {self._ids[number]} is known"

    # -- candidates --------------------------------------------------------------------------------------------------

    def rows(self, candidates: Sequence[Candidate]) -> list[RiskOrder]:
        """Candidates as the engine has them, once what it knows of their instruments is as of now."""
        if self._moved:
            self.sync()
        return [self._row(candidate, candidates) for candidate in candidates]

    def look(
        self,
        candidates: Sequence[Candidate],
        subject: Subject,
        now_ns: int,
        checks: int = RiskBook.NEW_ORDER,
    ) -> RiskLook:
        """What they would do to what is. Raises ValueError for what is too large to be added up."""
        return self.look_at(self.rows(candidates), subject, now_ns, checks)

    def look_at(
        self,
        orders: list[RiskOrder],
        subject: Subject,
        now_ns: int,
        checks: int,
        gross: Sequence[tuple[str, int]] | None = None,
    ) -> RiskLook:
        """The same of rows that were made already. `gross`: the bounds on gross exposure in atto-dollars, where the
        rules have fractions of the equity.
        """
        account, strategy = self._accounts[subject.account_id], self._strategies[subject.strategy_id]
        rules = subject.rules.engine
        look = self.engine.look(account, strategy, rules, orders, now_ns, checks, gross)
        if look.opening is None:
            return look
        tried: set[int] = set()
        while isinstance(fault := look.opening, RiskFault.GrossUnpriced) and fault.instrument not in tried:
            tried.add(fault.instrument)
            self._mark(fault.instrument)  # its price may have arrived in the meantime
            look = self.engine.look(account, strategy, rules, orders, now_ns, checks, gross)
        return look

    def closable(self, candidate: Candidate, subject: Subject, *, its_own: bool) -> int:
        """What is there to be closed by an order, besides what others close: of the account's position, and of what its
        strategy holds where that counts too. In billionths.
        """
        place = self._accounts[subject.account_id], self.instrument(candidate.instrument_id), candidate.buy
        name = candidate.order.client_order_id.value
        whole = self.engine.closable(*place, name)
        if not its_own:
            return whole
        return min(whole, self.engine.closable(*place, name, self._strategies[subject.strategy_id]))

    def shrink_its_own(self, orders: list[RiskOrder], subject: Subject) -> bool:
        """Whether they only shrink what their own strategy holds."""
        account, strategy = self._accounts[subject.account_id], self._strategies[subject.strategy_id]
        return self.engine.reduces(account, strategy, orders)

    def gross(self, subject: Subject) -> list[tuple[str, int]] | Denial:
        """The bounds on gross exposure in atto-dollars."""
        bounds: list[tuple[str, int]] = []
        for scope, limit in subject.rules.gross:
            most = self.most(limit, scope.kind, subject)
            if most is None:
                return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
            bounds.append((scope.kind, min(atto(most), I128)))
        return bounds

    def most(self, limit: Any, kind: str, subject: Subject) -> Decimal | None:
        """What a limit comes to at the equity of today; None where that is not known. `kind` of level."""
        if limit.fraction is None:
            return limit.amount  # type: ignore[no-any-return]
        accounts = [subject.account_id]
        if kind == "node":
            accounts += (account.id for account in self._cache.accounts() if account.id != subject.account_id)
        equity = self._ledger.equities(accounts)
        return None if equity is None else max(equity, ZERO) * limit.fraction

    def _row(self, candidate: Candidate, candidates: Sequence[Candidate]) -> RiskOrder:
        order, leg, facts, buy = candidate.order, candidate.leg, candidate.facts, candidate.buy
        instrument_id = leg.instrument_id
        number = self.instrument(instrument_id)
        if facts is not None and self._declared.get(number) is not facts.instrument:
            number = self._declare(instrument_id)
        quote = self._prices.quote(instrument_id)
        spread = number in self._spreads
        if spread:
            self.engine.quote(number, *of_spread(instrument_id, self._prices))
        elif quote is not self._quotes.get(number):
            self._quotes[number] = quote
            self.engine.quote(number, *quote)
        kind, held_to, trails = _KINDS[order.order_type]
        more: dict[str, Any] = {}
        if not leg.plain or exempt(order):
            more = {
                "plain": leg.plain,
                "exempt": exempt(order),
                "group": leg.group,
                "exit": self.is_exit(order, leg),
                "released": leg.units if leg.plain else released(leg, Finder(candidates, self._cache).get),
            }
        if candidate.filled:
            more["filled"] = candidate.filled
        if candidate.trigger is not None:
            more["trigger"] = candidate.trigger
        if trails:
            more["trail"] = nano(order.trailing_offset)
        if candidate.least:
            more["least"] = candidate.least
        if order.is_quote_quantity:
            more["money"] = True
        if candidate.before is not None:
            more["change"] = True
        if spread:
            more["legs"] = self._legs(instrument_id, fresh=True)
        candidate.row = row = RiskOrder(
            order.client_order_id.value,
            number,
            buy,
            kind,
            held_to,
            candidate.asked,
            candidate.units,
            leg.units,
            candidate.cost,
            leg.worth,
            candidate.limit,
            self._market(instrument_id, buy=buy) if spread else self._prices.market(instrument_id, buy=buy),
            _ELSEWHERE if facts is None or facts.option else _REGT if facts.lent_on else _CASH,
            **more,
        )
        return row

    def _legs(self, instrument_id: Any, *, fresh: bool = False) -> list[tuple[int, int, int | None]]:
        """The contracts of a spread with their ratios and what a unit is worth; `fresh`: their marks are as of now."""
        legs = []
        for leg_id, ratio in generic_spread_id_to_list(instrument_id):
            number, middle = self.instrument(leg_id), self._prices.middle(leg_id)
            if fresh:
                self._mark(number)
            legs.append((number, ratio, None if middle is None else nano(middle)))
        return legs

    def is_exit(self, order: Any, leg: Leg) -> bool:
        """Whether it closes what its own entry opens, and no more than that."""
        if order.parent_order_id is None or not leg.units:
            return False
        entry = self._cache.order(order.parent_order_id)
        if entry is None or entry.side == order.side or entry.instrument_id != order.instrument_id:
            return False
        return not beyond(leg, entry)

    # -- telling the engine ------------------------------------------------------------------------------------------

    def _tell(self, instrument_id: Any) -> None:
        held: dict[tuple[Any, Any], tuple[Decimal, Decimal]] = {}
        for position in self._cache.positions_open(instrument_id=instrument_id):
            qty = position.signed_decimal_qty()
            opened_at = Decimal(str(position.avg_px_open))
            for strategy_id in (None, position.strategy_id):
                key = (position.account_id, strategy_id)
                before = held.get(key)
                held[key] = (qty, opened_at) if before is None else (before[0] + qty, before[1])
        number = self.instrument(instrument_id)
        for key in self._holders.get(instrument_id, set()) | held.keys():
            account_id, strategy_id = key
            qty, opened_at = held.get(key, (ZERO, ZERO))
            strategy = None if strategy_id is None else self._strategies[strategy_id]
            self.engine.hold(
                self._accounts[account_id], strategy, number, nano(qty), nano(opened_at) if opened_at else None
            )
        self._holders[instrument_id] = set(held)

    def _mark(self, number: int) -> None:
        instrument_id = self._ids[number]
        if number in self._unknown:
            self._declare(instrument_id)
        for buy in (True, False):
            self.engine.mark(number, buy, self._market(instrument_id, buy=buy))

    def _market(self, instrument_id: Any, *, buy: bool) -> int | None:
        return self._prices.worth(instrument_id, self._prices.market(instrument_id, buy=buy))

    def _declare(self, instrument_id: Any) -> int:
        number = self._instruments.get(instrument_id)
        if number is None:
            number = self._instruments[instrument_id] = len(self._ids)
            self._ids.append(instrument_id)
        instrument = self._declared[number] = self._cache.instrument(instrument_id)
        of, why = None, f"{instrument_id} is not in the cache"
        if instrument is not None:
            try:
                of = whole_multiplier(instrument)
            except ValueError as error:
                why = str(error)
        if spread := is_generic_spread_id(instrument_id):
            self._spreads.add(number)
        self.engine.declare(number, of, spread, None if instrument is None else lent_rates(instrument))
        if of is None:
            self._unknown[number] = why
            return number
        self._sizes[number] = of
        self._unknown.pop(number, None)
        self._mark(number)
        return number
