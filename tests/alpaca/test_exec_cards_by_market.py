"""The same cards for a pair and for a contract, as far as Alpaca has them: see test_exec_cards.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.enums import OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.test_kit.strategies.tester_exec import ExecTester, ExecTesterConfig

from runner.alpaca import AlpacaDataFeed
from runner.exchange.market import Quote
from tests.alpaca.test_exec_cards import (
    ACCEPTED,
    BUY_ONLY,
    CANCELED,
    FILLED,
    NOTHING,
    SELL_ONLY,
    Card,
    denied,
    follows,
    rests,
)

BTC, CALL = InstrumentId.from_str("BTC/USD.ALPACA"), InstrumentId.from_str("IBM260320C00180000.ALPACA")
FEEDS = {BTC: AlpacaDataFeed.US, CALL: AlpacaDataFeed.INDICATIVE}
GTC, IOC, FOK, DAY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.DAY


class MarketCard(Card):
    """A tester of another market: the testers' dollars around 180 are those of this one's quotes as well."""

    @property
    def symbol(self) -> str:
        return self.tester.config.instrument_id.symbol.value

    async def move(self, bid: str, ask: str) -> None:
        exchange = self.rig.exchange
        exchange.market.set_clock(exchange.market.now_ns + 1_000_000)
        quote: dict[str, Any] = {"T": "q", "S": self.symbol, "bp": bid, "ap": ask, "bs": 100, "as": 100}
        if self.tester.config.instrument_id == CALL:
            quote |= {"bx": "C", "ax": "C", "c": "R"}
        reply = await self.http.post(f"{exchange.url}/control/market", json=quote)
        assert reply.status_code == 200, reply.text
        await self.rig.until(lambda: self.rig.client.in_flight == 0, "commands under way")

    async def ends(self, *, position: str = "0") -> None:
        await self.rig.until(lambda: all(order.is_closed for order in self.orders), "the end of all orders")
        assert self.rig.position(self.symbol) == Decimal(position)
        await self.rig.agree(self.symbol)


def player(play: Any, running: Any, instrument_id: InstrumentId, qty: str) -> Any:
    def go(check: Any, **settings: Any) -> None:
        config = {"order_qty": Decimal(qty), "tob_offset_ticks": 100, "stop_offset_ticks": 100} | settings
        provider = {"instrument_provider": InstrumentProviderConfig(load_ids=frozenset({instrument_id}))}

        def before(exchange: Any, _key: str) -> None:
            exchange.pause()
            market, symbol = exchange.market, instrument_id.symbol.value
            market.add_symbols([symbol])
            market.set_quote(Quote(symbol, Decimal("180.00"), 100, Decimal("180.02"), 100, market.now_ns))

        async def scenario() -> None:
            tester = ExecTester(
                ExecTesterConfig(
                    instrument_id=instrument_id, order_id_tag="777", log_data=False, subscribe_trades=False, **config
                )
            )
            feed = {"feed": FEEDS[instrument_id], **provider}
            async with (
                running(data=True, strategies=[tester], before=before, data_config=feed, exec_config=provider) as rig,
                httpx.AsyncClient(verify=False) as http,  # plain HTTP on loopback
            ):
                await check(MarketCard(rig, tester, http))

        play(scenario())

    return go


@pytest.fixture
def pair(play: Any, running: Any) -> Any:
    return player(play, running, BTC, "1")


@pytest.fixture
def option(play: Any, running: Any) -> Any:
    return player(play, running, CALL, "2")


def test_a_pair_is_bought_and_closed_on_stop(pair: Any) -> None:
    """TC-E01, E06: the coins are those that the fee has left."""

    async def check(c: MarketCard) -> None:
        (order,) = await c.ordered()
        await c.are(FILLED, order)
        assert c.rig.position("BTC/USD") == Decimal("0.9975")
        await c.stop()
        await c.ends()

    pair(check, open_position_on_start_qty=Decimal(1), **NOTHING)


@pytest.mark.parametrize(("tif", "status"), [(GTC, ACCEPTED), (IOC, CANCELED)])
def test_a_pair_s_limit_rests_or_is_canceled_at_once(pair: Any, tif: TimeInForce, status: Any) -> None:
    """TC-E10, E14, E40."""

    rests(pair, status=status, limit_time_in_force=tif, **BUY_ONLY)


@pytest.mark.parametrize("tif", [FOK, DAY])
def test_a_pair_has_no_fok_and_no_day(pair: Any, tif: TimeInForce) -> None:
    """TC-E15, E19, E73."""
    denied(pair, "UNSUPPORTED_TIME_IN_FORCE", limit_time_in_force=tif, **BUY_ONLY)


def test_a_pair_has_stop_limits_and_no_stops(pair: Any) -> None:
    """TC-E20, E72."""
    denied(pair, "UNSUPPORTED_ORDER_TYPE", enable_stop_buys=True, stop_order_type=OrderType.STOP_MARKET, **NOTHING)


def test_a_pair_s_stop_limit_rests(pair: Any) -> None:
    """TC-E22."""
    more = {"enable_stop_buys": True, "stop_order_type": OrderType.STOP_LIMIT, "stop_limit_offset_ticks": 10}
    rests(pair, **more, **NOTHING)


def test_a_pair_s_limit_is_modified_and_replaced(pair: Any) -> None:
    """TC-E30."""
    follows(pair, "modify", "price", "180.50", "180.52", modify_orders_to_maintain_tob_offset=True, **BUY_ONLY)


def test_a_pair_has_no_brackets(pair: Any) -> None:
    """TC-E50."""
    denied(pair, "UNSUPPORTED_ORDER_CLASS", enable_brackets=True, **BUY_ONLY)


def test_tc_e90_option_limit_buy_and_tc_e100_its_cancel(option: Any) -> None:
    rests(option, limit_time_in_force=DAY, **BUY_ONLY)


def test_tc_e91_option_limit_sell(option: Any) -> None:
    """Beside contracts that are held: nobody may write calls without cover."""

    async def check(c: MarketCard) -> None:
        await c.ordered()
        await c.are(FILLED, c.orders[0])
        sell = (await c.ordered(2))[1]
        await c.are(ACCEPTED, sell)
        await c.stop()
        await c.are(CANCELED, sell)
        await c.ends()

    config = {"open_position_on_start_qty": Decimal(2), "open_position_time_in_force": DAY, "limit_time_in_force": DAY}
    option(check, close_positions_time_in_force=DAY, **config, **SELL_ONLY)


def test_an_option_is_bought_at_the_market_and_closed_on_stop(option: Any) -> None:
    """TC-E01, E06."""

    async def check(c: MarketCard) -> None:
        (order,) = await c.ordered()
        await c.are(FILLED, order)
        await c.stop()
        await c.ends()

    option(
        check,
        open_position_on_start_qty=Decimal(2),
        open_position_time_in_force=DAY,
        close_positions_time_in_force=DAY,
        **NOTHING,
    )


@pytest.mark.parametrize("kind", [OrderType.STOP_MARKET, OrderType.STOP_LIMIT])
def test_tc_e94_option_stops(option: Any, kind: OrderType) -> None:
    more = {"enable_stop_buys": True, "stop_order_type": kind, "stop_limit_offset_ticks": 10}
    rests(option, stop_time_in_force=DAY, **more, **NOTHING)


def test_tc_e99_option_fok(option: Any) -> None:
    denied(option, "UNSUPPORTED_TIME_IN_FORCE", limit_time_in_force=FOK, **BUY_ONLY)
