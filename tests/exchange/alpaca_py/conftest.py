"""Alpaca's own client against the whole exchange, on a market that the test moves by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.market import Quote, Trade
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings


class Bench:
    """The exchange, and alpaca-py's blocking calls made from a thread."""

    def __init__(self, exchange: ExchangeServer) -> None:
        self.exchange = exchange
        self.broker = exchange.broker
        self.market = exchange.market
        self.url: str = exchange.url
        self.stream_url = f"{exchange.ws_url}/stream"

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        self.market.set_quote(Quote(symbol, Decimal(bid), 1, Decimal(ask), 1, self.market.now_ns))

    @staticmethod
    async def call[T](function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Monday, 12 January 2026, 10:00 in New York: the generated day waits, so that prices are the test's own."""
    settings = Settings(
        symbols=("IBM", "BAC"),
        day=date(2026, 1, 12),
        start=time(10, 0),
        wait=True,
        extended_hours=False,
        activity=0.01,
    )
    async with ExchangeServer(settings) as exchange:
        made = Bench(exchange)
        for symbol, price in (("IBM", Decimal(100)), ("BAC", Decimal(14))):
            made.quote(symbol, str(price - Decimal("0.01")), str(price + Decimal("0.01")))
            exchange.market.set_trade(Trade(symbol, price, Decimal(100), exchange.market.now_ns, {"c": ["@"]}))
        yield made
