"""Multi-leg orders: what may be sent, what it costs, and the orders of the legs.

Sources: docs.alpaca.markets "Options Level 3 Trading" (rules, cost basis, both worked examples) and "Options trading
overview" (error replies). The limit of the order is the net price of one unit: a debit above 0, a credit below.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import gcd
from typing import Any, Final

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import ZERO, Account
from runner.exchange.broker.checks import check_opposite_opening, intent_of
from runner.exchange.broker.floor import Floor
from runner.exchange.broker.legality import check_increment, check_table
from runner.exchange.broker.margin import Held, option_margin, uncovered
from runner.exchange.broker.options import check_contract, check_power
from runner.exchange.broker.orders import Order, signed_ratio
from runner.exchange.broker.request import LegRequest, OrderRequest, parse_order
from runner.exchange.broker.wire import text
from runner.exchange.contracts import OptionContract
from runner.exchange.errors import AlpacaError, forbidden, invalid, unprocessable

UNCOVERED: Final = "mleg uncovered short contracts not allowed, please use single leg order"
LEVEL: Final = 3
# The parent's: it names none.
NO_ASSET: Final = Asset("", "", "", "", marginable=False, asset_class="us_option")


class Spreads:
    """Makes the orders of a multi-leg request that was checked."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        floor.revalue_spread = self.revalue

    def make(self, account: Account, request: OrderRequest, *, without: Order | None = None) -> Order:
        """The parent with its legs; AlpacaError where the request is refused. `without` is what it replaces."""
        contracts = self._check_request(request)
        intents = self._check_legs(account, request, contracts, without)
        if account.options_level < LEVEL:
            raise forbidden("account not eligible to trade spreads or uncovered contracts")
        if request.position_intent is not None:
            raise invalid("position_intent is not allowed for mleg order")
        units = [
            Held(contract, Decimal(leg.ratio if leg.side == "buy" else -leg.ratio))
            for leg, contract in zip(request.legs, contracts, strict=True)
        ]
        # A leg that is sold counts as short whatever it closes.
        if uncovered(units, "call") or uncovered(units, "put"):
            raise forbidden(UNCOVERED)
        self._floor.check_client_order_id(account, request.client_order_id)
        parent = self._orders(account, request, contracts, intents)
        cost = self._cost(account, parent, units)
        parent.unit_reserve = cost / parent.leaves
        back = ZERO if without is None else without.unit_reserve * without.leaves
        check_power(cost, self._floor.figures(account).options_buying_power + back)
        return parent

    def net_price(self, parent: Order) -> Decimal | None:
        """What one unit costs at the far sides now; None where a leg has no such side."""
        prices = [self._floor.prices.reference(leg.symbol) for leg in parent.legs]
        sides = [(p.buy if leg.is_buy else p.sell) for leg, p in zip(parent.legs, prices, strict=True)]
        net = ZERO
        for leg, price in zip(parent.legs, sides, strict=True):
            if price is None:
                return None
            net += price * signed_ratio(leg)
        return net

    def revalue(self, account: Account, parent: Order) -> None:
        """A market order that was queued before its legs had prices reserves once it goes to work."""
        if parent.limit_price is None:
            parent.unit_reserve = self._cost(account, parent, self._units(parent)) / parent.leaves

    # -- what may be sent --------------------------------------------------------------------------------------------

    def _check_request(self, request: OrderRequest) -> list[OptionContract]:
        market = self._floor.market
        assets = [self._asset(leg.symbol) for leg in request.legs]
        contracts = [contract for asset in assets if (contract := market.contract(asset.symbol)) is not None]
        first = contracts[0]
        for other in contracts[1:]:
            if other.underlying_symbol != first.underlying_symbol:
                raise unprocessable(
                    f"underlying asset mismatch: {first.underlying_symbol} != {other.underlying_symbol}"
                )
        if len({contract.symbol for contract in contracts}) < len(contracts):
            raise unprocessable("mleg orders require a different contract in each leg")
        if request.notional is not None:
            raise unprocessable("notional orders are not supported for options trading")
        if request.fractional:
            raise unprocessable("qty must be integer for options trading")
        self._floor.check_hours(check_table(request, assets[0]))
        if len({c.expiration_date for c in contracts}) > 1 and any(c.style == "european" for c in contracts):
            raise unprocessable("European-style option legs in a multi-leg order must have the same expiration date")
        ratios = [leg.ratio for leg in request.legs]
        if (divisor := gcd(*ratios)) > 1:
            listed = " ".join(str(ratio) for ratio in ratios)
            raise unprocessable(f"leg ratio quantities should be relatively prime: GCD[{listed}] = {divisor}")
        check_increment("limit_price", request.limit_price, assets[0])
        return contracts

    def _asset(self, symbol: str) -> Asset:
        found = self._floor.market.asset(symbol) or self._floor.market.asset(symbol.lower())
        if found is None:
            raise unprocessable(f"asset not found for {symbol}")
        if found.asset_class != "us_option":
            raise unprocessable("equity legs are allowed only with a corresponding amount of call contracts")
        return found

    def _check_legs(
        self, account: Account, request: OrderRequest, contracts: list[OptionContract], without: Order | None
    ) -> list[str]:
        """Each leg's intent; what a leg closes must be there."""
        floor = self._floor
        intents = []
        for number, (leg, contract) in enumerate(zip(request.legs, contracts, strict=True)):
            if leg.position_intent is None and floor.settings.leg_intents_required:
                raise unprocessable(f"leg.{number} position intent is required")
            single = _as_single(request, leg, contract)
            intent = intent_of(single, account.qty(contract.symbol))
            check_contract(floor.market, contract, opens=intent.endswith("_open"))
            if not contract.tradable:
                raise unprocessable(f'contract "{contract.symbol}" is not tradable')
            floor.check_quantity(account, single, intent, single.qty or ZERO, without=without)
            check_opposite_opening(account, single, intent, without=without)
            intents.append(intent)
        return intents

    # -- what it costs -----------------------------------------------------------------------------------------------

    def _cost(self, account: Account, parent: Order, units: list[Held]) -> Decimal:
        """Margin of the legs and their net price: dollars for all that is left of the order.

        Where legs close something, only what the order changes of the positions' margin counts (`netted_cost`): their
        own margin would be charged for a risk that goes away.
        """
        floor = self._floor
        net = parent.limit_price if parent.limit_price is not None else self.net_price(parent)
        size = units[0].contract.multiplier
        paid = (net or ZERO) * size * parent.leaves
        closes = any(not leg.opens for leg in parent.legs)
        if not (closes and floor.settings.netted_cost):
            margin = option_margin(units, later=floor.settings.margin_later)
            assert margin is not None  # uncovered legs were refused
            return max(margin * parent.leaves + paid, ZERO)
        symbol = units[0].contract.underlying_symbol
        change = {unit.contract.symbol: unit.qty * parent.leaves for unit in units}
        before, after = (
            account.needed(floor.prices, symbol, change=added, later=floor.settings.margin_later)
            for added in ({}, change)
        )
        return max(after - before + paid, ZERO)

    def _units(self, parent: Order) -> list[Held]:
        contracts = [self._floor.market.contract(leg.symbol) for leg in parent.legs]
        return [
            Held(contract, Decimal(signed_ratio(leg)))
            for leg, contract in zip(parent.legs, contracts, strict=True)
            if contract is not None
        ]

    # -- the orders --------------------------------------------------------------------------------------------------

    def _orders(
        self, account: Account, request: OrderRequest, contracts: list[OptionContract], intents: list[str]
    ) -> Order:
        floor = self._floor
        parent = floor.make(account, replace(request, symbol="", side="buy"), NO_ASSET, "")
        parent.order_class, parent.asset_id, parent.multiplier = "mleg", "", contracts[0].multiplier
        parent.expires_ns = min(parent.expires_ns, *(floor.market.expiry_ns(contract) for contract in contracts))
        for leg, contract, intent in zip(request.legs, contracts, intents, strict=True):
            single = replace(_as_single(request, leg, contract), limit_price=None, type="market", client_order_id=None)
            order = floor.make(account, single, contract.asset(), intent)
            order.order_class, order.role, order.parent, order.ratio = "mleg", "leg", parent, leg.ratio
            order.unit_reserve, order.expires_ns = ZERO, parent.expires_ns
            parent.legs.append(order)
        return parent


