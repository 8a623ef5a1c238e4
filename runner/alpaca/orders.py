"""Nautilus orders as Alpaca request bodies, and what Alpaca does not take, found before anything is sent.

Source of the rules: Alpaca's page "Orders at Alpaca" and its error texts (time in force by type, sub-penny, fractions).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from nautilus_trader.model.enums import (
    ContingencyType,
    OrderSide,
    OrderType,
    TimeInForce,
    TriggerType,
    order_type_to_str,
    time_in_force_to_str,
    trigger_type_to_str,
)

from runner.alpaca.constants import MAX_CLIENT_ORDER_ID

TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP_MARKET: "stop",
    OrderType.STOP_LIMIT: "stop_limit",
}
TIMES_IN_FORCE = {
    TimeInForce.DAY: "day",
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
}
TYPES_BACK = {text: kind for kind, text in TYPES.items()}
TIMES_IN_FORCE_BACK = {text: kind for kind, text in TIMES_IN_FORCE.items()}
#: How Alpaca may trigger a stop is not selectable; these ask for nothing else than its own way.
TRIGGERS = frozenset({TriggerType.NO_TRIGGER, TriggerType.DEFAULT, TriggerType.LAST_PRICE})
DOLLAR = Decimal(1)


def side_text(side: OrderSide) -> str:
    """The side as Alpaca writes it: "buy" or "sell"."""
    return "buy" if side == OrderSide.BUY else "sell"


def is_immediate(order: Any) -> bool:
    """Whether the venue fills or ends it at once, in the session that it may trade in."""
    return order.order_type == OrderType.MARKET or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)


def decimal_text(value: Decimal) -> str:
    """Plain decimal text without trailing zeros: 10, 0.5, 180.05."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def denial(order: Any, instrument: Any, params: dict[str, Any] | None = None) -> str | None:
    """Why Alpaca would not take this order as `CODE: sentence`, or None. Says nothing about money or positions."""
    return (
        _kind_denial(order)
        or _instruction_denial(order, params or {})
        or _size_denial(order, instrument)
        or _price_denial(order)
        or _asset_denial(instrument)
    )


def _kind_denial(order: Any) -> str | None:
    if order.order_type not in TYPES:
        kinds = ", ".join(sorted(order_type_to_str(kind) for kind in TYPES))
        return (
            f"UNSUPPORTED_ORDER_TYPE: {order_type_to_str(order.order_type)} is not sent to Alpaca; use one of {kinds}"
        )
    if order.time_in_force not in TIMES_IN_FORCE:
        times = ", ".join(sorted(time_in_force_to_str(tif) for tif in TIMES_IN_FORCE))
        asked = time_in_force_to_str(order.time_in_force)
        return f"UNSUPPORTED_TIME_IN_FORCE: {asked} is not sent to Alpaca; use one of {times}"
    at_once = order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    if at_once and order.order_type not in (OrderType.MARKET, OrderType.LIMIT):
        return (
            f"UNSUPPORTED_TIME_IN_FORCE: Alpaca takes {time_in_force_to_str(order.time_in_force)} with MARKET and "
            f"LIMIT only, not with {order_type_to_str(order.order_type)}"
        )
    return None


def _instruction_denial(order: Any, params: dict[str, Any]) -> str | None:
    if order.is_post_only:
        return "UNSUPPORTED_INSTRUCTION: Alpaca has no post-only orders"
    if getattr(order, "display_qty", None) is not None:
        return "UNSUPPORTED_INSTRUCTION: this version sends no display quantity"
    if order.is_quote_quantity:
        return "UNSUPPORTED_INSTRUCTION: this version sends quantities in shares, not in dollars"
    if order.contingency_type != ContingencyType.NO_CONTINGENCY or order.parent_order_id is not None:
        return "UNSUPPORTED_INSTRUCTION: this version sends no brackets or other linked orders"
    trigger = getattr(order, "trigger_type", TriggerType.NO_TRIGGER)
    if trigger not in TRIGGERS:
        asked = trigger_type_to_str(trigger)
        return f"UNSUPPORTED_INSTRUCTION: Alpaca's trigger can't be chosen; use DEFAULT instead of {asked}"
    if params.get("extended_hours") and (
        order.order_type != OrderType.LIMIT or order.time_in_force not in (TimeInForce.DAY, TimeInForce.GTC)
    ):
        return "UNSUPPORTED_INSTRUCTION: extended hours take LIMIT orders with DAY or GTC only"
    client_id = order.client_order_id.value
    if len(client_id) > MAX_CLIENT_ORDER_ID or not client_id.isascii() or not client_id.isprintable():
        shown = f"{client_id[:20]!r}…"
        return f"INVALID_CLIENT_ORDER_ID: {shown} must be printable ASCII of at most {MAX_CLIENT_ORDER_ID} characters"
    return None


def _size_denial(order: Any, instrument: Any) -> str | None:
    quantity = order.quantity.as_decimal()
    if quantity == quantity.to_integral_value():
        return None
    if instrument.size_precision == 0:
        asked = decimal_text(quantity)
        return f"FRACTIONAL_ORDER: {instrument.id} is not fractionable; use whole shares instead of {asked}"
    if order.time_in_force != TimeInForce.DAY:
        return (
            f"FRACTIONAL_ORDER: Alpaca takes fractions with DAY only, not with "
            f"{time_in_force_to_str(order.time_in_force)}; set time_in_force=DAY or use whole shares"
        )
    return None


def _price_denial(order: Any) -> str | None:
    for name in ("price", "trigger_price"):
        price = getattr(order, name, None)
        reason = sub_penny(name, price.as_decimal()) if price is not None else None
        if reason is not None:
            return reason
    return None


def sub_penny(name: str, price: Decimal) -> str | None:
    """Why Alpaca would call this price sub-penny, or None: two decimals from a dollar up, four below."""
    digits = 2 if price >= DOLLAR else 4
    if price != round(price, digits):
        return (
            f"PRICE_INCREMENT: {name} {decimal_text(price)} has more than the {digits} decimals that Alpaca takes there"
        )
    return None


def _asset_denial(instrument: Any) -> str | None:
    info = instrument.info or {}
    if info.get("status", "active") != "active" or not info.get("tradable", True):
        return f"NOT_TRADABLE: Alpaca lists {instrument.id} as {info.get('status')}, tradable={info.get('tradable')}"
    return None


def submit_body(order: Any, symbol: str, *, qty: Decimal, client_order_id: str, extended_hours: bool = False) -> bytes:
    """The body of POST /v2/orders for `qty` shares of this order."""
    body: dict[str, Any] = {
        "symbol": symbol,
        "qty": decimal_text(qty),
        "side": side_text(order.side),
        "type": TYPES[order.order_type],
        "time_in_force": TIMES_IN_FORCE[order.time_in_force],
        "client_order_id": client_order_id,
    }
    if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        body["limit_price"] = decimal_text(order.price.as_decimal())
    if order.order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT):
        body["stop_price"] = decimal_text(order.trigger_price.as_decimal())
    if extended_hours:
        body["extended_hours"] = True
    return msgspec.json.encode(body)


def replace_body(
    *,
    client_order_id: str,
    qty: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> bytes:
    """The body of PATCH /v2/orders/{id}: what changes, and the id that the replacing order gets."""
    body = {"client_order_id": client_order_id}
    for name, value in (("qty", qty), ("limit_price", limit_price), ("stop_price", stop_price)):
        if value is not None:
            body[name] = decimal_text(value)
    return msgspec.json.encode(body)
