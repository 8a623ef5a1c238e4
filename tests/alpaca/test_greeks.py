"""Greeks, volatilities and chains of options in the node: polled, requested, sliced; on GOOG's recorded chain too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.data import DataType, OptionGreeks
from nautilus_trader.model.identifiers import ClientId, InstrumentId

from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.models import WireError
from runner.alpaca.option_data import _chain_of
from runner.alpaca.snapshots import Snapshot, SnapshotRest, option_greeks
from runner.exchange.greeks import Terms, greeks
from tests.alpaca.conftest import Recorder
from tests.alpaca.test_goog_chain import venue

NEW_YORK = ZoneInfo("America/New_York")
#: Options beside stocks in a market that the test moves: hardly anything is generated.
STILL: dict[str, Any] = {"symbols": ("IBM", "BAC"), "options": ("IBM",), "activity": 0.001}
ALPACA = ClientId("ALPACA")


class Watcher(Recorder):
    """Keeps greeks and slices of chains as well."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.seen: list[OptionGreeks] = []
        self.slices: list[Any] = []

    def on_option_greeks(self, greeks: OptionGreeks) -> None:
        self.seen.append(greeks)
        self.woken.set()

    def on_option_chain(self, chain: Any) -> None:
        self.slices.append(chain)
        self.woken.set()


def watch(play: Any, running: Any, scenario: Any, *, settings: dict[str, Any] | None = None, **config: Any) -> None:
    """Play a scenario with a node that has a feed of options and a watcher."""

    async def whole() -> None:
        watcher = Watcher("watcher")
        feed = {"feed": AlpacaDataFeed.INDICATIVE, **config}
        async with running(data=True, settings=settings or STILL, data_config=feed, strategies=[watcher]) as rig:
            await scenario(rig, watcher)

    play(whole())


async def tell(rig: Any, *messages: dict[str, Any]) -> None:
    """Let it happen at the exchange, a millisecond after the last."""
    rig.exchange.market.set_clock(rig.exchange.market.now_ns + 1_000_000)
    async with httpx.AsyncClient(base_url=rig.exchange.url) as client:
        assert (await client.post("/control/market", json={"messages": list(messages)})).status_code == 200


def quote(symbol: str, bid: float, ask: float) -> dict[str, Any]:
    return {"T": "q", "S": symbol, "bp": bid, "bs": 10, "ap": ask, "as": 10, "bx": "C", "ax": "C", "c": "A"}


def trade(symbol: str, price: float) -> dict[str, Any]:
    return {"T": "t", "S": symbol, "p": price, "s": 1, "x": "V", "i": 1, "c": ["@"], "z": "A"}


