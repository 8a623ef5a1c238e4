"""Plays market data into the market: each message at its venue time, and the bars that they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, Protocol

from runner.exchange.bars import MINUTE_NS, Bar, BarBuilder, bar_from_json
from runner.exchange.history import History
from runner.exchange.market import Market, Quote, Trade
from runner.exchange.tape import TapeInfo
from runner.exchange.wire import Message, canonical, fields_of, parse_ns

type Publish = Callable[[Message], None]

# Minutes of silence after which the clock jumps instead of ticking: a night or a long weekend still ticks.
_LONG_GAP_NS: Final = 4 * 24 * 60 * MINUTE_NS
FOREVER_NS: Final = 1 << 62


class Source(Protocol):
    """Where messages come from: files, or the generator."""

    def scan(self) -> TapeInfo:
        """What there is."""

    def messages(self) -> Iterator[Message]:
        """All of it, in time order."""


class Player:
    """Moves the market along its data. Nothing here waits: the pace is the caller's."""

    def __init__(self, source: Source, market: Market, history: History, publish: Publish) -> None:
        """Look the data over; venue time is that of the first message. Raises TapeError for unusable data."""
        self.source = source
        self.info = source.scan()
        self.done = 0
        """Messages of the data played so far."""
        self._market = market
        self._history = history
        self._publish = publish
        self._builder = BarBuilder(market.calendar, self.info.with_bars)
        self._messages = source.messages()
        self._next = next(self._messages, None)
        self._minute_ns = self.info.start_ns - self.info.start_ns % MINUTE_NS + MINUTE_NS
        market.set_clock(self.info.start_ns)

    @property
    def next_ns(self) -> int | None:
        """When something happens next: a message, or the end of a minute that has bars. None: it is over."""
        if self._builder.pending:
            return self._minute_ns if self._next is None else min(self._minute_ns, self._next.ts_ns)
        return None if self._next is None else self._next.ts_ns

    def advance(self, to_ns: int, limit: int = FOREVER_NS) -> int:
        """Play everything up to `to_ns` (included), at most `limit` messages; return how many.

        Venue time is `to_ns` afterwards, unless the limit or the end of the data came first. Raises TapeError.
        """
        played = 0
        while self._next is not None and self._next.ts_ns <= to_ns and played < limit:
            message = self._next
            if message.ts_ns >= self._minute_ns:
                self._minutes(message.ts_ns)
            self._market.set_clock(message.ts_ns)
            self._apply(message)
            self._next = next(self._messages, None)
            played += 1
        self.done += played
        if self._next is None or self._next.ts_ns > to_ns:
            end_ns = to_ns if self._next is not None else min(to_ns, self._last_ns())
            self._minutes(end_ns)
            self._market.set_clock(end_ns)
        return played

    def _last_ns(self) -> int:
        """The end of the data's last minute, when its bars are due."""
        return self._minute_ns if self._builder.pending else self._market.now_ns

    def _minutes(self, until_ns: int) -> None:
        """End every minute up to `until_ns`."""
        while self._minute_ns <= until_ns:
            self._market.set_clock(self._minute_ns)
            if self._builder.pending:
                self._bars()
            if until_ns - self._minute_ns > _LONG_GAP_NS:
                self._minute_ns = until_ns - until_ns % MINUTE_NS - _LONG_GAP_NS
            self._minute_ns += MINUTE_NS

    def _bars(self) -> None:
        for symbol, bar in self._builder.minutes():
            self._history.add_bar(symbol, bar)
            self._send("b", symbol, bar)
        self._days()

    def _days(self) -> None:
        for symbol, bar in self._builder.days():
            self._history.set_day(symbol, bar)
            if symbol not in self.info.with_days:
                self._send("d", symbol, bar)

    def _send(self, kind: str, symbol: str, bar: Bar) -> None:
        self._publish(Message(self._market.now_ns, kind, symbol, canonical(kind, symbol, bar.to_json())))

    def _apply(self, message: Message) -> None:
        ts_ns, kind, symbol, raw = message
        if kind == "q":
            fields = fields_of(raw)
            self._history.add("quotes", symbol, ts_ns, raw)
            self._market.set_quote(_quote(symbol, fields, ts_ns))
        elif kind == "t":
            fields = fields_of(raw)
            trade = Trade(symbol, Decimal(fields["p"]), Decimal(fields["s"]), ts_ns, fields)
            self._history.add("trades", symbol, ts_ns, raw)
            self._builder.trade(symbol, trade.price, trade.size, ts_ns, fields.get("c") or ())
            self._market.set_trade(trade)
        elif kind in ("b", "u"):
            fields = fields_of(raw)
            bar = bar_from_json(fields, parse_ns(fields["t"]))
            self._history.add_bar(symbol, bar)
            if kind == "b":
                self._builder.bar(symbol, bar)
        self._publish(message)
        if kind == "b":
            self._days()


def _quote(symbol: str, fields: dict[str, Any], ts_ns: int) -> Quote:
    return Quote(
        symbol,
        Decimal(fields.get("bp", 0)),
        int(fields.get("bs", 0)),
        Decimal(fields.get("ap", 0)),
        int(fields.get("as", 0)),
        ts_ns,
    )
