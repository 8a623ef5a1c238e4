"""Orders that belong together: brackets, one-cancels-other and one-triggers-other.

Source: docs.alpaca.markets "Orders at Alpaca", order classes. The exits of a bracket and an OTO order are held until
the entry is filled whole; a fill of one exit shrinks the other, its last fill cancels it; whatever else ends one order
of the family ends all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from runner.exchange.broker.accounts import Account
from runner.exchange.broker.lifecycle import Lifecycle
from runner.exchange.broker.orders import EXITS, Order, Side
from runner.exchange.broker.request import OrderRequest

COMPLEX: Final = frozenset({"bracket", "oco", "oto"})


def exit_requests(request: OrderRequest) -> dict[str, OrderRequest]:
    """The orders that leave the position again, by role. Of an OCO order the first is the order itself."""
    own = request.order_class == "oco"
    other: Side = "sell" if request.side == "buy" else "buy"
    base = replace(
        request,
        side=request.side if own else other,
        stop_price=None,
        limit_price=None,
        take_profit=None,
        stop_loss=None,
        stop_loss_limit=None,
        position_intent=None,
        client_order_id=None,
    )
    found: dict[str, OrderRequest] = {}
    if request.take_profit is not None:
        found["take_profit"] = replace(base, type="limit", limit_price=request.take_profit)
    if request.stop_loss is not None:
        kind = "stop" if request.stop_loss_limit is None else "stop_limit"
        found["stop_loss"] = replace(base, type=kind, stop_price=request.stop_loss, limit_price=request.stop_loss_limit)
    return found


class Groups:
    """What a step of one order does to the others of its family."""

    def __init__(self, life: Lifecycle, start: Callable[[Account, Order], None]) -> None:
        self._life = life
        self._start = start
        life.after.append(self._after)

    def _after(self, account: Account, order: Order) -> None:
        if order.order_class not in COMPLEX:
            return
        if order.role in EXITS and order.status in {"filled", "partially_filled"}:
            self._exit_filled(account, order)
        elif order.status == "filled":
            self._entry_filled(account, order)
        elif order.status in {"canceled", "expired", "rejected"}:
            for other in order.family:
                if other.open:
                    self._life.simple(account, other, "expired" if order.status == "expired" else "canceled")

    def _entry_filled(self, account: Account, entry: Order) -> None:
        # They are of the whole entry, as its quantity can't be replaced: what filled under earlier ids counts too.
        for leg in entry.legs:
            if leg.status == "held":
                self._start(account, leg)

    def _exit_filled(self, account: Account, order: Order) -> None:
        for other in order.exits:
            if other is order or not other.open:
                continue
            if order.status == "filled":
                self._life.simple(account, other, "canceled")
            else:
                self._shrink(other, order.leaves)

    @staticmethod
    def _shrink(order: Order, left: Decimal) -> None:
        order.qty = order.filled_qty + left


def take_place(old: Order, new: Order) -> None:
    """`new` has replaced `old`: it is in its family now. A multi-leg order comes with legs of its own."""
    if new.several:
        return
    if old.parent is not None:
        old.parent.legs[old.parent.legs.index(old)] = new
        return
    new.legs, old.legs = old.legs, []
    for leg in new.legs:
        leg.parent = new
