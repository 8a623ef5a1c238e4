"""What the adapter knows of each order of its own: the Alpaca orders that stand under one Nautilus order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from runner.alpaca.fills import FillLedger
from runner.alpaca.groups import STOP_LOSS, TAKE_PROFIT, Group
from runner.alpaca.orders import side_text
from runner.alpaca.symbols import symbol_of

ZERO = Decimal(0)
EXITS = (TAKE_PROFIT, STOP_LOSS)


@dataclass(slots=True)
class Replacement:
    """A modification on its way: what was asked, and the ids under which its outcome can be found."""

    client_order_id: str
    quantity: Any
    price: Any
    trigger_price: Any
    qty: Decimal
    #: A trailing stop's new distance, in the unit that it has.
    trail: Decimal | None = None
    order_id: str | None = None
    unknown: bool = False
    #: The quantity that the replacing order shows.
    shown_qty: Decimal | None = None


@dataclass(slots=True)
class Part:
    """One Alpaca order, through all of its replacements. A Nautilus order has one, or two if it crosses zero."""

    client_order_id: str
    qty: Decimal
    order_ids: list[str] = field(default_factory=list)
    #: Whether its POST has left, or may have.
    sent: bool = False
    unknown: bool = False
    done: bool = False
    #: Set once the venue is known to have it, or not to have it.
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    replacement: Replacement | None = None
    replacements: int = 0
    cancel_unknown: bool = False
    #: Ids of which the venue has said that another took their place.
    replaced_ids: set[str] = field(default_factory=set)
    #: When (loop time) the venue took a cancel; its event must follow.
    canceling_since: float | None = None
    #: The quantity that the standing order shows at the venue: after a replacement it may be what was left then.
    shown_qty: Decimal | None = None
    #: When (loop time) a command of it left or the stream spoke of it, and how often it was asked for since.
    heard_at: float = 0.0
    looks: int = 0
    #: Shares that a replacing order repeats from the one it replaced.
    carried: Decimal = ZERO

    @property
    def order_id(self) -> str | None:
        """The venue's id of the order that stands now."""
        return self.order_ids[-1] if self.order_ids else None

    def filled(self, ledger: FillLedger) -> Decimal:
        """Shares booked on any of its ids."""
        return sum((ledger.booked_qty(order_id) for order_id in self.order_ids), ZERO) - self.carried


