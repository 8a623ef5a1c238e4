"""What becomes of a child that code of a strategy forks: it does what it was made for, and is never a second node.

A bare `os.fork()` in a handler returns twice, and the child's half finds itself inside the node: it would go on with
the loop, and hear and send everything once more. So it is ended as soon as what forked returns to the node, however it
does. A child of `multiprocessing` ends by itself before; `subprocess`, `spawn` and `forkserver` make no such child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import thread
from datetime import UTC, datetime
from types import CodeType, FrameType
from typing import Any

from runner.node.exit_codes import ExitCode

# Functions of the node that call what isn't its own. A pool's worker would wait for work for ever.
_callers: set[CodeType] = {thread._worker.__code__}
_handlers: dict[int, Any] | None = None
_is_child = False
_EVENTS = sys.monitoring.events


def guard(handlers: dict[int, Any]) -> None:
    """This process is a node from now on; children get back these handlers of signals."""
    global _handlers
    _handlers = handlers


def release() -> None:
    """It is none any more."""
    global _handlers
    _handlers = None


def calls_others(function: Callable[..., Any]) -> None:
    """A function, whose callees are ended in a child when they return to it."""
    _callers.add(function.__code__)


def end_child(error: BaseException | None = None) -> None:
    """Nothing, but in a child: that ends here. As it would by itself, where it ends by `sys.exit` or an exception."""
    if not _is_child:
        return
    code: Any = int(ExitCode.STRATEGY)
    try:
        who = f"a child that a strategy's code forked (process {os.getpid()})"
        if isinstance(error, SystemExit):
            code = error.code
            if code is not None and not isinstance(code, int):
                _tell(str(code))
                code = 1
        elif error is not None:
            code = 1
            _tell_as_error(f"{who}: failed, and is ended")
            _tell("".join(traceback.format_exception(error)).rstrip())
        else:
            _tell_as_error(f"{who}: came back to the node, and is ended; let it end by os._exit(0)")
        sys.stdout.flush()
    finally:
        os._exit(code or 0)


def _tell(text: str) -> None:
    # Whoever held the locks of the log, or of its files, is not there any more: past them, to the node's log tap.
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def _tell_as_error(text: str) -> None:
    _tell(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z [ERROR] RUNNER.{text}")  # as Nautilus writes it


def _in_child() -> None:
    global _is_child
    if _handlers is None:
        return
    _is_child = True
    with contextlib.suppress(ValueError):  # not Python's own fork
        signal.set_wakeup_fd(-1)
        for number, handler in _handlers.items():
            signal.signal(number, handler)
    own = sys._getframe()
    caller = own.f_back
    while caller is not None and caller.f_code not in _callers:
        own, caller = caller, caller.f_back
    if caller is not None:
        _end_with(own)


def _end_with(own: FrameType) -> None:
    """Have the process end when this frame does."""
    tool = next((each for each in range(6) if sys.monitoring.get_tool(each) is None), None)
    if tool is None:  # taken by debuggers, all of them
        return

    def left(_code: CodeType, _offset: int, _value: Any) -> None:
        if sys._getframe(1) is own:
            end_child()

    def failed(_code: CodeType, _offset: int, error: BaseException) -> None:
        if sys._getframe(1) is own:
            end_child(error)

    sys.monitoring.use_tool_id(tool, "runner")
    sys.monitoring.register_callback(tool, _EVENTS.PY_RETURN, left)
    sys.monitoring.register_callback(tool, _EVENTS.PY_YIELD, left)
    sys.monitoring.register_callback(tool, _EVENTS.PY_UNWIND, failed)
    sys.monitoring.set_local_events(tool, own.f_code, _EVENTS.PY_RETURN | _EVENTS.PY_YIELD)
    sys.monitoring.set_events(tool, _EVENTS.PY_UNWIND)  # which can't be asked for of one function


os.register_at_fork(after_in_child=_in_child)
