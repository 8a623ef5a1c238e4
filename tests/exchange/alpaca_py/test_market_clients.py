"""Alpaca's own clients for crypto, options, news and corporate actions read this exchange unchanged."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from alpaca.data.enums import Adjustment, CorporateActionsType, CryptoFeed, OptionsFeed
from alpaca.data.historical import (
    CryptoHistoricalDataClient,
    NewsClient,
    OptionHistoricalDataClient,
    StockHistoricalDataClient,
)
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.live import CryptoDataStream, NewsDataStream, OptionDataStream, StockDataStream
from alpaca.data.requests import (
    CorporateActionsRequest,
    CryptoBarsRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    CryptoSnapshotRequest,
    CryptoTradesRequest,
    NewsRequest,
    OptionBarsRequest,
    OptionChainRequest,
    OptionLatestQuoteRequest,
    OptionSnapshotRequest,
    OptionTradesRequest,
    StockBarsRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, ContractType
from alpaca.trading.requests import GetAssetsRequest, GetOptionContractsRequest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

DAY = date(2026, 1, 12)
START = datetime(2026, 1, 12, tzinfo=UTC)
PATIENCE_S = 20.0
END = 1 << 62


def settings(**more: Any) -> Settings:
    """A stock with its chain and a pair, core session."""
    base: dict[str, Any] = {
        "symbols": ("GOOG", "BTC/USD"),
        "options": ("GOOG",),
        "day": DAY,
        "extended_hours": False,
        "activity": 0.1,
        "speed": float("inf"),
        "wait": True,
    }
    return Settings(**{**base, **more})


@asynccontextmanager
async def running(stream: Any) -> AsyncIterator[None]:
    """A blocking stream of alpaca-py in a thread of its own."""
    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(stream.stop)
        await asyncio.to_thread(thread.join, PATIENCE_S)


class Taker:
    """Keeps what streams deliver, and tells the test's loop when each kind has come."""

    def __init__(self, *kinds: str) -> None:
        self.got: dict[str, list[Any]] = {kind: [] for kind in kinds}
        self._loop = asyncio.get_running_loop()
        self._all = asyncio.Event()

    def of(self, kind: str) -> Callable[[Any], Any]:
        async def take(message: Any) -> None:
            self.got[kind].append(message)
            if all(self.got.values()):
                self._loop.call_soon_threadsafe(self._all.set)

        return take

    async def each(self) -> tuple[Any, ...]:
        """The first of each kind."""
        await asyncio.wait_for(self._all.wait(), PATIENCE_S)
        return tuple(messages[0] for messages in self.got.values())


async def test_the_crypto_stream_delivers_every_channel() -> None:
    async with ExchangeServer(settings()) as ex:
        url = ex.ws_url + "/v1beta3/crypto/us"
        stream, taker = CryptoDataStream("PK1", "s", url_override=url), Taker("t", "q", "b", "d", "o")
        stream.subscribe_trades(taker.of("t"), "BTC/USD")
        stream.subscribe_quotes(taker.of("q"), "*")
        stream.subscribe_bars(taker.of("b"), "BTC/USD")
        stream.subscribe_daily_bars(taker.of("d"), "BTC/USD")
        stream.subscribe_orderbooks(taker.of("o"), "BTC/USD")
        async with running(stream):
            trade, quote, bar, day, book = await taker.each()
    assert trade.symbol == quote.symbol == bar.symbol == "BTC/USD"
    assert 0 < quote.bid_price < quote.ask_price
    assert bar.low <= bar.close <= bar.high
    assert day.timestamp == datetime(2026, 1, 12, tzinfo=UTC)
    assert book.reset
    assert len(book.bids) == len(book.asks) == 10


