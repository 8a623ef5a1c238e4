"""What the commands of the trading side share: the market, the book, the ids, the books' arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from runner.exchange.assets import Asset
from runner.exchange.broker import options
from runner.exchange.broker.accounts import INITIAL_RATE, ONE, ZERO, Account, Figures
from runner.exchange.broker.book import Book
from runner.exchange.broker.checks import check_funds, check_quantity, unit_cost
from runner.exchange.broker.crypto import check_cost
from runner.exchange.broker.groups import Groups
from runner.exchange.broker.legality import check_hours
from runner.exchange.broker.lifecycle import Lifecycle, Publish
from runner.exchange.broker.matching import Portions, shares_of, trail
from runner.exchange.broker.orders import Order
from runner.exchange.broker.prices import Prices
from runner.exchange.broker.request import OrderRequest, check_client_order_id
from runner.exchange.broker.sessions import Sessions
from runner.exchange.broker.table import Hours
from runner.exchange.broker.wire import Ids, day_of, minute_of_day
from runner.exchange.errors import INVALID, UNPROCESSABLE, AlpacaError
from runner.exchange.faults import Faults
from runner.exchange.market import Market

OPENING_CASH: Final = Decimal(100_000)


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """`multiplier` 2 is Reg T's (Alpaca publishes no moving figure for 4); `replace_carries_fills` chooses what an
    order that replaces a partly filled one shows (unverified at Alpaca): off, only the remainder with nothing
    filled; on, the whole.

    `options_level` is the level that accounts are approved for. What Alpaca leaves open has switches: `margin_later`
    (see `margin.option_margin`); `netted_cost` charges a multi-leg order that closes anything with what it changes of
    the positions' margin, in place of its legs' own, and what is bought back with its premium less the margin that it
    frees; `leg_intents_required` refuses legs without an intent;
    `leg_updates` tells of each leg's fill in an update of its own as well, with the same execution id;
    `late_activities` shows rows of dividends, splits, exercise, assignment and expiry from the next day (UTC) on, as
    the paper host does.
    """

    fee_per_share: Decimal = ZERO
    seed: int = 0
    partial_fill_rate: float = 0.0
    opening_cash: Decimal = OPENING_CASH
    multiplier: int = 2
    replace_carries_fills: bool = False
    options_level: int = 3
    margin_later: bool = False
    netted_cost: bool = True
    leg_intents_required: bool = False
    leg_updates: bool = False
    late_activities: bool = False


class Floor:
    """The trading floor: every command works on it."""

    def __init__(self, market: Market, settings: DeskSettings, faults: Faults, publish: Publish) -> None:
        self.market = market
        self.settings = settings
        self.faults = faults
        self.ids = Ids(settings.seed)
        self.sessions = Sessions(market.calendar)
        self.life = Lifecycle(market, self.ids, publish, settings.fee_per_share, leg_updates=settings.leg_updates)
        self.prices = Prices(market, self.life, later=settings.margin_later)
        portions = Portions(settings.seed, settings.partial_fill_rate)
        self.book = Book(market, self.sessions, self.life, portions, self.revalue)
        self.groups = Groups(self.life, self.book.start)
        # Values the legs of a multi-leg order; `Spreads` sets it.
        self.revalue_spread: Callable[[Account, Order], None] = lambda _account, _order: None

    def figures(self, account: Account) -> Figures:
        """The account's figures at the current marks."""
        return account.figures(self.prices)

    def check_client_order_id(self, account: Account, client_order_id: str | None) -> None:
        """Unique for ever once accepted; Alpaca's code tells whether the order that has it is still open."""
        check_client_order_id(client_order_id)
        known = account.by_client_id.get(client_order_id) if client_order_id else None
        if known is not None:
            raise AlpacaError(422, UNPROCESSABLE if known.open else INVALID, "client_order_id must be unique")

    def check_hours(self, hours: Hours) -> None:
        """Whether an order that is taken at those hours only may be sent now."""
        calendar, now_ns = self.market.calendar, self.market.now_ns
        today = day_of(now_ns)
        close = minute_of_day(calendar.close_ns(today)) if calendar.is_trading_day(today) else None
        check_hours(hours, self.market.session(), now_ns, close_minute=close)

    def make(self, account: Account, request: OrderRequest, asset: Asset, intent: str, *, status: str = "") -> Order:
        """The order of a request that was checked; nobody else knows of it yet."""
        now_ns = self.life.stamp()
        plain = "simple" if asset.asset_class == "us_option" else ""
        order = Order(
            id=self.ids.fresh(),
            client_order_id=request.client_order_id or self.ids.fresh(),
            account_key=account.key,
            asset_id=str(asset.id),
            symbol=asset.symbol,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            qty=request.qty,
            notional=request.notional,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            trail_price=request.trail_price,
            trail_percent=request.trail_percent,
            extended_hours=request.extended_hours,
            position_intent=intent,
            created_ns=now_ns,
            expires_ns=self.sessions.expiry(request.time_in_force, now_ns, extended=request.extended_hours),
            order_class=plain if request.order_class == "simple" else request.order_class,
            status=status or "pending_new",
            asset_class=asset.asset_class,
            reserve_rate=INITIAL_RATE if asset.marginable else ONE,
        )
        prices = self.prices.reference(asset.symbol)
        if request.notional is not None:
            price = request.limit_price or (prices.buy if order.is_buy else prices.sell)
            order.estimated_qty = shares_of(request.notional, price) if price else ZERO
        if request.type == "trailing_stop" and (start := self.prices.current(asset.symbol)) is not None:
            trail(order, start)
        contract = self.prices.contract(asset.symbol)
        if contract is None:
            order.unit_reserve = unit_cost(request, intent, prices, order.protective_limit)
            return order
        order.multiplier = contract.multiplier
        order.expires_ns = min(order.expires_ns, self.market.expiry_ns(contract))
        order.unit_reserve = options.unit_cost(request, intent, contract, prices, order.protective_limit)
        return order

    def check_funds(self, account: Account, order: Order, asset: Asset, *, without: Order | None = None) -> None:
        """The cost of an order against the buying power of its kind; `without` is the order that it replaces."""
        figures = self.figures(account)
        contract = self.prices.contract(order.symbol)
        if contract is not None:
            options.check_single(
                account, order, contract, self.prices, figures, without=without,
                netted=self.settings.netted_cost, later=self.settings.margin_later,
            )  # fmt: skip
            return
        if asset.asset_class == "crypto":
            self._check_cost(account, order)
        by_dollars = order.notional is not None and order.opens
        cost = order.notional if by_dollars and order.notional else order.unit_reserve * order.leaves
        back = ZERO if without is None else without.unit_reserve * without.leaves
        check_funds(figures, asset, cost, already_reserved=back)

    def _check_cost(self, account: Account, order: Order) -> None:
        prices = self.prices.reference(order.symbol)
        price = order.limit_price or (prices.buy if order.is_buy else prices.sell)
        value = None if price is None else price * order.leaves
        whole = not order.is_buy and order.leaves == account.qty(order.symbol)
        check_cost(value if order.notional is None else order.notional, whole_position=whole)

    def check_quantity(
        self, account: Account, request: OrderRequest, intent: str, qty: Decimal, *, without: Order | None = None
    ) -> None:
        """What closes must be there, and locked by nothing."""
        pledged = options.pledged_shares(account, self.prices, request.symbol) if request.side == "sell" else ZERO
        check_quantity(account, request, intent, qty, without=without, pledged=pledged)

    def revalue(self, account: Account, order: Order) -> None:
        """A market order that was queued before any price was known reserves buying power once it goes to work."""
        if order.several:
            self.revalue_spread(account, order)
            return
        if not order.opens or order.unit_reserve or order.limit_price is not None:
            return
        prices = self.prices.reference(order.symbol)
        price = prices.buy if order.is_buy else prices.ask
        contract = self.prices.contract(order.symbol)
        if contract is not None:
            if order.is_buy and price is not None:
                order.unit_reserve = price * contract.multiplier
        elif price is not None:
            order.unit_reserve = price if order.is_buy else price * Decimal("1.03")
