"""Crypto and options beside stocks: instruments, streams and history through a real node."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.identifiers import InstrumentId, new_generic_spread_id
from nautilus_trader.model.instruments import CurrencyPair, OptionContract, OptionSpread

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.data import NoFeedError, SymbolLimitError
from runner.exchange.market import Quote
from tests.alpaca.conftest import TEN_O_CLOCK
from tests.alpaca.scripted import contract

BTC = InstrumentId.from_str("BTC/USD.ALPACA")
MINUTES = BarType.from_str("BTC/USD.ALPACA-1-MINUTE-LAST-EXTERNAL")
COINS: dict[str, Any] = {"symbols": ("IBM", "BAC", "BTC/USD"), "speed": 600.0, "start": time(11, 0)}
OPTIONS: dict[str, Any] = {"symbols": ("IBM", "BAC"), "options": ("IBM",), "speed": 300.0, "start": time(11, 0)}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_pair_streams_quotes_trades_and_bars_and_has_history(play: Any, running: Any, codec: str) -> None:
    async def scenario() -> None:
        feed = {"feed": AlpacaDataFeed.US, "codec": codec}
        async with running(data=True, settings=COINS, data_config=feed) as rig:
            await rig.data.provider.load_ids_async([BTC])
            pair = rig.data.provider.find(BTC)
            assert isinstance(pair, CurrencyPair)
            assert (pair.base_currency.code, pair.quote_currency.code, pair.size_precision) == ("BTC", "USD", 9)
            rig.strategy.subscribe_quote_ticks(BTC)
            rig.strategy.subscribe_trade_ticks(BTC)
            rig.strategy.subscribe_bars(MINUTES)
            for kind in (QuoteTick, TradeTick, Bar):
                await rig.until(
                    lambda kind=kind: any(isinstance(row, kind) for row in rig.strategy.data), kind.__name__
                )
            rig.strategy.data.clear()
            now = rig.node.kernel.clock.utc_now()
            rig.strategy.request_bars(MINUTES, start=now - pd.Timedelta(hours=1))
            await rig.until(lambda: sum(isinstance(row, Bar) for row in rig.strategy.data) > 10, "history")

    play(scenario())


def test_contracts_and_a_spread_of_them_are_loaded_and_stream(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=OPTIONS, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            contracts = sorted(rig.exchange.market._contracts.values(), key=lambda each: each.symbol)
            calls = [each for each in contracts if each.type == "call"][:2]
            ids = [InstrumentId.from_str(f"{each.symbol}.ALPACA") for each in calls]
            spread_id = new_generic_spread_id([(ids[0], 1), (ids[1], -1)])
            provider = rig.data.provider
            await provider.load_ids_async([spread_id])
            first, spread = provider.find(ids[0]), provider.find(spread_id)
            assert isinstance(first, OptionContract)
            assert first.strike_price.as_decimal() == calls[0].strike
            assert (first.underlying, int(first.multiplier)) == ("IBM", 100)
            assert isinstance(spread, OptionSpread)
            for each in ids:
                rig.strategy.subscribe_quote_ticks(each)
            await rig.until(
                lambda: any(isinstance(row, QuoteTick) for row in rig.strategy.data), "quotes of a contract"
            )
            with pytest.raises(ValueError, match="no historical quotes of options"):
                await rig.data._tick_rows("quotes", ids[0], 0, 1)

    play(scenario())


def test_contracts_are_loaded_by_what_is_asked_for(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=OPTIONS, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            day = max(each.expiration_date for each in rig.exchange.market._contracts.values())
            filters = {"asset_class": "us_option", "underlying_symbols": "IBM", "type": "put"}
            await rig.data.provider.load_all_async(filters | {"expiration_date_lte": day.isoformat()})
            loaded = [each for each in rig.data.provider.list_all() if isinstance(each, OptionContract)]
            puts = [each for each in rig.exchange.market._contracts.values() if each.type == "put"]
            assert len(loaded) == len(puts) > 0

    play(scenario())


def test_what_another_markets_client_has_loaded_is_not_asked_for_again(play: Any, running: Any) -> None:
    """A strategy asks the first feed's client for a chain: thousands of look-ups one by one would follow."""

    async def scenario() -> None:
        async with running(data=True, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            unknown = contract("IBM300119C00180000", "180")  # the venue does not have it
            with pytest.raises(ValueError, match="Alpaca has no instrument IBM300119C00180000"):
                await rig.data.stream_quotes(unknown.id)
            rig.node.kernel.cache.add_instrument(unknown)
            await rig.data.stream_quotes(unknown.id)
            await rig.data.poll_greeks(unknown.id)
            assert rig.data.provider.find(unknown.id) is not None

    play(scenario())


def test_what_is_beyond_the_plan_is_told_once_for_all(play: Any, running: Any) -> None:
    async def scenario() -> None:
        feed = {"feed": AlpacaDataFeed.INDICATIVE, "max_symbols": 2}
        async with running(data=True, data_config=feed) as rig:
            told: list[tuple[str, list[str]]] = []
            tell = rig.data._tell_beyond_limit
            rig.data._tell_beyond_limit = lambda error: (told.append((str(error), list(rig.data._beyond))), tell(error))
            calls = [contract(f"IBM300119C00{strike}000", str(strike)) for strike in range(180, 190)]
            for each in calls:
                rig.node.kernel.cache.add_instrument(each)
                rig.strategy.subscribe_quote_ticks(each.id)
            await rig.until(lambda: told, "what is not subscribed")
            assert rig.data._channels["quotes"] == {each.id.symbol.value for each in calls[:2]}
            ((first, symbols),) = told
            assert first.startswith("quotes of IBM300119C00182000 would be subscription number 3")
            assert symbols == [each.id.symbol.value for each in calls[2:]]

    play(scenario())


def test_a_market_without_a_feed_is_named(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=COINS) as rig:
            with pytest.raises(NoFeedError, match=r"BTC/USD\.ALPACA needs a feed of crypto"):
                rig.data._for(BTC)

    play(scenario())


def test_subscriptions_beyond_the_plan_are_refused_before_they_are_asked_for(play: Any, running: Any) -> None:
    """A symbol's quotes and its trades count one each, as the venue counts; bars never do."""

    async def scenario() -> None:
        settings = COINS | {"symbol_limit": 3}
        async with running(data=True, settings=settings, data_config={"max_symbols": 3}) as rig:
            ibm, bac = (InstrumentId.from_str(f"{symbol}.ALPACA") for symbol in ("IBM", "BAC"))
            await rig.data.stream_quotes(ibm)
            await rig.data.stream_trades(ibm)
            await rig.data.stream_quotes(bac)
            await rig.data.stream_quotes(bac)
            await rig.data.stream_bars(BarType.from_str("BAC.ALPACA-1-MINUTE-LAST-EXTERNAL"))
            with pytest.raises(
                SymbolLimitError, match=r"trades of BAC would be subscription number 4, .*iex may have 3"
            ):
                await rig.data.stream_trades(bac)
            await rig.until(lambda: rig.data.subscriptions_confirmed, "the venue's word for the others")
            rig.data._remove("trades", "IBM")
            await rig.data.stream_trades(bac)
            await rig.until(lambda: rig.data.subscriptions_confirmed, "the venue's word for the one instead")

    play(scenario())


def test_of_options_only_quotes_count(play: Any, running: Any) -> None:
    async def scenario() -> None:
        feed = {"feed": AlpacaDataFeed.INDICATIVE, "max_symbols": 1}
        async with running(data=True, settings=OPTIONS | {"symbol_limit": 1}, data_config=feed) as rig:
            symbols = sorted(rig.exchange.market._contracts)[:2]
            first, second = (InstrumentId.from_str(f"{symbol}.ALPACA") for symbol in symbols)
            await rig.data.stream_quotes(first)
            for each in (first, second):
                await rig.data.stream_trades(each)
            with pytest.raises(SymbolLimitError, match=r"indicative may have 1 .*quotes count"):
                await rig.data.stream_quotes(second)
            await rig.until(lambda: rig.data.subscriptions_confirmed, "the venue's word for the others")

    play(scenario())


def test_it_is_known_when_the_venue_has_taken_what_was_subscribed_to(play: Any, running: Any) -> None:
    """In lock-step time waits for it; but not for what the venue refuses."""

    async def scenario() -> None:
        async with running(data=True, settings=COINS | {"activity": 0.01, "symbol_limit": 1}) as rig:
            ibm, bac = (InstrumentId.from_str(f"{symbol}.ALPACA") for symbol in ("IBM", "BAC"))
            assert not rig.data.settling
            await rig.data.stream_quotes(ibm)
            assert rig.data.settling
            await rig.until(lambda: not rig.data.settling, "the acknowledgment")
            await rig.data.stream_quotes(bac)
            await rig.until(lambda: not rig.data.settling, "the refusal")
            assert not rig.data.subscriptions_confirmed

    play(scenario())


def test_increments_are_the_assets_own(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=COINS, data_config={"feed": AlpacaDataFeed.US}) as rig:
            await rig.data.provider.load_ids_async([BTC])
            asset = rig.exchange.market.asset("BTC/USD")
            pair = rig.data.provider.find(BTC)
            assert pair.price_increment.as_decimal() == asset.price_increment
            assert pair.size_increment.as_decimal() == Decimal("0.000000001")

    play(scenario())


def test_tc_e101_an_option_position_held_before_the_start_is_taken_over(play: Any, running: Any) -> None:
    held: list[str] = []

    def buy(exchange: Any, key: str) -> None:
        market, desk = exchange.market, exchange.broker.desk
        call = next(each for each in market.contracts() if each.type == "call")
        market.set_clock(TEN_O_CLOCK)
        market.set_quote(Quote(call.symbol, Decimal("1.00"), 10, Decimal("1.05"), 10, market.now_ns))
        body = {"symbol": call.symbol, "qty": "2", "side": "buy", "type": "limit", "limit_price": "1.10"}
        desk.submit(desk.account(key), {**body, "time_in_force": "day", "position_intent": "buy_to_open"})
        held.append(call.symbol)

    async def scenario() -> None:
        async with running(settings={**OPTIONS, "activity": 0.001}, before=buy) as rig:
            (symbol,) = held
            assert rig.position(symbol) == 2
            instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
            assert isinstance(rig.node.kernel.cache.instrument(instrument_id), OptionContract)
            assert rig.node.kernel.portfolio.net_position(instrument_id) == 2

    play(scenario())


def test_a_chain_that_is_asked_for_twice_is_told_twice_and_without_params_all_is(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=OPTIONS, data_config={"feed": AlpacaDataFeed.INDICATIVE}) as rig:
            filters = {"asset_class": "us_option", "underlying_symbols": "IBM", "expiration_date_lte": "2100-01-01"}
            first = await rig.data.provider.load_matching(filters)
            assert len(first) == len(await rig.data.provider.load_matching(filters)) > 0
            assert {each.id.symbol.value for each in await rig.data.provider.load_matching()} >= {"IBM", "BAC"}

    play(scenario())


def test_the_delayed_feed_has_its_history_from_sip_and_the_test_feed_none(play: Any, running: Any) -> None:
    async def scenario() -> None:
        feed = {"feed": AlpacaDataFeed.DELAYED_SIP}
        async with running(data=True, settings=COINS, data_config=feed) as rig:
            now = rig.data.venue_clock.now_ns()
            params = dict(rig.data._params("IBM", now - 10**12, now))
            assert params["feed"] == "sip"
            minutes = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
            assert await rig.data.history_bars(minutes, now - 3_600 * 10**9, now)
        async with running(data=True, settings=COINS, data_config={"feed": AlpacaDataFeed.TEST}) as rig:
            with pytest.raises(ValueError, match="no history"):
                rig.data._params("FAKEPACA", 0, 1)

    play(scenario())


def test_daily_bars_that_still_grow_are_not_streamed(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=COINS) as rig:
            with pytest.raises(ValueError, match="closed bars of one minute only"):
                await rig.data.stream_bars(BarType.from_str("IBM.ALPACA-1-DAY-LAST-EXTERNAL"))

    play(scenario())


def test_a_trade_that_is_taken_back_is_counted(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=COINS) as rig:
            rig.data._on_message("x", b'{"T":"x","S":"IBM","i":465,"x":"D","p":105.31,"s":300}')
            assert rig.data.stream_stats()["amended"] == 1

    play(scenario())