async def test_the_crypto_client_reads_history_without_a_key() -> None:
    async with ExchangeServer(settings()) as ex:
        await ex.step_until(END)
        rest = CryptoHistoricalDataClient(url_override=ex.url)

        def ask() -> tuple[Any, ...]:
            pair: Any = {"symbol_or_symbols": "BTC/USD"}
            return (
                rest.get_crypto_bars(CryptoBarsRequest(**pair, start=START, timeframe=TimeFrame.Hour)),
                rest.get_crypto_trades(CryptoTradesRequest(**pair, start=START), feed=CryptoFeed.US),
                rest.get_crypto_latest_quote(CryptoLatestQuoteRequest(**pair)),
                rest.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(**pair)),
                rest.get_crypto_snapshot(CryptoSnapshotRequest(**pair)),
            )

        bars, trades, quote, book, snapshot = await asyncio.to_thread(ask)
        printed = sum(m.kind == "t" and m.symbol == "BTC/USD" for m in ex.parts.replay.player.source.messages())
    assert sum(bar.trade_count for bar in bars["BTC/USD"]) == len(trades["BTC/USD"]) == printed
    assert quote["BTC/USD"].bid_price == book["BTC/USD"].bids[0].price
    assert snapshot["BTC/USD"].latest_quote.ask_price == book["BTC/USD"].asks[0].price
    assert snapshot["BTC/USD"].daily_bar.trade_count == printed


async def test_the_option_stream_delivers_quotes_and_trades() -> None:
    async with ExchangeServer(settings()) as ex:
        traded = {m.symbol for m in ex.parts.replay.player.source.messages() if m.kind == "t" and len(m.symbol) > 10}
        assert traded
        url = ex.ws_url + "/v1beta1/indicative"
        stream, taker = OptionDataStream("PK1", "s", feed=OptionsFeed.INDICATIVE, url_override=url), Taker("q", "t")
        stream.subscribe_quotes(taker.of("q"), *traded)
        stream.subscribe_trades(taker.of("t"), *traded)
        async with running(stream):
            quote, trade = await taker.each()
    assert quote.symbol in traded
    assert 0 <= quote.bid_price < quote.ask_price
    assert quote.timestamp.date() == DAY
    assert trade.price > 0


async def test_the_option_client_reads_chain_greeks_and_history() -> None:
    async with ExchangeServer(settings()) as ex:
        await ex.step_until(ex.market.calendar.close_ns(DAY) - 1)
        call = next(c.symbol for c in ex.market.contracts() if ex.market.last_trade(c.symbol))
        rest = OptionHistoricalDataClient("PK1", "s", url_override=ex.url)

        def ask() -> tuple[Any, ...]:
            one: Any = {"symbol_or_symbols": call}
            return (
                rest.get_option_chain(OptionChainRequest(underlying_symbol="GOOG", type=ContractType.CALL)),
                rest.get_option_snapshot(OptionSnapshotRequest(**one)),
                rest.get_option_latest_quote(OptionLatestQuoteRequest(**one)),
                rest.get_option_trades(OptionTradesRequest(**one, start=START)),
                rest.get_option_bars(OptionBarsRequest(**one, start=START, timeframe=TimeFrame.Day)),
                rest.get_option_exchange_codes(),
            )

        chain, snapshot, quote, trades, bars, codes = await asyncio.to_thread(ask)
        calls = sum(contract.type == "call" for contract in ex.market.contracts())
    assert len(chain) == calls
    assert sum(found.greeks is not None for found in chain.values()) > calls / 2
    assert all(0 <= found.greeks.delta <= 1 for found in chain.values() if found.greeks)
    assert snapshot[call].latest_quote.ask_price == quote[call].ask_price
    assert bars[call][0].trade_count == len(trades[call])
    assert "C" in codes


