"""The exchange's sessions by Alpaca's own calendar, which knows holidays and short days.

Source: docs.alpaca.markets "Get Market Calendar info" (`/v2/calendar`): a row for each trading day, times in New York.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runner.alpaca.constants import NANOS
from runner.alpaca.models import CalendarDay, WireError
from runner.config.schedule import EVENING

NEW_YORK = ZoneInfo("America/New_York")


class TradingCalendar:
    """Answers for the days that it was given; None for others."""

    def __init__(self) -> None:
        self._days: dict[date, tuple[time, time, time, time]] = {}
        self._first = self._last = date.min
        self._day = ""
        self._from_ns = self._until_ns = 0  # for which `_day` is the answer

    def fill(self, days: list[CalendarDay], first: date, last: date) -> None:
        """Take what the venue says of the days from `first` to `last`. Raises WireError where it can't be read."""
        try:
            self._days = {
                date.fromisoformat(day.date): (
                    _time(day.session_open or "0400"),
                    _time(day.open),
                    _time(day.close),
                    _time(day.session_close or "2000"),
                )
                for day in days
            }
        except ValueError as error:
            raise WireError(f"the calendar: {error}") from error
        self._first, self._last = first, last
        self._from_ns = self._until_ns = 0

    def day(self, now_ns: int) -> str | None:
        """The trading day's date, `2026-11-25`, at a venue time; None where it is not known.

        It begins at midnight in New York; days without trading belong to the one before.
        """
        if not self._from_ns <= now_ns < self._until_ns:
            today = datetime.fromtimestamp(now_ns // NANOS, NEW_YORK).date()
            begun = [day for day in self._days if day <= today]
            if not begun or not self._first <= today <= self._last:
                return None
            self._day = max(begun).isoformat()
            self._from_ns, self._until_ns = (
                int(datetime.combine(each, time(0), NEW_YORK).timestamp()) * NANOS
                for each in (today, today + timedelta(days=1))
            )
        return self._day

    def knows(self, day: date) -> bool:
        """Whether the venue has told of this day, be it that nothing trades then."""
        return self._first <= day <= self._last

    def close(self, day: date) -> time | None:
        """When the core session of a day ends, in New York; None where there is none, or the day is not known."""
        hours = self._days.get(day)
        return None if hours is None else hours[2]

    def session(self, now_ns: int) -> str | None:
        """pre, core, post, overnight or closed at a venue time, UNIX nanoseconds; None where the day is not known."""
        now = datetime.fromtimestamp(now_ns // NANOS, NEW_YORK)
        today, at = now.date(), now.time()
        tomorrow = today + timedelta(days=1)
        if not self._first <= today or not tomorrow <= self._last:
            return None
        if at >= EVENING:  # the night belongs to the day that follows
            return "overnight" if tomorrow in self._days else "closed"
        if (hours := self._days.get(today)) is None:
            return "closed"
        begins, opens, closes, ends = hours
        if at < begins:
            return "overnight"
        if at < opens:
            return "pre"
        if at < closes:
            return "core"
        return "post" if at < ends else "closed"


def _time(text: str) -> time:
    """`09:30` or `0930`. Raises ValueError."""
    digits = text.replace(":", "")
    if len(digits) != 4 or not digits.isdigit():
        raise ValueError(f"{text!r} is no time")
    return time(int(digits[:2]), int(digits[2:]))
