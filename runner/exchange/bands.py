"""Limit-up limit-down bands of stocks, out of their trades.

Source: the Plan to Address Extraordinary Market Volatility (luldplan.com), sections V and VI, as a stock of tier 1: the
reference is the mean of five minutes of trades, replaced when it has moved by one per cent, at most every half minute;
bands are twice as wide in the last 25 minutes. Trades outside the bands are not refused here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from runner.exchange.assets import asset_class_of, make_asset
from runner.exchange.bars import NO_PRICE, NO_VOLUME
from runner.exchange.calendar import NS, Calendar, new_york
from runner.exchange.wire import Message, canonical, stamp

_WINDOW_NS: Final = 300 * NS
_PAUSE_NS: Final = 30 * NS
_WIDE_NS: Final = 25 * 60 * NS
_MOVE: Final = Decimal("0.01")
_CENT: Final = Decimal("0.01")


@dataclass(slots=True)
class _Band:
    reference: Decimal
    set_ns: int
    wide: bool
    trades: deque[tuple[int, Decimal]] = field(default_factory=deque)
    total: Decimal = Decimal(0)


class PriceBands:
    """Bands of all stocks but those in `given`, whose bands come with the data."""

    def __init__(self, calendar: Calendar, given: frozenset[str] = frozenset()) -> None:
        self._calendar = calendar
        self._given = given
        self._bands: dict[str, _Band] = {}
        self._open_ns = self._close_ns = 0

    def trade(self, symbol: str, price: Decimal, ts_ns: int, conditions: Iterable[str]) -> Iterator[Message]:
        """The new band that a print makes, if it makes one."""
        if symbol in self._given or asset_class_of(symbol) != "us_equity" or not self._in_session(ts_ns):
            return
        if not NO_PRICE.isdisjoint(conditions) or not NO_VOLUME.isdisjoint(conditions):
            return
        band = self._bands.get(symbol)
        wide = ts_ns >= self._close_ns - _WIDE_NS
        if band is None:
            band = self._bands[symbol] = _Band(price, ts_ns, wide)
            yield _message(symbol, band, ts_ns)
        band.trades.append((ts_ns, price))
        band.total += price
        if ts_ns - band.set_ns < _PAUSE_NS and wide == band.wide:
            return
        while band.trades[0][0] < ts_ns - _WINDOW_NS:
            band.total -= band.trades.popleft()[1]
        mean = (band.total / len(band.trades)).quantize(_CENT, ROUND_HALF_UP)
        if wide != band.wide or abs(mean - band.reference) >= band.reference * _MOVE:
            band.reference, band.set_ns, band.wide = mean, ts_ns, wide
            yield _message(symbol, band, ts_ns)

    def _in_session(self, ts_ns: int) -> bool:
        if not self._open_ns <= ts_ns < self._close_ns:
            day = new_york(ts_ns).date()
            if not self._calendar.is_trading_day(day):
                return False
            opens_ns, closes_ns = self._calendar.open_ns(day), self._calendar.close_ns(day)
            if not opens_ns <= ts_ns < closes_ns:
                return False
            self._open_ns, self._close_ns = opens_ns, closes_ns
            self._bands.clear()  # the day's first reference is its opening price
        return True


def _width(reference: Decimal) -> Decimal:
    """How far the bands are from the reference, in dollars."""
    if reference > 3:
        return reference * Decimal("0.05")
    if reference >= Decimal("0.75"):
        return reference * Decimal("0.2")
    return min(Decimal("0.15"), reference * Decimal("0.75"))


def _message(symbol: str, band: _Band, ts_ns: int) -> Message:
    width = _width(band.reference) * (2 if band.wide else 1)
    upper, lower = (
        max(price, _CENT).quantize(_CENT, ROUND_HALF_UP) for price in (band.reference + width, band.reference - width)
    )
    fields = {"u": upper, "d": lower, "i": "B", "z": make_asset(symbol).tape, "t": stamp(ts_ns)}
    return Message(ts_ns, "l", symbol, canonical("l", symbol, fields))
