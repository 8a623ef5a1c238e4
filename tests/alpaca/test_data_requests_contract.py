"""Every request for snapshots, chains, prices and books fits Alpaca's own OpenAPI specification."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from nautilus_trader.model.data import DataType, OptionGreeks
from nautilus_trader.model.identifiers import ClientId, InstrumentId

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.snapshots import CHAIN_FILTERS
from tests.alpaca.market_data_spec import check, record

BTC = InstrumentId.from_str("BTC/USD.ALPACA")


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
            await rig.until(lambda: len(recording.queries) > 1, "the chain")
            await rig.data.provider.load_ids_async([InstrumentId.from_str("IBM.ALPACA")])
            with pytest.raises(ValueError, match="neither a trade nor a quote"):
                await rig.data.forward_price("BAC", contract_id)
            assert {check(*row) for row in recording.queries} == {
                "/v1beta1/options/snapshots",
                "/v1beta1/options/snapshots/{underlying_symbol}",
                "/v2/stocks/snapshots",
                "/v2/stocks/trades/latest",
            }
            of_options = [dict(query) for path, query in recording.queries if "options" in path]
            assert all(query.get("feed") == "indicative" for query in of_options)

    play(scenario())


def test_requests_for_books_fit_the_specification(play: Any, running: Any) -> None:
    async def scenario() -> None:
        settings = {"symbols": ("IBM", "BTC/USD"), "activity": 0.001}
        async with running(data=True, settings=settings, data_config={"feed": AlpacaDataFeed.US}) as rig:
            recording = record(rig)
            assert await rig.data.book_now(BTC) is None
            assert [check(*row) for row in recording.queries] == ["/v1beta3/crypto/{loc}/latest/orderbooks"]

    play(scenario())


def test_the_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="not in the specification"):
        check("/v1beta1/options/greeks", [])
    with pytest.raises(AssertionError):
        check("/v1beta1/options/snapshots", [("underlying", "IBM")])
