"""News, price bands and corporate actions through a real node: streamed, asked for, refused."""

from __future__ import annotations

import asyncio
import json
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from nautilus_trader.model.data import Bar, BarType, DataType
from nautilus_trader.model.identifiers import ClientId, InstrumentId
from nautilus_trader.model.objects import Price

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.custom import AlpacaCorporateAction, AlpacaNews, AlpacaPriceBand
from tests.alpaca.conftest import Recorder

IBM = InstrumentId.from_str("IBM.ALPACA")
BAC = InstrumentId.from_str("BAC.ALPACA")
ALPACA = ClientId("ALPACA")
MINUTES = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
REPLAY: dict[str, Any] = {"speed": 600.0, "start": time(11, 0)}
NEWS: dict[str, Any] = {"feed": AlpacaDataFeed.NEWS}
SIP: dict[str, Any] = {"feed": AlpacaDataFeed.SIP}
SINCE = pd.Timestamp("2013-10-01", tz="UTC")


def article(number: int, minute: int, *symbols: str, **more: Any) -> dict[str, Any]:
    at = f"2013-10-07T14:{minute:02}:00Z"
    return {
        "T": "n",
        "id": number,
        "headline": f"News {number}",
        "created_at": at,
        "updated_at": at,
        "symbols": list(symbols),
        "content": "<p>All of it.</p>",
        "source": "benzinga",
        **more,
    }


@pytest.fixture
def press(tmp_path: Path) -> dict[str, Any]:
    """Settings of a day with five articles, the last a new version of the first; and 60 others before."""
    trade = {"T": "t", "i": 1, "x": "N", "p": 180, "s": 100, "c": [" "], "z": "A", "t": "2013-10-07T13:30:00Z"}
    rows = [
        *({**trade, "S": symbol} for symbol in ("IBM", "BAC")),
        *(article(number, 0, "GE") for number in range(100, 160)),
        article(1, 10, "IBM"),
        article(2, 11, "BAC", "IBM"),
        article(3, 12, "BTCUSD"),
        article(4, 13, "GE"),
        article(1, 10, "IBM", updated_at="2013-10-07T14:14:00Z", headline="News 1, corrected"),
        {**trade, "S": "IBM", "i": 2, "t": "2013-10-07T14:20:00Z"},
    ]
    path = tmp_path / "press.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return {"replay": (path,), "symbols": ()}


def seen(strategy: Recorder) -> list[int]:
    return [row.id for row in strategy.data if isinstance(row, AlpacaNews)]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_each_article_comes_once_to_each_who_wants_it(play: Any, running: Any, press: Any, codec: str) -> None:
    async def scenario() -> None:
        other, third = Recorder("other"), Recorder("third")
        config = {**NEWS, "codec": codec}
        async with running(data=True, settings=press, data_config=config, strategies=(other, third)) as rig:
            rig.strategy.subscribe_data(DataType(AlpacaNews), client_id=ALPACA)
            other.subscribe_data(AlpacaNews.of(IBM, "BAC"), client_id=ALPACA)
            third.subscribe_data(AlpacaNews.of("BTC/USD.ALPACA"), client_id=ALPACA)
            third.subscribe_data(AlpacaNews.of(IBM), client_id=ALPACA)
            await rig.until(lambda: rig.data.subscriptions_confirmed and rig.data._channels, "the acknowledgment")
            await rig.exchange.step_until(1 << 62)
            await rig.until(lambda: len(seen(rig.strategy)) >= 65, "all news")
            assert seen(rig.strategy)[-5:] == [1, 2, 3, 4, 1]
            assert seen(other) == [1, 2, 1]
            assert seen(third) == [1, 2, 3, 1]
            first, last = (row for row in other.data if row.id == 1)
            assert (first.headline, last.headline) == ("News 1", "News 1, corrected")
            assert last.ts_event - first.ts_event == 4 * 60 * 10**9
            assert last.created_at == first.created_at == "2013-10-07T14:10:00Z"
            assert (last.content, last.symbols, last.source) == ("<p>All of it.</p>", ["IBM"], "benzinga")
            # Who leaves takes nothing from those who stay.
            third.unsubscribe_data(AlpacaNews.of(IBM), client_id=ALPACA)
            rig.strategy.unsubscribe_data(DataType(AlpacaNews), client_id=ALPACA)
            await rig.until(lambda: rig.data._channels["news"] == {"BAC", "IBM", "BTCUSD"}, "the rest")

    play(scenario())


