"""Faults stay in their strategy, actor or algorithm: every way into it is guarded on the instance itself.

One handler that raises stops Nautilus's message bus for everyone behind it in the queue, so the guard sits inside the
component: what its code raises ends that component and nothing else. Timers are guarded too; Nautilus calls them from a
thread of its own, and here they are brought to the event loop, where the rest of the component runs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nautilus_trader.common.component import Component, LiveClock

from runner.config.classes import ACTOR, STRATEGY, Kind
from runner.config.secrets import redact
from runner.node.children import calls_others
from runner.node.subscriptions import Subscriptions

log = logging.getLogger("runner.node")
_PREFIXES = ("on_", "handle_", "_handle_", "_check_market_exit", "post_market_exit", "_expire_gtd_order")
_ACTIONS = ("start", "stop", "resume", "reset", "degrade", "fault", "save", "load", "_finish_response")
_CTRL_C = signal.default_int_handler
# The methods around these are guarded; a second guard would only cost time on every tick.
_INNER = ("_handle_indicators_for_",)


@dataclass(frozen=True, slots=True)
class Fault:
    """What ended a component, by its name in the file. `trace` is the traceback as text, secrets masked."""

    name: str
    where: str
    error: str
    trace: str
    kind: Kind = STRATEGY


class GuardedTimers:
    """What makes a Nautilus clock a component's own: its callbacks run guarded. Stands before the clock's class."""

    guard: Guard

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


class Handler:
    """A handler of the message bus that is guarded, and is the same as the one that it stands for to the bus."""

    def __init__(self, inner: Callable[[Any], None], guarded: Callable[[Any], None]) -> None:
        self._inner = inner
        self._guarded = guarded
        self.__self__ = getattr(inner, "__self__", None)

    def __call__(self, message: Any) -> None:
        self._guarded(message)

    def __eq__(self, other: object) -> bool:
        return bool(self._inner == (other._inner if isinstance(other, Handler) else other))

    def __hash__(self) -> int:
        return hash(self._inner)

    def __str__(self) -> str:
        return str(self._inner)  # the bus knows handlers by their text, too


class Guard:
    """Guards one component. Install it before the component is added to the trader.

    `on_fault` is called once, on the loop's thread, as soon as the fault happened; the component is down by then.
    """

    def __init__(
        self,
        component: Any,
        name: str,
        kind: Kind = STRATEGY,
        *,
        loop: asyncio.AbstractEventLoop,
        on_fault: Callable[[Fault], None],
    ) -> None:
        self.component = component
        self.name = name
        self.kind = kind
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
        component = self.component
        for name in dir(type(component)):
            if not (name.startswith(_PREFIXES) or name in _ACTIONS) or name.startswith(_INNER):
                continue
            if isinstance(inspect.getattr_static(component, name), property | staticmethod | classmethod):
                continue
            method = getattr(component, name)
            if callable(method):
                setattr(component, name, self.guarded(name, method))
        self.subscriptions = Subscriptions(component)
        component.start = self._start(component.start)
        register = "register_base" if self.kind is ACTOR else "register"
        setattr(component, register, self._register(getattr(component, register)))

    def timer(self, name: str, callback: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
        """The callback that the clock may hold instead of `callback` (None: the component's `on_event`, guarded)."""
        if callback is None:
            callback = self.component.handle_event
        guarded = self.guarded(f"timer {name}", callback)

        def on_loop(event: Any) -> None:
            if threading.get_ident() == self._thread:
                guarded(event)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(guarded, event)

        return on_loop

    def stop(self) -> None:
        """Bring a component that is down to its end state, whatever its own `stop` would do. Its code isn't called."""
        if self.component.is_running and not self._stopping:
            self._stopping = True
            Component.stop(self.component)

    def fail(self, where: str, error: BaseException) -> None:
        """Take the component down for something that went wrong around it."""
        if self.fault is None:
            self._failed(where, error)

    def saved(self) -> dict[str, bytes]:
        """What `on_save` gives. Raises what it raises, and the component runs on: for a look before it is replaced."""
        # Past the guard, whose methods stand on the instance.
        return dict(type(self.component).on_save(self.component))

    def retire(self, msgbus: Any) -> None:
        """The component is stopped and leaves the node: nothing of it is called any more, and nothing waits for it."""
        if self.subscriptions is not None:
            self.subscriptions.release(msgbus)
        self._retired = True
        # A thread or a task of its own may outlive it, and must not trade in the name of who takes its place.
        for name in ("submit_order", "submit_order_list", "modify_order", "close_position", "close_all_positions"):
            if hasattr(self.component, name):
                setattr(self.component, name, self._refused(name))
        # The clock holds its handler where no collector looks: with it the component would live as long as the process.
        if self.component.clock is not None:
            self.component.clock.cancel_timers()
            self.component.clock.register_default_handler(_nothing)

    def _refused(self, what: str) -> Callable[..., None]:
        def refused(*args: Any, **kwargs: Any) -> None:
            log.warning("%s %s has left the node, and its %s is not carried out", self.kind.word, self.name, what)

        return refused

    def guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, whose exceptions are this component's fault; nothing is called once it is down."""
        instead: Any = {} if name in ("save", "on_save") else None

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.fault is not None or self._retired:
                return instead
            try:
                return call(*args, **kwargs)
            # A Rust panic and sys.exit() are no Exception, and no reason for the others to end either.
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is _CTRL_C:
                    raise  # In a node Ctrl-C is a signal with a handler: there it is the strategy's own.
                self._failed(name, error)
                return instead

        guarded.__name__ = name
        calls_others(guarded)
        return guarded

    def _failed(self, where: str, error: BaseException) -> None:
        # Frames of the guard itself say nothing to whoever wrote the component.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        trace = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        text = traceback.format_exception_only(error)[-1].strip()
        self.fault = Fault(self.name, where, redact(text), redact(trace), self.kind)
        self.stop()
        self._on_fault(self.fault)

    def _start(self, start: Callable[[], None]) -> Callable[[], None]:
        def started() -> None:
            start()
            self._guard_handlers()
            # A fault in on_start finds the strategy between two states; it can be stopped only now.
            if self.fault is not None:
                self.stop()

        return started

    def _guard_handlers(self) -> None:
        """What it has subscribed to on the message bus by itself."""
        bus = self.component.msgbus
        for each in bus.subscriptions() if bus is not None else ():
            if getattr(each.handler, "__self__", None) is self.component and not isinstance(each.handler, Handler):
                self.guard_handler(bus, each)

    def guard_handler(self, bus: Any, subscription: Any) -> None:
        """Put a guarded handler in the place of one of the component's."""
        inner = subscription.handler
        guarded = self.guarded(getattr(inner, "__name__", "a handler"), inner)
        bus.unsubscribe(topic=subscription.topic, handler=inner)
        bus.subscribe(topic=subscription.topic, handler=Handler(inner, guarded), priority=subscription.priority)

    def _register(self, register: Callable[..., None]) -> Callable[..., None]:
        def registered(*, clock: Any, **others: Any) -> None:
            own: Any = clock
            if type(clock) is LiveClock:
                own = GuardedClock()
                own.guard = self
            register(clock=own, **others)

        return registered
