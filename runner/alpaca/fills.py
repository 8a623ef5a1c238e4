"""Every fill once: what was executed, order by order, without gaps taken for fills or duplicates counted twice."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `qty` is positive (shares), `price` in USD, `venue_ts_ns` UNIX nanoseconds.

    `external`: not of an order of this node. `inferred`: known only from an order's cumulative figures. One of a
    multi-leg order as a whole has no symbol, and is of units: its legs' fills move cash and positions. `fee_qty` is
    what was taken of the asset itself, `fee_usd` of the proceeds (pairs only).
    """

    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    order_id: str
    client_order_id: str
    venue_ts_ns: int
    external: bool
    inferred: bool
    fee_qty: Decimal = Decimal(0)
    fee_usd: Decimal = Decimal(0)
    #: When its order was submitted, where that is known; UNIX nanoseconds.
    submitted_ns: int = 0

    def __str__(self) -> str:
        """As a line of the log says it: `sell 25 IBM at 228.76 (order 452603b7…)`."""
        return f"{self.side} {self.qty} {self.symbol} at {self.price} (order {self.order_id})"

    @property
    def signed_qty(self) -> Decimal:
        """Change of the position, fees taken off."""
        return (self.qty if self.side == "buy" else -self.qty) - self.fee_qty


@dataclass(slots=True)
class Earlier:
    """Fills since connect that are kept as sums alone: all that the books and the fees of pairs ask of them."""

    count: int = 0
    inferred: int = 0
    #: By symbol: quantity times price of what was bought less what was sold, the position's change, what was bought.
    paid: dict[str, Decimal] = field(default_factory=dict)
    held: dict[str, Decimal] = field(default_factory=dict)
    bought: dict[str, Decimal] = field(default_factory=dict)
    #: Fees in dollars: how many, and how much.
    charges: int = 0
    charged: Decimal = Decimal(0)

    def add(self, fill: Fill) -> None:
        """Count one more."""
        signed = fill.qty if fill.side == "buy" else -fill.qty
        self.count += 1
        self.inferred += fill.inferred
        self.charges += bool(fill.fee_usd)
        self.charged += fill.fee_usd
        for sums, change in (
            (self.paid, signed * fill.price),
            (self.held, fill.signed_qty),
            (self.bought, max(signed, Decimal(0))),
        ):
            sums[fill.symbol] = sums.get(fill.symbol, Decimal(0)) + change


@dataclass(slots=True)
class _Covered:
    """Which part of an order's cumulative quantity has been booked, as sorted, disjoint half-open intervals."""

    spans: list[tuple[Decimal, Decimal]]
    notional: Decimal = Decimal(0)
    executions: list[str] = field(default_factory=list)

    def total(self) -> Decimal:
        return sum((end - start for start, end in self.spans), Decimal(0))

    def overlap(self, start: Decimal, end: Decimal) -> Decimal:
        return sum((max(Decimal(0), min(end, b) - max(start, a)) for a, b in self.spans), Decimal(0))

    def add(self, start: Decimal, end: Decimal) -> None:
        merged: list[tuple[Decimal, Decimal]] = []
        for a, b in sorted([*self.spans, (start, end)]):
            if merged and a <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], b))
            else:
                merged.append((a, b))
        self.spans = merged

    def gaps(self, end: Decimal) -> list[tuple[Decimal, Decimal]]:
        missing: list[tuple[Decimal, Decimal]] = []
        at = Decimal(0)
        for a, b in self.spans:
            if a >= end:
                break
            if a > at:
                missing.append((at, a))
            at = max(at, b)
        if at < end:
            missing.append((at, end))
        return missing


