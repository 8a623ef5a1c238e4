"""Articles as Alpaca sends them, who gets which, and the pages of history."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nautilus_trader.model.data import DataType

from runner.alpaca.custom import AlpacaNews
from runner.alpaca.models import WireError, decode
from runner.alpaca.news import REMEMBERED, NewsRow, Newsstand, history, wanted_symbols
from tests.alpaca.test_corporate_actions import Pages

#: The example of Alpaca's specification, as the stream sends it.
ARTICLE: dict[str, Any] = {
    "T": "n",
    "id": 24843171,
    "headline": "Apple Leader in Phone Sales",
    "summary": "This headline-only article is meant to show you why a stock is moving",
    "author": "Charles Gross",
    "created_at": "2021-12-31T11:08:42Z",
    "updated_at": "2021-12-31T11:08:43.5Z",
    "url": "https://www.benzinga.com/news/21/12/24843171",
    "content": "",
    "symbols": ["AAPL"],
    "source": "benzinga",
}
UPDATED = 1_640_948_923_500_000_000


def article(number: int, *symbols: str, **more: Any) -> NewsRow:
    return decode(NewsRow, json.dumps({**ARTICLE, "id": number, "symbols": symbols, **more}), "it")


def topics(stand: Newsstand, row: NewsRow) -> str | None:
    found = stand.take(row, 1)
    return None if found is None else str(found.data_type.topic)


def test_an_article_has_all_its_fields_and_travels() -> None:
    found = article(1, "AAPL", images=[{"size": "thumb", "url": "https://x/y.png"}]).data(7)
    assert (found.ts_event, found.ts_init) == (UPDATED, 7)
    assert {name: getattr(found, name) for name in ARTICLE if name not in ("T", "id")} == {
        name: value for name, value in ARTICLE.items() if name not in ("T", "id")
    }
    assert found.images == [{"size": "thumb", "url": "https://x/y.png"}]
    assert AlpacaNews.from_bytes(found.to_bytes()).to_dict() == found.to_dict()
    (back,) = AlpacaNews.from_arrow(found.to_arrow())
    assert back.to_dict() == found.to_dict()


def test_what_an_article_lacks_is_empty() -> None:
    bare = decode(NewsRow, b'{"id":1,"created_at":"2021-12-31T11:08:42Z","url":null,"images":null}', "it").data(7)
    assert (bare.url, bare.symbols, bare.images, bare.updated_at) == ("", [], [], "2021-12-31T11:08:42Z")
    with pytest.raises(WireError, match="can't read it"):
        decode(NewsRow, b'{"headline":"no id"}', "it")
    with pytest.raises(WireError, match="no RFC 3339 time"):
        article(1, updated_at="yesterday").data(7)


def test_an_article_has_one_topic_that_names_every_subscription_it_is_for() -> None:
    stand = Newsstand()
    assert topics(stand, article(1, "AAPL")) is None
    assert stand.add(AlpacaNews.of("IBM", "BAC")) == {"BAC", "IBM"}
    assert stand.add(AlpacaNews.of("IBM")) == set()
    assert stand.add(AlpacaNews.of("BTC/USD.ALPACA")) == {"BTCUSD"}
    assert topics(stand, article(2, "GE")) is None
    assert topics(stand, article(3, "IBM")) == "AlpacaNews.symbols=|BAC,IBM||IBM|"
    assert topics(stand, article(4, "BAC", "BTCUSD")) == "AlpacaNews.symbols=|BAC,IBM||BTCUSD|"
    assert stand.add(DataType(AlpacaNews)) == {"*"}
    assert stand.symbols_by_name == set()
    assert topics(stand, article(5, "GE")) == "AlpacaNews*"
    assert stand.remove(AlpacaNews.of("IBM", "BAC")) == {"BAC"}
    assert stand.remove(DataType(AlpacaNews)) == {"*"}
    assert stand.symbols_by_name == {"IBM", "BTCUSD"}


def test_a_version_comes_once_and_a_new_one_again() -> None:
    stand = Newsstand()
    stand.add(DataType(AlpacaNews))
    assert topics(stand, article(1, "IBM")) is not None
    assert topics(stand, article(1, "IBM")) is None
    assert topics(stand, article(1, "IBM", updated_at="2021-12-31T12:00:00Z")) is not None
    for number in range(2, REMEMBERED + 2):
        assert topics(stand, article(number)) is not None
    assert len(stand._seen) == REMEMBERED


def test_only_of_makes_subscriptions() -> None:
    assert wanted_symbols(AlpacaNews.of("IBM", "BTC/USD", "IBM")) == {"IBM", "BTCUSD"}
    assert wanted_symbols(AlpacaNews.of()) == frozenset()
    for metadata in ({"symbols": "IBM"}, {"symbols": "*||*"}, {"symbol": "IBM"}, {"symbols": "*|IBM|*", "x": 1}):
        with pytest.raises(ValueError, match=r"make it with AlpacaNews\.of"):
            wanted_symbols(DataType(AlpacaNews, metadata=metadata))


async def test_history_is_read_to_the_last_page() -> None:
    first, second = ({"news": [{**ARTICLE, "id": number}], "next_page_token": t} for number, t in ((1, "t"), (2, None)))
    pages = Pages(first, {"news": [], "next_page_token": "u"}, second)
    assert [row.id for row in await history(pages, {"IBM", "BAC"}, 0, UPDATED)] == [1, 2]
    assert [query.get("page_token") for query in pages.queries] == [None, "t", "u"]
    assert pages.queries[0] == {
        "start": "1970-01-01T00:00:00.000000000Z", "end": "2021-12-31T11:08:43.500000000Z", "sort": "asc",
        "limit": "50", "include_content": "true", "symbols": "BAC,IBM",
    }  # fmt: skip


async def test_a_limit_takes_the_newest_and_they_come_oldest_first() -> None:
    pages = Pages({"news": [{**ARTICLE, "id": 2}, {**ARTICLE, "id": 1}], "next_page_token": "t"})
    assert [row.id for row in await history(pages, set(), 0, UPDATED, limit=2)] == [1, 2]
    assert (pages.queries[0]["sort"], pages.queries[0]["limit"]) == ("desc", "2")


async def test_a_page_that_leads_to_itself_ends_it() -> None:
    with pytest.raises(WireError, match="leads to itself"):
        await history(Pages(*[{"news": [], "next_page_token": "t"}] * 2), set(), 0, UPDATED)
