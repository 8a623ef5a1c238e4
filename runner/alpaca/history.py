"""History on request: bars, quotes, trades and instruments, over windows of venue time."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.model.data import DataType, OrderBookDeltas

from runner.alpaca.bars import bar_source
from runner.alpaca.books import snapshot
from runner.alpaca.builders import calendar_builders
from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.constants import NANOS
from runner.alpaca.rest import rfc3339
from runner.alpaca.symbols import symbol_of
from runner.config.markets import adjustment

#: Widest page of the market-data endpoints.
PAGE = 10_000
#: How far back a request without a start goes, where its limit does not say: a week holds the last session.
DEFAULT_WINDOW_NS = 7 * 86_400 * NANOS
#: How late the delayed feed is.
DELAY_NS = 15 * 60 * NANOS
#: Sessions fill a quarter of the hours, and there are weekends: bars asked for by number span this much more time.
SPARSENESS = 8


class HistoryMixin:
    """The `_request_*` coroutines of AlpacaDataClient. The base class logs one that fails."""

    config: Any
    provider: Any
    builders: Any
    venue_clock: Any
    http: Any
    _clock: Any
    _log: Any

    async def _request_instrument(self, request: Any) -> None:
        await self.provider.load_async(request.instrument_id)
        instrument = self.provider.find(request.instrument_id)
        if instrument is None:
            self._log.error(f"Alpaca has no instrument {request.instrument_id}; check the symbol")
            return
        self._map(instrument)  # type: ignore[attr-defined]
        self._handle_instrument(instrument, request.id, request.start, request.end, request.params)  # type: ignore[attr-defined]

    async def _request_instruments(self, request: Any) -> None:
        """All stocks and pairs, or what `params` say: those of `AlpacaInstrumentProvider.load_all_async`."""
        found = await self.provider.load_matching(request.params)
        self._handle_instruments(  # type: ignore[attr-defined]
            request.venue, found, request.id, request.start, request.end, request.params
        )

    async def _request_quote_ticks(self, request: Any) -> None:
        ticks = await self._ticks("quotes", request)
        self._handle_quote_ticks(  # type: ignore[attr-defined]
            request.instrument_id, ticks, request.id, request.start, request.end, request.params
        )

    async def _request_trade_ticks(self, request: Any) -> None:
        ticks = await self._ticks("trades", request)
        self._handle_trade_ticks(  # type: ignore[attr-defined]
            request.instrument_id, ticks, request.id, request.start, request.end, request.params
        )

    async def _ticks(self, kind: str, request: Any) -> list[Any]:
        start_ns, end_ns = self.window(request, DEFAULT_WINDOW_NS)
        rows = await self._tick_rows(kind, request.instrument_id, start_ns, end_ns)
        return rows[-request.limit :] if request.limit else rows

    async def history_trades(self, instrument_id: Any, start_ns: int, end_ns: int) -> list[Any]:
        """Trades of a window of venue time (UNIX ns, both ends included).

        Raises Unavailable, HttpError or TimeoutError.
        """
        return await self._tick_rows("trades", instrument_id, start_ns, end_ns)

    async def _tick_rows(self, kind: str, instrument_id: Any, start_ns: int, end_ns: int) -> list[Any]:
        other = self._for(instrument_id)  # type: ignore[attr-defined]
        if other is not self:
            rows: list[Any] = await other._tick_rows(kind, instrument_id, start_ns, end_ns)
            return rows
        if kind == "quotes" and self.config.feed.market == "options":
            raise ValueError(f"Alpaca has no historical quotes of options: {instrument_id}; record them as they stream")
        instrument = await self._loaded(instrument_id)
        symbol = symbol_of(instrument_id)
        fetch = self.http.request_quotes if kind == "quotes" else self.http.request_trades
        async with asyncio.timeout(self.config.request_timeout_s):
            rows = await fetch(
                self._path(kind),
                self._params(symbol, start_ns, end_ns),
                symbol,
                instrument_id,
                instrument.price_precision,
                instrument.size_precision,
                self.builders,
            )
        return list(rows)

    async def _request_order_book_snapshot(self, request: Any) -> None:
        """A pair's book as it is now, `limit` levels a side (0: all of them)."""
        deltas = await self._for(request.instrument_id).book_now(request.instrument_id, request.limit)  # type: ignore[attr-defined]
        self._handle_data_response(  # type: ignore[attr-defined]
            DataType(OrderBookDeltas, metadata={"instrument_id": request.instrument_id}),
            [] if deltas is None else [deltas],
            request.id,
            None,
            None,
            request.params,
        )

    async def book_now(self, instrument_id: Any, levels: int = 0) -> OrderBookDeltas | None:
        """The book of a pair, None where it has none. Raises ValueError, Unavailable, HttpError or TimeoutError."""
        if self.config.feed.market != "crypto":
            raise ValueError(f"Alpaca has order books of crypto pairs only, not of {instrument_id}; use its quotes")
        instrument = await self._loaded(instrument_id)
        async with asyncio.timeout(self.config.request_timeout_s):
            body = await self.http.get(
                self._path("latest/orderbooks"), [("symbols", symbol_of(instrument_id))], data=True
            )
        return snapshot(instrument, body, self._clock.timestamp_ns(), levels=levels)

    async def _request_bars(self, request: Any) -> None:
        bar_type = request.bar_type
        spread = request.limit * bar_source(bar_type).length_ns * SPARSENESS if request.limit else 0
        start_ns, end_ns = self.window(request, max(spread, DEFAULT_WINDOW_NS))
        wanted = (request.params or {}).get("adjustment")
        bars = await self.history_bars(bar_type, start_ns, end_ns, adjust=wanted)
        if request.limit:
            bars = bars[-request.limit :]
        self._handle_bars(bar_type, bars, request.id, request.start, request.end, request.params)  # type: ignore[attr-defined]

    async def history_bars(self, bar_type: Any, start_ns: int, end_ns: int, *, adjust: str | None = "raw") -> list[Any]:
        """Bars that begin and end within a window of venue time (UNIX ns). Raises as `history_trades` does.

        `adjust` is what stocks' bars are adjusted for; None is what the configuration says. ValueError for others'.
        """
        other = self._for(bar_type.instrument_id)  # type: ignore[attr-defined]
        if other is not self:
            found: list[Any] = await other.history_bars(bar_type, start_ns, end_ns, adjust=adjust)
            return found
        source = bar_source(bar_type)
        stocks = self.config.feed.market == "stocks"
        adjusted = adjustment(self.config.adjustment if adjust is None else adjust)
        if adjusted != "raw" and not stocks:
            raise ValueError(f"only bars of stocks can be adjusted, not {bar_type}: leave adjustment out")
        instrument = await self._loaded(bar_type.instrument_id)
        symbol = symbol_of(bar_type.instrument_id)
        params = [*self._params(symbol, start_ns, end_ns), ("timeframe", source.timeframe)]
        by_calendar = bool(source.days or source.months)
        if stocks:
            params.append(("adjustment", adjusted))
        async with asyncio.timeout(self.config.request_timeout_s):
            rows = await self.http.request_bars(
                self._path("bars"),
                params,
                symbol,
                bar_type,
                instrument.price_precision,
                instrument.size_precision,
                0 if by_calendar else source.length_ns,
                calendar_builders(source, utc=self.config.feed.market == "crypto") if by_calendar else self.builders,
            )
        # A bar is known when it closes: one that still grows is not history.
        return [bar for bar in rows if bar.ts_event <= end_ns]

    async def _loaded(self, instrument_id: Any) -> Any:
        instrument = self.known(instrument_id)  # type: ignore[attr-defined]
        if instrument is None:
            await self.provider.load_async(instrument_id)
            instrument = self.provider.find(instrument_id)
        if instrument is None:
            raise ValueError(f"Alpaca has no instrument {instrument_id}; check the symbol")
        return instrument

    def window(self, request: Any, default_ns: int) -> tuple[int, int]:
        """Start and end of a request (UNIX ns) in venue time, never beyond the venue's present."""
        now_ns = self.venue_clock.now_ns()
        end_ns = now_ns if request.end is None else min(now_ns, self.venue_clock.to_venue_ns(int(request.end.value)))
        if request.start is None:
            return end_ns - default_ns, end_ns
        return min(self.venue_clock.to_venue_ns(int(request.start.value)), end_ns), end_ns

    def _path(self, kind: str) -> str:
        feed = self.config.feed
        paths = {
            "stocks": f"/v2/stocks/{kind}",
            "crypto": f"/v1beta3/crypto/{feed.value}/{kind}",
            "options": f"/v1beta1/options/{kind}",
        }
        return paths[feed.market]

    def _params(self, symbol: str, start_ns: int, end_ns: int) -> list[tuple[str, str]]:
        """Query of a history. Raises ValueError for a feed that has none."""
        feed = self.config.feed
        if feed == AlpacaDataFeed.TEST:
            raise ValueError(f"the feed test has no history: {symbol} can only be streamed")
        if feed == AlpacaDataFeed.DELAYED_SIP:
            # The same prints by REST: those of the last quarter of an hour are for who pays for them at once.
            feed, end_ns = AlpacaDataFeed.SIP, min(end_ns, self.venue_clock.now_ns() - DELAY_NS)
            start_ns = min(start_ns, end_ns)
        return [
            ("symbols", symbol),
            ("start", rfc3339(start_ns)),
            ("end", rfc3339(end_ns)),
            *([("feed", feed.value)] if feed.market == "stocks" else []),
            ("limit", str(PAGE)),
        ]
