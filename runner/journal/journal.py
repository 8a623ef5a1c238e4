"""The journal of a node: orders before they leave, their events, the gate's records, strategies' saved state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from nautilus_trader.model.events import OrderFilled

from runner.journal.intents import Statement
from runner.journal.records import encode
from runner.journal.restore import PastOrder, Rows, instruments_of, recall, restore, spent
from runner.journal.schema import damaged
from runner.journal.store import JournalError, Store

log = logging.getLogger("runner.journal")
#: Orders that have ended are kept so long, for whoever wants to look, and should the venue speak of one again.
KEEP_NS = 30 * 86_400 * 1_000_000_000

#: What reading a row raises whose text is not what was written.
UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, msgspec.MsgspecError)

_ORDER = "INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?, ?, NULL)"
_SEND = "INSERT OR REPLACE INTO sends VALUES (?, ?, ?, ?, ?, ?)"
_EVENT = "INSERT INTO events (account, client_order_id, kind, body) VALUES (?, ?, ?, ?)"
_UNBOOKED = "DELETE FROM events WHERE account = ? AND client_order_id IN (SELECT value FROM json_each(?))"
_CLOSED = "UPDATE orders SET closed_ns = ? WHERE client_order_id = ?"
_BOOKED = "INSERT OR REPLACE INTO booked VALUES (?, ?, ?, ?, ?)"
_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?)"
_STRATEGY_ID = "strategy-id/"
_STATE = "INSERT OR REPLACE INTO strategies VALUES (?, ?, ?)"


class Journal:
    """Opened once for the life of a node; `run` counts the lives of this journal, from 1.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder is made.
    claim : callable, optional
        Called with an account's name and the broker's id of it, as soon as that is known; may refuse by raising.
    synchronous : {"normal", "full"}
        Whether an order outlives the process alone before its request leaves, and the machine soon after, or both.
    """

    def __init__(
        self,
        path: Path,
        *,
        claim: Callable[[str, str], None] | None = None,
        synchronous: Literal["normal", "full"] = "normal",
    ) -> None:
        self.claim = claim
        self.store = Store(path, synchronous).open()
        try:
            self._prune()
            rows = self.store.read("SELECT value FROM meta WHERE key = 'run'")
            self.run = int(rows[0][0]) + 1 if rows else 1
            self.store.write_now([("INSERT OR REPLACE INTO meta VALUES ('run', ?)", (str(self.run),))])
            self._records = dict(self.store.read("SELECT key, value FROM records"))
            states = self.store.read("SELECT name, state, ts_ns FROM strategies")
            self._states = {name: (state, ts_ns) for name, state, ts_ns in states}
            self._accounts = {name: AccountJournal(self, name) for (name,) in self.store.read(_NAMES)}
            for account in self._accounts.values():
                account.read()
        except JournalError:
            self.store.close()
            raise
        except UNREADABLE as error:
            self.store.close()
            raise self.damaged(error) from error
        self._cache: Any = None
        self._by_id: dict[str, str] = {}
        self._held: dict[str, Statement] = {}

    def account(self, name: str) -> AccountJournal:
        """The journal of one account of the file."""
        return self._accounts.setdefault(name, AccountJournal(self, name))

    def start(self, cache: Any) -> None:
        """From now on write on a thread. `cache` is Nautilus's."""
        self._cache = cache
        self.store.start()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.store.close()

    def damaged(self, error: Exception) -> JournalError:
        """What to raise where a row can't be understood."""
        return JournalError(damaged(self.store.path, f"{type(error).__name__}: {error}"))

    # -- orders ---------------------------------------------------------------------------------------

    def follow(self, client_order_id: str, account: str) -> None:
        """Keep the events of this order from now on."""
        self._by_id[client_order_id] = account

    def unfollow(self, client_order_id: str) -> None:
        """Let go of an order that has ended."""
        self._by_id.pop(client_order_id, None)

    def hold(self, trade_id: str, statement: Statement) -> None:
        """Write this with the event of that fill."""
        self._held[trade_id] = statement

    def on_order_event(self, event: Any) -> None:
        """Of the message bus, after Nautilus has applied it."""
        name = event.client_order_id.value
        account = self._by_id.get(name)
        if account is None:
            return
        statements: list[Statement] = [(_EVENT, (account, name, type(event).__name__, encode(event)))]
        if isinstance(event, OrderFilled) and (booked := self._held.pop(event.trade_id.value, None)) is not None:
            statements.append(booked)
        order = self._cache.order(event.client_order_id)
        if order is not None and order.is_closed:
            statements.append((_CLOSED, (time.time_ns(), name)))
        self.store.write(statements)

    # -- the gate's records: see LatchStore -------------------------------------------------------------

    def load(self) -> Mapping[str, str]:
        """All records of the gate."""
        return dict(self._records)

    def save(self, key: str, value: str) -> None:
        """Keep a record, on the disk when this returns. Raises JournalError; it is kept then once the file takes it."""
        self._records[key] = value
        try:
            self.store.write_now([(_RECORD, (key, value))])
        except JournalError:
            self.store.write([(_RECORD, (key, value))])
            raise

    def strategy_id(self, name: str, default: str) -> str:
        """The id that a strategy of the file trades under: the one that it had first, whatever class it is by now.

        Raises JournalError where it can't be kept.
        """
        key = f"{_STRATEGY_ID}{name}"
        if key in self._records:
            return str(self._records[key])
        self.save(key, default)
        return default

    # -- strategies -------------------------------------------------------------------------------------

    def save_state(self, strategy: str, state: Mapping[str, bytes]) -> int:
        """What a strategy's `on_save` gave; when that was (UNIX ns). Raises JournalError."""
        packed, saved_ns = msgspec.msgpack.encode(dict(state)), time.time_ns()
        self._states[strategy] = (packed, saved_ns)
        self.store.write_now([(_STATE, (strategy, packed, saved_ns))])
        return saved_ns

    def load_state(self, strategy: str) -> dict[str, bytes] | None:
        """What was saved last; None where nothing ever was. Raises JournalError."""
        found = self._states.get(strategy)
        try:
            return None if found is None else msgspec.msgpack.decode(found[0], type=dict[str, bytes])
        except UNREADABLE as error:
            raise self.damaged(error) from error

    def saved_ns(self, strategy: str) -> int:
        """When it was saved; 0 where it never was."""
        found = self._states.get(strategy)
        return 0 if found is None else int(found[1])

    def prune(self) -> None:
        """Forget orders that ended long ago, in the background; what their fills add up to is known all the same."""
        self.store.write(
            _forgetting(
                time.time_ns() - KEEP_NS,
                " AND NOT EXISTS (SELECT 1 FROM events WHERE events.client_order_id = orders.client_order_id"
                " AND kind = 'OrderFilled')",
            )
        )

    def _prune(self) -> None:
        """Forget orders that ended long ago, and their fills, save those that a position is made of."""
        before = time.time_ns() - KEEP_NS
        if not self.store.read("SELECT 1 FROM orders WHERE closed_ns < ? LIMIT 1", (before,)):
            return
        # As long as their orders are there: whether one was only to reduce is written with it.
        for (account,) in self.store.read("SELECT DISTINCT account FROM events"):
            fills = "SELECT seq, body FROM events WHERE account = ? AND kind = 'OrderFilled' ORDER BY seq"
            rows = [(int(seq), str(body)) for seq, body in self.store.read(fills, (account,))]
            gone = spent(Rows.of(self.store.read, account), rows, before)
            self.store.write_now([("DELETE FROM events WHERE seq = ?", (seq,)) for seq in gone])
        self.store.write_now(_forgetting(before))


