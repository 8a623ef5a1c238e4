"""A POST /v2/orders body in its right types: 422/40010001 where it makes no sense by itself ([OAS-T] postOrder)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, cast

from runner.exchange.broker.orders import Side
from runner.exchange.broker.wire import parse_decimal
from runner.exchange.errors import invalid, unprocessable

TYPES: Final = frozenset({"market", "limit", "stop", "stop_limit", "trailing_stop"})
TIMES_IN_FORCE: Final = frozenset({"day", "gtc", "ioc", "fok", "opg", "cls"})
INTENTS: Final = frozenset({"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"})
CLASSES: Final = frozenset({"simple", "bracket", "oco", "oto", "mleg"})
MOST_LEGS: Final = 4


@dataclass(frozen=True, slots=True)
class LegRequest:
    """One leg of a multi-leg order."""

    symbol: str
    ratio: int
    side: Side
    position_intent: str | None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A POST /v2/orders body whose members have the right types and fit together.

    `take_profit` is the limit of the exit that takes a profit, `stop_loss` and `stop_loss_limit` the stop and the
    limit of the one that ends a loss. A multi-leg order has no symbol; its side is `buy`, which says nothing.
    """

    symbol: str
    side: Side
    type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    position_intent: str | None = None
    order_class: str = "simple"
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_limit: Decimal | None = None
    legs: tuple[LegRequest, ...] = ()

    @property
    def fractional(self) -> bool:
        return self.qty is None or self.qty != self.qty.to_integral_value()


def parse_order(body: dict[str, Any]) -> OrderRequest:
    """The request in its right types; AlpacaError 422/40010001 where it makes no sense."""
    order_class = body.get("order_class") or "simple"
    if order_class not in CLASSES:
        raise invalid(f"invalid order_class: {order_class}")
    several = order_class == "mleg"
    symbol = _symbol(body, several=several)
    side, kind, tif = body.get("side") or ("buy" if several else None), body.get("type"), body.get("time_in_force")
    if side not in {"buy", "sell"}:
        raise invalid("side must be buy or sell")
    if kind not in TYPES:
        raise invalid("invalid order type")
    if tif not in TIMES_IN_FORCE:
        raise invalid("invalid time_in_force")
    extended = body.get("extended_hours")
    if extended is not None and not isinstance(extended, bool):
        raise invalid("extended_hours must be true or false")
    numbers = {
        name: parse_decimal(body.get(name), name)
        for name in ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")
    }
    take_profit, stop_loss = _prices_of(body, "take_profit"), _prices_of(body, "stop_loss")
    request = OrderRequest(
        symbol=symbol,
        side=cast(Side, side),
        type=cast(str, kind),
        time_in_force=cast(str, tif),
        extended_hours=bool(extended),
        client_order_id=check_client_order_id(body.get("client_order_id")),
        position_intent=_intent(body.get("position_intent"), ""),
        order_class=order_class,
        take_profit=take_profit.get("limit_price"),
        stop_loss=stop_loss.get("stop_price"),
        stop_loss_limit=stop_loss.get("limit_price"),
        legs=_legs(body.get("legs"), several=several),
        **numbers,
    )
    if stop_loss and request.stop_loss is None:
        raise invalid("stop_loss.stop_price is required")
    if order_class == "oco" and request.take_profit is None and request.limit_price is not None:
        request = replace(request, take_profit=request.limit_price)
    if take_profit and request.take_profit is None:
        raise invalid("take_profit.limit_price is required")
    _check_amounts(request)
    check_prices(request)
    return request