class FillLedger:
    """Books fills by (order id, cumulative quantity), which a streamed update and a FILL activity share.

    An order's executions tile its cumulative quantity from 0 up. A fill whose tile is taken already is a duplicate,
    whatever it is called; an `execution_id` seen before is one too. Sides are "buy" and "sell".
    """

    def __init__(self) -> None:
        self._orders: dict[str, _Covered] = {}
        self._executions: set[str] = set()
        self._fills: deque[Fill] = deque()
        #: Fills that were older than somebody wanted to keep.
        self.earlier = Earlier()
        self._listeners: list[Callable[[Fill], None]] = []
        self.duplicates = 0
        self.inferred = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._fills)

    def __len__(self) -> int:
        return len(self._fills)

    def __getitem__(self, index: int) -> Fill:
        return self._fills[index]

    @property
    def fills(self) -> list[Fill]:
        """All fills since connect, in the order they were booked, but for those that are `earlier`."""
        return list(self._fills)

    def on_fill(self, listener: Callable[[Fill], None]) -> None:
        """Call `listener` with each fill as it is booked."""
        self._listeners.append(listener)

    def seed(self, order_id: str, filled_qty: Decimal, avg_price: Decimal | None = None) -> None:
        """What an order had filled before this ledger began: known, but not a fill since connect."""
        covered = self._orders.setdefault(order_id, _Covered([]))
        if filled_qty > 0:
            covered.notional += (filled_qty - covered.overlap(Decimal(0), filled_qty)) * (avg_price or Decimal(0))
            covered.add(Decimal(0), filled_qty)

    def knows(self, order_id: str) -> bool:
        """Whether anything was ever booked or seeded for this order, nothing filled included."""
        return order_id in self._orders

    def restore(self, order_id: str, spans: Iterable[tuple[Decimal, Decimal]], notional: Decimal) -> None:
        """What was booked of an order before a restart."""
        self._orders[order_id] = _Covered(list(spans), notional)

    def spans(self, order_id: str) -> tuple[list[tuple[Decimal, Decimal]], Decimal]:
        """Which parts of an order's cumulative quantity are booked, and for how many dollars."""
        covered = self._orders.get(order_id, _Covered([]))
        return list(covered.spans), covered.notional

    def begin(self) -> None:
        """The opening balance includes all fills so far: they stay known, and are no fills since connect."""
        self._fills.clear()
        self.earlier = Earlier()

    def fold(self, before_ns: int, most: int) -> None:
        """Keep no more than the sums of the oldest fills, those of before that time (UNIX ns); `most` at once."""
        for _ in range(most):
            if not self._fills or self._fills[0].venue_ts_ns >= before_ns:
                return
            self.earlier.add(self._fills.popleft())

    def forget(self, order_id: str) -> None:
        """Let go of what was booked of an order: nobody will tell of it again, or `restore` comes first."""
        covered = self._orders.pop(order_id, None)
        if covered is not None:
            self._executions.difference_update(covered.executions)

    @property
    def size(self) -> int:
        """Orders, executions and fills that are kept."""
        return len(self._orders) + len(self._executions) + len(self._fills)

    def bought(self, symbol: str) -> Decimal:
        """What was bought since connect, in shares or coins."""
        recent = (fill.qty for fill in self._fills if fill.symbol == symbol and fill.side == "buy")
        return sum(recent, self.earlier.bought.get(symbol, Decimal(0)))

    def booked_qty(self, order_id: str) -> Decimal:
        """Shares of this order that are booked, seeded ones included."""
        covered = self._orders.get(order_id)
        return covered.total() if covered else Decimal(0)

    def is_complete(self, order_id: str, filled_qty: Decimal) -> bool:
        """Whether everything up to a cumulative quantity is booked."""
        covered = self._orders.get(order_id)
        return filled_qty <= 0 if covered is None else not covered.gaps(filled_qty)

    def missing(self, order_id: str, filled_qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """The parts of a cumulative quantity that are not booked, as sorted half-open intervals."""
        return self._orders.get(order_id, _Covered([])).gaps(filled_qty)

    def book(self, fill: Fill, *, cum_qty: Decimal, execution_id: str | None = None) -> Fill | None:
        """Book a fill that brought its order to `cum_qty`. None where it, or all of it, is booked already.

        Where a part of it is booked, what comes back is the rest.
        """
        if execution_id is not None and execution_id in self._executions:
            self.duplicates += 1
            return None
        covered = self._orders.setdefault(fill.order_id, _Covered([]))
        if execution_id is not None:
            self._executions.add(execution_id)
            covered.executions.append(execution_id)
        start = max(Decimal(0), cum_qty - fill.qty)
        rest = (cum_qty - start) - covered.overlap(start, cum_qty)
        if rest <= 0:
            self.duplicates += 1
            return None
        covered.add(start, cum_qty)
        return self._append(fill, rest, covered)

    def infer(self, fill: Fill, *, filled_qty: Decimal, avg_price: Decimal | None) -> Fill | None:
        """Book what is missing up to an order's cumulative `filled_qty`, priced so that `avg_price` comes out.

        None where nothing is missing. `fill.price` stands in where the average says nothing usable.
        """
        covered = self._orders.setdefault(fill.order_id, _Covered([]))
        missing = sum((end - start for start, end in covered.gaps(filled_qty)), Decimal(0))
        if missing <= 0:
            return None
        price = fill.price
        if avg_price is not None:
            derived = ((avg_price * filled_qty - covered.notional) / missing).quantize(Decimal("0.0001"))
            price = derived if derived > 0 or not fill.symbol else avg_price
        covered.add(Decimal(0), filled_qty)
        self.inferred += bool(fill.symbol)
        share = missing / fill.qty
        inferred = replace(
            fill, qty=missing, price=price, inferred=True, fee_qty=fill.fee_qty * share, fee_usd=fill.fee_usd * share
        )
        return self._append(inferred, missing, covered)

    def correct_fee(self, symbol: str, fee_qty: Decimal, ts_ns: int) -> None:
        """Coins that fees took beyond what their fills were charged (negative: less)."""
        self._tell(Fill(symbol, "buy", Decimal(0), Decimal(0), "", "", ts_ns, False, False, fee_qty=fee_qty))

    def _append(self, fill: Fill, qty: Decimal, covered: _Covered) -> Fill:
        booked = fill
        if qty != fill.qty:
            share = qty / fill.qty
            booked = replace(fill, qty=qty, fee_qty=fill.fee_qty * share, fee_usd=fill.fee_usd * share)
        covered.notional += booked.qty * booked.price
        if booked.symbol:
            self._tell(booked)
        return booked

    def _tell(self, fill: Fill) -> None:
        self._fills.append(fill)
        for listener in self._listeners:
            listener(fill)


def trade_id_text(order_id: str, cum_qty: Decimal, *, inferred: bool = False) -> str:
    """Text for a Nautilus trade id (at most 36 ASCII characters), the same from whichever source a fill is known.

    A streamed update has an execution id, a FILL activity has none; order and cumulative quantity are in both.
    """
    seed = f"{order_id}:{cum_qty.normalize():f}{':inferred' if inferred else ''}"
    return "X-" + hashlib.sha256(seed.encode()).hexdigest()[:32]
