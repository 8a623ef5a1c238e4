"""What the commands of the trading side share: the market, the book, the ids, the books' arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import INITIAL_RATE, ONE, ZERO, Account, Figures
from runner.exchange.broker.book import Book
from runner.exchange.broker.checks import unit_cost
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
    """

    fee_per_share: Decimal = ZERO
    seed: int = 0
    partial_fill_rate: float = 0.0
    opening_cash: Decimal = OPENING_CASH
    multiplier: int = 2
    replace_carries_fills: bool = False


class Floor:
    """The trading floor: every command works on it."""

    def __init__(self, market: Market, settings: DeskSettings, faults: Faults, publish: Publish) -> None:
        self.market = market
        self.settings = settings
        self.faults = faults
        self.ids = Ids(settings.seed)
        self.sessions = Sessions(market.calendar)
        self.life = Lifecycle(market, self.ids, publish, settings.fee_per_share)
        self.prices = Prices(market, self.life)
        portions = Portions(settings.seed, settings.partial_fill_rate)
        self.book = Book(market, self.sessions, self.life, portions, self.revalue)
        self.groups = Groups(self.life, self.book.start)

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
        order.unit_reserve = unit_cost(request, intent, prices, order.protective_limit)
        return order

    def revalue(self, _account: Account, order: Order) -> None:
        """A market order that was queued before any price was known reserves buying power once it goes to work."""
        if not order.opens or order.unit_reserve or order.limit_price is not None:
            return
        prices = self.prices.reference(order.symbol)
        price = prices.buy if order.is_buy else prices.ask
        if price is not None:
            order.unit_reserve = price if order.is_buy else price * Decimal("1.03")
