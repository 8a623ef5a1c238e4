"""New York's trading days and sessions, computed.

Rules: NYSE Rule 7.2 and the exchange's holiday notices (nyse.com/markets/hours-calendars). Any year from 2000 to 2040.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

Session = Literal["closed", "pre", "core", "post"]

NEW_YORK: Final = ZoneInfo("America/New_York")
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2040
PRE_OPEN: Final = time(4, 0)
CORE_OPEN: Final = time(9, 30)
CORE_CLOSE: Final = time(16, 0)
HALF_DAY_CLOSE: Final = time(13, 0)
POST_CLOSE: Final = time(20, 0)
HALF_DAY_POST_CLOSE: Final = time(17, 0)

NS: Final = 1_000_000_000
_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 3, 4, 5, 6

# Days on which New York did not open although no rule says so: 11 September, mourning, hurricanes.
_IRREGULAR_CLOSED: Final = frozenset(
    {
        date(2001, 9, 11),
        date(2001, 9, 12),
        date(2001, 9, 13),
        date(2001, 9, 14),
        date(2004, 6, 11),  # Reagan
        date(2007, 1, 2),  # Ford
        date(2012, 10, 29),  # Sandy
        date(2012, 10, 30),
        date(2018, 12, 5),  # G. H. W. Bush
        date(2025, 1, 9),  # Carter
    }
)
# Half days that no rule of today gives. 5 July 2002 and 26 December 2003 followed the old practice.
_IRREGULAR_HALF: Final = frozenset({date(2002, 7, 5), date(2003, 12, 26)})


def to_ns(moment: datetime) -> int:
    """UNIX nanoseconds of an aware moment, exact to the microsecond."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1_000


