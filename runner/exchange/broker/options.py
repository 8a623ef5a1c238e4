"""What an account may do with single options: levels, coverage, cost. All of it is 40310000 in Alpaca's words.

Source: docs.alpaca.markets "Options trading overview" (levels, error replies).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from runner.exchange.broker.accounts import ZERO, Account, Figures, Valuation
from runner.exchange.broker.checks import Reference
from runner.exchange.broker.margin import uncovered, without_covered_calls
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import OrderRequest
from runner.exchange.broker.wire import SECOND_NS, text
from runner.exchange.contracts import OptionContract
from runner.exchange.errors import AlpacaError, forbidden, unprocessable
from runner.exchange.market import Market

# On the last day nothing is opened in the last half hour.
EXPIRES_SOON_NS: Final = 30 * 60 * SECOND_NS
UNCOVERED: Final = "account not eligible to trade uncovered option contracts"


def check_contract(market: Market, contract: OptionContract, *, opens: bool) -> None:
    """Whether the series still trades, and still is opened: 42210000."""
    left_ns = market.expiry_ns(contract) - market.now_ns
    if left_ns <= 0:
        raise unprocessable(f'contract "{contract.symbol}" is expired')
    if contract.status != "active":
        raise unprocessable(f'contract "{contract.symbol}" is not active')
    if opens and left_ns <= EXPIRES_SOON_NS:
        raise unprocessable(f'contract "{contract.symbol}" expires soon, unable to open new positions')


def unit_cost(
    request: OrderRequest, intent: str, contract: OptionContract, prices: Reference, protective: Decimal | None
) -> Decimal:
    """Dollars of options buying power that each contract of an order needs.

    What is bought costs its premium, also where it closes (`check_single` takes off what that frees). A short put costs
    its strike less the premium; a short call costs nothing, as it needs shares.
    """
    if request.side == "buy":
        return (protective or request.stop_price or prices.buy or ZERO) * contract.multiplier
    if intent == "sell_to_open" and contract.type == "put":
        premium = request.limit_price or prices.sell or ZERO
        return max(contract.strike - premium, ZERO) * contract.multiplier
    return ZERO


def check_level(account: Account, intent: str) -> None:
    """Level 1 writes covered calls and cash-secured puts, level 2 buys. What is held is closed at any level but 0."""
    level = account.options_level
    if level < 1:
        raise forbidden("account not authorized to trade options")
    if intent == "buy_to_open" and level < 2:
        raise forbidden("account not eligible to trade long option contracts")


def check_single(
    account: Account,
    order: Order,
    contract: OptionContract,
    prices: Valuation,
    figures: Figures,
    *,
    without: Order | None = None,
    netted: bool = True,
    later: bool = False,
) -> None:
    """Level, coverage and buying power of a single order; `without` is the order that it replaces.

    `netted`: what is bought back costs no more than its premium less the margin that it frees, else all of its premium.
    """
    check_level(account, order.position_intent)
    back = ZERO if without is None else without.unit_reserve * without.leaves
    power = figures.options_buying_power + back
    cost = order.unit_reserve * order.leaves
    match order.position_intent:
        case "sell_to_open" if contract.type == "call":
            _check_covered(account, order, contract, prices, without)
        case "sell_to_open" if cost > power:
            raise _not_secured(cost, power)
        case "sell_to_close":
            _check_uncovering(account, order, contract, prices, power)
        case "buy_to_open":
            check_power(cost, power)
        case "buy_to_close":
            if netted:
                cost = max(cost - _freed(account, order, contract, prices, without, later=later), ZERO)
                order.unit_reserve = cost / order.leaves
            check_power(cost, power)
        case _:
            pass


def check_power(cost: Decimal, power: Decimal) -> None:
    """An order's cost against the options buying power."""
    if cost > power:
        raise forbidden("insufficient options buying power", options_buying_power=text(power), cost_basis=text(cost))


def pledged_shares(account: Account, prices: Valuation, symbol: str, *, without: Order | None = None) -> Decimal:
    """Shares that can't be sold: those that short calls lock, held or about to be. Long calls that are for sale cover
    nothing.
    """
    legs = account.options(prices, change=_for_sale(account)).get(symbol, ())
    _, taken = without_covered_calls(legs, account.qty(symbol))
    return taken + _being_written(account, prices, symbol, without=without)


