"""Submits and cancels on their way out; modifications: see `modifying`.

Outcomes are accepted, rejected and unknown; nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from runner._engine import Accepted, EngineError, Rejected, Unknown
from runner.alpaca.exercise import WORDS
from runner.alpaca.groups import Group
from runner.alpaca.lanes import Lanes
from runner.alpaca.models import Order, WireError, decode
from runner.alpaca.modifying import Modifying
from runner.alpaca.orders import submit_body
from runner.alpaca.outcomes import BURNT_ID, refusal_text
from runner.alpaca.preparing import intent_of
from runner.alpaca.through_zero import is_opposed
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner._engine import Outcome
    from runner.alpaca.execution import AlpacaExecutionClient


class Commands:
    """Sends the commands of one account."""

    def __init__(self, client: AlpacaExecutionClient, *, serial: bool) -> None:
        self._client = client
        self._emit = client.emitter
        self._tracker = client.tracker
        self.lanes = Lanes(serial=serial)
        self.modifying = Modifying(client, self.lanes)
        self._strays: set[str] = set()

    # -- submit ---------------------------------------------------------------------------------------

    async def submit(self, tracked: Tracked) -> None:
        """Send a prepared order with all that belongs to it, or let it wait for its position to close."""
        if tracked.role in WORDS:
            await self._client.exercises.submit(tracked)
            return
        for one in tracked.group.orders if tracked.group else (tracked,):
            self._emit.submitted(one)
        if tracked.part is None:
            self._client.log.info(f"{tracked.id} waits: the position of {tracked.symbol} is being closed")
            self._client.crossings.release(tracked.symbol)
            return
        await self.send(tracked, tracked.part)

    async def send(self, tracked: Tracked, part: Part) -> None:
        """One POST. While the stream is down, what opens waits first, outside of its lane, so that cancels pass."""
        waited = self._opens(tracked) and not self._client.ready
        if waited and not await self._client.wait_ready():
            if not (tracked.closed or part.done):
                self._client.updates.refused(
                    tracked, part, "STREAM_DOWN: never sent, as the trade-updates stream did not come back in time"
                )
            return
        gone = tracked.closed or part.done
        if waited and not gone and (why := self._client.may_not_open(tracked)) is not None:
            self._client.updates.refused(tracked, part, why)
            return
        async with self.lanes.lane(tracked.symbol):
            if tracked.closed or part.done:
                return
            body = self._body(tracked, part)
            if not await self._recorded(tracked, part):
                return
            part.sent = True
            part.heard_at = asyncio.get_running_loop().time()
            outcome = await self._client.http.post("/v2/orders", body)
            self._on_submitted(tracked, part, outcome)
        self._client.touched(account=False)

    def _opens(self, tracked: Tracked) -> bool:
        group = tracked.group
        if group is not None and group.is_multi_leg:
            return any(intent.endswith("_to_open") for intent in group.intents.values())
        return not is_opposed(tracked.side, self._client.crossings.position(tracked.symbol))

    async def _recorded(self, tracked: Tracked, part: Part) -> bool:
        """Whether the order may leave: it is in the journal now, and was not canceled meanwhile."""
        journal, group = self._client.journal, tracked.group
        if journal is None:
            return True
        orders = group.orders if group is not None else [tracked]
        real = [one for one in orders if not one.is_silent]
        try:
            await journal.before_submit(
                [one.order for one in real],
                order_id=real[0].id,
                client_order_id=part.client_order_id,
                qty=part.qty,
                params=tracked.params,
                family=group.to_dict() if group is not None else None,
                silent=[one.id for one in orders if one.is_silent],
            )
        except OSError as error:
            self._client.updates.refused(tracked, part, f"JOURNAL: never sent, as it can't be kept: {error}")
            return False
        return not (tracked.closed or part.done)

    def _body(self, tracked: Tracked, part: Part) -> bytes:
        group = tracked.group
        if group is not None and group.is_multi_leg:
            return msgspec.json.encode(group.body(part))
        return submit_body(
            tracked.order,
            tracked.symbol,
            qty=tracked.notional if tracked.notional is not None else part.qty,
            client_order_id=part.client_order_id,
            extended_hours=bool(tracked.params.get("extended_hours")),
            position_intent=intent_of(
                tracked,
                self._client.crossings.position(tracked.symbol),
                self._client.instrument(tracked.instrument_id),
            ),
            more=group.body(part) if group is not None else None,
        )

    def _on_submitted(self, tracked: Tracked, part: Part, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted):
            try:
                order = decode(Order, outcome.body, "the reply to an order")
            except WireError as error:
                why = str(error)
            else:
                if order.status == "rejected":
                    self._client.updates.end(tracked, part, order, "rejected", order.last_ns)
                else:
                    self._client.updates.known(tracked, part, order, order.submitted_ns)
                return
        elif isinstance(outcome, Rejected):
            if BURNT_ID not in outcome.message:
                self._client.updates.refused(tracked, part, refusal_text(outcome))
                return
            # It is there already: an acceptance that nobody told us of, or an earlier life of this order.
            why = f"the venue says that it has {part.client_order_id}"
        elif outcome.sent:
            why = outcome.reason
        else:
            self._client.updates.refused(tracked, part, f"NOT_SENT: {outcome.reason}; nothing left this machine")
            return
        if not part.settled.is_set():
            part.unknown = True
            self._client.log.warning(f"Nobody knows whether {part.client_order_id} was accepted ({why}); looking it up")
            self._client.settler.watch(tracked, part)

    # -- cancel ---------------------------------------------------------------------------------------

    async def cancel(self, tracked: Tracked) -> None:
        """Cancel what works of an order, and give up what waits. One that overtakes its submit waits for it."""
        if tracked.closed:
            self._client.log.warning(f"{tracked.id} has ended already; there is nothing to cancel")
            return
        if tracked.role in WORDS:
            self._emit.cancel_rejected(tracked, self._client.exercises.why_not_canceled(tracked))
            return
        tracked.cancel_requested = True
        if tracked.group is not None and tracked.group.head is not tracked:
            await self._cancel_member(tracked, tracked.group)
            return
        tracked.held = Decimal(0)
        part = tracked.part
        if part is None or part.done or not part.sent:
            if part is not None:
                part.done = True
            self._tracker.close(tracked)
            self._emit.canceled(tracked)
            self._client.updates.end_members(tracked, "canceled", 0, "before it was sent")
            self._client.crossings.note_failure(tracked, "canceled", "before it was sent")
            self._client.crossings.release(tracked.symbol)
            return
        await part.settled.wait()
        await self.cancel_part(tracked, part)

    async def _cancel_member(self, tracked: Tracked, group: Group) -> None:
        """A leg: of several contracts none ends alone; an exit does once it is known, and the venue ends the others."""
        head, part = group.head, tracked.part
        if not head.closed and (group.is_multi_leg or head.part is None or not head.part.sent):
            await self.cancel(head)
            return
        if part is not None:
            await part.settled.wait()
            await self.cancel_part(tracked, part)

    async def cancel_part(self, tracked: Tracked, part: Part) -> None:
        """One DELETE. A 204 says only that it was asked for; the event comes by the stream."""
        async with self.lanes.lane(tracked.symbol):
            if tracked.closed or part.done or part.order_id is None:
                return
            order_id = part.order_id
            outcome = await self._client.http.delete(f"/v2/orders/{order_id}")
        self._client.touched(account=False)
        await self.on_canceled(tracked, part, order_id, outcome)

    async def on_canceled(self, tracked: Tracked, part: Part, order_id: str, outcome: Outcome) -> None:
        """What came of a DELETE of `order_id`."""
        if isinstance(outcome, Unknown):
            if not part.cancel_unknown:
                part.cancel_unknown = True
                self._client.settler.watch_cancel(tracked, part)
            return
        part.cancel_unknown = False
        if isinstance(outcome, Rejected):
            await self._cancel_refused(tracked, part, order_id, outcome)
        else:
            part.canceling_since = part.heard_at = asyncio.get_running_loop().time()
            part.looks = 0

    async def _cancel_refused(self, tracked: Tracked, part: Part, order_id: str, outcome: Rejected) -> None:
        try:
            order = await self._client.gaps.refresh(order_id)
        except (EngineError, WireError) as error:
            self._client.log.warning(f"The venue refused to cancel {tracked.id}, and can't be asked why: {error}")
            part.cancel_unknown = True
            self._client.settler.watch_cancel(tracked, part)
            return
        if tracked.closed or part.done:
            return
        if part.order_id != order_id:
            await self.cancel_part(tracked, part)  # It was replaced meanwhile.
        elif order is None or order.status != "pending_cancel":
            self._client.updates.cancel_refused(tracked, part, refusal_text(outcome))
        else:
            part.canceling_since = asyncio.get_running_loop().time()

    def stop_stray(self, order: Order) -> None:
        """An order that was given up as never arrived works at the venue after all: nobody owns it, so it is ended."""
        if order.id in self._strays or order.is_terminal:
            return
        self._strays.add(order.id)
        name = order.client_order_id
        self._client.log.error(f"{name} was rejected as never arrived, and works now as {order.id}: canceling it")
        self._client.create_task(self._stop_stray(order.id), log_msg=f"cancel_order: {order.id}")

    async def _stop_stray(self, order_id: str) -> None:
        delay = self._client.config.lookup_delay_min_s
        while isinstance(await self._client.http.delete(f"/v2/orders/{order_id}"), Unknown):
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._client.config.lookup_delay_max_s)
