"""The exchange's calendar in a node: who reads it, when again, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from runner.alpaca.calendar import TradingCalendar
from runner.alpaca.models import CalendarDay, WireError
from runner.alpaca.venue_clock import VenueClock
from runner.node.calendar import CalendarHook, is_short
from tests.node.schedule.test_timetable import ns

DAY_NS = 86_400 * 10**9


class Venue:
    """Counts how often it is asked, and fails as long as it is to."""

    def __init__(self) -> None:
        self.clock = VenueClock()
        self.clock.set_from_clock(ns("2026-11-25 10:00"))
        self.reads: list[date] = []
        self.fails: Exception | None = None
        self.close = "16:00"

    async def calendar(self, first: date, last: date) -> list[CalendarDay]:
        self.reads.append(first)
        if self.fails is not None:
            raise self.fails
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return [CalendarDay(date=day.isoformat(), open="09:30", close=self.close) for day in days if day.weekday() < 5]


@pytest.fixture
def venue() -> Venue:
    return Venue()


@asynccontextmanager
async def running(venue: Venue, *, real_time: bool = True, **times: float) -> AsyncIterator[tuple[CalendarHook, Any]]:
    parts: Any = SimpleNamespace(
        calendar=TradingCalendar(), exec_clients={"main": SimpleNamespace(venue_clock=venue.clock, rest=venue)}
    )
    node: Any = SimpleNamespace(parts=parts, plan=SimpleNamespace(real_time=real_time))
    hook = CalendarHook(**{"retry_s": 0.001, **times})
    await hook.connected(node)
    try:
        yield hook, parts
    finally:
        hook.stopping(node)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


async def test_it_is_known_when_the_gate_begins_and_read_no_more_than_it_must(venue: Venue) -> None:
    async with running(venue) as (_, parts):
        assert parts.calendar.close(date(2026, 11, 25)) is not None
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(venue.reads) == 1


async def test_one_that_is_missing_is_read_soon_and_all_are_told_of_it(
    venue: Venue, caplog: pytest.LogCaptureFixture
) -> None:
    venue.fails, told = WireError("no answer"), []
    with caplog.at_level("INFO", "runner.node"):
        async with running(venue) as (hook, parts):
            hook.on_read(lambda: 1 / 0)
            hook.on_read(lambda: told.append(is_short(parts)))
            await until(lambda: len(venue.reads) > 3)
            assert is_short(parts)
            venue.fails = None
            await until(lambda: told)
    assert told == [False]
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    without = "holidays are taken for trading days, and strategies with a schedule open nothing"
    assert said == [
        ("WARNING", f"the exchange's calendar could not be read, so {without}; it is tried again: no answer"),
        ("INFO", "the exchange's calendar is read"),
        ("ERROR", "a new calendar could not be followed"),
    ]


async def test_it_is_refreshed_by_venue_time_and_what_was_read_holds_where_that_fails(
    venue: Venue, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(venue) as (_, parts):
        venue.fails = RuntimeError("a bug")
        venue.clock.observe(venue.clock.now_ns() + DAY_NS // 4)
        await until(lambda: len(venue.reads) > 2)
        assert str(parts.calendar.close(date(2026, 11, 25))) == "16:00:00"
        assert "what it said last holds on" in caplog.text
        venue.fails, venue.close = None, "13:00"
        await until(lambda: str(parts.calendar.close(date(2026, 11, 25))) == "13:00:00")


async def test_it_is_read_again_before_its_end(venue: Venue) -> None:
    async with running(venue, refresh_s=1e9) as (_, parts):
        venue.clock.observe(venue.clock.now_ns() + 360 * DAY_NS)
        assert is_short(parts)
        await until(lambda: not is_short(parts))
        assert venue.reads == [date(2026, 11, 18), date(2027, 11, 13)]


async def test_in_a_replay_it_is_read_when_somebody_asks_and_not_twice_at_a_time(venue: Venue) -> None:
    venue.fails = WireError("no answer")
    async with running(venue, real_time=False, retry_s=60.0) as (hook, _):
        for _ in range(3):
            hook.ask()
        await until(lambda: len(venue.reads) == 2)
        hook.ask()  # it was just tried
        await asyncio.sleep(0)
        assert len(venue.reads) == 2


async def test_nothing_is_read_after_the_end_has_begun(venue: Venue) -> None:
    venue.fails = WireError("no answer")
    async with running(venue) as (hook, _):
        await until(lambda: len(venue.reads) > 1)
    await asyncio.gather(*(each for each in (hook._keeping, hook._reading) if each), return_exceptions=True)
    reads = len(venue.reads)
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert len(venue.reads) == reads
