"""Orders of an earlier life: taken up from the journal, brought up to what the venue says, never sent again.

All of it happens before the opening balance is read, so that what filled while nobody listened is told to Nautilus as
the strategy's own, and is in the opening balance already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId

from runner.alpaca.constants import NANOS
from runner.alpaca.groups import Group, leg_order
from runner.alpaca.journal import OrderJournal, PastOrder
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: The journal forgets orders so long after their end.
KEPT_NS = 30 * 86_400 * NANOS
#: The clocks of venue and machine need not agree.
MARGIN_NS = 60 * NANOS
#: How the legs of an order end that ended so without a fill.
ENDED = {OrderStatus.REJECTED: "rejected", OrderStatus.CANCELED: "canceled", OrderStatus.EXPIRED: "expired"}


class Resume:
    """Makes tracked orders of the journal's, and settles them."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        #: Whether this account was traded before, so that the journal knows what the strategies hold.
        self.is_restart = False
        self._tracked: list[Tracked] = []
        self._pending: dict[str, str] = {}

    async def begin(self) -> None:
        """Fill Nautilus's cache, and track what had not ended. Raises what the reads raise, and the journal."""
        client, journal = self._client, self._client.journal
        if journal is None:
            return
        account, body = await client.rest.account()
        self.is_restart = journal.open_account(account.account_number or account.id)
        if not self.is_restart:
            return
        client.retention.until_ns = client.opened_ns
        client.book.tell(account, body)
        await client._await_account_registered(timeout_secs=client.config.connect_timeout_s, log_registered=False)
        ids = [InstrumentId.from_str(each) for each in sorted(journal.instruments())]
        await client.provider.load_ids_async([each for each in ids if client.provider.find(each) is None])
        for instrument in client.provider.list_all():
            client._cache.add_instrument(instrument)
        await self._take_up(journal)

    async def _take_up(self, journal: OrderJournal) -> None:
        past = journal.restore()
        self._track(past)
        if past:
            self._client.log.info(f"{len(past)} orders of before the restart are taken up")

    def take_back(self, past: Sequence[PastOrder]) -> None:
        """Orders that had ended, and were let go of: they are found again, and late fills of them booked."""
        others, self._tracked = self._tracked, []
        self._track(past)
        for tracked in self._tracked:
            for part in tracked.parts:
                part.done, part.unknown, part.sent = True, False, True
            self._client.tracker.close(tracked)
        self._tracked = others

    def _track(self, past: Sequence[PastOrder]) -> None:
        for order in past:
            for send in order.sends:
                if send.family is not None:
                    self._family(order, send.family)
        for order in past:
            name = order.order.client_order_id.value
            tracked = self._client.tracker.get(name)
            if tracked is None:
                tracked = Tracked(order.order, order.params)
                self._add(tracked)
            self._parts(tracked, order)
            self._ledger(order)
            if order.order.is_pending_cancel or order.order.is_pending_update:
                self._pending[name] = "cancel" if order.order.is_pending_cancel else "modification"
        for tracked in self._tracked:
            if tracked.is_silent:
                tracked.filled = sum((part.filled(self._client.fills) for part in tracked.parts), Decimal(0))

    def _add(self, tracked: Tracked) -> None:
        order = tracked.order
        tracked.is_past = True
        if not tracked.is_silent:
            tracked.venue_order_id = order.venue_order_id
            tracked.accepted = order.venue_order_id is not None
            tracked.filled = order.filled_qty.as_decimal()
        self._client.tracker.add(tracked)
        self._tracked.append(tracked)

    def _family(self, past: PastOrder, family: Mapping[str, Any]) -> None:
        """An order that went out with others: all of them, as they were linked."""
        made = [self._member(past, row) for row in family["members"]]
        head, *members = made
        limit = family.get("limit_price")
        group = Group(
            family["kind"],
            head,
            members,
            ratios=dict(family["ratios"]),
            intents=dict(family["intents"]),
            sign=family["sign"],
            limit_price=None if limit is None else Decimal(limit),
        )
        for tracked, row in zip(made, family["members"], strict=True):
            tracked.group, tracked.role = group, row["role"]
            self._add(tracked)
            if row["silent"] or tracked.order.is_closed:
                # Others are given their parts with what the journal knows of them.
                part = Part(tracked.id, tracked.qty, sent=tracked is head, unknown=tracked is head and row["silent"])
                self._client.tracker.add_part(tracked, part)
                if not row["silent"]:
                    self._ids(tracked, part)
                    part.done = True
                    part.settled.set()
                    self._client.tracker.close(tracked)

    def _member(self, past: PastOrder, row: Mapping[str, Any]) -> Tracked:
        if not row["silent"]:
            order = self._client._cache.order(ClientOrderId(row["id"]))
            return Tracked(order, past.params)
        side = OrderSide.BUY if row["side"] == "buy" else OrderSide.SELL
        made = leg_order(
            row["id"],
            past.order,
            instrument_id=InstrumentId.from_str(row["instrument_id"]),
            side=side,
            qty=Decimal(row["qty"]),
        )
        return Tracked(made, past.params, symbol=row["symbol"], is_silent=True)

    def _parts(self, tracked: Tracked, past: PastOrder) -> None:
        if tracked.parts:
            return
        tracker = self._client.tracker
        submits = [send for send in past.sends if send.kind == "submit" and not self._of_silent_head(send.family)]
        if tracked.group is not None and tracked.group.head is not tracked:
            part = Part(tracked.id, tracked.qty)
            tracker.add_part(tracked, part)
            self._ids(tracked, part)
            self._replacements(tracked, part, past)
            return
        for send in submits:
            part = Part(send.client_order_id, send.qty if len(submits) > 1 else tracked.qty, sent=True, unknown=True)
            tracker.add_part(tracked, part)
        if len(submits) == 1:
            self._ids(tracked, tracked.parts[0])
            self._replacements(tracked, tracked.parts[0], past)

    def _replacements(self, tracked: Tracked, part: Part, past: PastOrder) -> None:
        """Ids of replacements that left, or may have: they are found by them, and none is used again."""
        for send in past.sends:
            if send.kind == "replace":
                part.replacements += 1
                self._client.tracker.add_client_id(tracked, part, send.client_order_id)

    @staticmethod
    def _of_silent_head(family: Mapping[str, Any] | None) -> bool:
        return family is not None and bool(family["members"][0]["silent"])

    def _ids(self, tracked: Tracked, part: Part) -> None:
        """The venue's ids that Nautilus knows, the oldest first; the last one stood when the journal ended."""
        for event in tracked.order.events:
            if event.venue_order_id is not None:
                self._client.tracker.add_order_id(tracked, part, event.venue_order_id.value)
        if part.order_ids:
            part.replaced_ids.update(part.order_ids[:-1])
            part.sent, part.unknown = True, False
            part.settled.set()
            tracked.known.set()

    def _ledger(self, past: PastOrder) -> None:
        for row in past.booked:
            self._client.fills.restore(row.venue_order_id, row.spans, row.notional)
            found = self._client.tracker.find("", row.venue_order_id)
            if found is not None:
                found[1].carried = max(found[1].carried, row.carried)

    # -- what the venue says ----------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Look each of them up; what happened meanwhile is told. Raises what the reads raise."""
        for tracked in self._tracked:
            for part in list(tracked.parts):
                if self._lacks_legs(tracked) or (part.sent and not (part.done or tracked.closed)):
                    await self._look_up(tracked, part)
            if tracked.closed and not tracked.is_silent and self._lacks_legs(tracked) and tracked.order.status in ENDED:
                reason = "its order had ended before the restart"
                self._client.updates.end_members(tracked, ENDED[tracked.order.status], 0, reason)
        self._end_pending()
        await self._late_fills()

    async def _late_fills(self) -> None:
        """What filled while the node was down of orders that had ended, of the journal's alone: it is their own.

        The opening balance includes it, and nothing would tell of it any more.
        """
        if not self.is_restart:
            return
        client, journal = self._client, self._client.journal
        if journal is None or not journal.last_ns:
            return
        down_ns = min(max(client.now_ns() - journal.last_ns, 0), KEPT_NS)
        after_ns = client.opened_ns - down_ns - int(client.config.overlap_s * NANOS) - MARGIN_NS
        named = dict.fromkeys(row.order_id for row in await client.rest.fills(after_ns=after_ns))
        for order_id in named:
            if client.find_id(order_id) is not None or client.fills.knows(order_id):
                continue
            order = await client.rest.order(order_id)
            if order is not None and client.retention.find(order) is not None:
                await client.provider.ensure({order.symbol} - {""})
                await client.gaps.apply(order)

    @staticmethod
    def _lacks_legs(tracked: Tracked) -> bool:
        """Whether it is the head of others whose ids the journal lacks: the reply was lost, or came to nothing."""
        return tracked.group is not None and tracked.group.head is tracked and tracked.group.has_unmapped()

    async def _look_up(self, tracked: Tracked, part: Part) -> None:
        rest, client = self._client.rest, self._client
        order = await rest.order(part.order_id) if part.order_id else None
        order = order or await rest.order_by_client_id(part.client_order_id)
        if order is not None:
            await client.provider.ensure({order.symbol} - {""})
            await client.gaps.apply(order)
            if order.status in ("pending_cancel", "pending_replace"):
                self._pending.pop(tracked.id, None)
        elif part.order_id is not None:
            client.log.error(f"The venue does not know {part.order_id} any more, which was {tracked.id}")
        else:
            client.log.warning(f"{part.client_order_id} had been about to leave; the venue does not have it so far")

    def _end_pending(self) -> None:
        """Commands that were on their way: what they did is known by now, and nothing else will tell of them."""
        for name, what in self._pending.items():
            tracked = self._client.tracker.get(name)
            if tracked is None or tracked.closed:
                continue
            reason = f"the node ended before the {what} was confirmed, and the order works on; send it again"
            if what == "cancel":
                self._client.emitter.cancel_rejected(tracked, reason)
            else:
                self._client.emitter.modify_rejected(tracked, reason)
        self._pending.clear()

    def watch(self) -> None:
        """Go on asking for those that the venue did not have: once the stream listens."""
        for tracked in self._tracked:
            for part in tracked.parts:
                if part.unknown and not part.done and not tracked.closed:
                    self._client.settler.watch(tracked, part)

    async def settled(self) -> None:
        """Return when it is known of each whether the venue has it."""
        parts = [part for tracked in self._tracked for part in tracked.parts if part.unknown]
        await asyncio.gather(*(part.settled.wait() for part in parts))

    async def explain(self) -> None:
        """Positions that changed by themselves meanwhile (expiry, assignment, a split, a fee) are told to Nautilus.

        Call it once Nautilus has heard of all fills. What no row explains is left to its reconciliation, which takes it
        for somebody else's. Raises what the reads raise.
        """
        if not self.is_restart:
            return
        client = self._client
        ours: dict[str, Decimal] = {}
        bought: dict[str, Decimal] = {}
        for position in client._cache.positions_open(account_id=client.account_id):
            symbol = position.instrument_id.symbol.value
            ours[symbol] = ours.get(symbol, Decimal(0)) + Decimal(str(position.signed_decimal_qty()))
            buys = (fill.last_qty.as_decimal() for fill in position.events if fill.order_side == OrderSide.BUY)
            bought[symbol] = bought.get(symbol, Decimal(0)) + sum(buys, Decimal(0))
        held = client.crossings.positions
        both = {each: (ours.get(each, Decimal(0)), held.get(each, Decimal(0))) for each in sorted({*ours, *held})}
        changes = {symbol: theirs - mine for symbol, (mine, theirs) in both.items() if mine != theirs}
        reasons = await client.adjustments.reasons(changes, exact=True) if changes else {}
        for symbol in changes.keys() & bought.keys():
            # What a pair's fill paid shows in no activity of it: until a position was told, the tier's rate was taken.
            if client.fees.explains(symbol, *both[symbol], bought=bought[symbol]):
                reasons[symbol] = client.adjustments.made_up("CFEE", symbol, None)
        for symbol, reason in reasons.items():
            client.adjustments.apply(symbol, *both[symbol], reason)

    def only_others(self, mass_status: Any) -> Any:
        """Of what Nautilus is to reconcile after a restart, that which is not ours and still works.

        Orders of ours have been brought up to date; fills of others show in the positions, which are compared.
        """
        if mass_status is None or not self.is_restart:
            return mass_status
        cache = self._client._cache
        mass_status._order_reports = {
            venue_order_id: report
            for venue_order_id, report in mass_status.order_reports.items()
            if report.is_open and (report.client_order_id is None or cache.order(report.client_order_id) is None)
        }
        mass_status._fill_reports = {}
        return mass_status
