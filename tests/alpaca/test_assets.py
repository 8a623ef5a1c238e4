"""What is tradable, shortable and marginable changes while a node is up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus

from runner.alpaca import providers
from tests.alpaca.conftest import BAC, IBM


def change(rig: Any, symbol: str, **members: Any) -> None:
    assets = rig.exchange.market._assets
    assets[symbol] = replace(assets[symbol], **members)


def instrument(rig: Any, instrument_id: Any = IBM) -> Any:
    return rig.node.kernel.cache.instrument(instrument_id)


@pytest.mark.parametrize("one_by_one", [30, 0])
def test_what_changed_reaches_the_cache_and_whoever_subscribed(
    play: Any, running: Any, monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    monkeypatch.setattr(providers, "ONE_BY_ONE", one_by_one)

    async def scenario() -> None:
        async with running() as rig:
            heard: list[Any] = []
            rig.strategy.msgbus.subscribe("data.instrument.ALPACA.IBM", heard.append)
            before, other = instrument(rig), instrument(rig, BAC)
            await rig.client.assets.refresh()
            assert instrument(rig) is before
            change(rig, "IBM", shortable=False, easy_to_borrow=False, margin_requirement_long=Decimal(60))
            await rig.client.assets.refresh()
            await rig.until(lambda: heard, "the new instrument")
            after = instrument(rig)
            assert heard == [after]
            assert (after.info["shortable"], after.info["easy_to_borrow"]) == (False, False)
            assert after.margin_init == after.margin_maint == Decimal("0.6")
            assert (after.price_precision, after.size_precision) == (before.price_precision, before.size_precision)
            assert instrument(rig, BAC) is other

    play(scenario())


def test_an_asset_that_is_halted_or_gone_is_not_traded(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            change(rig, "IBM", tradable=False)
            del rig.exchange.market._assets["BAC"]
            await rig.client.assets.refresh()
            for instrument_id in (IBM, BAC):
                order = rig.market("buy", 1, instrument_id)
                await rig.status(order, OrderStatus.DENIED)
                assert "NOT_TRADABLE" in order.last_event.reason

    play(scenario())


def test_a_stock_that_can_not_be_split_any_more_keeps_its_precision_until_the_next_start(
    play: Any, running: Any
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            before = instrument(rig)
            change(rig, "IBM", fractionable=False)
            await rig.client.assets.refresh()
            assert instrument(rig) is before
            assert before.info["fractionable"] is False
            await rig.status(rig.market("buy", 1), OrderStatus.FILLED)

    play(scenario())


def test_it_goes_on_by_itself_also_after_the_venue_could_not_be_asked(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"assets_interval_s": 0.01}) as rig:
            rig.faults.arm({"next": [{"method": "GET", "path": "/v2/assets", "status": 403, "count": 2}]})
            change(rig, "IBM", marginable=False)
            await rig.until(lambda: instrument(rig).info["marginable"] is False, "the refresh")
            change(rig, "IBM", marginable=True)
            await rig.until(lambda: instrument(rig).info["marginable"] is True, "the next refresh")

    play(scenario())
