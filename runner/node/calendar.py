"""The exchange's calendar in a node: one reads it, the gate and the schedules ask it and are told when it is new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from runner._engine import EngineError
from runner.alpaca.calendar import NEW_YORK
from runner.alpaca.constants import NANOS
from runner.alpaca.models import WireError
from runner.node.build import Parts
from runner.node.node import BaseHook, Node

log = logging.getLogger("runner.node")
#: How soon it is read again where it is missing, or about to run out.
RETRY_S = 30.0
#: How old it may grow. An exchange closes for a day of mourning at a few days' notice.
REFRESH_S = 6 * 3600.0
_BACK, _AHEAD, _SOON = timedelta(days=7), timedelta(days=366), timedelta(days=7)


class CalendarHook(BaseHook):
    """Reads it before the gate begins, so that it stands before the gate's hook, and again while the node runs.

    Without it the gate's sessions and days go by the clock alone, and schedules open nothing.
    """

    def __init__(self, *, retry_s: float = RETRY_S, refresh_s: float = REFRESH_S) -> None:
        self._retry_s = retry_s
        self._refresh_ns = int(refresh_s * NANOS)
        self._parts: Parts | None = None
        self._listeners: list[Callable[[], None]] = []
        self._asked_at = 0.0
        self._read_ns = 0
        self._failing = False
        self._reading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    def on_read(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever the venue has told its days anew."""
        self._listeners.append(listener)

    def ask(self) -> None:
        """Somebody misses a day: have it read now, unless that is tried already or was just tried.

        In a replay, whose days pass in minutes, nobody else looks.
        """
        loop = asyncio.get_running_loop()
        if (
            self._parts is not None
            and (self._reading is None or self._reading.done())
            and loop.time() >= self._asked_at
        ):
            self._asked_at = loop.time() + self._retry_s
            self._reading = loop.create_task(self._read(), name="calendar")

    async def connected(self, node: Node) -> None:
        assert node.parts is not None
        self._parts = node.parts
        await self._read()
        if node.plan.real_time:
            self._keeping = asyncio.create_task(self._keep(), name="calendar")

    def stopping(self, node: Node) -> None:
        for task in (self._reading, self._keeping):
            if task is not None:
                task.cancel()

    async def _keep(self) -> None:
        assert self._parts is not None
        while True:
            await asyncio.sleep(self._retry_s)
            # By venue time: the loop's clock stands still while the machine sleeps.
            if is_short(self._parts) or now_ns(self._parts) - self._read_ns >= self._refresh_ns:
                self.ask()

    async def _read(self) -> None:
        parts = self._parts
        assert parts is not None
        try:
            await read(parts)
        except (EngineError, WireError) as error:
            self._tell(parts, error)
            return
        except Exception as error:  # whatever it is, the node goes on by what is known
            log.debug("the calendar", exc_info=True)
            self._tell(parts, error)
            return
        self._read_ns = now_ns(parts)
        if self._failing:
            log.info("the exchange's calendar is read")
        self._failing = False
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                log.exception("a new calendar could not be followed")

    def _tell(self, parts: Parts, error: Exception) -> None:
        """Once, until it is read: it is tried twice a minute."""
        meanwhile = (
            "holidays are taken for trading days, and strategies with a schedule open nothing"
            if is_short(parts)
            else "what it said last holds on"
        )
        level = logging.DEBUG if self._failing else logging.WARNING
        log.log(level, "the exchange's calendar could not be read, so %s; it is tried again: %s", meanwhile, error)
        self._failing = True


def now_ns(parts: Parts) -> int:
    """Venue time."""
    return int(next(iter(parts.exec_clients.values())).venue_clock.now_ns())


def is_short(parts: Parts) -> bool:
    """Whether the venue's trading days of the next days are not known: never read, or a year ago."""
    return parts.calendar.day(now_ns(parts) + _SOON // timedelta(microseconds=1) * 1_000) is None


async def read(parts: Parts) -> None:
    """Ask the venue for its trading days, of a year. Raises EngineError or WireError."""
    first_client = next(iter(parts.exec_clients.values()))
    today = datetime.fromtimestamp(now_ns(parts) // NANOS, NEW_YORK).date()
    first, last = today - _BACK, today + _AHEAD
    parts.calendar.fill(await first_client.rest.calendar(first, last), first, last)
