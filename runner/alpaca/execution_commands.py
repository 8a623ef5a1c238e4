"""The commands that Nautilus gives an execution client: each finds its order, and hands it to `Commands`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from nautilus_trader.common.enums import LogColor
from nautilus_trader.live.execution_client import LiveExecutionClient

from runner.alpaca.account import AccountBook
from runner.alpaca.journal import OrderJournal
from runner.alpaca.tracking import Part, Tracked, Tracker


class CommandsMixin:
    """The command coroutines of AlpacaExecutionClient. The base class runs each as a task and logs one that fails."""

    config: Any
    commands: Any
    preparing: Any
    emitter: Any
    tracker: Tracker
    fills: Any
    book: AccountBook
    rest: Any
    gaps: Any
    journal: OrderJournal | None
    _log: Any
    _loop: asyncio.AbstractEventLoop
    _tasks: Any
    _on_task_completed: Callable[..., None]
    _cache: Any
    _gate_check: Callable[[Any], bool] | None
    _gate_is_legal: bool
    _arrivals: dict[str, asyncio.Event]

    def now_ns(self) -> int:
        """The node's clock, UNIX nanoseconds."""
        raise NotImplementedError

    def _approved(self, command: Any) -> bool:
        return self._gate_check is None or self._gate_check(command)

    def submit_order(self, command: Any) -> None:
        """Begin at once: the request is on its way when this returns, instead of a turn of the loop later."""
        task = asyncio.Task(
            self._submit_order(command),
            loop=self._loop,
            name=f"submit_order: {command.order.client_order_id}",
            eager_start=True,
        )
        task.add_done_callback(functools.partial(self._on_task_completed, None, None, LogColor.NORMAL))
        self._tasks.add(task)

    async def _submit_order(self, command: Any) -> None:
        order = command.order
        if order.is_closed:
            self._log.warning(f"{order.client_order_id} has ended already and is not sent")
            return
        if not self._approved(command):
            self.emitter.denied(order, "GATE_BYPASSED: this order did not pass the risk gate")
            return
        if self.journal is not None and (problem := self.journal.problem) is not None:
            self.emitter.denied(order, f"JOURNAL: {problem}")
            return
        prepared = self.preparing.one(order, command.params, is_legal=self._gate_is_legal)
        self._arrived(order)
        if isinstance(prepared, str):
            self.emitter.denied(order, prepared)
        else:
            await self.commands.submit(prepared)

    async def _submit_order_list(self, command: Any) -> None:
        orders = command.order_list.orders
        prepared: list[Tracked] | str = "GATE_BYPASSED: this list did not pass the risk gate"
        approved = self._approved(command)
        if approved and self.journal is not None and (problem := self.journal.problem) is not None:
            prepared = f"JOURNAL: {problem}"
        elif approved:
            prepared = self.preparing.several(orders, command.params)
        for order in orders:
            self._arrived(order)
        if isinstance(prepared, str):
            for order in orders:
                self.emitter.denied(order, prepared)
            return
        await asyncio.gather(*(self.commands.submit(tracked) for tracked in prepared))

    async def _modify_order(self, command: Any) -> None:
        tracked = self._tracked(command)
        reason = None
        if not self._approved(command):
            reason = "GATE_BYPASSED: this modification did not pass the risk gate"
        elif tracked is None:
            reason = "the venue has no such order of ours"
        if reason is not None or tracked is None:
            self.generate_order_modify_rejected(  # type: ignore[attr-defined]
                command.strategy_id,
                command.instrument_id,
                command.client_order_id,
                command.venue_order_id,
                reason or "",
                self.now_ns(),
            )
            return
        await self.commands.modifying.send(
            tracked, command.quantity, command.price, command.trigger_price, command.params
        )

    async def _cancel_order(self, command: Any) -> None:
        tracked = self._tracked(command) or await self._arrival(command.client_order_id)
        if tracked is None:
            order = self._cache.order(command.client_order_id)
            if (order is not None and order.is_closed) or command.client_order_id.value in self.tracker.denied:
                return
            self.generate_order_cancel_rejected(  # type: ignore[attr-defined]
                command.strategy_id,
                command.instrument_id,
                command.client_order_id,
                command.venue_order_id,
                "the venue has no such order of ours",
                self.now_ns(),
            )
            return
        await self.commands.cancel(tracked)

    async def _cancel_all_orders(self, command: Any) -> None:
        """Each order of this instrument, strategy and side by itself: never the whole account."""
        chosen = [
            tracked
            for tracked in self.tracker.of(command.instrument_id, command.strategy_id)
            if not command.order_side or tracked.order.side == command.order_side
        ]
        for order in self._cache.orders_open(instrument_id=command.instrument_id, strategy_id=command.strategy_id):
            adopted = self._adopt(order) if self.tracker.get(order.client_order_id.value) is None else None
            chosen += [adopted] if adopted is not None else []
        await asyncio.gather(*(self.commands.cancel(tracked) for tracked in _one_a_group(chosen)))

    async def _batch_cancel_orders(self, command: Any) -> None:
        await asyncio.gather(*(self._cancel_order(cancel) for cancel in command.cancels))

    async def _query_account(self, command: Any) -> None:
        await self.book.refresh()

    async def _query_order(self, command: Any) -> None:
        tracked = self.tracker.get(command.client_order_id.value) if command.client_order_id else None
        if tracked is None:
            await LiveExecutionClient._query_order(self, command)
            return
        for part in list(tracked.parts):
            order = await self.rest.order(part.order_id) if part.order_id else None
            order = order or await self.rest.order_by_client_id(part.client_order_id)
            if order is not None:
                await self.gaps.apply(order)

    def _tracked(self, command: Any) -> Tracked | None:
        found = self.tracker.get(command.client_order_id.value)
        if found is None and (order := self._cache.order(command.client_order_id)) is not None:
            return self._adopt(order)
        return found

    async def _arrival(self, client_order_id: Any) -> Tracked | None:
        """An order of ours whose submit is still in Nautilus's queues, as cancels pass by the risk engine."""
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or order.venue_order_id is not None:
            return None
        if client_order_id.value in self.tracker.denied:
            return None
        arrival = self._arrivals.setdefault(client_order_id.value, asyncio.Event())
        try:
            async with asyncio.timeout(self.config.settle_timeout_s):
                await arrival.wait()
        except TimeoutError:
            self._log.warning(f"{client_order_id} was canceled, and never came here to be submitted")
        return self.tracker.get(client_order_id.value)

    def _arrived(self, order: Any) -> None:
        arrival = self._arrivals.pop(order.client_order_id.value, None)
        if arrival is not None:
            arrival.set()

    def _adopt(self, order: Any) -> Tracked | None:
        """Track an order of an earlier life, or of somebody else, that a strategy now commands."""
        if order.venue_order_id is None or order.is_closed:
            return None
        tracked = Tracked(order)
        tracked.accepted, tracked.venue_order_id = True, order.venue_order_id
        tracked.filled = order.filled_qty.as_decimal()
        part = Part(tracked.id, tracked.qty, sent=True)
        part.settled.set()
        tracked.known.set()
        self.tracker.add(tracked)
        self.tracker.add_part(tracked, part)
        self.tracker.add_order_id(tracked, part, order.venue_order_id.value)
        if not self.fills.booked_qty(order.venue_order_id.value):
            self.fills.seed(order.venue_order_id.value, tracked.filled)
        return tracked


def _one_a_group(chosen: list[Tracked]) -> list[Tracked]:
    """Of orders that the venue ends together, the head alone, or the first where that has ended."""
    heads = {tracked.group.head.id for tracked in chosen if tracked.group is not None and tracked.is_head}
    kept: list[Tracked] = []
    seen: set[str] = set()
    for tracked in chosen:
        group = tracked.group
        if group is not None and not tracked.is_head:
            if group.head.id in heads | seen:
                tracked.cancel_requested = True  # Should the head fill first, it is canceled by itself then.
                continue
            seen.add(group.head.id)
        kept.append(tracked)
    return kept
