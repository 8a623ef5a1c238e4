"""Where the gate sits: the message bus's endpoint that the execution engine had, and the events it listens to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EXECUTE = "ExecEngine.execute"
# Before any strategy hears of an order's event, the gate has heard of it.
PRIORITY = 100

Handler = Callable[[Any], None]


class Seat:
    """Puts `execute` in the place of the engine's own, and `handlers` on the bus, by topic."""

    def __init__(self, msgbus: Any, execute: Handler, handlers: Mapping[str, Handler]) -> None:
        self._bus = msgbus
        self._execute = execute
        self._handlers = handlers
        self._displaced: Handler | None = None
        self.inner: Handler | None = None
        """Where what passes goes; None while the seat is not taken."""

    def take(self, exec_engine: Any, inner: Handler | None = None) -> None:
        """Raises RuntimeError where it is taken already. What passes goes to `inner`, by default the engine's own."""
        if self.inner is not None:
            raise RuntimeError("this gate is installed already: uninstall it first")
        displaced = exec_engine.execute
        self._bus.deregister(EXECUTE, displaced)
        self._bus.register(EXECUTE, self._execute)
        for topic, handler in self._handlers.items():
            self._bus.subscribe(topic, handler, priority=PRIORITY)
        self._displaced = displaced
        self.inner = inner or displaced

    def leave(self) -> None:
        """Give it back. Does nothing where it was never taken."""
        if self.inner is None:
            return
        for topic, handler in self._handlers.items():
            self._bus.unsubscribe(topic, handler)
        self._bus.deregister(EXECUTE, self._execute)
        self._bus.register(EXECUTE, self._displaced)
        self.inner = None
