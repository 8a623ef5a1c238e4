"""What a node that is up for weeks lets go of, so that neither its memory nor its latency grows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections import deque
from typing import Any

from nautilus_trader.model.events import OrderCanceled, OrderDenied

from runner.node.node import BaseHook, Node
from runner.report.lives import Lives
from runner.report.trades import Trades

log = logging.getLogger("runner.node")
#: Closed trades that Nautilus's analyzer can be asked about, the newest.
MOST_TRADES = 10_000
#: Orders that have ended, of one account.
MOST_ORDERS = 2_000
#: Nautilus's states of the account are let go of sooner than orders: nobody looks at more than the last.
ACCOUNT_EVENTS_S = 300
#: Looking through them takes as long as there are many: every so many sweeps.
ACCOUNT_EVERY = 60
EVERY_S = 1.0
#: How often the journal forgets what ended long ago. It goes through all of its orders, and new ones wait meanwhile.
PRUNE_S = 86_400.0


class RetentionHook(BaseHook):
    """Lets go while the node runs. With `keep`, for a report at the end, what statistics look at stays."""

    def __init__(self, *, keep: bool = False) -> None:
        self._journal: Any = None
        self._keep = keep
        self._lives: Lives | None = None
        #: Orders that no client ever had: denied, or canceled while Nautilus emulated them. When (UNIX ns) they ended.
        self._unsent: deque[tuple[int, Any]] = deque()
        self._lists: dict[Any, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._node: Node | None = None
        self._sweeps = 0
        self.errors = 0

    def built(self, node: Node) -> None:
        assert node.parts is not None
        self._node, kernel = node, node.parts.kernel
        self._journal = node.plan.journal
        Trades(kernel.portfolio.analyzer, most=None if self._keep else MOST_TRADES)
        self._lives = Lives(kernel.cache, keep=self._keep)
        self._lives.listen(kernel.msgbus)
        kernel.msgbus.subscribe("events.order.*", self._on_order_event)

    async def started(self, node: Node) -> None:
        assert node.parts is not None
        for client in node.parts.exec_clients.values():
            if (retention := getattr(client, "retention", None)) is not None:
                retention.on_taken_back = self._on_taken_back
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stopped(self, node: Node) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._lives is not None:
            self._lives.restore()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pruned_at = loop.time()
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self.sweep()
                if self._journal is not None and loop.time() - pruned_at >= PRUNE_S:
                    pruned_at = loop.time()
                    self._journal.prune()
            except Exception as error:
                # What can't be let go of is kept; to say so each second would fill the log.
                self.errors += 1
                log.log(
                    logging.ERROR if self.errors == 1 else logging.DEBUG, "nothing can be let go of", exc_info=error
                )

    def sweep(self) -> None:
        """Let go of what is old enough."""
        node = self._node
        assert node is not None
        assert node.parts is not None
        parts, kernel = node.parts, node.parts.kernel
        keep_ns = int(parts.config.state.retention.total_seconds() * 1e9)
        now_ns = kernel.clock.timestamp_ns()
        if kernel.exec_engine.evt_qsize():
            return  # events of orders are on their way
        for client in parts.exec_clients.values():
            if (retention := getattr(client, "retention", None)) is not None:
                for client_order_id in retention.sweep(keep_ns, MOST_ORDERS):
                    self._purge(client_order_id)
        while self._unsent and (self._unsent[0][0] < now_ns - keep_ns or len(self._unsent) > MOST_ORDERS):
            self._purge(self._unsent.popleft()[1])
        self._sweeps += 1
        for account in kernel.cache.accounts() if self._sweeps % ACCOUNT_EVERY == 1 else ():
            account.purge_account_events(now_ns, ACCOUNT_EVENTS_S)
        kernel.exec_engine._prune_recent_fills_cache()  # by Nautilus's own loop only where that checks orders, too

    def _purge(self, client_order_id: Any) -> None:
        node = self._node
        assert node is not None
        assert node.parts is not None
        cache = node.parts.kernel.cache
        order = cache.order(client_order_id)
        if order is None or not order.is_closed:
            return
        cache.purge_order(client_order_id)
        node.tally.let_go(client_order_id.value)
        order_list = None if order.order_list_id is None else cache.order_list(order.order_list_id)
        if order_list is None or any(cache.order_exists(each.client_order_id) for each in order_list.orders):
            return
        # Nautilus lets go of a list only where it purges all that is as old; here are orders that must stay.
        if self._lists is None:
            self._lists = next(
                each
                for each in gc.get_referents(cache)
                if isinstance(each, dict) and each.get(order_list.id) is order_list
            )
        del self._lists[order_list.id]

    def _on_order_event(self, event: Any) -> None:
        if isinstance(event, OrderDenied | OrderCanceled) and event.venue_order_id is None:
            self._unsent.append((event.ts_init, event.client_order_id))

    def _on_taken_back(self, order: Any) -> None:
        assert self._node is not None
        self._node.tally.take_back(order.client_order_id.value, order.events)