async def test_the_trading_client_finds_contracts_and_pairs() -> None:
    async with ExchangeServer(settings()) as ex:
        trading = TradingClient("PK1", "s", paper=True, url_override=ex.url)

        def ask() -> tuple[Any, ...]:
            wanted = GetOptionContractsRequest(
                underlying_symbols=["GOOG"], expiration_date_lte=date(2026, 12, 31), limit=50
            )
            first = trading.get_option_contracts(wanted)
            rest = trading.get_option_contracts(wanted.model_copy(update={"page_token": first.next_page_token}))
            return (
                first,
                rest,
                trading.get_option_contract(first.option_contracts[0].symbol),
                trading.get_option_contract(str(first.option_contracts[0].id)),
                trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO)),
                trading.get_asset("BTC/USD".replace("/", "%2F")),
            )

        first, rest, one, by_id, pairs, pair = await asyncio.to_thread(ask)
        symbols = [contract.symbol for contract in ex.market.contracts()]
    assert len(first.option_contracts) == 50
    assert [c.symbol for c in (*first.option_contracts, *rest.option_contracts)] == symbols[:100]
    assert one == by_id == first.option_contracts[0]
    assert one.open_interest is not None
    assert [found.symbol for found in pairs] == [pair.symbol] == ["BTC/USD"]
    assert pair.min_order_size == pytest.approx(0.000012)


async def test_news_is_streamed_and_read() -> None:
    async with ExchangeServer(settings()) as ex:
        stream, taker = NewsDataStream("PK1", "s", url_override=ex.ws_url + "/v1beta1/news"), Taker("n")
        stream.subscribe_news(taker.of("n"), "*")
        async with running(stream):
            (article,) = await taker.each()
        await ex.step_until(END)
        rest = NewsClient("PK1", "s", url_override=ex.url)
        found = await asyncio.to_thread(rest.get_news, NewsRequest(symbols="GOOG,BTCUSD", limit=50))
    assert article.source == "synthetic"
    assert article.id in {known.id for known in found.data["news"]}
    assert len(found.data["news"]) == 6


async def test_halts_and_cancels_reach_the_stock_stream() -> None:
    async with ExchangeServer(settings()) as ex:
        stream = StockDataStream("PK1", "s", url_override=ex.ws_url + "/v2/sip")
        traded, rest = Taker("t"), Taker("s", "x")
        stream.subscribe_trades(traded.of("t"), "GOOG")
        stream.subscribe_trading_statuses(rest.of("s"), "GOOG")
        stream.register_trade_cancels(rest.of("x"))
        async with running(stream):
            (trade,) = await traded.each()
            messages = [
                {"T": "x", "S": "GOOG", "i": trade.id, "x": trade.exchange, "p": 1, "s": 1, "a": "C", "z": "C"},
                {"T": "s", "S": "GOOG", "sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "News Pending", "z": "C"},
            ]
            async with httpx.AsyncClient(base_url=ex.url, verify=False) as client:
                reply = await client.post("/control/market", json={"messages": messages})
                assert reply.status_code == 200, reply.text
            status, cancel = await rest.each()
    assert (status.status_code, status.reason_code) == ("H", "T1")
    assert (cancel.symbol, cancel.id) == ("GOOG", trade.id)


async def test_corporate_actions_are_read_and_adjust_bars(tmp_path: Path) -> None:
    path = tmp_path / "actions.json"
    days = {"process_date": "2026-01-13", "ex_date": "2026-01-12"}
    split = {"id": "6e58f870-fe73-4583-81e4-b9a37892c36f", "symbol": "GOOG", "cusip": "02079K107"}
    path.write_text(json.dumps({"forward_splits": [{**split, "new_rate": 3, "old_rate": 1, **days}]}))
    async with ExchangeServer(settings(corporate_actions=path)) as ex:
        await ex.step_until(END)
        actions = CorporateActionsClient("PK1", "s", url_override=ex.url)
        stocks = StockHistoricalDataClient("PK1", "s", url_override=ex.url)

        def ask() -> tuple[Any, ...]:
            wanted = CorporateActionsRequest(
                symbols=["GOOG"],
                types=[CorporateActionsType.FORWARD_SPLIT],
                start=date(2026, 1, 1),
                end=date(2026, 2, 1),
            )
            bars = StockBarsRequest(
                symbol_or_symbols="GOOG", start=START, timeframe=TimeFrame.Minute, adjustment=Adjustment.ALL
            )
            return actions.get_corporate_actions(wanted), stocks.get_stock_bars(bars)

        found, bars = await asyncio.to_thread(ask)
    assert found.data["forward_splits"][0].new_rate == 3
    assert bars["GOOG"][0].close > 100  # the split's own day is not adjusted
