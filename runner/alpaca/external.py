"""Orders that this node did not send (or sent in an earlier life): forwarded to Nautilus as reports."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import structs
from nautilus_trader.model.identifiers import ClientOrderId

from runner._engine import Rejected
from runner.alpaca.fills import Fill, trade_id_text
from runner.alpaca.models import Order, TradeUpdate

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

type Spans = list[tuple[Decimal, Decimal]]
#: Of so many orders that were let go of it is kept what they had filled, some 300 bytes each.
MOST_PAST = 10_000


class External:
    """Books the fills of others' orders, since they move this account's cash and positions, and reports them."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._ledger = client.fills
        #: Last report of each order: Nautilus need not be told the same twice.
        self._told: dict[str, tuple[str, Decimal, Decimal | None, Decimal | None]] = {}
        self._fill_ns: dict[str, int] = {}
        #: Orders that have ended, by the venue's id, the oldest first: when (venue time, UNIX ns).
        self._ended: dict[str, int] = {}
        #: Of those that were let go of: which parts were booked, and for how many dollars. The newest.
        self._past: dict[str, tuple[Spans, Decimal]] = {}
        #: Of those that came back: what had filled before, which Nautilus has forgotten with the order.
        self._before: dict[str, Decimal] = {}

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
            elif order.status == "filled":
                self._note_end(order)
            elif order.is_terminal:
                self._report_order(order)
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

    # -- what is over ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Orders that have ended and are kept still."""
        return len(self._ended)

    def release(self, now_ns: int, before_ns: int, until_ns: int, most: int, batch: int) -> list[ClientOrderId]:
        """Let go of orders that ended before `before_ns`, and of the oldest beyond `most` if before `until_ns`.

        Returns the client order ids that Nautilus has to let go of, too.
        """
        released: list[ClientOrderId] = []
        for order_id, ended_ns in list(islice(self._ended.items(), batch)):
            if ended_ns >= until_ns or (ended_ns >= before_ns and len(self._ended) <= most):
                break
            del self._ended[order_id]
            client_order_id = self._client.cached_id(order_id)
            if client_order_id is not None:
                if self._client.retention.is_in_use(client_order_id):
                    self._ended[order_id] = now_ns
                    continue
                released.append(client_order_id)
            booked = self._ledger.spans(order_id)
            self._ledger.forget(order_id)
            self._client.retention.forget(order_id)
            for kept in (self._told, self._fill_ns, self._before):
                kept.pop(order_id, None)
            if booked[0]:
                self._past[order_id] = booked
                if len(self._past) > MOST_PAST:
                    del self._past[next(iter(self._past))]
        return released

    def _note_end(self, order: Order) -> None:
        self._ended.setdefault(order.id, self._client.venue_clock.now_ns())

    def take_back(self, order_id: str) -> None:
        """The venue speaks of an order: should it be one that was let go of, what it had filled is known again."""
        if (past := self._past.pop(order_id, None)) is not None:
            self._ledger.restore(order_id, *past)
            self._before[order_id] = self._ledger.booked_qty(order_id)
            self._ended[order_id] = self._client.venue_clock.now_ns()

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
        if order.is_terminal and booked == order.filled_qty:
            self._note_end(order)
        if (before := self._before.get(order.id)) is not None:
            if order.filled_qty <= before:
                return  # Nothing is new of it.
            qty = None if order.qty is None else order.qty - before
            order, booked = structs.replace(order, qty=qty, filled_qty=order.filled_qty - before), booked - before
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
