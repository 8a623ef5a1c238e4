"""Options and multi-leg orders sent by Alpaca's own client, on a recorded chain if there is one, else a made-up one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AssetClass,
    ContractType,
    OrderClass,
    OrderSide,
    OrderStatus,
    PositionIntent,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import (
    GetOptionContractsRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    OptionLegRequest,
    ReplaceOrderRequest,
)

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")


def ns(day: date, hour: int, minute: int = 0) -> int:
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 1_000_000_000


@dataclass
class Chain:
    """The exchange at ten o'clock, Alpaca's client, and one expiration's contracts that are quoted on both sides."""

    exchange: ExchangeServer
    client: TradingClient
    day: date
    calls: list[str]
    puts: list[str]

    async def call(self, function: Any, *args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    async def send(self, *legs: str, qty: int = 1, limit: str | None = None, intent: str = "open") -> Any:
        """`+SYMBOL` is bought, `-SYMBOL` sold."""
        shared: dict[str, Any] = {
            "qty": qty,
            "order_class": OrderClass.MLEG,
            "time_in_force": TimeInForce.DAY,
            "legs": [leg(word, intent) for word in legs],
        }
        if limit is None:
            return await self.call(self.client.submit_order, MarketOrderRequest(**shared))
        return await self.call(self.client.submit_order, LimitOrderRequest(limit_price=float(limit), **shared))

    async def order(self, order: Any) -> Any:
        return await self.call(self.client.get_order_by_id, order.id, GetOrderByIdRequest(nested=True))

    def side(self, word: str) -> Decimal:
        """What a leg costs now, below 0 where it is sold."""
        quote = self.exchange.market.quote(word[1:])
        assert quote is not None
        return quote.ask if word[0] == "+" else -quote.bid


def leg(word: str, intent: str) -> OptionLegRequest:
    side = OrderSide.BUY if word[0] == "+" else OrderSide.SELL
    return OptionLegRequest(
        symbol=word[1:], ratio_qty=1, side=side, position_intent=PositionIntent(f"{side.value}_to_{intent}")
    )


def recorded(shared: Path) -> Settings:
    folder = shared / "market-data"
    return Settings(
        replay=(folder / "stocks-GOOG-2015-12-24.jsonl.gz", folder / "options-GOOG-2015-12-24.jsonl.gz"),
        contracts=(folder / "options-GOOG-2015-12-24.contracts.json",),
        wait=True,
    )


def made_up() -> Settings:
    return Settings(
        symbols=("GOOG",),
        options=("GOOG",),
        day=date(2026, 1, 16),
        extended_hours=False,
        activity=0.02,
        seed=7,
        wait=True,
    )


@asynccontextmanager
async def opened(settings: Settings, day: date) -> AsyncIterator[Chain]:
    async with ExchangeServer(settings) as exchange:
        await exchange.step_until(ns(day, 10))
        client = TradingClient("PKTEST", "secret", paper=True, url_override=exchange.url)
        client._retry_codes = []
        yield await nearest(exchange, client, day)


async def nearest(exchange: ExchangeServer, client: TradingClient, day: date) -> Chain:
    """Up to five calls above the underlying's price and as many puts below, of the first expiration after today."""
    request = GetOptionContractsRequest(underlying_symbols=["GOOG"], limit=10_000, expiration_date_lte=date(2030, 1, 1))
    found = (await asyncio.to_thread(client.get_option_contracts, request)).option_contracts
    quoted = [c for c in found if (q := exchange.market.quote(c.symbol)) is not None and q.bid > 0 and q.ask > 0]
    expires = min(c.expiration_date for c in quoted if c.expiration_date > day)
    spot = exchange.broker.desk.mark("GOOG")
    series = sorted((c for c in quoted if c.expiration_date == expires), key=lambda c: c.strike_price)
    calls = [c.symbol for c in series if c.type is ContractType.CALL and c.strike_price > spot][:5]
    puts = [c.symbol for c in series if c.type is ContractType.PUT and c.strike_price < spot][-5:]
    assert len(calls) > 2
    assert len(puts) > 2
    return Chain(exchange, client, day, calls, puts)


@pytest.fixture
async def chain(shared: Path | None) -> AsyncIterator[Chain]:
    if shared is not None:
        async with opened(recorded(shared), date(2015, 12, 24)) as made:
            yield made
    else:
        async with opened(made_up(), date(2026, 1, 16)) as made:
            yield made


async def test_a_made_up_chain_is_traded_too() -> None:
    async with opened(made_up(), date(2026, 1, 16)) as chain:
        order = await chain.send(f"+{chain.calls[0]}", f"-{chain.calls[1]}")
        assert (await chain.order(order)).status is OrderStatus.FILLED


async def test_an_iron_condor_is_opened_replaced_and_closed(chain: Chain) -> None:
    words = (f"+{chain.puts[0]}", f"-{chain.puts[-1]}", f"-{chain.calls[1]}", f"+{chain.calls[-1]}")
    net = sum((chain.side(word) for word in words), Decimal(0))
    assert net < 0, "it is a credit"

    order = await chain.send(*words, qty=2, limit=str(net - 5))
    assert (order.order_class, order.symbol, order.side, order.asset_class) == (OrderClass.MLEG, None, None, None)
    assert [one.symbol for one in order.legs] == [word[1:] for word in words]
    assert (await chain.order(order)).status is OrderStatus.NEW

    new = await chain.call(chain.client.replace_order_by_id, order.id, ReplaceOrderRequest(limit_price=float(net)))
    assert (new.replaces, (await chain.order(order)).status) == (order.id, OrderStatus.REPLACED)
    filled = await chain.order(new)
    assert filled.status is OrderStatus.FILLED
    assert Decimal(filled.filled_avg_price) == net
    assert {one.status for one in filled.legs} == {OrderStatus.FILLED}

    positions = await chain.call(chain.client.get_all_positions)
    assert {p.symbol: p.qty for p in positions} == {word[1:]: "2" if word[0] == "+" else "-2" for word in words}
    assert {p.asset_class for p in positions} == {AssetClass.US_OPTION}
    account = await chain.call(chain.client.get_account)
    assert Decimal(account.cash) == 100_000 - 200 * net
    strikes = [chain.exchange.market.contract(word[1:]).strike for word in words]  # type: ignore[union-attr]
    assert Decimal(account.maintenance_margin) == 200 * max(strikes[1] - strikes[0], strikes[3] - strikes[2])

    back = [("-" if word[0] == "+" else "+") + word[1:] for word in words]
    closing = await chain.send(*back, qty=2, intent="close")
    assert (await chain.order(closing)).status is OrderStatus.FILLED
    assert await chain.call(chain.client.get_all_positions) == []


async def test_verticals_trade_through_the_day(chain: Chain) -> None:
    """Limits at the middle: those that the market comes to fill at their price or a better one."""
    sent = []
    for near, far in (chain.calls[:2], chain.puts[:0:-1][:2]):
        words = (f"+{near}", f"-{far}")
        middle = sum((chain.side(w) + chain.side(_other(w)) * -1 for w in words), Decimal(0)) / 2
        limit = middle.quantize(Decimal("0.01"))
        sent.append((limit, await chain.send(*words, limit=str(limit))))
    await chain.exchange.step_until(ns(chain.day, 12, 30))
    filled = 0
    for limit, order in sent:
        now = await chain.order(order)
        if now.status is OrderStatus.FILLED:
            filled += 1
            assert Decimal(now.filled_avg_price) <= limit
        else:
            assert now.status is OrderStatus.NEW
    account = chain.exchange.broker.account("PKTEST")
    assert len(account.positions) == 2 * filled
    assert sum(position.qty for position in account.positions.values()) == 0
    rows = await chain.call(chain.client.cancel_orders)
    assert len(rows) == len(sent) - filled
    assert await chain.call(chain.client.get_orders, GetOrdersRequest(status=QueryOrderStatus.OPEN)) == []


def _other(word: str) -> str:
    return ("-" if word[0] == "+" else "+") + word[1:]


async def test_single_options_exercise_and_refusals(chain: Chain) -> None:
    deep = next(
        c.symbol
        for c in chain.exchange.market.contracts()
        if c.type == "call" and c.symbol[:10] == chain.calls[0][:10] and chain.exchange.market.quote(c.symbol)
    )
    request = MarketOrderRequest(
        symbol=deep,
        qty=1,
        side=OrderSide.BUY,
        time_in_force=TimeInForce.DAY,
        position_intent=PositionIntent.BUY_TO_OPEN,
    )
    order = await chain.call(chain.client.submit_order, request)
    assert order.order_class is OrderClass.SIMPLE
    assert (await chain.order(order)).status is OrderStatus.FILLED
    await chain.call(chain.client.exercise_options_position, deep)
    (position,) = await chain.call(chain.client.get_all_positions)
    assert (position.symbol, position.qty) == ("GOOG", "100")

    covered = MarketOrderRequest(symbol=chain.calls[0], qty=1, side=OrderSide.SELL, time_in_force=TimeInForce.DAY)
    await chain.call(chain.client.submit_order, covered)
    with pytest.raises(APIError) as refusal:
        await chain.call(chain.client.submit_order, covered)
    assert refusal.value.code == 40310000
    assert (await chain.call(chain.client.get_open_position, "GOOG")).qty_available == "0"
    with pytest.raises(APIError) as refusal:
        await chain.send(f"-{chain.calls[0]}", f"-{chain.calls[1]}")
    assert "mleg uncovered short contracts not allowed" in refusal.value.message


async def test_what_expires_today_is_settled_at_the_close(chain: Chain) -> None:
    market, desk = chain.exchange.market, chain.exchange.broker.desk
    today = [
        c.symbol
        for c in market.contracts()
        if c.expiration_date == chain.day and (q := market.quote(c.symbol)) is not None and q.ask > 0
    ]
    assert today, "no contract of this chain expires on its day"
    for symbol in today[:: max(1, len(today) // 4)]:
        request = MarketOrderRequest(symbol=symbol, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
        order = await chain.call(chain.client.submit_order, request)
        assert (await chain.order(order)).status is OrderStatus.FILLED
    account = chain.exchange.broker.account("PKTEST")
    bought = dict(account.positions)
    market.set_clock(market.calendar.close_ns(chain.day))
    spot = desk.mark("GOOG")
    rows = {row.type for row in account.activities.rows}
    exercised = [c for s in bought if (c := market.contract(s)) is not None and c.intrinsic(spot) >= Decimal("0.01")]
    assert set(account.positions) <= {"GOOG"}
    assert account.qty("GOOG") == 100 * sum(1 if c.type == "call" else -1 for c in exercised)
    assert rows == {"FILL"} | ({"OPEXC", "OPTRD"} if exercised else set()) | (
        {"OPEXP"} if len(exercised) < len(bought) else set()
    )


async def test_the_stream_of_a_multi_leg_order_is_what_the_client_parses(chain: Chain) -> None:
    seen: list[dict[str, Any]] = []
    publish = chain.exchange.broker.stream.publish
    chain.exchange.broker.desk.life._publish = lambda key, update: (seen.append(update), publish(key, update))  # type: ignore[func-returns-value]
    await chain.send(f"+{chain.calls[0]}", f"-{chain.calls[1]}")
    updates = [TradeUpdate(**update) for update in seen]
    assert [update.event for update in updates] == ["pending_new", "new", "fill"]
    assert updates[-1].order.order_class is OrderClass.MLEG