def test_who_unsubscribes_does_not_end_it_for_others(play: Any, running: Any, press: Any) -> None:
    async def scenario() -> None:
        other = Recorder("other")
        async with running(data=True, settings=press, data_config=NEWS, strategies=(other,)) as rig:
            for strategy in (rig.strategy, other):
                strategy.subscribe_data(AlpacaNews.of(IBM), client_id=ALPACA)
            await rig.until(lambda: rig.data.subscriptions_confirmed and rig.data._channels, "the acknowledgment")
            other.unsubscribe_data(AlpacaNews.of(IBM), client_id=ALPACA)
            await rig.until(lambda: rig.node.kernel.data_engine.cmd_qsize() == 0, "the command")
            await asyncio.sleep(0)
            assert rig.data._channels["news"] == {"IBM"}
            await rig.exchange.step_until(1 << 62)
            await rig.until(lambda: len(seen(rig.strategy)) == 3, "the news")
            assert seen(other) == []
            rig.strategy.unsubscribe_data(AlpacaNews.of(IBM), client_id=ALPACA)
            await rig.until(lambda: not rig.data._channels["news"], "the end")

    play(scenario())


def test_what_appeared_while_the_stream_was_down_is_read_once(play: Any, running: Any, press: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=press, data_config=NEWS) as rig:
            rig.strategy.subscribe_data(AlpacaNews.of(IBM, BAC), client_id=ALPACA)
            await rig.until(lambda: rig.data.subscriptions_confirmed and rig.data._channels, "the acknowledgment")
            rig.faults.arm({"refuse": {"data": 1}})
            rig.exchange.cut_sockets("data")
            await rig.until(lambda: not rig.exchange.parts.hub.sockets, "the end of the connection")
            await rig.exchange.step_until(1 << 62)
            await rig.until(lambda: rig.data.stream_stats()["reconnects"] >= 1, "a reconnect")
            await rig.until(lambda: len(seen(rig.strategy)) == 3, "what was missed")
            await rig.data.catch_up_on_news()
            assert seen(rig.strategy) == [1, 2, 1]

    play(scenario())


def test_past_news_come_to_the_last_page_oldest_first(play: Any, running: Any, press: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=press, data_config=NEWS) as rig:
            await rig.exchange.step_until(1 << 62)
            rig.data.venue_clock.observe(rig.exchange.market.now_ns)
            done: list[Any] = []

            async def asked(data_type: DataType, **more: Any) -> list[int]:
                rig.strategy.data.clear()
                rig.strategy.request_data(data_type, ALPACA, start=SINCE, callback=done.append, **more)
                count = len(done) + 1
                await rig.until(lambda: len(done) == count, "the reply")
                return seen(rig.strategy)

            assert await asked(DataType(AlpacaNews)) == [*range(100, 160), 1, 2, 3, 4, 1]
            assert rig.strategy.data[-1].content == "<p>All of it.</p>"
            assert await asked(AlpacaNews.of(IBM, "BTC/USD")) == [1, 2, 3, 1]
            assert await asked(DataType(AlpacaNews), limit=3) == [3, 4, 1]
            assert await asked(AlpacaNews.of("GE"), limit=55) == [*range(106, 160), 4]

    play(scenario())