class Tracked:
    """One order of a strategy, or a leg of one that Nautilus has no order for. Quantities are shares or contracts."""

    def __init__(
        self, order: Any, params: dict[str, Any] | None = None, *, symbol: str | None = None, is_silent: bool = False
    ) -> None:
        self.order = order
        self.params = params or {}
        self.client_order_id = order.client_order_id
        self.strategy_id = order.strategy_id
        self.instrument_id = order.instrument_id
        self.symbol = symbol_of(order.instrument_id) if symbol is None else symbol
        self.side = side_text(order.side)
        self.quantity = order.quantity
        self.qty: Decimal = order.quantity.as_decimal()
        #: Dollars that it is for, where its quantity is not given in shares; `qty` is an estimate then.
        self.notional: Decimal | None = self.qty if order.is_quote_quantity else None
        #: The Alpaca order of which it is a part, and what it is there for.
        self.group: Group | None = None
        self.role = ""
        #: Nautilus has no such order: nothing but fills is told of it.
        self.is_silent = is_silent
        #: Of before a restart: its ids are older than the connection.
        self.is_past = False
        self.parts: list[Part] = []
        #: Every id that it is found by: the client's, and the venue's.
        self.client_ids: list[str] = []
        self.order_ids: list[str] = []
        #: Shares that wait for the position to be closed.
        self.held: Decimal = ZERO
        #: What it waits for is the end of orders that are being canceled, in whose place it closes the position.
        self.closes_later = False
        self.filled: Decimal = ZERO
        #: The id that Nautilus knows the order by; every event must carry it.
        self.venue_order_id: Any = None
        #: When the venue got it, UNIX nanoseconds; 0 until that was told.
        self.submitted_ns = 0
        self.accepted = False
        self.closed = False
        self.cancel_requested = False
        #: Set when it is known whether the venue has the order.
        self.known = asyncio.Event()

    @property
    def id(self) -> str:
        """The client order id as text."""
        return str(self.client_order_id.value)

    @property
    def part(self) -> Part | None:
        """The Alpaca order that stands now."""
        return self.parts[-1] if self.parts else None

    @property
    def is_head(self) -> bool:
        """Whether it is sent by itself: no leg of another order."""
        return self.group is None or self.group.head is self

    @property
    def is_canceling(self) -> bool:
        """Whether its cancel was asked for, or that of an order that ends together with it."""
        if self.group is None or self.role not in EXITS:
            return self.cancel_requested
        return any(exit_order.cancel_requested for exit_order in self.group.exits)

    @property
    def price_sign(self) -> int:
        """-1 where what Nautilus calls a price is the negative of what Alpaca does: a spread that is sold."""
        return self.group.sign if self.group is not None and self.group.head is self else 1

    @property
    def is_leg(self) -> bool:
        """Whether it is one leg of a multi-leg order, whose end is its head's."""
        return self.group is not None and self.group.is_multi_leg and self.group.head is not self

    @property
    def is_unknown(self) -> bool:
        """Whether the outcome of something sent for it is not known."""
        return any(part.unknown or (part.replacement is not None and part.replacement.unknown) for part in self.parts)

    @property
    def is_unsettled(self) -> bool:
        """Whether the venue's books may still surprise: an unknown outcome, or shares held for a close."""
        return not self.closed and (self.is_unknown or self.held > 0)