def _being_written(account: Account, prices: Valuation, symbol: str, *, without: Order | None = None) -> Decimal:
    """Shares that the calls need which are for sale by themselves."""
    taken = ZERO
    for order in account.open_orders(without=without):
        if order.asset_class != "us_option" or order.position_intent != "sell_to_open" or order.role or order.several:
            continue
        contract = prices.contract(order.symbol)
        if contract is not None and contract.type == "call" and contract.underlying_symbol == symbol:
            taken += order.leaves * contract.size
    return taken


def _for_sale(account: Account) -> dict[str, Decimal]:
    """By symbol: what each long position changes by once the orders that close it are filled."""
    return {name: -_selling(account, name) for name, position in account.positions.items() if position.qty > 0}


def _selling(account: Account, symbol: str) -> Decimal:
    """What orders that close are still to sell, those of several legs left aside: these buy as well."""
    return sum((order.leaves for order in account.holding_orders(symbol) if order.role != "leg"), ZERO)


def _check_covered(
    account: Account, order: Order, contract: OptionContract, prices: Valuation, without: Order | None
) -> None:
    symbol = contract.underlying_symbol
    held = sum((one.leaves for one in account.holding_orders(symbol)), ZERO)
    free = max(account.qty(symbol) - held - pledged_shares(account, prices, symbol, without=without), ZERO)
    needed = order.leaves * contract.size
    if needed <= free:
        return
    if account.qty(symbol) <= 0:
        raise forbidden(UNCOVERED)
    asset = prices.asset(symbol)
    raise forbidden(
        f"insufficient underlying qty available for covered call (required: {text(needed)}, available: {text(free)})",
        available_qty=text(free),
        required_qty=text(needed),
        symbol=contract.symbol,
        underlying_asset_id="" if asset is None else asset.id,
    )


def _check_uncovering(
    account: Account, order: Order, contract: OptionContract, prices: Valuation, power: Decimal
) -> None:
    """A long that covers a short can't go first: shorts are bought back before."""
    symbol = contract.underlying_symbol
    gone = order.leaves + _selling(account, order.symbol)
    shares = account.qty(symbol)
    # Shares cover nothing that are for sale, or that a call needs which is.
    kept = shares - account.held(symbol) - _being_written(account, prices, symbol)
    # Nor do calls that other orders sell.
    others = _for_sale(account)
    rest, _ = without_covered_calls(
        account.options(prices, change=others | {order.symbol: -gone}).get(symbol, []), kept
    )
    old_rest, _ = without_covered_calls(account.options(prices, change=others).get(symbol, []), kept)
    if uncovered(rest, "call") > uncovered(old_rest, "call"):
        raise forbidden(UNCOVERED)
    proceeds = (order.limit_price or ZERO) * contract.multiplier * order.leaves
    after, before = (account.needed(prices, symbol, change=change) for change in ({order.symbol: -gone}, None))
    more = after - before - proceeds
    if more > power:
        raise _not_secured(more, power)
    order.unit_reserve = max(more, ZERO) / order.leaves


def _freed(
    account: Account, order: Order, contract: OptionContract, prices: Valuation, without: Order | None, *, later: bool
) -> Decimal:
    """What the requirement shrinks by once a short option is bought back, after those that other orders buy back.

    Source: alpaca.markets/support, "Why can't I buy to close my short option?": it is a purchase that needs options
    buying power, and what it frees does not always pay for it.
    """
    symbol = contract.underlying_symbol
    others: dict[str, Decimal] = {}
    for held in account.options(prices).get(symbol, ()):
        if held.qty < 0:
            buying = [one for one in account.holding_orders(held.contract.symbol, without=without) if one.role != "leg"]
            others[held.contract.symbol] = sum((one.leaves for one in buying), ZERO)
    also = others | {order.symbol: others.get(order.symbol, ZERO) + order.leaves}
    before, after = (account.needed(prices, symbol, change=bought, later=later) for bought in (others, also))
    return before - after


def _not_secured(cost: Decimal, power: Decimal) -> AlpacaError:
    return forbidden(
        f"insufficient options buying power for cash-secured put (required: {text(cost)}, available: {text(power)})",
        buying_power=text(power),
        required_options_buying_power=text(cost),
    )
