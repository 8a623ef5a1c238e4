"""Orders that would cross zero: holds what may not go yet, sends it once the position is closed, or ends it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from nautilus_trader.model.enums import TimeInForce

from runner.alpaca.orders import decimal_text
from runner.alpaca.through_zero import Plan, is_opposed, plan
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order can't be sent as it would have to be: `CODE: sentence`."""

    reason: str


class Crossings:
    """Positions as this account's fills make them, and the orders that wait for them to close."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._tracker = client.tracker
        self.positions: dict[str, Decimal] = {}
        self._failures: dict[str, str] = {}

    def position(self, symbol: str) -> Decimal:
        """Signed shares."""
        return self.positions.get(symbol, ZERO)

    def move(self, symbol: str, change: Decimal) -> None:
        """A fill changed the position."""
        self.positions[symbol] = self.position(symbol) + change

    def plan(self, tracked: Tracked) -> Plan | Refusal:
        """How to send an order now, given the position and what works already. Call in the order of submission."""
        position = self.position(tracked.symbol)
        if not is_opposed(tracked.side, position):
            self._failures.pop(tracked.symbol, None)
        planned = plan(tracked.side, tracked.qty, position, self._tracker.working(tracked.symbol, tracked.side))
        opening = planned.later if is_opposed(tracked.side, position) else tracked.qty
        if planned.later > 0 and is_opposed(tracked.side, position):
            canceling = self._tracker.working(tracked.symbol, tracked.side, canceling=True)
            tracked.closes_later = canceling > 0
            opening = max(ZERO, opening - canceling)
        if tracked.order.is_reduce_only and opening > 0:
            closes = decimal_text(planned.now) if is_opposed(tracked.side, position) else "0"
            return Refusal(
                f"REDUCE_ONLY: {decimal_text(tracked.qty)} {tracked.symbol} would open; "
                f"this order can close {closes} of the position {decimal_text(position)}"
            )
        if not planned.is_whole and tracked.order.time_in_force == TimeInForce.FOK:
            return Refusal(
                f"THROUGH_ZERO: an FOK order can't be sent in two; the position is {decimal_text(position)} "
                f"and the order {tracked.side} {decimal_text(tracked.qty)}"
            )
        if tracked.side == "sell" and opening != opening.to_integral_value():
            return Refusal(f"FRACTIONAL_ORDER: Alpaca sells no fractions short; {decimal_text(opening)} would open")
        return planned

    def note_failure(self, tracked: Tracked, status: str, reason: str) -> None:
        """An order ended without filling: if others wait for it, that is why they end too."""
        self._failures[tracked.symbol] = (
            f"{tracked.id} was {status} ({reason})" if reason else f"{tracked.id} was {status}"
        )

    def release(self, symbol: str) -> None:
        """Send what waits for this position to close, if it has; end it, if nothing is left that could close it."""
        for tracked in self._tracker.open_of(symbol):
            if tracked.held <= 0:
                continue
            part = tracked.part
            if part is not None and not part.done:
                return  # Its own closing part still works, and those behind it wait with it.
            if not is_opposed(tracked.side, self.position(symbol)):
                if tracked.order.is_reduce_only:
                    self._fail(tracked)
                elif why := self._client.may_not_open(tracked):
                    self._end(tracked, why)
                else:
                    self._send_held(tracked, tracked.held)
            elif self._tracker.working(symbol, tracked.side) > 0:
                return
            elif tracked.closes_later:
                self._send_held(tracked, min(tracked.held, abs(self.position(symbol))))
                return
            else:
                self._fail(tracked)

    def _send_held(self, tracked: Tracked, qty: Decimal) -> None:
        tracked.held -= qty
        suffix = f"-{len(tracked.parts) + 1}" if tracked.parts else ""
        part = Part(f"{tracked.id}{suffix}", qty)
        self._tracker.add_part(tracked, part)
        self._client.log.info(
            f"Nothing is in the way of {tracked.side} {qty} {tracked.symbol} any more; sending {part.client_order_id}"
        )
        self._client.create_task(
            self._client.commands.send(tracked, part), log_msg=f"submit_order: {part.client_order_id}"
        )

    def _fail(self, tracked: Tracked) -> None:
        why = self._failures.get(tracked.symbol, "no order works that would close it")
        position = decimal_text(self.position(tracked.symbol))
        reason = f"CLOSE_FAILED: {tracked.id} waited for the position {position} {tracked.symbol} to close, but {why}"
        self._end(tracked, reason)

    def _end(self, tracked: Tracked, reason: str) -> None:
        self._tracker.close(tracked)
        self._client.emitter.rejected(tracked, reason)
        self._client.updates.end_members(tracked, "rejected", 0, reason)
