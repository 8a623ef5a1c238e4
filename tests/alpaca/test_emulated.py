"""Orders of stocks at Nautilus's emulator: they go by quotes, as Alpaca has no books of stocks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from nautilus_trader.model.enums import OrderStatus, TimeInForce, TriggerType

from tests.alpaca.conftest import IBM, STILL, TEN_O_CLOCK, VENUE


def pause(exchange: Any, _key: str) -> None:
    exchange.pause()
    exchange.market.set_clock(TEN_O_CLOCK)


@pytest.mark.parametrize("trigger", [TriggerType.DEFAULT, TriggerType.BID_ASK])
def test_a_stock_is_emulated_by_its_quotes_and_no_book_is_missed(play: Any, running: Any, trigger: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=VENUE | STILL, before=pause) as rig:
            asked: list[Any] = []
            original = rig.data._subscribe_order_book_deltas

            async def asks(command: Any) -> None:
                asked.append(command.instrument_id)
                await original(command)  # what it raises, the base class would log

            rig.data._subscribe_order_book_deltas = asks
            order = rig.limit("buy", 1, "100.00", time_in_force=TimeInForce.DAY, emulation_trigger=trigger)
            await rig.status(order, OrderStatus.EMULATED)
            sockets = rig.exchange.parts.hub.sockets
            await rig.until(lambda: any(each.wants("quotes", "IBM") for each in sockets), "the emulator's quotes")
            assert asked == [IBM]
            await original(SimpleNamespace(instrument_id=IBM))
            quote = {"T": "q", "S": "IBM", "bp": 99.9, "ap": 100.0, "bs": 100, "as": 100}
            async with httpx.AsyncClient(verify=False) as control:
                (await control.post(f"{rig.exchange.url}/control/market", json=quote)).raise_for_status()
            cache = rig.node.kernel.cache
            await rig.until(lambda: cache.order(order.client_order_id).status == OrderStatus.FILLED, "its release")
            with pytest.raises(ValueError, match="order books of crypto pairs only"):
                await original(SimpleNamespace(instrument_id=IBM))  # of nothing that is emulated

    play(scenario())
