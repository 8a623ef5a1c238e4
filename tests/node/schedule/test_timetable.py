"""When a strategy may trade: exact bounds, holidays, half days, daylight saving, and pairs."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.backtest.session import trading_calendar
from runner.config.schedule import ScheduleConfig
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


def test_it_tells_when_it_opens_and_closes_next() -> None:
    timetable = table(**DAY)
    assert timetable.opens_ns(ns("2026-11-25 16:00")) == ns("2026-11-27 09:45"), "after the holiday"
    assert timetable.closes_ns(ns("2026-11-27 10:00")) == ns("2026-11-27 13:00")
    assert timetable.closes_ns(ns("2026-11-27 14:00")) is None
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
        day = datetime.fromtimestamp(moment.since_ns // NS, NEW_YORK).date()
        if exchange and (moment.open or moment.flat):
            assert CALENDAR.close(day) is not None
        if moment.open and days is not None:
            assert ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day.weekday()] in days
        if exchange and flat is not None and moment.open:
            assert moment.until_ns <= ns(f"{day} {CALENDAR.close(day)}") - int(flat[:-1]) * NS
        at_ns = moment.until_ns