def calls(rig: Any, count: int = 1) -> list[Any]:
    """Calls of the last expiration, from the middle of the strikes on."""
    found = [each for each in rig.exchange.market._contracts.values() if each.type == "call"]
    expiry = max(each.expiration_date for each in found)
    found = sorted((each for each in found if each.expiration_date == expiry), key=lambda each: each.strike)
    return found[len(found) // 2 :][:count]


def id_of(contract: Any) -> InstrumentId:
    return InstrumentId.from_str(f"{contract.symbol}.ALPACA")


async def arrange(rig: Any, count: int = 1) -> list[Any]:
    """Quoted calls on IBM, which traded at 200.50."""
    found = calls(rig, count)
    await tell(rig, quote("IBM", 199.99, 200.01), trade("IBM", 200.5))
    await tell(rig, *(quote(each.symbol, 9.9, 10.1) for each in found))
    return found


def test_tc_d62_greeks_are_the_snapshots_with_its_quotes_time_and_the_underlyings_price(
    play: Any, running: Any
) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        watcher.subscribe_option_greeks(id_of(contract))
        await rig.until(lambda: watcher.seen, "greeks")
        (seen,) = watcher.seen
        market = rig.exchange.market
        assert (seen.instrument_id, seen.ts_event) == (id_of(contract), market.now_ns)
        assert seen.underlying_price == 200.5
        years = (market.expiry_ns(contract) - market.now_ns) / (365 * 86_400 * 10**9)
        again = greeks(Terms(True, 200.0, float(contract.strike), years), seen.mark_iv)
        for name in ("delta", "gamma", "theta", "vega", "rho"):
            assert getattr(seen, name) == pytest.approx(getattr(again, name), abs=2e-3), name

    watch(play, running, scenario)


def test_what_changed_comes_with_the_next_poll_and_what_did_not_does_not(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        first, second = await arrange(rig, 2)
        for each in (first, second):
            watcher.subscribe_option_greeks(id_of(each))
        await rig.until(lambda: len(watcher.seen) == 2, "greeks of both")
        await tell(rig, quote(first.symbol, 11.9, 12.1))
        await rig.until(lambda: len(watcher.seen) == 3, "what changed")
        assert watcher.seen[-1].instrument_id == id_of(first)
        assert watcher.seen[-1].mark_iv > watcher.seen[0].mark_iv
        polls = rig.data.greeks.polls
        await rig.until(lambda: rig.data.greeks.polls > polls + 2, "more polls")
        assert len(watcher.seen) == 3
        watcher.unsubscribe_option_greeks(id_of(first))
        watcher.unsubscribe_option_greeks(id_of(second))
        await rig.until(lambda: not rig.data.greeks._wanted, "the end of the subscriptions")
        await tell(rig, quote(first.symbol, 12.9, 13.1))
        assert len(watcher.seen) == 3

    watch(play, running, scenario, greeks_interval_s=0.02)


def test_a_replays_polls_follow_its_clock(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        watcher.subscribe_option_greeks(id_of(contract))
        await rig.until(lambda: watcher.seen, "greeks")
        clock = rig.data.venue_clock
        assert clock.is_replay
        clock.observe(clock.now_ns() + 3_599 * 10**9)
        await tell(rig, quote(contract.symbol, 11.9, 12.1))
        assert rig.data.greeks.polls == 1
        clock.observe(clock.now_ns() + 10**9)
        await rig.until(lambda: len(watcher.seen) == 2, "the poll after an hour of venue time")

    watch(play, running, scenario, greeks_interval_s=3600.0, serial=True)


def test_a_poll_that_fails_is_tried_again(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        rule = {"method": "GET", "path": "/v1beta1/options/snapshots", "count": 2, "status": 500, "after": False}
        rig.faults.arm({"next": [rule]})
        watcher.subscribe_option_greeks(id_of(contract))
        await rig.until(lambda: watcher.seen, "greeks, after all")
        assert rig.data.greeks.failed == 2

    watch(play, running, scenario, greeks_interval_s=0.02, read_retries=0)


def test_a_contract_without_greeks_gives_none_and_the_others_come(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        first, second = await arrange(rig, 2)
        await tell(rig, quote(second.symbol, 0.0, 0.01))  # no volatility gives that price
        for each in (second, first):
            watcher.subscribe_option_greeks(id_of(each))
        await rig.until(lambda: watcher.seen, "greeks")
        assert [each.instrument_id for each in watcher.seen] == [id_of(first)]
        assert rig.data.greeks._without == {second.symbol}
        await tell(rig, quote(second.symbol, 9.9, 10.1))
        await rig.until(lambda: len(watcher.seen) == 2, "the other's")
        assert not rig.data.greeks._without

    watch(play, running, scenario, greeks_interval_s=0.02)


def test_polls_pause_while_the_client_is_disconnected_and_go_on_afterwards(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        watcher.subscribe_option_greeks(id_of(contract))
        await rig.until(lambda: watcher.seen, "greeks")
        await rig.data._disconnect()
        polls = rig.data.greeks.polls
        rig.data.greeks._all_due()
        assert not rig.data.greeks._busy
        await tell(rig, quote(contract.symbol, 11.9, 12.1))
        await rig.data._connect()
        await rig.until(lambda: len(watcher.seen) == 2, "what changed meanwhile")
        assert rig.data.greeks.polls > polls

    watch(play, running, scenario, greeks_interval_s=0.02)


def test_only_contracts_have_greeks(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True) as rig:
            with pytest.raises(ValueError, match="only option contracts have greeks"):
                await rig.data.poll_greeks(InstrumentId.from_str("IBM.ALPACA"))

    play(scenario())


def test_a_request_brings_the_greeks_of_one_contract_or_of_a_chain(play: Any, running: Any) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        first, second, third = await arrange(rig, 3)
        now = rig.node.kernel.clock.utc_now()  # Nautilus wants a start; snapshots are of now
        watcher.request_data(DataType(OptionGreeks), ALPACA, instrument_id=id_of(second), start=now)
        await rig.until(lambda: watcher.data, "one contract's")
        assert [each.instrument_id for each in watcher.data] == [id_of(second)]
        watcher.data.clear()
        chain = {
            "underlying": "IBM",
            "type": "call",
            "expiration_date": first.expiration_date,
            "strike_price_gte": second.strike,
            "strike_price_lte": third.strike,
        }
        watcher.request_data(DataType(OptionGreeks, metadata=chain), ALPACA, start=now)
        await rig.until(lambda: len(watcher.data) == 2, "the chain's")
        assert [each.instrument_id for each in watcher.data] == [id_of(second), id_of(third)]
        assert {each.underlying_price for each in watcher.data} == {200.5}

    watch(play, running, scenario)


@pytest.mark.parametrize("metadata", [None, {}, {"underlying": ""}, {"underlying": "IBM", "expiry": "2026-01-16"}])
def test_a_request_for_a_chain_that_can_not_be_named_is_refused(metadata: Any) -> None:
    with pytest.raises(ValueError, match="names its underlying, and may narrow it by type, strike_price_gte"):
        _chain_of(metadata)


class Answers:
    """Stands for the HTTP client: replies in turn, requests kept."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, path: str, params: Any, *, data: bool) -> bytes:
        assert data
        self.asked.append((path, dict(params)))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return msgspec.json.encode(reply)


def test_many_contracts_are_asked_for_a_hundred_at_a_time_and_to_the_last_page(play: Any) -> None:
    symbols = [f"IBM260116C{strike:08d}" for strike in range(1000, 251_000, 1000)]
    empty: dict[str, Any] = {"snapshots": {}, "next_page_token": None}
    http = Answers(
        {"snapshots": {symbols[0]: {}}, "next_page_token": "more"}, {"snapshots": {symbols[1]: {}}}, empty, empty
    )

    async def scenario() -> None:
        found = await SnapshotRest(lambda: http, "indicative").of(symbols)  # type: ignore[arg-type, return-value]
        assert list(found) == symbols[:2]

    play(scenario())
    assert [len(params["symbols"].split(",")) for _, params in http.asked] == [100, 100, 100, 50]
    assert [params.get("page_token") for _, params in http.asked] == [None, "more", None, None]


def test_a_last_page_that_never_comes_is_no_endless_loop(play: Any) -> None:
    http = Answers(*[{"snapshots": {}, "next_page_token": "again"}] * 3)

    async def scenario() -> None:
        with pytest.raises(WireError, match="never comes"):
            await SnapshotRest(lambda: http, "opra").chain("IBM", {})  # type: ignore[arg-type, return-value]

    play(scenario())


def test_a_snapshot_with_a_volatility_alone_has_no_greeks() -> None:
    row = msgspec.json.decode(
        b'{"impliedVolatility": 0.3, "latestTrade": {"t": "2026-01-12T15:00:00Z"}}', type=Snapshot
    )
    contract = InstrumentId.from_str("IBM260116C00200000.ALPACA")
    assert row.ts_ns == 1_768_230_000_000_000_000
    assert option_greeks(contract, row, underlying_price=None, ts_event=1, ts_init=2) is None


# -- chains -------------------------------------------------------------------------------------------


def series(contract: Any) -> Any:
    """How a strategy names the chain of a contract that it has loaded."""
    return nautilus_pyo3.OptionSeriesId("ALPACA", contract.underlying, "USD", contract.expiration_ns)


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded before", "loaded by the chain"])
def test_tc_d63_a_chain_of_the_strikes_around_the_price(play: Any, running: Any, loaded: bool) -> None:
    async def scenario(rig: Any, watcher: Watcher) -> None:
        market = rig.exchange.market
        contracts = await arrange(rig, 2)
        same = [each for each in market._contracts.values() if each.expiration_date == contracts[0].expiration_date]
        strikes = sorted({each.strike for each in same})
        price = float(strikes[len(strikes) // 2]) + 0.1
        await tell(rig, trade("IBM", price), quote("IBM", price - 0.01, price + 0.01))
        await rig.data.provider.load_ids_async([id_of(contracts[0])])
        contract = rig.data.provider.find(id_of(contracts[0]))
        if loaded:
            watcher.request_instruments(contract.venue, params={
                "asset_class": "us_option", "underlying_symbols": "IBM",
                "expiration_date_lte": contracts[0].expiration_date.isoformat(),
            })  # fmt: skip
            await rig.until(lambda: rig.node.kernel.cache.instrument(contract.id), "the contracts")
        around = nautilus_pyo3.StrikeRange.atm_relative(1, 1)
        watcher.subscribe_option_chain(series(contract), around)
        await rig.until(lambda: len(rig.data.greeks._wanted) == 6, "three strikes, calls and puts")
        await rig.until(lambda: rig.data.subscriptions_confirmed, "their quotes")
        chosen = [each for each in same if each.symbol in rig.data.greeks._wanted]
        await tell(rig, *(quote(each.symbol, 9.9, 10.1) for each in chosen))
        await rig.until(
            lambda: any(
                each.get_call_greeks(strike) and each.get_put_greeks(strike)
                for each in watcher.slices
                for strike in each.strikes()
            ),
            "a slice with greeks",
        )
        last = watcher.slices[-1]
        assert {float(str(strike)) for strike in last.strikes()} <= {float(each.strike) for each in chosen}
        assert float(str(last.atm_strike)) == pytest.approx(price, abs=0.5 + float(strikes[1] - strikes[0]))
        watcher.unsubscribe_option_chain(series(contract))
        await rig.until(lambda: not rig.data.greeks._wanted, "the end of the polls")

    watch(play, running, scenario, greeks_interval_s=0.02)


def test_a_chain_is_refused_an_atm_price_it_can_not_have_but_is_answered(play: Any, running: Any) -> None:
    """Nautilus waits for the answer before it makes the chain: without one it would wait for ever."""

    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        await rig.data.provider.load_ids_async([id_of(contract)])
        instrument = rig.data.provider.find(id_of(contract))
        rig.node.kernel.cache.add_instrument(instrument)
        rule = {"method": "GET", "path": "/v2/stocks/snapshots", "count": 1, "status": 500, "after": False}
        rig.faults.arm({"next": [rule]})
        watcher.subscribe_option_chain(series(instrument))  # all strikes
        await rig.until(lambda: rig.data.greeks._wanted, "the chain without a price")

    watch(play, running, scenario, read_retries=0)


def out_of_the_money(market: Any) -> list[Any]:
    """The four quoted calls of the last expiration whose strikes are next above the price."""
    quoted = [each for each in market.contracts() if each.type == "call" and market.quote(each.symbol)]
    last = max(each.expiration_date for each in quoted)
    spot = market.quote(quoted[0].underlying_symbol).ask
    above = [each for each in quoted if each.expiration_date == last and each.strike > spot]
    return sorted(above, key=lambda each: each.strike)[:4]


def test_a_replayed_chain_comes_at_intervals_and_follows_the_price(play: Any, running: Any) -> None:
    """Its contracts expired long ago by this machine's clock, by which Nautilus alone would end it."""

    async def scenario(rig: Any, watcher: Watcher) -> None:
        (contract,) = await arrange(rig)
        same = [each for each in calls(rig, 1000) if each.expiration_date == contract.expiration_date]
        near, far = same[0], same[-1]
        await tell(rig, trade("IBM", float(near.strike)))
        contracts = await rig.data.provider.load_matching({
            "asset_class": "us_option", "underlying_symbols": "IBM", "type": "call",
            "expiration_date": contract.expiration_date.isoformat(),
        })  # fmt: skip
        for each in contracts:
            rig.node.kernel.cache.add_instrument(each)
        around = nautilus_pyo3.StrikeRange.atm_relative(0, 0)
        watcher.subscribe_option_chain(series(contracts[0]), around, 10)
        await rig.until(lambda: rig.data.greeks._wanted.keys() == {near.symbol}, "the strike at the price")
        await rig.until(lambda: rig.data.subscriptions_confirmed, "its quotes")
        await tell(rig, quote(near.symbol, 9.9, 10.1))
        await rig.until(lambda: watcher.slices and watcher.slices[-1].call_count() == 1, "a slice of it")
        # An hour later, as Nautilus waits between two changes of the strikes.
        rig.data.venue_clock.observe(rig.data.venue_clock.now_ns() + 3_600 * 10**9)
        await tell(rig, trade("IBM", float(far.strike)), quote(near.symbol, 9.9, 10.11))
        await rig.until(lambda: rig.data.greeks._wanted.keys() == {far.symbol}, "the strike at the new price")
        await tell(rig, quote(far.symbol, 9.9, 10.1))
        await rig.until(
            lambda: [float(str(strike)) for strike in watcher.slices[-1].strikes()] == [float(far.strike)],
            "slices of that",
        )
        rig.data.venue_clock.observe(contracts[0].expiration_ns)
        await rig.until(lambda: not rig.data.greeks._wanted, "the end of the chain with its contracts")

    watch(play, running, scenario, greeks_interval_s=0.02)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "made up"])
def test_goog_on_a_recorded_day(play: Any, running: Any, shared: Path | None, recorded: bool) -> None:
    """The greeks of a real chain, held against Nautilus's own formulas."""
    settings = venue(shared if recorded else None)

    async def scenario(rig: Any, watcher: Watcher) -> None:
        exchange = rig.exchange
        first = datetime.fromtimestamp(exchange.market.now_ns // 10**9, ZoneInfo("America/New_York"))
        await exchange.step_until(int(first.replace(hour=10, minute=30, second=0).timestamp()) * 10**9)
        ids = [id_of(each) for each in out_of_the_money(exchange.market)]
        await rig.data.provider.load_ids_async(ids)
        contracts = [rig.data.provider.find(each) for each in ids]
        strikes = [nautilus_pyo3.Price.from_str(str(each.strike_price)) for each in contracts]
        for each in contracts:
            rig.node.kernel.cache.add_instrument(each)
        watcher.subscribe_option_chain(series(contracts[0]), nautilus_pyo3.StrikeRange.fixed(strikes))
        for each in contracts:
            watcher.subscribe_option_greeks(each.id)
        await rig.until(lambda: len({each.instrument_id for each in watcher.seen}) == 4, "greeks of four calls")
        now_ns, spot_of = exchange.market.now_ns, exchange.market.quote(contracts[0].underlying)
        spot = float(spot_of.bid + spot_of.ask) / 2
        for each in contracts:
            seen = next(row for row in watcher.seen if row.instrument_id == each.id)
            quoted = exchange.market.quote(each.id.symbol.value)
            own = nautilus_pyo3.imply_vol_and_greeks(
                spot, 0.0, 0.0, True, float(each.strike_price), (each.expiration_ns - now_ns) / (365 * 86_400e9),
                float(quoted.bid + quoted.ask) / 2,
            )  # fmt: skip
            assert seen.mark_iv == pytest.approx(own.vol, rel=0.02)
            assert seen.delta == pytest.approx(own.delta, abs=0.005)
            assert seen.ts_event <= now_ns
            assert seen.underlying_price == pytest.approx(spot, rel=0.01)
        await rig.until(lambda: rig.data.subscriptions_confirmed, "the quotes")
        later = int(first.replace(hour=11, minute=30, second=0).timestamp()) * 10**9
        await exchange.step_until(later)
        await rig.until(lambda: watcher.slices and watcher.slices[-1].call_count() > 1, "a slice of what is quoted")
        last = watcher.slices[-1]
        assert all(last.get_call_greeks(strike).mark_iv > 0 for strike in last.strikes())

    watch(play, running, scenario, settings=settings, greeks_interval_s=0.05)
