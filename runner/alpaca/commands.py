"""Commands on their way out: submit, replace, cancel. Outcomes are accepted, rejected, unknown; none is sent twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from nautilus_trader.model.enums import OrderType

from runner._engine import Accepted, EngineError, Rejected, Unknown
from runner.alpaca.exercise import WORDS
from runner.alpaca.groups import Group
from runner.alpaca.lanes import Lanes
from runner.alpaca.models import Order, WireError, decode
from runner.alpaca.orders import asset_of, decimal_text, price_fault, replace_body, submit_body
from runner.alpaca.preparing import intent_of
from runner.alpaca.through_zero import is_opposed
from runner.alpaca.tracking import Part, Replacement, Tracked

if TYPE_CHECKING:
    from runner._engine import Outcome
    from runner.alpaca.execution import AlpacaExecutionClient

NOT_FOUND, UNPROCESSABLE = 404, 422
BURNT_ID = "client_order_id must be unique"


def refusal_text(outcome: Rejected) -> str:
    """The venue's own words, with its status and code."""
    code = f", code {outcome.code}" if outcome.code is not None else ""
    return f"{outcome.message or 'refused without a reason'} (HTTP {outcome.status}{code})"


class Commands:
    """Sends the commands of one account."""

    def __init__(self, client: AlpacaExecutionClient, *, serial: bool) -> None:
        self._client = client
        self._emit = client.emitter
        self._tracker = client.tracker
        self.lanes = Lanes(serial=serial)
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
        opens = not is_opposed(tracked.side, self._client.crossings.position(tracked.symbol))
        if opens and not await self._client.wait_ready():
            if not (tracked.closed or part.done):
                self._client.updates.refused(
                    tracked, part, "STREAM_DOWN: never sent, as the trade-updates stream did not come back in time"
                )
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
            self._emit.cancel_rejected(tracked, "an exercise can't be taken back")
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

    # -- modify ---------------------------------------------------------------------------------------

    async def modify(
        self, tracked: Tracked, quantity: Any, price: Any, trigger_price: Any, params: dict[str, Any] | None = None
    ) -> None:
        """One PATCH. The order stands anew when the stream says `replaced`; a refusal leaves it as it was."""
        part, group = tracked.part, tracked.group
        if group is not None and part is not None and not part.sent and group.head.part is not None:
            await group.head.part.settled.wait()
        try:
            trail = None if (given := (params or {}).get("trail")) is None else Decimal(str(given))
        except ArithmeticError:
            self._emit.modify_rejected(tracked, f"trail {given!r} is no number")
            return
        reason = self._unmodifiable(tracked, part, quantity, price, trigger_price, trail)
        if reason is not None or part is None:
            self._emit.modify_rejected(tracked, reason or "it has not been sent")
            return
        await part.settled.wait()
        if quantity is not None and not await self._knows_quantity(part):
            self._emit.modify_rejected(tracked, "the order's quantity at the venue can't be read; try again")
            return
        part.replacements += 1
        wanted = Replacement(
            client_order_id=f"{tracked.id}-r{part.replacements}",
            quantity=quantity or tracked.quantity,
            price=price,
            trigger_price=trigger_price,
            qty=quantity.as_decimal() if quantity is not None else part.qty,
            trail=trail,
        )
        async with self.lanes.lane(tracked.symbol):
            if self._client.journal is not None:
                try:
                    await self._client.journal.before_replace(
                        order_id=tracked.id, client_order_id=wanted.client_order_id, qty=wanted.qty
                    )
                except OSError as error:
                    self._emit.modify_rejected(tracked, f"JOURNAL: never sent, as it can't be kept: {error}")
                    return
            if tracked.closed or part.done or part.replacement is not None:
                self._emit.modify_rejected(tracked, "it ended, or was modified, before this left")
                return
            part.replacement = wanted
            part.heard_at, part.looks = asyncio.get_running_loop().time(), 0
            self._tracker.add_client_id(tracked, part, wanted.client_order_id)
            body = replace_body(
                client_order_id=wanted.client_order_id,
                # What filled under earlier ids is in our quantity, and may not be in the venue's.
                qty=wanted.qty - (part.qty - (part.shown_qty or part.qty)) if wanted.qty != part.qty else None,
                limit_price=price.as_decimal() * tracked.price_sign if price is not None else None,
                stop_price=trigger_price.as_decimal() if trigger_price is not None else None,
                trail=trail,
            )
            outcome = await self._client.http.patch(f"/v2/orders/{part.order_id}", body)
        self._client.touched(account=False)
        self._on_modified(tracked, part, wanted, outcome)

    async def _knows_quantity(self, part: Part) -> bool:
        """Whether the quantity that the standing order shows is known; asks for it where it is not."""
        if part.shown_qty is None and part.order_id is not None:
            try:
                await self._client.gaps.refresh(part.order_id)
            except (EngineError, WireError) as error:
                self._client.log.warning(f"{part.client_order_id} can't be read: {error}")
        return part.done or part.shown_qty is not None

    def _on_modified(self, tracked: Tracked, part: Part, wanted: Replacement, outcome: Outcome) -> None:
        if part.replacement is not wanted:
            return  # The stream was faster.
        if isinstance(outcome, Accepted):
            try:
                order = decode(Order, outcome.body, "the reply to a replacement")
            except WireError as error:
                why = str(error)
            else:
                wanted.order_id, wanted.shown_qty = order.id, order.qty
                self._tracker.note_order_id(tracked, part, order.id)
                self._client.updates.legs.learn(tracked, order)
                return
        elif isinstance(outcome, Rejected):
            if BURNT_ID not in outcome.message:
                self._client.updates.replace_refused(tracked, part, refusal_text(outcome))
                if part.order_id is not None and outcome.status == UNPROCESSABLE:
                    self._client.repair(part.order_id, f"{tracked.id} can't be modified; perhaps it has ended")
                return
            why = f"the venue says that it has {wanted.client_order_id}"
        elif outcome.sent:
            why = outcome.reason
        else:
            self._client.updates.replace_refused(
                tracked, part, f"NOT_SENT: {outcome.reason}; nothing left this machine"
            )
            return
        wanted.unknown = True
        self._client.log.warning(f"Nobody knows whether {tracked.id} was modified ({why}); looking it up")
        self._client.settler.watch_replacement(tracked, part, wanted)

    def _unmodifiable(
        self,
        tracked: Tracked,
        part: Part | None,
        quantity: Any,
        price: Any,
        trigger_price: Any,
        trail: Decimal | None,
    ) -> str | None:
        if tracked.closed:
            return f"{tracked.id} has ended already"
        if tracked.role in WORDS:
            return "an exercise can't be modified"
        if (reason := self._fixed(tracked, quantity, trail)) is not None:
            return reason
        if tracked.held > 0 or len(tracked.parts) > 1:
            return "an order that crosses zero can't be modified; cancel it and send another"
        if part is None or not part.sent:
            return "it has not been sent yet; cancel it and send another"
        if part.replacement is not None:
            return "another modification of it is on its way"
        order = tracked.order
        if (
            price is not None
            and price == getattr(order, "price", None)
            and tracked.quantity == quantity
            and trigger_price is None
            and trail is None
        ):
            return "nothing would change"
        for name, value in (("price", price), ("trigger_price", trigger_price)):
            if value is None:
                continue
            if getattr(order, name, None) is None:
                return f"a {order.type_string()} order has no {name}"
            asset = asset_of(order, self._client.instrument(tracked.instrument_id)) if tracked.is_head else "stock"
            if (reason := price_fault(name, value.as_decimal(), asset)) is not None:
                return reason
        if quantity is not None and quantity.as_decimal() <= tracked.filled:
            return f"QUANTITY: {decimal_text(tracked.filled)} are filled already; the new quantity must be more"
        return None

    @staticmethod
    def _fixed(tracked: Tracked, quantity: Any, trail: Decimal | None) -> str | None:
        """What Alpaca lets nobody change in this kind of order."""
        group, trailing = tracked.group, tracked.order.order_type == OrderType.TRAILING_STOP_MARKET
        if tracked.notional is not None:
            return "Alpaca replaces no orders by dollars; cancel it and send another"
        if tracked.is_leg:
            return "a leg of a multi-leg order can't be modified by itself; cancel the order and send another"
        if group is not None and group.kind == "oto":
            return "Alpaca replaces no OTO orders; cancel it and send another"
        if group is not None and not group.is_multi_leg and quantity is not None and quantity != tracked.quantity:
            return f"only the prices of a {group.kind} order can be modified; cancel it and send another"
        if quantity is not None and quantity != tracked.quantity and quantity.as_decimal() % 1 + tracked.qty % 1:
            return "Alpaca changes no fractional quantities; cancel it and send another"
        if trail is not None and (not trailing or not trail.is_finite() or trail <= 0):
            return "the param trail is a trailing stop's new distance: dollars or per cent, as it was sent"
        return None
