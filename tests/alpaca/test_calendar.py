"""Sessions by the venue's calendar: holidays, short days, nights, and days that it was not asked for."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.alpaca.models import CalendarDay, WireError
from runner.exchange.calendar import Calendar

FIRST, LAST = date(2026, 11, 20), date(2026, 12, 31)


def ns(when: str) -> int:
    return int(datetime.fromisoformat(when).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


@pytest.fixture
def calendar() -> TradingCalendar:
    """What the simulated exchange says of the weeks around Thanksgiving, the 26th, and the short day after it."""
    theirs, made = Calendar(), TradingCalendar()
    rows = [
        CalendarDay(
            date=day.isoformat(),
            open="09:30",
            close=f"{theirs.close_time(day):%H:%M}",
            session_open="0400",
            session_close=f"{theirs.session_close_time(day):%H%M}",
        )
        for day in theirs.trading_days(FIRST, LAST)
    ]
    made.fill(rows, FIRST, LAST)
    return made


@pytest.mark.parametrize(
    ("when", "session"),
    [
        ("2026-11-25 03:59", "overnight"),
        ("2026-11-25 04:00", "pre"),
        ("2026-11-25 09:30", "core"),
        ("2026-11-25 15:59", "core"),
        ("2026-11-25 16:00", "post"),
        ("2026-11-25 20:00", "closed"),  # the night before the holiday
        ("2026-11-26 10:00", "closed"),  # Thanksgiving
        ("2026-11-26 20:00", "overnight"),
        ("2026-11-27 12:59", "core"),
        ("2026-11-27 13:00", "post"),  # a short day
        ("2026-11-27 17:00", "closed"),
        ("2026-11-28 10:00", "closed"),
        ("2026-11-29 20:00", "overnight"),  # Sunday
        ("2026-12-25 11:00", "closed"),
        ("2026-11-19 11:00", None),
        ("2026-12-31 11:00", None),  # whether its evening belongs to a trading day is not known
    ],
)
def test_the_session_of_a_moment(calendar, when, session):
    assert calendar.session(ns(when)) == session


def test_nothing_is_known_before_the_venue_has_told_and_nonsense_is_refused():
    made = TradingCalendar()
    assert made.session(ns("2026-11-25 10:00")) is None
    day = CalendarDay(date="2026-11-25", open="half past nine", close="16:00")
    with pytest.raises(WireError, match="calendar"):
        made.fill([day], FIRST, LAST + timedelta(days=1))
    assert made.session(ns("2026-11-25 10:00")) is None