def check_client_order_id(value: object) -> str | None:
    """A client order id as sent, or None where it was left out."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid("client_order_id must be a string")
    if len(value) > 128:
        raise invalid("client_order_id must be no more than 128 characters")
    return value


def check_prices(request: OrderRequest) -> None:
    """Each type has exactly its prices, all of them above 0 but a multi-leg order's limit."""
    limit, stop = request.limit_price is not None, request.stop_price is not None
    trails = (request.trail_price is not None) + (request.trail_percent is not None)
    match request.type:
        case "market" if request.order_class == "mleg" and limit:
            raise unprocessable("limit price is only valid for limit orders")
        case "market" if limit or stop:
            raise invalid("market orders require no stop or limit price")
        case "limit" if request.order_class == "oco" and not limit:
            pass  # its limit is the one of take_profit
        case "limit" if request.order_class == "mleg" and not limit:
            raise unprocessable("limit price is required for limit orders")
        case "limit" if not limit:
            raise invalid("limit orders require a limit price")
        case "limit" if stop:
            raise invalid("limit orders require only limit price")
        case "stop" if not stop:
            raise invalid("stop orders require a stop price")
        case "stop" if limit:
            raise invalid("stop orders require only stop price")
        case "stop_limit" if not (limit and stop):
            raise invalid("stop limit orders require both stop and limit price")
        case "trailing_stop" if trails != 1:
            raise invalid("trailing stop orders must specify one of trail_price or trail_percent")
        case "trailing_stop" if limit or stop:
            raise invalid("trailing stop orders require no stop or limit price")
        case _:
            pass
    if trails and request.type != "trailing_stop":
        raise invalid("trail_price and trail_percent are only accepted for trailing stop orders")
    for name in ("limit_price", "stop_price", "trail_price", "trail_percent"):
        value: Decimal | None = getattr(request, name)
        if value is not None and value <= 0 and not (request.order_class == "mleg" and name == "limit_price"):
            raise invalid(f"{name} must be > 0")
    for name in ("take_profit", "stop_loss", "stop_loss_limit"):
        value = getattr(request, name)
        if value is not None and value <= 0:
            raise invalid(f"{name} price must be > 0")


def _symbol(body: dict[str, Any], *, several: bool) -> str:
    symbol = body.get("symbol")
    if several:
        if symbol:
            raise invalid("symbol is not allowed for mleg order")
        return ""
    if not isinstance(symbol, str) or not symbol.strip():
        raise invalid("symbol is required")
    return symbol.strip().upper()


def _intent(value: object, where: str) -> str | None:
    if value is None or value == "":
        return None
    if value not in INTENTS:
        raise invalid(f"invalid {where}position_intent: {value}")
    return str(value)


def _prices_of(body: dict[str, Any], name: str) -> dict[str, Decimal]:
    """The prices of `take_profit` or `stop_loss`; empty where it was left out."""
    given = body.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid(f"{name} must be an object")
    found = {key: parse_decimal(given.get(key), f"{name}.{key}") for key in ("limit_price", "stop_price")}
    prices = {key: value for key, value in found.items() if value is not None}
    if not prices:
        raise invalid(f"{name} requires a price")
    return prices


def _legs(given: object, *, several: bool) -> tuple[LegRequest, ...]:
    if not several:
        if given:
            raise invalid("legs are only accepted for mleg orders")
        return ()
    if not isinstance(given, list) or not 2 <= len(given) <= MOST_LEGS:
        raise invalid(f"mleg orders require 2 to {MOST_LEGS} legs")
    return tuple(_leg(number, row) for number, row in enumerate(given))


def _leg(number: int, row: object) -> LegRequest:
    if not isinstance(row, dict):
        raise invalid(f"leg.{number} must be an object")
    symbol = row.get("symbol")
    if not isinstance(symbol, str) or not symbol.strip():
        raise invalid(f"leg.{number} symbol is required")
    ratio = parse_decimal(row.get("ratio_qty"), f"leg.{number} ratio_qty")
    if ratio is None or ratio <= 0 or ratio != ratio.to_integral_value():
        raise invalid(f"leg.{number} ratio_qty must be a positive integer")
    intent = _intent(row.get("position_intent"), f"leg.{number} ")
    side = row.get("side") or (intent.partition("_")[0] if intent else None)
    if side not in {"buy", "sell"}:
        raise invalid(f"leg.{number} side must be buy or sell")
    return LegRequest(symbol.strip().upper(), int(ratio), cast(Side, side), intent)


def _check_amounts(request: OrderRequest) -> None:
    if request.qty is None and request.notional is None:
        raise invalid("qty or notional is required")
    if request.qty is not None and request.notional is not None:
        raise invalid("only one of qty or notional is accepted")
    if request.qty is not None and request.qty <= 0:
        raise invalid("qty must be > 0")
    if request.notional is not None and request.notional <= 0:
        raise invalid("notional must be > 0")
