"""Market data of one market, as a Nautilus data client: one stream, and history by REST.

Nautilus takes one data client a venue. Where a node has feeds of several markets, the first one's client is that, and
hands what is for another market to the client of that market's feed (`join`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nautilus_trader.data.engine import DataEngine
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.model.identifiers import ClientId

from runner._engine import AlpacaHttpClient, AlpacaWebSocketClient
from runner.alpaca.books import BookKeeper
from runner.alpaca.builders import nautilus_builders
from runner.alpaca.chains import ReplayedChains
from runner.alpaca.config import AlpacaDataClientConfig
from runner.alpaca.constants import ALPACA_VENUE
from runner.alpaca.custom_data import CustomDataMixin
from runner.alpaca.greeks import GreeksPoller
from runner.alpaca.history import HistoryMixin
from runner.alpaca.news import Newsstand
from runner.alpaca.option_data import OptionDataMixin
from runner.alpaca.preflight import look_up
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.alpaca.refill import Refill
from runner.alpaca.rest import TradingRest
from runner.alpaca.shared import SharedHttp
from runner.alpaca.stream import LoopStream
from runner.alpaca.subscriptions import SubscriptionsMixin, SymbolLimitError
from runner.alpaca.symbols import symbol_of
from runner.alpaca.venue_clock import VenueClock
from runner.config.markets import Market, market_of


class NoFeedError(ValueError):
    """An instrument of a market that the node has no feed of."""


class AlpacaDataClient(SubscriptionsMixin, CustomDataMixin, OptionDataMixin, HistoryMixin, LiveMarketDataClient):
    """Quotes, trades, bars, books and what Nautilus has no type for, of one market."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        config: AlpacaDataClientConfig,
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
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=provider,
        )
        self.config = config
        self.provider = provider
        self.builders = nautilus_builders()
        self._shared = shared
        self._opened = False
        self._stream: LoopStream | None = None
        self._sink: Callable[[Any], object] = self._handle_data
        self._channels: dict[str, set[str]] = {}
        self._bars: dict[Any, tuple[str, str]] = {}
        self._traded: dict[str, Any] = {}
        self._beyond: list[str] = []
        self._unsettled = False
        #: The venue's time when this client connected.
        self.opened_ns = 0
        self.refill = Refill(self)
        self.greeks = GreeksPoller(self)
        self._books: dict[str, BookKeeper] = {}
        self._book_kinds: dict[str, set[str]] = {}
        #: Trades that the venue took back or changed after they were delivered.
        self.amended = 0
        self._readers: dict[str, Callable[[bytes], None]] = {
            "o": self._on_book,
            "s": self._on_status,
            "c": self._on_amended,
            "x": self._on_amended,
            "n": self._on_news,
        }
        self.newsstand = Newsstand()
        self._by_market: dict[Market, AlpacaDataClient] = {config.feed.market: self}

    def join(self, others: Iterable[AlpacaDataClient]) -> None:
        """From now on hand what is for another market to that market's client."""
        self._by_market |= {other.config.feed.market: other for other in others}

    def _for(self, instrument_id: Any) -> AlpacaDataClient:
        """Whose stream and history an instrument is in. Raises NoFeedError."""
        return self._of_market(market_of(symbol_of(instrument_id)), instrument_id)

    def _of_market(self, market: Market, what: Any) -> AlpacaDataClient:
        found = self._by_market.get(market)
        if found is None:
            section = f"`{market}: {{source: alpaca, market: {market}}}`"
            raise NoFeedError(f"{what} needs a feed of {market}, and there is none: add {section} under feeds")
        return found

    # -- what others read -----------------------------------------------------------------------------

    @property
    def http(self) -> AlpacaHttpClient:
        """The HTTP client, shared with the execution client of the same keys."""
        return self._shared.client

    @property
    def venue_clock(self) -> VenueClock:
        """Venue time, made of this stream's stamps."""
        return self._shared.venue_clock

    def stream_stats(self) -> dict[str, int]:
        """The stream's counters."""
        if self._stream is None:
            return {}
        own = {
            "handler_errors": self._stream.errors,
            "refills": self.refill.refills,
            "refilled": self.refill.refilled,
            "greeks_polls": self.greeks.polls,
            "greeks_failed": self.greeks.failed,
            "amended": self.amended,
        }
        return dict(self._stream.ws.stats()) | own

    @property
    def log(self) -> Any:
        """Nautilus's logger of this client."""
        return self._log

    @property
    def msgbus(self) -> Any:
        """Nautilus's message bus."""
        return self._msgbus

    @property
    def cache(self) -> Any:
        """Nautilus's cache."""
        return self._cache

    @property
    def gapped(self) -> bool:
        """Whether trades or bars are missing that the stream lost, and REST has not yet brought back.

        A strategy decides on half a picture then: what opens a position should wait.
        """
        return bool(self.refill.symbols)

    def streamed_symbols(self) -> set[str]:
        """Symbols whose trades or minute bars are subscribed to."""
        return self._channels.get("trades", set()) | self._channels.get("bars", set())

    def streamed(self, symbol: str) -> list[Any]:
        """What of a symbol must come whole: its instrument id for trades, its types of minute bars."""
        bars = [bar_type for bar_type, (channel, name) in self._bars.items() if (channel, name) == ("bars", symbol)]
        trades = [self._traded[symbol]] if symbol in self._channels.get("trades", set()) else []
        return [*trades, *bars]

    @property
    def newest_event_ns(self) -> int:
        """The newest of the venue's stamps that the stream has read, delivered or not (UNIX ns)."""
        return int(self._stream.ws.stats()["last_event_ns"]) if self._stream is not None else 0

    async def clock_ns(self) -> int:
        """The venue's time by its own clock (UNIX ns). Raises HttpError, Unavailable or WireError."""
        return await TradingRest(lambda: self.http).clock_ns()

    def drain_stream(self) -> None:
        """Deliver what the stream has read by now."""
        if self._stream is not None:
            self._stream.drain_all()

    def divert(self, sink: Callable[[Any], object]) -> Callable[[Any], object]:
        """Hand ticks to `sink` from now on; returns where they went before."""
        before, self._sink = self._sink, sink
        return before

    @property
    def trouble(self) -> str:
        """Why the stream is not there, in the venue's words; empty where it is, or nothing is known."""
        return self._stream.trouble if self._stream is not None else ""

    @property
    def subscriptions_confirmed(self) -> bool:
        """Whether the venue has acknowledged everything that was subscribed to, and no subscription is under way."""
        if any(not task.done() and task.get_name().startswith("subscribe") for task in self._tasks):
            return False
        if self._stream is None:
            return not any(self._channels.values())
        confirmed = self._stream.ws.subscriptions()
        return all(symbols <= set(confirmed.get(channel, ())) for channel, symbols in self._channels.items())

    @property
    def settling(self) -> bool:
        """Whether the venue has yet to acknowledge something that was subscribed to; not where it has refused it."""
        if self._unsettled and self.subscriptions_confirmed:
            self._unsettled = False
        return self._unsettled

    def use_engine(self, data_engine: Any) -> None:
        """Hand ticks straight to this data engine, past its queue, if the configuration's `direct` says so."""
        ReplayedChains.install(data_engine, self)
        if not self.config.direct:
            return
        # The live engine's own `process` queues; its base's does the work.
        self._sink = functools.partial(DataEngine.process, data_engine)

    def _deliver(self, tick: Any) -> None:
        self._sink(tick)

    def _deliver_replayed(self, tick: Any) -> None:
        # A replay's pace is unknown: its ticks are the only clock, so each one moves it before it is seen.
        self.venue_clock.observe(tick.ts_event)
        self._sink(tick)

    # -- connection -----------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._shared.open(self._loop)
        self._opened = True
        self.opened_ns = await self.venue_clock.ask(self.clock_ns)
        if self.config.feed.market != "news":  # which are of no instrument
            await self.provider.initialize()
        self._start_stream()
        for instrument in self.provider.list_all():
            self._handle_data(instrument)
            self._map(instrument)
        if self._stream is not None:
            await self._stream.wait_ready(self.config.connect_timeout_s)
        self.greeks.start()

    def _start_stream(self) -> None:
        config = self.config
        ws = AlpacaWebSocketClient(
            self._shared.urls.market_stream(config.feed),
            self._shared.keys.key,
            self._shared.keys.secret,
            protocol="market",
            codec="msgpack" if config.feed.market == "options" else config.codec,
            connect_timeout_s=config.connect_timeout_s,
            ping_interval_s=config.ping_interval_s,
            silence_timeout_s=config.silence_timeout_s,
            backoff_min_s=config.backoff_min_s,
            backoff_max_s=config.backoff_max_s,
            busy_backoff_s=config.busy_backoff_s,
            conflate_above=config.conflate_above,
            spill_above=config.spill_above,
        )
        ws.set_builders(self.builders)
        self._stream = LoopStream(
            ws,
            self._loop,
            name="market-data stream",
            sink=self._deliver_replayed if self.venue_clock.is_replay else self._deliver,
            on_message=self._on_message,
            on_state=self._on_state,
            on_error=lambda what, error: self._log.exception(what, error),
            limit=config.drain_limit,
        )
        self._stream.start()

    async def _disconnect(self) -> None:
        self.greeks.stop()
        if self._stream is not None:
            self._stream.stop()
        await self.cancel_pending_tasks(timeout_secs=self.config.disconnect_timeout_s)
        if self._opened:
            self._opened = False
            self._shared.close()

    def _map(self, instrument: Any) -> None:
        if self._stream is not None:
            self._stream.ws.map_symbol(
                symbol_of(instrument.id), instrument.id, instrument.price_precision, instrument.size_precision
            )

    def _on_state(self, state: str, detail: str) -> None:
        if state == "gapped":
            self.refill.lost(detail or "*")
        text = f"Market data: {state}{f' ({detail})' if detail else ''}"
        if state in ("disconnected", "refused", "gapped"):
            self._log.warning(text)
        elif state == "ready":
            self._log.info(text)
            if self.config.feed.market == "news":
                self.create_task(self.catch_up_on_news(), log_msg="catch up on news")
        else:
            self._log.debug(text)

    def _on_message(self, kind: str, body: bytes) -> None:
        if kind in self._readers:
            try:
                self._readers[kind](body)
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                self._log.error(f"Market data: a message of type {kind} can't be read: {error!r}")
            return
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        if kind == "error":
            self._unsettled = False
            self._log.error(f"Market data: the venue said {text}")
        else:
            self._log.debug(f"Market data: {kind} {text}")

    # -- subscriptions --------------------------------------------------------------------------------

    async def _want(self, channel: str, instrument_id: Any) -> Any:
        """Subscribe to a channel of an instrument that is loaded, or can be. Raises SymbolLimitError, ValueError."""
        symbol = symbol_of(instrument_id)
        if self._stream is None:
            raise RuntimeError("not connected")
        instrument = await self.load(instrument_id)
        if instrument is None:
            raise ValueError(f"Alpaca has no instrument {instrument_id}; check the symbol")
        self._map(instrument)
        self._check_limit(channel, symbol)
        return instrument

    def _check_limit(self, channel: str, symbol: str) -> None:
        """Raises SymbolLimitError where the venue would refuse the subscription, with 405 and all others beside it."""
        most, counted = self.config.max_symbols, self.config.feed.limited
        if not most or channel not in counted or symbol in self._channels.get(channel, ()):
            return
        number = 1 + sum(len(self._channels.get(each, ())) for each in counted)
        if number > most:
            raise SymbolLimitError(
                f"{channel} of {symbol} would be subscription number {number}, the feed {self.config.feed} may have "
                f"{most} ({' and '.join(counted)} count, each symbol of each): subscribe to fewer, or raise "
                "max_symbols if your plan has more"
            )

    def short_of_room(self, ticks: set[str], quotes: set[str]) -> str | None:
        """Why symbols could not be subscribed to beside what is; None where they could.

        `ticks` are those of which quotes or trades will be asked, or both: they count once where there is neither yet.
        """
        most, counted = self.config.max_symbols, self.config.feed.limited
        now = {(channel, symbol) for channel in counted for symbol in self._channels.get(channel, ())}
        now |= {("quotes", symbol) for symbol in quotes}
        number = len(now) + len(ticks - {symbol for _, symbol in now})
        if not most or number <= most:
            return None
        return f"{number} subscriptions would be made of the feed {self.config.feed}, and it may have {most}"

    async def load(self, instrument_id: Any) -> Any:
        """The instrument, looked up and told to Nautilus where that is new; None where the venue has none.

        Raises HttpError or Unavailable where it can't be asked.
        """
        instrument = self.known(instrument_id)
        if instrument is None:
            await self.provider.load_async(instrument_id)
            instrument = self.provider.find(instrument_id)
            if instrument is not None:
                self._handle_data(instrument)
        return instrument

    def known(self, instrument_id: Any) -> Any:
        """An instrument that is loaded already, be it by the client of another market; None where none did."""
        found = self.provider.find(instrument_id)
        if found is None:
            found = self._cache.instrument(instrument_id)
            if found is not None:
                self.provider.add(found)
        return found

    async def look_up(self, instruments: Sequence[str], bars: Sequence[str], quotes: Sequence[str]) -> list[str]:
        """See `preflight.look_up`."""
        return await look_up(self, instruments, bars, quotes)

    def _add(self, channel: str, symbol: str) -> None:
        self._channels.setdefault(channel, set()).add(symbol)
        self._unsettled = True
        if self._stream is not None:
            self._stream.ws.subscribe(channel, [symbol])

    def _remove(self, channel: str, symbol: str) -> None:
        self._channels.get(channel, set()).discard(symbol)
        if self._stream is not None:
            self._stream.ws.unsubscribe(channel, [symbol])


def use_direct_delivery(data_engine: Any) -> int:
    """Let every Alpaca client of a built node hand its ticks straight to `data_engine`. Returns how many there are."""
    clients = [client for client in data_engine._clients.values() if isinstance(client, AlpacaDataClient)]
    for client in clients:
        client.use_engine(data_engine)
    return len(clients)
