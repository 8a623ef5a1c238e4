"""The guard in a backtest, where clocks are the data's and everything runs on one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from nautilus_trader.common.component import TestClock, deregister_component_clock, register_component_clock

from runner.config.classes import STRATEGY, Kind
from runner.node.guard import Fault, Guard, GuardedTimers


class GuardedTestClock(GuardedTimers, TestClock):
    """A clock of the data's time."""


class BacktestGuard(Guard):
    """Guards one component of a backtest. `instance_id` is the kernel's, by which its clocks are found."""

    def __init__(
        self,
        component: Any,
        name: str,
        kind: Kind = STRATEGY,
        *,
        instance_id: Any,
        on_fault: Callable[[Fault], None],
    ) -> None:
        # Nothing comes from another thread here, which is all that the loop is for.
        super().__init__(component, name, kind, loop=cast("Any", None), on_fault=on_fault)
        self._instance_id = instance_id

    def _register(self, register: Callable[..., None]) -> Callable[..., None]:
        def registered(*, clock: Any, **others: Any) -> None:
            own = GuardedTestClock()
            own.guard = self
            # The engine moves the clocks that it knows: ours takes the place of the one it made.
            deregister_component_clock(self._instance_id, clock)
            register_component_clock(self._instance_id, own)
            register(clock=own, **others)

        return registered
