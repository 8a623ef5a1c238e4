"""The exchange after an hour's trade: two accounts' worth of orders, positions and activities to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from runner.exchange.market import Quote, Trade
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

SETTINGS = Settings(
    symbols=("IBM", "BAC"),
    day=date(2026, 1, 12),
    start=time(11, 0),
    wait=True,
    extended_hours=False,
    activity=0.005,
    fee_per_share=Decimal("0.01"),
)
MARKET = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "10"}
LIMIT = {**MARKET, "type": "limit", "limit_price": "90"}


KEPT, CALL, HIGHER = "IBM260116C00085000", "IBM260116C00090000", "IBM260116C00095000"
SPREAD = {
    "order_class": "mleg",
    "qty": "1",
    "time_in_force": "day",
    "legs": [
        {"symbol": CALL, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": HIGHER, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ],
}


class Visitor:
    """A client of the exchange, and what it set up: ids that paths need."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path.format(**self.ids), **more)

    async def prepare(self) -> None:
        """Orders of all kinds and states, a long and a short position."""
        orders = {
            "filled": MARKET,
            "fraction": {**MARKET, "qty": "0.5"},
            "dollars": {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "notional": "50"},
            "short": {**MARKET, "symbol": "BAC", "side": "sell", "qty": "100"},
            "resting": {**LIMIT, "client_order_id": "mine"},
            "to_replace": LIMIT,
            "to_cancel": {**LIMIT, "time_in_force": "gtc"},
            "coins": {**MARKET, "symbol": "BTC/USD", "time_in_force": "gtc", "qty": "0.5"},
            "at_the_close": {**MARKET, "time_in_force": "cls", "qty": "1"},
            "option": {**MARKET, "symbol": KEPT, "qty": "3"},
            "spread": {**SPREAD, "type": "market"},
            "spread_resting": {**SPREAD, "type": "limit", "limit_price": "-9"},
            "spread_to_replace": {**SPREAD, "type": "limit", "limit_price": "-9", "qty": "2"},
            "trailing": {**MARKET, "type": "trailing_stop", "trail_percent": "5"},
            "bracket": {
                **LIMIT,
                "order_class": "bracket",
                "take_profit": {"limit_price": "120"},
                "stop_loss": {"stop_price": "80", "limit_price": "79"},
            },
            "oto": {**LIMIT, "order_class": "oto", "stop_loss": {"stop_price": "80"}},
            "stop": {**MARKET, "type": "stop_limit", "stop_price": "150", "limit_price": "151"},
        }
        for name, body in orders.items():
            reply = await self.ask("POST", "/v2/orders", json=body)
            assert reply.status_code == 200, reply.text
            self.ids[name] = reply.json()["id"]


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    headers = {"APCA-API-KEY-ID": "PK1", "APCA-API-SECRET-KEY": "s"}
    async with (
        ExchangeServer(SETTINGS) as exchange,
        httpx.AsyncClient(base_url=exchange.url, headers=headers, verify=False) as client,
    ):
        now_ns = exchange.market.now_ns
        exchange.market.add_symbols(["BTC/USD", KEPT, CALL, HIGHER])
        prices = {"IBM": "100", "BAC": "14", "BTC/USD": "50000", KEPT: "15", CALL: "10.50", HIGHER: "6"}
        for symbol, price in ((symbol, Decimal(text)) for symbol, text in prices.items()):
            exchange.market.set_trade(Trade(symbol, price, Decimal(100), now_ns, {"c": ["@"]}))
            exchange.market.set_quote(Quote(symbol, price, 1, price + Decimal("0.01"), 1, now_ns))
        made = Visitor(client)
        await made.prepare()
        for order in (
            {"assign": {"symbol": HIGHER, "qty": 1}},
            {"dividend": {"symbol": "IBM", "rate": "0.5"}},
            {"split": {"symbol": "BAC", "new_rate": 2, "old_rate": 1}},
        ):
            assert (await made.ask("POST", "/control/broker", json=order)).json() == {"accounts": 1}
        assert (await made.ask("POST", f"/v2/positions/{CALL}/exercise")).status_code == 200
        yield made
