"""Orders that this node did not send (or sent in an earlier life): forwarded to Nautilus as reports."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from runner._engine import Rejected
from runner.alpaca.fills import Fill, trade_id_text
from runner.alpaca.models import Order, TradeUpdate

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient


class External:
    """Books the fills of others' orders, since they move this account's cash and positions, and reports them."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._ledger = client.fills
        #: Last report of each order: Nautilus need not be told the same twice.
        self._told: dict[str, tuple[str, Decimal, Decimal | None, Decimal | None]] = {}
        self._fill_ns: dict[str, int] = {}

    def on_update(self, update: TradeUpdate) -> None:
        """A trade update of an order that is not ours."""
        order = update.order
        if not order.symbol:
            self._client.updates.legs.book_fills(update)
            return  # A multi-leg order as a whole: its legs are orders of their own.
        if update.event in ("fill", "partial_fill") and update.qty and update.price is not None:
            fill = self._fill(order, update.qty, update.price, update.ts_ns)
            fill = self._client.fees.charge(fill, position_qty=update.position_qty)
            self._report_order(order, filled_before=True)
            self.on_fill(fill, cum_qty=order.filled_qty, execution_id=update.execution_id)
            if not self._ledger.is_complete(order.id, order.filled_qty):
                self._client.repair(order.id, f"another's order {order.id} filled more than was told")
            return
        if not self._ledger.is_complete(order.id, order.filled_qty):
            # Told as it is, Nautilus would make up the fill itself, and then be told of it.
            self.announce(order)
            self._client.repair(order.id, f"another's order {order.id} has filled more than was told")
            return
        self._report_order(order)

    def announce(self, order: Order) -> None:
        """An order that is not ours was read: Nautilus must know it before its fills, or it drops those."""
        if order.symbol and not self._ledger.is_complete(order.id, order.filled_qty):
            self._report_order(order, filled_before=True)

    def on_fill(self, fill: Fill, *, cum_qty: Decimal, execution_id: str | None) -> None:
        """A fill of an order that is not ours, from either source."""
        if fill.order_id in self._client.retention.doubtful:
            fill = replace(fill, inferred=True)  # The books don't agree by it: it may have been ours.
        booked = self._ledger.book(fill, cum_qty=cum_qty, execution_id=execution_id)
        if booked is not None:
            self._client.touched()
            self._report_fill(booked, trade_id_text(fill.order_id, cum_qty))
            self._client.crossings.release(fill.symbol)

    def on_snapshot(self, order: Order) -> None:
        """An order that is not ours as REST shows it; what its activities did not tell is inferred."""
        if not order.symbol:
            return  # A multi-leg parent: its legs are orders of their own.
        if not self._client.updates.is_of_this_life(order):
            self._ledger.seed(order.id, order.filled_qty, order.filled_avg_price)
        if self._client.updates.replacements.carries(order):
            self._ledger.seed(order.id, order.filled_qty, order.filled_avg_price)
        if order.filled_qty > 0 and not self._ledger.is_complete(order.id, order.filled_qty):
            price = order.filled_avg_price or Decimal(0)
            fill = self._client.fees.charge(self._fill(order, order.filled_qty, price, order.last_ns))
            booked = self._ledger.infer(fill, filled_qty=order.filled_qty, avg_price=order.filled_avg_price)
            if booked is not None:
                self._client.log.error(f"A fill of another's order had to be inferred: {booked}")
                self._client.touched()
                self._report_fill(booked, trade_id_text(order.id, order.filled_qty, inferred=True))
        self._report_order(order)

    async def cancel(self, kept: Collection[str], timeout_s: float) -> tuple[int, list[str]]:
        """Cancel what works on the account now, save the orders of the strategies `kept` (their ids).

        How many there were, and the client order ids of those that work on after `timeout_s`. Raises what the reads
        raise.
        """
        wanted: set[str] | None = None
        rows: list[Order] = []
        delay = self._client.config.lookup_delay_min_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            rows = [row for row in await self._others(kept) if wanted is None or row.id in wanted]
            wanted = {row.id for row in rows} if wanted is None else wanted
            if not rows or loop.time() >= deadline:
                return len(wanted), [row.client_order_id for row in rows]
            # A DELETE is no order: one whose outcome is unknown, or that was refused, is repeated.
            asked = [row for row in rows if row.status != "pending_cancel"]
            outcomes = [await self._client.http.delete(f"/v2/orders/{row.id}") for row in asked]
            for row, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    self._client.log.warning(f"{row.client_order_id} can't be canceled: {outcome.message}")
            await asyncio.sleep(min(delay, max(0.0, deadline - loop.time())))
            delay = min(delay * 2, self._client.config.lookup_delay_max_s)

    async def _others(self, kept: Collection[str]) -> list[Order]:
        """Open orders that no strategy of `kept` has, without the legs that end with their head."""
        orders = await self._client.rest.orders("open")
        legs = {leg.id for order in orders for leg in order.legs or ()}
        found = []
        for order in orders:
            ours = self._client.find(order)
            if order.id not in legs and (ours is None or ours[0].strategy_id.value not in kept):
                found.append(order)
        return found

    def _fill(self, order: Order, qty: Decimal, price: Decimal, ts_ns: int) -> Fill:
        side = "buy" if order.side == "buy" else "sell"
        return Fill(order.symbol, side, qty, price, order.id, order.client_order_id, ts_ns, True, False)

    def _report_order(self, order: Order, *, filled_before: bool = False) -> None:
        if order.client_order_id in self._client.tracker.disowned:
            self._client.commands.stop_stray(order)
        if order.status == "replaced" and self._client.cached_id(order.id) is None:
            return  # The order that stands in its place is reported; Nautilus has never heard of this one.
        # A fill follows as a report of its own: said with the order, Nautilus would infer it and then see it twice.
        booked = self._ledger.booked_qty(order.id) if filled_before else order.filled_qty
        told = (order.status, booked, order.limit_price, order.qty)
        if self._told.get(order.id) == told:
            return
        self._told[order.id] = told
        report = self._client.reports.order_report(order, filled_qty=booked)
        if report is not None:
            self._client._send_order_status_report(report)

    def _report_fill(self, fill: Fill, trade_id: str) -> None:
        # Nautilus drops a reported fill that is older than the first it was told: one found late bears that time.
        ts_ns = max(fill.venue_ts_ns, self._fill_ns.get(fill.order_id, 0))
        self._fill_ns[fill.order_id] = ts_ns
        report = self._client.reports.fill_report(replace(fill, venue_ts_ns=ts_ns), trade_id)
        if report is not None:
            self._client._send_fill_report(report)
