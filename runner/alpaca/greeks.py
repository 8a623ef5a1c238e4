"""Greeks of the option contracts that are subscribed to: Alpaca streams none, so its snapshots are polled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.data import OptionGreeks

from runner._engine import EngineError
from runner.alpaca.constants import NANOS
from runner.alpaca.models import WireError
from runner.alpaca.symbols import symbol_of

if TYPE_CHECKING:
    from runner.alpaca.data import AlpacaDataClient


class GreeksPoller:
    """Asks for what is new at once, and for everything again every `greeks_interval_s` of venue time.

    One poll at a time. Only what has changed is handed on. A poll that fails is told once, and tried again when the
    next one is due.
    """

    def __init__(self, client: AlpacaDataClient) -> None:
        self._client = client
        self._interval_s: float = client.config.greeks_interval_s
        self._wanted: dict[str, Any] = {}
        self._due: set[str] = set()
        self._last: dict[str, tuple[Any, ...]] = {}
        self._without: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._open = False
        self._failing = False
        self.polls = 0
        """Rounds of requests that were answered."""
        self.failed = 0
        """Rounds that were not."""

    def start(self) -> None:
        """The client is connected: go on with what was subscribed to before."""
        self._open = True
        self._all_due()

    def stop(self) -> None:
        """The client disconnects. What is subscribed to is kept."""
        self._open = False
        self._client.venue_clock.cancel(self)
        if self._timer is not None:
            self._timer.cancel()

    def add(self, instrument_id: Any) -> None:
        """Poll this contract from now on."""
        symbol = symbol_of(instrument_id)
        self._wanted[symbol] = instrument_id
        self._last.pop(symbol, None)
        self._due.add(symbol)
        self._poll_soon()

    def remove(self, instrument_id: Any) -> None:
        """Poll it no more."""
        symbol = symbol_of(instrument_id)
        for known in (self._wanted, self._last):
            known.pop(symbol, None)
        self._due.discard(symbol)
        self._without.discard(symbol)

    def _all_due(self) -> None:
        self._due |= self._wanted.keys()
        self._poll_soon()

    def _poll_soon(self) -> None:
        if self._open and self._due and not self._busy:
            self._busy = True
            # A task of the client's: in lock-step the replay waits for its end.
            self._client.create_task(self._work(), log_msg="option greeks")

    async def _work(self) -> None:
        try:
            while self._due and self._open:
                symbols, self._due = sorted(self._due), set()
                await self._round(symbols)
        finally:
            self._busy = False
            self._arm()

    async def _round(self, symbols: list[str]) -> None:
        try:
            async with asyncio.timeout(self._client.config.request_timeout_s):
                found = await self._client.greeks_of(symbols)
        except (EngineError, WireError, TimeoutError) as error:
            self.failed += 1
            if not self._failing:
                self._client.log.warning(f"Greeks of {len(symbols)} contracts could not be asked for: {error!r}")
            self._failing = True
            return
        self.polls += 1
        if self._failing:
            self._client.log.info("Greeks are answered again")
        self._failing = False
        for greeks in found:
            self._hand_on(greeks)
        self._tell_missing(symbols, {symbol_of(each.instrument_id) for each in found})

    def _hand_on(self, greeks: OptionGreeks) -> None:
        symbol = symbol_of(greeks.instrument_id)
        values = (greeks.delta, greeks.gamma, greeks.vega, greeks.theta, greeks.rho, greeks.mark_iv,
                  greeks.underlying_price, greeks.ts_event)  # fmt: skip
        if symbol in self._wanted and self._last.get(symbol) != values:
            self._last[symbol] = values
            try:
                self._client.deliver(greeks)
            except Exception as error:
                # Whatever a handler raises, the other contracts' greeks must still come.
                self._client.log.exception(f"A handler of {greeks!r} raised", error)  # noqa: TRY401  # Nautilus's logger

    def _tell_missing(self, asked: list[str], found: set[str]) -> None:
        """Who waits for greeks that don't come should know why: once for each contract."""
        new = sorted(set(asked) & self._wanted.keys() - found - self._without)
        self._without = (self._without - found) | set(new)
        if new:
            shown = ", ".join(new[:5]) + (", …" if len(new) > 5 else "")
            why = "nothing trades in them, or they expire today"
            self._client.log.info(f"Alpaca has no greeks of {len(new)} contracts now ({why}): {shown}")

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not (self._open and self._wanted and self._interval_s > 0):
            return
        clock, lockstep = self._client.venue_clock, self._client.config.serial
        if clock.is_replay:
            clock.call_at(clock.now_ns() + int(self._interval_s * NANOS), self, self._all_due)
        if not (clock.is_replay and lockstep):
            # In a replay as well, as its clock stands still where no ticks come.
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._all_due)
