"""Sees to it that outside of its schedule a strategy's orders and positions are where the file wants them.

It goes by what is, not by what happened: after a restart, a stream that was down or a closing order that was refused it
finds the same things to do. Orders are canceled when time passes, positions are closed as soon as nothing of the
strategy's works any more. Everything happens in the call that tells it of something, without waiting, so that it serves
a running node, a replay in lock-step and a backtest alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.model.enums import OrderStatus

from runner.config.schedule import ScheduleConfig
from runner.node.build import Parts
from runner.node.closer import Closer, cancel_orders
from runner.node.schedule.schedules import Schedules, when
from runner.node.schedule.timetable import Moment
from runner.risk.gate import RiskGate

log = logging.getLogger("runner.node")
_SECOND = 1_000_000_000
#: How often it looks while something is still to be done (venue time).
_TICK_NS = _SECOND
#: So long the venue has to confirm cancellations; then positions are closed all the same.
_PATIENCE_NS = 5 * _SECOND
#: What was refused is tried anew after so long.
_ROUND_NS = 15 * _SECOND
#: Positions that are still there so long after they were to be closed are told of.
_GRACE_NS = 30 * _SECOND


@dataclass
class _Kept:
    """One strategy. Times are venue time, UNIX nanoseconds."""

    spec: ScheduleConfig
    open: bool | None = None
    sent: set[str] = field(default_factory=set)
    """Orders whose cancellation was asked for in this round."""
    closer: Closer | None = None
    """While its positions are to be closed."""
    since_ns: int = 0
    round_ns: int = 0
    told: bool = False
    due: bool = False
    """Whether it was to have no positions since it could open some the last time."""


class Keeper:
    """Looks after every strategy that has a schedule.

    Parameters
    ----------
    account_of
        The account id of a strategy of the file.
    alarm
        Calls a function at a venue time (UNIX nanoseconds), in place of the one it was given before.
    soon
        Calls a function when what is being handled now has been handled.
    paused
        Whether somebody else is bringing orders and positions to their end.
    unknown
        Called where the exchange's calendar does not tell of a day.
    on_trouble
        Called with what a person must know.

    """

    def __init__(
        self,
        parts: Parts,
        gate: RiskGate,
        schedules: Schedules,
        *,
        account_of: Callable[[str], Any],
        alarm: Callable[[int, Callable[[], None]], None],
        soon: Callable[[Callable[[], None]], None],
        paused: Callable[[], bool] = lambda: False,
        unknown: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._parts = parts
        self._gate = gate
        self._schedules = schedules
        self._account_of = account_of
        self._alarm = alarm
        self._soon = soon
        self._paused = paused
        self._unknown = unknown
        self._on_trouble = on_trouble
        self._kept: dict[str, _Kept] = {}
        self._runs = False
        schedules.left = self.left

    def begin(self) -> None:
        """The strategies run."""
        bus = self._parts.kernel.msgbus
        bus.subscribe("events.order.*", self._on_event)
        bus.subscribe("events.position.*", self._on_event)
        self._runs = True
        self.look()

    def stop(self) -> None:
        """Do nothing any more: the end has begun."""
        if self._runs:
            self._runs = False
            self._schedules.busy = False
            bus = self._parts.kernel.msgbus
            bus.unsubscribe("events.order.*", self._on_event)
            bus.unsubscribe("events.position.*", self._on_event)

    def left(self, strategy: str) -> int:
        """How many positions it still has that were to be closed."""
        kept = self._kept.get(strategy)
        return len(self._positions(strategy)) if kept is not None and kept.due else 0

    def look(self) -> None:
        """See what time it is, and what is to be done. Never raises."""
        if self._runs:
            self._look(sweep=True)

    # -- what happens ------------------------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> None:
        """An order or a position changed: of a strategy that may trade freely it is no matter."""
        name = self._parts.names.get(event.strategy_id.value, "")
        if not self._schedules.busy and (moment := self._schedules.moment(name)) is not None and not moment.open:
            self._schedules.busy = True
            self._soon(self._settled)

    def _settled(self) -> None:
        if self._runs:
            self._look(sweep=False)
        self._schedules.busy = False

    def _look(self, *, sweep: bool) -> None:
        now_ns, tables = self._schedules.now_ns(), self._schedules.tables
        self._kept = {
            name: kept if (kept := self._kept.get(name)) is not None and kept.spec == table.spec else _Kept(table.spec)
            for name, table in tables.items()
        }
        next_ns, paused = 2**62, self._paused()
        restless = paused
        for name, kept in self._kept.items():
            try:
                moment = tables[name].at(now_ns)
                next_ns = min(next_ns, moment.until_ns)
                if not moment.known:
                    self._unknown()
                if not paused:
                    restless |= self._keep(name, kept, moment, now_ns, sweep=sweep)
            except Exception:  # the other strategies' schedules must still be kept
                restless = True
                log.exception("the schedule of strategy %s could not be kept", name)
        if tables:
            self._alarm(min(next_ns, now_ns + _TICK_NS) if restless else next_ns, self.look)

    def _keep(self, name: str, kept: _Kept, moment: Moment, now_ns: int, *, sweep: bool) -> bool:
        """Whether something is still to be done."""
        self._tell(name, kept, moment, now_ns)
        if moment.flat:
            return self._flatten(name, kept, now_ns, sweep=sweep)
        if kept.closer is not None:
            self._flat_no_more(name, kept)
        if moment.open:
            kept.sent.clear()
            kept.due = False
        elif moment.known and kept.spec.on_stop != "keep":
            return self._cancel(name, kept, now_ns, sweep=sweep)
        return False

    def _tell(self, name: str, kept: _Kept, moment: Moment, now_ns: int) -> None:
        if moment.open is kept.open:
            return
        kept.open, table = moment.open, self._schedules.tables[name]
        if moment.open:
            closes_ns = table.closes_ns(now_ns)
            log.info("strategy %s may open positions%s", name, "" if closes_ns is None else f" until {when(closes_ns)}")
        else:
            opens_ns = table.opens_ns(now_ns)
            until = "" if opens_ns is None else f" until {when(opens_ns)}"
            log.info("strategy %s may only close positions%s, by its schedule", name, until)

    # -- what is done ------------------------------------------------------------------------------------------------

    def _cancel(self, name: str, kept: _Kept, now_ns: int, *, sweep: bool) -> bool:
        """Take back what could still open something; exits work on."""
        if now_ns - kept.round_ns >= _ROUND_NS:
            kept.sent.clear()
            kept.round_ns = now_ns
        exits = {order.client_order_id.value for order in self._working(name) if not self._opens(name, order)}
        if sweep:
            cancel_orders(self._parts, name, sent=kept.sent, spare=exits, everything=True)
        return len(self._working(name)) > len(exits)

    def _flatten(self, name: str, kept: _Kept, now_ns: int, *, sweep: bool) -> bool:
        """Take back everything, and close what there is once that is through."""
        if kept.closer is None:
            kept.closer = Closer(self._parts, now_ns=self._schedules.now_ns, beside=self._closing)
            kept.since_ns = kept.round_ns = now_ns
            kept.told, kept.due = False, True
            kept.sent.clear()
        elif now_ns - kept.since_ns >= _GRACE_NS and not kept.told and self._positions(name):
            kept.told = True  # before a new round, which has no reasons yet
            self._trouble(name, kept.closer, "is to be flat by its schedule, and is not yet")
        if now_ns - kept.round_ns >= _ROUND_NS:
            kept.closer.try_again()
            kept.sent.clear()
            kept.round_ns = now_ns
        ours = kept.closer.under_way
        if sweep:
            cancel_orders(self._parts, name, sent=kept.sent, spare=ours, everything=True)
        # Emulated ones are not at the venue, and hold nothing there.
        others = [
            order
            for order in self._working(name)
            if order.client_order_id.value not in ours and order.status != OrderStatus.EMULATED
        ]
        if not others or now_ns - kept.round_ns >= _PATIENCE_NS:
            for shorts_first in (True, False):
                if not kept.closer.step([name], shorts_first=shorts_first):
                    break
        return bool(self._positions(name) or self._working(name))

    def _flat_no_more(self, name: str, kept: _Kept) -> None:
        """The time in which it could be closed is over."""
        assert kept.closer is not None
        if self._positions(name):
            self._trouble(name, kept.closer, "was to be flat by its schedule, and is not")
        kept.closer = None

    def _trouble(self, name: str, closer: Closer, what: str) -> None:
        open_ = "; ".join(str(each) for each in closer.outcome([name]) if each.result != "closed")
        words = f"strategy {name} {what}: {open_ or 'its orders could not be canceled in time'}"
        log.error("%s", words)
        self._on_trouble(words)

    # -- what there is -----------------------------------------------------------------------------------------------

    def _closing(self) -> list[str]:
        """Strategies whose positions are to be closed now."""
        return [name for name, kept in self._kept.items() if kept.closer is not None]

    def _opens(self, name: str, order: Any) -> bool:
        return self._gate.opens(order, self._account_of(name))

    def _working(self, name: str) -> list[Any]:
        strategy = self._parts.strategies.get(name)
        if strategy is None:  # a reload has removed it meanwhile
            return []
        # Not among all that it ever sent: who goes on trying outside of its hours is denied very often.
        cache, mine = self._parts.kernel.cache, {"strategy_id": strategy.id}
        working = [*cache.orders_open(**mine), *cache.orders_inflight(**mine), *cache.orders_emulated(**mine)]
        working += self._parts.algorithms.held(strategy.id)
        return list({order.client_order_id: order for order in working}.values())

    def _positions(self, name: str) -> list[Any]:
        strategy = self._parts.strategies.get(name)
        return [] if strategy is None else self._parts.kernel.cache.positions_open(strategy_id=strategy.id)