def new_york(ns: int) -> datetime:
    """The New York wall clock at UNIX time `ns`, cut to the microsecond."""
    seconds, rest = divmod(ns, NS)
    return datetime.fromtimestamp(seconds, NEW_YORK).replace(microsecond=rest // 1_000)


def _at(day: date, clock: time) -> int:
    return to_ns(datetime.combine(day, clock, NEW_YORK))


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Western Easter by the anonymous Gregorian computus (Meeus, Astronomical Algorithms, ch. 8)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def _observed(day: date) -> date:
    """A holiday on a Saturday is kept on Friday, one on a Sunday on Monday."""
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    if day.weekday() == _SUNDAY:
        return day + timedelta(days=1)
    return day


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """The weekdays of `year` on which New York does not trade."""
    days = {
        _nth(year, 1, _MONDAY, 3),  # Martin Luther King
        _nth(year, 2, _MONDAY, 3),  # Washington
        _easter(year) - timedelta(days=2),  # Good Friday
        _last_monday_of_may(year),  # Memorial Day
        _observed(date(year, 7, 4)),
        _nth(year, 9, _MONDAY, 1),  # Labor Day
        _nth(year, 11, _THURSDAY, 4),  # Thanksgiving
        _observed(date(year, 12, 25)),
    }
    new_year = date(year, 1, 1)
    # On a Saturday it is not moved: the Friday before ends the accounting year, and stays a trading day.
    if new_year.weekday() != _SATURDAY:
        days.add(_observed(new_year))
    if year >= 2022:
        days.add(_observed(date(year, 6, 19)))  # Juneteenth
    days |= {day for day in _IRREGULAR_CLOSED if day.year == year}
    return frozenset(days)


@lru_cache(maxsize=64)
def half_days(year: int) -> frozenset[date]:
    """The trading days of `year` that end at 13:00."""
    days = {_nth(year, 11, _THURSDAY, 4) + timedelta(days=1)}
    christmas_eve = date(year, 12, 24)
    if christmas_eve.weekday() <= _THURSDAY:  # on a Friday it is the observed Christmas
        days.add(christmas_eve)
    eve = date(year, 7, 3)
    # In 2002 the half day of a Thursday holiday was still the Friday after.
    if eve.weekday() <= _THURSDAY and year != 2002:
        days.add(eve)
    days |= {day for day in _IRREGULAR_HALF if day.year == year}
    return frozenset(days - holidays(year))


class Calendar:
    """Trading days, and their openings and closings as UNIX nanoseconds.

    Methods that need a trading day raise ValueError for another day, and for years outside 2000 to 2040.
    """

    def is_trading_day(self, day: date) -> bool:
        return day.weekday() < _SATURDAY and day not in holidays(_checked(day).year)

    def is_half_day(self, day: date) -> bool:
        return day in half_days(_checked(day).year)

    def open_time(self, day: date) -> time:
        """New York wall time of the core session's opening."""
        self._trading(day)
        return CORE_OPEN

    def close_time(self, day: date) -> time:
        """New York wall time of the core session's close."""
        self._trading(day)
        return HALF_DAY_CLOSE if self.is_half_day(day) else CORE_CLOSE

    def session_close_time(self, day: date) -> time:
        """New York wall time at which the extended session ends."""
        self._trading(day)
        return HALF_DAY_POST_CLOSE if self.is_half_day(day) else POST_CLOSE

    def open_ns(self, day: date) -> int:
        return _at(day, self.open_time(day))

    def close_ns(self, day: date) -> int:
        return _at(day, self.close_time(day))

    def session_open(self, day: date) -> int:
        """Start of the pre-market, 04:00, in ns."""
        self._trading(day)
        return _at(day, PRE_OPEN)

    def session_close(self, day: date) -> int:
        """End of the post-market, 20:00 (17:00 on a half day), in ns."""
        return _at(day, self.session_close_time(day))

    def session(self, now_ns: int) -> Session:
        """The session that `now_ns` falls into; an opening belongs to the session it opens."""
        return _session_at(now_ns // NS)

    def next_open(self, now_ns: int) -> int:
        """The first core opening after `now_ns`."""
        day = new_york(now_ns).date()
        while not self.is_trading_day(day) or self.open_ns(day) <= now_ns:
            day += timedelta(days=1)
        return self.open_ns(day)

    def next_close(self, now_ns: int) -> int:
        """The first core close after `now_ns`."""
        day = new_york(now_ns).date()
        while not self.is_trading_day(day) or self.close_ns(day) <= now_ns:
            day += timedelta(days=1)
        return self.close_ns(day)

    def next_trading_day(self, day: date) -> date:
        """The first trading day after `day`."""
        day += timedelta(days=1)
        while not self.is_trading_day(day):
            day += timedelta(days=1)
        return day

    def previous_trading_day(self, day: date) -> date:
        """The last trading day before `day`."""
        day -= timedelta(days=1)
        while not self.is_trading_day(day):
            day -= timedelta(days=1)
        return day

    def trading_days(self, start: date, end: date) -> list[date]:
        """The trading days from `start` to `end`, both included."""
        count = (end - start).days + 1
        days = (start + timedelta(days=n) for n in range(max(count, 0)))
        return [day for day in days if self.is_trading_day(day)]

    def settlement_day(self, day: date) -> date:
        """When a trade of `day` settles (SEC Rule 15c6-1): T+1 since 28 May 2024, T+2 since 5 Sept 2017, else T+3."""
        lag = 1 if day >= date(2024, 5, 28) else 2 if day >= date(2017, 9, 5) else 3
        for _ in range(lag):
            day = self.next_trading_day(day)
        return day

    def _trading(self, day: date) -> None:
        if not self.is_trading_day(day):
            raise ValueError(f"{day} is no trading day in New York")


def _checked(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"the calendar covers {FIRST_YEAR} to {LAST_YEAR}, not {day}")
    return day


@lru_cache(maxsize=8)
def _bounds(day: date) -> tuple[int, int, int, int] | None:
    calendar = Calendar()
    if not calendar.is_trading_day(day):
        return None
    return (
        calendar.session_open(day),
        calendar.open_ns(day),
        calendar.close_ns(day),
        calendar.session_close(day),
    )


@lru_cache(maxsize=4_096)
def _session_at(second: int) -> Session:
    bounds = _bounds(new_york(second * NS).date())
    now_ns = second * NS
    if bounds is None or now_ns < bounds[0] or now_ns >= bounds[3]:
        return "closed"
    if now_ns < bounds[1]:
        return "pre"
    return "core" if now_ns < bounds[2] else "post"
