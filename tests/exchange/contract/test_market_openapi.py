"""Replies of the market side against Alpaca's OpenAPI specs, and against what clients rely on, which is always here.

The specs stand in the shared folder. A clone elsewhere has only `RELIED_ON`.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

SPECS = ("trading-api.json", "market-data-api.json")
DAY = date(2026, 1, 12)
OPTIONS, CRYPTO = "/v1beta1/options", "/v1beta3/crypto/{loc}"
PAIRS = {"symbols": "BTC/USD,ETH/USD"}
SINCE = {"start": "2026-01-12T14:30:00Z", "limit": "7"}
ACTIONS = {
    "cash_dividends": [
        {
            "symbol": "IBM",
            "cusip": "459200101",
            "rate": 1.68,
            "special": False,
            "foreign": False,
            "process_date": "2026-01-12",
            "ex_date": "2026-01-09",
        }
    ],
    "forward_splits": [
        {
            "symbol": "IBM",
            "cusip": "459200101",
            "new_rate": 2,
            "old_rate": 1,
            "process_date": "2026-01-12",
            "ex_date": "2026-01-12",
        }
    ],
}

#: What is ordered on the day itself, and stands among the corporate actions then.
PLAYED: list[dict[str, dict[str, Any]]] = [
    {"dividend": {"symbol": "IBM", "rate": "0.955"}},
    {"split": {"symbol": "BAC", "new_rate": 3, "old_rate": 2}},
    {"split": {"symbol": "BAC", "new_rate": 1, "old_rate": 10}},
]

# (path in the spec, path to ask for, parameters); {call}, {call_id} are filled in.
CALLS: list[tuple[str, str, dict[str, str]]] = [
    ("/v2/assets", "/v2/assets", {"asset_class": "crypto"}),
    ("/v2/assets/{symbol_or_asset_id}", "/v2/assets/BTC%2FUSD", {}),
    ("/v2/options/contracts", "/v2/options/contracts", {"limit": "3", "show_deliverables": "true"}),
    ("/v2/options/contracts/{symbol_or_id}", "/v2/options/contracts/{call}", {}),
    ("/v2/options/contracts/{symbol_or_id}", "/v2/options/contracts/{call_id}", {}),
    *(
        (f"{OPTIONS}/{kind}", f"{OPTIONS}/{kind}", {"symbols": "{call}", **SINCE, **more})
        for kind, more in (("bars", {"timeframe": "1Min"}), ("trades", {}))
    ),
    (f"{OPTIONS}/quotes/latest", f"{OPTIONS}/quotes/latest", {"symbols": "{call}"}),
    (f"{OPTIONS}/trades/latest", f"{OPTIONS}/trades/latest", {"symbols": "{call}"}),
    (f"{OPTIONS}/snapshots", f"{OPTIONS}/snapshots", {"symbols": "{call}", "feed": "opra"}),
    (f"{OPTIONS}/snapshots/{{underlying_symbol}}", f"{OPTIONS}/snapshots/IBM", {"limit": "5"}),
    (f"{OPTIONS}/meta/exchanges", f"{OPTIONS}/meta/exchanges", {}),
    (f"{OPTIONS}/meta/conditions/{{ticktype}}", f"{OPTIONS}/meta/conditions/trade", {}),
    *(
        (f"{CRYPTO}/{kind}", f"/v1beta3/crypto/us/{kind}", {**PAIRS, **SINCE, **more})
        for kind, more in (("bars", {"timeframe": "5Min"}), ("trades", {}), ("quotes", {}))
    ),
    *(
        (f"{CRYPTO}/latest/{kind}", f"/v1beta3/crypto/us-1/latest/{kind}", PAIRS)
        for kind in ("bars", "trades", "quotes", "orderbooks")
    ),
    (f"{CRYPTO}/snapshots", "/v1beta3/crypto/us/snapshots", PAIRS),
    ("/v1beta1/news", "/v1beta1/news", {"include_content": "true", "limit": "5"}),
    ("/v1/corporate-actions", "/v1/corporate-actions", {"start": "2026-01-01"}),
    ("/v2/stocks/auctions", "/v2/stocks/auctions", {"symbols": "IBM"}),
    ("/v2/stocks/{symbol}/auctions", "/v2/stocks/IBM/auctions", {}),
    ("/v2/stocks/bars", "/v2/stocks/bars", {"symbols": "IBM", **SINCE, "timeframe": "1D", "adjustment": "all"}),
]

# Where the real Alpaca departs from its own specs, and so do we: (path, member) → why.
DEVIATIONS: dict[tuple[str, str], str] = {
    (path, "exchange"): "the spec lists exchanges of stocks only; crypto is on CRYPTO"
    for path in ("/v2/assets", "/v2/assets/{symbol_or_asset_id}")
}

BAR = {"t", "o", "h", "l", "c", "v", "n", "vw"}
OPTION_QUOTE = {"t", "bx", "bp", "bs", "ax", "ap", "as", "c"}
# What clients rely on: the place of a row (steps down, * is any one member), and the members that it must have.
RELIED_ON: dict[str, tuple[str, set[str]]] = {
    "/v2/assets": ("*", {"id", "class", "symbol", "min_order_size", "min_trade_increment", "price_increment"}),
    "/v2/options/contracts": (
        "option_contracts.*",
        {"id", "symbol", "status", "tradable", "expiration_date", "underlying_symbol", "type", "style", "strike_price"},
    ),
    f"{OPTIONS}/bars": ("bars.*.*", BAR),
    f"{OPTIONS}/trades": ("trades.*.*", {"t", "x", "p", "s", "c"}),
    f"{OPTIONS}/quotes/latest": ("quotes.*", OPTION_QUOTE),
    f"{OPTIONS}/trades/latest": ("trades.*", {"t", "x", "p", "s", "c"}),
    f"{OPTIONS}/snapshots": ("snapshots.*", {"latestQuote", "impliedVolatility", "greeks"}),
    f"{CRYPTO}/bars": ("bars.*.*", BAR),
    f"{CRYPTO}/trades": ("trades.*.*", {"t", "p", "s", "i", "tks"}),
    f"{CRYPTO}/quotes": ("quotes.*.*", {"t", "bp", "bs", "ap", "as"}),
    f"{CRYPTO}/latest/orderbooks": ("orderbooks.*", {"t", "b", "a"}),
    f"{CRYPTO}/snapshots": ("snapshots.*", {"latestTrade", "latestQuote", "minuteBar", "dailyBar"}),
    "/v1beta1/news": (
        "news.*",
        {"id", "headline", "author", "created_at", "updated_at", "symbols", "source", "images"},
    ),
    "/v1/corporate-actions": (
        "corporate_actions.cash_dividends.*",
        {"id", "symbol", "rate", "ex_date", "process_date"},
    ),
    "/v2/stocks/auctions": ("auctions.*.*", {"d", "o", "c"}),
}

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    # datetime knows six digits of a second at most; Alpaca sends up to nine.
    return not isinstance(value, str) or datetime.fromisoformat(re.sub(r"\.\d{1,9}", "", value)).tzinfo is not None


@formats.checks("date", raises=ValueError)
def is_date(value: object) -> bool:
    return not isinstance(value, str) or (len(value) == 10 and bool(date.fromisoformat(value)))


@lru_cache
def load(path: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(path.read_text())
    return spec


async def ask_all(settings: Settings) -> list[httpx.Response]:
    """The reply to each of CALLS, just before the close."""
    headers = {"APCA-API-KEY-ID": "PK1", "APCA-API-SECRET-KEY": "s"}
    async with (
        ExchangeServer(settings) as exchange,
        httpx.AsyncClient(base_url=exchange.url, headers=headers, verify=False) as client,
    ):
        market = exchange.market
        await exchange.step_until(market.calendar.close_ns(DAY) - 1)
        quote = market.quote("IBM")
        assert quote is not None
        traded = [c for c in market.contracts() if c.type == "call" and market.last_trade(c.symbol)]
        call = min(traded, key=lambda contract: abs(contract.strike - quote.bid))
        names = {"call": call.symbol, "call_id": call.id}
        for event in PLAYED:
            assert (await client.post("/control/broker", json=event)).status_code == 200
        replies = []
        for _, path, params in CALLS:
            filled = {name: value.format(**names) for name, value in params.items()}
            replies.append(await client.get(path.format(**names), params=filled))
        return replies


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> list[httpx.Response]:
    """Of a stock with its chain and two pairs."""
    actions = tmp_path_factory.mktemp("market") / "actions.json"
    actions.write_text(json.dumps(ACTIONS))
    settings = Settings(
        symbols=("IBM", "BTC/USD", "ETH/USD"),
        options=("IBM",),
        day=DAY,
        extended_hours=False,
        activity=0.2,
        wait=True,
        corporate_actions=actions,
    )
    return asyncio.run(ask_all(settings))


def rows(body: Any, steps: list[str]) -> list[Any]:
    if not steps:
        return [body]
    members = body if isinstance(body, list) else list(body.values())
    found = members if steps[0] == "*" else [body[steps[0]]]
    return [row for member in found for row in rows(member, steps[1:])]


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[url for _, url, _ in CALLS])
def test_a_reply_is_what_the_specs_promise(replies: list[httpx.Response], shared: Path | None, number: int) -> None:
    path, reply = CALLS[number][0], replies[number]
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body, "an empty reply would agree with every schema"
    if path in RELIED_ON:
        place, members = RELIED_ON[path]
        found = rows(body, place.split("."))
        assert found
        assert all(members <= set(row) for row in found)
    if shared is None:
        return
    known = [spec for name in SPECS if path in (spec := load(shared / "alpaca" / name))["paths"]]
    assert known, f"no spec of Alpaca's knows {path}"
    for spec in known:
        content = spec["paths"][path]["get"]["responses"]["200"]
        if "$ref" in content:
            content = spec["components"]["responses"][content["$ref"].rsplit("/", 1)[1]]
        schema = {"allOf": [content["content"]["application/json"]["schema"]], "components": spec["components"]}
        found = [
            (path, str(list(error.absolute_path)[-1]), error.message)
            for error in OAS30Validator(schema, format_checker=formats).iter_errors(body)
        ]
        assert [what for what in found if what[:2] not in DEVIATIONS] == []
        named = [where for where in DEVIATIONS if where[0] == path]
        assert {what[:2] for what in found} >= set(named), "a deviation that has gone must leave the list"


def test_what_was_played_is_listed(replies: list[httpx.Response]) -> None:
    (body,) = (
        reply.json() for (path, *_), reply in zip(CALLS, replies, strict=True) if path == "/v1/corporate-actions"
    )
    found = body["corporate_actions"]
    for kind, symbol, members in (
        ("cash_dividends", "IBM", {"rate": 0.955}),
        ("forward_splits", "BAC", {"new_rate": 3, "old_rate": 2}),
        ("reverse_splits", "BAC", {"new_rate": 1, "old_rate": 10}),
    ):
        wanted = {"symbol": symbol, "ex_date": DAY.isoformat(), "process_date": DAY.isoformat(), **members}
        assert any(row.items() >= wanted.items() for row in found[kind]), found[kind]


def test_every_path_of_options_crypto_news_and_actions_is_served(shared: Path | None) -> None:
    """Not simulated at all: forex, indices, fixed income, perpetual futures, logos, screeners."""
    asked = {path for path, _, _ in CALLS}
    assert set(RELIED_ON) <= asked
    if shared is None:
        return
    paths = load(shared / "alpaca" / "market-data-api.json")["paths"]
    ours = (OPTIONS, CRYPTO, "/v1beta1/news", "/v1/corporate-actions", "/v2/stocks/auctions")
    assert {path for path in paths if path.startswith(ours)} <= asked
