"""Ending strategies: their orders are kept, cancelled, or cancelled with the positions closed, as the file says."""

from __future__ import annotations

import asyncio
import logging

from nautilus_trader.common.component import Component

from runner.node.build import NodePlan, Parts
from runner.node.closer import Closer
from runner.node.stages import Condition

log = logging.getLogger("runner.node")


class WindDown:
    """Stops all strategies and brings their orders to where the file wants them."""

    def __init__(self, plan: NodePlan, parts: Parts) -> None:
        self._plan = plan
        self._parts = parts

    async def run(self, timeout_s: float) -> None:
        """Returns when every order is where it should be, or after `timeout_s`; says what is left then."""
        before = {order.client_order_id.value for order in self._parts.kernel.cache.orders()}
        await self._stop_strategies(timeout_s / 2)
        # What on_stop itself sent is there to finish the job (close the position), so it isn't cancelled at once.
        last = {order.client_order_id.value for order in self._parts.kernel.cache.orders()} - before
        await asyncio.gather(*(self._settle(name, frozenset(last), timeout_s / 2) for name in self._parts.strategies))

    async def _stop_strategies(self, timeout_s: float) -> None:
        for strategy in self._parts.strategies.values():
            if strategy.is_running:
                strategy.stop()
        # `manage_stop` strategies flatten themselves first, and stop when they are through.
        running = [s for s in self._parts.strategies.values() if s.is_running]
        if running and not await Condition().until(lambda: not any(s.is_running for s in running), timeout_s):
            for strategy in running:
                if strategy.is_running:
                    Component.stop(strategy)

    async def _settle(self, name: str, last: frozenset[str], timeout_s: float) -> None:
        policy = self._plan.strategies[name].spec.on_stop
        if policy == "keep":
            return
        with Closer(self._parts) as closer:
            await closer.cancel([name], timeout_s / 4, spare=last)
            await closer.finish(name, timeout_s / 4)
            left = await closer.cancel([name], timeout_s / 4)
            if left:
                log.warning("%s: %d orders are still open at the venue", name, len(left))
            if policy == "flatten":
                await closer.close([name], timeout_s / 4)
