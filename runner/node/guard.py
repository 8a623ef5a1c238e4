"""Faults stay in their strategy: every way into it is guarded on the instance itself.

One handler that raises stops Nautilus's message bus for everyone behind it in the queue, so the guard sits inside the
strategy: what its code raises ends that strategy and nothing else. Timers are guarded too; Nautilus calls them from a
thread of its own, and here they are brought to the event loop, where the rest of the strategy runs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nautilus_trader.common.component import Component, LiveClock

from runner.config.secrets import redact
from runner.node.subscriptions import Subscriptions

log = logging.getLogger("runner.node")
_PREFIXES = ("on_", "handle_", "_handle_", "_check_market_exit", "post_market_exit", "_expire_gtd_order")
_ACTIONS = ("start", "stop", "resume", "reset", "degrade", "fault", "save", "load", "_finish_response")
# The methods around these are guarded; a second guard would only cost time on every tick.
_INNER = ("_handle_indicators_for_",)


@dataclass(frozen=True, slots=True)
class Fault:
    """What ended a strategy. `trace` is the traceback as text, secrets masked."""

    strategy: str
    where: str
    error: str
    trace: str


class GuardedTimers:
    """What makes a Nautilus clock a strategy's own: its callbacks run guarded. Stands before the clock's class."""

    guard: StrategyGuard

    def set_time_alert_ns(
        self,
        name: str,
        alert_time_ns: int,
        callback: Callable[[Any], None] | None = None,
        allow_past: bool = True,
    ) -> None:
        guarded = self.guard.timer(name, callback)
        super().set_time_alert_ns(name, alert_time_ns, guarded, allow_past)  # type: ignore[misc]  # the clock's

    def set_timer_ns(
        self,
        name: str,
        interval_ns: int,
        start_time_ns: int,
        stop_time_ns: int,
        callback: Callable[[Any], None] | None = None,
        allow_past: bool = True,
        fire_immediately: bool = False,
    ) -> None:
        when = (interval_ns, start_time_ns, stop_time_ns, self.guard.timer(name, callback))
        super().set_timer_ns(name, *when, allow_past, fire_immediately)  # type: ignore[misc]  # the clock's


class GuardedClock(GuardedTimers, LiveClock):
    """On the event loop's thread."""


def _nothing(event: Any) -> None:
    """In the place of a handler that is gone."""


class StrategyGuard:
    """Guards one strategy. Install it before the strategy is added to the trader.

    `on_fault` is called once, on the loop's thread, as soon as the fault happened; the strategy is down by then.
    """

    def __init__(
        self,
        strategy: Any,
        name: str,
        *,
        loop: asyncio.AbstractEventLoop,
        on_fault: Callable[[Fault], None],
    ) -> None:
        self.strategy = strategy
        self.name = name
        self.fault: Fault | None = None
        self._loop = loop
        self._on_fault = on_fault
        self._thread = threading.get_ident()
        self._stopping = False
        self._retired = False
        self.subscriptions: Subscriptions | None = None

    @property
    def down(self) -> bool:
        return self.fault is not None

    def install(self) -> None:
        strategy = self.strategy
        for name in dir(type(strategy)):
            if not (name.startswith(_PREFIXES) or name in _ACTIONS) or name.startswith(_INNER):
                continue
            if isinstance(inspect.getattr_static(strategy, name), property | staticmethod | classmethod):
                continue
            method = getattr(strategy, name)
            if callable(method):
                setattr(strategy, name, self._guarded(name, method))
        self.subscriptions = Subscriptions(strategy)
        strategy.start = self._start(strategy.start)
        strategy.register = self._register(strategy.register)

    def timer(self, name: str, callback: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
        """The callback that the clock may hold instead of `callback` (None: the strategy's `on_event`, guarded)."""
        if callback is None:
            callback = self.strategy.handle_event
        guarded = self._guarded(f"timer {name}", callback)

        def on_loop(event: Any) -> None:
            if threading.get_ident() == self._thread:
                guarded(event)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(guarded, event)

        return on_loop

    def stop(self) -> None:
        """Bring a strategy that is down to its end state, whatever its own `stop` would do. Its code isn't called."""
        if self.strategy.is_running and not self._stopping:
            self._stopping = True
            Component.stop(self.strategy)

    def fail(self, where: str, error: BaseException) -> None:
        """Take the strategy down for something that went wrong around it."""
        if self.fault is None:
            self._failed(where, error)

    def saved(self) -> dict[str, bytes]:
        """What `on_save` gives. Raises what it raises, and the strategy runs on: for a look before it is replaced."""
        # Past the guard, whose methods stand on the instance.
        return dict(type(self.strategy).on_save(self.strategy))

    def retire(self, msgbus: Any) -> None:
        """The strategy is stopped and leaves the node: nothing of it is called any more, and nothing waits for it."""
        if self.subscriptions is not None:
            self.subscriptions.release(msgbus)
        self._retired = True
        # A thread or a task of its own may outlive it, and must not trade in the name of who takes its place.
        for name in ("submit_order", "submit_order_list", "modify_order", "close_position", "close_all_positions"):
            setattr(self.strategy, name, self._refused(name))
        # The clock holds its handler where no collector looks: with it the strategy would live as long as the process.
        if self.strategy.clock is not None:
            self.strategy.clock.cancel_timers()
            self.strategy.clock.register_default_handler(_nothing)

    def _refused(self, what: str) -> Callable[..., None]:
        def refused(*args: Any, **kwargs: Any) -> None:
            log.warning("strategy %s has left the node, and its %s is not carried out", self.name, what)

        return refused

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        instead: Any = {} if name in ("save", "on_save") else None

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.fault is not None or self._retired:
                return instead
            try:
                return call(*args, **kwargs)
            except KeyboardInterrupt:
                raise
            # A Rust panic and sys.exit() are no Exception, and no reason for the others to end either.
            except BaseException as error:
                self._failed(name, error)
                return instead

        guarded.__name__ = name
        return guarded

    def _failed(self, where: str, error: BaseException) -> None:
        # Frames of the guard itself say nothing to whoever wrote the strategy.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        trace = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        text = traceback.format_exception_only(error)[-1].strip()
        self.fault = Fault(self.name, where, redact(text), redact(trace))
        self.stop()
        self._on_fault(self.fault)

    def _start(self, start: Callable[[], None]) -> Callable[[], None]:
        def started() -> None:
            start()
            # A fault in on_start finds the strategy between two states; it can be stopped only now.
            if self.fault is not None:
                self.stop()

        return started

    def _register(self, register: Callable[..., None]) -> Callable[..., None]:
        def registered(*, clock: Any, **others: Any) -> None:
            own: Any = clock
            if type(clock) is LiveClock:
                own = GuardedClock()
                own.guard = self
            register(clock=own, **others)

        return registered
