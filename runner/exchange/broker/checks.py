"""What the account allows: position intent, quantity held, wash trades, shorting, buying power (40310000).

Sources: docs.alpaca.markets "User protection" (wash trades), "Margin and Short Selling", "Orders at Alpaca" (buying
power); alpacahq/Alpaca-API issues 82, 90, 129 and 250 (a position can't be turned over by one order).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import MARGIN_MINIMUM_EQUITY, ZERO, Account, Figures
from runner.exchange.broker.crypto import check_balance
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import OrderRequest
from runner.exchange.broker.wire import text
from runner.exchange.calendar import Session
from runner.exchange.errors import forbidden, unprocessable
from runner.exchange.market import Quote

SHORT_MARKUP: Final = Decimal("1.03")
LIMITS: Final = frozenset({"limit", "stop_limit"})


def intent_of(request: OrderRequest, position: Decimal, *, shorts: bool = True) -> str:
    """What the order does to the position: the venue infers it, and refuses a different one."""
    if request.side == "buy":
        inferred = "buy_to_close" if position < 0 else "buy_to_open"
    else:
        inferred = "sell_to_close" if position > 0 or not shorts else "sell_to_open"
    if request.position_intent not in {None, inferred}:
        raise unprocessable(f"position intent mismatch, inferred: {inferred}, specified: {request.position_intent}")
    return inferred


def check_permissions(account: Account) -> None:
    """The account's own switches."""
    if account.configuration.suspend_trade:
        raise forbidden("new orders are rejected by user request")


def check_quantity(
    account: Account,
    request: OrderRequest,
    intent: str,
    qty: Decimal,
    *,
    without: Order | None = None,
    pledged: Decimal = ZERO,
) -> None:
    """Shares that other orders already close can't be closed twice, nor those that are `pledged` for short calls, and
    nothing crosses zero.
    """
    if intent.endswith("_open"):
        return
    position = account.qty(request.symbol)
    holding = account.holding_orders(request.symbol, without=without)
    held = sum((order.leaves for order in holding), ZERO)
    available = max(abs(position) - held - pledged, ZERO)
    if "/" in request.symbol:
        check_balance(request, qty, available)
    elif qty > available:
        raise forbidden(
            f"insufficient qty available for order (requested: {text(qty)}, available: {text(available)})",
            available=text(available),
            existing_qty=text(abs(position)),
            held_for_orders=text(held),
            related_orders=[order.id for order in holding],
            symbol=request.symbol,
        )


def check_opposite_opening(
    account: Account, request: OrderRequest, intent: str, *, without: Order | None = None
) -> None:
    """A long can't be opened while an order that opens a short works, nor the reverse: together they would cross
    zero.
    """
    if intent.endswith("_close"):
        return
    for other in account.open_orders(request.symbol, without=without):
        if request.notional is not None and other.holds:
            raise forbidden("unable to open new notional orders while having open closing position orders")
        if not other.opens or other.side == request.side:
            continue
        new, old = ("long buy", "short sell") if request.side == "buy" else ("short sell", "long buy")
        raise forbidden(
            f"cannot open a {new} while a {old} order is open", existing_order_id=other.id, symbol=request.symbol
        )


def check_wash_trade(account: Account, request: OrderRequest, *, without: Order | None = None) -> None:
    """An order that could trade with one's own on the other side. Trailing stops and the legs of complex orders are
    exempt.
    """
    if request.type == "trailing_stop":
        return
    for other in account.open_orders(request.symbol, without=without):
        if other.side == request.side or other.type == "trailing_stop" or other.role:
            continue
        if other.limit_price is not None and request.limit_price is not None:
            buy, sell = (
                (request.limit_price, other.limit_price)
                if request.side == "buy"
                else (other.limit_price, request.limit_price)
            )
            if buy < sell:
                continue
        kind = "limit" if other.type in LIMITS else "market/stop"
        raise forbidden(
            "potential wash trade detected. use complex orders",
            reject_reason=f"opposite side {kind} order exists",
            existing_order_id=other.id,
        )


def check_short(account: Account, request: OrderRequest, asset: Asset, figures: Figures) -> None:
    """Opening a short: whole shares, of an asset that can be borrowed, on a margin account that may."""
    if request.fractional:
        raise unprocessable("fractional orders cannot be sold short")
    if not asset.shortable:
        raise unprocessable(f'asset "{request.symbol}" cannot be sold short')
    if account.configuration.no_shorting or figures.equity < MARGIN_MINIMUM_EQUITY or figures.multiplier < 2:
        raise forbidden("account is not allowed to short")


@dataclass(frozen=True, slots=True)
class Reference:
    """The prices an order is valued at: far side in the core session, midpoint in extended hours, last trade when
    closed.
    """

    buy: Decimal | None
    sell: Decimal | None
    ask: Decimal | None


def reference(quote: Quote | None, last: Decimal | None, session: Session) -> Reference:
    """The reference of a symbol now; members are None where the market has shown no price yet."""
    bid = quote.bid if quote is not None and quote.bid > 0 else None
    ask = quote.ask if quote is not None and quote.ask > 0 else None
    middle = (bid + ask) / 2 if bid is not None and ask is not None else None
    if session == "core":
        return Reference(ask or last or bid, bid or last or ask, ask or last or bid)
    first, second = (last, middle) if session == "closed" else (middle, last)
    price = first or second or ask or bid
    return Reference(price, price, ask or price)


def unit_cost(request: OrderRequest, intent: str, prices: Reference, protective: Decimal | None) -> Decimal:
    """Dollars of buying power that each share of an opening order needs; 0 for a closing one.

    A long costs its limit, or the far side for a market order; a short the greater of its limit and 1.03 × ask.
    A market order that waits for a replay's first quote has nothing to be valued at yet: it costs 0 until it goes
    to work.
    """
    if intent.endswith("_close"):
        return ZERO
    if intent == "buy_to_open":
        return protective or request.stop_price or prices.buy or ZERO
    return max(request.limit_price or ZERO, SHORT_MARKUP * (prices.ask or ZERO))


def check_funds(figures: Figures, asset: Asset, cost: Decimal, *, already_reserved: Decimal = ZERO) -> None:
    """The order's cost against the buying power left; `already_reserved` is what an order being replaced gives
    back.
    """
    power = figures.buying_power if asset.marginable else figures.non_marginable_buying_power
    if cost > power + already_reserved:
        raise forbidden("insufficient buying power", buying_power=text(power), cost_basis=text(cost))
