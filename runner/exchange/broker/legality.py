"""Whether the table lets an order through, and what its asset asks of it: 42210000, in Alpaca's words.

Checks run in Alpaca's order: the request itself (40010001, `request.py`), then this, then permission, quantity, wash
trades and buying power (40310000, `checks.py`). Sources: `table.py`; the sub-penny rule of "Orders at Alpaca".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from runner.exchange.assets import Asset, asset_class_of
from runner.exchange.broker.orders import EXITS
from runner.exchange.broker.request import OrderRequest
from runner.exchange.broker.table import LEGAL, Hours, is_legal_somewhere
from runner.exchange.broker.wire import decimals, minute_of_day
from runner.exchange.calendar import Session
from runner.exchange.errors import AlpacaError, forbidden, unprocessable

ONE_CENT: Final = 2
FOUR_PLACES: Final = 4
QTY_PLACES: Final = 9
SMALLEST_STEP: Final = Decimal("0.01")
# New York minutes of the day between which orders for the next auction are not taken.
OPENING_SHUT: Final = (9 * 60 + 28, 19 * 60)
CLOSING_SHUT_BEFORE_MIN: Final = 10
EVENING: Final = 19 * 60

KIND_OF_CLASS: Final = {"us_equity": "stock", "crypto": "crypto", "us_option": "option"}


def kind_of(request: OrderRequest, asset: Asset) -> str:
    """The first column of the table."""
    kind = KIND_OF_CLASS[asset.asset_class]
    if kind == "stock" and request.fractional:
        kind = "fraction"
    return f"{kind} extended" if request.extended_hours and kind in {"stock", "fraction"} else kind


def check_asset(request: OrderRequest, asset: Asset | None, *, fractional_enabled: bool) -> tuple[Asset, Hours]:
    """What the asset, the class, the type and the time in force allow: 42210000, and 403 where the account has
    fractions off. Returns the asset, and when such an order is taken (`check_hours`).
    """
    if asset is None:
        noun = "contract" if asset_class_of(request.symbol) == "us_option" else "asset"
        raise unprocessable(f'{noun} "{request.symbol}" not found')
    option = asset.asset_class == "us_option"
    if not asset.tradable:
        noun = "contract" if option else "asset"
        raise unprocessable(f'{noun} "{asset.symbol}" is not tradable')
    if option:
        _check_option(request)
    if request.fractional and asset.asset_class == "us_equity":
        if not fractional_enabled:
            raise forbidden("fractional trading is disabled")
        if not asset.fractionable:
            raise unprocessable(f'asset "{request.symbol}" is not fractionable')
    hours = check_table(request, asset)
    if asset.asset_class == "us_equity":
        _check_amount(request)
        check_exits(request)
    for name in ("limit_price", "stop_price", "take_profit", "stop_loss", "stop_loss_limit"):
        check_increment(name, getattr(request, name), asset)
    return asset, hours


def check_table(request: OrderRequest, asset: Asset) -> Hours:
    """When the order may be sent; AlpacaError with Alpaca's words for each way to miss the table."""
    kind = kind_of(request, asset)
    hours = LEGAL.get((kind, request.order_class, request.time_in_force, request.type))
    if hours is None:
        raise _refusal(kind, request)
    if request.extended_hours and asset.asset_class != "us_equity":
        noun = "options" if asset.asset_class == "us_option" else "crypto"
        raise unprocessable(f"extended hours is not supported for {noun} trading")
    return hours


def check_hours(hours: Hours, session: Session, now_ns: int, *, close_minute: int | None) -> None:
    """The windows in which orders for an auction, and market orders for options, are taken.

    `close_minute` is the minute of the day at which the core session ends today; None where today has none.
    """
    if hours == "core" and session != "core":
        raise unprocessable("options market orders are only allowed during market hours")
    if close_minute is None:
        return
    minute = minute_of_day(now_ns)
    if hours == "opening" and OPENING_SHUT[0] <= minute < OPENING_SHUT[1]:
        raise forbidden("opg orders must be submitted after 7:00pm and before 9:28am")
    last = close_minute - CLOSING_SHUT_BEFORE_MIN
    if hours == "closing" and last <= minute < EVENING:
        written = f"{(last // 60 - 1) % 12 + 1}:{last % 60:02d}{'am' if last < 720 else 'pm'}"
        raise forbidden(f"cls orders must be submitted after 7:00pm and before {written}")


def check_increment(name: str, price: Decimal | None, asset: Asset | None = None) -> None:
    """Stocks: at or above a dollar whole cents, below it four places. Pairs: a step of their own. Options: cents."""
    if price is None:
        return
    written = f"{price.normalize():f}"
    if asset is not None and asset.price_increment is not None:
        if price % asset.price_increment:
            raise unprocessable(f"invalid {name} {written}. must be a multiple of {asset.price_increment:f}")
        return
    option = asset is not None and asset.asset_class == "us_option"
    if decimals(price) > (ONE_CENT if option or price >= 1 else FOUR_PLACES):
        raise unprocessable(f"invalid {name} {written}. sub-penny increment does not fulfill minimum pricing criteria")


