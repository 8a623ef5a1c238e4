"""The keeper of schedules beside a node: its alarms go by venue time, in a replay by the replay's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runner.node.gate import read_calendar
from runner.node.node import BaseHook, Node
from runner.node.schedule.keeper import Keeper

log = logging.getLogger("runner.node")
# The venue's clock may be put right meanwhile; nobody waits longer than this for that to show.
_LONGEST_S = 30.0
_READ_AGAIN_S = 30.0
# An exchange closes for a day of mourning at a few days' notice.
_REFRESH_S = 6 * 3600.0


class ScheduleHook(BaseHook):
    """Stands behind the gate among the hooks, which reads the exchange's calendar. `on_trouble` as for `Keeper`."""

    def __init__(self, on_trouble: Callable[[str], None] = lambda _words: None) -> None:
        self._on_trouble = on_trouble
        self._node: Node | None = None
        self._keeper: Keeper | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def started(self, node: Node) -> None:
        parts = node.parts
        if parts is None or node.gate is None:
            return
        self._node = node
        self._keeper = Keeper(
            parts,
            node.gate,
            parts.schedules,
            account_of=lambda name: parts.exec_clients[node.plan.config.strategies[name].account].account_id,
            alarm=self._alarm,
            soon=_soon,
            paused=lambda: node.reloading or node.flattening.locked(),
            unknown=self._read,
            on_trouble=self._on_trouble,
        )
        self._keeper.begin()
        if node.plan.real_time:
            self._refreshing = asyncio.create_task(self._refresh(), name="calendar")

    def replanned(self, node: Node) -> None:
        assert node.parts is not None
        if node.parts.schedules is not None:
            node.parts.schedules.follow(node.plan.config)

    async def reloaded(self, node: Node) -> None:
        if self._keeper is not None:
            self._keeper.look()

    def stopping(self, node: Node) -> None:
        if self._keeper is not None:
            self._keeper.stop()
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._reading, self._refreshing):
            if task is not None:
                task.cancel()

    def _alarm(self, at_ns: int, callback: Callable[[], None]) -> None:
        assert self._node is not None
        assert self._node.parts is not None
        clock = next(iter(self._node.parts.exec_clients.values())).venue_clock
        if clock.is_replay:
            clock.call_at(at_ns, self, callback)
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = min(max((at_ns - clock.now_ns()) / 1e9, 0.0), _LONGEST_S)
        self._timer = asyncio.get_running_loop().call_later(delay_s, callback)

    def _read(self) -> None:
        """The calendar could not be read at the start, or has come to its end."""
        loop = asyncio.get_running_loop()
        if (self._reading is None or self._reading.done()) and loop.time() >= self._read_at:
            self._read_at = loop.time() + _READ_AGAIN_S
            self._reading = loop.create_task(self._read_now(), name="calendar")

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self._read_now()

    async def _read_now(self) -> None:
        assert self._node is not None
        parts = self._node.parts
        assert parts is not None
        try:
            await read_calendar(parts)
        except Exception:  # whatever it is, schedules go on by what is known
            log.exception("the exchange's calendar could not be read")
        # What was worked out of the earlier one is forgotten.
        parts.schedules.follow(self._node.plan.config)
        if self._keeper is not None:
            self._keeper.look()


def _soon(callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(callback)
