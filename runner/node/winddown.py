"""Ending strategies: their orders are kept, cancelled, or cancelled with the positions closed, as the file says."""

from __future__ import annotations

import asyncio
import logging

from nautilus_trader.common.component import Component
from nautilus_trader.model.enums import OrderStatus, TimeInForce

from runner.node.build import NODE_TAG, NodePlan, Parts
from runner.node.stages import Condition

log = logging.getLogger("runner.node")


def cancel_orders(parts: Parts, name: str, *, sent: set[str] | None = None, spare: frozenset[str] = frozenset()) -> int:
    """Ask for the cancellation of all that a strategy has working, except what the node itself sent; how many it asked.

    `sent` are client order ids that were asked for before, and aren't again; `spare` ones are left alone.
    """
    strategy = parts.strategies[name]
    asked = 0
    for order in parts.kernel.cache.orders(strategy_id=strategy.id):
        key = order.client_order_id.value
        if order.is_closed or order.is_pending_cancel or key in spare or (sent is not None and key in sent):
            continue
        # An order that has not left the risk engine's queue yet can't be cancelled; it is seen again when it has.
        if order.status == OrderStatus.INITIALIZED or NODE_TAG in (order.tags or ()):
            continue
        try:
            strategy.cancel_order(order)
        except Exception:  # the other orders must still be cancelled
            log.exception("%s: order %s could not be cancelled", name, key)
        asked += 1
        if sent is not None:
            sent.add(key)
    return asked


class WindDown:
    """Stops all strategies and brings their orders to where the file wants them."""

    def __init__(self, plan: NodePlan, parts: Parts) -> None:
        self._plan = plan
        self._parts = parts
        self._changed = Condition()

    async def run(self, timeout_s: float) -> None:
        """Returns when every order is where it should be, or after `timeout_s`; says what is left then."""
        bus = self._parts.kernel.msgbus
        bus.subscribe("events.order.*", self._changed.poke)
        bus.subscribe("events.position.*", self._changed.poke)
        try:
            before = {order.client_order_id.value for order in self._parts.kernel.cache.orders()}
            await self._stop_strategies(timeout_s / 2)
            # What on_stop itself sent is there to finish the job (close the position), so it isn't cancelled at once.
            last = {order.client_order_id.value for order in self._parts.kernel.cache.orders()} - before
            jobs = [self._settle(name, frozenset(last), timeout_s / 2) for name in self._parts.strategies]
            await asyncio.gather(*jobs)
        finally:
            bus.unsubscribe("events.order.*", self._changed.poke)
            bus.unsubscribe("events.position.*", self._changed.poke)

    async def _stop_strategies(self, timeout_s: float) -> None:
        for strategy in self._parts.strategies.values():
            if strategy.is_running:
                strategy.stop()
        # `manage_stop` strategies flatten themselves first, and stop when they are through.
        running = [s for s in self._parts.strategies.values() if s.is_running]
        if running and not await self._changed.until(lambda: not any(s.is_running for s in running), timeout_s):
            for strategy in running:
                if strategy.is_running:
                    Component.stop(strategy)

    async def _settle(self, name: str, last: frozenset[str], timeout_s: float) -> None:
        policy = self._plan.strategies[name].spec.on_stop
        if policy == "keep":
            return
        cache, strategy = self._parts.kernel.cache, self._parts.strategies[name]
        sent: set[str] = set()

        def working(spare: frozenset[str] = frozenset()) -> int:
            return sum(
                not order.is_closed and NODE_TAG not in (order.tags or ()) and order.client_order_id.value not in spare
                for order in cache.orders(strategy_id=strategy.id)
            )

        def gone(spare: frozenset[str]) -> bool:
            cancel_orders(self._parts, name, sent=sent, spare=spare)
            return not working(spare)

        await self._changed.until(lambda: gone(last), timeout_s / 4)
        await self._changed.until(lambda: not working(), timeout_s / 4)
        if not await self._changed.until(lambda: gone(frozenset()), timeout_s / 4):
            log.warning("%s: %d orders are still open at the venue", name, working())
        if policy != "flatten":
            return
        for position in cache.positions_open(strategy_id=strategy.id):
            strategy.close_position(position, tags=[NODE_TAG], time_in_force=TimeInForce.DAY, reduce_only=False)
        if not await self._changed.until(lambda: not cache.positions_open(strategy_id=strategy.id), timeout_s / 4):
            for position in cache.positions_open(strategy_id=strategy.id):
                log.error(
                    "%s: the position of %s %s could not be closed in time; its closing order may still work",
                    name,
                    position.signed_decimal_qty(),
                    position.instrument_id.symbol,
                )
