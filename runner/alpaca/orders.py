"""Nautilus orders in Alpaca's words, and what Alpaca does not take, found before anything is sent.

Types, times in force, classes and sessions are `legality.py`'s table; here are sizes, prices and instructions, which
have no table. Source: Alpaca's page "Orders at Alpaca" and its error texts.
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
    TrailingOffsetType,
    TriggerType,
    order_type_to_str,
    time_in_force_to_str,
    trailing_offset_type_to_str,
    trigger_type_to_str,
)
from nautilus_trader.model.instruments import CurrencyPair, Equity, OptionContract, OptionSpread

from runner.alpaca.constants import MAX_CLIENT_ORDER_ID
from runner.alpaca.legality import ASSETS, Asset, illegal, sessions

TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP_MARKET: "stop",
    OrderType.STOP_LIMIT: "stop_limit",
    OrderType.TRAILING_STOP_MARKET: "trailing_stop",
}
TIMES_IN_FORCE = {
    TimeInForce.DAY: "day",
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.AT_THE_OPEN: "opg",
    TimeInForce.AT_THE_CLOSE: "cls",
}
#: The cells of the table that are taken at any time, of lone orders of one instrument.
_ALWAYS = frozenset(
    (asset, kind, tif)
    for asset in ASSETS
    for kind, named in TYPES.items()
    for tif, time in TIMES_IN_FORCE.items()
    if asset != "spread" and "any" in sessions(asset, "simple", time, named)
)
TYPES_BACK = {text: kind for kind, text in TYPES.items()}
TIMES_IN_FORCE_BACK = {text: kind for kind, text in TIMES_IN_FORCE.items()}
#: How Alpaca may trigger a stop is not selectable; these ask for nothing else than its own way.
_SHOWN = (OrderType.LIMIT, OrderType.STOP_LIMIT)  # the types that have a display quantity, of those that are sent
_TRIGGERED = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP_MARKET)
TRIGGERS = frozenset({TriggerType.NO_TRIGGER, TriggerType.DEFAULT, TriggerType.LAST_PRICE})
_NO_PARAMS: dict[str, Any] = {}
INTENTS = frozenset({"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"})
#: What a strategy may say of an order in `submit_order(..., params=...)`.
PARAMS = frozenset(
    {
        "extended_hours",
        "position_intent",
        "order_class",
        "limit_price",
        "position_intents",
        "exercise",
        "do_not_exercise",
    }
)
DOLLAR = Decimal(1)
#: Alpaca's least amounts in dollars.
LEAST_NOTIONAL = {"fraction": Decimal(1), "crypto": Decimal(10)}
FRACTION_DIGITS = 9


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


def asset_of(order: Any, instrument: Any) -> Asset:
    """The first column of the legality table."""
    if not isinstance(instrument, Equity):
        if isinstance(instrument, OptionSpread):
            return "spread"
        if isinstance(instrument, OptionContract):
            return "option"
        if isinstance(instrument, CurrencyPair):
            return "crypto"
    if order.is_quote_quantity:
        return "fraction"
    if order.quantity.precision == 0:
        return "stock"
    quantity = order.quantity.as_decimal()
    return "stock" if quantity == quantity.to_integral_value() else "fraction"


def denial(
    order: Any,
    instrument: Any,
    params: dict[str, Any] | None = None,
    *,
    order_class: str = "",
    is_exit: bool = False,
    now_ns: int | None = None,
) -> str | None:
    """Why Alpaca would not take this order as `CODE: sentence`, or None. Says nothing about money or positions.

    `order_class` is that of the list it is part of (bracket, oco, oto, mleg), `is_exit` says that it is not sent
    itself but with the order that heads the list. `now_ns`: venue time.
    """
    asset, params = asset_of(order, instrument), params or _NO_PARAMS
    plain = not params and not order_class and (asset, order.order_type, order.time_in_force) in _ALWAYS
    return (
        (None if plain or is_exit else _table_denial(order, asset, params, order_class, now_ns))
        or _instruction_denial(order, params, order_class)
        or _size_denial(order, instrument, asset)
        or _price_denial(order, asset)
        or _asset_denial(instrument)
    )


def _table_denial(order: Any, asset: Asset, params: dict[str, Any], order_class: str, now_ns: int | None) -> str | None:
    kind, tif = TYPES.get(order.order_type), TIMES_IN_FORCE.get(order.time_in_force)
    if kind is None:
        kinds = ", ".join(sorted(order_type_to_str(known) for known in TYPES))
        asked = order_type_to_str(order.order_type)
        return f"UNSUPPORTED_ORDER_TYPE: {asked} is not sent to Alpaca; use one of {kinds}"
    if tif is None:
        times = ", ".join(sorted(time_in_force_to_str(known) for known in TIMES_IN_FORCE))
        asked = time_in_force_to_str(order.time_in_force)
        return f"UNSUPPORTED_TIME_IN_FORCE: {asked} is not sent to Alpaca; use one of {times}"
    if order_class == "mleg":
        asset = "spread"
    if params.get("exercise") or params.get("do_not_exercise"):
        now_ns = None  # It is no order in the market; the venue has hours of its own for it.
    named = order_class or ("mleg" if asset == "spread" else "simple")
    return illegal(asset, named, tif, kind, extended=bool(params.get("extended_hours")), now_ns=now_ns)


def _instruction_denial(order: Any, params: dict[str, Any], order_class: str) -> str | None:
    kind = order.order_type
    if params and (unknown := sorted(set(params) - PARAMS)):
        return f"UNKNOWN_PARAMS: {', '.join(unknown)}; known are {', '.join(sorted(PARAMS))}"
    if order.is_post_only and order.parent_order_id is None:
        return "UNSUPPORTED_INSTRUCTION: Alpaca has no post-only orders"
    if kind in _SHOWN and order.display_qty is not None:
        return "UNSUPPORTED_INSTRUCTION: this version sends no display quantity"
    if not order_class and (order.contingency_type != ContingencyType.NO_CONTINGENCY or order.parent_order_id):
        return "UNSUPPORTED_INSTRUCTION: a linked order is sent with its list only; use submit_order_list"
    intent = params.get("position_intent") if params else None
    if intent is not None and (intent not in INTENTS or not intent.startswith(f"{side_text(order.side)}_")):
        return f"UNSUPPORTED_INSTRUCTION: position_intent {intent!r} is none of a {side_text(order.side)} order"
    if kind in _TRIGGERED and order.trigger_type not in TRIGGERS:
        asked = trigger_type_to_str(order.trigger_type)
        return f"UNSUPPORTED_INSTRUCTION: Alpaca's trigger can't be chosen; use DEFAULT instead of {asked}"
    client_id = order.client_order_id.value
    if len(client_id) > MAX_CLIENT_ORDER_ID or not client_id.isascii() or not client_id.isprintable():
        shown = f"{client_id[:20]!r}…"
        return f"INVALID_CLIENT_ORDER_ID: {shown} must be printable ASCII of at most {MAX_CLIENT_ORDER_ID} characters"
    return _trail_denial(order) if kind == OrderType.TRAILING_STOP_MARKET else None


def _trail_denial(order: Any) -> str | None:
    if order.trailing_offset_type not in (TrailingOffsetType.PRICE, TrailingOffsetType.BASIS_POINTS):
        asked = trailing_offset_type_to_str(order.trailing_offset_type)
        return f"UNSUPPORTED_INSTRUCTION: Alpaca trails by PRICE or BASIS_POINTS, not by {asked}"
    if order.activation_price is not None or order.trigger_price is not None:
        return "UNSUPPORTED_INSTRUCTION: Alpaca trails from the submission on; leave activation and trigger price out"
    return None


def _size_denial(order: Any, instrument: Any, asset: Asset) -> str | None:
    if order.is_quote_quantity:
        quantity = order.quantity.as_decimal()
        if asset not in LEAST_NOTIONAL:
            return f"UNSUPPORTED_INSTRUCTION: {instrument.id} is not traded by dollars; give a quantity of contracts"
        if instrument.size_precision == 0:
            return f"FRACTIONAL_ORDER: {instrument.id} is not fractionable, so not traded by dollars; use whole shares"
        if quantity < (least := LEAST_NOTIONAL[asset]):
            return f"NOTIONAL: Alpaca takes {least} dollars at least, not {decimal_text(quantity)}"
        if quantity != round(quantity, 2):
            return f"NOTIONAL: dollars have two decimals, not {decimal_text(quantity)}"
        return None
    if asset == "fraction" and instrument.size_precision == 0:
        asked = decimal_text(order.quantity.as_decimal())
        return f"FRACTIONAL_ORDER: {instrument.id} is not fractionable; use whole shares instead of {asked}"
    return None


def _price_denial(order: Any, asset: Asset) -> str | None:
    reason = None  # cents are taken everywhere
    if order.has_price and order.price.precision > 2:
        reason = price_fault("price", order.price.as_decimal(), asset)
    if reason is None and order.has_trigger_price and order.trigger_price.precision > 2:
        reason = price_fault("trigger_price", order.trigger_price.as_decimal(), asset)
    return reason


def price_fault(name: str, price: Decimal, asset: Asset) -> str | None:
    """Why Alpaca would not take this price, or None. Increments of pairs and contracts are their instruments'."""
    if asset in ("stock", "fraction"):
        return sub_penny(name, price)
    if asset in ("option", "spread") and price != round(price, 2):
        return f"PRICE_INCREMENT: {name} {decimal_text(price)} of an option has more than 2 decimals"
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