class Tracker:
    """All orders of this client, found by any id."""

    def __init__(self, ledger: FillLedger) -> None:
        self._ledger = ledger
        self._by_client_id: dict[str, tuple[Tracked, Part | None]] = {}
        self._by_order_id: dict[str, tuple[Tracked, Part]] = {}
        self._open: dict[str, Tracked] = {}
        #: Orders that have closed, the oldest first, until somebody takes them (`Retention`).
        self.ended: deque[Tracked] = deque()
        #: Client order ids that were given up as never arrived. Nautilus takes no fill of a rejected order.
        self.disowned: set[str] = set()
        #: Client order ids that were denied here; Nautilus may not know it yet when their cancel comes.
        self.denied: set[str] = set()

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._open.values()))

    def add(self, tracked: Tracked) -> None:
        """Begin to track an order."""
        self._name(tracked, None, tracked.id)
        self._open[tracked.id] = tracked

    def add_part(self, tracked: Tracked, part: Part) -> None:
        """An Alpaca order of `tracked` is about to be sent."""
        tracked.parts.append(part)
        self._name(tracked, part, part.client_order_id)

    def add_client_id(self, tracked: Tracked, part: Part, client_order_id: str) -> None:
        """Another client order id by which the venue knows a part (a replacement's)."""
        self._name(tracked, part, client_order_id)

    def _name(self, tracked: Tracked, part: Part | None, client_order_id: str) -> None:
        self._by_client_id[client_order_id] = (tracked, part)
        if client_order_id not in tracked.client_ids:
            tracked.client_ids.append(client_order_id)

    def add_order_id(self, tracked: Tracked, part: Part, order_id: str) -> None:
        """The venue's id of a part; the newest one stands."""
        if order_id not in part.order_ids:
            part.order_ids.append(order_id)
        self.note_order_id(tracked, part, order_id)

    def note_order_id(self, tracked: Tracked, part: Part, order_id: str) -> None:
        """The venue's id of a replacement that does not stand yet."""
        self._by_order_id[order_id] = (tracked, part)
        if order_id not in tracked.order_ids:
            tracked.order_ids.append(order_id)

    def get(self, client_order_id: str) -> Tracked | None:
        """The order of a client order id, one of its parts' ids included."""
        found = self._by_client_id.get(client_order_id)
        return found[0] if found else None

    def find(self, client_order_id: str, order_id: str) -> tuple[Tracked, Part] | None:
        """The order and part that an order at the venue belongs to."""
        found = self._by_order_id.get(order_id)
        if found is not None:
            return found
        named = self._by_client_id.get(client_order_id)
        if named is None:
            return None
        tracked, part = named
        if part is None:
            part = tracked.part
        return (tracked, part) if part is not None else None

    def close(self, tracked: Tracked) -> None:
        """No more will happen to it, save late fills, which are still found."""
        if not tracked.closed:
            self.ended.append(tracked)
        tracked.closed = True
        tracked.held = ZERO
        tracked.known.set()
        for part in tracked.parts:
            part.settled.set()
        self._open.pop(tracked.id, None)

    def open_of(self, symbol: str) -> list[Tracked]:
        """Orders of a symbol that are not closed, oldest first."""
        return [tracked for tracked in self._open.values() if tracked.symbol == symbol]

    def of(self, instrument_id: Any, strategy_id: Any) -> list[Tracked]:
        """Orders of a strategy in an instrument that are not closed, oldest first."""
        return [
            tracked
            for tracked in self._open.values()
            if tracked.instrument_id == instrument_id and tracked.strategy_id == strategy_id and not tracked.is_silent
        ]

    def forget(self, tracked: Tracked) -> None:
        """An order that was added and never sent."""
        self._open.pop(tracked.id, None)
        for name in (tracked.id, *(part.client_order_id for part in tracked.parts)):
            self._by_client_id.pop(name, None)

    def drop(self, tracked: Tracked) -> None:
        """Let go of an order that has closed: no id finds it any more."""
        for name in tracked.client_ids:
            if (found := self._by_client_id.get(name)) is not None and found[0] is tracked:
                del self._by_client_id[name]
        for order_id in tracked.order_ids:
            if (known := self._by_order_id.get(order_id)) is not None and known[0] is tracked:
                del self._by_order_id[order_id]

    @property
    def size(self) -> int:
        """Ids that are kept."""
        return len(self._by_client_id) + len(self._by_order_id) + len(self.denied)

    def disown(self, tracked: Tracked, part: Part) -> None:
        """A part that was given up as never arrived: should it turn up after all, it is nobody's."""
        self._by_client_id.pop(part.client_order_id, None)
        self.disowned.add(part.client_order_id)

    def working(self, symbol: str, side: str, *, canceling: bool = False) -> Decimal:
        """Shares of this side that are at the venue, or on their way there; `canceling`: only those being canceled.

        Exits count once they work, and of those that cancel each other only the largest.
        """
        total = ZERO
        exits: dict[Group, Decimal] = {}
        for tracked in self.open_of(symbol):
            if tracked.side != side or (canceling and not tracked.is_canceling):
                continue
            leaves = sum(
                (max(ZERO, part.qty - part.filled(self._ledger)) for part in tracked.parts if not part.done), ZERO
            )
            if tracked.group is None or tracked.role not in EXITS:
                total += leaves
            elif tracked.group.is_entered:
                exits[tracked.group] = max(exits.get(tracked.group, ZERO), leaves)
        return total + sum(exits.values(), ZERO)

    def group_awaiting(self, symbol: str, order_class: str) -> Group | None:
        """A group of this class one of whose legs, of this symbol, has no id yet; None where there is none."""
        for tracked in self._open.values():
            group = tracked.group
            if (
                group is not None
                and group.kind == order_class
                and symbol in group.symbols
                and (group.has_unmapped() or group.is_being_replaced())
            ):
                return group
        return None

    def unsettled(self) -> list[Tracked]:
        """Orders whose outcome is unknown, or that hold shares back."""
        return [tracked for tracked in self._open.values() if tracked.is_unsettled]
