"""Days and times as a person writes them: New York's, unless they say otherwise."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_NEW_YORK = ZoneInfo("America/New_York")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
FOREVER_NS = 2**62


def moment_ns(text: str, *, end: bool = False) -> int:
    """UNIX ns of `2024-03-01` (its midnight, or with `end` its last nanosecond) or `2024-03-01T09:30[:00][Z|±hh:mm]`.

    Raises ValueError with what is wanted.
    """
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text) + timedelta(days=int(end))
            return _ns(datetime.combine(day, time(), _NEW_YORK)) - int(end)
        found = datetime.fromisoformat(text)
        return _ns(found if found.tzinfo is not None else found.replace(tzinfo=_NEW_YORK))
    except ValueError:
        raise ValueError(
            f"{text} is no day and no time: write 2024-03-01 or 2024-03-01T09:30 (New York), or add Z for UTC"
        ) from None


def window(start: str | None, end: str | None) -> tuple[int, int]:
    """A span of time (UNIX ns, both ends included); what is not given is without end. Raises ValueError."""
    start_ns = 0 if start is None else moment_ns(start)
    end_ns = FOREVER_NS if end is None else moment_ns(end, end=True)
    if start_ns > end_ns:
        raise ValueError(f"--from {start} is after --to {end}")
    return start_ns, end_ns


def _ns(moment: datetime) -> int:
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
