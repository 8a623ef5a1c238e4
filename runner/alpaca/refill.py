"""Trades and bars that the stream lost, when more came than its bounds hold: read again by REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.data import Bar, TradeTick

from runner._engine import EngineError, HttpError
from runner.alpaca.bars import bar_source
from runner.alpaca.symbols import symbol_of

if TYPE_CHECKING:
    from runner.alpaca.data import AlpacaDataClient

#: The engine's word for "any symbol": a frame could not be read.
ANY = "*"
#: Trades and bars that are held back at most, some hundred bytes each.
HELD_LIMIT = 1_000_000
#: How long a quiet stream is waited for, and how often it is looked at.
CATCH_UP_S, CATCH_UP_STEP_S = 1.0, 0.01


class Refill:
    """Knows which symbols have a gap, and closes it.

    While it is open, the symbol's newer trades and bars are held back, so that a strategy sees all of them in order;
    quotes pass. What is held is bounded: beyond `HELD_LIMIT` they pass too, and the old ones come after.
    """

    def __init__(self, client: AlpacaDataClient) -> None:
        self._client = client
        #: Gapped symbols, with the venue time (UNIX ns) of the last that came of each channel before its gap.
        self._gaps: dict[str, dict[Any, int]] = {}
        self._held: list[Any] = []
        self._pass: Callable[[Any], object] | None = None
        self._task: asyncio.Task[None] | None = None
        self.refills = 0
        self.refilled = 0

    @property
    def symbols(self) -> frozenset[str]:
        """Symbols of which trades or bars are missing now."""
        return frozenset(self._gaps)

    def lost(self, symbol: str) -> None:
        """The stream says that it lost something of `symbol` ("*": of any), just after what it has delivered."""
        for name in self._client.streamed_symbols() if symbol == ANY else {symbol}:
            self._gaps.setdefault(name, self._marks(name))
        if self._gaps and (self._task is None or self._task.done()):
            self._pass = self._client.divert(self._hold)
            self._task = self._client.create_task(self._close(), log_msg="refill")

    def _marks(self, symbol: str) -> dict[Any, int]:
        cache, marks = self._client.cache, {}
        for key in self._client.streamed(symbol):
            last = cache.bar(key) if hasattr(key, "spec") else cache.trade_tick(key)
            marks[key] = self._client.opened_ns if last is None else int(last.ts_event)
        return marks

    def _hold(self, tick: Any) -> None:
        assert self._pass is not None
        held = isinstance(tick, TradeTick | Bar) and symbol_of(_instrument_id(tick)) in self._gaps
        if held and len(self._held) < HELD_LIMIT:
            self._held.append(tick)
        else:
            self._pass(tick)

    async def _close(self) -> None:
        delay = self._client.config.retry_delay_s
        try:
            while True:
                dropped, gaps = self._dropped(), dict(self._gaps)
                try:
                    # Not the newest stamp: a bar that was lost closed after everything that bears an older one.
                    end_ns = await self._client.clock_ns()
                    rows = await self._read(gaps, end_ns)
                except (EngineError, ValueError, TimeoutError) as error:
                    if _is_final(error):
                        # Openings must not wait for ever for what nobody will serve.
                        self._client.log.error(f"What the stream lost can't be read again, it stays lost: {error}")  # noqa: TRY400
                        rows = []
                        break
                    self._client.log.warning(f"What the stream lost can't be read yet: {error}; trying again")
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, self._client.config.backoff_max_s)
                    continue
                await self._catch_up(end_ns)
                # Whatever was lost meanwhile is behind what was read: once more, until nothing is.
                if self._dropped() == dropped and self._gaps.keys() == gaps.keys():
                    break
            self._release(rows)
        except asyncio.CancelledError:
            return  # The client disconnects.

    async def _catch_up(self, end_ns: int) -> None:
        """Let the stream come to where REST has read, so that what both bring is here to be told apart."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + CATCH_UP_S
        while self._client.newest_event_ns < end_ns and loop.time() < give_up_at:  # noqa: ASYNC110  # Rust sets no event
            await asyncio.sleep(CATCH_UP_STEP_S)
        self._client.drain_stream()

    def _dropped(self) -> int:
        stats = self._client.stream_stats()
        return stats.get("dropped", 0) + stats.get("gaps", 0)

    async def _read(self, gaps: dict[str, dict[Any, int]], end_ns: int) -> list[Any]:
        rows: list[Any] = []
        for marks in gaps.values():
            for key, start_ns in marks.items():
                read = self._bars if hasattr(key, "spec") else self._trades
                rows += await read(key, start_ns, max(start_ns, end_ns))
        return rows

    async def _trades(self, instrument_id: Any, start_ns: int, end_ns: int) -> list[Any]:
        rows = await self._client.history_trades(instrument_id, start_ns, end_ns)
        known = {row.trade_id for row in self._client.cache.trade_ticks(instrument_id) if row.ts_event >= start_ns}
        return [row for row in rows if row.trade_id not in known]

    async def _bars(self, bar_type: Any, start_ns: int, end_ns: int) -> list[Any]:
        rows = await self._client.history_bars(bar_type, start_ns - bar_source(bar_type).length_ns, end_ns)
        known = {row.ts_event for row in self._client.cache.bars(bar_type)}
        return [row for row in rows if start_ns < row.ts_event and row.ts_event not in known]

    def _release(self, rows: list[Any]) -> None:
        """Hand on what was read, without what came by itself, and what was held: in the order of the venue."""
        deliver, held = self._pass, self._held
        assert deliver is not None
        self._client.divert(deliver)
        self._pass, self._held = None, []
        came = {_name(row) for row in held}
        missing = [row for row in rows if _name(row) not in came]
        symbols, self._gaps = sorted(self._gaps), {}
        self.refills += 1
        self.refilled += len(missing)
        self._client.log.warning(f"Market data: {len(missing)} trades and bars of {', '.join(symbols)} were read again")
        for row in sorted([*missing, *held], key=lambda row: row.ts_event):
            deliver(row)


def _is_final(error: Exception) -> bool:
    """Whether asking again would be refused again: the venue said no, or there is no such history."""
    if isinstance(error, HttpError):
        return 400 <= error.status < 500 and error.status not in (408, 429)
    return isinstance(error, ValueError)


def _instrument_id(tick: Any) -> Any:
    return tick.bar_type.instrument_id if isinstance(tick, Bar) else tick.instrument_id


def _name(tick: Any) -> tuple[Any, Any]:
    if isinstance(tick, Bar):  # a revision stands for no bar that was lost
        return tick.bar_type, (tick.ts_event, tick.is_revision)
    return tick.instrument_id, tick.trade_id
