"""Brackets, OCO and OTO orders sent by Alpaca's own client."""

from __future__ import annotations

from typing import Any

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, OrderType, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import (
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)

PROFIT, LOSS = TakeProfitRequest(limit_price=110), StopLossRequest(stop_price=95)


@pytest.fixture
def client(bench: Any) -> TradingClient:
    made = TradingClient("PKTEST", "secret", paper=True, url_override=bench.url)
    made._retry_codes = []
    return made


def bracket(**more: Any) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol="IBM",
        qty=10,
        side=OrderSide.BUY,
        time_in_force=TimeInForce.GTC,
        order_class=OrderClass.BRACKET,
        take_profit=PROFIT,
        stop_loss=LOSS,
        **more,
    )


async def statuses(bench: Any, client: TradingClient, order: Order) -> list[OrderStatus]:
    found = await bench.call(client.get_order_by_id, order.id, GetOrderByIdRequest(nested=True))
    return [found.status, *(leg.status for leg in found.legs)]


async def test_a_bracket_from_entry_to_exit(bench: Any, client: TradingClient) -> None:
    order = await bench.call(client.submit_order, bracket())
    assert order.order_class is OrderClass.BRACKET
    assert [leg.status for leg in order.legs] == [OrderStatus.HELD, OrderStatus.HELD]
    assert await statuses(bench, client, order) == [OrderStatus.FILLED, OrderStatus.NEW, OrderStatus.NEW]

    stop = order.legs[1]
    moved = await bench.call(client.replace_order_by_id, stop.id, ReplaceOrderRequest(stop_price=97))
    assert moved.replaces == stop.id

    bench.quote("IBM", "110", "110.02")
    assert await statuses(bench, client, order) == [OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.CANCELED]
    assert await bench.call(client.get_all_positions) == []


async def test_an_oto_and_an_oco_order(bench: Any, client: TradingClient) -> None:
    entry = MarketOrderRequest(
        symbol="IBM",
        qty=10,
        side=OrderSide.BUY,
        time_in_force=TimeInForce.DAY,
        order_class=OrderClass.OTO,
        stop_loss=LOSS,
    )
    order = await bench.call(client.submit_order, entry)
    assert await statuses(bench, client, order) == [OrderStatus.FILLED, OrderStatus.NEW]
    await bench.call(client.cancel_order_by_id, order.legs[0].id)

    exits = LimitOrderRequest(
        symbol="IBM",
        qty=10,
        side=OrderSide.SELL,
        time_in_force=TimeInForce.GTC,
        order_class=OrderClass.OCO,
        take_profit=PROFIT,
        stop_loss=LOSS,
    )
    order = await bench.call(client.submit_order, exits)
    assert (order.order_type, order.limit_price) == (OrderType.LIMIT, "110")
    bench.quote("IBM", "94", "95")
    assert await statuses(bench, client, order) == [OrderStatus.CANCELED, OrderStatus.FILLED]


async def test_orders_nested_and_flat(bench: Any, client: TradingClient) -> None:
    order = await bench.call(client.submit_order, bracket())
    everything = GetOrdersRequest(status=QueryOrderStatus.ALL, nested=True)
    (found,) = await bench.call(client.get_orders, everything)
    assert [leg.id for leg in found.legs] == [leg.id for leg in order.legs]
    flat = await bench.call(client.get_orders, GetOrdersRequest(status=QueryOrderStatus.OPEN))
    assert {row.id for row in flat} == {leg.id for leg in order.legs}
    cancelled = await bench.call(client.cancel_orders)
    assert {row.status for row in cancelled} == {200}
