"""The node's event loop: uvloop's, which code of a strategy can't stop under the node's feet."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

from runner.node.children import calls_others

# What stands between whoever stops the loop and the loop, and says nothing about it.
_MACHINERY = (str(Path(asyncio.__file__).parent), str(Path(uvloop.__file__).parent), threading.__file__, __file__)


class NodeLoop(uvloop.Loop):
    """Runs one coroutine to its end. `on_stop` is called with who wanted to stop it before; on the loop's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.on_stop: Callable[[str], None] = lambda _who: None
        self._main: asyncio.Task[Any] | None = None
        self._thread = threading.get_ident()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        self._main = task = self.create_task(work)
        while True:
            try:
                result: T = self.run_until_complete(task)
                return result
            except RuntimeError:
                if task.done():
                    raise
                # By uvloop's own method, past ours: nothing is lost, as what waits is still there.
                self.on_stop("somebody")

    def stop(self) -> None:
        """The loop's own end stops it; anybody else is told of, and it goes on."""
        if self._main is None or self._main.done():
            super().stop()
        elif threading.get_ident() == self._thread:
            self.on_stop(_caller())
        else:
            who = f"thread {threading.current_thread().name}, {_caller()}"
            self.call_soon_threadsafe(lambda: self.on_stop(who))


calls_others(NodeLoop.run)


def _caller() -> str:
    """The first line of code that is not the machinery's, outwards from here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        if frame.f_code is NodeLoop.run.__code__:
            return "a callback of the loop"
        frame = frame.f_back
    if frame is None:
        return "somebody"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
