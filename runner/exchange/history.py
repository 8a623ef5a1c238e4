"""What has happened so far, as REST serves it: rows by symbol in time order, as JSON text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from runner.exchange.assets import asset_class_of
from runner.exchange.bars import MINUTE_NS, Bar, day_start
from runner.exchange.books import OrderBook
from runner.exchange.calendar import NS, new_york, to_ns
from runner.exchange.wire import dumps, fields_of, row

Kind = Literal["trades", "quotes", "bars"]
type Adjust = Callable[[list[Bar]], list[Bar]]

_TIMEFRAME: Final = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W|Month|M)$")
_UNITS: Final = {"Min": "T", "Hour": "H", "Day": "D", "Week": "W", "Month": "M"}
_ALLOWED: Final = {"T": range(1, 60), "H": range(1, 24), "D": (1,), "W": (1,), "M": (1, 2, 3, 4, 6, 12)}


class Timeframe(NamedTuple):
    """`unit` is T, H, D, W or M."""

    size: int
    unit: str


def parse_timeframe(text: str) -> Timeframe | None:
    """`5Min`, `1H`, `1Day`, …; None for what Alpaca does not have."""
    found = _TIMEFRAME.match(text)
    if found is None:
        return None
    count, unit = int(found[1]), _UNITS.get(found[2], found[2])
    return Timeframe(count, unit) if count in _ALLOWED[unit] else None


def bucket(timeframe: Timeframe, *, utc: bool = False) -> Callable[[int], int]:
    """A function from a minute to the start of the bar that it belongs to, both in ns; days are New York's or UTC's."""
    count, unit = timeframe
    if unit == "T" and 60 % count == 0:
        return lambda ns: ns - ns % (count * MINUTE_NS)
    if unit in "TH":
        span = count * (MINUTE_NS if unit == "T" else 60 * MINUTE_NS)

        def within_day(ns: int) -> int:
            start = day_start(ns, utc=utc)
            return start + (ns - start) // span * span

        return within_day
    if unit == "D":
        return lambda ns: day_start(ns, utc=utc)

    def longer(ns: int) -> int:
        local = datetime.fromtimestamp(ns // NS, UTC) if utc else new_york(ns)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if unit == "W":
            return to_ns(midnight - timedelta(days=midnight.weekday()))
        return to_ns(midnight.replace(day=1, month=(midnight.month - 1) // count * count + 1))

    return longer


@dataclass(slots=True)
class _Rows:
    times: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)


class History:
    """Trades, quotes and bars up to venue time."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Kind, str], _Rows] = {}
        self._bars: dict[str, list[Bar]] = {}
        self._days: dict[str, list[Bar]] = {}
        self.books: dict[str, OrderBook] = {}
        """Order books of pairs that have shown one."""
        self.news: list[tuple[int, bytes]] = []
        """Articles: when they were published, and their stream message."""

    def add(self, kind: Kind, symbol: str, ts_ns: int, raw: bytes) -> None:
        """Keep a trade or a quote; `raw` is its stream message."""
        rows = self._rows.get((kind, symbol))
        if rows is None:
            rows = self._rows[kind, symbol] = _Rows()
        rows.times.append(ts_ns)
        rows.texts.append(raw)

    def amend(self, symbol: str, venue: str, trade_id: int, update: str) -> int | None:
        """Mark a trade as canceled, incorrect or corrected; return its time, or None where there is no such trade.

        Ids are a venue's own, and may come again: the newest of that id is meant.
        """
        rows = self._rows.get(("trades", symbol))
        found = re.compile(rb'(?=.*"i":%d[,}])(?=.*"x":"%b")' % (trade_id, re.escape(venue.encode()))).match
        for at in range(len(rows.texts) - 1 if rows else -1, -1, -1):
            assert rows is not None
            text = rows.texts[at]
            if found(text):
                rows.texts[at] = text[:-1] + b',"u":"%b"}' % update.encode()
                return rows.times[at]
        return None

    def add_bar(self, symbol: str, bar: Bar) -> None:
        """Keep a finished minute bar, in place of an earlier one of that minute."""
        bars = self._bars.setdefault(symbol, [])
        at = bisect_left(bars, bar.ts_ns, key=_start)
        bars[at : at + (at < len(bars) and bars[at].ts_ns == bar.ts_ns)] = [bar]

    def set_day(self, symbol: str, bar: Bar) -> None:
        """Keep the day so far, in place of what was known of that day."""
        days = self._days.setdefault(symbol, [])
        if days and days[-1].ts_ns == bar.ts_ns:
            days[-1] = bar
        else:
            days.append(bar)

    def between(self, kind: Kind, symbol: str, start_ns: int, end_ns: int) -> Window:
        """The trades or quotes of `symbol` from `start_ns` to `end_ns`, both included."""
        rows = self._rows.get((kind, symbol)) or _Rows()
        low, high = bisect_left(rows.times, start_ns), bisect_right(rows.times, end_ns)
        return Window(rows.times, lambda at: row(rows.texts[at], symbol), low, high)

    def bars(
        self, symbol: str, timeframe: Timeframe, start_ns: int, end_ns: int, *, adjust: Adjust | None = None
    ) -> Window:
        """The bars of `symbol` that start from `start_ns` to `end_ns`, both included; the last may be unfinished.

        `adjust` is applied to the minutes or days that they are made of.
        """
        days, utc = timeframe.unit in "DWM", asset_class_of(symbol) == "crypto"
        bars = (self._days if days else self._bars).get(symbol, [])
        bars = adjust(bars) if adjust is not None else bars
        if timeframe not in ((1, "T"), (1, "D")):
            bars = _merged(bars, bucket(timeframe, utc=utc), start_ns, end_ns)
        times = [bar.ts_ns for bar in bars]
        low, high = bisect_left(times, start_ns), bisect_right(times, end_ns)
        return Window(times, lambda at: dumps(bars[at].to_json()).encode(), low, high)

    def last(self, kind: Kind, symbol: str, until_ns: int) -> bytes | None:
        """The newest trade or quote that is not after `until_ns`, or the newest finished minute bar."""
        if kind == "bars":
            bars = self._bars.get(symbol)
            return dumps(bars[-1].to_json()).encode() if bars else None
        rows = self._rows.get((kind, symbol))
        at = bisect_right(rows.times, until_ns) if rows else 0
        return row(rows.texts[at - 1], symbol) if rows and at else None

    def trades_of_minute(self, symbol: str, minute_ns: int) -> list[tuple[int, dict[str, Any]]]:
        """The trades of a minute that stand: their times and members, canceled and incorrect ones left out."""
        rows = self._rows.get(("trades", symbol)) or _Rows()
        low, high = bisect_left(rows.times, minute_ns), bisect_left(rows.times, minute_ns + MINUTE_NS)
        found = [(rows.times[at], fields_of(rows.texts[at])) for at in range(low, high)]
        return [(ts_ns, fields) for ts_ns, fields in found if fields.get("u") not in ("canceled", "incorrect")]

    def insert(self, symbol: str, ts_ns: int, raw: bytes) -> None:
        """Keep a trade that belongs before later ones: a correction, at the time of what it corrects."""
        rows = self._rows.setdefault(("trades", symbol), _Rows())
        at = bisect_right(rows.times, ts_ns)
        rows.times.insert(at, ts_ns)
        rows.texts.insert(at, raw)

    def day_bars(self, symbol: str) -> list[Bar]:
        """The days so far, the last one unfinished."""
        return self._days.get(symbol, [])

    def snapshot(self, symbol: str, until_ns: int) -> dict[str, bytes]:
        """The members of a snapshot that there are."""
        days = [dumps(bar.to_json()).encode() for bar in reversed(self.day_bars(symbol)[-2:])]
        parts = {
            "latestTrade": self.last("trades", symbol, until_ns),
            "latestQuote": self.last("quotes", symbol, until_ns),
            "minuteBar": self.last("bars", symbol, until_ns),
            "dailyBar": days[0] if days else None,
            "prevDailyBar": days[1] if len(days) > 1 else None,
        }
        return {name: part for name, part in parts.items() if part is not None}


class Window(NamedTuple):
    """Rows `low` (included) to `high` (excluded) of a series."""

    times: list[int]
    text: Callable[[int], bytes]
    low: int
    high: int


def _merged(bars: list[Bar], start_of: Callable[[int], int], start_ns: int, end_ns: int) -> list[Bar]:
    merged: list[Bar] = []
    for at in range(bisect_left(bars, start_of(start_ns), key=_start), len(bars)):
        begins_ns = start_of(bars[at].ts_ns)
        if begins_ns > end_ns:
            break
        if merged and merged[-1].ts_ns == begins_ns:
            merged[-1].add(bars[at])
        else:
            merged.append(replace(bars[at], ts_ns=begins_ns))
    return merged


def _start(bar: Bar) -> int:
    return bar.ts_ns