def test_bands_stream_from_the_consolidated_feeds(play: Any, running: Any) -> None:
    async def scenario() -> None:
        settings = {**REPLAY, "start": time(9, 29)}
        async with running(data=True, settings=settings, data_config=SIP) as rig:
            rig.strategy.subscribe_data(AlpacaPriceBand.of(IBM), client_id=ALPACA)
            rig.strategy.subscribe_data(AlpacaPriceBand.of(BAC), instrument_id=BAC)
            for symbol in (IBM, BAC):
                await rig.until(lambda symbol=symbol: [r for r in rig.strategy.data if r.instrument_id == symbol])
            band = rig.strategy.data[0]
            assert isinstance(band, AlpacaPriceBand)
            width = band.limit_up_price.as_decimal() / band.limit_down_price.as_decimal()
            assert abs(width - Decimal("1.05") / Decimal("0.95")) < Decimal("0.001")
            assert (band.indicator, band.tape) == ("B", "A")
            assert 0 < band.ts_event < band.ts_init
            rig.strategy.unsubscribe_data(AlpacaPriceBand.of(IBM), client_id=ALPACA)
            await rig.until(lambda: rig.data._channels["lulds"] == {"BAC"}, "the end of one")

    play(scenario())


def test_a_minute_that_a_late_trade_changes_comes_again_as_a_revision(play: Any, running: Any, tmp_path: Path) -> None:
    trade = {"T": "t", "S": "IBM", "x": "N", "s": 100, "c": [" "], "z": "A"}
    rows = [
        {**trade, "i": 1, "p": 180.0, "t": "2013-10-07T14:00:01Z"},
        {**trade, "i": 2, "p": 190.0, "t": "2013-10-07T14:00:02Z"},
        {**trade, "i": 3, "p": 181.0, "t": "2013-10-07T14:00:03Z"},
        {**trade, "i": 4, "p": 181.0, "t": "2013-10-07T14:02:00Z"},
        {**trade, "S": "BAC", "i": 5, "p": 14.0, "t": "2013-10-07T14:02:00Z"},
    ]
    path = tmp_path / "late.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    async def scenario(wanted: bool) -> list[tuple[bool, float]]:
        settings = {"replay": (path,), "symbols": ()}
        async with running(data=True, settings=settings, data_config={"updated_bars": wanted}) as rig:
            rig.strategy.subscribe_bars(MINUTES)
            await rig.until(lambda: rig.data.subscriptions_confirmed and rig.data._channels, "the acknowledgment")
            await rig.exchange.step_until(1 << 62)
            cancel = {"T": "x", "S": "IBM", "i": 2, "x": "N", "p": 190.0, "s": 100, "a": "C", "z": "A"}
            async with httpx.AsyncClient(base_url=rig.exchange.url) as client:
                reply = await client.post("/control/market", json=cancel)
                assert reply.status_code == 200, reply.text
            await rig.until(lambda: len(rig.strategy.data) == 2 + wanted, "the bars")
            rig.strategy.unsubscribe_bars(MINUTES)
            await rig.until(lambda: not any(rig.data._channels.values()), "the end")
            return [(bar.is_revision, float(bar.high)) for bar in rig.strategy.data if isinstance(bar, Bar)]

    def both() -> Any:
        yield scenario(True), [(False, 190.0), (False, 181.0), (True, 181.0)]
        yield scenario(False), [(False, 190.0), (False, 181.0)]

    async def check() -> None:
        for ran, expected in both():
            assert await ran == expected

    play(check())


