"""The streams of crypto, options and news, and the rarer messages of stocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
type Write = Callable[..., Path]

CALL, PUT = "GOOG160115C00750000", "GOOG160115P00750000"
END = 1 << 62


def stock_trade(number: int, stamp: str, price: float) -> dict[str, Any]:
    fields = {"T": "t", "S": "IBM", "i": number, "x": "N", "p": price, "s": 100, "c": [" "], "z": "A"}
    return {**fields, "t": f"2026-01-12T{stamp}Z"}


def at(kind: str, symbol: str, stamp: str, **fields: Any) -> dict[str, Any]:
    return {"T": kind, "S": symbol, **fields, "t": f"2026-01-12T{stamp}Z"}


@pytest.fixture
def pair(write: Write) -> Path:
    """A minute and a half of a pair: its book, quotes, one trade."""
    symbol = "BTC/USD"
    first = [{"p": 26999, "s": 0.3}, {"p": 26998, "s": 1}]
    return write(
        "btc.jsonl",
        at("o", symbol, "15:00:01", b=first, a=[{"p": 27001, "s": 0.2}], r=True),
        at("q", symbol, "15:00:01", bp=26999, bs=0.3, ap=27001, **{"as": 0.2}),
        at("t", symbol, "15:00:20", p=27000.5, s=0.01, i=77, tks="B"),
        at("o", symbol, "15:01:10", b=[{"p": 26999, "s": 0}], a=[{"p": 27000, "s": 0.5}]),
        at("q", symbol, "15:01:10", bp=26998, bs=1, ap=27000, **{"as": 0.5}),
    )


@pytest.fixture
def options(write: Write) -> Path:
    quote = {"bx": "C", "bp": 8.1, "bs": 53, "ax": "C", "ap": 8.3, "as": 38, "c": "A"}
    return write(
        "options.jsonl",
        {"T": "q", "S": CALL, **quote, "t": "2015-12-24T14:31:00Z"},
        {"T": "t", "S": PUT, "p": 9.5, "s": 1, "x": "N", "c": "I", "t": "2015-12-24T14:32:00.5Z"},
        {"T": "q", "S": PUT, **quote, "t": "2015-12-24T14:33:00Z"},
    )


async def test_a_pair_s_book_comes_whole_and_then_as_changes(settings: Config, client: Any, pair: Path) -> None:
    async with ExchangeServer(settings(replay=(pair,))) as ex, client(ex.ws_url + "/v1beta3/crypto/us") as stream:
        ex.pause()
        await ex.step_until(ex.market.now_ns)
        await stream.login()
        ack = await stream.subscribe(orderbooks=["BTC/USD"])
        assert ack == {
            "T": "subscription",
            **{key: [] for key in ("trades", "quotes", "bars", "updatedBars", "dailyBars")},
            "orderbooks": ["BTC/USD"],
        }
        await stream.until(lambda got: len(got) == 1)
        await ex.step_until(END)
        whole, change = await stream.until(lambda got: len(got) == 2)
    assert whole["r"] is True
    assert whole["b"] == [{"p": 26999, "s": 0.3}, {"p": 26998, "s": 1}]
    assert "r" not in change
    assert change["a"] == [{"p": 27000, "s": 0.5}]


async def test_crypto_has_bars_of_quotes_where_nothing_traded(settings: Config, client: Any, pair: Path) -> None:
    async with ExchangeServer(settings(replay=(pair,))) as ex, client(ex.ws_url + "/v1beta3/crypto/us-1") as stream:
        await stream.login()
        await stream.subscribe(bars=["*"], dailyBars=["BTC/USD"], trades=["ETH/USD"])
        got = await stream.until(lambda got: sum(m["T"] == "b" for m in got) == 2)
    first, second = (m for m in got if m["T"] == "b")
    day = next(m for m in got if m["T"] == "d")
    assert (first["o"], first["v"], first["n"]) == (27000.5, 0.01, 1)
    assert (second["o"], second["c"], second["v"], second["n"]) == (26999, 26999, 0, 0)
    assert day["t"] == "2026-01-12T00:00:00Z"


async def test_option_streams_speak_msgpack_only(settings: Config, client: Any, options: Path, keys: Any) -> None:
    async with ExchangeServer(settings(replay=(options,))) as ex:
        url = ex.ws_url + "/v1beta1/indicative"
        async with client(url, headers=keys) as stream:
            await stream.one()
            assert (await stream.one())["code"] == 412
            await stream.say(action="auth", key="PK1", secret="s")
            assert (await stream.one())["code"] == 412
            await stream.say(action="subscribe", quotes=[CALL])
            assert (await stream.one())["code"] == 401
        async with client(url, packed=True) as stream:
            await stream.login()
            for channels, code in (({"quotes": ["*"]}, 413), ({"bars": [CALL]}, 410), ({"nope": [CALL]}, 400)):
                await stream.say(action="subscribe", **channels)
                assert (await stream.one())["code"] == code
            ack = await stream.subscribe(quotes=[CALL, PUT], trades=["*"])
            assert ack == {"T": "subscription", "trades": ["*"], "quotes": [CALL, PUT]}
            quote, trade, _ = await stream.until(lambda got: len(got) == 3)
    assert (quote["S"], quote["c"], quote["t"]) == (CALL, "A", msgpack.Timestamp(1450967460, 0))
    assert (trade["S"], trade["c"], trade["x"]) == (PUT, "I", "N")


@pytest.mark.parametrize(("plan", "limit"), [("basic", 200), ("plus", 1_000)])
async def test_a_plan_s_option_quotes_are_limited(
    settings: Config, client: Any, options: Path, plan: str, limit: int
) -> None:
    symbols = [f"GOOG160115C{strike:08d}" for strike in range(limit + 1)]
    async with (
        ExchangeServer(settings(replay=(options,), plan=plan)) as ex,
        client(ex.ws_url + "/v1beta1/indicative", packed=True) as stream,
    ):
        await stream.login()
        assert (await stream.subscribe(quotes=symbols))["code"] == 405
        assert len((await stream.subscribe(quotes=symbols[1:]))["quotes"]) == limit


async def test_opra_is_not_in_the_basic_plan(settings: Config, client: Any, options: Path) -> None:
    async with (
        ExchangeServer(settings(replay=(options,), plan="basic")) as ex,
        client(ex.ws_url + "/v1beta1/opra", packed=True) as stream,
    ):
        await stream.one()
        await stream.say(action="auth", key="PK1", secret="s")
        assert (await stream.one())["code"] == 409


async def test_streams_take_one_connection_each(settings: Config, client: Any, pair: Path) -> None:
    async with (
        ExchangeServer(settings(replay=(pair,))) as ex,
        client(ex.ws_url + "/v1beta3/crypto/us") as one,
        client(ex.ws_url + "/v1beta3/crypto/eu-1") as other,
        client(ex.ws_url + "/v1beta3/crypto/us") as second,
    ):
        await one.login()
        await other.login()
        await second.one()
        await second.say(action="auth", key="PKTEST", secret="s")
        assert (await second.one())["code"] == 406


async def test_statuses_bands_corrections_and_cancels_come_from_the_file(
    settings: Config, client: Any, write: Write, keys: dict[str, str]
) -> None:
    path = write(
        "day.jsonl",
        stock_trade(1, "15:00:01", 100),
        stock_trade(2, "15:00:02", 101),
        stock_trade(3, "15:00:03", 109),
        at("s", "IBM", "15:01:10", sc="2", sm="Trading Halt", rc="D", rm="News Dissemination", z="A"),
        at("l", "IBM", "15:01:11", u=110, d=90, i="B", z="A"),
        at("x", "IBM", "15:01:12", i=3, x="N", p=109, s=100, a="C", z="A"),
        at("c", "IBM", "15:01:13", x="N", oi=2, op=101, os=100, oc=[" "], ci=9, cp=100.5, cs=100, cc=[" "], z="A"),
        at("s", "IBM", "15:02:10", sc="3", sm="Trading Resumption", rc="", rm="", z="A"),
    )
    async with ExchangeServer(settings(replay=(path,))) as ex, client(ex.ws_url + "/v2/sip") as stream:
        ex.pause()
        await stream.login()
        await stream.subscribe(trades=["IBM"], statuses=["IBM"], lulds=["*"], updatedBars=["IBM"])
        await ex.step_until(ex.market.now_ns + 80_000_000_000)
        halted = ex.market.halted("IBM")
        await ex.step_until(END)
        got = await stream.until(lambda got: sum(m["T"] == "s" for m in got) == 2)
        left = ex.market.halted("IBM")
        window = ex.parts.history.between("trades", "IBM", 0, END)
        rows = [json.loads(window.text(number)) for number in range(window.low, window.high)]
    assert [m["T"] for m in got] == ["t", "t", "t", "s", "l", "x", "u", "c", "u", "s"]
    assert (halted, left) == (True, False)
    assert [(row["i"], row.get("u")) for row in rows] == [
        (1, None),
        (2, "incorrect"),
        (9, "corrected"),
        (3, "canceled"),
    ]
    first, second = (m for m in got if m["T"] == "u")
    assert (first["h"], first["v"], first["n"]) == (101, 200, 2)
    assert (second["h"], second["c"], second["v"]) == (100.5, 100.5, 200)


async def test_news_goes_to_those_who_follow_one_of_its_symbols(settings: Config, client: Any, write: Write) -> None:
    def article(number: int, symbols: list[str]) -> dict[str, Any]:
        when = f"2026-01-12T15:0{number}:00Z"
        text = {"headline": "H", "summary": "S", "author": "A", "content": "C", "url": "", "source": "test"}
        return {"T": "n", "id": number, **text, "created_at": when, "updated_at": when, "symbols": symbols}

    path = write(
        "news.jsonl",
        stock_trade(1, "15:00:00", 100),
        article(1, ["IBM", "BAC"]),
        article(2, ["F"]),
        article(3, ["BAC"]),
    )
    async with ExchangeServer(settings(replay=(path,))) as ex, client(ex.ws_url + "/v1beta1/news", packed=True) as news:
        await news.login()
        await news.say(action="subscribe", trades=["IBM"])
        assert (await news.one())["code"] == 410
        assert await news.subscribe(news=["BAC", "IBM"]) == {"T": "subscription", "news": ["BAC", "IBM"]}
        got = await news.until(lambda got: len(got) == 2)
    assert [m["id"] for m in got] == [1, 3]
    assert got[0]["created_at"] == msgpack.Timestamp(1768230060, 0)
