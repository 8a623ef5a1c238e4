"""The commands: open an account, submit, cancel, replace, close a position. Everything here is synchronous.

A command's events are published before its reply is written, as they may be at Alpaca: a client indexes by client
order id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import ZERO, Account, Figures
from runner.exchange.broker.book import Book
from runner.exchange.broker.checks import (
    Reference,
    check_funds,
    check_opposite_opening,
    check_permissions,
    check_quantity,
    check_short,
    check_wash_trade,
    intent_of,
    reference,
    unit_cost,
)
from runner.exchange.broker.legality import (
    OrderRequest,
    check_asset,
    check_client_order_id,
    check_prices,
    check_stop,
    parse_order,
)
from runner.exchange.broker.lifecycle import Lifecycle, Publish
from runner.exchange.broker.matching import Portions, may_trade, shares_of, trail
from runner.exchange.broker.orders import NOT_REPLACEABLE, Order
from runner.exchange.broker.replacing import changed
from runner.exchange.broker.sessions import Sessions
from runner.exchange.broker.wire import NINE_PLACES, SECOND_NS, Ids
from runner.exchange.errors import INVALID, UNPROCESSABLE, AlpacaError, invalid, not_found, unprocessable
from runner.exchange.faults import Faults
from runner.exchange.market import Market

MINUTE_NS: Final = 60 * SECOND_NS
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


class Desk:
    """All accounts and their orders."""

    def __init__(self, market: Market, settings: DeskSettings, faults: Faults, publish: Publish) -> None:
        self._market = market
        self._settings = settings
        self._faults = faults
        self._ids = Ids(settings.seed)
        self._sessions = Sessions(market.calendar)
        self.life = Lifecycle(market, self._ids, publish, settings.fee_per_share)
        self.book = Book(
            market, self._sessions, self.life, Portions(settings.seed, settings.partial_fill_rate), self._revalue
        )
        self.accounts: dict[str, Account] = {}
        self._next_close_ns: int | None = None
        self._minute = 0
        # Yesterday's close of each symbol as far as this process has seen one, else its first price.
        self._last_day: dict[str, Decimal] = {}
        market.on_quote(self.book.on_quote)
        market.on_trade(self.book.on_trade)
        market.on_clock(self.on_clock)

    # -- reading -----------------------------------------------------------------------------------------------------

    def account(self, key: str) -> Account:
        """The key's account, opened at its first use."""
        self.on_clock(self._market.now_ns)
        found = self.accounts.get(key)
        if found is None:
            number = f"PA{len(self.accounts) + 1:010d}"
            found = self.accounts[key] = Account(
                key=key,
                id=self._ids.fresh(),
                number=number,
                created_ns=self._market.now_ns,
                cash=self._settings.opening_cash,
                multiplier=self._settings.multiplier,
            )
        return found

    def mark(self, symbol: str) -> Decimal:
        """What a share is worth now: the last print, else the middle of the quote, else the last fill here; 0 if
        unknown.
        """
        price = self._current(symbol)
        return self.life.last_fill.get(symbol, ZERO) if price is None else price

    def last_day_price(self, symbol: str) -> Decimal:
        """The previous close as far as this process has seen it, else the first price that was asked for."""
        return self._last_day.setdefault(symbol, self.mark(symbol))

    def figures(self, account: Account) -> Figures:
        """The account's figures at the current marks."""
        return account.figures(self.mark, self._market.asset)

    def asset(self, symbol: str) -> Asset | None:
        return self._market.asset(symbol)

    @property
    def now_ns(self) -> int:
        return self._market.now_ns

    def order(self, account: Account, order_id: str) -> Order:
        """An order of this account by id; 404 otherwise."""
        found = account.orders.get(order_id.lower())
        if found is None:
            raise not_found(f"order not found for {order_id}")
        return found

    def on_clock(self, now_ns: int) -> None:
        """Venue time moved."""
        if self._next_close_ns is None:
            self._next_close_ns = self._sessions.close_after(now_ns)
        elif now_ns >= self._next_close_ns:
            for symbol in self._market.symbols():
                if price := self.mark(symbol):
                    self._last_day[symbol] = price
            for account in self.accounts.values():
                account.roll_day(self.mark, self._market.asset)
            self._next_close_ns = self._sessions.close_after(now_ns)
        if now_ns // MINUTE_NS != self._minute:
            self._minute = now_ns // MINUTE_NS
            for account in self.accounts.values():
                account.equity_samples.append((now_ns, self.figures(account).equity))
        self.book.on_clock(now_ns)

    # -- commands ----------------------------------------------------------------------------------------------------

    def submit(self, account: Account, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v2/orders: the order as it was taken, or AlpacaError."""
        return self._submit(account, parse_order(body))

    def close(
        self, account: Account, symbol: str, *, qty: Decimal | None = None, percentage: Decimal | None = None
    ) -> dict[str, Any]:
        """DELETE /v2/positions/{symbol}: a market order for all, `qty` shares or `percentage` of the position."""
        position = account.position(symbol)
        if position is None:
            raise not_found("position does not exist")
        size = abs(position.qty)
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
        return self._submit(
            account,
            OrderRequest(
                symbol=symbol,
                side="sell" if position.qty > 0 else "buy",
                type="market",
                time_in_force="day",
                qty=size if qty is None else qty,
            ),
        )

    def cancel(self, account: Account, order: Order) -> None:
        """DELETE /v2/orders/{id}: accepted, which is not yet done; 422 where the order has ended another way."""
        if order.status == "canceled":
            return
        if not order.open or order.status in {"pending_cancel", "pending_replace"}:
            raise unprocessable(f'order is already in "{order.status}" state')
        if order.working and self._faults.take_race("cancel"):
            order.before_pending = order.status
            self.life.simple(account, order, "pending_cancel")
            self.book.decide_later(order, None)
            return
        self.book.end(account, order, "canceled")

    def replace(self, account: Account, order: Order, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH /v2/orders/{id}: the new order, which takes the old one's place; the old id ends `replaced`."""
        if order.status in NOT_REPLACEABLE:
            raise unprocessable(
                "order already replaced"
                if order.status == "replaced"
                else f"cannot replace order in {order.status} status"
            )
        request = changed(order, body)
        check_prices(request)
        self._check_client_order_id(account, request.client_order_id)
        asset = check_asset(
            request, self._market.asset(order.symbol), fractional_enabled=account.configuration.fractional_trading
        )
        if request.stop_price != order.stop_price:
            check_stop(request, self._current(order.symbol))
        total = request.qty or ZERO
        if total <= order.filled_qty:
            raise unprocessable("qty must be > filled_qty")
        left = total - order.filled_qty
        check_quantity(account, request, order.position_intent, left, without=order)
        check_wash_trade(account, request, without=order)
        new = self._make(account, request, order.position_intent)
        check_funds(
            self.figures(account), asset, new.unit_reserve * left, already_reserved=order.unit_reserve * order.leaves
        )
        self._inherit(new, order, total, left)
        return self._take_place(account, order, new)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _submit(self, account: Account, request: OrderRequest) -> dict[str, Any]:
        check_permissions(account)
        found = self._market.asset(request.symbol) or self._market.asset(request.symbol.lower())
        asset = check_asset(request, found, fractional_enabled=account.configuration.fractional_trading)
        request = replace(request, symbol=asset.symbol)  # it may have named the asset by its id
        self._check_client_order_id(account, request.client_order_id)
        intent = intent_of(request, account.qty(request.symbol))
        if self._market.session() == "core":
            check_stop(request, self._current(request.symbol))
        order = self._make(account, request, intent)
        figures = self.figures(account)
        if intent == "sell_to_open":
            check_short(account, request, asset, figures)
        check_quantity(account, request, intent, order.leaves)
        check_wash_trade(account, request)
        check_opposite_opening(account, request, intent)
        cost = request.notional if request.notional is not None and order.opens else order.unit_reserve * order.leaves
        check_funds(figures, asset, cost)
        account.add_order(order)
        self.book.add(account, order)
        if may_trade(order, self._market.session()):
            self.life.simple(account, order, "pending_new")
            reply = order.json()
            self.book.start(account, order)
            self.book.now_or_never(account, order)
            return reply
        self.life.simple(account, order, "accepted")
        return order.json()

    def _make(self, account: Account, request: OrderRequest, intent: str) -> Order:
        asset = self._market.asset(request.symbol)
        assert asset is not None
        now_ns = self.life.stamp()
        order = Order(
            id=self._ids.fresh(),
            client_order_id=request.client_order_id or self._ids.fresh(),
            account_key=account.key,
            asset_id=str(asset.id),
            symbol=request.symbol,
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
            expires_ns=self._sessions.expiry(request.time_in_force, now_ns, extended=request.extended_hours),
        )
        prices = self._reference(request.symbol)
        if request.notional is not None:
            price = request.limit_price or (prices.buy if order.is_buy else prices.sell)
            order.estimated_qty = shares_of(request.notional, price) if price else ZERO
        if request.type == "trailing_stop" and (start := self._current(request.symbol)) is not None:
            trail(order, start)
        order.unit_reserve = unit_cost(request, intent, prices, order.protective_limit)
        return order

    def _inherit(self, new: Order, old: Order, total: Decimal, left: Decimal) -> None:
        new.replaces = old.id
        new.hwm, new.triggered = old.hwm, old.triggered
        if old.type == "trailing_stop":
            new.stop_price = None
            if (price := new.hwm) is not None:
                new.hwm = None
                trail(new, price)
        new.qty = left
        if self._settings.replace_carries_fills:
            new.qty, new.filled_qty, new.filled_value = total, old.filled_qty, old.filled_value

    def _take_place(self, account: Account, old: Order, new: Order) -> dict[str, Any]:
        account.add_order(new)
        if self._faults.take_race("replace"):
            self.book.add(account, new)
            old.before_pending = old.status
            self.life.simple(account, old, "pending_replace")
            reply = new.json()
            self.book.decide_later(old, new)
            return reply
        reply = new.json()
        old.replaced_by = new.id
        self.book.end(account, old, "replaced")
        self.book.add(account, new)
        self.book.start(account, new)
        self.book.now_or_never(account, new)
        return reply

    def _check_client_order_id(self, account: Account, client_order_id: str | None) -> None:
        """Unique for ever once accepted; Alpaca's code tells whether the order that has it is still open."""
        check_client_order_id(client_order_id)
        known = account.by_client_id.get(client_order_id) if client_order_id else None
        if known is not None:
            raise AlpacaError(422, UNPROCESSABLE if known.open else INVALID, "client_order_id must be unique")

    def _current(self, symbol: str) -> Decimal | None:
        trade = self._market.last_trade(symbol)
        if trade is not None:
            return trade.price
        quote = self._market.quote(symbol)
        return reference(quote, None, "closed").buy

    def _reference(self, symbol: str) -> Reference:
        trade = self._market.last_trade(symbol)
        return reference(self._market.quote(symbol), trade.price if trade else None, self._market.session())

    def _revalue(self, account: Account, order: Order) -> None:
        """A market order that was queued before any price was known reserves buying power once it goes to work."""
        if not order.opens or order.unit_reserve or order.limit_price is not None:
            return
        prices = self._reference(order.symbol)
        price = prices.buy if order.is_buy else prices.ask
        if price is not None:
            order.unit_reserve = price if order.is_buy else price * Decimal("1.03")
