"""Every request for history fits Alpaca's own OpenAPI specification; where the whole of it is at hand, the excerpt that
requests are held against must be a part of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.identifiers import ClientId, InstrumentId

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.custom import AlpacaCorporateAction, AlpacaNews
from tests.alpaca.market_data_spec import EXCERPT, Query, check, record

ALPACA = ClientId("ALPACA")
START = pd.Timestamp("2026-01-12", tz="UTC")


async def asked(rig: Any, *requests: Any) -> list[Query]:
    recording = record(rig)
    for request in requests:
        done: list[Any] = []
        request(rig.strategy, done.append)
        await rig.until(lambda done=done: done, "the reply")
    return recording.queries


def bars(spec: str, **params: Any) -> Any:
    bar_type = BarType.from_str(f"{spec}-LAST-EXTERNAL")
    return lambda strategy, done: strategy.request_bars(bar_type, start=START, callback=done, params=params)


def ticks(kind: str, symbol: str) -> Any:
    instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
    return lambda strategy, done: getattr(strategy, f"request_{kind}_ticks")(instrument_id, start=START, callback=done)


def custom(data_type: DataType, limit: int = 0, **params: Any) -> Any:
    return lambda strategy, done: strategy.request_data(
        data_type, ALPACA, start=START, callback=done, limit=limit, params=params
    )


STOCKS = (
    bars("IBM.ALPACA-1-MINUTE"),
    bars("IBM.ALPACA-1-DAY", adjustment="split,dividend"),
    bars("IBM.ALPACA-6-MONTH", adjustment="all"),
    bars("IBM.ALPACA-1-WEEK"),
    ticks("trade", "IBM"),
    ticks("quote", "IBM"),
    custom(DataType(AlpacaNews)),
    custom(AlpacaNews.of("IBM", "BTC/USD"), limit=2),
    custom(AlpacaCorporateAction.of("IBM", "BAC", kinds=("cash_dividend", "forward_split"))),
    custom(DataType(AlpacaCorporateAction), limit=1, start="2025-01-01", end="2026-12-31"),
)
PAIRS = (bars("BTC/USD.ALPACA-1-HOUR"), bars("BTC/USD.ALPACA-12-MONTH"), ticks("trade", "BTC/USD"))


@pytest.mark.parametrize(("feed", "requests"), [(AlpacaDataFeed.SIP, STOCKS), (AlpacaDataFeed.US, PAIRS)])
def test_every_request_fits_the_specification(
    play: Any, running: Any, feed: AlpacaDataFeed, requests: tuple[Any, ...]
) -> None:
    async def scenario() -> None:
        settings = {"symbols": ("IBM", "BAC", "BTC/USD"), "activity": 0.001}
        async with running(data=True, settings=settings, data_config={"feed": feed}) as rig:
            rig.data.venue_clock.observe(rig.exchange.market.now_ns)
            await rig.exchange.step_until(rig.exchange.market.now_ns + 8 * 3_600_000_000_000)
            rig.data.venue_clock.observe(rig.exchange.market.now_ns)
            queries = await asked(rig, *requests)
            assert len(queries) >= len(requests)
            for query in queries:
                check(*query)

    play(scenario())


def test_the_check_can_fail() -> None:
    for path, query in (
        ("/v2/stocks/candles", []),
        ("/v2/stocks/bars", [("symbols", "IBM")]),
        ("/v1beta1/news", [("symbol", "IBM")]),
        ("/v1beta1/news", [("limit", "51")]),
        ("/v1beta1/news", [("sort", "newest")]),
        ("/v1/corporate-actions", [("start", "2026-01-12T00:00:00Z")]),
    ):
        with pytest.raises(AssertionError):
            check(path, query)


def test_the_excerpt_is_a_part_of_the_specification(shared: Path | None) -> None:
    path = None if shared is None else shared / "alpaca" / "market-data-api.json"
    if path is None or not path.exists():
        assert all(row["name"] for rows in EXCERPT.values() for row in rows)
        return
    whole = json.loads(path.read_text())

    def followed(found: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in found:
            return found
        section, name = found["$ref"].split("/")[-2:]
        return followed(whole["components"][section][name])

    for template, rows in EXCERPT.items():
        item = whole["paths"][template]
        said = {row["name"]: row for row in map(followed, [*item.get("parameters", ()), *item["get"]["parameters"]])}
        assert {row["name"] for row in rows} == set(said), template
        for row in rows:
            schema = followed(said[row["name"]]["schema"])
            for key, value in row["schema"].items():
                assert schema[key] == value, (template, row["name"], key)
