"""Unknown outcomes: found out by asking, with growing delays; never by sending again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from runner._engine import EngineError, Unknown
from runner.alpaca.models import WireError
from runner.alpaca.tracking import Part, Replacement, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient


class Settler:
    """Looks an id up until the venue has it, or was without it for `unknown_timeout_s` while the stream listened."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._config = client.config

    def watch(self, tracked: Tracked, part: Part) -> None:
        """Settle a submit."""
        self._client.create_task(self._settle_submit(tracked, part), log_msg=f"settle: {part.client_order_id}")

    def watch_cancel(self, tracked: Tracked, part: Part) -> None:
        """Settle a cancel: a DELETE may be sent again, as it can't do anything twice."""
        self._client.create_task(self._settle_cancel(tracked, part), log_msg=f"settle: cancel {part.client_order_id}")

    def watch_replacement(self, tracked: Tracked, part: Part, wanted: Replacement) -> None:
        """Settle a modification."""
        self._client.create_task(
            self._settle_replacement(tracked, part, wanted), log_msg=f"settle: replace {part.client_order_id}"
        )

    async def _settle_submit(self, tracked: Tracked, part: Part) -> None:
        def is_over() -> bool:
            return part.settled.is_set() or tracked.closed

        absent = await self._look(lambda: self.look_up(tracked, part), is_over, part.settled)
        if absent and not is_over():
            self._client.tracker.disown(tracked, part)
            self._client.updates.refused(
                tracked,
                part,
                f"UNKNOWN_OUTCOME: the venue was without it for {self._config.unknown_timeout_s:g} s after it left",
            )

    async def look_up(self, tracked: Tracked, part: Part) -> bool:
        """Ask for a part by its client order id; whether the venue has an order of that id. Raises as the read does."""
        order = await self._client.rest.order_by_client_id(part.client_order_id)
        if order is None:
            return False
        if self._client.find(order) is not None:
            await self._client.gaps.apply(order)
        elif not (part.settled.is_set() or tracked.closed):
            self._client.updates.refused(
                tracked,
                part,
                f"DUPLICATE_ID: the venue has had an order {part.client_order_id} since {order.submitted_at}, "
                "before this start; ids are unique for ever",
            )
        return True

    async def _look_up_replacement(self, tracked: Tracked, part: Part, wanted: Replacement) -> bool:
        order = await self._client.rest.order_by_client_id(wanted.client_order_id)
        if order is None:
            return False
        if order.replaces in part.order_ids:
            await self._client.gaps.apply(order)
        elif part.replacement is wanted:
            self._client.updates.replacements.refused(
                tracked, part, f"DUPLICATE_ID: the venue has another order {wanted.client_order_id}"
            )
        return True

    async def _settle_replacement(self, tracked: Tracked, part: Part, wanted: Replacement) -> None:
        def is_over() -> bool:
            return part.replacement is not wanted or tracked.closed

        absent = await self._look(lambda: self._look_up_replacement(tracked, part, wanted), is_over, asyncio.Event())
        if absent and not is_over():
            self._client.updates.replacements.refused(
                tracked,
                part,
                f"UNKNOWN_OUTCOME: the venue was without it for {self._config.unknown_timeout_s:g} s after it left",
            )

    async def _look(self, ask: Callable[[], Awaitable[bool]], is_over: Callable[[], bool], wake: asyncio.Event) -> bool:
        """Ask until it is over (False) or the order has been absent long enough (True)."""
        loop = asyncio.get_running_loop()
        delay = self._config.lookup_delay_min_s
        absent_since: float | None = None
        epoch = -1
        while not is_over():
            await self._pause(delay, wake)
            delay = min(delay * 2, self._config.lookup_delay_max_s)
            if is_over():
                break
            try:
                if await ask():
                    absent_since = None  # It is there; where that decides nothing yet, it is asked for again.
                    continue
            except (EngineError, WireError) as error:
                self._client.log.warning(f"A look-up got no answer and will be repeated: {error}")
                continue
            if not self._client.ready:
                absent_since = None
            elif absent_since is None or epoch != self._client.stream_epoch:
                absent_since, epoch = loop.time(), self._client.stream_epoch
            elif loop.time() - absent_since >= self._config.unknown_timeout_s:
                return True
        return False

    async def _settle_cancel(self, tracked: Tracked, part: Part) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._config.unknown_timeout_s
        delay = self._config.lookup_delay_min_s
        while part.cancel_unknown and not part.done and not tracked.closed:
            await self._pause(delay, asyncio.Event())
            delay = min(delay * 2, self._config.lookup_delay_max_s)
            order_id = part.order_id
            if order_id is None or part.done:
                return
            try:
                order = await self._client.gaps.refresh(order_id)
            except (EngineError, WireError) as error:
                self._client.log.warning(f"A look-up of {tracked.id} got no answer and will be repeated: {error}")
                continue
            if order is not None and order.status == "pending_cancel":
                part.cancel_unknown, part.canceling_since = False, loop.time()
                return
            if loop.time() >= give_up_at and not self._over(tracked, part):
                self._client.updates.cancel_refused(
                    tracked, part, "UNKNOWN_OUTCOME: the order still works, cancels did not take"
                )
                return
            if self._over(tracked, part):
                return
            order_id = part.order_id or order_id
            outcome = await self._client.http.delete(f"/v2/orders/{order_id}")
            if not isinstance(outcome, Unknown):
                await self._client.commands.on_canceled(tracked, part, order_id, outcome)
                self._client.repair(order_id, f"the cancel of {tracked.id} was not sure")

    @staticmethod
    def _over(tracked: Tracked, part: Part) -> bool:
        return part.done or tracked.closed

    @staticmethod
    async def _pause(delay_s: float, wake: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await wake.wait()
        except TimeoutError:
            return
