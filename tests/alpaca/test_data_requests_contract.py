"""Every request for market data that the adapter words itself fits Alpaca's OpenAPI specification.

QUERIES is what the specification has for the paths used; where the specification is at hand it is compared with it.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.data import DataType, OptionGreeks
from nautilus_trader.model.identifiers import ClientId, InstrumentId

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.snapshots import CHAIN_FILTERS

QUERIES: dict[str, set[str]] = {
    "/v1beta1/options/snapshots": {"symbols", "feed", "updated_since", "limit", "page_token"},
    "/v1beta1/options/snapshots/{underlying_symbol}": {
        "feed", "limit", "updated_since", "page_token", "type", "strike_price_gte", "strike_price_lte",
        "expiration_date", "expiration_date_gte", "expiration_date_lte", "root_symbol",
    },
    "/v1beta3/crypto/{loc}/latest/orderbooks": {"symbols"},
    "/v2/stocks/snapshots": {"symbols", "feed", "currency"},
    "/v2/stocks/trades/latest": {"symbols", "feed", "currency"},
}  # fmt: skip
BTC = InstrumentId.from_str("BTC/USD.ALPACA")


class Recording:
    """The HTTP client, with the market-data requests that pass through it written down."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get(self, path: str, params: Any = (), **kw: Any) -> Any:
        if kw.get("data"):
            self.requests.append((path, dict(params or ())))
        return self._client.get(path, params, **kw)


def record(rig: Any) -> Recording:
    shared = rig.data._shared
    shared._client = Recording(shared.client)
    return shared._client


def check(path: str, params: dict[str, str]) -> str:
    """The path in the specification; fails for a request that it does not have."""
    for template, known in QUERIES.items():
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)), path):
            assert params.keys() <= known, (path, params)
            return template
    raise AssertionError(f"{path} is not in the specification")


def test_requests_for_snapshots_chains_and_prices_fit_the_specification(play: Any, running: Any) -> None:
    async def scenario() -> None:
        settings = {"symbols": ("IBM", "BAC"), "options": ("IBM",), "activity": 0.001}
        async with running(data=True, settings=settings, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            recording = record(rig)
            contract = next(iter(rig.exchange.market._contracts))
            contract_id = InstrumentId.from_str(f"{contract}.ALPACA")
            rig.strategy.subscribe_option_greeks(contract_id)
            await rig.until(lambda: rig.data.greeks.polls, "a poll")
            values = {"type": "call", "updated_since": "2026-01-12T14:30:00Z", "root_symbol": "IBM"}
            chain = {name: values.get(name, date(2026, 1, 16) if "date" in name else 200) for name in CHAIN_FILTERS}
            now = rig.node.kernel.clock.utc_now()
            of_chain = DataType(OptionGreeks, metadata={"underlying": "IBM", **chain})
            rig.strategy.request_data(of_chain, ClientId("ALPACA"), start=now)
            await rig.until(lambda: len(recording.requests) > 1, "the chain")
            await rig.data.provider.load_ids_async([InstrumentId.from_str("IBM.ALPACA")])
            with pytest.raises(ValueError, match="neither a trade nor a quote"):
                await rig.data.forward_price("BAC", contract_id)
            assert {check(*row) for row in recording.requests} == {
                path for path in QUERIES if "orderbooks" not in path
            }  # fmt: skip
            assert all(params.get("feed") == "indicative" for path, params in recording.requests if "options" in path)

    play(scenario())


def test_requests_for_books_fit_the_specification(play: Any, running: Any) -> None:
    async def scenario() -> None:
        settings = {"symbols": ("IBM", "BTC/USD"), "activity": 0.001}
        async with running(data=True, settings=settings, data_config={"feed": AlpacaDataFeed.US}) as rig:
            recording = record(rig)
            assert await rig.data.book_now(BTC) is None
            assert [check(*row) for row in recording.requests] == ["/v1beta3/crypto/{loc}/latest/orderbooks"]

    play(scenario())


def test_the_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="not in the specification"):
        check("/v1beta1/options/greeks", {})
    with pytest.raises(AssertionError):
        check("/v1beta1/options/snapshots", {"underlying": "IBM"})


def test_what_is_checked_against_is_the_specification(shared: Path | None) -> None:
    path = None if shared is None else shared / "alpaca" / "market-data-api.json"
    if path is None or not path.exists():
        pytest.skip("the specification is not here")
    spec = json.loads(path.read_text())
    for template, known in QUERIES.items():
        found = spec["paths"][template]
        rows = [*found.get("parameters", ()), *found["get"]["parameters"]]
        rows = [
            spec["components"]["parameters"][row["$ref"].rpartition("/")[2]] if "$ref" in row else row for row in rows
        ]
        assert {row["name"] for row in rows if row["in"] == "query"} == known, template
