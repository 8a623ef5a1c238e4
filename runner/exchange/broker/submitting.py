"""POST /v2/orders and DELETE /v2/positions: orders come in. All of it is synchronous.

A command's events are published before its reply is written, as they may be at Alpaca: a client indexes by client
order id.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import Any

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import Account
from runner.exchange.broker.checks import (
    check_opposite_opening,
    check_permissions,
    check_short,
    check_wash_trade,
    intent_of,
)
from runner.exchange.broker.crypto import check_pair, truncated
from runner.exchange.broker.floor import Floor
from runner.exchange.broker.groups import exit_requests
from runner.exchange.broker.legality import check_asset, check_stop
from runner.exchange.broker.matching import may_trade
from runner.exchange.broker.options import check_contract
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import OrderRequest
from runner.exchange.broker.spreads import Spreads
from runner.exchange.broker.wire import NINE_PLACES
from runner.exchange.errors import invalid, not_found, unprocessable


class Submitting:
    """New orders, of every class."""

    def __init__(self, floor: Floor, spreads: Spreads) -> None:
        self._floor = floor
        self._market = floor.market
        self._spreads = spreads

    def submit(self, account: Account, request: OrderRequest) -> dict[str, Any]:
        """The order as it was taken, or AlpacaError."""
        check_permissions(account)
        if request.order_class == "mleg":
            return self._several(account, request)
        return self._single(account, request)

    def close(
        self, account: Account, symbol: str, *, qty: Decimal | None = None, percentage: Decimal | None = None
    ) -> dict[str, Any]:
        """A market order for all, `qty` shares or `percentage` of the position."""
        position = account.position(symbol)
        if position is None:
            raise not_found("position does not exist")
        size = abs(position.qty)
        crypto = "/" in symbol
        if qty is not None and percentage is not None:
            raise invalid("only one of qty or percentage is accepted")
        if percentage is not None:
            if not 0 < percentage <= 100:
                raise invalid("percentage must be between 0 and 100")
            asset = self._market.asset(symbol)
            whole_only = position.qty < 0 or (asset is not None and not asset.fractionable)
            places = Decimal(1) if whole_only else NINE_PLACES
            qty = (size * percentage / 100).quantize(places, rounding=ROUND_DOWN)
        if qty is not None and qty <= 0:
            raise invalid("qty must be > 0")
        return self.submit(
            account,
            OrderRequest(
                symbol=symbol,
                side="sell" if position.qty > 0 else "buy",
                type="market",
                time_in_force="gtc" if crypto else "day",
                qty=size if qty is None else qty,
            ),
        )

    def _several(self, account: Account, request: OrderRequest) -> dict[str, Any]:
        order = self._spreads.make(account, request)
        for one in order.family:
            account.add_order(one)
        self._floor.book.add(account, order)
        return self._begin(account, order)

    # -- one asset ---------------------------------------------------------------------------------------------------

    def _single(self, account: Account, request: OrderRequest) -> dict[str, Any]:
        floor = self._floor
        found = self._market.asset(request.symbol) or self._market.asset(request.symbol.lower())
        contract = None if found is None else self._market.contract(found.symbol)
        if contract is not None:
            check_contract(self._market, contract, opens=False)
        asset, hours = check_asset(request, found, fractional_enabled=account.configuration.fractional_trading)
        request = replace(request, symbol=asset.symbol)  # it may have named the asset by its id
        crypto = asset.asset_class == "crypto"
        if crypto:
            check_pair(asset)
            request = replace(request, qty=None if request.qty is None else truncated(request.qty))
        floor.check_hours(hours)
        floor.check_client_order_id(account, request.client_order_id)
        intent = intent_of(request, account.qty(request.symbol), shorts=not crypto)
        if contract is not None:
            check_contract(self._market, contract, opens=intent.endswith("_open"))
        if self._market.session(asset.symbol) == "core":
            check_stop(request, floor.prices.current(request.symbol))
        exits = exit_requests(request)
        first = exits.pop("take_profit") if request.order_class == "oco" else request
        order = floor.make(account, replace(first, client_order_id=request.client_order_id), asset, intent)
        if request.order_class == "oco":
            order.role = "take_profit"
        self._check(account, request, asset, order)
        account.add_order(order)
        floor.book.add(account, order)
        self._add_exits(account, order, asset, exits)
        return self._begin(account, order)

    def _check(self, account: Account, request: OrderRequest, asset: Asset, order: Order) -> None:
        """What the account allows (40310000)."""
        intent = order.position_intent
        opens = intent.endswith("_open")
        if request.order_class in {"bracket", "oto"} and not opens:
            raise unprocessable(f"{request.order_class} orders must be entry orders")
        if request.order_class == "oco" and opens:
            raise unprocessable("oco orders must be exit orders")
        if intent == "sell_to_open" and asset.asset_class == "us_equity":
            check_short(account, request, asset, self._floor.figures(account))
        self._floor.check_quantity(account, request, intent, order.leaves)
        if not order.role:
            check_wash_trade(account, request)
        check_opposite_opening(account, request, intent)
        self._floor.check_funds(account, order, asset)

    def _add_exits(self, account: Account, order: Order, asset: Asset, exits: dict[str, OrderRequest]) -> None:
        for role, request in exits.items():
            intent = "sell_to_close" if request.side == "sell" else "buy_to_close"
            leg = self._floor.make(account, request, asset, intent, status="held")
            leg.role, leg.parent = role, order
            order.legs.append(leg)
            account.add_order(leg)
            self._floor.book.add(account, leg)

    def _begin(self, account: Account, order: Order) -> dict[str, Any]:
        """Put the order to work where its session is on; the reply is what it was before that."""
        floor = self._floor
        if not may_trade(order, self._market.session(order.symbol)):
            floor.life.simple(account, order, "accepted")
            return order.json()
        floor.life.simple(account, order, "pending_new")
        reply = order.json()
        if floor.faults.take_reject():
            floor.book.end(account, order, "rejected")
            return reply
        floor.book.start(account, order)
        floor.book.now_or_never(account, order)
        return reply
