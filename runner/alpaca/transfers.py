"""Money and shares that come to an account or leave it, neither won nor lost: deposits, withdrawals, journals, ACATS.

The account's figures tell the day's loss (`last_equity` less `equity`), and a transfer moves them as a loss or a gain
does. Activities tell which it was; they may come later than the money, or earlier. So what fills don't explain of the
cash is followed move by move, and each is matched with the activities of its amount. What came and no activity
explains is *presumed* to be a deposit, so that it hides no loss; what went and no activity explains counts as lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

from runner._engine import EngineError
from runner.alpaca.adjust import MOVING, contract_size
from runner.alpaca.calendar import NEW_YORK
from runner.alpaca.constants import NANOS
from runner.alpaca.fills import Fill
from runner.alpaca.models import Account, Activity, WireError, timestamp_ns

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

ZERO, CENT = Decimal(0), Decimal("0.01")
#: Won or lost: what an account earns and pays for what it holds and does.
_EARNED = """
    CGD CIL DIV DIVCGL DIVCGS DIVFEE DIVFT DIVNRA DIVROC DIVTW DIVTXEX
    CFEE FEE INT INTNRA INTTW OPCSH PTC PTR WH
"""
EARNED = frozenset(_EARNED.split())
#: Shares that come and go unpaid.
SHARES = frozenset({"ACATS", "FOPT", "JNLS"})
#: Neither: an exchange of shares for others or for money.
EXCHANGED = MOVING - SHARES
#: Activities of that far back are read: rows may come days after what they tell of.
LOOKBACK_NS = 7 * 86_400 * NANOS
#: Rows beyond these are not tried in all combinations.
MOST_COMBINED = 10
#: Activities are read at least every so many `account_refresh_s`, where the account is read.
REFRESHES_PER_READ = 120
#: "Equity as of previous trading day at 16:00:00 ET" (OpenAPI, `last_equity`).
CLOSE = time(16)
PENDING = "pending_transfer_out"
DELIVERED = "DELIVERED"


class Store(Protocol):
    """Where moves are kept over a restart, as texts."""

    def load(self) -> Any: ...
    def save(self, key: str, value: str) -> None: ...


@dataclass(slots=True)
class Move:
    """`amount` (USD) came, or went, after `after_ns` and by `by_ns` (venue time). `kind` is the activity's type; empty
    while none explains it. `row` is that activity's id.
    """

    amount: Decimal
    after_ns: int
    by_ns: int
    kind: str = ""
    row: str = ""

    @property
    def is_transfer(self) -> bool:
        """Whether it was neither won nor lost. What is not known counts where it would hide a loss."""
        if not self.kind or self.kind in EARNED or self.kind in EXCHANGED or self.kind == DELIVERED:
            return False
        return self.kind in _TRANSFERS or self.amount > 0

    def is_since(self, earliest_ns: int, latest_ns: int) -> bool:
        """Whether figures that were taken between the two lack it: what came, where they may; what went, where they
        surely do.
        """
        return self.by_ns > earliest_ns if self.amount > 0 else self.after_ns >= latest_ns


_TRANSFERS = SHARES | {"ACATC", "CSD", "CSW", "JNL", "JNLC", "TRANS", PENDING}


class Transfers:
    """Of one account. `look` is called with each account that was read, before anybody is told of it."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._moves: list[Move] = []
        self._seen: set[str] = set()  # rows of before the opening, and those that a move has taken
        self._waiting: list[Activity] = []  # rows whose money has not moved yet
        self._expected: Decimal | None = None  # cash as opening, fills and moves make it
        self._suspected: Decimal | None = None
        self._fills = 0  # since cash was what it should be
        self._pending = ZERO
        self._looked_ns = 0
        self._read_at = float("-inf")
        self._unread = ZERO  # what came while the activities could not be asked
        self._closing = date.min, CLOSE  # the day that `last_equity` is of, and when it closed
        self._store: Store | None = None
        self._key = self._kept = ""
        client.fills.on_fill(self._on_fill)

    def keep_in(self, store: Store, name: str) -> None:
        """From now on moves outlive the process, under the account's name."""
        self._store, self._key = store, f"transfers/{name}"

    # -- what happened -------------------------------------------------------------------------------------------------

    async def begin(self, account: Account) -> None:
        """This is the opening balance. Raises what the reads raise, and the store."""
        now_ns = self._client.venue_clock.now_ns()
        await self._learn_close(account)
        rows = await self._rows()
        kept, had_waited = self._kept_before()
        self._moves = [move for move in kept if move.by_ns > now_ns - LOOKBACK_NS]
        self._seen, self._waiting = {move.row for move in self._moves if move.row}, []
        for row in rows:
            if row.id in self._seen:
                continue
            self._seen.add(row.id)
            amount = await self._amount(row)
            move = next((each for each in self._moves if not each.row and each.amount == amount), None)
            if move is not None:
                move.kind, move.row = row.activity_type, row.id
            elif amount < 0 and row.id in had_waited:
                self._waiting.append(row)  # whether its money has gone meanwhile is not known
            elif amount:
                self._moves.append(Move(amount, *span(row), row.activity_type, row.id))
        self._expected, self._pending = account.cash, account.pending_transfer_out or ZERO
        self._suspected, self._looked_ns = None, now_ns
        self._keep()

    def _kept_before(self) -> tuple[list[Move], set[str]]:
        """Moves of before a restart, and ids of rows whose money had not moved by then. Raises as the store does."""
        written = None if self._store is None else self._store.load().get(self._key)
        if written is None:
            return [], set()
        try:
            record = json.loads(written)
            moves = [Move(Decimal(each.pop("amount")), **each) for each in record["moves"]]
            return moves, set(record["waiting"])
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            why = f"What was transferred before the restart can't be read, and counts as the activities say: {error!r}"
            self._client.log.error(why)  # noqa: TRY400
            return [], set()

    async def look(self, account: Account, body: bytes) -> tuple[Account, bytes]:
        """Explain what cash has become. Returns the account, read anew where that took a while; never raises."""
        if self._expected is None or self._client.config.serial:
            return account, body
        before, self._pending = self._pending, account.pending_transfer_out or ZERO
        drift = account.cash - self._expected
        if abs(drift) <= CENT * (1 + self._fills):
            self._expected, drift = account.cash, ZERO  # the broker rounds each fill
            self._fills = 0
        if drift < 0 and drift == before - self._pending:
            self._add(drift, PENDING)
        try:
            await self._learn_close(account)
            account, body = await self._explain(account, body)
        except (EngineError, WireError, ValueError) as error:
            self._unread = max(account.cash - self._expected, ZERO)
            self._client.log.warning(f"The account's activities can't be read, so what came counts as paid in: {error}")
        else:
            self._unread = ZERO
        self._looked_ns = self._client.venue_clock.now_ns()
        self._keep()
        return account, body

    async def _explain(self, account: Account, body: bytes) -> tuple[Account, bytes]:
        assert self._expected is not None
        drift, now = account.cash - self._expected, asyncio.get_running_loop().time()
        if drift and drift == self._suspected:
            # Twice the same: no fill that was on its way. What the stream has not told is booked now.
            await self._client.gaps.run()
            account, body = await self._client.rest.account()
            await self._read()
            if account.cash - self._expected == drift and not self._explained(drift):
                self._unexplained(drift)
            drift = ZERO
        elif drift or now - self._read_at >= REFRESHES_PER_READ * self._client.config.account_refresh_s:
            await self._read()
            drift = account.cash - self._expected
            if drift and not self._explained(drift):
                self._client.book.refresh_soon()
            else:
                drift = ZERO
        self._suspected = drift or None
        return account, body

    def expect(self, amount: Decimal) -> None:
        """Money that moved for shares which contracts delivered, before any activity tells of it."""
        if self._expected is not None and amount:
            self._add(amount, DELIVERED)

    def _on_fill(self, fill: Fill) -> None:
        if self._expected is not None:
            signed = fill.qty if fill.side == "buy" else -fill.qty
            self._fills += 1
            self._expected -= signed * fill.price * contract_size(fill.symbol) + fill.fee_usd

    # -- what it was ---------------------------------------------------------------------------------------------------

    def figures(self, account: Account) -> dict[str, str]:
        """What of the account's equity was transferred since `last_equity`, and what came or went unexplained (USD)."""
        if self._expected is None:
            return {}
        since = [move for move in self._moves if move.is_since(*self._closed_ns(account.balance_asof))]
        transferred = sum((move.amount for move in since if move.is_transfer), ZERO)
        unexplained = sum((move.amount for move in since if not move.kind), self._unread)
        if unexplained <= 0 and self._suspected is not None:
            unexplained += min(self._suspected, ZERO)  # the account has fallen already
        return {"transferred": str(transferred), "unexplained": str(unexplained)}

    def _closed_ns(self, balance_asof: str | None) -> tuple[int, int]:
        """When `last_equity` was, at the earliest and at the latest: at the close of its day, of the weekday before
        where that is not told. Alpaca says 16:00 of every day, a short one's too.
        """
        try:
            day = date.fromisoformat((balance_asof or "")[:10])
        except ValueError:
            day = datetime.fromtimestamp(self._client.venue_clock.now_ns() // NANOS, NEW_YORK).date()
            day = _weekday_before(day)
        if _ns(day, CLOSE) > self._client.venue_clock.now_ns() and day != self._closing[0]:
            day = _weekday_before(day)
        closes = self._closing[1] if day == self._closing[0] else CLOSE
        return _ns(day, min(closes, CLOSE)), _ns(day, CLOSE)

    async def _learn_close(self, account: Account) -> None:
        """Short days end earlier. Raises what the read raises."""
        asof = (account.balance_asof or "")[:10]
        if asof in ("", self._closing[0].isoformat()):
            return
        day = date.fromisoformat(asof)
        rows = await self._client.rest.calendar(day, day)
        closes = rows[0].close.replace(":", "") if rows else "1600"
        self._closing = day, time(int(closes[:2]), int(closes[2:]))

    def _add(self, amount: Decimal, kind: str = "", row: str = "") -> None:
        assert self._expected is not None
        self._expected += amount
        self._moves.append(Move(amount, self._looked_ns, self._client.venue_clock.now_ns(), kind, row))

    def _explained(self, drift: Decimal) -> bool:
        """Whether activities that have not moved any money yet are of just this much."""
        chosen = _adding_up(self._waiting, drift)
        for row in chosen:
            self._waiting.remove(row)
            self._add(row.net_amount or ZERO, row.activity_type, row.id)
        return bool(chosen)

    def _unexplained(self, drift: Decimal) -> None:
        # A dividend or a fee that came at the same time must not be taken for a part of it.
        for row in [row for row in self._waiting if row.activity_type in EARNED]:
            self._waiting.remove(row)
            drift -= row.net_amount or ZERO
            self._add(row.net_amount or ZERO, row.activity_type, row.id)
        if drift:
            self._add(drift)
            how = "came, and is taken for a deposit" if drift > 0 else "went, and counts as lost"
            self._client.log.warning(f"{abs(drift)} USD {how}: no activity of the account explains it yet")

    async def _rows(self) -> list[Activity]:
        self._read_at = asyncio.get_running_loop().time()
        since_ns = self._client.venue_clock.now_ns() - LOOKBACK_NS
        rows = await self._client.rest.activities(None, after_ns=since_ns)
        # Fees of pairs are taken from what is received: the fills have them already.
        return [row for row in rows if row.status != "canceled" and row.activity_type != "CFEE"]

    async def _read(self) -> None:
        """New activities: of moves that were not explained, of shares, or of money that has yet to move."""
        for row in await self._rows():
            if row.id in self._seen:
                continue
            amount = await self._amount(row)
            self._seen.add(row.id)
            if row.activity_type in SHARES:
                self._moves.append(
                    Move(amount, self._looked_ns, self._client.venue_clock.now_ns(), row.activity_type, row.id)
                )
            elif amount:
                self._waiting.append(row)
        oldest_ns = self._client.venue_clock.now_ns() - LOOKBACK_NS
        self._waiting = [row for row in self._waiting if row.ts_ns > oldest_ns]
        self._moves = [move for move in self._moves if move.by_ns > oldest_ns]
        for move in [move for move in self._moves if not move.row]:
            chosen = _adding_up(self._waiting, move.amount)
            if not chosen:
                continue
            self._moves.remove(move)
            for row in chosen:
                self._waiting.remove(row)
                amount = row.net_amount or ZERO
                self._moves.append(Move(amount, move.after_ns, move.by_ns, row.activity_type, row.id))
                self._client.log.info(f"{amount} USD that had moved before are explained: {row.activity_type}")

    async def _amount(self, row: Activity) -> Decimal:
        """What a booking is worth: its money, or its shares at its price or else the broker's. USD."""
        if row.activity_type not in SHARES:
            return row.net_amount or ZERO
        qty, price = row.qty or ZERO, row.price
        if not price:
            held = {position.symbol: position for position in await self._client.rest.positions()}
            price = held[row.symbol].current_price if row.symbol in held else None
        if not price:
            self._client.log.warning(f"{qty} {row.symbol} were transferred, at a price that is not known")
        return qty * (price or ZERO) * contract_size(row.symbol or "")

    def _keep(self) -> None:
        if self._store is None:
            return
        moves = [asdict(move) | {"amount": str(move.amount)} for move in self._moves]
        written = json.dumps({"moves": moves, "waiting": [row.id for row in self._waiting]})
        if written == self._kept:
            return
        try:
            self._store.save(self._key, written)
        except OSError as error:
            self._client.log.warning(f"What was transferred can't be kept over a restart: {error}")
        else:
            self._kept = written


def _ns(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * NANOS


def _weekday_before(day: date) -> date:
    return day - timedelta(days=max(day.weekday() - 4, 1) if day.weekday() else 3)


def span(row: Activity) -> tuple[int, int]:
    """After when and by when (UNIX ns) the money of a row has moved: its day in New York, or just when it was made.

    Rows that are made at midnight (UTC) tell of the day before.
    """
    made_ns = timestamp_ns(row.created_at)
    made = datetime.fromtimestamp(made_ns // NANOS, UTC)
    try:
        day = date.fromisoformat((row.date or "")[:10])
    except ValueError:
        return 0, made_ns
    begins = datetime.combine(day, time(0), NEW_YORK)
    begins_ns, ends_ns = (int(at.timestamp()) * NANOS for at in (begins, begins + timedelta(days=1)))
    if made_ns and begins_ns <= made_ns <= ends_ns and made.time() != time(0):
        return made_ns - 1, made_ns
    return begins_ns - 1, max(made_ns, ends_ns)


def _adding_up(rows: Sequence[Activity], amount: Decimal) -> tuple[Activity, ...]:
    """The fewest rows, or all of them, that are of so much together."""
    newest = rows[-MOST_COMBINED:]
    sizes: Iterable[Sequence[Activity]] = (
        *(each for size in range(1, 4) for each in combinations(newest, size)),
        rows,
    )
    for chosen in sizes:
        if chosen and sum((row.net_amount or ZERO for row in chosen), ZERO) == amount:
            return tuple(chosen)
    return ()
