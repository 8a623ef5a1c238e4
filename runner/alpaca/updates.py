"""Trade updates, and orders read by REST, applied to the orders that this node tracks."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from runner.alpaca.emit import exact_quantity
from runner.alpaca.fills import Fill, trade_id_text
from runner.alpaca.legs import Legs
from runner.alpaca.models import FILLS, Activity, Order, TradeUpdate
from runner.alpaca.replacements import Replacements
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: Statuses of an order that nobody is canceling.
WORKING = frozenset({"new", "partially_filled", "accepted", "done_for_day"})
#: Events that tell of an order at the venue and change nothing that Nautilus knows of.
QUIET = frozenset(
    {
        "new",
        "accepted",
        "pending_new",
        "held",
        "stopped",
        "calculated",
        "suspended",
        "restated",
        "pending_review",
        "accepted_for_bidding",
        "pending_cancel",
        "pending_replace",
        "done_for_day",
    }
)
ENDS = frozenset({"canceled", "expired", "rejected"})


class Updates:
    """Turns what the venue says of an order into events, whatever order it is said in and however often."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._emit = client.emitter
        self._tracker = client.tracker
        self._ledger = client.fills
        self.legs = Legs(client)
        self.replacements = Replacements(client, self.legs)
        self.unknown_events = 0

    def on_update(self, update: TradeUpdate) -> None:
        """Apply one message of the trade-updates stream."""
        order = update.order
        found = self._client.retention.find(order)
        if found is None:
            if not self.legs.hold(update):
                self._client.external.on_update(update)
            return
        tracked, part = found
        part.heard_at, part.looks = asyncio.get_running_loop().time(), 0
        if self.replacements.is_one(part, order):
            self.replacements.on_update(update, tracked, part)
            if self.replacements.is_one(part, order):
                return
        if update.event == "rejected":
            self._known(tracked, part, order.id)
        elif update.event != "replaced":
            self.known(tracked, part, order, update.ts_ns)
        if update.event in FILLS:
            if not self.legs.waits_for_entry(update, tracked):
                self._on_fill(update, tracked, part)
        elif tracked.is_leg:
            return  # It ends, and is replaced, with its head.
        elif update.event in ENDS:
            self.end(tracked, part, order, update.event, update.ts_ns)
        elif update.event == "replaced":
            self.replacements.on_replaced(update, tracked, part)
        elif update.event == "order_replace_rejected":
            self.replacements.refused(tracked, part, "the venue refused the replacement", update.ts_ns)
        elif update.event == "order_cancel_rejected":
            self.cancel_refused(tracked, part, "the venue refused the cancellation", update.ts_ns)
        elif update.event not in QUIET:
            self.unknown_events += 1
            self._client.log.warning(f"Unknown event {update.event!r} of {tracked.id}: its order is {order.status!r}")

    def known(self, tracked: Tracked, part: Part, order: Order, ts_ns: int) -> None:
        """The venue has this part: its id is kept, and acceptance told once."""
        tracked.submitted_ns = tracked.submitted_ns or order.submitted_ns
        self._known(tracked, part, order.id)
        if order.id == part.order_id and order.qty is not None:
            part.shown_qty = order.qty
        if not tracked.closed and order.status != "rejected" and part is tracked.part and order.id == part.order_id:
            self._emit.accepted(tracked, order.id, ts_ns)
        if order.status != "rejected":
            self.legs.learn(tracked, order)

    def _known(self, tracked: Tracked, part: Part, order_id: str) -> None:
        if part.order_id is None:
            self._tracker.add_order_id(tracked, part, order_id)
        part.sent, part.unknown = True, False
        part.settled.set()
        tracked.known.set()

    def _on_fill(self, update: TradeUpdate, tracked: Tracked, part: Part) -> None:
        order = update.order
        if update.qty is None or update.price is None:
            self._client.repair(order.id, f"a {update.event} of {tracked.id} came without quantity or price")
            return
        if update.legs:
            self.legs.book_fills(update)
        fill = self._fill(order, update.qty, update.price, update.ts_ns, external=False)
        fill = self._client.fees.charge(fill, position_qty=update.position_qty, order=tracked.order)
        last = update.event == "fill" or order.status == "filled"
        self.book(tracked, fill, cum_qty=order.filled_qty, execution_id=update.execution_id, last=last)
        if not self._ledger.is_complete(order.id, order.filled_qty):
            self._client.repair(order.id, f"{tracked.id} has filled {order.filled_qty}, of which a part was not told")
        elif not self.legs.are_complete(tracked):
            self._client.repair(order.id, f"{tracked.id} has filled {order.filled_qty}, not all of its legs were told")
        elif order.status == "filled":
            if order.id == part.order_id:
                self.finish(tracked, part)
            else:
                self._client.repair(order.id, f"{order.id} filled, which is not the one that stands for {tracked.id}")

    def on_activity(self, activity: Activity) -> None:
        """Book a FILL activity, of whosever order."""
        if activity.qty is None or activity.price is None or activity.cum_qty is None:
            return
        found = self._client.find_id(activity.order_id)
        if found and found[1].order_ids and activity.order_id not in found[1].order_ids:
            # Of a replacing order that does not stand here yet: Nautilus must know its quantity first.
            self._client.repair(activity.order_id, f"a fill of {found[0].id} is of an order that was not told")
            return
        client_order_id = found[0].id if found else ""
        fill = Fill(
            activity.symbol or "",
            "buy" if activity.side == "buy" else "sell",
            activity.qty,
            activity.price,
            activity.order_id,
            client_order_id,
            activity.ts_ns,
            found is None,
            False,
            submitted_ns=found[0].submitted_ns if found else 0,
        )
        fill = self._client.fees.charge(fill, order=found[0].order if found else None)
        if found is None:
            self._client.external.on_fill(fill, cum_qty=activity.cum_qty, execution_id=None)
        elif self.book(
            found[0], fill, cum_qty=activity.cum_qty, execution_id=None, last=activity.leaves_qty == Decimal(0)
        ):
            self._client.log.warning(f"A fill of {found[0].id} was missed by the stream and found by REST: {fill}")

    def book(
        self, tracked: Tracked, fill: Fill, *, cum_qty: Decimal, execution_id: str | None, last: bool = False
    ) -> bool:
        """Book a fill and tell of it, unless it is booked already. `last`: its order has filled whole with it."""
        booked = self._ledger.book(fill, cum_qty=cum_qty, execution_id=execution_id)
        if booked is None:
            return False
        self._tell_fill(tracked, booked, trade_id_text(fill.order_id, cum_qty), last=last)
        return True

    def _tell_fill(self, tracked: Tracked, booked: Fill, trade_id: str, *, last: bool) -> None:
        if tracked.notional is not None:
            self._size(tracked, booked, last=last)
        self._emit.filled(tracked, booked, trade_id)
        self.legs.after_fill(tracked)
        self._client.touched()

    def _size(self, tracked: Tracked, booked: Fill, *, last: bool) -> None:
        """An order by dollars: how many shares it is of is told with its fills, and sure with the last."""
        part, instrument = tracked.part, self._client.instrument(tracked.instrument_id)
        if part is None or instrument is None or tracked.notional is None:
            return
        step = Decimal(1).scaleb(-instrument.size_precision)
        filled = tracked.filled + booked.qty
        rest = max(Decimal(0), tracked.notional - filled * booked.price) / booked.price if booked.price else Decimal(0)
        qty = filled if last else filled + max(step, rest.quantize(step))
        tracked.qty = part.qty = qty
        tracked.quantity = exact_quantity(qty, instrument.size_precision)
        self._emit.accepted(tracked, booked.order_id, booked.venue_ts_ns)
        self._emit.updated(tracked, part.order_id or booked.order_id, booked.venue_ts_ns, in_shares=True)

    def end(self, tracked: Tracked, part: Part, order: Order, status: str, ts_ns: int, reason: str = "") -> None:
        """The venue ended a part. Where fills of it are missing, those are fetched before it is told."""
        if part.done or order.id != (part.order_id or order.id):
            return
        if not self._ledger.is_complete(order.id, order.filled_qty):
            self._client.repair(order.id, f"{tracked.id} ended {status} with fills that were not told")
            return
        if not self.legs.are_complete(tracked):
            self._client.repair(order.id, f"{tracked.id} ended {status}, and not all fills of its legs were told")
            return
        self.finish(tracked, part, status, ts_ns, reason or f"the venue ended it as {status}")

    def finish(self, tracked: Tracked, part: Part, status: str = "filled", ts_ns: int = 0, reason: str = "") -> None:
        """A part has ended, and every fill of it is booked."""
        if part.done:
            return  # Told twice; another part may work by now.
        part.done, part.unknown, part.cancel_unknown = True, False, False
        part.settled.set()
        tracked.known.set()
        if part.replacement is not None:
            self.replacements.refused(tracked, part, f"the order was {status} first", ts_ns)
        # After a restart a half that had filled before is told with the other one on its way, or working.
        goes_on = any(other.sent and not other.done for other in tracked.parts)
        if not tracked.closed and not goes_on:
            if status == "filled":
                if tracked.held == 0:
                    self._tracker.close(tracked)
                    if tracked.filled < tracked.qty:
                        # The shares that waited were given up meanwhile; their end has not been told yet.
                        self._emit.canceled(tracked, ts_ns)
            else:
                self._tell_end(tracked, status, ts_ns, reason)
        self.legs.after_end(tracked, status, ts_ns, reason)
        if status != "filled":
            self._client.crossings.note_failure(tracked, status, reason)
        self._client.crossings.release(tracked.symbol)
        self._client.touched()

    def _tell_end(self, tracked: Tracked, status: str, ts_ns: int, reason: str) -> None:
        self._tracker.close(tracked)
        if status == "rejected":
            self._emit.rejected(tracked, reason, ts_ns)
        elif status == "expired":
            self._emit.expired(tracked, ts_ns)
        else:
            self._emit.canceled(tracked, ts_ns)

    def refused(self, tracked: Tracked, part: Part, reason: str) -> None:
        """The venue refused a part, or it is certain that it never got it."""
        if not part.done:
            self.finish(tracked, part, "rejected", 0, reason)

    def cancel_refused(self, tracked: Tracked, part: Part, reason: str, ts_ns: int = 0) -> None:
        """A cancel came to nothing, and the order works on. Told once for what was asked once."""
        part.cancel_unknown, part.canceling_since = False, None
        for one in tracked.group.orders if tracked.group else (tracked,):
            if one.cancel_requested and not one.closed:
                one.cancel_requested = False
                self._emit.cancel_rejected(one, reason, ts_ns)
                self._without_what_waited(one, ts_ns)

    def _without_what_waited(self, tracked: Tracked, ts_ns: int) -> None:
        """Shares that waited for a close were given up with the cancel: the order is of those that work on."""
        part, qty = tracked.part, sum((part.qty for part in tracked.parts), Decimal(0))
        if part is None or part.order_id is None or tracked.held > 0 or not 0 < qty < tracked.qty:
            return
        instrument = self._client.instrument(tracked.instrument_id)
        tracked.qty, tracked.quantity = qty, exact_quantity(qty, instrument.size_precision if instrument else 0)
        self._emit.updated(tracked, part.order_id, ts_ns)

    def learn(self, order: Order) -> None:
        """An order was read: if it is one of ours whose reply was lost, its id is kept, and its fills find it."""
        found = self._client.find(order)
        if found is None:
            if self.is_of_this_life(order):
                self._client.external.announce(order)
        elif self.replacements.is_one(found[1], order):
            self.replacements.learn(found[0], found[1], order)
        elif found[1].order_id is None and order.replaces is None:
            self._known(found[0], found[1], order.id)
            found[0].submitted_ns = found[0].submitted_ns or order.submitted_ns
            if order.status != "rejected":
                self.legs.learn(found[0], order)
        elif order.id == found[1].order_id:
            self.legs.learn(found[0], order)

    def is_of_this_life(self, order: Order) -> bool:
        """False for another's order that had ended before this connection: its fills are in the opening balance."""
        return (
            order.submitted_ns >= self._client.opened_ns
            or self._ledger.knows(order.id)
            or self._client.find(order) is not None
        )

    def end_members(self, head: Tracked, status: str, ts_ns: int, reason: str) -> None:
        """A head that was never sent has ended, and so have those that would have come with it."""
        self.legs.end_members(head, status, ts_ns, reason)

    # -- orders read by REST ------------------------------------------------------------------------

    def on_snapshot(self, order: Order, asked_at: float = 0.0) -> None:
        """Apply an order as REST showed it at `asked_at` (loop time). Its FILL activities must have been booked before.

        What its cumulative quantity says beyond them is inferred, and counted.
        """
        found = self._client.find(order)
        if found is None:
            self._client.external.on_snapshot(order)
            return
        tracked, part = found
        if self.replacements.is_one(part, order):
            self.replacements.learn(tracked, part, order)
            if order.id != part.order_id:
                return
        if order.status == "rejected":
            if self.legs.drop(order):
                return
            self._known(tracked, part, order.id)
        else:
            self.known(tracked, part, order, order.submitted_ns)
        self._infer(tracked, part, order)
        if tracked.is_leg:
            return  # It ends with its head.
        self._look_at_cancel(tracked, part, order, asked_at)
        if order.status == "replaced":
            part.replaced_ids.add(order.id)
            if order.id == part.order_id:
                self.replacements.follow(tracked, part, order.replaced_by)
        elif order.status == "filled" and order.id == part.order_id:
            if self._ledger.is_complete(order.id, order.filled_qty) and self.legs.are_complete(tracked):
                self.finish(tracked, part)
        elif order.status in ENDS:
            self.end(tracked, part, order, order.status, order.last_ns)

    def _look_at_cancel(self, tracked: Tracked, part: Part, order: Order, asked_at: float) -> None:
        since = part.canceling_since
        if since is None or order.id != part.order_id or order.status not in WORKING:
            return
        if asked_at > since + self._client.config.lookup_delay_max_s:
            self.cancel_refused(tracked, part, "the venue took the cancellation, and the order works on")

    def _infer(self, tracked: Tracked, part: Part, order: Order) -> None:
        if not self.legs.are_told(tracked, order):
            self._client.repair(order.id, f"the fills of the legs of {tracked.id} are not all known")
            return
        self.legs.carry_units(tracked, part, order)
        if self._ledger.is_complete(order.id, order.filled_qty):
            return
        # Of a multi-leg order as a whole its legs have told already what is repeated.
        if order.symbol and self.replacements.carries(order):
            self.replacements.carry(part, order)
            return
        price = order.filled_avg_price or order.limit_price or Decimal(0)
        fill = self._fill(order, order.filled_qty, price, order.last_ns, external=False)
        fill = self._client.fees.charge(fill, order=tracked.order)
        booked = self._ledger.infer(fill, filled_qty=order.filled_qty, avg_price=order.filled_avg_price)
        if booked is not None:
            if order.symbol:
                self._client.log.error(f"A fill of {tracked.id} had to be inferred from its order: {booked}")
            trade_id = trade_id_text(order.id, order.filled_qty, inferred=True)
            self._tell_fill(tracked, booked, trade_id, last=order.status == "filled")

    def _fill(self, order: Order, qty: Decimal, price: Decimal, ts_ns: int, *, external: bool) -> Fill:
        side = "buy" if order.side == "buy" else "sell"
        return Fill(
            order.symbol,
            side,
            qty,
            price,
            order.id,
            order.client_order_id,
            ts_ns,
            external,
            False,
            submitted_ns=order.submitted_ns,
        )
