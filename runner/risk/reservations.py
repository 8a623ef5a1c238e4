"""The room that each order has taken, from the moment the gate lets it through until it is closed.

The order itself says how much of it is open, so that fills turn room into position in the same step in which Nautilus
books them. What is remembered here is what the order can't say yet: its account before it is submitted, the price it
was judged at, and what the modifications under way could make of it.

An update answers the modification whose wishes the order meets now; any other update is the venue's own. A refusal does
not say what was refused, and some are refused before they come here: what could still come counts until every
modification that was asked for has its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderModifyRejected, OrderPendingUpdate, OrderUpdated
from nautilus_trader.model.identifiers import is_generic_spread_id

from runner.risk.exposure import NANO, Leg, nanos, nanos_below


class Wishes(NamedTuple):
    """What a modification asks for, as Nautilus has it; None for what stays as it is."""

    quantity: Any = None
    price: Any = None
    trigger_price: Any = None


class Change(NamedTuple):
    """A modification that was let through and may still come: what it asks for, the whole quantity that it comes to (in
    billionths) and what one unit was judged at (in nano-dollars).
    """

    wishes: Wishes
    units: int
    worth: int | None

    def is_met_by(self, order: Any) -> bool:
        quantity, price, trigger_price = self.wishes
        return (
            (quantity is None or quantity == order.quantity)
            and (price is None or price == getattr(order, "price", None))
            and (trigger_price is None or trigger_price == getattr(order, "trigger_price", None))
        )


@dataclass(slots=True)
class Reservation:
    """`price`: what one unit was judged at, in nano-dollars. `pending`: the modifications that may still come. `asked`:
    how many answers are awaited, those to modifications that never got this far included. `ahead`: how
    many of them have been told of, and have not come here. Of an order that has not left yet nothing is told ahead.
    """

    order: Any
    account_id: Any
    price: int | None
    pending: list[Change] = field(default_factory=list)
    asked: int = 0
    ahead: int = 0
    known: Leg | None = None
    """The open part, until something happens to the order."""

    def leg(self) -> Leg:
        """The open part at its largest, whichever of the modifications under way come through."""
        if self.known is None:
            self.known = self._open_part()
        return self.known

    def _open_part(self) -> Leg:
        order, units, price = self.order, nanos(self.order.leaves_qty), self.price
        if order.is_quote_quantity:
            # Without a price the quantity is money and can't be told in shares; the gate never reserves such an order.
            units = -(-units * NANO // price) if price else units
        for change in self.pending:
            units = max(units, change.units - nanos(order.filled_qty))
            price = None if price is None or change.worth is None else max(price, change.worth)
        leg = Leg(order, units, price)
        asked = [change.wishes.price for change in self.pending if change.wishes.price is not None]
        if asked and order.has_price:
            leg.limit = nanos(max(order.price, *asked)) if leg.buy else nanos_below(min(order.price, *asked))
        return leg

    def told(self) -> None:
        """One is asked for: it will come here, unless it is refused on its way."""
        self.asked += 1
        self.ahead += 1

    def came(self) -> None:
        """One has come: its answer is awaited, where nobody has told of it, too."""
        if self.ahead:
            self.ahead -= 1
        else:
            self.asked += 1

    def answered(self) -> None:
        """One of the answers has come. With the last nothing is under way any more."""
        self.asked = max(self.asked - 1, 0)
        if not self.asked:
            self.pending.clear()
            self.ahead = 0

    def updated(self) -> None:
        """The order stands anew."""
        change = next((each for each in self.pending if each.is_met_by(self.order)), None)
        self.price = self._price(change)
        if change is not None:
            self.pending.remove(change)
            self.answered()

    def _price(self, change: Change | None) -> int | None:
        """What a unit counts for from now on: where it buys at a limit that, else what it was judged at last."""
        order = self.order
        limit = nanos(order.price) if order.has_price and not is_generic_spread_id(order.instrument_id) else None
        if limit is not None and order.side == OrderSide.BUY:
            return limit
        if change is None:
            return self.price if limit is None or self.price is None else max(self.price, limit)
        if order.has_price and self.price is not None and not _reprices(order, change.wishes):
            return self.price  # its limit is what it was judged at
        if _reprices(order, change.wishes) or self.price is None or change.worth is None:
            return change.worth
        return max(self.price, change.worth)


class Reservations:
    """All reservations, by client order id."""

    def __init__(self) -> None:
        self._by_id: dict[Any, Reservation] = {}
        self._asked: dict[Any, int] = {}  # of orders that have no reservation yet
        self.on_change: Callable[[Any], None] | None = None
        """Called with the client order id of each reservation that is changed or released."""

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, client_order_id: Any) -> Reservation | None:
        return self._by_id.get(client_order_id)

    def reserve(self, order: Any, account_id: Any, price: int | None, leg: Leg | None = None) -> None:
        """Take the room of an order that passed; `leg` is its open part where that is known already."""
        self._by_id[order.client_order_id] = Reservation(order, account_id, price, known=leg)

    def is_moving(self, client_order_id: Any) -> bool:
        """Whether a modification of it may still come."""
        reservation = self._by_id.get(client_order_id)
        return reservation is not None and bool(reservation.pending)

    def dearest(self, order: Any, command: Any) -> Any:
        """What a modification is to be judged by: what it leaves as it is may become what others under way ask for."""
        reservation = self._by_id.get(order.client_order_id)
        if reservation is None or not reservation.pending:
            return command
        own = Wishes(order.quantity, *(getattr(order, name, None) for name in Wishes._fields[1:]))
        all_of_them = (own, *(change.wishes for change in reservation.pending))
        given = (command.quantity, command.price, command.trigger_price)
        return Wishes(*(
            wish if wish is not None else max((each for each in could if each is not None), default=None)
            for wish, could in zip(given, zip(*all_of_them, strict=True), strict=True)
        ))  # fmt: skip

    def limit(self, client_order_id: Any) -> int | None:
        """The limit nearest to the other side that it may come to have by what is under way, in nano-dollars; None
        where nothing of the kind is. A sale of options at a lower one brings less, and so costs more.
        """
        reservation = self._by_id.get(client_order_id)
        return None if reservation is None else reservation.leg().limit

    def expect(
        self, order: Any, account_id: Any, wishes: Wishes, units: int, worth: int | None, judged: int | None
    ) -> None:
        """A modification is on its way, to so many units that are worth so much each. `judged`: what one unit of the
        order as it stands is worth today.
        """
        client_order_id = order.client_order_id
        reservation = self._by_id.get(client_order_id)
        if reservation is None:
            asked = self._asked.pop(client_order_id, 0)
            reservation = self._by_id[client_order_id] = Reservation(
                order, account_id, judged, asked=asked, ahead=asked
            )
        reservation.pending.append(Change(wishes, units, worth if _reprices(order, wishes) else judged))
        reservation.came()
        reservation.known = None
        try:
            self._changed(client_order_id)
        except Exception:
            reservation.pending.pop()  # it is denied
            reservation.known = None
            raise

    def deny(self, client_order_id: Any) -> None:
        """A modification that came is refused here: its refusal answers no other."""
        if (reservation := self._by_id.get(client_order_id)) is not None:
            reservation.came()

    def follow(self, client_order_id: Any) -> None:
        """Something happened to the order that this one goes with."""
        if (reservation := self._by_id.get(client_order_id)) is None:
            return
        reservation.known = None
        if reservation.order.is_closed:
            self.release(client_order_id)
        else:
            self._changed(client_order_id)

    def release(self, client_order_id: Any) -> None:
        if self._by_id.pop(client_order_id, None) is not None:
            self._changed(client_order_id)

    def _changed(self, client_order_id: Any) -> None:
        if self.on_change is not None:
            self.on_change(client_order_id)

    def on_event(self, event: Any) -> None:
        """Follow an order's event, after Nautilus has applied it to the order."""
        client_order_id = event.client_order_id
        reservation = self._by_id.get(client_order_id)
        if reservation is None:
            self._count(event)
            self._changed(client_order_id)  # one that the gate has never seen
            return
        reservation.known = None
        if reservation.order.is_closed:
            self.release(client_order_id)
            return
        if isinstance(event, OrderPendingUpdate):
            reservation.told()
        elif isinstance(event, OrderUpdated):
            reservation.updated()
        elif isinstance(event, OrderModifyRejected):
            reservation.answered()
        self._changed(client_order_id)

    def _count(self, event: Any) -> None:
        """Of an order without a reservation: how many answers are awaited, should a modification of it pass."""
        client_order_id = event.client_order_id
        if isinstance(event, OrderPendingUpdate):
            self._asked[client_order_id] = self._asked.get(client_order_id, 0) + 1
        elif isinstance(event, OrderModifyRejected) and (asked := self._asked.pop(client_order_id, 0)) > 1:
            self._asked[client_order_id] = asked - 1


def _reprices(order: Any, wishes: Wishes) -> bool:
    """Whether it asks for another price of the kind that tells what a unit is worth."""
    return (wishes.price if order.has_price else wishes.trigger_price) is not None
