"""The desk: accounts and their orders, and what venue time does to them. Commands are in modules of their own."""

from __future__ import annotations

import base64
import uuid
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from runner.exchange.assets import Asset
from runner.exchange.broker.accounts import Account, Figures
from runner.exchange.broker.changing import Changing
from runner.exchange.broker.floor import DeskSettings, Floor
from runner.exchange.broker.lifecycle import Publish
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import parse_order
from runner.exchange.broker.settling import Settling
from runner.exchange.broker.spreads import Spreads
from runner.exchange.broker.submitting import Submitting
from runner.exchange.broker.wire import SECOND_NS, day_of
from runner.exchange.calendar import Session
from runner.exchange.errors import not_found
from runner.exchange.faults import Faults
from runner.exchange.market import Market

__all__ = ["Desk", "DeskSettings"]

MINUTE_NS: Final = 60 * SECOND_NS


class Desk:
    """All accounts and their orders."""

    def __init__(self, market: Market, settings: DeskSettings, faults: Faults, publish: Publish) -> None:
        self._market = market
        self._settings = settings
        self.floor = Floor(market, settings, faults, publish)
        self.life, self.book = self.floor.life, self.floor.book
        spreads = Spreads(self.floor)
        self._submitting = Submitting(self.floor, spreads)
        self._changing = Changing(self.floor, spreads)
        self.settling = Settling(self.floor)
        self.accounts: dict[str, Account] = {}
        self._next_close_ns: int | None = None
        self._minute = 0
        market.on_quote(self.book.on_quote)
        market.on_trade(self.book.on_trade)
        market.on_clock(self.on_clock)

    # -- reading -----------------------------------------------------------------------------------------------------

    def account(self, key: str) -> Account:
        """The key's account, opened at its first use."""
        self.on_clock(self._market.now_ns)
        found = self.accounts.get(key)
        if found is None:
            # Of the key alone: the same after a restart, and another than at another exchange on this machine, whose
            # accounts a node would otherwise take for its own.
            digest = sha256(f"account of {key}".encode()).digest()
            found = self.accounts[key] = Account(
                key=key,
                id=str(uuid.UUID(bytes=digest[:16], version=4)),
                number=f"PA{base64.b32encode(digest[16:])[:10].decode()}",
                created_ns=self._market.now_ns,
                cash=self._settings.opening_cash,
                multiplier=self._settings.multiplier,
                options_approved_level=self._settings.options_level,
            )
        return found

    def mark(self, symbol: str) -> Decimal:
        """What a share, coin or contract's share is worth now; 0 if unknown."""
        return self.floor.prices.mark(symbol)

    def last_day_price(self, symbol: str) -> Decimal:
        """The previous close as far as this process has seen it, else the first price that was asked for."""
        return self.floor.prices.last_day_price(symbol)

    def figures(self, account: Account) -> Figures:
        """The account's figures at the current marks."""
        return self.floor.figures(account)

    def asset(self, symbol: str) -> Asset | None:
        return self._market.asset(symbol)

    @property
    def now_ns(self) -> int:
        return self._market.now_ns

    def session_at(self, ns: int) -> Session:
        """The stocks' session at that time."""
        return self._market.calendar.session(ns)

    def order(self, account: Account, order_id: str) -> Order:
        """An order of this account by id; 404 otherwise."""
        found = account.orders.get(order_id.lower())
        if found is None:
            raise not_found(f"order not found for {order_id}")
        return found

    def last_close_day(self, at_ns: int) -> date:
        """The trading day that had closed last."""
        day, calendar = day_of(at_ns), self._market.calendar
        has_closed = calendar.is_trading_day(day) and calendar.close_ns(day) <= at_ns
        return day if has_closed else calendar.previous_trading_day(day)

    def on_clock(self, now_ns: int) -> None:
        """Venue time moved."""
        if self._next_close_ns is None:
            self._next_close_ns = self.floor.sessions.close_after(now_ns)
        elif now_ns >= self._next_close_ns:
            self.book.on_clock(now_ns)  # orders of the day end before positions are settled
            for account in self.accounts.values():
                self.settling.expire(account)
            held = {symbol for account in self.accounts.values() for symbol in account.positions}
            self.floor.prices.close_day(sorted(held))
            for account in self.accounts.values():
                account.roll_day(self.floor.prices, self._next_close_ns)
            self._next_close_ns = self.floor.sessions.close_after(now_ns)
        if now_ns // MINUTE_NS != self._minute:
            self._minute = now_ns // MINUTE_NS
            for account in self.accounts.values():
                account.equity_samples.append((now_ns, self.figures(account).equity))
        self.book.on_clock(now_ns)

    # -- commands ----------------------------------------------------------------------------------------------------

    def submit(self, account: Account, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v2/orders: the order as it was taken, or AlpacaError."""
        return self._submitting.submit(account, parse_order(body))

    def close(
        self, account: Account, symbol: str, *, qty: Decimal | None = None, percentage: Decimal | None = None
    ) -> dict[str, Any]:
        """DELETE /v2/positions/{symbol}: a market order for all, `qty` shares or `percentage` of the position."""
        return self._submitting.close(account, symbol, qty=qty, percentage=percentage)

    def cancel(self, account: Account, order: Order) -> None:
        """DELETE /v2/orders/{id}: accepted, which is not yet done; 422 where the order has ended another way."""
        self._changing.cancel(account, order)

    def replace(self, account: Account, order: Order, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH /v2/orders/{id}: the new order, which takes the old one's place; the old id ends `replaced`."""
        return self._changing.replace(account, order, body)
