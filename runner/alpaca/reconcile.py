"""What the stream did not tell, found by REST: after it connects, and wherever an order's figures show a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from runner._engine import EngineError
from runner.alpaca.constants import NANOS
from runner.alpaca.models import Activity, Order, Position, WireError
from runner.alpaca.tracking import ZERO

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: How often an order's FILL activities are read before what they lack is inferred: they may come a little later.
ACTIVITY_TRIES = 3


class GapFill:
    """Brings orders, fills and positions up to what the venue's REST says; every difference becomes an event."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._rest = client.rest
        self._ledger = client.fills
        self._lock = asyncio.Lock()
        self._repairing: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        #: FILL activities of before the connect: part of the opening balance, not fills of this life.
        self.before: set[str] = set()
        #: The newest FILL activity that a look was told of: it may be older than what the next one reads.
        self.newest: str | None = None
        #: Venue time up to which everything is known.
        self.synced_ns = 0
        self.runs = 0
        self.repairs = 0
        self.position_differences = 0

    @property
    def is_busy(self) -> bool:
        """Whether orders are being read now."""
        return self._lock.locked() or bool(self._repairing)

    async def run(self) -> None:
        """One whole pass: open orders nested, orders closed since, our own that are in neither, fills, positions.

        Raises what the reads raise; then nothing but what was applied has changed, and it can be run again.
        """
        async with self._lock:
            clock = self._client.venue_clock
            # A local clock may be set meanwhile; a replay's is made of what was seen, and so never ahead.
            started_ns = clock.now_ns() if clock.is_replay else await self._rest.clock_ns()
            seen, asked_at = self._client.updates_seen, asyncio.get_running_loop().time()
            since_ns = self.synced_ns - int(self._client.config.overlap_s * NANOS)
            orders = {order.id: order for order in await self._rest.orders("open")}
            orders |= {order.id: order for order in await self._rest.orders("closed", after_ns=since_ns)}
            orders |= {order.id: order for order in await self._missing(orders)}
            fills = [row for row in await self._rest.fills(after_ns=since_ns) if row.id not in self.before]
            known = {self.newest} | self.before | {fill.id for fill in fills}
            self.newest = fills[-1].id if fills else self.newest
            orders |= {order.id: order for order in await self._named(fills, orders)}
            positions = await self._rest.positions()
            await self._client.provider.ensure({order.symbol for order in orders.values()} - {""})
            await self._apply_all(orders, fills, asked_at)
            # A fill that a repair has yet to book, or that waits for its order, is in the venue's position alone.
            is_waiting = bool(self._repairing) or self._client.updates.legs.is_waiting()
            if self._differences(positions) and not is_waiting:
                newest = await self._rest.last_fill_id()
                self.newest = newest  # what it was at an earlier look has been read since, if it was new then
                # A fill that came while we read shows in one list and not in the other: that is no difference.
                if seen == self._client.updates_seen and (newest is None or newest in known):
                    await self._take(positions)
            if self._differences(positions):
                self._client.touched(account=False)  # Not settled yet: the next look has to be at everything again.
            self.synced_ns = max(self.synced_ns, started_ns)
            self.runs += 1
            await self._client.exercises.look(started_ns, self._differences(positions))

    async def _missing(self, listed: dict[str, Order]) -> list[Order]:
        """Our orders that the lists did not show: `after` is about submission; an old one may have closed just now."""
        found: list[Order] = []
        for tracked in self._client.tracker:
            for part in tracked.parts:
                if part.done or not part.sent or part.order_id in listed:
                    continue
                order = await self._rest.order(part.order_id) if part.order_id else None
                order = order or await self._rest.order_by_client_id(part.client_order_id)
                if order is not None:
                    found.append(order)
        return found

    async def _named(self, fills: list[Activity], listed: dict[str, Order]) -> list[Order]:
        """Orders that fills name and that nobody here knows: only they say whose those fills are."""
        ids = {fill.order_id for fill in fills if fill.order_id not in listed}
        strange = {order_id for order_id in ids if not self._ledger.knows(order_id)}
        unknown = sorted(order_id for order_id in strange if self._client.find_id(order_id) is None)
        return [order for order_id in unknown if (order := await self._rest.order(order_id)) is not None]

    async def _apply_all(self, orders: dict[str, Order], fills: list[Activity], asked_at: float) -> None:
        # Heads before their legs, which are known by them.
        for order in sorted(orders.values(), key=lambda order: (order.submitted_ns, not order.legs)):
            await self.apply(order, asked_at, [fill for fill in fills if fill.order_id == order.id])
        self._book([fill for fill in fills if fill.order_id not in orders])

    def _book(self, fills: Sequence[Activity]) -> None:
        for activity in fills:
            if activity.id in self.before or self._is_in_opening(activity):
                # Of whomever: an order that is known since may be an old one, and this is no news of it.
                self._ledger.seed(activity.order_id, activity.cum_qty or ZERO, activity.price)
            else:
                self._client.updates.on_activity(activity)

    def _is_in_opening(self, activity: Activity) -> bool:
        client = self._client
        return client.opening is not None and activity.ts_ns < client.opened_ns

    async def _apply_one(self, order: Order, asked_at: float, fills: Sequence[Activity] = ()) -> None:
        """An order as it was read at `asked_at` (loop time). Its activities come first, so that nothing is guessed."""
        updates = self._client.updates
        if updates.legs.awaits(order):
            return  # Its head tells whose it is, and is asked for.
        updates.learn(order)
        found = self._client.find(order)
        entry_id = updates.legs.entry_before(found[0]) if found and order.filled_qty > 0 else None
        if entry_id is not None and (entry := await self._rest.order(entry_id)) is not None:
            await self._apply_one(entry, asked_at)
        self._book(fills)
        if order.order_class == "mleg":
            for leg in order.legs or ():
                await self._apply_one(leg, asked_at)
        for attempt in range(ACTIVITY_TRIES):
            if self._ledger.is_complete(order.id, order.filled_qty) or not updates.is_of_this_life(order):
                break
            if not order.symbol:
                break  # A multi-leg order as a whole: its legs have the activities.
            if attempt:
                await asyncio.sleep(self._client.config.lookup_delay_min_s)
            after_ns = order.submitted_ns - int(self._client.config.overlap_s * NANOS)
            self._book(await self._rest.fills(after_ns=after_ns, order_id=order.id))
            if updates.replacements.carries(order):
                break
        updates.on_snapshot(order, asked_at)

    def _differences(self, positions: list[Position]) -> dict[str, tuple[Decimal, Decimal]]:
        book = self._client.crossings.positions
        broker = {position.symbol: position.signed_qty for position in positions}
        both = {
            symbol: (book.get(symbol, ZERO), broker.get(symbol, ZERO)) for symbol in sorted(broker.keys() | book.keys())
        }
        return {symbol: pair for symbol, pair in both.items() if pair[0] != pair[1]}

    async def _take(self, positions: list[Position]) -> None:
        differences = self._differences(positions)
        changes = {symbol: theirs - ours for symbol, (ours, theirs) in differences.items()}
        reasons = await self._client.adjustments.reasons(changes)
        await self._client.provider.ensure(set(differences))
        unchanged = self._differences(positions).items() & differences.items()  # else a fill came while we asked
        for symbol, (ours, theirs) in sorted(unchanged):
            now_ns = self._client.venue_clock.now_ns()
            if self._client.fees.explains(symbol, ours, theirs):
                self._ledger.correct_fee(symbol, ours - theirs, now_ns)
                adjustments = self._client.adjustments
                adjustments.apply(symbol, ours, theirs, adjustments.made_up("CFEE", symbol, None))
                continue
            if symbol in reasons:
                self._client.crossings.positions[symbol] = theirs
                self._client.adjustments.apply(symbol, ours, theirs, reasons[symbol])
                self._client.crossings.release(symbol)
                self._client.touched()
                continue
            self.position_differences += 1
            self._client.log.error(
                f"The position of {symbol} is {theirs} at the venue and {ours} by its fills; taking the venue's"
            )
            self._client.crossings.positions[symbol] = theirs
            self._client.crossings.release(symbol)

    async def apply(self, order: Order, asked_at: float = 0.0, fills: Sequence[Activity] = ()) -> None:
        """Apply one order that REST has shown when asked at `asked_at` (loop time; 0: long ago).

        `fills` are those of its activities that have been read; others are read where it shows more. What it replaced
        comes first, and what replaced it after.
        """
        self._client.retention.find(order)
        for replaced in await self._replaced(order):
            await self._apply_one(replaced, asked_at)
        await self._apply_one(order, asked_at, fills)
        if order.order_class != "mleg":
            for leg in order.legs or ():
                await self.apply(leg, asked_at)
        found = self._client.find(order)
        if order.status == "replaced" and order.replaced_by and found and order.replaced_by not in found[1].order_ids:
            newer = await self._rest.order(order.replaced_by)
            if newer is not None:
                await self.apply(newer, asked_at)

    async def _replaced(self, order: Order) -> list[Order]:
        """Orders of ours that this one replaced and whose end, or fills, were not told yet, oldest first.

        One that shows more than is booked may repeat what the one before had filled: that must be booked first.
        """
        chain: list[Order] = []
        found = self._client.find(order)
        if found and found[0].is_leg and not self._is_booked(order) and (head := found[0].group) is not None:
            # Legs do not say what they replace; their head does.
            found = (head.head, head.head.part) if head.head.part is not None else None
            head_id = found[1].order_id if found else None
            order = (await self._rest.order(head_id) if head_id else None) or order
        while found and order.replaces is not None:
            if order.replaces in found[1].replaced_ids and self._is_booked(order):
                break
            older = await self._rest.order(order.replaces)
            if older is None or older.id in {row.id for row in chain}:
                break
            chain.insert(0, older)
            order = older
        return chain

    def _is_booked(self, order: Order) -> bool:
        return bool(self._ledger.is_complete(order.id, order.filled_qty))

    async def refresh(self, order_id: str) -> Order | None:
        """Read one order and apply it; None where the venue has none. Raises what the reads raise."""
        asked_at = asyncio.get_running_loop().time()
        order: Order | None = await self._rest.order(order_id)
        if order is not None:
            await self.apply(order, asked_at)
        return order

    def repair(self, order_id: str, why: str) -> None:
        """Fetch what is missing of an order, in the background, until it is here."""
        if order_id in self._repairing:
            # What it has read already may be older than what brought us here.
            self._again.add(order_id)
            return
        self.repairs += 1
        self._client.log.warning(f"Asking the venue again: {why}")
        task = self._client.create_task(self._repair(order_id), log_msg=f"repair: {order_id}")
        self._repairing[order_id] = task
        task.add_done_callback(lambda _: self._repairing.pop(order_id, None))

    async def _repair(self, order_id: str) -> None:
        delay = self._client.config.lookup_delay_min_s
        while True:
            self._again.discard(order_id)
            try:
                await self.refresh(order_id)
            except (EngineError, WireError) as error:
                self._client.log.warning(f"The venue could not be asked for {order_id}: {error}; trying again")
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._client.config.lookup_delay_max_s)
            else:
                if order_id not in self._again:
                    return
                await asyncio.sleep(delay)

    async def repaired(self) -> None:
        """Wait for the repairs under way."""
        while self._repairing:
            await asyncio.wait(list(self._repairing.values()))
