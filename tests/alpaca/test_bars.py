"""Bar types as Alpaca's timeframes: which there are, when they close, and what is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from nautilus_trader.model.data import BarType

from runner.alpaca.bars import UnsupportedBarsError, bar_source


def source(spec: str, side: str = "LAST-EXTERNAL") -> Any:
    return bar_source(BarType.from_str(f"IBM.ALPACA-{spec}-{side}"))


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("spec", "timeframe"),
    [
        ("1-MINUTE", "1Min"),
        ("30-MINUTE", "30Min"),
        ("12-HOUR", "12Hour"),
        ("1-DAY", "1Day"),
        ("1-WEEK", "1Week"),
        *((f"{step}-MONTH", f"{step}Month") for step in (1, 2, 3, 4, 6, 12)),
    ],
)
def test_every_time_frame_of_both_has_its_name(spec: str, timeframe: str) -> None:
    assert source(spec).timeframe == timeframe
    assert (source(spec).channel == "bars") == (spec == "1-MINUTE")


@pytest.mark.parametrize("spec", ["30-SECOND", "2-DAY", "2-WEEK", "1-YEAR", "100-TICK"])
def test_others_are_refused_with_what_there_is(spec: str) -> None:
    with pytest.raises(UnsupportedBarsError, match="1, 2, 3, 4, 6 or 12 months"):
        source(spec)


def test_bars_of_quotes_and_internal_bars_are_not_asked_for() -> None:
    with pytest.raises(UnsupportedBarsError, match="of trades only"):
        source("1-MINUTE", "BID-EXTERNAL")
    with pytest.raises(UnsupportedBarsError, match="inside Nautilus"):
        source("1-MINUTE", "LAST-INTERNAL")


@pytest.mark.parametrize(
    ("spec", "start", "close", "utc"),
    [
        ("1-MINUTE", "2026-01-12T14:30:00+00:00", "2026-01-12T14:31:00+00:00", False),
        ("1-DAY", "2026-01-12T05:00:00+00:00", "2026-01-13T05:00:00+00:00", False),
        pytest.param("1-DAY", "2026-03-08T05:00:00+00:00", "2026-03-09T04:00:00+00:00", False, id="clocks go forward"),
        pytest.param("1-WEEK", "2026-10-26T04:00:00+00:00", "2026-11-02T05:00:00+00:00", False, id="clocks go back"),
        ("1-MONTH", "2026-02-01T05:00:00+00:00", "2026-03-01T05:00:00+00:00", False),
        ("3-MONTH", "2026-01-01T05:00:00+00:00", "2026-04-01T04:00:00+00:00", False),
        ("12-MONTH", "2026-01-01T05:00:00+00:00", "2027-01-01T05:00:00+00:00", False),
        pytest.param("1-DAY", "2026-03-08T00:00:00+00:00", "2026-03-09T00:00:00+00:00", True, id="a pair's day"),
        pytest.param("2-MONTH", "2026-11-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00", True, id="a pair's months"),
    ],
)
def test_a_bar_closes_when_the_calendar_says(spec: str, start: str, close: str, utc: bool) -> None:
    assert source(spec).close_ns(ns(start), utc=utc) == ns(close)
