"""The keeper of schedules beside a node: its alarms go by venue time, in a replay by the replay's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runner.node.calendar import CalendarHook
from runner.node.node import BaseHook, Node
from runner.node.schedule.keeper import Keeper

log = logging.getLogger("runner.node")
# The venue's clock may be put right meanwhile; nobody waits longer than this for that to show.
_LONGEST_S = 30.0


class ScheduleHook(BaseHook):
    """`calendar` is asked where it does not tell of a day, and tells when it is new. `on_trouble` as for `Keeper`."""

    def __init__(self, calendar: CalendarHook, on_trouble: Callable[[str], None] = lambda _words: None) -> None:
        self._calendar = calendar
        self._on_trouble = on_trouble
        self._node: Node | None = None
        self._keeper: Keeper | None = None
        self._timer: asyncio.TimerHandle | None = None

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
            unknown=self._calendar.ask,
            on_trouble=self._on_trouble,
        )
        for name, table in parts.schedules.tables.items():
            log.info("strategy %s opens positions by its schedule: %s", name, table.words())
        self._calendar.on_read(self._follow)
        self._keeper.begin()

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

    def _follow(self) -> None:
        """The exchange's calendar is new: what was worked out of the earlier one is forgotten."""
        assert self._node is not None
        assert self._node.parts is not None
        self._node.parts.schedules.follow(self._node.plan.config)
        if self._keeper is not None:
            self._keeper.look()


def _soon(callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(callback)
