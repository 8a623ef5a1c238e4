"""Plays market data into the market: each message at its venue time, and the bars that they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from runner.exchange.bands import PriceBands
from runner.exchange.bars import MINUTE_NS, Bar, BarBuilder, bar_from_json
from runner.exchange.books import OrderBook
from runner.exchange.contracts import OptionContract
from runner.exchange.history import History
from runner.exchange.market import Market, Quote, Trade
from runner.exchange.tape import TapeInfo
from runner.exchange.wire import Message, canonical, fields_of, parse_ns, stamp

type Publish = Callable[[Message], None]

# Minutes of silence after which the clock jumps instead of ticking: a night or a long weekend still ticks.
_LONG_GAP_NS: Final = 4 * 24 * 60 * MINUTE_NS
FOREVER_NS: Final = 1 << 62
# Status codes of both tapes (CTS and UTP specifications); a quotation resumption (Q) is no resumption of trading.
_HALTS: Final = frozenset({"2", "H", "P"})
_RESUMPTIONS: Final = frozenset({"3", "T"})


class Source(Protocol):
    """Where messages come from: files, or the generator."""

    @property
    def contracts(self) -> Sequence[OptionContract]:
        """Option contracts of which more is known than their symbols."""

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
        self._bands = PriceBands(market.calendar, self.info.with_bands)
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

    def inject(self, message: Message) -> None:
        """A message that is not in the data happens now."""
        self._apply(message._replace(ts_ns=self._market.now_ns))

    def _apply(self, message: Message) -> None:
        ts_ns, kind, symbol, raw = message
        if kind == "q":
            quote = _quote(symbol, fields_of(raw), ts_ns)
            self._history.add("quotes", symbol, ts_ns, raw)
            self._builder.quote(symbol, quote.bid, quote.ask, ts_ns)
            self._market.set_quote(quote)
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
        elif kind == "o":
            self._history.books.setdefault(symbol, OrderBook()).apply(fields_of(raw), ts_ns)
        elif kind == "n":
            self._history.news.append((ts_ns, raw))
        elif kind == "s":
            _set_status(self._market, symbol, fields_of(raw))
        self._publish(message)
        if kind == "t":
            for band in self._bands.trade(symbol, trade.price, ts_ns, trade.raw.get("c") or ()):
                self._publish(band)
        elif kind == "b":
            self._days()
        elif kind in ("c", "x"):
            self._amend(symbol, fields_of(raw), corrected=kind == "c")

    def _amend(self, symbol: str, fields: dict[str, Any], *, corrected: bool) -> None:
        """A trade was cancelled or corrected: history says so, and the bar of its minute comes again, updated."""
        venue = str(fields.get("x", ""))
        trade_id = int(fields["oi"] if corrected else fields["i"])
        ts_ns = self._history.amend(symbol, venue, trade_id, "incorrect" if corrected else "canceled")
        if ts_ns is None:
            return
        if corrected:
            right = {"i": fields["ci"], "x": venue, "p": fields["cp"], "s": fields["cs"], "c": fields.get("cc", [])}
            right |= {"z": fields.get("z", ""), "t": stamp(ts_ns), "u": "corrected"}
            self._history.insert(symbol, ts_ns, canonical("t", symbol, right))
        minute_ns = ts_ns - ts_ns % MINUTE_NS
        if symbol in self.info.with_bars or minute_ns + MINUTE_NS > self._market.now_ns:
            return
        again = BarBuilder(self._market.calendar)
        for at_ns, trade in self._history.trades_of_minute(symbol, minute_ns):
            again.trade(symbol, Decimal(trade["p"]), Decimal(trade["s"]), at_ns, trade.get("c") or ())
        for _, bar in again.minutes():
            self._history.add_bar(symbol, bar)
            self._send("u", symbol, bar)


def _set_status(market: Market, symbol: str, fields: dict[str, Any]) -> None:
    code = fields.get("sc")
    if code in _HALTS or code in _RESUMPTIONS:
        market.set_halted(symbol, halted=code in _HALTS)


def _quote(symbol: str, fields: dict[str, Any], ts_ns: int) -> Quote:
    return Quote(
        symbol,
        Decimal(fields.get("bp", 0)),
        fields.get("bs", 0),
        Decimal(fields.get("ap", 0)),
        fields.get("as", 0),
        ts_ns,
    )
