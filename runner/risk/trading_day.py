"""The exchange's day and its sessions, told from venue time in New York.

A trading day begins at midnight in New York and is named by its date; Saturday and Sunday belong to Friday, so that
the week's last day ends when the next one begins. Holidays and early closes are not known here (a node asks
the venue's calendar, and goes by this where it has no answer): a holiday is a day of its own, on which nothing trades.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_NANOS = 1_000_000_000
# (from, session); the first reaches back to the evening before.
_SESSIONS = (
    (time(0), "overnight"),
    (time(4), "pre"),
    (time(9, 30), "core"),
    (time(16), "post"),
    (time(20), "overnight"),
)
_SATURDAY, _SUNDAY = 5, 6


class TradingDay:
    """Answers from memory until the next boundary, so that asking costs two comparisons."""

    def __init__(self) -> None:
        self._day = ""
        self._session = ""
        self._from_ns = self._until_ns = 0

    def day(self, now_ns: int) -> str:
        """The trading day's date, such as `2026-11-27`."""
        self._look(now_ns)
        return self._day

    def session(self, now_ns: int) -> str:
        """pre, core, post, overnight, or closed (from Friday's evening to Sunday's)."""
        self._look(now_ns)
        return self._session

    def _look(self, now_ns: int) -> None:
        if self._from_ns <= now_ns < self._until_ns:
            return
        now = datetime.fromtimestamp(now_ns // _NANOS, NEW_YORK)
        begins, self._session = next(row for row in reversed(_SESSIONS) if row[0] <= now.time())
        later = [row[0] for row in _SESSIONS if row[0] > now.time()]
        midnight = time(0)
        ends = (now.date(), later[0]) if later else (now.date() + timedelta(days=1), midnight)
        weekday = now.weekday()
        if weekday == _SATURDAY or (weekday == _SUNDAY and now.hour < 20) or (weekday == 4 and now.hour >= 20):
            self._session = "closed"
        self._day = (now.date() - timedelta(days=max(weekday - 4, 0))).isoformat()
        self._from_ns, self._until_ns = _ns(now.date(), begins), _ns(*ends)


def _ns(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * _NANOS
