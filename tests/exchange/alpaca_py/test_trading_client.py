"""alpaca-py's TradingClient and TradingStream, unchanged, with their URLs pointed at the exchange."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AccountStatus,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionIntent,
    PositionSide,
    QueryOrderStatus,
    TimeInForce,
    TradeEvent,
)
from alpaca.trading.models import Order, TradeUpdate
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
    TrailingStopOrderRequest,
)
from alpaca.trading.stream import TradingStream

KEY, SECRET = "PKTEST", "secret"


@pytest.fixture
def client(bench: Any) -> TradingClient:
    made = TradingClient(KEY, SECRET, paper=True, url_override=bench.url)
    made._retry_codes = []  # a refusal is a result here, not something to wait three seconds for
    return made


def market(side: OrderSide = OrderSide.BUY, symbol: str = "IBM", qty: float = 10, **more: Any) -> MarketOrderRequest:
    more.setdefault("time_in_force", TimeInForce.DAY)
    return MarketOrderRequest(symbol=symbol, qty=qty, side=side, **more)


def limit(price: float, side: OrderSide = OrderSide.BUY, qty: float = 10, **more: Any) -> LimitOrderRequest:
    more.setdefault("time_in_force", TimeInForce.DAY)
    return LimitOrderRequest(symbol="IBM", qty=qty, side=side, limit_price=price, **more)


async def test_the_account_and_its_configuration(bench: Any, client: TradingClient) -> None:
    account = await bench.call(client.get_account)
    assert account.status is AccountStatus.ACTIVE
    assert (account.cash, account.equity, account.buying_power) == ("100000", "100000", "200000")
    assert (account.options_trading_level, account.shorting_enabled) == (3, True)

    configuration = await bench.call(client.get_account_configurations)
    assert configuration.no_shorting is False
    configuration.no_shorting = True
    changed = await bench.call(client.set_account_configurations, configuration)
    assert changed.no_shorting is True


async def test_assets_clock_and_calendar(bench: Any, client: TradingClient) -> None:
    asset = await bench.call(client.get_asset, "IBM")
    assert (asset.symbol, asset.tradable, asset.fractionable) == ("IBM", True, True)
    assert "IBM" in {row.symbol for row in await bench.call(client.get_all_assets, GetAssetsRequest())}
    clock = await bench.call(client.get_clock)
    assert clock.is_open
    assert clock.timestamp.timestamp() * 1_000_000_000 == pytest.approx(bench.market.now_ns)
    day = clock.timestamp.date()
    (row,) = await bench.call(client.get_calendar, GetCalendarRequest(start=day, end=day))
    assert (row.date, row.open.hour, row.close.hour) == (day, 9, 16)


@pytest.mark.parametrize(
    ("request_", "order_type"),
    [
        (limit(90), OrderType.LIMIT),
        (limit(90, time_in_force=TimeInForce.GTC), OrderType.LIMIT),
        (limit(90, extended_hours=True), OrderType.LIMIT),
        (StopOrderRequest(symbol="IBM", qty=1, side="buy", time_in_force="day", stop_price=110), OrderType.STOP),
        (
            StopLimitOrderRequest(
                symbol="IBM", qty=1, side="buy", time_in_force="gtc", stop_price=110, limit_price=111
            ),
            OrderType.STOP_LIMIT,
        ),
        (
            TrailingStopOrderRequest(symbol="IBM", qty=1, side="buy", time_in_force="day", trail_percent=2),
            OrderType.TRAILING_STOP,
        ),
    ],
)
async def test_resting_orders_of_every_type(
    bench: Any, client: TradingClient, request_: Any, order_type: OrderType
) -> None:
    posted = await bench.call(client.submit_order, request_)
    assert isinstance(posted, Order)
    assert (posted.type, posted.status) == (order_type, OrderStatus.PENDING_NEW)
    found = await bench.call(client.get_order_by_id, posted.id, GetOrderByIdRequest(nested=True))
    assert found.status is OrderStatus.NEW
    assert (await bench.call(client.get_order_by_client_id, posted.client_order_id)).id == posted.id

    await bench.call(client.cancel_order_by_id, posted.id)
    assert (await bench.call(client.get_order_by_id, posted.id)).status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    "request_",
    [
        market(),
        market(qty=0.25),
        MarketOrderRequest(symbol="IBM", notional=250, side="buy", time_in_force="day"),
        market(time_in_force=TimeInForce.IOC),
        market(time_in_force=TimeInForce.FOK),
        limit(101),
        limit(101, time_in_force=TimeInForce.IOC),
    ],
)
async def test_marketable_orders_fill(bench: Any, client: TradingClient, request_: Any) -> None:
    posted = await bench.call(client.submit_order, request_)
    filled = await bench.call(client.get_order_by_id, posted.id)
    assert (filled.status, filled.filled_avg_price) == (OrderStatus.FILLED, "100.01")
    assert filled.position_intent is PositionIntent.BUY_TO_OPEN
    position = await bench.call(client.get_open_position, "IBM")
    assert (position.side, position.qty, position.avg_entry_price) == (PositionSide.LONG, filled.filled_qty, "100.01")


async def test_replace_gives_a_new_order_and_lists_show_both(bench: Any, client: TradingClient) -> None:
    old = await bench.call(client.submit_order, limit(90))
    new = await bench.call(client.replace_order_by_id, old.id, ReplaceOrderRequest(qty=12, limit_price=91))
    assert (new.replaces, new.qty, new.limit_price) == (old.id, "12", "91")

    everything = await bench.call(client.get_orders, GetOrdersRequest(status=QueryOrderStatus.ALL, symbols=["IBM"]))
    assert [(o.id, o.status) for o in everything] == [(new.id, OrderStatus.NEW), (old.id, OrderStatus.REPLACED)]
    assert [o.id for o in await bench.call(client.get_orders)] == [new.id]

    cancelled = await bench.call(client.cancel_orders)
    assert [(row.id, row.status) for row in cancelled] == [(new.id, 200)]
    assert await bench.call(client.get_orders) == []


async def test_positions_long_and_short_are_closed(bench: Any, client: TradingClient) -> None:
    await bench.call(client.submit_order, market())
    await bench.call(client.submit_order, market(OrderSide.SELL, "BAC", 100))
    bac, ibm = await bench.call(client.get_all_positions)
    assert (bac.side, bac.qty, ibm.qty) == (PositionSide.SHORT, "-100", "10")

    part = await bench.call(client.close_position, "IBM", ClosePositionRequest(qty="4"))
    assert (part.side, part.qty) == (OrderSide.SELL, "4")
    assert (await bench.call(client.get_open_position, ibm.asset_id)).qty == "6"
    rows = await bench.call(client.close_all_positions, cancel_orders=True)
    assert [(row.symbol, row.status) for row in rows] == [("BAC", 200), ("IBM", 200)]
    assert await bench.call(client.get_all_positions) == []
    with pytest.raises(APIError) as refusal:
        await bench.call(client.get_open_position, "IBM")
    assert (refusal.value.status_code, refusal.value.code) == (404, 40410000)


@pytest.mark.parametrize(
    ("request_", "status", "code", "message"),
    [
        (limit(90, qty=99999), 403, 40310000, "insufficient buying power"),
        (market(symbol="NOPE"), 422, 42210000, 'asset "NOPE" not found'),
        (limit(90.001), 422, 42210000, "sub-penny increment"),
        (market(qty=0.5, time_in_force=TimeInForce.GTC), 422, 42210000, "fractional orders must be DAY orders"),
        (market(OrderSide.SELL, qty=0.5), 422, 42210000, "fractional orders cannot be sold short"),
        (market(extended_hours=True), 422, 42210000, "extended hours order must be DAY or GTC limit orders"),
        (market(time_in_force=TimeInForce.OPG), 403, 40310000, "opg orders must be submitted after 7:00pm"),
    ],
)
async def test_refusals(bench: Any, client: TradingClient, request_: Any, status: int, code: int, message: str) -> None:
    with pytest.raises(APIError) as refusal:
        await bench.call(client.submit_order, request_)
    assert (refusal.value.status_code, refusal.value.code) == (status, code)
    assert message in refusal.value.message


async def test_refusals_that_depend_on_what_is_held(bench: Any, client: TradingClient) -> None:
    await bench.call(client.submit_order, market(client_order_id="once"))
    with pytest.raises(APIError, match="client_order_id must be unique"):
        await bench.call(client.submit_order, market(client_order_id="once"))
    with pytest.raises(APIError, match=r"insufficient qty available for order \(requested: 11, available: 10\)"):
        await bench.call(client.submit_order, market(OrderSide.SELL, qty=11))
    await bench.call(client.submit_order, limit(120, OrderSide.SELL))
    with pytest.raises(APIError, match="potential wash trade detected"):
        await bench.call(client.submit_order, market())
    with pytest.raises(APIError, match="order not found"):
        await bench.call(client.get_order_by_id, uuid4())


async def test_activities_and_portfolio_history(bench: Any, client: TradingClient) -> None:
    posted = await bench.call(client.submit_order, market())
    rows = await bench.call(client.get, "/account/activities", {"activity_types": "FILL", "direction": "asc"})
    assert [(row["order_id"], row["price"], row["qty"]) for row in rows] == [(str(posted.id), "100.01", "10")]
    history = await bench.call(client.get_portfolio_history, GetPortfolioHistoryRequest(timeframe="1Min"))
    assert history.base_value == 100_000
    assert history.equity[-1] == pytest.approx(99_999.9)  # bought at 100.01, worth 100


async def test_a_wrong_key_is_refused(bench: Any) -> None:
    with pytest.raises(APIError) as refusal:
        await bench.call(TradingClient("BADKEY", SECRET, url_override=bench.url).get_account)
    assert refusal.value.status_code == 401


@contextlib.asynccontextmanager
async def streaming(bench: Any) -> AsyncIterator[asyncio.Queue[TradeUpdate]]:
    """What a TradingStream in a thread of its own hands to its handler."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[TradeUpdate] = asyncio.Queue()

    async def handler(update: TradeUpdate) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, update)

    stream = TradingStream(KEY, SECRET, paper=True, url_override=bench.stream_url)
    stream.subscribe_trade_updates(handler)
    thread = asyncio.create_task(asyncio.to_thread(stream.run))
    try:
        async with asyncio.timeout(20):
            await bench.broker.stream.has_listener.wait()
        yield heard
    finally:
        await asyncio.to_thread(stream.stop)
        bench.broker.faults.cut("trading")  # wakes its read, which otherwise looks up only every five seconds
        await thread


