"""The strategies' schedules in a backtest: alarms are the data's, and everything else is as in a node."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.identifiers import ComponentId

from runner.node.build import Parts
from runner.node.schedule.keeper import Keeper
from runner.risk.gate import RiskGate


class ScheduleActor(Actor):
    """Keeps the schedules from the start on; added after the strategies."""

    def __init__(self, parts: Parts, gate: RiskGate, account_id: Any) -> None:
        super().__init__(ActorConfig(component_id=ComponentId("Schedules")))
        self._numbers = count()
        self._set = ""
        self.keeper = Keeper(
            parts,
            gate,
            parts.schedules,
            account_of=lambda _strategy: account_id,
            alarm=self._alarm,
            soon=self._soon,
        )

    def on_start(self) -> None:
        self.keeper.begin()

    def _alarm(self, at_ns: int, callback: Callable[[], None]) -> None:
        if self._set in self.clock.timer_names:
            self.clock.cancel_timer(self._set)
        self._set = self._at(at_ns, callback)

    def _soon(self, callback: Callable[[], None]) -> None:
        self._at(self.clock.timestamp_ns() + 1, callback)

    def _at(self, at_ns: int, callback: Callable[[], None]) -> str:
        name = f"schedule {next(self._numbers)}"
        self.clock.set_time_alert_ns(name, at_ns, lambda _event: callback())
        return name