def check_exits(request: OrderRequest) -> None:
    """Which exits a class has, and that they stand on their sides of each other and of the entry's limit."""
    given = {name for name in EXITS if getattr(request, name) is not None}
    match request.order_class:
        case "simple" if given:
            raise unprocessable("take_profit and stop_loss require an order_class of bracket, oco or oto")
        case "bracket" | "oco" if len(given) < 2:
            raise unprocessable(
                f"{request.order_class} orders require take_profit.limit_price and stop_loss.stop_price"
            )
        case "oto" if len(given) != 1:
            raise unprocessable("oto orders require either take_profit or stop_loss")
        case _:
            pass
    if not given:
        return
    selling = _exits_sell(request)
    profit, stop, stop_limit = request.take_profit, request.stop_loss, request.stop_loss_limit
    if profit is not None and stop is not None and (profit <= stop if selling else profit >= stop):
        raise unprocessable(f"take_profit.limit_price must be {'>' if selling else '<'} stop_loss.stop_price")
    base = profit if request.order_class == "oco" else request.stop_price or request.limit_price
    if stop is None:
        return
    if base is not None:
        _check_stop_loss(stop, base, selling=selling)
    if stop_limit is not None and (stop_limit > stop if selling else stop_limit < stop):
        raise unprocessable(f"stop_loss.limit_price must be {'<=' if selling else '>='} stop_loss.stop_price")


def check_stop(request: OrderRequest, current: Decimal | None) -> None:
    """A stop must stand on the far side of the current price; unchecked where no price is known."""
    if current is None:
        return
    if request.stop_price is not None:
        if request.side == "buy" and request.stop_price <= current:
            raise unprocessable("stop price must be greater than current price")
        if request.side == "sell" and request.stop_price >= current:
            raise unprocessable("stop price must be less than current price")
    elif request.stop_loss is not None:
        _check_stop_loss(request.stop_loss, current, selling=_exits_sell(request))


def _exits_sell(request: OrderRequest) -> bool:
    """An exit is on the other side of its entry; an OCO order is an exit itself."""
    return (request.side == "sell") == (request.order_class == "oco")


def _check_stop_loss(stop: Decimal, base: Decimal, *, selling: bool) -> None:
    if stop > base - SMALLEST_STEP if selling else stop < base + SMALLEST_STEP:
        side = "<= base_price - 0.01" if selling else ">= base_price + 0.01"
        raise unprocessable(f"stop_loss.stop_price must be {side}")


def _check_amount(request: OrderRequest) -> None:
    for name in ("qty", "notional"):
        amount: Decimal | None = getattr(request, name)
        if amount is not None and decimals(amount) > QTY_PLACES:
            raise unprocessable(f"{name} must have no more than {QTY_PLACES} decimal places")
    if request.notional is not None and request.notional < 1:
        raise unprocessable("notional amount must be >= 1.00")


def _check_option(request: OrderRequest) -> None:
    if request.order_class not in {"simple", "mleg"}:
        raise unprocessable("complex orders not supported for options trading")
    if request.notional is not None:
        raise unprocessable("notional orders are not supported for options trading")
    if request.fractional:
        raise unprocessable("qty must be integer for options trading")


def _refusal(kind: str, request: OrderRequest) -> AlpacaError:
    order_class, tif = request.order_class, request.time_in_force
    if order_class == "mleg" and kind != "option":
        return unprocessable("equity legs are allowed only with a corresponding amount of call contracts")
    if not is_legal_somewhere(kind, order_class=order_class):
        if kind.startswith("fraction"):
            return unprocessable("fractional orders must be simple orders")
        noun = {"crypto": "crypto", "option": "options"}.get(kind)
        if noun is not None:
            return unprocessable(f"complex orders not supported for {noun} trading")
        return unprocessable(f"extended hours orders must be simple orders, not {order_class}")
    if kind == "stock extended" or (kind == "fraction extended" and request.type != "limit"):
        return unprocessable("extended hours order must be DAY or GTC limit orders")
    legal_time = is_legal_somewhere(kind, order_class=order_class, tif=tif)
    match kind:
        case "fraction" | "fraction extended" if not legal_time:
            return unprocessable("fractional orders must be DAY orders")
        case "crypto" if not legal_time:
            return unprocessable("invalid crypto time_in_force")
        case "option" if not legal_time:
            return unprocessable("invalid time in force" if order_class == "mleg" else "invalid option time_in_force")
        case "fraction":
            return unprocessable(f"invalid order type for fractional order: {request.type}")
        case "crypto":
            return unprocessable(f"invalid order type for crypto order: {request.type}")
        case "option":
            return unprocessable(f"invalid option order_type: {request.type}")
        case _ if order_class != "simple":
            return unprocessable(f"{order_class} orders can't be {request.type} orders with time_in_force {tif}")
        case _:
            return unprocessable(f"order type {request.type} is not allowed with time_in_force {tif}")
