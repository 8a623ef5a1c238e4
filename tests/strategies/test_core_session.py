"""The core session, told from a time stamp."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from strategies.core_session import in_core_session, minutes_to_close


@pytest.mark.parametrize(
    ("new_york", "inside"),
    [
        ("2013-10-07 09:29:59", False),
        ("2013-10-07 09:30:00", True),
        ("2013-10-07 15:59:59", True),
        ("2013-10-07 16:00:00", False),
        ("2013-10-05 12:00:00", False),  # a Saturday
        ("2024-01-16 09:30:00", True),  # winter time
        ("2024-11-29 12:59:59", True),  # the day after Thanksgiving
        ("2024-11-29 13:00:00", False),
        ("2024-07-03 13:00:00", False),  # the eve of Independence Day
        ("2024-12-24 13:00:00", False),
        ("2024-11-22 13:00:00", True),
        ("2020-07-03 13:00:00", True),  # a Friday: a full holiday, on which no bar comes
    ],
)
def test_the_core_session(new_york, inside):
    local = datetime.fromisoformat(new_york).replace(tzinfo=ZoneInfo("America/New_York"))
    assert in_core_session(int(local.timestamp()) * 1_000_000_000) is inside


@pytest.mark.parametrize(
    ("new_york", "minutes"), [("2013-10-07 15:30:00", 30), ("2024-11-29 12:00:30", 59), ("2013-10-07 16:30:00", -30)]
)
def test_minutes_to_the_close(new_york, minutes):
    local = datetime.fromisoformat(new_york).replace(tzinfo=ZoneInfo("America/New_York"))
    assert minutes_to_close(int(local.timestamp()) * 1_000_000_000) == minutes
