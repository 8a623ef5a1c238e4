"""What may be sent at all: one table of type × time in force × kind of order, and the checks around it.

Source: docs.alpaca.markets "Orders at Alpaca" (tables of order types and times in force), "Extended hours trading",
the page's sub-penny rule. Checks run in Alpaca's order: the request itself (40010001), then the asset, type and
time in force (42210000); permission, quantity, wash trades and buying power (40310000) are `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from runner.exchange.assets import Asset
from runner.exchange.broker.orders import Side
from runner.exchange.broker.wire import decimals, parse_decimal
from runner.exchange.errors import AlpacaError, forbidden, invalid, unprocessable

TYPES: Final = frozenset({"market", "limit", "stop", "stop_limit", "trailing_stop"})
SIMPLE: Final = frozenset({"market", "limit", "stop", "stop_limit"})
TIMES_IN_FORCE: Final = frozenset({"day", "gtc", "ioc", "fok", "opg", "cls"})
INTENTS: Final = frozenset({"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"})

# kind of order → time in force → order types that are legal. What is missing is refused.
LEGAL: Final[dict[str, dict[str, frozenset[str]]]] = {
    "whole": {
        "day": TYPES,
        "gtc": TYPES,
        "ioc": frozenset({"market", "limit"}),
        "fok": frozenset({"market", "limit"}),
    },
    "fractional": {"day": SIMPLE},  # by fractional qty or by notional
    "extended": {"day": frozenset({"limit"}), "gtc": frozenset({"limit"})},
}

ONE_CENT: Final = 2
FOUR_PLACES: Final = 4
QTY_PLACES: Final = 9


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A POST /v2/orders body whose members have the right types and fit together."""

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

    @property
    def fractional(self) -> bool:
        return self.qty is None or self.qty != self.qty.to_integral_value()

    @property
    def kind(self) -> str:
        """The row of the table that it falls under; an extended-hours order is told apart first."""
        if self.extended_hours:
            return "extended"
        return "fractional" if self.fractional else "whole"


def parse_order(body: dict[str, Any]) -> OrderRequest:
    """The request in its right types; AlpacaError 422/40010001 where it makes no sense."""
    symbol = body.get("symbol")
    if not isinstance(symbol, str) or not symbol.strip():
        raise invalid("symbol is required")
    side, kind, tif = body.get("side"), body.get("type"), body.get("time_in_force")
    if side not in {"buy", "sell"}:
        raise invalid("side must be buy or sell")
    if kind not in TYPES:
        raise invalid("invalid order type")
    if tif not in TIMES_IN_FORCE:
        raise invalid("invalid time_in_force")
    numbers = {
        name: parse_decimal(body.get(name), name)
        for name in ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")
    }
    extended = body.get("extended_hours")
    if extended is not None and not isinstance(extended, bool):
        raise invalid("extended_hours must be true or false")
    intent = body.get("position_intent") or None
    if intent is not None and intent not in INTENTS:
        raise invalid(f"invalid position_intent: {intent}")
    request = OrderRequest(
        symbol=symbol.strip().upper(),
        side=cast(Side, side),
        type=cast(str, kind),
        time_in_force=cast(str, tif),
        extended_hours=bool(extended),
        client_order_id=check_client_order_id(body.get("client_order_id")),
        position_intent=cast("str | None", intent),
        **numbers,
    )
    _check_amounts(request)
    check_prices(request)
    if body.get("order_class") not in {None, "", "simple"} or any(
        body.get(name) for name in ("legs", "take_profit", "stop_loss")
    ):
        raise unprocessable(f"order_class {body.get('order_class')} is not supported by this simulated exchange")
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


def _check_amounts(request: OrderRequest) -> None:
    if request.qty is None and request.notional is None:
        raise invalid("qty or notional is required")
    if request.qty is not None and request.notional is not None:
        raise invalid("only one of qty or notional is accepted")
    if request.qty is not None and request.qty <= 0:
        raise invalid("qty must be > 0")
    if request.notional is not None and request.notional <= 0:
        raise invalid("notional must be > 0")


def check_prices(request: OrderRequest) -> None:
    """Each type has exactly its prices."""
    limit, stop = request.limit_price is not None, request.stop_price is not None
    trails = (request.trail_price is not None) + (request.trail_percent is not None)
    match request.type:
        case "market" if limit or stop:
            raise invalid("market orders require no stop or limit price")
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
        case _:
            pass
    if trails and request.type != "trailing_stop":
        raise invalid("trail_price and trail_percent are only accepted for trailing stop orders")
    for name in ("limit_price", "stop_price", "trail_price", "trail_percent"):
        value: Decimal | None = getattr(request, name)
        if value is not None and value <= 0:
            raise invalid(f"{name} must be > 0")


def check_increment(name: str, price: Decimal | None) -> None:
    """At or above a dollar whole cents, below it four places."""
    if price is None:
        return
    if decimals(price) > (ONE_CENT if price >= 1 else FOUR_PLACES):
        written = f"{price.normalize():f}"
        raise unprocessable(f"invalid {name} {written}. sub-penny increment does not fulfill minimum pricing criteria")


def check_asset(request: OrderRequest, asset: Asset | None, *, fractional_enabled: bool) -> Asset:
    """What the asset, the type and the time in force allow: 42210000, and 403 where the account has fractions off."""
    if asset is None:
        raise unprocessable(f'asset "{request.symbol}" not found')
    if not asset.tradable:
        raise unprocessable(f'asset "{request.symbol}" is not tradable')
    if request.time_in_force in {"opg", "cls"}:
        raise unprocessable(
            f"invalid time_in_force: {request.time_in_force} is not supported by this simulated exchange"
        )
    if request.fractional:
        if not fractional_enabled:
            raise forbidden("fractional trading is disabled")
        if not asset.fractionable:
            raise unprocessable(f'asset "{request.symbol}" is not fractionable')
    check_table(request)
    for name in ("qty", "notional"):
        amount: Decimal | None = getattr(request, name)
        if amount is not None and decimals(amount) > QTY_PLACES:
            raise unprocessable(f"{name} must have no more than {QTY_PLACES} decimal places")
    if request.notional is not None and request.notional < 1:
        raise unprocessable("notional amount must be >= 1.00")
    check_increment("limit_price", request.limit_price)
    check_increment("stop_price", request.stop_price)
    return asset


def check_table(request: OrderRequest) -> None:
    """The legality table, with Alpaca's words for each way to miss it."""
    kinds = {request.kind} | ({"fractional"} if request.fractional else set())
    for kind in sorted(kinds):  # "extended" before "fractional"
        if request.type in LEGAL[kind].get(request.time_in_force, frozenset()):
            continue
        raise _refusal(kind, request)


def _refusal(kind: str, request: OrderRequest) -> AlpacaError:
    if kind == "extended":
        return unprocessable("extended hours order must be DAY or GTC limit orders")
    if kind == "fractional":
        if request.time_in_force != "day":
            return unprocessable("fractional orders must be DAY orders")
        return unprocessable(f"invalid order type for fractional order: {request.type}")
    return unprocessable(f"order type {request.type} is not allowed with time_in_force {request.time_in_force}")


def check_stop(request: OrderRequest, current: Decimal | None) -> None:
    """A stop must stand on the far side of the current price; unchecked where no price is known."""
    if current is None or request.stop_price is None:
        return
    if request.side == "buy" and request.stop_price <= current:
        raise unprocessable("stop price must be greater than current price")
    if request.side == "sell" and request.stop_price >= current:
        raise unprocessable("stop price must be less than current price")
