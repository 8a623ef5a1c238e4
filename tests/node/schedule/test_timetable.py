"""When a strategy may trade: exact bounds, holidays, half days, daylight saving, and pairs."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.backtest.session import trading_calendar
from runner.config.schedule import EVENING, ScheduleConfig
from runner.node.schedule.timetable import Timetable

NS = 10**9


def ns(when: str) -> int:
    return int(datetime.fromisoformat(when).replace(tzinfo=NEW_YORK).timestamp()) * NS


CALENDAR = trading_calendar(ns("2026-11-20 00:00"), ns("2026-12-31 00:00"))


def table(calendar: TradingCalendar | None = CALENDAR, /, **keys: object) -> Timetable:
    return Timetable(ScheduleConfig.model_validate(keys), calendar)


def state(timetable: Timetable, at_ns: int) -> str:
    moment = timetable.at(at_ns)
    assert moment.since_ns <= at_ns < moment.until_ns
    assert not (moment.open and moment.flat)
    return "open" if moment.open else "flat" if moment.flat else "closed"


DAY = {"start": "09:45", "stop": "15:30"}


@pytest.mark.parametrize(
    ("keys", "bounds"),
    [
        (DAY, [("09:45", "closed", "open"), ("15:30", "open", "closed")]),
        (
            DAY | {"on_stop": "flatten"},
            [("09:45", "closed", "open"), ("15:30", "open", "flat"), ("16:00", "flat", "closed")],
        ),
        (
            DAY | {"flat_before_close": "5m"},
            [("15:30", "open", "closed"), ("15:55", "closed", "flat"), ("16:00", "flat", "closed")],
        ),
        # Whichever comes first.
        (
            {"start": "09:45", "stop": "15:58", "flat_before_close": "5m"},
            [("15:55", "open", "flat"), ("16:00", "flat", "closed")],
        ),
        ({"flat_before_close": "90s"}, [("00:00", "closed", "open"), ("15:58:30", "open", "flat")]),
        # Past the core session: `sessions` under limits says whether that is traded.
        ({"start": "04:00", "stop": "19:00"}, [("04:00", "closed", "open"), ("19:00", "open", "closed")]),
        ({"start": "04:00:30"}, [("04:00:30", "closed", "open")]),
    ],
)
def test_a_bound_belongs_to_what_it_begins(keys, bounds) -> None:
    """To the nanosecond, on a Tuesday."""
    timetable = table(**keys)
    for at, before, after in bounds:
        bound = ns(f"2026-12-01 {at}")
        assert (state(timetable, bound - 1), state(timetable, bound)) == (before, after), at
        # What was asked before does not matter.
        assert state(timetable, bound - 1) == before


@pytest.mark.parametrize(
    ("when", "keys", "says"),
    [
        ("2026-11-26 12:00", DAY, "closed"),  # Thanksgiving
        ("2026-11-26 15:57", {"flat_before_close": "5m"}, "closed"),
        ("2026-11-28 12:00", DAY, "closed"),  # Saturday
        ("2026-11-30 12:00", DAY | {"days": ["tue", "wed"]}, "closed"),  # Monday
        ("2026-12-01 12:00", DAY | {"days": ["tue", "wed"]}, "open"),
        # What could not be closed on a day of its own is closed on the next.
        ("2026-11-30 15:57", {"flat_before_close": "5m", "days": ["tue"]}, "flat"),
        ("2026-11-30 15:57", {"stop": "15:30", "on_stop": "flatten", "days": ["tue"]}, "closed"),
        # The 27th closes at 13:00.
        ("2026-11-27 12:54", {"flat_before_close": "5m"}, "open"),
        ("2026-11-27 12:55", {"flat_before_close": "5m"}, "flat"),
        ("2026-11-27 13:00", {"flat_before_close": "5m"}, "closed"),
        ("2026-11-27 12:59", DAY, "open"),
        ("2026-11-27 13:00", DAY, "closed"),
        ("2026-11-27 13:30", {"start": "09:45", "stop": "19:00"}, "open"),
        ("2026-11-27 12:54", DAY | {"on_stop": "flatten"}, "open"),
        ("2026-11-27 12:55", DAY | {"on_stop": "flatten"}, "flat"),
        ("2026-11-27 12:40", {"stop": "12:30", "on_stop": "flatten"}, "flat"),
        ("2026-11-27 14:00", {"start": "13:30", "stop": "15:30"}, "closed"),
        ("2026-11-27 13:30", {"start": "13:30", "flat_before_close": "5m"}, "closed"),
    ],
)
def test_the_exchanges_days_count_and_a_short_one_is_short(when, keys, says) -> None:
    assert state(table(**keys), ns(when)) == says


@pytest.mark.parametrize(
    ("when", "keys", "says"),
    [
        ("2026-11-26 12:00", DAY, "open"),
        ("2026-11-28 12:00", DAY, "open"),
        ("2026-11-28 12:00", {"days": ["mon", "tue"]}, "closed"),
        ("2026-11-28 12:00", {"days": ["mon", "tue"], "on_stop": "flatten"}, "flat"),
        ("2026-11-28 09:44", DAY | {"on_stop": "flatten"}, "flat"),
        ("2026-11-28 15:29", DAY | {"on_stop": "flatten"}, "open"),
        ("2026-11-28 15:30", DAY | {"on_stop": "flatten"}, "flat"),
        ("2026-11-28 23:59", DAY | {"on_stop": "flatten"}, "flat"),
    ],
)
def test_a_pair_trades_round_the_clock(when, keys, says) -> None:
    assert state(table(None, **keys), ns(when)) == says


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", -1), ("2026-11-01", 1), ("2026-11-02", 0)])
def test_the_clock_on_the_wall_counts_where_clocks_are_changed(day, hours) -> None:
    timetable = table(None, **DAY)
    for at, minutes in (("09:45", 585), ("15:30", 930)):
        bound = ns(f"{day} {at}")
        assert bound - ns(f"{day} 00:00") == (minutes + 60 * hours) * 60 * NS
        assert state(timetable, bound - 1) != state(timetable, bound)


NIGHT = {"start": "22:00", "stop": "04:00"}


@pytest.mark.parametrize(
    ("keys", "bounds"),
    [
        (NIGHT, [("00:00", "open", "open"), ("04:00", "open", "closed"), ("22:00", "closed", "open")]),
        (NIGHT | {"on_stop": "flatten"}, [("04:00", "open", "flat"), ("22:00", "flat", "open")]),
        ({"start": "22:00", "stop": "00:00"}, [("00:00", "open", "closed"), ("22:00", "closed", "open")]),
    ],
)
def test_a_window_over_midnight_of_a_pair(keys, bounds) -> None:
    """To the nanosecond, on a Tuesday."""
    timetable = table(None, **keys)
    for at, before, after in bounds:
        bound = ns(f"2026-12-01 {at}")
        assert (state(timetable, bound - 1), state(timetable, bound)) == (before, after), at


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("2026-11-27 23:00", "open"),  # Friday
        ("2026-11-28 03:59", "open"),
        ("2026-11-28 04:00", "flat"),
        ("2026-11-28 22:30", "flat"),  # Saturday, which is none of its days
        ("2026-11-29 02:00", "flat"),
        ("2026-11-29 22:30", "open"),
        ("2026-11-30 02:00", "open"),  # of the window that began on Sunday
        ("2026-11-30 22:30", "flat"),
    ],
)
def test_days_name_those_on_which_a_window_begins(when, says) -> None:
    assert state(table(None, **NIGHT, days=["fri", "sun"], on_stop="flatten"), ns(when)) == says


@pytest.mark.parametrize(("day", "hours"), [("2026-03-07", 5), ("2026-10-31", 7), ("2026-11-01", 6)])
def test_a_window_over_midnight_lasts_as_the_clock_on_the_wall_has_it(day, hours) -> None:
    timetable = table(None, **NIGHT)
    begins = ns(f"{day} 22:00")
    assert timetable.opens_ns(begins - 1) == begins
    assert timetable.closes_ns(begins) == begins + hours * 3600 * NS
    assert timetable.opens_ns(begins + hours * 3600 * NS) == begins + (hours + 18) * 3600 * NS


@pytest.mark.parametrize(
    ("when", "keys", "says"),
    [
        # The night from 20:00 on belongs to the trading day that follows.
        ("2026-11-29 19:59", {}, "closed"),  # Sunday
        ("2026-11-29 20:00", {}, "open"),
        ("2026-11-30 03:59", {}, "open"),
        ("2026-11-30 04:00", {}, "closed"),
        ("2026-11-25 19:59", {}, "open"),  # the day before Thanksgiving
        ("2026-11-25 20:00", {}, "closed"),
        ("2026-11-26 03:00", {}, "closed"),
        ("2026-11-26 19:00", {}, "closed"),
        ("2026-11-26 20:00", {}, "open"),
        ("2026-11-27 03:00", {}, "open"),
        ("2026-11-27 18:30", {}, "open"),  # Friday
        ("2026-11-27 20:00", {}, "closed"),
        ("2026-11-28 02:00", {}, "closed"),
        ("2026-11-30 03:00", {"days": ["mon"]}, "closed"),  # that would have begun on Sunday
        ("2026-12-01 03:00", {"days": ["mon"]}, "open"),
        # Nothing is sold at the market before the opening.
        ("2026-12-01 04:00", {"on_stop": "flatten"}, "closed"),
        ("2026-12-01 09:30", {"on_stop": "flatten"}, "flat"),
        ("2026-12-01 16:00", {"on_stop": "flatten"}, "closed"),
        ("2026-12-01 18:00", {"on_stop": "flatten"}, "open"),
        # What a Friday has opened is closed on the Monday.
        ("2026-11-30 09:30", {"days": ["fri"], "on_stop": "flatten"}, "flat"),
        # The 27th closes at 13:00.
        ("2026-11-27 12:59", {"stop": "15:00"}, "open"),
        ("2026-11-27 13:00", {"stop": "15:00"}, "closed"),
        ("2026-11-27 12:55", {"stop": "15:00", "on_stop": "flatten"}, "flat"),
        ("2026-11-27 12:55", {"stop": "15:00", "flat_before_close": "5m"}, "flat"),
        ("2026-11-27 13:00", {"stop": "15:00", "flat_before_close": "5m"}, "closed"),
        ("2026-11-27 18:30", {"stop": "15:00", "flat_before_close": "5m"}, "open"),
        # From the last minutes of a day into the first of the next.
        ("2026-12-01 15:45", {"start": "15:45", "stop": "10:00", "on_stop": "flatten"}, "open"),
        ("2026-12-01 10:00", {"start": "15:45", "stop": "10:00", "on_stop": "flatten"}, "flat"),
        ("2026-12-01 15:44", {"start": "15:45", "stop": "10:00", "on_stop": "flatten"}, "flat"),
    ],
)
def test_a_window_over_midnight_by_the_exchanges_days(when, keys, says) -> None:
    assert state(table(**({"start": "18:00", "stop": "04:00"} | keys)), ns(when)) == says


def test_a_night_is_not_known_where_the_day_after_is_not() -> None:
    calendar = TradingCalendar()
    calendar.fill([], date(2026, 11, 1), date(2026, 12, 1))
    assert table(calendar, **NIGHT).at(ns("2026-11-30 23:00")).known
    assert not table(calendar, **NIGHT).at(ns("2026-12-01 23:00")).known


def test_it_tells_when_it_opens_and_closes_next() -> None:
    timetable = table(**DAY)
    assert timetable.opens_ns(ns("2026-11-25 16:00")) == ns("2026-11-27 09:45"), "after the holiday"
    assert timetable.closes_ns(ns("2026-11-27 10:00")) == ns("2026-11-27 13:00")
    assert timetable.closes_ns(ns("2026-11-27 14:00")) is None
    night = table(start="20:00", stop="04:00", days=["sun", "mon", "tue", "wed", "thu"])
    assert night.closes_ns(ns("2026-11-24 20:00")) == ns("2026-11-25 04:00")
    assert night.opens_ns(ns("2026-11-25 12:00")) == ns("2026-11-26 20:00"), "after the holiday, the night to Friday"
    assert night.opens_ns(ns("2026-11-27 12:00")) == ns("2026-11-29 20:00"), "after the weekend"
    assert night.words() == "sun, mon, tue, wed, thu; 20:00 to 04:00 of the next day"
    weekdays = table(None, days=["mon", "tue", "wed"])
    assert weekdays.closes_ns(ns("2026-11-30 12:00")) == ns("2026-12-03 00:00"), "days that follow are one window"
    assert weekdays.opens_ns(ns("2026-12-05 12:00")) == ns("2026-12-07 00:00")


def test_what_the_calendar_does_not_tell_opens_nothing_and_closes_at_its_usual_time() -> None:
    calendar = TradingCalendar()
    timetable = table(calendar, flat_before_close="5m", start="09:45")
    assert [state(timetable, ns(f"2026-12-01 {at}")) for at in ("12:00", "15:55", "16:00")] == [
        "closed",
        "flat",
        "closed",
    ]
    assert not timetable.at(ns("2026-12-01 12:00")).known
    assert state(timetable, ns("2026-11-28 15:57")) == "closed", "a Saturday"
    calendar.fill([], date(2026, 11, 1), date(2026, 12, 31))
    assert timetable.at(ns("2026-12-01 12:00")).known, "it is asked again once it is told"


TIMES = st.none() | st.times(max_value=time(23, 59, 59)).map(lambda at: f"{at:%H:%M:%S}")


@given(
    days=st.none() | st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri"]), min_size=1, unique=True),
    start=TIMES,
    stop=TIMES,
    flat=st.none() | st.integers(1, 23_000).map(lambda seconds: f"{seconds}s"),
    on_stop=st.sampled_from(["keep", "cancel", "flatten"]),
    exchange=st.booleans(),
    at_ns=st.integers(ns("2026-11-20 00:00"), ns("2026-12-20 00:00")),
)
def test_moments_follow_one_another_and_hold_to_their_ends(days, start, stop, flat, on_stop, exchange, at_ns) -> None:
    """Of any schedule: no gap, no overlap, and the exchange never closed where something may be opened."""
    keys = {"days": days, "start": start, "stop": stop, "on_stop": on_stop}
    keys |= {"flat_before_close": flat} if exchange else {}
    try:
        timetable = table(CALENDAR if exchange else None, **keys)
    except ValidationError:
        reject()
    for _ in range(12):
        moment = timetable.at(at_ns)
        assert moment.since_ns <= at_ns < moment.until_ns
        for inside in (moment.since_ns, moment.until_ns - 1):
            assert table(CALENDAR if exchange else None, **keys).at(inside) == moment
        assert not (moment.open and moment.flat)
        at = datetime.fromtimestamp(moment.since_ns // NS, NEW_YORK)
        day, over_midnight = at.date(), timetable.spec.over_midnight
        trading_day = day + timedelta(days=1) if over_midnight and at.time() >= EVENING else day
        if exchange and (moment.open or moment.flat):
            assert CALENDAR.close(trading_day) is not None
        if moment.open and days is not None:
            begun = day - timedelta(days=1) if over_midnight and at.time() < timetable.spec.start else day
            assert ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][begun.weekday()] in days
        if exchange and flat is not None and moment.open and not (over_midnight and at.time() >= timetable.spec.start):
            assert moment.until_ns <= ns(f"{day} {CALENDAR.close(day)}") - int(flat[:-1]) * NS
        at_ns = moment.until_ns
