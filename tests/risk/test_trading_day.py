"""The exchange's day and sessions."""

from __future__ import annotations

from datetime import datetime

import pytest

from runner.risk.trading_day import NEW_YORK, TradingDay


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("at", "day", "session"),
    [
        ("2026-11-25 00:00", "2026-11-25", "overnight"),
        ("2026-11-25 03:59:59", "2026-11-25", "overnight"),
        ("2026-11-25 04:00", "2026-11-25", "pre"),
        ("2026-11-25 09:30", "2026-11-25", "core"),
        ("2026-11-25 15:59:59", "2026-11-25", "core"),
        ("2026-11-25 16:00", "2026-11-25", "post"),
        ("2026-11-25 20:00", "2026-11-25", "overnight"),
        ("2026-11-27 20:00", "2026-11-27", "closed"),  # a Friday
        ("2026-11-28 12:00", "2026-11-27", "closed"),
        ("2026-11-29 19:59:59", "2026-11-27", "closed"),
        ("2026-11-29 20:00", "2026-11-27", "overnight"),
        ("2026-11-30 00:00", "2026-11-30", "overnight"),
        ("2026-03-08 03:30", "2026-03-06", "closed"),  # the clocks change
        ("2026-03-09 09:30", "2026-03-09", "core"),
    ],
)
def test_a_time_has_its_day_and_session(at, day, session):
    fresh = TradingDay()
    assert (fresh.day(ns(at)), fresh.session(ns(at))) == (day, session)


def test_answers_from_memory_are_those_of_a_fresh_look():
    kept = TradingDay()
    start = ns("2026-10-30 00:00")  # over the end of summer time
    for hour in range(24 * 14):
        at = start + hour * 1_800 * 1_000_000_000
        fresh = TradingDay()
        assert (kept.day(at), kept.session(at)) == (fresh.day(at), fresh.session(at))
