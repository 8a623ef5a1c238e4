"""Dividends, splits and transfers, as they reach an account: positions, cash and activities change, nothing streams.

Source: docs.alpaca.markets "Account activities" (DIV, SPLIT, CSD, CSW, JNLC). What Alpaca does with open orders at
a split is not documented in one place; here all orders in the symbol are cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from runner.exchange.broker.accounts import Account
from runner.exchange.broker.activities import non_trade_activity
from runner.exchange.broker.floor import Floor
from runner.exchange.broker.wire import text
from runner.exchange.errors import unprocessable


class Corporate:
    """Corporate actions on the books of all accounts."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def dividend(self, accounts: Iterable[Account], symbol: str, rate: Decimal) -> int:
        """`rate` dollars for each share; a short pays it. Returns how many accounts it reached."""
        reached = 0
        for account in accounts:
            qty = account.qty(symbol)
            if not qty:
                continue
            account.cash += qty * rate
            reached += 1
            self._row(account, "DIV", symbol, qty, net=qty * rate, per_share_amount=text(rate), description="Dividend")
        return reached

    def split(self, accounts: Iterable[Account], symbol: str, new: Decimal, old: Decimal) -> int:
        """`new` shares for `old`; prices follow, cost stays. Returns how many accounts it reached."""
        known = list(accounts)
        floor = self._floor
        for account in known:
            if symbol in account.options(floor.prices):
                raise unprocessable(f"{symbol} can't be split: account {account.number} holds options on it")
        factor = new / old
        for account in known:
            for order in account.open_orders(symbol):
                if order.open:
                    floor.book.end(account, order, "canceled")
        floor.market.split(symbol, factor)
        floor.prices.split(symbol, factor)
        reached = 0
        for account in known:
            position = account.position(symbol)
            if position is None:
                continue
            before = position.qty
            position.qty = before * new / old
            reached += 1
            self._row(account, "SPLIT", symbol, position.qty - before, description=f"Split {text(new)}:{text(old)}")
        return reached

    def transfer(self, account: Account, kind: str, amount: Decimal, *, cash: bool, row: bool) -> None:
        """Money comes (or goes, below 0): its cash and its row, or one of them alone, as the other may be late."""
        if cash:
            account.cash += amount
        if row:
            floor = self._floor
            made = non_trade_activity(
                floor.ids,
                kind,
                floor.life.stamp(),
                late=floor.settings.late_activities,
                net_amount=text(amount),
                description="Transfer",
            )
            account.activities.add(made)

    def _row(
        self, account: Account, kind: str, symbol: str, qty: Decimal, *, net: Decimal = Decimal(0), **more: str
    ) -> None:
        floor = self._floor
        account.activities.add(
            non_trade_activity(
                floor.ids,
                kind,
                floor.life.stamp(),
                late=floor.settings.late_activities,
                symbol=symbol,
                qty=text(qty),
                net_amount=text(net),
                **more,
            )
        )
