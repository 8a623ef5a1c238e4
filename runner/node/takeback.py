"""Taking back what a strategy that is down still has working, as it shows up.

At the moment of the fault an order may be on its way: what becomes of it comes through the queue of events, a turn of
the loop later, and until then it can't be cancelled. So each order that was there is followed to its end.
"""

from __future__ import annotations

import logging
from typing import Any

from nautilus_trader.model.events import OrderCancelRejected

from runner.node.build import Parts
from runner.node.closer import cancel_order, cancel_orders
from runner.node.stages import Condition

log = logging.getLogger("runner.node")


class TakeBack:
    """Cancels the orders of strategies that are down, once they can be, until they have ended.

    Those that the strategy had when it failed: what comes under its id later is denied, or is somebody else's (an order
    placed elsewhere that the strategy had claimed). What the node itself closes with is left alone.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._due: dict[str, str] = {}
        self._asked: set[str] = set()
        self._changed = Condition()
        parts.kernel.msgbus.subscribe("events.order.*", self._on_event)

    def begin(self, name: str) -> None:
        """A strategy has gone down."""
        orders = self._parts.kernel.cache.orders(strategy_id=self._parts.strategies[name].id)
        due = [each for each in orders if not each.is_closed and each.client_order_id not in self._parts.closing]
        keys = [each.client_order_id.value for each in due]
        self._due.update(dict.fromkeys(keys, name))
        self._asked.difference_update(keys)
        cancel_orders(self._parts, name, sent=self._asked)

    async def finish(self, name: str, timeout_s: float) -> list[str]:
        """Wait until all of a strategy's have ended; client order ids of those that have not after `timeout_s`."""

        def left() -> list[str]:
            return [key for key, owner in self._due.items() if owner == name]

        await self._changed.until(lambda: not left(), timeout_s)
        return left()

    def _on_event(self, event: Any) -> None:
        key = event.client_order_id.value
        name = self._due.get(key)
        if name is None:
            return
        order, guard = self._parts.kernel.cache.order(event.client_order_id), self._parts.guards.get(name)
        # A reload may have put another strategy in its place, which looks after what it finds.
        if order is None or order.is_closed or guard is None or not guard.down:
            del self._due[key]
            self._asked.discard(key)
            self._changed.poke()
        elif isinstance(event, OrderCancelRejected) and key in self._asked:
            # Asked again as soon as something else happens to it; at once would go on for ever.
            self._asked.discard(key)
            log.warning("%s: order %s works on, its cancellation was refused: %s", name, key, event.reason)
        elif key not in self._asked and cancel_order(self._parts, name, order):
            self._asked.add(key)