def test_corporate_actions_are_asked_for_by_stock_kind_and_date(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True) as rig:
            async with httpx.AsyncClient(base_url=rig.exchange.url) as client:
                for event in (
                    {"dividend": {"symbol": "IBM", "rate": "0.95"}},
                    {"split": {"symbol": "BAC", "new_rate": 2, "old_rate": 1}},
                ):
                    assert (await client.post("/control/broker", json=event)).status_code == 200
            done: list[Any] = []

            async def asked(data_type: DataType, **params: Any) -> list[AlpacaCorporateAction]:
                rig.strategy.data.clear()
                rig.strategy.request_data(
                    data_type, ALPACA, start=pd.Timestamp("2026-01-01", tz="UTC"), callback=done.append, params=params
                )
                count = len(done) + 1
                await rig.until(lambda: len(done) == count, "the reply")
                return list(rig.strategy.data)

            (split,) = await asked(AlpacaCorporateAction.of(kinds=("forward_split", "reverse_split")))
            assert (split.kind, split.symbol, split.ratio) == ("forward_split", "BAC", 2)
            paid = await asked(AlpacaCorporateAction.of(IBM, kinds=("cash_dividend",)))
            assert [row.rate for row in paid if row.process_date == "2026-01-12"] == [Decimal("0.95")]
            assert all(row.symbol == "IBM" and row.ex_date is not None for row in paid)
            year = await asked(AlpacaCorporateAction.of("IBM", "BAC"), start="2025-01-01", end="2026-12-31")
            assert [row.ts_event for row in year] == sorted(row.ts_event for row in year)
            # What is announced lies in the future: the made-up dividends of the next quarter.
            assert sum(row.process_date > "2026-01-12" for row in year) == 2

    play(scenario())


@pytest.mark.parametrize(
    ("data_type", "what"),
    [
        (AlpacaNews.of(IBM), "news needs a feed of news"),
        (DataType(AlpacaNews, metadata={"instrument_id": IBM}), "AlpacaNews.of"),
        (DataType(AlpacaNews, metadata={"symbols": "IBM"}), "AlpacaNews.of"),
        (AlpacaPriceBand.of(IBM), "only sip and delayed_sip"),
        (AlpacaPriceBand.of("BTC/USD"), "needs a feed of crypto"),
        (DataType(AlpacaPriceBand), "AlpacaPriceBand.of"),
        (AlpacaCorporateAction.of(IBM), "request them"),
        (DataType(Bar), "subscribe to AlpacaNews"),
    ],
)
def test_what_is_not_streamed_is_refused_with_what_to_do(
    play: Any, running: Any, data_type: DataType, what: str
) -> None:
    class Command:
        pass

    async def scenario() -> None:
        news = "AlpacaNews.of" in what
        async with running(data=True, data_config=NEWS if news else {}) as rig:
            command = Command()
            command.data_type = data_type  # type: ignore[attr-defined]
            with pytest.raises(ValueError, match=what):
                await rig.data._subscribe(command)
            assert not rig.data._channels

    play(scenario())


@pytest.mark.parametrize(
    ("data_type", "what"),
    [
        (AlpacaPriceBand.of(IBM), "no history of price bands"),
        (DataType(Bar), "request OptionGreeks, AlpacaNews"),
        (DataType(AlpacaNews, metadata={"instrument_id": IBM}), "AlpacaNews.of"),
        (DataType(AlpacaCorporateAction, metadata={"instrument_id": IBM}), "AlpacaCorporateAction.of"),
        (AlpacaCorporateAction.of(kinds=("gift",)), "no corporate actions of type gift"),
    ],
)
def test_what_has_no_history_is_refused(play: Any, running: Any, data_type: DataType, what: str) -> None:
    class Request:
        start = end = None
        limit = 0
        params: dict[str, Any] = {}  # noqa: RUF012

    async def scenario() -> None:
        async with running(data=True) as rig:
            request = Request()
            request.data_type = data_type  # type: ignore[attr-defined]
            with pytest.raises(ValueError, match=what):
                await rig.data._request(request)

    play(scenario())


def test_a_band_knows_its_prices_exactly() -> None:
    band = AlpacaPriceBand.from_dict(
        {
            "instrument_id": "IONM.ALPACA",
            "limit_up_price": "3.2400",
            "limit_down_price": "2.65",
            "indicator": "B",
            "tape": "C",
            "ts_event": 1,
            "ts_init": 2,
        }
    )
    assert band.limit_up_price == Price.from_str("3.2400")
    assert AlpacaPriceBand.from_dict(band.to_dict()).to_dict() == band.to_dict()
    (stored,) = AlpacaPriceBand.from_arrow(band.to_arrow())
    assert str(stored.limit_up_price) == "3.2400"
