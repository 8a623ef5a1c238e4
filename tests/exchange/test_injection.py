"""Messages that the day does not have, on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]

HALT = {"T": "s", "S": "IBM", "sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "News Pending", "z": "A"}


async def post(url: str, body: Any, status: int = 200) -> Any:
    async with httpx.AsyncClient(base_url=url, verify=False) as client:
        reply = await client.post("/control/market", json=body)
        assert reply.status_code == status, reply.text
        return reply.json()


async def test_a_halt_happens_now_and_is_streamed(settings: Config, client: Any) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/sip") as stream:
        ex.pause()
        await stream.login()
        await stream.subscribe(statuses=["*"], lulds=["IBM"])
        said = await post(ex.url, HALT)
        assert ex.market.halted("IBM")
        band = {"T": "l", "S": "IBM", "u": 110.5, "d": 90, "i": "B", "z": "A"}
        await post(ex.url, {"messages": [band, {**HALT, "sc": "T", "sm": "Trading Resumption"}]})
        assert not ex.market.halted("IBM")
        got = await stream.until(lambda got: len(got) == 3)
    assert said["published"] == 1
    assert [m["T"] for m in got] == ["s", "l", "s"]
    assert (got[0]["rc"], got[1]["u"]) == ("T1", 110.5)
    assert all(m["t"].startswith("2026-01-12T14:30:00") for m in got)


async def test_a_quote_of_a_new_symbol_makes_it_tradable(settings: Config) -> None:
    async with ExchangeServer(settings()) as ex:
        await post(ex.url, {"T": "q", "S": "SOL/USD", "bp": 190.5, "bs": 2.5, "ap": 190.6, "as": 1})
        quote, asset = ex.market.quote("SOLUSD"), ex.market.asset("SOL/USD")
        assert quote is not None
        assert str(quote.bid) == "190.5"
        assert asset is not None
        assert asset.asset_class == "crypto"


async def test_news_needs_no_more_than_a_headline(settings: Config, client: Any) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v1beta1/news") as stream:
        ex.pause()
        await stream.login()
        await stream.subscribe(news=["IBM"])
        await post(ex.url, {"T": "n", "headline": "IBM does something", "symbols": ["IBM"]})
        (article,) = await stream.until(lambda got: len(got) == 1)
    assert article["summary"] == article["headline"] == "IBM does something"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ([], "must be a stream message"),
        ({"messages": []}, "must be a stream message"),
        ({"T": "b", "S": "IBM"}, "T is one of"),
        ({"T": "s", "S": "IBM"}, "lacks sc"),
        ({"T": "s", "sc": "H"}, "lacks S"),
        ({**HALT, "t": "now"}, "RFC 3339"),
        ({**HALT, "S": "b/u"}, "not a crypto pair"),
        ({"messages": [HALT, {"T": "s"}]}, "message 2"),
    ],
)
async def test_nothing_of_a_bad_request_happens(settings: Config, body: Any, what: str) -> None:
    async with ExchangeServer(settings()) as ex:
        reply = await post(ex.url, body, 422)
        assert what in reply["message"]
        assert not ex.market.halted("IBM")
