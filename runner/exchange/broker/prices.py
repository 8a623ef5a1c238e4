"""What things are worth: marks of positions, and the prices that orders are valued at."""

from __future__ import annotations

from decimal import Decimal

from runner.exchange.assets import Asset
from runner.exchange.broker.checks import Reference, reference
from runner.exchange.broker.lifecycle import Lifecycle
from runner.exchange.contracts import OptionContract
from runner.exchange.market import Market

ZERO = Decimal(0)


class Prices:
    """The market's prices as a broker looks at them."""

    def __init__(self, market: Market, life: Lifecycle, *, later: bool = False) -> None:
        self._market = market
        self.later = later
        self._life = life
        # Yesterday's close of each symbol as far as this process has seen one, else its first price.
        self.last_day: dict[str, Decimal] = {}

    def asset(self, symbol: str) -> Asset | None:
        return self._market.asset(symbol)

    def contract(self, symbol: str) -> OptionContract | None:
        return self._market.contract(symbol)

    def current(self, symbol: str) -> Decimal | None:
        """The last print, else the middle of the quote; an option's prints are too rare to go by, so the reverse."""
        quote = self._market.quote(symbol)
        middle = reference(quote, None, "closed").buy
        trade = self._market.last_trade(symbol)
        if trade is None or (middle is not None and self._market.contract(symbol) is not None):
            return middle
        return trade.price

    def mark(self, symbol: str) -> Decimal:
        """What a share is worth now: the current price, else that of the last fill here; 0 if unknown."""
        price = self.current(symbol)
        return self._life.last_fill.get(symbol, ZERO) if price is None else price

    def last_day_price(self, symbol: str) -> Decimal:
        """The previous close as far as this process has seen it, else the first price that was asked for."""
        return self.last_day.setdefault(symbol, self.mark(symbol))

    def reference(self, symbol: str) -> Reference:
        """What an order for the symbol is valued at now."""
        trade = self._market.last_trade(symbol)
        return reference(self._market.quote(symbol), trade.price if trade else None, self._market.session(symbol))

    def split(self, symbol: str, factor: Decimal) -> None:
        """`factor` new shares for one: what is remembered of prices follows."""
        for prices in (self.last_day, self._life.last_fill):
            if symbol in prices:
                prices[symbol] /= factor

    def close_day(self, held: list[str]) -> None:
        """Today's closes are the previous ones from now on, of stocks, pairs and what is `held`."""
        for symbol in (*self._market.symbols(), *held):
            if price := self.mark(symbol):
                self.last_day[symbol] = price
