"""Alpaca's own Python client reads this exchange's market data unchanged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
START = datetime(2026, 1, 12, tzinfo=UTC)


async def test_its_stream_gets_quotes_trades_and_bars(settings: Config) -> None:
    got: dict[str, list[Any]] = {"quotes": [], "trades": [], "bars": []}
    async with ExchangeServer(settings()) as ex:
        stream = StockDataStream("PK1", "secret", feed=DataFeed.IEX, url_override=ex.ws_url + "/v2/iex")
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def taker(kind: str) -> Any:
            async def take(message: Any) -> None:
                got[kind].append(message)
                if all(got.values()):
                    loop.call_soon_threadsafe(done.set)

            return take

        stream.subscribe_quotes(taker("quotes"), "IBM")
        stream.subscribe_trades(taker("trades"), "IBM", "BAC")
        stream.subscribe_bars(taker("bars"), "*")
        thread = threading.Thread(target=stream.run)
        thread.start()
        try:
            await asyncio.wait_for(done.wait(), 20)
        finally:
            await asyncio.to_thread(stream.stop)
            await asyncio.to_thread(thread.join, 20)
    quote, trade, bar = (got[kind][0] for kind in ("quotes", "trades", "bars"))
    assert quote.symbol == "IBM"
    assert 0 < quote.bid_price < quote.ask_price
    assert quote.timestamp.date() == START.date()
    assert trade.size > 0
    assert bar.low <= bar.vwap <= bar.high


async def test_its_history_client_reads_every_page(settings: Config) -> None:
    async with ExchangeServer(settings()) as ex:
        await ex.step_until(1 << 62)
        rest = StockHistoricalDataClient("PK1", "secret", url_override=ex.url)

        def ask() -> tuple[Any, ...]:
            return (
                rest.get_stock_trades(StockTradesRequest(symbol_or_symbols=["BAC", "IBM"], start=START)),
                rest.get_stock_quotes(StockQuotesRequest(symbol_or_symbols="IBM", start=START, limit=5)),
                rest.get_stock_bars(
                    StockBarsRequest(
                        symbol_or_symbols="IBM", start=START, timeframe=TimeFrame(30, TimeFrameUnit.Minute)
                    )
                ),
                rest.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["IBM"])),
                rest.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="IBM")),
            )

        trades, quotes, bars, latest, snapshot = await asyncio.to_thread(ask)
        printed = sum(1 for m in ex.parts.replay.player.source.messages() if m.kind == "t")
    assert sum(len(found) for found in trades.data.values()) == printed
    assert len(quotes["IBM"]) == 5
    assert sum(bar.trade_count for bar in bars["IBM"]) <= len(trades["IBM"])
    assert latest["IBM"].ask_price == snapshot["IBM"].latest_quote.ask_price
    assert snapshot["IBM"].daily_bar.high >= snapshot["IBM"].minute_bar.high
