"""Ending strategies: their orders are kept, cancelled, or cancelled with the positions closed, as the file says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from nautilus_trader.common.component import Component

from runner.node.build import NodePlan, Parts
from runner.node.closer import Closer, cancel_held
from runner.node.stages import Condition

log = logging.getLogger("runner.node")


class WindDown:
    """Stops strategies (all, unless it is told which) and brings their orders to where the file wants them.

    `policies` says so for each by its name: keep, cancel or flatten. `heirs` are those whose place another one takes,
    which keeps what an execution algorithm holds as well.
    """

    def __init__(
        self,
        plan: NodePlan,
        parts: Parts,
        policies: Mapping[str, str] | None = None,
        *,
        heirs: Collection[str] = (),
    ) -> None:
        self._parts = parts
        self._heirs = heirs
        self._policies = (
            {name: plan.strategies[name].spec.on_stop for name in parts.strategies} if policies is None else policies
        )

    async def run(self, timeout_s: float) -> dict[str, str]:
        """Returns when every order is where it should be, or after `timeout_s`: what is left then, by strategy."""
        before = {order.client_order_id.value for order in self._parts.kernel.cache.orders()}
        await self._stop_strategies(timeout_s / 2)
        # What on_stop itself sent is there to finish the job (close the position), so it isn't cancelled at once.
        last = {order.client_order_id.value for order in self._parts.kernel.cache.orders()} - before
        names = list(self._policies)
        left = await asyncio.gather(*(self._settle(name, frozenset(last), timeout_s / 2) for name in names))
        return {name: what for name, what in zip(names, left, strict=True) if what}

    async def _stop_strategies(self, timeout_s: float) -> None:
        strategies = [self._parts.strategies[name] for name in self._policies]
        for strategy in strategies:
            if strategy.is_running:
                strategy.stop()
        # `manage_stop` strategies flatten themselves first, and stop when they are through.
        running = [s for s in strategies if s.is_running]
        if running and not await Condition().until(lambda: not any(s.is_running for s in running), timeout_s):
            for strategy in running:
                if strategy.is_running:
                    Component.stop(strategy)

    async def _settle(self, name: str, last: frozenset[str], timeout_s: float) -> str:
        """What is left of a strategy's orders and positions, in words."""
        policy = self._policies[name]
        if policy == "keep":
            if name not in self._heirs:
                cancel_held(self._parts, name)
            # A fault takes back whatever the file says, and what was on its way then is known only now.
            if self._parts.guards[name].down and (left := await self._parts.taking_back.finish(name, timeout_s)):
                log.warning("%s: %d orders are still open at the venue", name, len(left))
            return ""
        with Closer(self._parts, beside=self._closing) as closer:
            await closer.cancel([name], timeout_s / 4, spare=last)
            await closer.finish(name, timeout_s / 4)
            left = await closer.cancel([name], timeout_s / 4)
            if left:
                log.warning("%s: %d orders are still open at the venue", name, len(left))
            positions = await closer.close([name], timeout_s / 4) if policy == "flatten" else []
        words = [f"{len(left)} orders are not canceled"] if left else []
        words += [f"{each.quantity} {each.symbol} is not closed" for each in positions if each.result != "closed"]
        return ", ".join(words)

    def _closing(self) -> list[str]:
        return [name for name, policy in self._policies.items() if policy == "flatten"]
