"""The state of the simulated market: venue time, the last quote and trade of each symbol, and who hears of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runner.exchange.assets import Asset, make_asset
from runner.exchange.calendar import Calendar, Session


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and offer. A side that is missing has price 0 and size 0. Sizes are shares; `ts_ns` is UNIX ns."""

    symbol: str
    bid: Decimal
    bid_size: int
    ask: Decimal
    ask_size: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One print. `raw` is the message as it stood on the wire, numbers with a point as Decimal."""

    symbol: str
    price: Decimal
    size: Decimal
    ts_ns: int
    raw: dict[str, Any]


class Market:
    """Venue time and the newest prices.

    Callbacks run in the order of registration, on the event loop, before the message reaches any data stream: an order
    that a client sends in answer to a quote finds that quote.
    """

    def __init__(self, symbols: Iterable[str] = (), *, now_ns: int = 0, calendar: Calendar | None = None) -> None:
        self.now_ns = now_ns
        self.calendar = calendar or Calendar()
        self._assets: dict[str, Asset] = {}
        self._by_id: dict[str, Asset] = {}
        self.add_symbols(symbols)
        self._quotes: dict[str, Quote] = {}
        self._trades: dict[str, Trade] = {}
        self._on_quote: list[Callable[[Quote], None]] = []
        self._on_trade: list[Callable[[Trade], None]] = []
        self._on_clock: list[Callable[[int], None]] = []

    def add_symbols(self, symbols: Iterable[str]) -> None:
        """Make assets of symbols that have none yet."""
        for symbol in symbols:
            if symbol not in self._assets:
                asset = self._assets[symbol] = make_asset(symbol)
                self._by_id[asset.id] = asset

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote of `symbol`, None before the first."""
        return self._quotes.get(symbol)

    def last_trade(self, symbol: str) -> Trade | None:
        """The newest print of `symbol`, None before the first."""
        return self._trades.get(symbol)

    def symbols(self) -> list[str]:
        """Every symbol that can be traded here, sorted."""
        return sorted(self._assets)

    def asset(self, symbol_or_id: str) -> Asset | None:
        """The asset by its symbol or its id, None where there is none."""
        return self._assets.get(symbol_or_id) or self._by_id.get(symbol_or_id)

    def session(self) -> Session:
        """The session at venue time."""
        return self.calendar.session(self.now_ns)

    def on_quote(self, callback: Callable[[Quote], None]) -> None:
        """Call `callback` with each new quote."""
        self._on_quote.append(callback)

    def on_trade(self, callback: Callable[[Trade], None]) -> None:
        """Call `callback` with each new print."""
        self._on_trade.append(callback)

    def on_clock(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with venue time (ns) whenever it has moved, before anything that happens at that time."""
        self._on_clock.append(callback)

    def set_clock(self, now_ns: int) -> None:
        """Move venue time on. It never goes back: an earlier time is ignored."""
        if now_ns <= self.now_ns:
            return
        self.now_ns = now_ns
        for callback in self._on_clock:
            callback(now_ns)

    def set_quote(self, quote: Quote) -> None:
        """Take a new quote, and tell those who asked."""
        self._quotes[quote.symbol] = quote
        for callback in self._on_quote:
            callback(quote)

    def set_trade(self, trade: Trade) -> None:
        """Take a new print, and tell those who asked."""
        self._trades[trade.symbol] = trade
        for callback in self._on_trade:
            callback(trade)
