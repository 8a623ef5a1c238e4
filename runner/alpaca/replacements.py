"""An order that is replaced stands under another id at the venue, and stays one order here.

The venue says so twice, in either order: the old order was replaced, the new one is there. Until the new one stands,
the old one may still fill, and the replacement be rejected. What it shows as filled may repeat the old one's fills.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from runner.alpaca.emit import exact_price, exact_quantity
from runner.alpaca.legs import Legs
from runner.alpaca.models import FILLS, Order, TradeUpdate
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: Events after which a replacing order stands in the place of the old one.
STANDS = frozenset({"new", "fill", "partial_fill", "canceled", "expired", "done_for_day"})
#: Statuses of a replacing order that may still be rejected, so that the old one works on.
UNDECIDED = frozenset({"accepted", "pending_new", "accepted_for_bidding", "held", "pending_review"})


class Replacements:
    """Brings a part from one id to the next."""

    def __init__(self, client: AlpacaExecutionClient, legs: Legs) -> None:
        self._client = client
        self._emit = client.emitter
        self._tracker = client.tracker
        self._ledger = client.fills
        self._legs = legs

    def is_one(self, part: Part, order: Order) -> bool:
        """Whether `order` replaces the one that stands for a part, and does not stand itself yet."""
        return bool(part.order_ids) and order.id not in part.order_ids and order.replaces in part.order_ids

    def on_update(self, update: TradeUpdate, tracked: Tracked, part: Part) -> None:
        """An update of a replacing order that did not stand yet. Where it does now, the update is still to apply."""
        order, replaced_id = update.order, part.order_id
        self._note(tracked, part, order)
        if update.event == "rejected":
            self._rejected(tracked, part, order, update.ts_ns)
        elif update.event in STANDS:
            now = update.qty if update.event in FILLS and update.qty is not None else Decimal(0)
            self._switch(tracked, part, order, update.ts_ns, repeated=order.filled_qty - now)
            if update.event == "new" and order.filled_qty > 0:
                self.carry(part, order)  # Nothing has filled under this id yet: it repeats the old one's figures.
            if replaced_id is not None and replaced_id not in part.replaced_ids:
                self._client.repair(replaced_id, f"{tracked.id} stands anew, and how the old order ended was not told")

    def learn(self, tracked: Tracked, part: Part, order: Order) -> None:
        """The replacing `order` was read by REST."""
        self._note(tracked, part, order)
        if order.status == "rejected":
            self._rejected(tracked, part, order, order.last_ns)
        elif order.status not in UNDECIDED or order.replaces in part.replaced_ids:
            self._switch(tracked, part, order, order.last_ns)
        # Else the venue has not decided yet: the old order may fill first.

    def on_replaced(self, update: TradeUpdate, tracked: Tracked, part: Part) -> None:
        """The venue says that the order that stood was replaced."""
        order = update.order
        new_id = order.replaced_by or (part.replacement.order_id if part.replacement else None)
        part.replaced_ids.add(order.id)
        if not self._ledger.is_complete(order.id, order.filled_qty):
            self._client.repair(order.id, f"{tracked.id} was replaced with fills that were not told")
        if new_id is not None and new_id in part.order_ids:
            return
        wanted = part.replacement
        if new_id is None or wanted is None or wanted.order_id not in (None, new_id):
            # Replaced by somebody else: only the venue knows how it stands now.
            self.follow(tracked, part, new_id)
            return
        self._stand(tracked, part, new_id, wanted.client_order_id, wanted.qty)
        part.shown_qty = wanted.shown_qty
        self._emit.updated(tracked, new_id, update.ts_ns, price=wanted.price, trigger_price=wanted.trigger_price)

    def follow(self, tracked: Tracked, part: Part, order_id: str | None) -> None:
        """An order was replaced by one that is not known here: read that."""
        if order_id is None:
            if part.order_id is not None and part.replacement is not None:
                self._client.settler.watch_replacement(tracked, part, part.replacement)
            return
        self._tracker.note_order_id(tracked, part, order_id)
        self._client.repair(order_id, f"{tracked.id} was replaced by {order_id}")

    def refused(self, tracked: Tracked, part: Part, reason: str, ts_ns: int = 0) -> None:
        """A modification failed, and the order stands as it did."""
        if part.replacement is None:
            return
        part.replacement = None
        if not tracked.closed:
            self._emit.modify_rejected(tracked, reason, ts_ns)

    # -- what the new order repeats -------------------------------------------------------------------

    def carries(self, order: Order) -> bool:
        """Whether what is missing of an order is just what the one that it replaced, or was to replace, had filled."""
        if order.status == "rejected":
            return True  # It never worked.
        replaced_id = order.replaces or self._legs.before(order)
        before = self._ledger.booked_qty(replaced_id) if replaced_id else Decimal(0)
        return before > 0 and self._ledger.missing(order.id, order.filled_qty) == [(Decimal(0), before)]

    def carry(self, part: Part, order: Order) -> None:
        """A replacing order shows as filled what the replaced one had filled: known, not filled again."""
        before = self._ledger.booked_qty(order.id)
        self._ledger.seed(order.id, order.filled_qty, order.filled_avg_price)
        part.carried += self._ledger.booked_qty(order.id) - before

    # -- from one id to the next ----------------------------------------------------------------------

    def _switch(
        self, tracked: Tracked, part: Part, order: Order, ts_ns: int, *, repeated: Decimal | None = None
    ) -> None:
        """The replacing `order` stands now, as it is written there.

        `repeated`: what it showed as filled before any execution of its own, where that is known.
        """
        instrument = self._client.instrument(tracked.instrument_id)
        wanted = part.replacement
        if wanted is not None and wanted.client_order_id == order.client_order_id:
            qty = wanted.qty
        else:
            # Somebody else's doing. Where it repeats what had filled, its quantity is the whole, else what is left.
            filled = part.filled(self._ledger)
            shown = order.filled_qty if repeated is None else repeated
            qty = (order.qty or part.qty) + (Decimal(0) if shown >= filled else filled)
        self._stand(tracked, part, order.id, order.client_order_id, qty)
        self._legs.learn(tracked, order)
        precision = instrument.price_precision if instrument else 2
        limit, stop = order.limit_price, order.stop_price
        self._emit.updated(
            tracked,
            order.id,
            ts_ns,
            price=None if limit is None else exact_price(limit * tracked.price_sign, precision),
            trigger_price=None if stop is None else exact_price(stop, precision),
        )

    def _stand(self, tracked: Tracked, part: Part, order_id: str, client_order_id: str, qty: Decimal) -> None:
        self._tracker.add_order_id(tracked, part, order_id)
        self._tracker.add_client_id(tracked, part, client_order_id)
        if part.replacement is not None and part.replacement.client_order_id != client_order_id:
            self.refused(tracked, part, "another replacement came first")
        part.client_order_id, part.replacement = client_order_id, None
        if len(tracked.parts) == 1 and tracked.held == 0 and qty != part.qty:
            instrument = self._client.instrument(tracked.instrument_id)
            tracked.qty = qty
            tracked.quantity = exact_quantity(qty, instrument.size_precision if instrument else 0)
        part.qty = qty

    def _note(self, tracked: Tracked, part: Part, order: Order) -> None:
        self._tracker.note_order_id(tracked, part, order.id)
        wanted = part.replacement
        if wanted is not None and wanted.client_order_id == order.client_order_id:
            wanted.order_id, wanted.unknown = order.id, False

    def _rejected(self, tracked: Tracked, part: Part, order: Order, ts_ns: int) -> None:
        for leg in order.legs or ():
            self._legs.drop(leg)
        wanted = part.replacement
        if wanted is not None and wanted.client_order_id == order.client_order_id:
            self.refused(tracked, part, "the venue rejected the replacing order", ts_ns)
