"""Modifications on their way out: one PATCH each, whose outcome is accepted, rejected or unknown."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import OrderType

from runner._engine import Accepted, EngineError, Rejected
from runner.alpaca.exercise import WORDS
from runner.alpaca.lanes import Lanes
from runner.alpaca.models import Order, WireError, decode
from runner.alpaca.orders import asset_of, decimal_text, price_fault, replace_body
from runner.alpaca.outcomes import BURNT_ID, refusal_text
from runner.alpaca.tracking import Part, Replacement, Tracked

if TYPE_CHECKING:
    from runner._engine import Outcome
    from runner.alpaca.execution import AlpacaExecutionClient

UNPROCESSABLE = 422


class Modifying:
    """Sends the modifications of one account."""

    def __init__(self, client: AlpacaExecutionClient, lanes: Lanes) -> None:
        self._client = client
        self._emit = client.emitter
        self._tracker = client.tracker
        self._lanes = lanes

    async def send(
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
        async with self._lanes.lane(tracked.symbol):
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
                self._client.updates.replacements.refused(tracked, part, refusal_text(outcome))
                if part.order_id is not None and outcome.status == UNPROCESSABLE:
                    self._client.repair(part.order_id, f"{tracked.id} can't be modified; perhaps it has ended")
                return
            why = f"the venue says that it has {wanted.client_order_id}"
        elif outcome.sent:
            why = outcome.reason
        else:
            self._client.updates.replacements.refused(
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
