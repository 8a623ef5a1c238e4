"""Subscriptions and requests of custom data: news, price bands, corporate actions."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
from nautilus_trader.model.data import CustomData, OptionGreeks
from nautilus_trader.model.identifiers import InstrumentId

from runner._engine import EngineError
from runner.alpaca import corporate_actions, news
from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.custom import AlpacaCorporateAction, AlpacaNews, AlpacaPriceBand
from runner.alpaca.history import DEFAULT_WINDOW_NS
from runner.alpaca.models import decode
from runner.alpaca.symbols import symbol_of

#: Feeds of the consolidated tape: price bands are on no other.
BAND_FEEDS = (AlpacaDataFeed.SIP, AlpacaDataFeed.DELAYED_SIP)
_TYPES = "AlpacaNews, AlpacaPriceBand or AlpacaCorporateAction (runner.alpaca.custom)"


class CustomDataMixin:
    """`_subscribe`, `_unsubscribe` and `_request` of AlpacaDataClient. The base class logs one that fails."""

    config: Any
    http: Any
    venue_clock: Any
    newsstand: news.Newsstand
    _clock: Any
    _log: Any
    _msgbus: Any

    async def _subscribe(self, command: Any) -> None:
        kind = command.data_type.type
        if kind is AlpacaNews:
            client = self._news_client()
            client.newsstand.newest_ns = client.newsstand.newest_ns or client.venue_clock.now_ns()
            for symbol in client.newsstand.add(command.data_type):
                client._add("news", symbol)
        elif kind is AlpacaPriceBand:
            instrument_id = _instrument_of(command.data_type)
            await self._for(instrument_id).stream_bands(instrument_id)  # type: ignore[attr-defined]
        elif kind is AlpacaCorporateAction:
            raise ValueError("Alpaca streams no corporate actions: request them, with request_data")
        else:
            raise ValueError(f"Alpaca has no {command.data_type}; subscribe to {_TYPES}")

    def unsubscribe(self, command: Any) -> None:
        """End a subscription to custom data, unless another subscriber still has the same.

        Nautilus looks for one under a topic that custom data never has, and so would end it for all of them.
        """
        topic = f"data.{command.data_type.topic}"
        if not any(found.topic == topic for found in self._msgbus.subscriptions(topic)):
            super().unsubscribe(command)  # type: ignore[misc]

    async def _unsubscribe(self, command: Any) -> None:
        kind = command.data_type.type
        if kind is AlpacaNews:
            client = self._news_client()
            for symbol in client.newsstand.remove(command.data_type):
                client._remove("news", symbol)
        elif kind is AlpacaPriceBand:
            instrument_id = _instrument_of(command.data_type)
            self._for(instrument_id)._remove("lulds", symbol_of(instrument_id))  # type: ignore[attr-defined]

    def _news_client(self) -> Any:
        """The client of the feed of news. Raises NoFeedError."""
        return self._of_market("news", "news")  # type: ignore[attr-defined]

    async def stream_bands(self, instrument_id: Any) -> None:
        """Subscribe to a stock's price bands. Raises ValueError."""
        if self.config.feed not in BAND_FEEDS:
            raise ValueError(
                f"the feed {self.config.feed} has no price bands of {instrument_id}: only sip and delayed_sip have them"
            )
        await self._want("lulds", instrument_id)  # type: ignore[attr-defined]
        self._add("lulds", symbol_of(instrument_id))  # type: ignore[attr-defined]

    # -- news ----------------------------------------------------------------------------------------

    def _on_news(self, body: bytes) -> None:
        row = decode(news.NewsRow, body, "an article")
        if self.venue_clock.is_replay:
            self.venue_clock.observe(row.ts_event)
        self._publish(row)

    def _publish(self, row: news.NewsRow) -> None:
        found = self.newsstand.take(row, self._clock.timestamp_ns())
        if found is not None:
            self._sink(found)  # type: ignore[attr-defined]

    async def catch_up_on_news(self) -> None:
        """After a reconnect: what appeared meanwhile, which the stream does not send again."""
        stand = self.newsstand
        if not stand.symbols or not stand.newest_ns:
            return
        try:
            # Not the newest stamp: nothing came while the stream was down, in a replay not even the time.
            end_ns = max(stand.newest_ns, await self.clock_ns())  # type: ignore[attr-defined]
            rows = await news.history(self.http.get, stand.symbols_by_name, stand.newest_ns, end_ns)
        except (EngineError, ValueError) as error:
            self._log.warning(f"News that appeared while the stream was down can't be read: {error}")
            return
        for row in rows:
            self._publish(row)

    # -- requests ------------------------------------------------------------------------------------

    async def _request(self, request: Any) -> None:
        kind = request.data_type.type
        if kind is OptionGreeks:
            await super()._request(request)  # type: ignore[misc]
            return
        if kind is AlpacaNews:
            rows = await self._past_news(request)
        elif kind is AlpacaCorporateAction:
            rows = await self._past_actions(request)
        elif kind is AlpacaPriceBand:
            raise ValueError("Alpaca has no history of price bands: record them as they stream")
        else:
            raise ValueError(f"Alpaca has no {request.data_type}; request OptionGreeks, {_TYPES}")
        # Without bounds: actions that are announced lie beyond the request's end.
        found = [CustomData(request.data_type, row) for row in rows]
        self._handle_data_response(request.data_type, found, request.id, None, None, request.params)  # type: ignore[attr-defined]

    async def _past_news(self, request: Any) -> list[Any]:
        symbols = news.wanted_symbols(request.data_type)
        start_ns, end_ns = self.window(request, DEFAULT_WINDOW_NS)  # type: ignore[attr-defined]
        rows = await news.history(self.http.get, symbols, start_ns, end_ns, request.limit)
        return [row.data(row.ts_event) for row in rows]

    async def _past_actions(self, request: Any) -> list[Any]:
        """Of the request's days, or of its params `start` and `end` (YYYY-MM-DD), which may lie in the future."""
        params, metadata = request.params or {}, request.data_type.metadata
        start_ns, end_ns = self.window(request, DEFAULT_WINDOW_NS)  # type: ignore[attr-defined]
        start, end = (
            date.fromisoformat(str(params[name])) if name in params else _new_york_day(ts_ns)
            for name, ts_ns in (("start", start_ns), ("end", end_ns))
        )
        unknown = set(metadata) - {"symbols", "types"}
        if unknown:
            raise ValueError(
                f"{request.data_type}: {min(unknown)} is unknown: make it with AlpacaCorporateAction.of(…)"
            )
        symbols, types = (str(metadata.get(name, "")) for name in ("symbols", "types"))
        return await corporate_actions.history(self.http.get, symbols, types, start, end, request.limit)


def _instrument_of(data_type: Any) -> InstrumentId:
    """The instrument that a data type is of. Raises ValueError."""
    found = data_type.metadata.get("instrument_id")
    if found is None:
        raise ValueError(f"{data_type} names no instrument: make it with {data_type.type.__name__}.of(instrument_id)")
    return found if isinstance(found, InstrumentId) else InstrumentId.from_str(str(found))


def _new_york_day(ts_ns: int) -> date:
    return pd.Timestamp(ts_ns, unit="ns", tz="America/New_York").date()
