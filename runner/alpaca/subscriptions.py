"""Subscriptions to quotes, trades, bars, books and halts, and the messages of books and halts."""

from __future__ import annotations

import json
from typing import Any

from runner.alpaca.bars import UnsupportedBarsError, bar_source, stream_channel
from runner.alpaca.books import BookKeeper, status
from runner.alpaca.symbols import instrument_id, symbol_of

#: The channel of bars that late or corrected trades have changed.
REVISED = "updatedBars"


class SymbolLimitError(ValueError):
    """More symbols of quotes and trades than the plan streams."""


class SubscriptionsMixin:
    """The `_subscribe_*` and `_unsubscribe_*` coroutines of AlpacaDataClient. The base class logs one that fails."""

    config: Any
    provider: Any
    venue_clock: Any
    amended: int
    load: Any
    _add: Any
    _bars: dict[Any, tuple[str, str]]
    _beyond: list[str]
    _book_kinds: dict[str, set[str]]
    _books: dict[str, BookKeeper]
    _cache: Any
    _clock: Any
    _for: Any
    _handle_data: Any
    _log: Any
    _loop: Any
    _remove: Any
    _sink: Any
    _stream: Any
    _traded: dict[str, Any]
    _want: Any

    async def _subscribe_quote_ticks(self, command: Any) -> None:
        client = self._for(command.instrument_id)
        try:
            await client.stream_quotes(command.instrument_id)
        except SymbolLimitError as error:
            client.note_beyond_limit(symbol_of(command.instrument_id), error)

    async def _subscribe_trade_ticks(self, command: Any) -> None:
        client = self._for(command.instrument_id)
        try:
            await client.stream_trades(command.instrument_id)
        except SymbolLimitError as error:
            client.note_beyond_limit(symbol_of(command.instrument_id), error)

    def note_beyond_limit(self, symbol: str, error: SymbolLimitError) -> None:
        """Log what the plan does not stream: once for all that is subscribed to in one go, such as an option chain."""
        if not self._beyond:
            self._loop.call_soon(self._tell_beyond_limit, error)
        self._beyond.append(symbol)

    def _tell_beyond_limit(self, error: SymbolLimitError) -> None:
        others, self._beyond = self._beyond[1:], []
        shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        self._log.error(
            f"Market data: {error}" + (f". Not subscribed either, {len(others)} more: {shown}" if others else "")
        )

    async def _subscribe_bars(self, command: Any) -> None:
        await self._for(command.bar_type.instrument_id).stream_bars(command.bar_type)

    async def stream_quotes(self, instrument_id: Any) -> None:
        """Subscribe to quotes. Raises SymbolLimitError, ValueError."""
        await self._want("quotes", instrument_id)
        self._add("quotes", symbol_of(instrument_id))

    async def stream_trades(self, instrument_id: Any) -> None:
        """Subscribe to trades. Raises SymbolLimitError, ValueError."""
        await self._want("trades", instrument_id)
        self._traded[symbol_of(instrument_id)] = instrument_id
        self._add("trades", symbol_of(instrument_id))

    async def stream_bars(self, bar_type: Any) -> None:
        """Subscribe to bars. Raises UnsupportedBarsError, ValueError."""
        if self.config.feed.market == "options":
            raise UnsupportedBarsError(
                f"Alpaca streams no bars of options; aggregate {bar_type} from trades as INTERNAL, or request history"
            )
        channel = stream_channel(bar_type)
        instrument = await self._want(channel, bar_type.instrument_id)
        symbol = symbol_of(bar_type.instrument_id)
        if self._stream is not None:
            self._stream.ws.map_bar(
                channel,
                symbol,
                bar_type,
                instrument.price_precision,
                instrument.size_precision,
                bar_source(bar_type).length_ns,
            )
            if self.config.updated_bars:
                self._revise(symbol, bar_type, instrument)
        self._bars[bar_type] = (channel, symbol)
        self._add(channel, symbol)

    async def _subscribe_order_book_deltas(self, command: Any) -> None:
        instrument_id = command.instrument_id
        client = self._for(instrument_id)
        # Nautilus's emulator asks for both, the book and the quotes, and goes by what comes.
        if client.config.feed.market != "crypto" and self._cache.orders_emulated(instrument_id=instrument_id):
            self._log.debug(f"{instrument_id} has no order book: its emulated orders go by its quotes")
            return
        await client.stream_book(instrument_id, "deltas")

    async def _subscribe_order_book_depth(self, command: Any) -> None:
        await self._for(command.instrument_id).stream_book(command.instrument_id, "depth")

    async def _unsubscribe_order_book_deltas(self, command: Any) -> None:
        self._for(command.instrument_id).end_book(symbol_of(command.instrument_id), "deltas")

    async def _unsubscribe_order_book_depth(self, command: Any) -> None:
        self._for(command.instrument_id).end_book(symbol_of(command.instrument_id), "depth")

    async def stream_book(self, instrument_id: Any, kind: str) -> None:
        """Subscribe to a pair's book, as `deltas` or `depth`. Raises ValueError."""
        if self.config.feed.market != "crypto":
            raise ValueError(f"Alpaca streams order books of crypto pairs only, not of {instrument_id}; use its quotes")
        instrument = await self._want("orderbooks", instrument_id)
        symbol = symbol_of(instrument_id)
        book = self._books.setdefault(symbol, BookKeeper(instrument))
        self._book_kinds.setdefault(symbol, set()).add(kind)
        self._add("orderbooks", symbol)
        if kind == "deltas" and not book.empty:  # the venue sends the whole book once, and that was before
            self._sink(book.whole(self.venue_clock.now_ns(), self._clock.timestamp_ns()))

    def end_book(self, symbol: str, kind: str) -> None:
        """Unsubscribe from a pair's book."""
        kinds = self._book_kinds.get(symbol, set())
        kinds.discard(kind)
        if not kinds and self._books.pop(symbol, None) is not None:
            self._remove("orderbooks", symbol)

    def _on_book(self, body: bytes) -> None:
        symbol = json.loads(body)["S"]
        book = self._books.get(symbol)
        if book is None:
            return
        now_ns = self._clock.timestamp_ns()
        deltas = book.read(body, now_ns)
        if deltas is None:
            return
        if self.venue_clock.is_replay:
            self.venue_clock.observe(deltas.ts_event)
        kinds = self._book_kinds[symbol]
        if "deltas" in kinds:
            self._sink(deltas)
        if "depth" in kinds:
            self._sink(book.depth(deltas.ts_event, now_ns))

    async def _subscribe_instrument_status(self, command: Any) -> None:
        client = self._for(command.instrument_id)
        if client.config.feed.market == "options":
            # Nautilus's option chains ask for it with each contract's quotes and greeks.
            self._log.debug(f"Alpaca tells of no halts of options: none will come of {command.instrument_id}")
            return
        if client.config.feed.market != "stocks":
            raise ValueError(f"Alpaca tells of halts of stocks only, not of {command.instrument_id}")
        await client._want("statuses", command.instrument_id)
        client._add("statuses", symbol_of(command.instrument_id))

    async def _unsubscribe_instrument_status(self, command: Any) -> None:
        self._for(command.instrument_id)._remove("statuses", symbol_of(command.instrument_id))

    def _on_amended(self, body: bytes) -> None:
        """A trade that was delivered is corrected or canceled: Nautilus has no such event, so it is counted."""
        self.amended += 1
        message = json.loads(body)
        what = "corrected" if message.get("T") == "c" else "canceled"
        self._log.warning(f"Market data: a trade of {message.get('S')} was {what} after it was delivered: {message}")

    def _on_status(self, body: bytes) -> None:
        found = self.provider.find(instrument_id(str(json.loads(body)["S"])))
        if found is not None:
            self._sink(status(found.id, body, self._clock.timestamp_ns()))

    async def _unsubscribe_quote_ticks(self, command: Any) -> None:
        self._for(command.instrument_id)._remove("quotes", symbol_of(command.instrument_id))

    async def _unsubscribe_trade_ticks(self, command: Any) -> None:
        self._for(command.instrument_id)._remove("trades", symbol_of(command.instrument_id))

    async def _unsubscribe_bars(self, command: Any) -> None:
        self._for(command.bar_type.instrument_id).end_bars(command.bar_type)

    def end_bars(self, bar_type: Any) -> None:
        """Unsubscribe from bars."""
        channel, symbol = self._bars.pop(bar_type, (None, None))
        if channel is not None and symbol is not None:
            self._remove(channel, symbol)
            if self._stream is not None:
                self._stream.ws.unmap_bar(channel, symbol)
            if self.config.updated_bars and self._stream is not None:
                self._remove(REVISED, symbol)
                self._stream.ws.unmap_bar(REVISED, symbol)

    def _revise(self, symbol: str, bar_type: Any, instrument: Any) -> None:
        """Have a minute's bar come again when it has changed, as a revision."""
        assert self._stream is not None
        digits = (instrument.price_precision, instrument.size_precision)
        self._stream.ws.map_bar(REVISED, symbol, bar_type, *digits, bar_source(bar_type).length_ns)
        self._add(REVISED, symbol)

    async def _subscribe_instrument(self, command: Any) -> None:
        """The instrument as it is now; Alpaca streams no changes of it."""
        if self.provider.find(command.instrument_id) is None:
            await self.provider.load_async(command.instrument_id)
        found = self.provider.find(command.instrument_id)
        if found is None:
            raise ValueError(f"Alpaca has no instrument {command.instrument_id}; check the symbol")
        self._handle_data(found)

    async def _subscribe_instruments(self, command: Any) -> None:
        """See `_subscribe_instrument`."""

    async def _unsubscribe_instrument(self, command: Any) -> None:
        """Nothing was asked of the venue."""

    async def _unsubscribe_instruments(self, command: Any) -> None:
        """Nothing was asked of the venue."""
