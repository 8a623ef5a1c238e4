"""Facts about New York's trading days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from runner.exchange.calendar import Calendar, half_days, holidays, new_york, to_ns

CALENDAR = Calendar()


def utc(*parts: int) -> int:
    return to_ns(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]


def test_the_holidays_of_2025_are_those_that_the_exchange_published() -> None:
    assert sorted(holidays(2025)) == [
        date(2025, 1, 1),
        date(2025, 1, 9),
        date(2025, 1, 20),
        date(2025, 2, 17),
        date(2025, 4, 18),
        date(2025, 5, 26),
        date(2025, 6, 19),
        date(2025, 7, 4),
        date(2025, 9, 1),
        date(2025, 11, 27),
        date(2025, 12, 25),
    ]
    assert sorted(half_days(2025)) == [date(2025, 7, 3), date(2025, 11, 28), date(2025, 12, 24)]


@pytest.mark.parametrize(
    ("year", "days"), [(2013, 252), (2015, 252), (2020, 253), (2021, 252), (2023, 250), (2024, 252)]
)
def test_a_year_has_the_trading_days_it_had(year: int, days: int) -> None:
    assert len(CALENDAR.trading_days(date(year, 1, 1), date(year, 12, 31))) == days


def test_juneteenth_is_kept_from_2022_on() -> None:
    assert CALENDAR.is_trading_day(date(2020, 6, 19))
    assert CALENDAR.is_trading_day(date(2021, 6, 18))
    assert not CALENDAR.is_trading_day(date(2022, 6, 20))  # the 19th was a Sunday


def test_a_new_year_on_a_saturday_is_not_kept_on_the_friday_before() -> None:
    assert CALENDAR.is_trading_day(date(2021, 12, 31))
    assert CALENDAR.is_trading_day(date(2010, 12, 31))
    assert not CALENDAR.is_trading_day(date(2017, 1, 2))


@pytest.mark.parametrize("day", [date(2001, 9, 12), date(2012, 10, 29), date(2018, 12, 5), date(2007, 1, 2)])
def test_days_of_mourning_and_storms_are_closed(day: date) -> None:
    assert not CALENDAR.is_trading_day(day)


@pytest.mark.parametrize(
    ("day", "half"),
    [
        (date(2015, 12, 24), True),
        (date(2013, 7, 3), True),
        (date(2002, 7, 3), False),
        (date(2002, 7, 5), True),
        (date(2020, 7, 2), False),
        (date(2020, 11, 27), True),
        (date(2013, 10, 7), False),
    ],
)
def test_half_days_end_at_one(day: date, half: bool) -> None:
    assert CALENDAR.is_half_day(day) is half
    assert CALENDAR.close_time(day) == (time(13) if half else time(16))


def test_the_opening_follows_daylight_saving() -> None:
    assert CALENDAR.open_ns(date(2026, 3, 6)) == utc(2026, 3, 6, 14, 30)
    assert CALENDAR.open_ns(date(2026, 3, 9)) == utc(2026, 3, 9, 13, 30)
    assert CALENDAR.close_ns(date(2026, 11, 2)) == utc(2026, 11, 2, 21)


def test_sessions_begin_with_their_first_nanosecond() -> None:
    day = date(2013, 10, 7)
    opens, closes = CALENDAR.open_ns(day), CALENDAR.close_ns(day)
    assert CALENDAR.session(CALENDAR.session_open(day) - 1) == "closed"
    assert CALENDAR.session(CALENDAR.session_open(day)) == "pre"
    assert (CALENDAR.session(opens - 1), CALENDAR.session(opens)) == ("pre", "core")
    assert (CALENDAR.session(closes - 1), CALENDAR.session(closes)) == ("core", "post")
    assert CALENDAR.session(CALENDAR.session_close(day)) == "closed"
    assert CALENDAR.session(utc(2013, 10, 5, 16)) == "closed"


def test_the_next_opening_skips_a_long_weekend() -> None:
    friday_evening = utc(2026, 1, 16, 22)
    assert CALENDAR.next_open(friday_evening) == utc(2026, 1, 20, 14, 30)
    assert CALENDAR.next_close(friday_evening) == utc(2026, 1, 20, 21)
    assert CALENDAR.previous_trading_day(date(2026, 1, 20)) == date(2026, 1, 16)
    assert CALENDAR.next_trading_day(date(2026, 1, 16)) == date(2026, 1, 20)


def test_settlement_got_shorter_over_the_years() -> None:
    assert CALENDAR.settlement_day(date(2013, 10, 7)) == date(2013, 10, 10)
    assert CALENDAR.settlement_day(date(2020, 6, 1)) == date(2020, 6, 3)
    assert CALENDAR.settlement_day(date(2025, 1, 2)) == date(2025, 1, 3)


def test_what_is_no_trading_day_or_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="no trading day"):
        CALENDAR.open_ns(date(2026, 1, 19))
    with pytest.raises(ValueError, match="2000 to 2040"):
        CALENDAR.is_trading_day(date(1999, 12, 31))


def test_new_york_time_keeps_microseconds() -> None:
    assert new_york(utc(2013, 10, 7, 13, 30) + 123_456_789).isoformat() == "2013-10-07T09:30:00.123456-04:00"
