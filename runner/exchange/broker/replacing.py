"""What a PATCH makes of an order ([OAS-T] PatchOrderRequest)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from runner.exchange.broker.crypto import truncated
from runner.exchange.broker.groups import COMPLEX
from runner.exchange.broker.legality import check_exits
from runner.exchange.broker.orders import EXITS, Order
from runner.exchange.broker.request import TIMES_IN_FORCE, OrderRequest, check_client_order_id
from runner.exchange.broker.wire import parse_decimal
from runner.exchange.errors import invalid, unprocessable

# An order's own prices may be replaced, by type; a price that the type has not is refused.
PRICES: Final[dict[str, frozenset[str]]] = {
    "market": frozenset(),
    "limit": frozenset({"limit_price"}),
    "stop": frozenset({"stop_price"}),
    "stop_limit": frozenset({"limit_price", "stop_price"}),
    "trailing_stop": frozenset({"trail"}),
}


def as_request(order: Order) -> OrderRequest:
    """The order as if it were sent again. A trailing stop's own stop price is the venue's, not the sender's."""
    return OrderRequest(
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        qty=order.qty,
        notional=order.notional,
        limit_price=order.limit_price,
        stop_price=None if order.type == "trailing_stop" else order.stop_price,
        trail_price=order.trail_price,
        trail_percent=order.trail_percent,
        extended_hours=order.extended_hours,
    )


def changed(order: Order, body: dict[str, Any]) -> OrderRequest:
    """The request for the new order; 422 where nothing changes or a change isn't allowed. `qty` is the order's
    total.
    """
    if order.order_class == "oto":
        raise unprocessable("oto orders cannot be replaced")
    if order.notional is not None or body.get("notional") is not None:
        raise unprocessable("notional orders cannot be replaced")
    old = as_request(order)
    changes: dict[str, Any] = {}
    qty = parse_decimal(body.get("qty"), "qty")
    if qty is not None and qty != order.qty:
        if qty <= 0:
            raise invalid("qty must be > 0")
        whole = order.asset_class != "crypto"
        if order.fractional and whole:
            raise unprocessable("qty of fractional orders cannot be replaced")
        if whole and qty != qty.to_integral_value():
            raise unprocessable("qty must be integer for replace")
        changes["qty"] = qty if whole else truncated(qty)
    tif = body.get("time_in_force")
    if tif is not None:
        if tif not in TIMES_IN_FORCE:
            raise invalid("invalid time_in_force")
        changes["time_in_force"] = tif
    for name in ("limit_price", "stop_price", "trail"):
        value = parse_decimal(body.get(name), name)
        if value is None:
            continue
        if name not in PRICES[order.type]:
            raise invalid(f"{name} is not accepted for {order.type} orders")
        changes[_trail_member(order) if name == "trail" else name] = value
    if order.type == "trailing_stop" and order.triggered:
        raise unprocessable("cannot replace a triggered trailing stop order")
    if order.order_class in COMPLEX and not set(changes) <= {"limit_price", "stop_price"}:
        raise unprocessable(f"only limit_price and stop_price of {order.order_class} orders can be replaced")
    new = replace(old, **changes)
    if new == old:
        raise unprocessable("order parameters are not changed")
    return replace(new, client_order_id=check_client_order_id(body.get("client_order_id")))


def _trail_member(order: Order) -> str:
    return "trail_price" if order.trail_price is not None else "trail_percent"


def check_exit_prices(order: Order, request: OrderRequest) -> None:
    """The exits of a family must stand on their sides of each other, and of the entry while it works."""
    if order.order_class not in COMPLEX:
        return
    root = order.parent or order
    prices = {one.role: request if one is order else as_request(one) for one in order.family}
    entry = prices.get("")
    profit, stop = (prices.get(role) for role in EXITS)
    check_exits(
        replace(
            entry if entry is not None and root.open else as_request(root),
            order_class=order.order_class,
            type="market" if entry is not None and not root.open else root.type,
            limit_price=entry.limit_price if entry is not None and root.open else None,
            stop_price=entry.stop_price if entry is not None and root.open else None,
            take_profit=None if profit is None else profit.limit_price,
            stop_loss=None if stop is None else stop.stop_price,
            stop_loss_limit=None if stop is None else stop.limit_price,
        )
    )
