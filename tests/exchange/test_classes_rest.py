"""REST of options, crypto, news and corporate actions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
type Write = Callable[..., Path]

NEAR, FAR, PUT = "GOOG151231C00750000", "GOOG160115C00750000", "GOOG160115P00750000"
OPTIONS, CRYPTO = "/v1beta1/options", "/v1beta3/crypto/us"
END = 1 << 62


def quote(symbol: str, time: str, bid: float, ask: float, **more: Any) -> dict[str, Any]:
    return {"T": "q", "S": symbol, "bx": "C", "bp": bid, "bs": 5, "ax": "C", "ap": ask, "as": 7, **more, "t": time}


def option_day() -> list[dict[str, Any]]:
    morning = "2015-12-24T14:31:00Z"
    return [
        quote("GOOG", morning, 747.9, 748.1, c=["R"], z="C"),
        quote(NEAR, morning, 6.1, 6.3, c="A"),
        quote(FAR, morning, 13.9, 14.1, c="A"),
        quote(PUT, morning, 0, 16.1, c="A"),
        *(
            {"T": "t", "S": PUT, "p": 15.5 + n, "s": n + 1, "x": "N", "c": "I", "t": f"2015-12-24T14:3{n + 2}:00Z"}
            for n in range(3)
        ),
        quote("GOOG", "2015-12-24T14:36:30Z", 748, 748.2, c=["R"], z="C"),
    ]


def pair_day() -> list[dict[str, Any]]:
    times = [f"2026-01-10T{hour:02d}:30:00Z" for hour in (3, 4, 23)]  # a Saturday in UTC, and Friday night before
    trades = [
        {"T": "t", "S": "ETH/USD", "p": 2000 + n, "s": 0.5, "i": n, "tks": "B", "t": time}
        for n, time in enumerate(times)
    ]
    book = {"b": [{"p": 1999, "s": 1}], "a": [{"p": 2001, "s": 2}], "r": True, "t": times[-1]}
    best = {"bp": 1999, "bs": 1, "ap": 2001, "as": 2, "t": times[-1]}
    return [*trades, {"T": "o", "S": "ETH/USD", **book}, {"T": "q", "S": "ETH/USD", **best}]


class Reader:
    """Reads an exchange whose day is over."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self.client = client
        self.settings = settings

    async def get(self, path: str, status: int = 200, **params: str) -> Any:
        reply = await self.client.get(path, params=params)
        assert reply.status_code == status, reply.text
        self.headers = reply.headers
        return reply.json()


@pytest.fixture
def reader(settings: Config, write: Write, keys: dict[str, str]) -> Callable[..., Any]:
    @asynccontextmanager
    async def read(messages: list[dict[str, Any]], **more: Any) -> AsyncIterator[Reader]:
        config = settings(replay=(write("day.jsonl", *messages),), **more)
        async with (
            ExchangeServer(config) as ex,
            httpx.AsyncClient(base_url=ex.url, headers=keys, verify=False) as client,
        ):
            await ex.step_until(END)
            yield Reader(client, config)

    return read