def _forgetting(before_ns: int, unless: str = "") -> list[Statement]:
    old = "SELECT client_order_id FROM orders WHERE closed_ns < ?"
    return [
        (sql, (before_ns,))
        for sql in (
            f"DELETE FROM sends WHERE order_id IN ({old})",  # noqa: S608
            f"DELETE FROM booked WHERE order_id IN ({old})",  # noqa: S608
            f"DELETE FROM events WHERE kind != 'OrderFilled' AND client_order_id IN ({old})",  # noqa: S608
            f"DELETE FROM orders WHERE closed_ns < ?{unless}",  # noqa: S608
        )
    ]


_NAMES = "SELECT name FROM accounts"


class AccountJournal:
    """What the adapter is given: see `runner.alpaca.journal.OrderJournal`."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name
        self._rows: Rows | None = None
        self.broker_id: str | None = None
        self.last_ns = 0

    @property
    def problem(self) -> str | None:
        """Why no order can be kept at the moment."""
        return self._journal.store.problem

    def read(self) -> None:
        """Take the account's past off the file, before the thread starts."""
        self._rows = Rows.of(self._journal.store.read, self._name)
        self.broker_id = self._rows.broker_id
        ((sent_ns, ended_ns),) = self._journal.store.read(
            "SELECT max(ts_ns), max(closed_ns) FROM orders LEFT JOIN sends ON order_id = orders.client_order_id"
            " WHERE account = ?",
            (self._name,),
        )
        self.last_ns = max(sent_ns or 0, ended_ns or 0)

    def open_account(self, broker_id: str) -> bool:
        """Whether this account was traded before. Raises JournalError where the key opens another one than then."""
        if self._journal.claim is not None:
            self._journal.claim(self._name, broker_id)
        if self.broker_id is None:
            self.broker_id = broker_id
            row = (self._name, broker_id, time.time_ns())
            self._journal.store.write_now([("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", row)])
            return False
        if self.broker_id != broker_id:
            raise JournalError(
                f"account {self._name}: its key opens another account than the one in {self._journal.store.path}; "
                "use that account's key, or give this account or the node another name"
            )
        return True

    def instruments(self) -> set[str]:
        """Instrument ids of what `restore` needs. Raises JournalError where a row can't be understood."""
        try:
            return instruments_of(self._rows) if self._rows is not None else set()
        except UNREADABLE as error:
            raise self._journal.damaged(error) from error

    def restore(self) -> list[PastOrder]:
        """Put orders and positions into Nautilus's cache; the orders that had not ended, heads before their legs.

        Raises JournalError where a row can't be understood.
        """
        rows, self._rows = self._rows, None
        try:
            past = restore(rows, self._journal._cache) if rows is not None else []
        except UNREADABLE as error:
            raise self._journal.damaged(error) from error
        for order in past:
            for name in order.names:
                self._journal.follow(name, self._name)
        return past

    def follow(self, client_order_id: str) -> None:
        """Keep the events under this id, though no order of it is ever sent: a position changed by itself."""
        self._journal.follow(client_order_id, self._name)

    def unfollow(self, client_order_id: str) -> None:
        """Events under this id are not expected any more."""
        self._journal.unfollow(client_order_id)

    def book(self, fills: Sequence[Any]) -> None:
        """Keep these fills of no order, all of them or none: at once, or soon (`Store.write_whole`)."""
        self._journal.store.write_whole(
            [(_EVENT, (self._name, fill.client_order_id.value, type(fill).__name__, encode(fill))) for fill in fills]
        )

    def unbook(self, fills: Sequence[Any]) -> None:
        """Take out again what was booked and did not happen, all of it or nothing."""
        names = msgspec.json.encode([fill.client_order_id.value for fill in fills]).decode()
        self._journal.store.write_whole([(_UNBOOKED, (self._name, names))])

    def recall(self, order_id: str, client_order_id: str, *, in_text: bool = False) -> list[PastOrder]:
        """The order that the venue has under one of these ids, and those that went out with it, ended all of them.

        `in_text`: the venue's id is looked for in all events, too. Nautilus's cache has them again. Nothing where none
        is known. Raises JournalError.
        """
        with self._journal.store.aside() as read:
            rows = Rows.around(read, self._name, order_id, client_order_id, in_text=in_text)
        past = recall(rows, self._journal._cache)
        for order in past:
            for name in order.names:
                self.follow(name)
        return past

    async def before_submit(
        self,
        orders: Sequence[Any],
        *,
        order_id: str,
        client_order_id: str,
        qty: Decimal,
        params: Mapping[str, Any],
        family: Mapping[str, Any] | None = None,
        silent: Sequence[str] = (),
    ) -> None:
        """An order, with those that go with it, is about to leave. Kept when it returns; raises JournalError."""
        statements: list[Statement] = []
        encoded = msgspec.json.encode(dict(params)).decode()
        for order in orders:
            name = order.client_order_id.value
            if name in self._journal._by_id:
                continue
            self._journal.follow(name, self._name)
            first, *later = order.events
            instrument_id = order.instrument_id.value
            statements.append((_ORDER, (name, self._name, instrument_id, encode(first), encoded)))
            statements += [(_EVENT, (self._name, name, type(event).__name__, encode(event))) for event in later]
        for name in silent:
            self._journal.follow(name, self._name)
        group = None if family is None else msgspec.json.encode(dict(family)).decode()
        statements.append((_SEND, (client_order_id, order_id, "submit", str(qty), group, time.time_ns())))
        await self._journal.store.write_ahead(statements)

    async def before_replace(self, *, order_id: str, client_order_id: str, qty: Decimal) -> None:
        """A replacement is about to leave. Kept when it returns; raises JournalError."""
        row = (client_order_id, order_id, "replace", str(qty), None, time.time_ns())
        await self._journal.store.write_ahead([(_SEND, row)])

    def booked(
        self,
        order_id: str,
        venue_order_id: str,
        spans: Sequence[tuple[Decimal, Decimal]],
        notional: Decimal,
        carried: Decimal,
        *,
        trade_id: str | None,
    ) -> None:
        """So much of an order at the venue is told once Nautilus has applied the fill `trade_id` (None: now).

        It is kept with that fill's event, or a death in between would leave the fill booked and never told.
        """
        text = msgspec.json.encode([[str(start), str(end)] for start, end in spans]).decode()
        statement = (_BOOKED, (venue_order_id, order_id, text, str(notional), str(carried)))
        if trade_id is None:
            self._journal.store.write([statement])
        else:
            self._journal.hold(trade_id, statement)
