"""A desk on a market that the test moves by hand: Monday, 7 October 2013, in New York's time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from runner.exchange.broker import Broker
from runner.exchange.broker.accounts import Account
from runner.exchange.broker.desk import Desk, DeskSettings
from runner.exchange.broker.orders import Order
from runner.exchange.errors import AlpacaError, alpaca_error_handler
from runner.exchange.faults import FaultMiddleware, Faults, fault_routes
from runner.exchange.market import Market, Quote, Trade

NEW_YORK = ZoneInfo("America/New_York")


def ns(when: str, day: str = "2013-10-07") -> int:
    """UNIX ns of a New York wall time, `10:00` or `10:00:30`."""
    moment = datetime.fromisoformat(f"{day}T{when}").replace(tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 1_000_000_000


class Venue:
    """The desk with its market, and short words for what a test does to them."""

    def __init__(self, **settings: Any) -> None:
        self.market = Market(["BAC", "IBM", "F", "BTC/USD", "ETH/BTC"], now_ns=ns("10:00"))
        self.faults = Faults()
        self.updates: list[dict[str, Any]] = []
        self.desk = Desk(
            self.market, DeskSettings(**settings), self.faults, lambda _key, update: self.updates.append(update)
        )
        self.me: Account = self.desk.account("PK1")

    def at(self, when: str, day: str = "2013-10-07") -> None:
        self.market.set_clock(ns(when, day))

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        """A quote now; its size is one share, which the engine ignores."""
        self.market.set_quote(Quote(symbol, Decimal(bid), 1, Decimal(ask), 1, self.market.now_ns))

    def trade(self, symbol: str, price: str, *conditions: str) -> None:
        raw = {"c": list(conditions) or ["@"]}
        self.market.set_trade(Trade(symbol, Decimal(price), Decimal(100), self.market.now_ns, raw))

    def send(self, symbol: str = "IBM", side: str = "buy", qty: object = "10", **body: Any) -> dict[str, Any]:
        """POST an order: a market order for the day unless told otherwise."""
        amount = {} if "notional" in body else {"qty": qty}
        order = {"symbol": symbol, "side": side, "type": "market", "time_in_force": "day", **amount, **body}
        return self.desk.submit(self.me, order)

    def refused(self, symbol: str = "IBM", side: str = "buy", qty: object = "10", **body: Any) -> AlpacaError:
        with pytest.raises(AlpacaError) as refusal:
            self.send(symbol, side, qty, **body)
        return refusal.value

    def order(self, reply: dict[str, Any]) -> Order:
        return self.me.orders[reply["id"]]

    def cancel(self, reply: dict[str, Any]) -> None:
        self.desk.cancel(self.me, self.order(reply))

    def replace(self, reply: dict[str, Any], **body: Any) -> dict[str, Any]:
        return self.desk.replace(self.me, self.order(reply), body)

    def status(self, reply: dict[str, Any]) -> str:
        return self.order(reply).status

    def events(self, reply: dict[str, Any] | None = None) -> list[str]:
        return [u["event"] for u in self.updates if reply is None or u["order"]["id"] == reply["id"]]

    def figure(self, name: str) -> Decimal:
        value = getattr(self.desk.figures(self.me), name)
        assert isinstance(value, Decimal)
        return value

    def hold(self, symbol: str = "IBM", qty: int = 10, price: str = "100") -> None:
        """Own (or, below 0, owe) shares, bought at `price` with nothing else changed."""
        self.quote(symbol, price, price)
        self.send(symbol, "buy" if qty > 0 else "sell", str(abs(qty)))
        self.updates.clear()


@pytest.fixture
def venue() -> Venue:
    """At 10:00 IBM is 99.99 at 100.01, BAC 13.99 at 14.01."""
    made = Venue()
    made.quote("IBM", "99.99", "100.01")
    made.quote("BAC", "13.99", "14.01")
    return made


@pytest.fixture
def make_venue() -> Callable[..., Venue]:
    return Venue


class House:
    """A broker behind HTTP on a port of its own, with a market that the test moves."""

    def __init__(self, server: uvicorn.Server, broker: Broker, market: Market) -> None:
        self._server = server
        self.broker = broker
        self.market = market
        self.port: int = server.servers[0].sockets[0].getsockname()[1]
        self.ws_url = f"ws://127.0.0.1:{self.port}/stream"

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        self.market.set_quote(Quote(symbol, Decimal(bid), 1, Decimal(ask), 1, self.market.now_ns))

    def client(self, key: str = "PK1") -> httpx.AsyncClient:
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": "secret"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, verify=False)


@contextlib.asynccontextmanager
async def open_house(**settings: Any) -> AsyncIterator[House]:
    market = Market(["BAC", "IBM", "F"], now_ns=ns("10:00"))
    broker = Broker(market, **settings)
    routes = [*broker.routes(), *fault_routes(broker.faults)]
    app = Starlette(routes=routes, exception_handlers={AlpacaError: alpaca_error_handler})
    config = uvicorn.Config(
        FaultMiddleware(app, broker.faults), port=0, log_config=None, lifespan="off", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    house = House(server, broker, market)
    house.quote("IBM", "99.99", "100.01")
    house.quote("BAC", "13.99", "14.01")
    try:
        yield house
    finally:
        await broker.aclose()
        server.should_exit = True
        await task


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as made:
        yield made


@pytest.fixture
def make_house() -> Callable[..., contextlib.AbstractAsyncContextManager[House]]:
    return open_house
