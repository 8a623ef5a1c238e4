"""Bars built from trades, or taken from the data, minute by minute and day by day.

Which prints count follows the consolidated tapes' rules (CTS and UTP specifications, sale-condition tables): an odd lot
moves the volume and not the price. A day's open, high, low and close come from the core session, its volume from the
whole day. A crypto pair's day is that of UTC, all its prints count, and a minute without prints has a bar without
volume made of the middles of its quotes (docs.alpaca.markets "Crypto bars").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from runner.exchange.assets import AssetClass, asset_class_of
from runner.exchange.calendar import NS, Calendar, new_york, to_ns
from runner.exchange.wire import stamp

MINUTE_NS: Final = 60 * NS
DAY_NS: Final = 24 * 60 * MINUTE_NS
_SIX_PLACES: Final = Decimal("0.000001")
# Prints that leave open, high, low and close alone, and prints that don't count at all.
NO_PRICE: Final = frozenset(("I", "W", "4", "7", "V", "C", "N", "R", "H", "P", "U", "Z"))
NO_VOLUME: Final = frozenset(("M", "Q"))


@dataclass(slots=True)
class Bar:
    """One bar; `ts_ns` is its start. `notional` is the sum of price times size, behind the average price `vw`."""

    ts_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int
    notional: Decimal

    def add(self, other: Bar) -> None:
        """Take in a bar that follows this one."""
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.close = other.close
        self.volume += other.volume
        self.count += other.count
        self.notional += other.notional

    def price(self, price: Decimal) -> None:
        """Take in a price, without volume."""
        self.close = price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def to_json(self) -> dict[str, Any]:
        """As Alpaca shows it; numbers are Decimal or int."""
        average = self.notional / self.volume if self.volume else self.close
        return {
            "o": self.open,
            "h": self.high,
            "l": self.low,
            "c": self.close,
            "v": _plain(self.volume),
            "n": self.count,
            "vw": _plain(average.quantize(_SIX_PLACES)),
            "t": stamp(self.ts_ns),
        }


def _plain(number: Decimal) -> Decimal | int:
    whole = number.to_integral_value()
    return int(whole) if number == whole else number.normalize()


def bar_from_json(fields: dict[str, Any], ts_ns: int) -> Bar:
    """A bar message of the tape."""
    volume = Decimal(fields["v"])
    close = Decimal(fields["c"])
    return Bar(
        ts_ns=ts_ns,
        open=Decimal(fields["o"]),
        high=Decimal(fields["h"]),
        low=Decimal(fields["l"]),
        close=close,
        volume=volume,
        count=int(fields.get("n", 0)),
        notional=Decimal(fields.get("vw", close)) * volume,
    )


class _Building:
    """A bar in the making: prints that only add volume may come before the first with a price."""

    __slots__ = ("bar", "count", "notional", "quoted", "ts_ns", "volume")

    def __init__(self, ts_ns: int) -> None:
        self.ts_ns = ts_ns
        self.bar: Bar | None = None
        self.quoted: Bar | None = None
        self.volume = Decimal(0)
        self.count = 0
        self.notional = Decimal(0)

    def trade(self, price: Decimal, size: Decimal, *, prices: bool) -> None:
        self.volume += size
        self.count += 1
        self.notional += price * size
        if not prices:
            return
        bar = self.bar
        if bar is None:
            zero = Decimal(0)
            self.bar = Bar(self.ts_ns, price, price, price, price, zero, 0, zero)
            return
        bar.price(price)

    def quote(self, middle: Decimal) -> None:
        if self.quoted is None:
            self.quoted = Bar(self.ts_ns, middle, middle, middle, middle, Decimal(0), 0, Decimal(0))
        else:
            self.quoted.price(middle)

    def whole(self, bar: Bar, *, prices: bool) -> None:
        self.volume += bar.volume
        self.count += bar.count
        self.notional += bar.notional
        if not prices:
            return
        if self.bar is None:
            self.bar = Bar(self.ts_ns, bar.open, bar.high, bar.low, bar.close, Decimal(0), 0, Decimal(0))
        else:
            self.bar.add(bar)

    def done(self) -> Bar | None:
        """The bar as it stands, None while nothing set a price."""
        if self.bar is not None:
            self.bar.volume, self.bar.count, self.bar.notional = self.volume, self.count, self.notional
        return self.bar or self.quoted


class BarBuilder:
    """Minute and day bars of all symbols. Those in `given` bring their own minute bars; their trades build none."""

    def __init__(self, calendar: Calendar, given: frozenset[str] = frozenset()) -> None:
        self._calendar = calendar
        self._given = given
        self._minutes: dict[str, _Building] = {}
        self._days: dict[str, _Building] = {}
        self._touched: set[str] = set()
        self._classes: dict[str, AssetClass] = {}
        self._minute_ns = -1
        self._day_ns = -1
        self._day_end_ns = -1
        self._core = False

    @property
    def pending(self) -> bool:
        """Whether the end of the minute has something to say."""
        return bool(self._minutes or self._touched)

    def trade(self, symbol: str, price: Decimal, size: Decimal, ts_ns: int, conditions: Iterable[str]) -> None:
        """Take in a print. The minute before must have been ended."""
        if symbol in self._given:
            return
        kind = self._class_of(symbol)
        prices = True
        if kind == "us_equity":  # the conditions of options and crypto have other meanings
            prices = NO_PRICE.isdisjoint(conditions)
            if not NO_VOLUME.isdisjoint(conditions):
                return
        self._enter(ts_ns)
        self._minute(symbol).trade(price, size, prices=prices)
        self._day(symbol).trade(price, size, prices=prices and (self._core or kind == "crypto"))

    def quote(self, symbol: str, bid: Decimal, ask: Decimal, ts_ns: int) -> None:
        """Take in a quote: of a crypto pair, the others' leave no mark."""
        if bid <= 0 or ask <= 0 or symbol in self._given or self._class_of(symbol) != "crypto":
            return
        self._enter(ts_ns)
        self._minute(symbol).quote((bid + ask) / 2)

    def bar(self, symbol: str, bar: Bar) -> None:
        """Take a given minute bar into the day."""
        self._enter(bar.ts_ns)
        self._day(symbol).whole(bar, prices=self._core or self._class_of(symbol) == "crypto")

    def minutes(self) -> list[tuple[str, Bar]]:
        """End the minute: its bars, by symbol."""
        done = [(symbol, bar) for symbol in sorted(self._minutes) if (bar := self._minutes[symbol].done())]
        self._minutes.clear()
        return done

    def days(self) -> list[tuple[str, Bar]]:
        """The day so far, of the symbols that changed since the last call."""
        done = [(symbol, replace(bar)) for symbol in sorted(self._touched) if (bar := self._days[symbol].done())]
        self._touched.clear()
        return done

    def _minute(self, symbol: str) -> _Building:
        minute = self._minutes.get(symbol)
        if minute is None:
            minute = self._minutes[symbol] = _Building(self._minute_ns)
        return minute

    def _day(self, symbol: str) -> _Building:
        utc = self._class_of(symbol) == "crypto"
        day_ns = self._minute_ns - self._minute_ns % DAY_NS if utc else self._day_ns
        day = self._days.get(symbol)
        if day is None or day.ts_ns != day_ns:
            day = self._days[symbol] = _Building(day_ns)
        self._touched.add(symbol)
        return day

    def _class_of(self, symbol: str) -> AssetClass:
        found = self._classes.get(symbol)
        if found is None:
            found = self._classes[symbol] = asset_class_of(symbol)
        return found

    def _enter(self, ts_ns: int) -> None:
        minute_ns = ts_ns - ts_ns % MINUTE_NS
        if minute_ns == self._minute_ns:
            return
        self._minute_ns = minute_ns
        if not self._day_ns <= minute_ns < self._day_end_ns:
            self._day_ns = day_start(minute_ns)
            self._day_end_ns = day_start(self._day_ns + 36 * 60 * MINUTE_NS)
        self._core = self._calendar.session(minute_ns) == "core"


def day_start(ns: int, *, utc: bool = False) -> int:
    """Midnight of the day that `ns` is in, what a daily bar is stamped with: New York's, or that of UTC."""
    if utc:
        return ns - ns % DAY_NS
    return to_ns(new_york(ns).replace(hour=0, minute=0, second=0, microsecond=0, fold=0))
