"""The room that each order has taken, from the moment the gate lets it through until it is closed.

The order itself says how much of it is open, so that fills turn room into position in the same step in which Nautilus
books them. What is remembered here is what the order can't say yet: its account before it is submitted, the price it
was judged at, and a larger quantity that is asked for but not confirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.model.events import OrderModifyRejected, OrderPendingUpdate, OrderUpdated

from runner.risk.exposure import NANO, Leg, nanos


@dataclass(slots=True)
class Reservation:
    """`price`: what one unit was judged at, in nano-dollars. `pending`: quantity (in billionths) and price of each
    modification let through and not answered yet. `asked`: how many modifications the strategy waits for, those that
    never got this far included.
    """

    order: Any
    account_id: Any
    price: int | None
    pending: deque[tuple[int, int | None]] = field(default_factory=deque)
    asked: int = 0
    known: Leg | None = None
    """The open part, until something happens to the order."""

    def leg(self) -> Leg:
        """The open part at its largest, whether or not the modifications under way come through."""
        if self.known is None:
            self.known = self._open_part()
        return self.known

    def _open_part(self) -> Leg:
        units, price = nanos(self.order.leaves_qty), self.price
        if self.order.is_quote_quantity:
            # Without a price the quantity is money and can't be told in shares; the gate never reserves such an order.
            units = -(-units * NANO // price) if price else units
        for new_units, new_price in self.pending:
            units = max(units, new_units - nanos(self.order.filled_qty))
            price = None if price is None or new_price is None else max(price, new_price)
        return Leg(self.order, units, price)


class Reservations:
    """All reservations, by client order id."""

    def __init__(self) -> None:
        self._by_id: dict[Any, Reservation] = {}
        self.on_change: Callable[[Any], None] | None = None
        """Called with the client order id of each reservation that is changed or released."""

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, client_order_id: Any) -> Reservation | None:
        return self._by_id.get(client_order_id)

    def reserve(self, order: Any, account_id: Any, price: int | None, leg: Leg | None = None) -> None:
        """Take the room of an order that passed; `leg` is its open part where that is known already."""
        self._by_id[order.client_order_id] = Reservation(order, account_id, price, known=leg)

    def expect(self, order: Any, account_id: Any, units: int, price: int | None, judged: int | None) -> None:
        """A modification to `units` and `price` is on its way; `judged` is today's worth of one unit."""
        reservation = self._by_id.get(order.client_order_id)
        if reservation is None:
            reservation = self._by_id[order.client_order_id] = Reservation(order, account_id, judged)
        reservation.pending.append((units, price))
        reservation.known = None
        try:
            self._changed(order.client_order_id)
        except Exception:
            reservation.pending.pop()  # it is denied, so nobody will answer it
            reservation.known = None
            raise

    def release(self, client_order_id: Any) -> None:
        if self._by_id.pop(client_order_id, None) is not None:
            self._changed(client_order_id)

    def _changed(self, client_order_id: Any) -> None:
        if self.on_change is not None:
            self.on_change(client_order_id)

    def on_event(self, event: Any, *, denied_here: bool = False) -> None:
        """Follow an order's event, after Nautilus has applied it to the order.

        `denied_here`: the event is the gate's own denial of a modification, which took no room.
        """
        reservation = self._by_id.get(event.client_order_id)
        if reservation is None:
            self._changed(event.client_order_id)  # one that the gate has never seen
            return
        reservation.known = None
        if reservation.order.is_closed:
            self.release(event.client_order_id)
            return
        if isinstance(event, OrderPendingUpdate):
            reservation.asked += 1
        elif isinstance(event, OrderUpdated):
            reservation.asked = max(reservation.asked - 1, 0)
            self._confirm(reservation, nanos(event.quantity))
        elif isinstance(event, OrderModifyRejected):
            # Nautilus's own risk engine rejects some before they come here. Where the answer may be to one of those,
            # all room stays taken; otherwise the smallest is given back, since the event does not say which it was.
            ours = not denied_here and reservation.asked <= len(reservation.pending)
            reservation.asked = max(reservation.asked - 1, 0)
            if ours and reservation.pending:
                reservation.pending.remove(min(reservation.pending, key=lambda pending: pending[0]))
        self._changed(event.client_order_id)

    @staticmethod
    def _confirm(reservation: Reservation, units: int) -> None:
        """Let go of the modification that an update confirms and of those before it; other updates are the venue's."""
        for index, (pending, price) in enumerate(reservation.pending):
            if pending == units:
                if price is not None:
                    reservation.price = price
                for _ in range(index + 1):
                    reservation.pending.popleft()
                return
