"""Pairs traded by Alpaca's own client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)


@pytest.fixture
def client(bench: Any) -> TradingClient:
    bench.market.add_symbols(["BTC/USD"])
    bench.quote("BTC/USD", "49990", "50000")
    made = TradingClient("PKTEST", "secret", paper=True, url_override=bench.url)
    made._retry_codes = []
    return made


def market(side: OrderSide, **amount: Any) -> MarketOrderRequest:
    return MarketOrderRequest(symbol="BTC/USD", side=side, time_in_force=TimeInForce.GTC, **amount)


async def test_bought_held_and_closed(bench: Any, client: TradingClient) -> None:
    order = await bench.call(client.submit_order, market(OrderSide.BUY, qty="0.5"))
    assert (order.symbol, order.asset_class) == ("BTC/USD", AssetClass.CRYPTO)
    position = await bench.call(client.get_open_position, "BTCUSD")
    assert (position.symbol, position.qty, position.asset_class) == ("BTCUSD", "0.49875", AssetClass.CRYPTO)
    part = await bench.call(client.close_position, "BTCUSD", ClosePositionRequest(percentage="50"))
    assert part.symbol == "BTC/USD"
    (row,) = await bench.call(client.close_all_positions, True)
    assert (row.symbol, row.status) == ("BTCUSD", 200)
    assert await bench.call(client.get_all_positions) == []


async def test_a_limit_is_replaced_found_and_cancelled(bench: Any, client: TradingClient) -> None:
    request = LimitOrderRequest(
        symbol="BTCUSD", qty="0.1", side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=45_000
    )
    order = await bench.call(client.submit_order, request)
    new = await bench.call(client.replace_order_by_id, order.id, ReplaceOrderRequest(limit_price=46_000))
    for spelling in ("BTC/USD", "BTCUSD"):
        (found,) = await bench.call(client.get_orders, GetOrdersRequest(symbols=[spelling]))
        assert found.id == new.id
    await bench.call(client.cancel_order_by_id, new.id)
    assert (await bench.call(client.get_order_by_id, new.id)).status is OrderStatus.CANCELED


async def test_by_dollars_and_below_the_minimum(bench: Any, client: TradingClient) -> None:
    await bench.call(client.submit_order, market(OrderSide.BUY, notional=100))
    position = await bench.call(client.get_open_position, "BTCUSD")
    assert Decimal(position.qty) == Decimal("0.001995")
    with pytest.raises(APIError) as refusal:
        await bench.call(client.submit_order, market(OrderSide.BUY, notional=5))
    assert refusal.value.code == 40310000
