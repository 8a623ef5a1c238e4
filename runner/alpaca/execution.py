"""Trading of one Alpaca account, as a Nautilus execution client.

An order goes out by `execution_commands` (what Nautilus calls), `preparing` (what becomes of it at Alpaca, or why it is
denied), `commands` (journal, then one POST), and `settle`, where its outcome stays unknown. What the venue says comes
by the stream (`updates`) or is read (`reconcile` at connects and repairs, `patrol` now and then). Both end in `fills`,
which books each execution once, and `emit`, which tells Nautilus. `tracking` has what is known of each order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

from nautilus_trader.common.enums import LogColor
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import AccountId, ClientId, VenueOrderId

from runner._engine import AlpacaHttpClient, AlpacaWebSocketClient, EngineError
from runner.alpaca.account import AccountBook, BrokerSnapshot
from runner.alpaca.adjust import Adjustments
from runner.alpaca.assets import AssetWatch
from runner.alpaca.commands import Commands
from runner.alpaca.config import AlpacaExecClientConfig
from runner.alpaca.constants import ALPACA_VENUE, NANOS, USD
from runner.alpaca.crossings import Crossings
from runner.alpaca.emit import Emitter
from runner.alpaca.execution_commands import CommandsMixin
from runner.alpaca.execution_reports import ReportsMixin
from runner.alpaca.exercise import Exercises
from runner.alpaca.external import External
from runner.alpaca.fees import Fees
from runner.alpaca.fills import Fill, FillLedger
from runner.alpaca.journal import OrderJournal
from runner.alpaca.models import Activity, Order, WireError, decode_update
from runner.alpaca.patrol import Patrol
from runner.alpaca.preparing import Preparing
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.alpaca.reconcile import GapFill
from runner.alpaca.reports import Reports
from runner.alpaca.rest import TradingRest
from runner.alpaca.resume import Resume
from runner.alpaca.retention import Retention
from runner.alpaca.settle import Settler
from runner.alpaca.shared import SharedHttp
from runner.alpaca.stream import LoopStream
from runner.alpaca.tracking import Part, Tracked, Tracker
from runner.alpaca.transfers import Transfers
from runner.alpaca.updates import Updates
from runner.alpaca.venue_clock import VenueClock

#: Names of the tasks that carry a command, as the base class names them.
_COMMAND_TASKS = ("submit_order", "modify_order", "cancel_", "batch_cancel", "settle: ")


class AlpacaExecutionClient(CommandsMixin, ReportsMixin, LiveExecutionClient):
    """Orders out by REST, events in by the trade-updates stream, gaps filled by REST."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        config: AlpacaExecClientConfig,
        shared: SharedHttp,
        msgbus: Any,
        cache: Any,
        clock: Any,
        provider: AlpacaInstrumentProvider,
    ) -> None:
        super().__init__(
            loop=loop,
            client_id=ClientId(name),
            venue=ALPACA_VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            instrument_provider=provider,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
        )
        self.config = config
        self.provider = provider
        self.opening: BrokerSnapshot | None = None
        #: The venue's time when this client connected.
        self.opened_ns = 0
        self.updates_seen = 0
        self.fills = FillLedger()
        self.tracker = Tracker(self.fills)
        self.rest = TradingRest(lambda: self.http)
        self.emitter = Emitter(self)
        self.reports = Reports(self)
        self.crossings = Crossings(self)
        self.external = External(self)
        self.fees = Fees(self)
        self.updates = Updates(self)
        self.exercises = Exercises(self)
        self.adjustments = Adjustments(self)
        self.gaps = GapFill(self)
        self.settler = Settler(self)
        self.patrol = Patrol(self)
        self.assets = AssetWatch(self)
        self.preparing = Preparing(self)
        self.commands = Commands(self, serial=config.serial)
        self.book = AccountBook(self)
        self.transfers = Transfers(self)
        self.journal: OrderJournal | None = None
        self.resume = Resume(self)
        self.retention = Retention(self)
        self._shared = shared
        self._opened = False
        self._stream: LoopStream | None = None
        self._gate_check: Callable[[Any], bool] | None = None
        self._gate_is_legal = False
        self._opening_check: Callable[[Any], str | None] | None = None
        self._ready = asyncio.Event()
        self._dirty = False
        self._arrivals: dict[str, asyncio.Event] = {}
        self._set_account_id(AccountId(f"{name}-{'PAPER' if config.paper else 'LIVE'}"))
        self.fills.on_fill(lambda fill: self.crossings.move(fill.symbol, fill.signed_qty))
        msgbus.subscribe(topic="events.fills.*", handler=self.adjustments.take_dropped)

    # -- what others read -----------------------------------------------------------------------------

    @property
    def http(self) -> AlpacaHttpClient:
        """The HTTP client, shared with the data client of the same keys."""
        return self._shared.client

    @property
    def venue_clock(self) -> VenueClock:
        """Venue time."""
        return self._shared.venue_clock

    @property
    def log(self) -> Any:
        """Nautilus's logger of this client."""
        return self._log

    @property
    def ready(self) -> bool:
        """Whether the trade-updates stream listens and everything it missed has been fetched."""
        return self._ready.is_set()

    @property
    def trouble(self) -> str:
        """Why the stream is not there, in the venue's words; empty where it is, or nothing is known."""
        return self._stream.trouble if self._stream is not None else ""

    @property
    def stream_epoch(self) -> int:
        """How often the stream has begun to listen."""
        return self._stream.epoch if self._stream else 0

    @property
    def in_flight(self) -> int:
        """Commands that are on their way, or whose outcome is not known yet."""
        return sum(1 for task in self._tasks if not task.done() and task.get_name().startswith(_COMMAND_TASKS))

    def now_ns(self) -> int:
        """The node's clock, UNIX nanoseconds."""
        return int(self._clock.timestamp_ns())

    def instrument(self, instrument_id: Any) -> Any:
        """The instrument, from the cache or the provider; None where neither has it."""
        return self._cache.instrument(instrument_id) or self.provider.find(instrument_id)

    def known_instruments(self) -> list[Any]:
        """All instruments in Nautilus's cache."""
        return list(self._cache.instruments(venue=ALPACA_VENUE))

    def replace_instrument(self, instrument: Any) -> None:
        """One that is known, as it is now: to the cache, and whoever subscribed to it."""
        self.provider.add(instrument)
        self._cache.add_instrument(instrument)
        self._msgbus.send(endpoint="DataEngine.process", msg=instrument)

    def last_quote(self, instrument_id: Any) -> Any:
        """The newest quote in the cache, None where there is none."""
        return self._cache.quote_tick(instrument_id)

    def open_positions(self, instrument_id: Any) -> list[Any]:
        """Nautilus's open positions of this account in an instrument, the largest first."""
        rows = self._cache.positions_open(instrument_id=instrument_id)
        return sorted((row for row in rows if row.account_id == self.account_id), key=lambda row: -row.quantity)

    def is_in_position(self, fill: Any) -> bool:
        """Whether Nautilus has counted a fill for a position."""
        position = self._cache.position(fill.position_id) if fill.position_id is not None else None
        return position is not None and fill.trade_id in position.trade_ids

    def cached_order(self, client_order_id: Any) -> Any:
        """Nautilus's order, None where it has none."""
        return self._cache.order(client_order_id)

    def unsettled(self) -> set[Any]:
        """Client order ids of unknown outcomes, and of orders that wait for a close."""
        return {tracked.client_order_id for tracked in self.tracker.unsettled()}

    def stream_stats(self) -> dict[str, int]:
        """The stream's counters, and what was made of it."""
        stats = dict(self._stream.ws.stats()) if self._stream else {}
        return stats | {
            "updates": self.updates_seen,
            "duplicate_fills": self.fills.duplicates,
            "inferred_fills": self.fills.inferred,
            "lost_fills": self.emitter.lost_fills,
            "unknown_events": self.updates.unknown_events,
            "gap_fills": self.gaps.runs,
            "repairs": self.gaps.repairs,
            "untold_ends": self.patrol.found,
            "adjustments": self.adjustments.count,
            "position_differences": self.gaps.position_differences,
            "handler_errors": self._stream.errors if self._stream else 0,
        }

    def set_opening_check(self, check: Callable[[Any], str | None]) -> None:
        """What `check` says (`CODE: why`) of orders, one to the venue, keeps them from leaving once they waited."""
        self._opening_check = check

    def may_not_open(self, tracked: Tracked) -> str | None:
        """Why an order that opens, and waited, may not leave any more; None where it may."""
        group = tracked.group
        several = group is not None and group.is_multi_leg
        orders = [one.order for one in group.orders if not one.is_silent] if group and several else [tracked.order]
        if self._opening_check is None or (reason := self._opening_check(orders)) is None:
            return None
        code, why = reason.split(": ", 1)
        return f"{code}: never sent, as it waited until {why}"

    def is_extended(self, client_order_id: Any) -> bool:
        """Whether an order of the node's, of this life or an earlier one, was sent for the extended hours, too."""
        tracked = self.tracker.get(client_order_id.value)
        return tracked is not None and bool(tracked.params.get("extended_hours"))

    def set_gate_check(self, check: Callable[[Any], bool], *, legal: bool = False) -> None:
        """From now on a submit or modify that `check` does not approve is denied: the lock behind the risk gate.

        `legal`: of what it approves, it has asked `orders.denial` already.
        """
        self._gate_check, self._gate_is_legal = check, legal

    def set_journal(self, journal: OrderJournal) -> None:
        """From now on each order is in the journal before it leaves, and those of earlier lives are taken up."""
        self.journal = journal

    def note_booked(self, tracked: Tracked, fill: Fill, trade_id: str) -> None:
        """A fill is about to be told to Nautilus as `trade_id`."""
        if self.journal is None:
            return
        found = self.find_id(fill.order_id)
        spans, notional = self.fills.spans(fill.order_id)
        carried = found[1].carried if found else Decimal(0)
        told = None if tracked.is_silent and tracked.is_head else trade_id
        self.journal.booked(tracked.id, fill.order_id, spans, notional, carried, trade_id=told)

    async def broker_snapshot(self) -> BrokerSnapshot:
        """Account and positions as the broker has them now. Raises HttpError, Unavailable or WireError."""
        return await self.book.snapshot()

    async def non_trade_activities(self, since: int | None = None) -> list[Activity]:
        """Fees, dividends and other bookings since `since` (UNIX ns; None: all). Raises as `broker_snapshot` does."""
        rows: list[Activity] = await self.rest.activities(None, after_ns=since)
        return rows

    async def cancel_others(self, kept: Collection[str], timeout_s: float) -> tuple[int, list[str]]:
        """Cancel what works on the account and is not of the strategies `kept`: see `External.cancel`."""
        return await self.external.cancel(kept, timeout_s)

    def awaited_activities(self) -> dict[str, int]:
        """Symbols whose positions ended or came before the activity that tells why, and when (UNIX ns) that is due."""
        now_ns = self.venue_clock.now_ns()
        return {symbol: due_ns for symbol, due_ns in self.adjustments.awaited.items() if due_ns > now_ns}

    async def settle(self, *, check: bool = True) -> None:
        """Bring orders and books up to the venue: drain the stream, wait for replies, look up what is unknown.

        With `check`, a whole gap fill follows where anything was sent or filled since the last one, or still works.
        Waits at most `settle_timeout_s`; raises TimeoutError then, and what the reads raise.
        """
        async with asyncio.timeout(self.config.settle_timeout_s):
            self._drain_all()
            for tracked in self.tracker.unsettled():
                for part in tracked.parts:
                    if part.unknown:
                        await self.settler.look_up(tracked, part)
            await self.gaps.repaired()
            if check and (self._dirty or any(True for _ in self.tracker)):
                await self._catch_up()
            await self.book.refresh_if_stale()
            self._drain_all()

    async def _catch_up(self) -> None:
        self._dirty = False
        try:
            await self.gaps.run()
        except BaseException:
            self._dirty = True  # Whatever made it necessary is still to be looked at.
            raise

    # -- what the parts call --------------------------------------------------------------------------

    def find(self, order: Order) -> tuple[Tracked, Part] | None:
        """The order of ours that an order at the venue belongs to, replacements followed.

        An order that is older than this connection and bears a client order id of ours is of an earlier life.
        """
        found = self.find_id(order.id) or (self.find_id(order.replaces) if order.replaces is not None else None)
        if found is None:
            named = self.tracker.find(order.client_order_id, "")
            # The venue's hosts need not agree to the second; our ids are not used twice within a few.
            since_ns = self.opened_ns - int(self.config.overlap_s * NANOS)
            if named is not None and (order.submitted_ns >= since_ns or named[0].is_past):
                return named
        return found

    def cached_id(self, order_id: str) -> Any:
        """The client order id by which Nautilus knows an order of the venue's; None where it does not."""
        return self._cache.client_order_id(VenueOrderId(order_id))

    def find_id(self, order_id: str) -> tuple[Tracked, Part] | None:
        """The same by the venue's id alone."""
        return self.tracker.find("", order_id)

    def touched(self, *, account: bool = True) -> None:
        """Something happened that the venue's books may show."""
        self._dirty = True
        if account:
            self.book.refresh_soon()

    def repair(self, order_id: str, why: str) -> None:
        """Fetch what is missing of an order."""
        self.gaps.repair(order_id, why)

    async def wait_ready(self) -> bool:
        """Wait for the stream, at most `stream_wait_s`."""
        if not self._ready.is_set():
            try:
                async with asyncio.timeout(self.config.stream_wait_s):
                    await self._ready.wait()
            except TimeoutError:
                return False
        return True

    # -- connection -----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._shared.open(self._loop)
        self._opened = True
        self.http.keep_open()
        self.opened_ns = await self.venue_clock.ask(self.rest.clock_ns)
        await self.provider.initialize()
        await self._start_stream()
        await self.resume.begin()
        await self.resume.catch_up()
        self.gaps.synced_ns = self.opened_ns
        self.opening = await self.book.opening()
        self.crossings.positions = dict(self.opening.positions)
        await self.provider.ensure(self.opening.positions)
        for instrument in self.provider.list_all():
            self._cache.add_instrument(instrument)
        await self._await_account_registered(timeout_secs=self.config.connect_timeout_s, log_registered=False)
        if self.updates_seen:
            # What came before the opening balance was known can't be told from what that includes: ask.
            await self.gaps.run()
        self.resume.watch()
        self.patrol.start()
        self.assets.start()
        if self._stream is not None and self._stream.ws.state == "ready":
            self._ready.set()  # Else it dropped meanwhile, and its next `ready` brings the gap fill.

    async def _start_stream(self) -> None:
        config = self.config
        ws = AlpacaWebSocketClient(
            self._shared.urls.orders_stream,
            self._shared.keys.key,
            self._shared.keys.secret,
            protocol="trading",
            connect_timeout_s=config.connect_timeout_s,
            ping_interval_s=config.ping_interval_s,
            silence_timeout_s=config.silence_timeout_s,
            backoff_min_s=config.backoff_min_s,
            backoff_max_s=config.backoff_max_s,
            busy_backoff_s=config.busy_backoff_s,
        )
        self._stream = LoopStream(
            ws,
            self._loop,
            name="trade-updates stream",
            sink=None,
            on_message=self._on_message,
            on_state=self._on_state,
            on_error=self._on_handler_error,
            limit=config.drain_limit,
        )
        self._stream.start()
        await self._stream.wait_ready(config.connect_timeout_s)

    async def _disconnect(self) -> None:
        self._ready.clear()
        await self.cancel_pending_tasks(timeout_secs=self.config.disconnect_timeout_s)
        if self._stream is not None:
            self._stream.stop()
        if self._opened:
            self._opened = False
            self._shared.close()

    def _drain_all(self) -> None:
        if self._stream is not None:
            self._stream.drain_all()

    def _on_state(self, state: str, detail: str) -> None:
        if state == "ready":
            if self.opening is not None:
                self._log.info("Trade updates: listening again; fetching what was missed", LogColor.BLUE)
                self.create_task(self._fill_gap(self.stream_epoch), log_msg="gap fill")
        elif state in ("disconnected", "refused"):
            self._ready.clear()
            self._log.warning(f"Trade updates: {state}{f' ({detail})' if detail else ''}")
        else:
            self._log.debug(f"Trade updates: {state} {detail}")

    async def _fill_gap(self, epoch: int) -> None:
        delay = self.config.lookup_delay_min_s
        while epoch == self.stream_epoch:
            try:
                await self.gaps.run()
                break
            except Exception as error:
                # Whatever it is, opening orders wait for this to succeed.
                if not isinstance(error, (EngineError, WireError)):
                    self._log.exception("The gap fill failed", error)
                self._log.warning(f"What the stream missed can't be read yet: {error}; trying again")
                await asyncio.sleep(delay)
                delay = min(delay * 2, self.config.lookup_delay_max_s)
        if epoch == self.stream_epoch and self._stream is not None and self._stream.ws.state == "ready":
            self._ready.set()
            self.touched()
            self._log.info("Trade updates: up to date", LogColor.GREEN)

    def _on_message(self, kind: str, body: bytes) -> None:
        if kind != "trade_updates":
            self._log.debug(f"Trade updates: {kind} message")
            return
        self.updates_seen += 1
        if self.opening is None:
            return
        try:
            update = decode_update(body)
        except WireError as error:
            self._log.error(f"A trade update can't be read, so the venue is asked instead: {error}")
            self.create_task(self._fill_gap(self.stream_epoch), log_msg="gap fill")
            return
        if update is not None:
            self.venue_clock.observe(update.ts_ns)
            self.updates.on_update(update)

    def _on_handler_error(self, what: str, error: Exception) -> None:
        self._log.exception(what, error)
        self.create_task(self._fill_gap(self.stream_epoch), log_msg="gap fill")

    def _lookback_ns(self, start: Any) -> int:
        if start is None:
            return self.venue_clock.now_ns() - int(self.config.lookback_s * NANOS)
        return self.venue_clock.to_venue_ns(int(start.value))