def terms(order: Any) -> dict[str, Any]:
    """Type, time in force and prices of an order, as members of a request body."""
    body: dict[str, Any] = {
        "type": TYPES[order.order_type],
        "time_in_force": TIMES_IN_FORCE[order.time_in_force],
    }
    if order.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        body["limit_price"] = decimal_text(order.price.as_decimal())
    if order.order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT):
        body["stop_price"] = decimal_text(order.trigger_price.as_decimal())
    if order.order_type == OrderType.TRAILING_STOP_MARKET:
        name, value = trail(order)
        body[name] = decimal_text(value)
    return body


def trail(order: Any) -> tuple[str, Decimal]:
    """How a trailing stop trails: dollars as `trail_price`, or per cent as `trail_percent`."""
    offset = Decimal(order.trailing_offset)
    if order.trailing_offset_type == TrailingOffsetType.BASIS_POINTS:
        return "trail_percent", offset / 100
    return "trail_price", offset


def submit_body(
    order: Any,
    symbol: str,
    *,
    qty: Decimal,
    client_order_id: str,
    extended_hours: bool = False,
    position_intent: str | None = None,
    more: dict[str, Any] | None = None,
) -> bytes:
    """The body of POST /v2/orders for `qty` shares of this order (dollars where its quantity is in quote currency).

    `more`: what its class adds.
    """
    body: dict[str, Any] = {
        "symbol": symbol,
        "notional" if order.is_quote_quantity else "qty": decimal_text(qty),
        "side": side_text(order.side),
        **terms(order),
        "client_order_id": client_order_id,
    }
    if extended_hours:
        body["extended_hours"] = True
    if position_intent is not None:
        body["position_intent"] = position_intent
    body |= more or {}
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})


def replace_body(
    *,
    client_order_id: str,
    qty: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
    trail: Decimal | None = None,
) -> bytes:
    """The body of PATCH /v2/orders/{id}: what changes, and the id that the replacing order gets."""
    body = {"client_order_id": client_order_id}
    changes = (("qty", qty), ("limit_price", limit_price), ("stop_price", stop_price), ("trail", trail))
    for name, value in changes:
        if value is not None:
            body[name] = decimal_text(value)
    return msgspec.json.encode(body)
