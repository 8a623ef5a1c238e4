"""History, newest values and the venue over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
DAY = "2013-10-07"


class Http:
    """GETs with credentials."""

    def __init__(self, ex: ExchangeServer, keys: dict[str, str]) -> None:
        self.ex = ex
        self.client = httpx.AsyncClient(base_url=ex.url, headers=keys)

    async def get(self, path: str, **query: Any) -> Any:
        reply = await self.client.get(path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def refused(self, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
        reply = await self.client.get(path, params=query)
        return reply.status_code, reply.json()

    async def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        found = [await self.get(path, **query)]
        while found[-1]["next_page_token"]:
            found.append(await self.get(path, **query, page_token=found[-1]["next_page_token"]))
        return found


@pytest.fixture
async def http(
    settings: Config, write: Callable[..., Path], trade: Any, quote: Any, keys: dict[str, str]
) -> AsyncIterator[Http]:
    messages = []
    for minute in range(30, 60):
        for symbol in ("IBM", "BAC"):
            messages += [
                quote(symbol, f"13:{minute}:00Z", "10.10"),
                trade(symbol, f"13:{minute}:01Z", "10.110", minute),
            ]
    async with ExchangeServer(settings(replay=(write("day.jsonl", *messages),))) as ex:
        await ex.step_until(1 << 62)
        made = Http(ex, keys)
        async with made.client:
            yield made


async def test_pages_follow_symbol_then_time_and_miss_nothing(http: Http) -> None:
    pages = await http.pages("/v2/stocks/trades", symbols="IBM,BAC", start=DAY, limit=7)
    rows = [(symbol, row["t"]) for page in pages for symbol, found in page["trades"].items() for row in found]
    assert len(rows) == 60
    assert rows == sorted(rows)
    assert all(sum(map(len, page["trades"].values())) == 7 for page in pages[:-1])
    down = await http.pages("/v2/stocks/trades", symbols="IBM,BAC", start=DAY, limit=7, sort="desc")
    back = [(symbol, row["t"]) for page in down for symbol, found in page["trades"].items() for row in found]
    assert back == sorted(rows[:30], reverse=True) + sorted(rows[30:], reverse=True)


async def test_start_and_end_are_both_included(http: Http) -> None:
    query = {"start": f"{DAY}T13:31:01Z", "end": f"{DAY}T09:33:01-04:00"}
    page = await http.get("/v2/stocks/IBM/trades", **query)
    assert page["symbol"] == "IBM"
    assert [row["t"][11:19] for row in page["trades"]] == ["13:31:01", "13:32:01", "13:33:01"]
    assert page["next_page_token"] is None


async def test_prices_keep_their_digits(http: Http) -> None:
    reply = await http.client.get("/v2/stocks/trades/latest", params={"symbols": "IBM"})
    assert '"p":10.110,' in reply.text
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("timeframe", "count"), [("1Min", 30), ("5Min", 6), ("15T", 2), ("1H", 1), ("1Day", 1), ("1M", 1)]
)
async def test_bars_of_every_timeframe(http: Http, timeframe: str, count: int) -> None:
    page = await http.get("/v2/stocks/bars", symbols="IBM,XYZ", start="2013-10-01", timeframe=timeframe)
    assert list(page["bars"]) == ["IBM"]
    assert len(page["bars"]["IBM"]) == count
    assert sum(bar["v"] for bar in page["bars"]["IBM"]) == sum(range(30, 60))


async def test_newest_values_and_snapshots(http: Http) -> None:
    latest = await http.get("/v2/stocks/quotes/latest", symbols="BAC,IBM,NONE")
    assert sorted(latest["quotes"]) == ["BAC", "IBM"]
    assert latest["quotes"]["IBM"]["t"] == f"{DAY}T13:59:00Z"
    assert (await http.get("/v2/stocks/IBM/trades/latest"))["trade"]["s"] == 59
    assert (await http.get("/v2/stocks/IBM/bars/latest"))["bar"]["t"] == f"{DAY}T13:59:00Z"
    snapshot = (await http.get("/v2/stocks/snapshots", symbols="IBM"))["IBM"]
    assert set(snapshot) == {"latestTrade", "latestQuote", "minuteBar", "dailyBar"}
    assert (await http.get("/v2/stocks/IBM/snapshot"))["symbol"] == "IBM"
    delayed = await http.get("/v2/stocks/trades/latest", symbols="IBM", feed="delayed_sip")
    assert delayed["trades"]["IBM"]["s"] == 44


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("/v2/stocks/bars", {"symbols": "IBM"}, "timeframe is required"),
        ("/v2/stocks/bars", {"symbols": "IBM", "timeframe": "7Day"}, "invalid timeframe: 7Day"),
        ("/v2/stocks/trades", {}, "symbols is required"),
        ("/v2/stocks/trades", {"symbols": "ib m"}, "invalid symbol: ib m"),
        ("/v2/stocks/trades", {"symbols": "IBM", "limit": "0"}, "invalid limit"),
        ("/v2/stocks/trades", {"symbols": "IBM", "limit": "10001"}, "invalid limit"),
        ("/v2/stocks/trades", {"symbols": "IBM", "start": "yesterday"}, "invalid start"),
        ("/v2/stocks/trades", {"symbols": "IBM", "sort": "up"}, "invalid sort"),
        ("/v2/stocks/trades", {"symbols": "IBM", "feed": "cnn"}, "invalid feed"),
        ("/v2/stocks/trades", {"symbols": "IBM", "page_token": "?"}, "invalid page token"),
    ],
)
async def test_bad_parameters_are_refused_without_a_code(http: Http, path: str, query: Any, says: str) -> None:
    status, body = await http.refused(path, **query)
    assert status == 400
    assert says in body["message"]
    assert "code" not in body


async def test_assets_have_ids_that_stay(http: Http) -> None:
    assets = await http.get("/v2/assets", status="active", asset_class="us_equity")
    assert [asset["symbol"] for asset in assets] == ["BAC", "IBM"]
    again = await http.get(f"/v2/assets/{assets[0]['id']}")
    assert again == await http.get("/v2/assets/BAC") == assets[0]
    assert await http.get("/v2/assets", asset_class="crypto") == []
    assert await http.refused("/v2/assets/NOPE") == (404, {"code": 40410000, "message": "asset not found for NOPE"})


async def test_clock_is_venue_time(http: Http) -> None:
    assert await http.get("/v2/clock") == {
        "timestamp": "2013-10-07T10:00:00-04:00",
        "is_open": True,
        "next_open": "2013-10-08T09:30:00-04:00",
        "next_close": "2013-10-07T16:00:00-04:00",
    }


async def test_calendar_lists_trading_days(http: Http) -> None:
    days = await http.get("/v2/calendar", start="2015-12-23", end="2015-12-28")
    assert [day["date"] for day in days] == ["2015-12-23", "2015-12-24", "2015-12-28"]
    assert days[1] == {
        "date": "2015-12-24",
        "open": "09:30",
        "close": "13:00",
        "session_open": "0400",
        "session_close": "1700",
        "settlement_date": "2015-12-30",
    }
    settled = await http.get("/v2/calendar", start="2015-12-30", end="2015-12-30", date_type="SETTLEMENT")
    assert [day["date"] for day in settled] == ["2015-12-24"]
    status, _ = await http.refused("/v2/calendar", start="soon")
    assert status == 422


async def test_replies_carry_an_id_and_the_quota(http: Http) -> None:
    reply = await http.client.get("/v2/clock")
    assert len(reply.headers["x-request-id"]) == 32
    assert int(reply.headers["x-ratelimit-limit"]) == 1_000_000
    assert int(reply.headers["x-ratelimit-remaining"]) < 1_000_000
    assert int(reply.headers["x-ratelimit-reset"]) > 0
    traffic = http.ex.parts.traffic
    assert (traffic.in_flight, traffic.done) == (0, 1)


async def test_a_used_up_quota_is_429(settings: Config, keys: dict[str, str]) -> None:
    config = settings(speed=1.0)
    async with ExchangeServer(config) as ex, httpx.AsyncClient(base_url=ex.url, headers=keys) as client:
        replies = [await client.get("/v2/stocks/IBM/trades") for _ in range(401)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused  # a minute may end in between, two don't
    assert refused[0].json() == {"message": "too many requests."}
    assert refused[0].headers["x-ratelimit-remaining"] == "0"


async def test_without_good_keys_there_is_nothing(http: Http) -> None:
    async with httpx.AsyncClient(base_url=http.ex.url) as client:
        bad = {"APCA-API-KEY-ID": "BAD1", "APCA-API-SECRET-KEY": "x"}
        for headers in ({}, bad, {"Authorization": "Basic !"}):
            reply = await client.get("/v2/clock", headers=headers)
            assert (reply.status_code, reply.json()) == (401, {"message": "unauthorized."})
        assert (await client.get("/v2/clock", headers={"Authorization": "Bearer t"})).status_code == 200
        assert (await client.get("/v2/clock", auth=("k", "s"))).status_code == 200


async def test_history_ends_at_venue_time_and_start_serves_what_it_skipped(
    settings: Config, write: Callable[..., Path], trade: Any, keys: dict[str, str]
) -> None:
    from datetime import time

    path = write("day.jsonl", *(trade("IBM", f"{hour}:{minute}:30Z") for hour in (13, 14) for minute in range(30, 60)))
    async with ExchangeServer(settings(replay=(path,), start=time(10, 40))) as ex:
        http = Http(ex, keys)
        async with http.client:
            clock = await http.get("/v2/clock")
            assert clock["timestamp"] == "2013-10-07T10:40:00-04:00"
            page = await http.get("/v2/stocks/IBM/trades", start=DAY, end="2013-10-09")
            assert len(page["trades"]) == 40
            bars = await http.get("/v2/stocks/IBM/bars", start=DAY, timeframe="1Min")
            assert bars["bars"][-1]["t"] == "2013-10-07T14:39:00Z"
            assert (ex.parts.replay.sent, ex.parts.replay.total) == (0, 20)


async def test_meta_lists_codes(http: Http) -> None:
    assert (await http.get("/v2/stocks/meta/exchanges"))["V"] == "IEX"
    assert (await http.get("/v2/stocks/meta/conditions/trade", tape="A"))["I"] == "Odd Lot Trade"
    assert (await http.refused("/v2/stocks/meta/conditions/trade"))[0] == 400


async def test_an_unknown_path_is_404(http: Http) -> None:
    assert await http.refused("/v2/nothing") == (404, {"message": "endpoint not found."})