def _as_single(request: OrderRequest, leg: LegRequest, contract: OptionContract) -> OrderRequest:
    return replace(
        request,
        symbol=contract.symbol,
        side=leg.side,
        qty=(request.qty or ZERO) * leg.ratio,
        position_intent=leg.position_intent,
        order_class="simple",
        legs=(),
    )


def changed_spread(order: Order, body: dict[str, Any]) -> OrderRequest:
    """What a PATCH makes of a multi-leg order: its quantity, limit and time in force may change."""
    for name in ("stop_price", "trail", "notional"):
        if body.get(name) is not None:
            raise invalid(f"{name} is not accepted for mleg orders")
    old = {
        "order_class": "mleg",
        "qty": order.qty,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "limit_price": order.limit_price,
        "legs": [
            {
                "symbol": leg.symbol,
                "ratio_qty": Decimal(leg.ratio or 0),
                "side": leg.side,
                "position_intent": leg.position_intent,
            }
            for leg in order.legs
        ],
    }
    given = {name: body[name] for name in ("qty", "time_in_force", "limit_price") if body.get(name) is not None}
    before, after = parse_order(old), parse_order({**old, **given})
    if after == before:
        raise unprocessable("order parameters are not changed")
    if (after.qty or ZERO) <= order.filled_qty:
        raise unprocessable("qty must be > filled_qty")
    named = parse_order({**old, "client_order_id": body.get("client_order_id")})
    left = (after.qty or ZERO) - order.filled_qty
    return replace(after, qty=left, client_order_id=named.client_order_id)


def refused_leg(order: Order) -> AlpacaError:
    """A leg lives and ends with its order."""
    return unprocessable(
        f"leg order {order.id} of a multi-leg order can't be changed by itself, send the order's id",
        related_orders=[order.parent.id] if order.parent is not None else [],
        symbol=order.symbol,
        qty=text(order.leaves),
    )