async def test_the_stream_tells_every_step_of_an_order(bench: Any, client: TradingClient) -> None:
    async with streaming(bench) as heard, asyncio.timeout(30):
        resting = await bench.call(client.submit_order, limit(90))
        new = await bench.call(client.replace_order_by_id, resting.id, ReplaceOrderRequest(limit_price=91))
        bench.quote("IBM", "90.90", "91.00")
        updates = [await heard.get() for _ in range(5)]

    assert [u.event for u in updates] == [
        TradeEvent.PENDING_NEW,
        TradeEvent.NEW,
        TradeEvent.REPLACED,
        TradeEvent.NEW,
        TradeEvent.FILL,
    ]
    assert updates[2].order.id == resting.id
    assert updates[2].order.replaced_by == new.id
    fill = updates[4]
    assert (fill.order.id, fill.price, fill.qty, fill.position_qty) == (new.id, 91.0, 10.0, 10.0)
    assert fill.execution_id is not None
    assert fill.order.filled_avg_price == "91"


async def test_the_stream_comes_back_after_its_socket_was_cut(bench: Any, client: TradingClient) -> None:
    async with streaming(bench) as heard, asyncio.timeout(30):
        bench.broker.faults.cut("trading")
        while bench.broker.stream.has_listener.is_set():
            await asyncio.sleep(0)
        await bench.broker.stream.has_listener.wait()
        await bench.call(client.submit_order, market())
        assert (await heard.get()).event == TradeEvent.PENDING_NEW