async def test_contracts_are_listed_by_filters_and_pages(reader: Any, tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    path.write_text(json.dumps([{"symbol": "GOOG151224P00700000", "open_interest": "7", "close_price": "1.5"}]))
    async with reader(option_day(), contracts=(path,)) as read:
        default = await read.get("/v2/options/contracts")
        far = {"expiration_date_lte": "2016-12-31"}
        whole = await read.get("/v2/options/contracts", **far)
        first = await read.get("/v2/options/contracts", **far, limit="3")
        second = await read.get("/v2/options/contracts", **far, limit="3", page_token=first["next_page_token"])
        puts = await read.get("/v2/options/contracts", **far, type="put", strike_price_gte="750")
        nobody = await read.get("/v2/options/contracts", underlying_symbols="IBM,BAC")
        one = await read.get(f"/v2/options/contracts/{FAR}")
        by_id = await read.get(f"/v2/options/contracts/{one['id']}")
        missing = await read.get("/v2/options/contracts/GOOG160115C00760000", 404)
        assets = await read.get("/v2/assets", attributes="has_options")
        for bad in ({"type": "x"}, {"limit": "0"}, {"expiration_date": "soon"}, {"page_token": "?"}):
            await read.get("/v2/options/contracts", 422, **bad)
    # Thursday, the 24th: the list ends with the weekend, so that only the contracts of that day are in it.
    assert [c["symbol"] for c in default["option_contracts"]] == ["GOOG151224P00700000"]
    assert default["option_contracts"][0]["open_interest"] == "7"
    assert whole["next_page_token"] is None
    assert len(whole["option_contracts"]) == 4
    assert first["next_page_token"] == "Mw=="
    assert first["option_contracts"] + second["option_contracts"] == whole["option_contracts"]
    assert [c["symbol"] for c in puts["option_contracts"]] == [PUT]
    assert nobody["option_contracts"] == []
    assert one == by_id
    assert one["deliverables"][0]["amount"] == one["size"] == "100"
    assert missing == {"code": 40410000, "message": "option contract GOOG160115C00760000 not found"}
    assert [asset["symbol"] for asset in assets] == ["GOOG"]


async def test_a_chain_has_greeks_that_say_how_they_came_about(reader: Any) -> None:
    async with reader(option_day()) as read:
        chain = await read.get(f"{OPTIONS}/snapshots/GOOG")
        label = read.headers["X-Greeks"]
        calls = await read.get(f"{OPTIONS}/snapshots/GOOG", type="call", expiration_date_gte="2016-01-01")
        first = await read.get(f"{OPTIONS}/snapshots/GOOG", limit="2")
        second = await read.get(f"{OPTIONS}/snapshots/GOOG", limit="2", page_token=first["next_page_token"])
        named = await read.get(f"{OPTIONS}/snapshots", symbols=f"{FAR},{PUT},GOOG160115C00999000")
        late = await read.get(f"{OPTIONS}/snapshots/GOOG", updated_since="2015-12-24T14:32:00Z")
    snapshot = chain["snapshots"][FAR]
    assert label == "computed; model=black-scholes; rate=0"
    assert 0.15 < snapshot["impliedVolatility"] < 0.25
    assert 0.45 < snapshot["greeks"]["delta"] < 0.5
    assert snapshot["greeks"]["theta"] < 0 < snapshot["greeks"]["vega"]
    assert snapshot["latestQuote"]["ap"] == 14.1
    put = chain["snapshots"][PUT]
    assert "greeks" not in put  # nobody bids
    assert (put["latestTrade"]["p"], put["dailyBar"]["v"]) == (17.5, 6)
    assert list(calls["snapshots"]) == [FAR]
    assert [*first["snapshots"], *second["snapshots"]] == [NEAR, FAR, PUT] == list(chain["snapshots"])
    assert second["next_page_token"] is None
    assert set(named["snapshots"]) == {FAR, PUT}
    assert set(late["snapshots"]) == {PUT}


async def test_option_history_is_trades_and_bars_and_no_quotes(reader: Any) -> None:
    async with reader(option_day()) as read:
        first = await read.get(f"{OPTIONS}/trades", symbols=f"{FAR},{PUT}", limit="2")
        second = await read.get(f"{OPTIONS}/trades", symbols=PUT, limit="2", page_token=first["next_page_token"])
        bars = await read.get(f"{OPTIONS}/bars", symbols=PUT, timeframe="1Hour")
        quotes = await read.get(f"{OPTIONS}/quotes/latest", symbols=f"{FAR},{PUT}", feed="indicative")
        trades = await read.get(f"{OPTIONS}/trades/latest", symbols=f"{FAR},{PUT}")
        await read.get(f"{OPTIONS}/quotes", 404, symbols=PUT)
        await read.get(f"{OPTIONS}/bars", 400, symbols=PUT, timeframe="2Day")
        await read.get(f"{OPTIONS}/trades", 400, symbols="GOOG")
        await read.get(f"{OPTIONS}/trades", 400, symbols=",".join(f"GOOG160115C{n:08d}" for n in range(101)))
        await read.get(f"{OPTIONS}/quotes/latest", 400, symbols=PUT, feed="sip")
        assert (await read.get(f"{OPTIONS}/meta/conditions/trade"))["I"]
        assert (await read.get(f"{OPTIONS}/meta/exchanges"))["C"]
    assert [t["s"] for t in first["trades"][PUT] + second["trades"][PUT]] == [1, 2, 3]
    assert second["next_page_token"] is None
    assert (bars["bars"][PUT][0]["o"], bars["bars"][PUT][0]["c"], bars["bars"][PUT][0]["n"]) == (15.5, 17.5, 3)
    assert quotes["quotes"][PUT]["bp"] == 0
    assert set(trades["trades"]) == {PUT}


async def test_the_basic_plan_has_indicative_option_data_only(reader: Any) -> None:
    async with reader(option_day(), plan="basic") as read:
        await read.get(f"{OPTIONS}/snapshots/GOOG")
        await read.get(f"{OPTIONS}/snapshots/GOOG", 403, feed="opra")


async def test_crypto_days_are_those_of_utc(reader: Any) -> None:
    both = {"symbols": "ETH/USD,DOGE/USD", "start": "2026-01-01T00:00:00Z"}
    async with reader(pair_day()) as read:
        days = await read.get(f"{CRYPTO}/bars", **both, timeframe="1D")
        weeks = await read.get(f"{CRYPTO}/bars", **both, timeframe="1Week")
        hours = await read.get(f"{CRYPTO}/bars", **both, timeframe="12H")
        trades = await read.get(f"{CRYPTO}/trades", **both, sort="desc", limit="2")
        quotes = await read.get(f"{CRYPTO}/quotes", **both)
        snapshot = (await read.get(f"{CRYPTO}/snapshots", symbols="ETH/USD"))["snapshots"]["ETH/USD"]
        book = await read.get("/v1beta3/crypto/eu-1/latest/orderbooks", symbols="ETH/USD")
        latest = await read.get(f"{CRYPTO}/latest/bars", symbols="ETH/USD")
    assert [(bar["t"], bar["n"]) for bar in days["bars"]["ETH/USD"]] == [("2026-01-10T00:00:00Z", 3)]
    assert weeks["bars"]["ETH/USD"][0]["t"] == "2026-01-05T00:00:00Z"
    assert [bar["t"][11:13] for bar in hours["bars"]["ETH/USD"]] == ["00", "12"]
    assert [trade["p"] for trade in trades["trades"]["ETH/USD"]] == [2002, 2001]
    assert trades["next_page_token"]
    assert quotes["quotes"]["ETH/USD"][0]["bp"] == 1999
    assert snapshot["latestTrade"]["tks"] == "B"
    assert snapshot["dailyBar"]["v"] == 1.5
    assert book["orderbooks"]["ETH/USD"]["a"] == [{"p": 2001, "s": 2}]
    assert latest["bars"]["ETH/USD"]["c"] == 2002


async def test_crypto_needs_a_slash_and_no_key(reader: Any) -> None:
    async with reader(pair_day()) as read:
        refused = await read.get(f"{CRYPTO}/trades", 400, symbols="ETHUSD")
        await read.get("/v1beta3/crypto/mars/trades", 400, symbols="ETH/USD")
        for headers, status in (({}, 200), ({"APCA-API-KEY-ID": "BAD", "APCA-API-SECRET-KEY": "x"}, 401)):
            async with httpx.AsyncClient(base_url=read.client.base_url, headers=headers, verify=False) as client:
                reply = await client.get(f"{CRYPTO}/latest/trades", params={"symbols": "ETH/USD"})
                assert reply.status_code == status
        asset = await read.get("/v2/assets/ETH%2FUSD")
        assert asset == await read.get("/v2/assets/ETHUSD")
        assert [a["symbol"] for a in await read.get("/v2/assets", asset_class="crypto")] == ["ETH/USD"]
        assert await read.get("/v2/assets") == []
    assert refused == {"message": "invalid symbol: ETHUSD does not match ^[A-Z]+x?/[A-Z]+$"}


async def test_news_comes_newest_first_and_without_its_text(reader: Any) -> None:
    def article(number: int, *symbols: str) -> dict[str, Any]:
        when = f"2015-12-24T14:3{number}:00Z"
        text = {"headline": "H", "summary": "S", "author": "A", "content": "C" if number != 2 else ""}
        return {
            "T": "n",
            "id": number,
            **text,
            "source": "x",
            "created_at": when,
            "updated_at": when,
            "symbols": symbols,
        }

    day = sorted(
        [*option_day(), article(1, "GOOG"), article(2, "IBM", "GOOG"), article(3, "IBM")],
        key=lambda m: m.get("t") or m["created_at"],
    )
    async with reader(day) as read:
        first = await read.get("/v1beta1/news", limit="2")
        second = await read.get("/v1beta1/news", limit="2", page_token=first["next_page_token"])
        of_goog = await read.get("/v1beta1/news", symbols="GOOG", sort="asc", include_content="true")
        full = await read.get("/v1beta1/news", exclude_contentless="true", end="2015-12-24T14:32:30Z")
        await read.get("/v1beta1/news", 400, limit="51")
    assert [a["id"] for a in first["news"] + second["news"]] == [3, 2, 1]
    assert second["next_page_token"] is None
    assert first["news"][0]["content"] == ""
    assert first["news"][0]["images"] == []
    assert [(a["id"], a["content"]) for a in of_goog["news"]] == [(1, "C"), (2, "")]
    assert [a["id"] for a in full["news"]] == [1]
