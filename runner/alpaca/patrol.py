"""Orders of which the stream should have said something by now: a stream that loses an update does not know it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner._engine import EngineError
from runner.alpaca.models import WireError
from runner.alpaca.orders import is_immediate
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: A whole gap fill, for resting orders whose fill went untold, every so many rounds.
ROUNDS_PER_GAP_FILL = 6
#: While no order works, every so many of those.
IDLE_GAP_FILLS = 10
#: An order that stays silent is asked for less and less often: at most this many doublings.
MAX_DOUBLINGS = 5


class Patrol:
    """Reads overdue orders every `check_interval_s`, and everything now and then while orders work.

    Overdue is an order that fills or ends at once, a cancel and a replacement that the venue took, when nothing was
    heard of them for that long. Off in lock-step, where each step is settled anyway.
    """

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._interval_s: float = 0.0 if client.config.serial else client.config.check_interval_s
        self.found = 0

    def start(self) -> None:
        """Go round from now on, until the client's tasks are canceled."""
        if self._interval_s > 0:
            self._client.create_task(self._walk(), log_msg="patrol")

    async def _walk(self) -> None:
        rounds = 0
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                rounds += 1
                if self._client.ready:
                    await self._guarded(
                        rounds % ROUNDS_PER_GAP_FILL == 0, idle=rounds % (ROUNDS_PER_GAP_FILL * IDLE_GAP_FILLS) == 0
                    )
        except asyncio.CancelledError:
            return  # The client disconnects.

    async def _guarded(self, everything: bool, *, idle: bool) -> None:
        try:
            await self.round(everything=everything, idle=idle)
        except (EngineError, WireError) as error:
            self._client.log.warning(f"The venue could not be asked how orders stand: {error}; trying again")
        except Exception as error:
            # One order that can't be handled must not leave all others unwatched.
            self._client.log.exception("A look at the orders failed", error)  # noqa: TRY401  # Nautilus's logger

    async def round(self, *, everything: bool, idle: bool = False) -> None:
        """Look once: at what is overdue, or at everything that works. Raises what the reads raise.

        `idle`: also where nothing works, as assignments, expiries, splits and dividends come without an order.
        """
        now = asyncio.get_running_loop().time()
        for tracked in self._client.tracker:
            for part in tracked.parts:
                if self._is_overdue(tracked, part, now):
                    await self._look(part)
        if idle or (everything and any(not tracked.closed for tracked in self._client.tracker)):
            await self._client.gaps.run()
        if everything or idle:
            # Also for what moves it without an order: prices of others' positions, and transfers.
            await self._client.book.refresh()
        await self._client.book.refresh_if_stale()

    def _is_overdue(self, tracked: Tracked, part: Part, now: float) -> bool:
        if part.done or part.unknown or part.order_id is None:
            return False
        wanted = part.replacement
        changing = part.canceling_since is not None or (wanted is not None and wanted.order_id is not None)
        if not changing and not is_immediate(tracked.order):
            return False
        patience = self._interval_s * 2 ** min(part.looks, MAX_DOUBLINGS)
        return bool(now - part.heard_at >= patience)

    async def _look(self, part: Part) -> None:
        part.looks += 1
        wanted = part.replacement
        ids = [part.order_id, wanted.order_id if wanted is not None else None]
        for order_id in ids:
            if order_id is not None and not part.done:
                await self._client.gaps.refresh(order_id)
        if part.done or part.replacement is not wanted:
            self.found += 1
            self._client.log.warning(f"How {part.client_order_id} went on was not told by the stream; found by asking")
