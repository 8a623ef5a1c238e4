"""Legs of an order at the venue and the members of its group: who is who, and what one's end or fill does to the rest.

Alpaca makes up the ids of legs, and a leg's event may come before the reply that tells them: it waits here.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from runner.alpaca.emit import exact_quantity
from runner.alpaca.fills import Fill
from runner.alpaca.groups import Group
from runner.alpaca.models import Order, TradeUpdate, timestamp_ns
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: Updates of legs that nobody knows yet; more than a group can bring forth means that something is wrong.
MOST_HELD = 10_000


class Legs:
    """Maps legs to members, and keeps the members of a group in step with each other as the venue does."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._tracker = client.tracker
        self._ledger = client.fills
        self._held: list[TradeUpdate] = []

    # -- who is who -----------------------------------------------------------------------------------

    def learn(self, tracked: Tracked, order: Order) -> None:
        """The venue has shown the head of a group: its legs' ids are kept, and what came of them early is applied."""
        group = tracked.group
        if group is None or group.head is not tracked:
            return
        for leg in order.legs or ():
            self._map(group, leg)
        if group.has_unmapped():
            self._client.repair(order.id, f"{tracked.id} came without its legs")
        self.flush()

    def _map(self, group: Group, leg: Order) -> None:
        if self._tracker.find("", leg.id) is not None:
            return
        member = group.member_of(leg.symbol, leg.side, leg.type)
        part = None if member is None else member.part
        if member is None or part is None or (part.order_ids and not group.is_multi_leg):
            return  # An exit that replaces another is found by what it replaces.
        self._tracker.add_client_id(member, part, leg.client_order_id)
        part.client_order_id = leg.client_order_id
        if leg.status == "rejected":
            self._tracker.add_order_id(member, part, leg.id)
            self._client.updates.end(member, part, leg, "rejected", leg.last_ns)
        else:
            self._client.updates.known(member, part, leg, leg.submitted_ns)
        if leg.id not in part.order_ids:
            self._tracker.add_order_id(member, part, leg.id)

    def drop(self, leg: Order) -> bool:
        """Whether it was a leg of a replacing order that was refused: the one before stands, and it is none any more.

        It never traded; what it shows as filled is what the others had.
        """
        found = self._tracker.find("", leg.id)
        if found is None or not found[0].is_leg or leg.id in found[1].order_ids[:1]:
            return False
        part = found[1]
        if leg.id in part.order_ids:
            part.order_ids.remove(leg.id)
            part.carried -= min(part.carried, self._ledger.booked_qty(leg.id))  # taken for carried while undecided
        self._ledger.seed(leg.id, leg.filled_qty, leg.filled_avg_price)
        return True

    def awaits(self, order: Order) -> bool:
        """Whether an order that nobody knows may be a leg of a group whose legs are not known yet."""
        if not order.order_class or not order.symbol or self._client.find(order) is not None:
            return False
        return self._tracker.group_awaiting(order.symbol, order.order_class) is not None

    def hold(self, update: TradeUpdate) -> bool:
        """Keep an update that may be of such a leg until that is known; False where it can't be one."""
        if not self.awaits(update.order):
            return False
        if len(self._held) < MOST_HELD:
            self._held.append(update)
        return True

    def entry_before(self, tracked: Tracked) -> str | None:
        """The id of the entry whose fills must be told before those of this exit, None where all of them have been.

        Exits work once their entry has filled whole; Nautilus drops a reducing fill of what it takes for no position.
        """
        group = tracked.group
        if group is None or tracked not in group.exits or group.is_entered or group.head.closed:
            return None
        return None if group.head.part is None else group.head.part.order_id

    def waits_for_entry(self, update: TradeUpdate, tracked: Tracked) -> bool:
        """Keep an exit's fill until its entry's fills are told; False where they have been."""
        entry_id = self.entry_before(tracked)
        if entry_id is None:
            return False
        self._held.append(update)
        self._client.repair(entry_id, f"an exit of {tracked.id} has filled, and how its entry did was not told")
        return True

    def is_waiting(self) -> bool:
        """Whether fills may be known that are not booked yet, as it is not known whose they are."""
        groups = {tracked.group for tracked in self._tracker if tracked.group is not None}
        return bool(self._held) or any(group.has_unmapped() or group.is_being_replaced() for group in groups)

    def flush(self) -> None:
        """Apply what was kept, as far as it is known now whose it is."""
        held, self._held = self._held, []
        for update in held:
            self._client.updates.on_update(update)

    # -- several contracts ------------------------------------------------------------------------------

    def book_fills(self, update: TradeUpdate) -> None:
        """The legs' executions that a multi-leg order's update carries."""
        shown = {leg.id: leg for leg in update.order.legs or ()}
        rows = update.legs or ()
        told: dict[str, Decimal] = {}
        for row in rows:
            told[row.order_id] = told.get(row.order_id, Decimal(0)) + row.qty
        for row in rows:
            leg = shown.get(row.order_id)
            found = self._tracker.find("", row.order_id)
            if leg is None:
                continue  # Without its cumulative quantity it can't be told from a duplicate: it is asked for.
            told[row.order_id] -= row.qty
            cum_qty = leg.filled_qty - told[row.order_id]
            ts_ns = timestamp_ns(row.timestamp) or update.ts_ns
            side = "buy" if leg.side == "buy" else "sell"
            fill = Fill(leg.symbol, side, row.qty, row.price, leg.id, leg.client_order_id, ts_ns, found is None, False)
            if found is None:
                self._client.external.announce(leg)
                self._client.external.on_fill(fill, cum_qty=cum_qty, execution_id=row.execution_id)
            else:
                self._client.updates.book(found[0], fill, cum_qty=cum_qty, execution_id=row.execution_id)

    def are_complete(self, tracked: Tracked) -> bool:
        """Whether the legs of a multi-leg order have booked what its units have filled."""
        group, part = tracked.group, tracked.part
        if group is None or not group.is_multi_leg or group.head is not tracked or part is None:
            return True
        units = part.filled(self._ledger)
        return all(
            member.part is not None and member.part.filled(self._ledger) >= units * group.ratios[member.symbol]
            for member in group.members
        )

    def are_told(self, tracked: Tracked, order: Order) -> bool:
        """Whether all that the legs shown with a multi-leg order have filled is booked."""
        if tracked.group is None or not tracked.group.is_multi_leg or tracked.group.head is not tracked:
            return True
        return all(self._ledger.is_complete(leg.id, leg.filled_qty) for leg in order.legs or ())

    def carry_units(self, tracked: Tracked, part: Part, order: Order) -> None:
        """A multi-leg order that replaced another may repeat its units: those that no leg has traded are not new."""
        group = tracked.group
        if group is None or not group.is_multi_leg or group.head is not tracked or len(part.order_ids) < 2:
            return
        traded = min(
            (member.part.filled(self._ledger) / group.ratios[member.symbol] for member in group.members if member.part),
            default=Decimal(0),
        )
        missing = sum((end - start for start, end in self._ledger.missing(order.id, order.filled_qty)), Decimal(0))
        repeated = missing - max(Decimal(0), traded - part.filled(self._ledger))
        if repeated > 0:
            before = self._ledger.booked_qty(order.id)
            self._ledger.seed(order.id, repeated, order.filled_avg_price)
            part.carried += self._ledger.booked_qty(order.id) - before

    def before(self, order: Order) -> str | None:
        """The leg that this leg of a replacing multi-leg order stands for: legs do not say what they replace."""
        found = self._tracker.find("", order.id)
        if found is None or not found[0].is_leg or order.id not in found[1].order_ids:
            return None
        at = found[1].order_ids.index(order.id)
        return found[1].order_ids[at - 1] if at else None

    # -- in step ------------------------------------------------------------------------------------------

    def after_fill(self, tracked: Tracked) -> None:
        """An exit has filled: the other shrinks to what is left of the position that both would close."""
        group, part = tracked.group, tracked.part
        if group is None or part is None or tracked not in group.exits:
            return
        left = part.qty - part.filled(self._ledger)
        for other in group.exits:
            if other is tracked or other.closed or other.part is None or other.part.done or left <= 0:
                continue
            self._resize(other, other.part, other.part.filled(self._ledger) + left)

    def _resize(self, tracked: Tracked, part: Part, qty: Decimal) -> None:
        if qty >= part.qty or part.order_id is None:
            return
        instrument = self._client.instrument(tracked.instrument_id)
        if part.shown_qty is not None:
            part.shown_qty -= part.qty - qty
        part.qty = tracked.qty = qty
        tracked.quantity = exact_quantity(qty, instrument.size_precision if instrument else 0)
        self._client.emitter.updated(tracked, part.order_id, 0)

    def after_end(self, tracked: Tracked, status: str, ts_ns: int, reason: str) -> None:
        """One of a group has ended: the venue ends the others, or starts them; what that should bring is awaited."""
        group = tracked.group
        if group is None:
            return
        if group.is_multi_leg:
            if group.head is tracked:
                self.end_members(tracked, status, ts_ns, reason)
            return
        self.flush()
        is_entry = group.head is tracked and tracked not in group.exits
        if is_entry and status == "filled":
            for member in group.members:
                if member.cancel_requested and not member.closed:
                    self._client.create_task(self._client.commands.cancel(member), log_msg=f"cancel_order: {member.id}")
            return
        if group.head is tracked and (tracked.part is None or tracked.part.order_id is None):
            self.end_members(tracked, status, ts_ns, reason)
            return
        for other in group.orders:
            part = other.part
            if part is not None and not part.done and part.canceling_since is None:
                part.canceling_since = asyncio.get_running_loop().time()

    def end_members(self, head: Tracked, status: str, ts_ns: int, reason: str) -> None:
        """End the members as their head did, that have no end of their own."""
        if head.group is None or head.group.head is not head:
            return
        for member in head.group.members:
            if member.part is not None and not member.part.done:
                self._client.updates.finish(member, member.part, status, ts_ns, reason)
        self.flush()
