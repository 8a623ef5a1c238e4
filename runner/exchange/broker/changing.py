"""DELETE and PATCH /v2/orders/{id}: orders are cancelled and replaced."""

from __future__ import annotations

from typing import Any

from runner.exchange.broker.accounts import ZERO, Account
from runner.exchange.broker.checks import check_wash_trade
from runner.exchange.broker.floor import Floor
from runner.exchange.broker.groups import take_place
from runner.exchange.broker.legality import check_asset, check_stop
from runner.exchange.broker.matching import trail
from runner.exchange.broker.orders import NOT_REPLACEABLE, Order
from runner.exchange.broker.replacing import changed, check_exit_prices
from runner.exchange.broker.request import check_prices
from runner.exchange.broker.spreads import Spreads, changed_spread, refused_leg
from runner.exchange.errors import unprocessable

UNDECIDED = frozenset({"pending_cancel", "pending_replace"})


class Changing:
    """Cancels and replacements."""

    def __init__(self, floor: Floor, spreads: Spreads) -> None:
        self._floor = floor
        self._spreads = spreads

    def cancel(self, account: Account, order: Order) -> None:
        """Accepted, which is not yet done; 422 where the order has ended another way."""
        if order.status == "canceled":
            return
        if not order.open or order.status in UNDECIDED:
            noun = "order" if order.parent is None else "leg order"
            state = f'"{order.status}"' if order.parent is None else order.status
            raise unprocessable(f"{noun} is already in {state} state")
        if order.role == "leg":
            raise refused_leg(order)
        floor = self._floor
        if order.working and floor.faults.take_race("cancel"):
            order.before_pending = order.status
            floor.life.simple(account, order, "pending_cancel")
            floor.book.decide_later(order, None)
            return
        floor.book.end(account, order, "canceled")

    def replace(self, account: Account, order: Order, body: dict[str, Any]) -> dict[str, Any]:
        """The new order, which takes the old one's place; the old id ends `replaced`."""
        check_replaceable(order)
        if order.role == "leg":
            raise refused_leg(order)
        floor = self._floor
        if order.several:
            new = self._spreads.make(account, changed_spread(order, body), without=order)
            new.replaces = order.id
            if floor.settings.replace_carries_fills:
                carry(new, order)
            return self.take_place(account, order, new)
        request = changed(order, body)
        check_prices(request)
        floor.check_client_order_id(account, request.client_order_id)
        asset, hours = check_asset(
            request, floor.market.asset(order.symbol), fractional_enabled=account.configuration.fractional_trading
        )
        floor.check_hours(hours)
        if request.stop_price != order.stop_price:
            check_stop(request, floor.prices.current(order.symbol))
        check_exit_prices(order, request)
        total = request.qty or ZERO
        if total <= order.filled_qty:
            raise unprocessable("qty must be > filled_qty")
        left = total - order.filled_qty
        floor.check_quantity(account, request, order.position_intent, left, without=order)
        if not order.role:
            check_wash_trade(account, request, without=order)
        new = floor.make(account, request, asset, order.position_intent)
        new.qty = left
        floor.check_funds(account, new, asset, without=order)
        if floor.settings.replace_carries_fills:
            carry(new, order)
        _inherit(new, order)
        return self.take_place(account, order, new)

    def take_place(self, account: Account, old: Order, new: Order) -> dict[str, Any]:
        """`new` goes to work for `old`, at once or (where a fault asks for it) once the venue has decided."""
        floor = self._floor
        for one in new.family if new.several else (new,):
            account.add_order(one)
        if floor.faults.take_race("replace"):
            floor.book.add(account, new)
            old.before_pending = old.status
            floor.life.simple(account, old, "pending_replace")
            reply = new.json()
            floor.book.decide_later(old, new)
            return reply
        old.replaced_by = new.id
        floor.book.end(account, old, "replaced")
        take_place(old, new)
        reply = new.json()
        floor.book.add(account, new)
        floor.book.start(account, new)
        floor.book.now_or_never(account, new)
        return reply


def check_replaceable(order: Order) -> None:
    """Only what works at the venue can be replaced."""
    if order.status == "replaced":
        raise unprocessable("order already replaced")
    if order.status == "held":
        raise unprocessable("unable to replace order, order isn't sent to exchange yet")
    if order.status in NOT_REPLACEABLE:
        raise unprocessable(f"cannot replace order in {order.status} status")


def carry(new: Order, old: Order) -> None:
    """The new order shows what the old one has filled, and the whole quantity."""
    for one, before in zip(new.family if new.several else (new,), old.family if old.several else (old,), strict=True):
        assert one.qty is not None
        one.qty += before.filled_qty
        one.filled_qty, one.filled_value = before.filled_qty, before.filled_value


def _inherit(new: Order, old: Order) -> None:
    new.replaces = old.id
    new.order_class, new.role, new.parent, new.ratio = old.order_class, old.role, old.parent, old.ratio
    new.hwm, new.triggered = old.hwm, old.triggered
    if old.type == "trailing_stop":
        new.stop_price = None
        if (price := new.hwm) is not None:
            new.hwm = None
            trail(new, price)
