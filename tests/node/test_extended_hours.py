"""A working order for extended hours is held to the sessions of the file, in the life that sent it and in the next."""

from __future__ import annotations

from datetime import time
from typing import Any

from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.objects import Price, Quantity

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.risk.codes import Code
from runner.risk.limits import Limits, LimitsBook, UniverseLimits
from tests.node.inside import IBM, running, until, write

CORE = LimitsBook(top=Limits(universe=UniverseLimits(sessions=("core",))))


async def moved(node: Any, order: Any, price: str) -> int:
    """How many modifications the gate has denied once it has answered this one."""
    gate = node.gate
    gate.set_limits(CORE)
    node.parts.strategies["quiet"].modify_order(order, price=Price.from_str(price))
    await until(lambda: str(order.price) == price or gate.denied[Code.SESSION_CLOSED])
    return int(gate.denied[Code.SESSION_CLOSED])


async def test_an_order_for_extended_hours_is_not_moved_under_core_alone_before_and_after_a_restart(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = Settings(wait=True, symbols=("IBM",), start=time(10, 0), activity=0.001)
    async with ExchangeServer(settings) as exchange:
        path = tmp_path / "inside.yaml"
        write(path, exchange, tmp_path / "state", on_stop="keep")
        async with running(path, "PKEXTENDED000000001") as first:
            quiet = first.node.parts.strategies["quiet"]
            one, gtc = Quantity.from_int(1), TimeInForce.GTC
            extended, plain = (
                quiet.order_factory.limit(IBM, OrderSide.BUY, one, Price.from_str(price), time_in_force=gtc)
                for price in ("1.00", "1.01")
            )
            quiet.submit_order(extended, params={"extended_hours": True})
            quiet.submit_order(plain)
            await until(lambda: extended.is_open and plain.is_open)
            assert await moved(first.node, plain, "1.02") == 0
            assert await moved(first.node, extended, "1.03") == 1
        async with running(path, "PKEXTENDED000000001") as second:
            cache = second.node.parts.kernel.cache
            assert await moved(second.node, cache.order(plain.client_order_id), "1.04") == 0
            assert await moved(second.node, cache.order(extended.client_order_id), "1.05") == 1
