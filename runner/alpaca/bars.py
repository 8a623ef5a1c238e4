"""Nautilus bar types as Alpaca's timeframes and stream channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_trader.model.enums import BarAggregation, PriceType

from runner.alpaca.constants import NANOS

_MINUTE = 60 * NANOS
_DAY = 86_400 * NANOS
#: Aggregation → (Alpaca's unit, its length, steps that Alpaca takes).
_UNITS: dict[Any, tuple[str, int, range | tuple[int, ...]]] = {
    BarAggregation.MINUTE: ("Min", _MINUTE, range(1, 60)),
    BarAggregation.HOUR: ("Hour", 60 * _MINUTE, range(1, 24)),
    BarAggregation.DAY: ("Day", _DAY, (1,)),
    BarAggregation.WEEK: ("Week", 7 * _DAY, (1,)),
    BarAggregation.MONTH: ("Month", 31 * _DAY, (1, 2, 3, 4, 6, 12)),
}
_NEW_YORK = ZoneInfo("America/New_York")


class UnsupportedBarsError(ValueError):
    """Bars that Alpaca does not make. The message says what to use instead."""


@dataclass(frozen=True, slots=True)
class BarSource:
    """Where bars come from: `timeframe` for history, `channel` for the stream (None: no stream has them).

    `length_ns` is how long a bar is, at most for those that the calendar cuts (`days`, `months`).
    """

    timeframe: str
    length_ns: int
    channel: str | None
    days: int = 0
    months: int = 0

    def close_ns(self, start_ns: int, *, utc: bool) -> int:
        """When the bar that starts then closes (UNIX ns). Days are New York's, of 23 to 25 hours, or UTC's."""
        if not self.days and not self.months:
            return start_ns + self.length_ns
        seconds, rest = divmod(start_ns, NANOS)
        start = datetime.fromtimestamp(seconds, UTC if utc else _NEW_YORK)
        months = start.month - 1 + self.months
        moved = start.replace(year=start.year + months // 12, month=months % 12 + 1, fold=0)
        return int((moved + timedelta(days=self.days)).timestamp()) * NANOS + rest


def bar_source(bar_type: Any) -> BarSource:
    """Where Alpaca has this type of bars. Raises UnsupportedBarsError."""
    spec = bar_type.spec
    unit = _UNITS.get(spec.aggregation)
    if not bar_type.is_externally_aggregated():
        raise UnsupportedBarsError(f"{bar_type} is aggregated inside Nautilus; it is not asked of Alpaca")
    if spec.price_type != PriceType.LAST:
        raise UnsupportedBarsError(f"Alpaca makes bars of trades only; use LAST, or aggregate {bar_type} internally")
    if unit is None or spec.step not in unit[2]:
        raise UnsupportedBarsError(
            f"Alpaca has no {spec} bars; it has 1 to 59 minutes, 1 to 23 hours, a day, a week, and 1, 2, 3, 4, 6 or 12 "
            "months. Others can be INTERNAL"
        )
    name, length_ns, _ = unit
    # The bar of a day is sent every minute while it grows: none of those is a bar that has closed.
    channel = "bars" if (spec.step, name) == (1, "Min") else None
    days = length_ns // _DAY if name in ("Day", "Week") else 0
    return BarSource(
        f"{spec.step}{name}", spec.step * length_ns, channel, days, months=spec.step if name == "Month" else 0
    )


def stream_channel(bar_type: Any) -> str:
    """The channel that streams this type. Raises UnsupportedBarsError."""
    source = bar_source(bar_type)
    if source.channel is None:
        raise UnsupportedBarsError(
            f"Alpaca streams closed bars of one minute only; {bar_type} can be requested, "
            f"or aggregated from them as {bar_type.instrument_id}-{bar_type.spec}-INTERNAL@1-MINUTE-EXTERNAL"
        )
    return source.channel
