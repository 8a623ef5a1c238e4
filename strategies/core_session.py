"""When the New York stock exchanges hold their core session, told from a time stamp alone.

Source: https://www.nyse.com/markets/hours-calendars. Full holidays need no rule here: no bar of the day ever comes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPEN = time(9, 30)
CLOSE = time(16, 0)
EARLY_CLOSE = time(13, 0)


def in_core_session(ts_event: int) -> bool:
    """True from the opening to just before the close.

    `ts_event` is the venue's stamp in UNIX nanoseconds, never the computer's clock: in a replay the two differ.
    A bar that ends exactly at the close is outside, since an order could no longer be filled that day.
    """
    local = datetime.fromtimestamp(ts_event // 1_000_000_000, tz=UTC).astimezone(NEW_YORK)
    if local.weekday() >= 5:
        return False
    return OPEN <= local.time() < _close(local.date())


def minutes_to_close(ts_event: int) -> int:
    """Whole minutes from the venue's stamp (UNIX nanoseconds) to the close of that day; negative after it."""
    local = datetime.fromtimestamp(ts_event // 1_000_000_000, tz=UTC).astimezone(NEW_YORK)
    close = datetime.combine(local.date(), _close(local.date()), tzinfo=NEW_YORK)
    return int((close - local).total_seconds() // 60)


@lru_cache(maxsize=16)
def _close(day: date) -> time:
    monday_to_thursday = day.weekday() <= 3
    eve_of_independence_day = (day.month, day.day) == (7, 3) and monday_to_thursday
    christmas_eve = (day.month, day.day) == (12, 24) and monday_to_thursday
    # Thanksgiving is November's fourth Thursday, so the day after it is the Friday from the 23rd to the 29th.
    yesterday = day - timedelta(days=1)
    after_thanksgiving = day.month == 11 and yesterday.weekday() == 3 and 22 <= yesterday.day <= 28
    return EARLY_CLOSE if eve_of_independence_day or christmas_eve or after_thanksgiving else CLOSE
