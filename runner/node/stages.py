"""Waiting that always ends: every stage of the node's life has a deadline and can be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

# Tasks that were given up; held so that they aren't collected while they end.
_abandoned: set[asyncio.Future[Any]] = set()


class StageTimeout(Exception):
    """A stage took longer than its deadline. Its task was cancelled, and isn't waited for: it may ignore that."""


class Interrupted(Exception):
    """The node was asked to stop while a stage ran."""


async def bounded[T](work: Coroutine[Any, Any, T], timeout_s: float, *, stop: asyncio.Event | None = None) -> T:
    """The result of `work`, or StageTimeout after `timeout_s`, or Interrupted as soon as `stop` is set.

    Unlike `asyncio.wait_for` it never waits for a cancelled task to end, which one that hangs may refuse to do.
    """
    task = asyncio.ensure_future(work)
    waiting: set[asyncio.Future[Any]] = {task}
    stopper = None
    if stop is not None:
        stopper = asyncio.ensure_future(stop.wait())
        waiting.add(stopper)
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        abandon(task)
        raise
    finally:
        if stopper is not None:
            stopper.cancel()
    if task.done():
        return task.result()
    abandon(task)
    if stop is not None and stop.is_set():
        raise Interrupted
    raise StageTimeout


def abandon(task: asyncio.Future[Any]) -> None:
    """Cancel a task and let it end in its own time; what it raises is of no interest any more."""
    if task.done():
        return
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()


class Condition:
    """Waits until a predicate holds, looking again whenever `poke` is called and at least every `period_s`.

    The period is a safety net for changes that nobody announces (a counter in the engine).
    """

    def __init__(self, period_s: float = 0.05) -> None:
        self._event = asyncio.Event()
        self._period_s = period_s

    def poke(self, *_: object) -> None:
        self._event.set()

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it held within `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not holds():
            left = deadline - loop.time()
            if left <= 0:
                return False
            self._event.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._period_s)):
                    await self._event.wait()
        return True
