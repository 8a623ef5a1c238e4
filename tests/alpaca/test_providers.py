"""Loading instruments: everything that Alpaca has, in slices and to the last page, or only what is named."""

from __future__ import annotations

import asyncio
import itertools
import string
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, OptionContract

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.models import WireError
from runner.alpaca.providers import CONTRACT_PAGE, MADE_AT_ONCE, AlpacaInstrumentProvider
from runner.exchange.contracts import option_symbol

#: As many stocks as Alpaca lists, and some.
STOCKS = ["".join(letters) for letters in itertools.islice(itertools.product(string.ascii_uppercase, repeat=3), 12_500)]
FAR = {"expiration_date_lte": "2029-01-01"}
IBM = InstrumentId.from_str("IBM.ALPACA")


class Answers:
    """Stands for the HTTP client: replies by path, requests kept."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, path: str, params: Any = (), *, data: bool = False) -> bytes:
        self.asked.append((path, dict(params)))
        return msgspec.json.encode(self.replies[path.rpartition("/")[2]])


def provider(http: Answers) -> AlpacaInstrumentProvider:
    return AlpacaInstrumentProvider(lambda: http, TestClock())  # type: ignore[arg-type, return-value]


def asset(symbol: str) -> dict[str, Any]:
    return {"id": f"id-{symbol}", "class": "us_equity", "symbol": symbol, "fractionable": True}


def test_all_assets_and_thousands_of_contracts_are_loaded_by_a_node(play: Any, running: Any) -> None:
    def list_them(exchange: Any, key: str) -> None:
        exchange.market.add_symbols([*STOCKS, "BTC/USD", "ETH/USD"])
        weeks = [date(2026, 1, 16) + timedelta(days=7 * week) for week in range(19)]
        exchange.market.add_symbols(
            option_symbol("IBM", week, kind, Decimal(strike))
            for week in weeks for strike in range(20, 300) for kind in ("call", "put")
        )  # fmt: skip

    async def scenario() -> None:
        everything = {"instrument_provider": InstrumentProviderConfig(load_all=True)}
        async with running(data=True, data_config=everything, before=list_them) as rig:
            found = rig.data.provider.list_all()
            assert len(found) == len({*STOCKS, "IBM", "BAC"}) + 2
            assert sum(isinstance(each, CurrencyPair) for each in found) == 2
            cache = rig.node.kernel.cache
            await rig.until(lambda: cache.instrument(InstrumentId.from_str(f"{STOCKS[-1]}.ALPACA")), "all in the cache")
            chain = {"asset_class": "us_option", "underlying_symbols": "IBM", **FAR}
            contracts = await rig.data.provider.load_matching(chain)
            assert len(contracts) == 19 * 280 * 2 > CONTRACT_PAGE

    play(scenario())


def test_only_what_is_named_is_asked_for(play: Any) -> None:
    contract = {
        "id": "1", "symbol": "IBM260116C00200000", "expiration_date": "2026-01-16", "underlying_symbol": "IBM",
        "type": "call", "strike_price": "200", "open_interest": "6168",
    }  # fmt: skip
    http = Answers(
        IBM=asset("IBM"), latest={"trades": {"IBM": {"p": 0.95}}}, IBM260116C00200000=contract,
    )  # fmt: skip
    loading = provider(http)
    named = [IBM, InstrumentId.from_str("IBM260116C00200000.ALPACA")]
    play(loading.load_ids_async(named))
    assert [path for path, _ in http.asked] == [
        "/v2/assets/IBM", "/v2/stocks/trades/latest", "/v2/options/contracts/IBM260116C00200000",
    ]  # fmt: skip
    assert loading.find(IBM).price_precision == 4
    found = loading.find(named[1])
    assert isinstance(found, OptionContract)
    assert found.info["open_interest"] == "6168"


def test_the_loop_turns_while_thousands_are_made(play: Any) -> None:
    count = 10 * MADE_AT_ONCE
    http = Answers(assets=[asset(symbol) for symbol in STOCKS[:count]])
    turns = 0

    async def scenario() -> None:
        nonlocal turns
        loading = asyncio.create_task(provider(http).load_matching({"asset_class": "us_equity"}))
        while not loading.done():
            turns += 1
            await asyncio.sleep(0)
        assert len(loading.result()) == count

    play(scenario())
    assert turns >= 10


def test_a_row_that_can_not_be_read_costs_no_other(play: Any) -> None:
    http = Answers(assets=[asset("IBM"), {"class": "us_equity"}, asset("no symbol"), asset("BAC")])

    async def scenario() -> None:
        found = await provider(http).load_matching({"asset_class": "us_equity"})
        assert [each.id.symbol.value for each in found] == ["IBM", "BAC"]

    play(scenario())


def test_pages_of_contracts_that_never_end_are_no_endless_loop(play: Any) -> None:
    http = Answers(contracts={"option_contracts": [], "next_page_token": "again"})

    async def scenario() -> None:
        with pytest.raises(WireError, match="never comes"):
            await provider(http).load_matching({"asset_class": "us_option"})

    play(scenario())


def test_params_of_nautilus_do_not_reach_the_venue_and_a_wrong_filter_is_named(play: Any) -> None:
    http = Answers(assets=[asset("IBM")])

    async def scenario() -> None:
        await provider(http).load_matching({"update_catalog": False, "join_request": False, "exchange": "NYSE"})
        asked = [{"status": "active", "asset_class": kind, "exchange": "NYSE"} for kind in ("us_equity", "crypto")]
        assert [params for _, params in http.asked] == asked
        await provider(http).load_matching({"status": "inactive", "asset_class": "us_equity"})
        assert http.asked[-1][1] == {"status": "inactive", "asset_class": "us_equity"}
        with pytest.raises(ValueError, match="narrow us_option by expiry; there are asset_class, expiration_date,"):
            await provider(http).load_matching({"asset_class": "us_option", "expiry": "2026-01-16"})

    play(scenario())


def test_a_strategys_request_sends_only_what_alpaca_knows(play: Any, running: Any) -> None:
    async def scenario() -> None:
        settings = {"symbols": ("IBM",), "options": ("IBM",), "activity": 0.001}
        async with running(data=True, settings=settings, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            rig.strategy.request_instruments(
                IBM.venue, params={"asset_class": "us_option", "underlying_symbols": "IBM", "type": "put", **FAR}
            )
            cache = rig.node.kernel.cache
            puts = [each.symbol for each in rig.exchange.market._contracts.values() if each.type == "put"]
            last = InstrumentId.from_str(f"{max(puts)}.ALPACA")
            await rig.until(lambda: cache.instrument(last), "the contracts")

    play(scenario())
