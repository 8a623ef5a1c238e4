"""The pace of a replay: N times as fast as the day was, as fast as clients read, or step by step with one client."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from runner.exchange.calendar import NEW_YORK, new_york, to_ns
from runner.exchange.hub import Hub
from runner.exchange.market import Market
from runner.exchange.player import FOREVER_NS, Player
from runner.exchange.settings import Settings
from runner.exchange.tape import TapeError

log = logging.getLogger(__name__)


class Stepper(Protocol):
    """The client that a replay in lock-step waits for."""

    @property
    def engaged(self) -> bool:
        """Whether there is such a client now."""

    @property
    def messages_sent(self) -> int:
        """All that clients have been sent so far: market data and trade updates."""

    async def step(self) -> None:
        """Tell the client that a step has been sent; return when it is idle, or gone."""


class Replay:
    """Owns the player's time. `run` is the background task; `step_until` moves time by hand."""

    def __init__(self, settings: Settings, player: Player, market: Market, hub: Hub) -> None:
        """Skip to `settings.start` at once. Raises TapeError where the data ends before that."""
        self.settings = settings
        self.player = player
        self.market = market
        self.hub = hub
        self.stepper: Stepper | None = None
        self.on_end: list[Callable[[], None]] = []
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        """What ended the replay early, if something did."""
        self._started = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._moving = asyncio.Lock()
        self._asked = False
        self._anchor: tuple[float, int] | None = None
        self._skip()
        self.skipped = player.done
        self.start_ns = market.now_ns

    @property
    def sent(self) -> int:
        """Messages of the data played since the start."""
        return self.player.done - self.skipped

    @property
    def total(self) -> int:
        """Messages that there are to play, skipped ones left out."""
        return self.player.info.total - self.skipped

    def start(self) -> None:
        """Let time run. Calling it again changes nothing."""
        if not self._started.is_set():
            log.info("replay starts at %s New York", new_york(self.market.now_ns).strftime("%Y-%m-%d %H:%M:%S"))
        self._started.set()

    @property
    def started(self) -> bool:
        """Whether time has begun to run."""
        return self._started.is_set()

    def pause(self) -> None:
        """Hold venue time."""
        self._running.clear()

    def resume(self) -> None:
        """Let venue time run on from where it stands."""
        self._anchor = None
        self._running.set()

    async def step_until(self, venue_ns: int) -> None:
        """Play everything up to `venue_ns` (included) now, and return when it is written to the sockets."""
        async with self._moving:
            while self.player.advance(venue_ns, self.settings.slice_messages):
                self.hub.flush()
                await self.hub.room(self.settings.backlog_messages)
            self.hub.flush()
            await self.hub.room(0)
            self._anchor = None
        if self.player.next_ns is None:
            self._end()

    async def run(self) -> None:
        """Play until the end of the data, then return. What can't be read ends the replay, with a line in the log."""
        try:
            await self._started.wait()
            while self.player.next_ns is not None:
                await self._running.wait()
                async with self._moving:
                    delay_s = await self._move()
                await asyncio.sleep(delay_s)
            await self.hub.room(0)
        except TapeError as error:
            log.error("the replay ends here: %s", error)  # noqa: TRY400  # a message for people, not a traceback
            self.error = error
        self._end()

    async def _move(self) -> float:
        """Play what is due; return how long to wait for more, in seconds."""
        if self.stepper is not None and self.stepper.engaged:
            await self._step(self.stepper)
            return 0.0
        if math.isinf(self.settings.speed):
            self.player.advance(FOREVER_NS, self.settings.slice_messages)
            self.hub.flush()
            await self.hub.room(self.settings.backlog_messages)
            return 0.0
        return self._paced()

    async def _step(self, stepper: Stepper) -> None:
        """One step: the next slices of venue time, up to the first in which something was sent to somebody.

        Before the first one the client is asked whether it is idle: what it asks for and subscribes to when it starts
        belongs to the day's beginning, however long it takes.
        """
        if not self._asked:
            self._asked = True
            await stepper.step()
            return
        step_ns = self.settings.step_ns
        before = stepper.messages_sent
        for _ in range(self.settings.slice_messages):
            next_ns = self.player.next_ns
            if next_ns is None:
                break
            self.player.advance(next_ns - next_ns % step_ns + step_ns - 1)
            self.hub.flush()
            if stepper.messages_sent != before:
                break
        await self.hub.room(self.settings.backlog_messages)
        await stepper.step()

    def _paced(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._anchor is None:
            self._anchor = (now, self.market.now_ns)
        since, venue_ns = self._anchor
        target_ns = venue_ns + int((now - since) * self.settings.speed * 1e9)
        played = self.player.advance(target_ns, self.settings.slice_messages)
        self.hub.flush()
        next_ns = self.player.next_ns
        if next_ns is None or played == self.settings.slice_messages:
            return 0.0
        due_s = (next_ns - target_ns) / self.settings.speed / 1e9
        return min(max(due_s, 0.001), self.settings.tick_s)  # a millisecond's worth of messages makes one frame

    def _skip(self) -> None:
        clock = self.settings.start
        if clock is None:
            return
        info = self.player.info
        first_day = new_york(info.start_ns).date()
        start_ns = to_ns(datetime.combine(first_day, clock, NEW_YORK))
        if start_ns > info.end_ns:
            last = new_york(info.end_ns).strftime("%H:%M:%S")
            raise TapeError(f"start {clock:%H:%M} New York is after the last message ({last}): choose an earlier one")
        if start_ns <= info.start_ns:
            return
        self.hub.silent = True
        self.player.advance(start_ns - 1)
        self.player.advance(start_ns, 0)
        self.hub.silent = False

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        log.info("replay ends at %s New York", new_york(self.market.now_ns).strftime("%Y-%m-%d %H:%M:%S"))
        for callback in self.on_end:
            callback()
