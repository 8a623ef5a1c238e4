"""What each account and each strategy has made since the gate began: from its own fills and today's prices alone.

The broker's cash is not asked for: it is told a moment after the position has changed, and a loss worked out of the
two would be off by a whole fill in between. Dividends, fees that come at the end of the day and transfers of money are
not in it; shares that come, go or are renamed without a trade do so at their mark, and a split changes no value.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import InstrumentClass

from runner.risk.exposure import ZERO, atto
from runner.risk.prices import ONE, Prices, multiplier

Key = tuple[Any, Any]
"""Account id and strategy id."""
_SPREADS = frozenset({InstrumentClass.OPTION_SPREAD, InstrumentClass.FUTURES_SPREAD})
# Activities that bring or take shares for no money, or for money that the account's figures tell: neither won nor lost.
_UNPAID = frozenset({"ACATS", "FOPT", "JNLS", "MA", "NC", "OPCA", "REORG"})
_SPLITS = frozenset({"SPLIT", "SSO", "SSP"})
# A price that moves by this factor at once may be a split's.
_JUMP = Decimal("1.2")
# How far (a factor) a price may have moved besides, to be taken for a split's all the same.
_BESIDES = Decimal("1.15")
_NANO = Decimal("1e-9")


class _Book:
    __slots__ = ("flow", "given", "qty", "worth")

    def __init__(self) -> None:
        self.flow = ZERO  # what sales brought less what purchases and commissions cost
        self.given = ZERO  # what went less what came without being paid for
        self.worth = ZERO  # Σ quantity × mark
        self.qty: dict[Any, Decimal] = {}


class Ledger:
    """Values in the instruments' currency (USD). A fill costs one step; `mark` looks at all prices anew."""

    def __init__(self, cache: Any, prices: Prices) -> None:
        self._cache = cache
        self._prices = prices
        self._books: dict[Key, _Book] = {}
        self._marks: dict[Any, Decimal] = {}  # of one unit with its multiplier
        # By account: equity and cash when they were last told for certain, with what had been made until then.
        self._equity: dict[Any, tuple[Decimal, Decimal, Decimal, Decimal]] = {}
        # By account: equity and cash, until something moves them; the same in atto-dollars.
        self._now: dict[Any, tuple[Decimal, Decimal]] = {}
        self._attos: dict[Any, tuple[int, int]] = {}
        self._unpriced: set[Any] = set()  # came at no price: the first one that is known is theirs
        self._jumps: dict[Any, Decimal] = {}  # marks of before a jump of today
        self._splits: set[tuple[Any, str]] = set()  # account and activity
        self._ahead: dict[Any, set[Any]] = {}  # by instrument: accounts whose split is in the books before it is told
        self._unsure: dict[Any, tuple[Decimal, Decimal]] = {}  # by instrument: mark before its split, the split's ratio

    def begin(self) -> None:
        """Take up the positions that are open now; what was made before is not counted."""
        self._books.clear()
        self._marks.clear()
        self._equity.clear()
        self._moved()
        for kept in (self._unpriced, self._jumps, self._splits, self._ahead, self._unsure):
            kept.clear()
        for position in self._cache.positions_open():
            book = self._book((position.account_id, position.strategy_id))
            instrument_id = position.instrument_id
            mark = self._mark(instrument_id)
            if mark is None:
                mark = Decimal(str(position.avg_px_open)) * self._multiplier(instrument_id)
            self._marks[instrument_id] = mark
            qty = position.signed_decimal_qty()
            book.qty[instrument_id] = book.qty.get(instrument_id, ZERO) + qty
            book.worth += qty * mark
        for account in self._cache.accounts():
            self._base(account.id)

    def on_fill(self, event: Any) -> bool:
        """Book a fill, all of it or, where that raises, nothing. False for a spread's own, whose legs' fills are booked
        instead.
        """
        instrument_id = event.instrument_id
        instrument = self._cache.instrument(instrument_id)
        if instrument is not None and instrument.instrument_class in _SPREADS:
            return False
        self._moved()
        told = getattr(event, "info", None) or {}
        kind = told.get("activity")
        if kind in _SPLITS and "ratio" in told:
            self._split(event.account_id, instrument_id, Decimal(told["ratio"]), str(told["id"]))
            return True
        is_unpaid = kind in _UNPAID
        if is_unpaid:
            known = self._marks.get(instrument_id) or self._mark(instrument_id)
            if known is None:
                self._unpriced.add(instrument_id)
            paid = known or ZERO
        else:
            paid = event.last_px.as_decimal() * self._multiplier(instrument_id)
        qty: Decimal = event.last_qty.as_decimal()
        signed = qty if event.is_buy else -qty
        flow = signed * paid
        fee, commission = ZERO, event.commission
        if commission is not None and commission.currency == event.currency:
            fee = commission.as_decimal()
        elif (
            commission is not None and instrument is not None and commission.currency == instrument.get_base_currency()
        ):
            signed -= commission.as_decimal()  # of coins that were bought less arrives
        mark = self._marks.get(instrument_id)
        if mark is None:
            mark = self._mark(instrument_id) or paid
        worth = signed * mark
        book = self._book((event.account_id, event.strategy_id))
        book.qty[instrument_id] = book.qty.get(instrument_id, ZERO) + signed
        self._marks[instrument_id] = mark
        book.worth += worth
        book.flow -= fee
        if is_unpaid:
            book.given -= flow
        else:
            book.flow -= flow
        return True

    def mark(self) -> None:
        """Value everything at the newest prices; one that is not known any more keeps its last."""
        moved: dict[Any, Decimal] = {}
        for instrument_id, before in self._marks.items():
            now = self._mark(instrument_id)
            if now is None or now == before:
                continue
            if instrument_id in self._unpriced:
                self._unpriced.discard(instrument_id)
                self._revalue(instrument_id, now)
                continue
            if instrument_id in self._unsure:
                old, ratio = self._unsure[instrument_id]
                if now == old:
                    continue  # the same quote as before the split
                del self._unsure[instrument_id]
                if _alike(now, before * ratio):
                    self._revalue(instrument_id, now)  # it was a price of the new shares all along
                    continue
            if before > 0 and now > 0 and not before / _JUMP <= now <= before * _JUMP:
                self._jumps.setdefault(instrument_id, before)
            moved[instrument_id] = now - before
            self._marks[instrument_id] = now
        if not moved:
            return
        self._moved()
        for book in self._books.values():
            for instrument_id, qty in book.qty.items():
                if qty and (change := moved.get(instrument_id)) is not None:
                    book.worth += qty * change

    def _split(self, account_id: Any, instrument_id: Any, ratio: Decimal, activity: str) -> None:
        """`ratio` new shares for one. Told for each position of each account; it happens to all of them once."""
        if (account_id, activity) in self._splits:
            return
        ahead = self._ahead.get(instrument_id, set())
        holders = [
            (account, book) for (account, _), book in self._books.items() if book.qty.get(instrument_id, ZERO) != ZERO
        ]
        if account_id in ahead or not holders:
            self._splits.add((account_id, activity))
            ahead.discard(account_id)
            return
        mark, before = self._marks.get(instrument_id, ZERO), self._jumps.get(instrument_id)
        # Has the price been the new shares' already, or is it still the old ones'?
        is_new = before is not None and _alike(before, mark * ratio)
        after = mark if is_new else mark / ratio
        held = [(book, book.qty[instrument_id]) for _, book in holders]
        moved = [(book, old, (old * ratio).quantize(_NANO).normalize()) for book, old in held]
        self._splits.add((account_id, activity))
        self._ahead[instrument_id] = {account for account, _ in holders} - {account_id}
        self._jumps.pop(instrument_id, None)
        if not is_new:
            self._unsure[instrument_id] = mark, ratio
        self._marks[instrument_id] = after
        for book, old, now in moved:
            book.qty[instrument_id] = now
            book.worth += now * after - old * mark

    def _revalue(self, instrument_id: Any, mark: Decimal) -> None:
        """A mark by which nothing was won or lost."""
        change = mark - self._marks[instrument_id]
        self._marks[instrument_id] = mark
        for book in self._books.values():
            if qty := book.qty.get(instrument_id):
                book.worth += qty * change
                book.given -= qty * change

    def jumps(self) -> list[str]:
        """In words, what moved so far at once today that it may be a split which is not booked yet."""
        return [
            f"{each.symbol} went from {before.normalize():f} to {self._marks[each].normalize():f} at once"
            for each, before in self._jumps.items()
            if any(book.qty.get(each) for book in self._books.values())
        ]

    def new_day(self) -> None:
        """A trading day begins: jumps of the day before are forgotten."""
        self._jumps.clear()

    def value(self, account_id: Any = None, strategy_id: Any = None) -> Decimal:
        """Of one account, of one strategy, of both at once, or of everything. Only differences mean anything."""
        total = ZERO
        for (account, strategy), book in self._books.items():
            if (account_id is None or account == account_id) and (strategy_id is None or strategy == strategy_id):
                total += book.flow + book.given + book.worth
        return total

    def accounts(self, strategy_id: Any = None) -> set[Any]:
        """Accounts that have a book, or on which a strategy has one."""
        return {account for account, strategy in self._books if strategy_id is None or strategy == strategy_id}

    def strategies(self) -> set[Any]:
        return {strategy for _, strategy in self._books}

    def equity(self, account_id: Any) -> Decimal | None:
        """The account's equity: what it was when it was last told, and what was made since. None if unknown."""
        now = self._now.get(account_id) or self._figures(account_id)
        return None if now is None else now[0]

    def cash(self, account_id: Any) -> Decimal:
        """The same of cash. Raises LookupError where it is unknown."""
        now = self._now.get(account_id) or self._figures(account_id)
        if now is None:
            raise LookupError(f"the cash of {account_id} is not known")
        return now[1]

    def attos(self, account_id: Any) -> tuple[int, int] | None:
        """Equity and cash in atto-dollars. None if unknown."""
        attos = self._attos.get(account_id)
        if attos is None:
            now = self._now.get(account_id) or self._figures(account_id)
            if now is None:
                return None
            attos = self._attos[account_id] = atto(now[0]), atto(now[1])
        return attos

    def _moved(self) -> None:
        self._now.clear()
        self._attos.clear()

    def _figures(self, account_id: Any) -> tuple[Decimal, Decimal] | None:
        base = self._base(account_id)
        if base is None:
            return None
        equity = base[0] + self.value(account_id) - base[2]
        now = self._now[account_id] = equity, base[1] + self._flow(account_id) - base[3]
        return now

    def rebase(self, account_id: Any) -> None:
        """The account has just told its figures, and nothing was under way that they might lack: go by them."""
        self._equity.pop(account_id, None)
        self._now.pop(account_id, None)
        self._attos.pop(account_id, None)
        self._base(account_id)

    def mark_of(self, instrument_id: Any) -> Decimal:
        """The mark of one unit with its multiplier. Raises LookupError where nothing is known."""
        mark = self._marks.get(instrument_id)
        if mark is None:
            mark = self._mark(instrument_id)
            if mark is None:
                raise LookupError(f"no price of {instrument_id} is known")
        return mark

    def _base(self, account_id: Any) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
        base = self._equity.get(account_id)
        if base is None:
            account = self._cache.account(account_id)
            told = None if account is None else self._reported(account)
            if told is None:
                return None
            base = self._equity[account_id] = (*told, self.value(account_id), self._flow(account_id))
        return base

    def _flow(self, account_id: Any) -> Decimal:
        return sum((book.flow for (account, _), book in self._books.items() if account == account_id), ZERO)

    def equities(self, account_ids: Iterable[Any]) -> Decimal | None:
        """Of several accounts together; None where one is unknown."""
        each = [self.equity(account_id) for account_id in account_ids]
        return None if not each or None in each else sum((one for one in each if one is not None), ZERO)

    def _reported(self, account: Any) -> tuple[Decimal, Decimal] | None:
        """Equity and cash as the account tells them."""
        info = account.last_event.info or {}
        if (equity := info.get("equity")) is not None and (cash := info.get("cash")) is not None:
            return Decimal(str(equity)), Decimal(str(cash))
        balances = account.balances_total()
        if not balances:
            return None
        cash = sum((money.as_decimal() for money in balances.values()), ZERO)
        worth = cost = ZERO
        for position in self._cache.positions_open(account_id=account.id):
            qty = position.signed_decimal_qty()
            worth += qty * self._marks.get(position.instrument_id, ZERO)
            cost += qty * Decimal(str(position.avg_px_open)) * self._multiplier(position.instrument_id)
        if account.is_margin_account:  # Nautilus's balance does not have the cost of what is open taken off
            cash -= cost
        return cash + worth, cash

    def _mark(self, instrument_id: Any) -> Decimal | None:
        price = self._prices.middle(instrument_id)
        return None if price is None else price * self._multiplier(instrument_id)

    def _multiplier(self, instrument_id: Any) -> Decimal:
        instrument = self._cache.instrument(instrument_id)
        return ONE if instrument is None else multiplier(instrument)

    def _book(self, key: Key) -> _Book:
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = _Book()
        return book


def _alike(one: Decimal, other: Decimal) -> bool:
    return other / _BESIDES <= one <= other * _BESIDES
