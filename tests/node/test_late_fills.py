"""An order that had ended fills while the node is down, or again later: each fill is counted once, and is its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus

from runner.alpaca.resume import Resume
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.node.inside import running, until, write

KEY = "PKLATEFILLS000000001"


class Lives:
    """Of one node, one after another, over one venue."""

    def __init__(self, exchange: ExchangeServer, path: Path) -> None:
        self.exchange = exchange
        self.row: Any = None
        self._path = path

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Any]:
        async with running(self._path, KEY) as assembled:
            yield assembled.node
        assert assembled.node.books["main"].agree, assembled.node.books

    async def canceled_and_let_go(self) -> None:
        """A first life: an order is canceled, and let go of."""
        async with self.life() as node:
            order = node.parts.strategies["quiet"].send("1.00")
            await until(lambda: order.status == OrderStatus.ACCEPTED)
            node.parts.strategies["quiet"].cancel_order(order)
            client = node.parts.exec_clients["main"]
            await until(lambda: order.status == OrderStatus.CANCELED and not client.in_flight)
            self.row = self.exchange.broker.desk.account(KEY).orders[order.venue_order_id.value]
            node.plan.journal.store.write_now([])
            client.retention._listed_ns = lambda: sys.maxsize
            for name in client.retention.sweep(0, 0):
                node.parts.kernel.cache.purge_order(name)
            assert node.parts.kernel.cache.order(order.client_order_id) is None

    def pass_an_hour(self) -> None:
        market = self.exchange.market
        market.set_clock(market.now_ns + 3600 * 1_000_000_000)

    def fill(self, qty: str) -> None:
        """The venue fills the order after its end."""
        desk = self.exchange.broker.desk
        desk.book._life.fill(desk.account(KEY), self.row, Decimal(qty), Decimal(169))
        self.row.status = "canceled"


def held(node: Any) -> dict[str, Decimal]:
    positions = node.parts.kernel.cache.positions_open()
    return {each.strategy_id.value: each.signed_decimal_qty() for each in positions}


@pytest.fixture
async def lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lives]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = Settings(wait=True, symbols=("IBM",), start=time(10, 0), activity=0.001)
    async with ExchangeServer(settings) as exchange:
        path = tmp_path / "late.yaml"
        write(path, exchange, tmp_path / "state", on_stop="keep")
        yield Lives(exchange, path)


async def test_what_filled_while_the_node_was_down_is_its_strategys(lives: Lives) -> None:
    await lives.canceled_and_let_go()
    lives.pass_an_hour()
    lives.fill("0.5")
    async with lives.life() as node:
        assert held(node) == {"Idle-quiet": Decimal("0.5")}
        lives.fill("0.25")
        await until(lambda: held(node) == {"Idle-quiet": Decimal("0.75")})
        await node.parts.exec_clients["main"].gaps.run()
        assert held(node) == {"Idle-quiet": Decimal("0.75")}
    async with lives.life() as node:
        assert held(node) == {"Idle-quiet": Decimal("0.75")}


async def test_what_the_opening_balance_has_is_not_booked_with_the_next_fill(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue tells of it late: at the start it is somebody's, and counted."""

    async def nothing(_self: Resume) -> None: ...

    monkeypatch.setattr(Resume, "_late_fills", nothing)
    await lives.canceled_and_let_go()
    lives.fill("0.5")
    lives.pass_an_hour()
    async with lives.life() as node:
        assert held(node) == {"EXTERNAL": Decimal("0.5")}
        lives.fill("0.25")
        await until(lambda: sum(held(node).values()) >= Decimal("0.75"))
        client = node.parts.exec_clients["main"]
        await client.gaps.repaired()
        await client.gaps.run()
        assert held(node) == {"EXTERNAL": Decimal("0.5"), "Idle-quiet": Decimal("0.25")}
        assert client.crossings.positions == {"IBM": Decimal("0.75")}
