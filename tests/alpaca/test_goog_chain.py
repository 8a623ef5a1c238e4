"""A recorded option chain traded with multi-leg orders: GOOG on 2015-12-24, or a made-up chain where that is absent."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from nautilus_trader.model.enums import OptionKind, OrderSide, OrderStatus
from nautilus_trader.model.objects import Price

from runner.node.books import compare
from tests.alpaca.scripted import contract, spread
from tests.alpaca.test_multi_leg import net, send

NEW_YORK = ZoneInfo("America/New_York")
FILLED, ACCEPTED, CANCELED = OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.CANCELED


def venue(shared: Path | None) -> dict[str, Any]:
    if shared is None:
        return {"symbols": ("IBM",), "options": ("IBM",), "activity": 0.2, "start": time(10, 0)}
    folder = shared / "market-data"
    return {
        "symbols": (),
        "replay": tuple(folder / f"{kind}-GOOG-2015-12-24.jsonl.gz" for kind in ("options", "stocks")),
        "contracts": (folder / "options-GOOG-2015-12-24.contracts.json",),
        "start": time(10, 0),
    }


def chain(rig: Any, count: int = 4) -> list[Any]:
    """Quoted calls of the nearest expiration with this many, in the middle of their strikes; lowest strike first."""
    market = rig.exchange.market
    rows: dict[Any, list[Any]] = {}
    for one in market.contracts():
        quote = market.quote(one.symbol)
        if one.type == "call" and quote is not None and quote.bid > 0 and quote.ask > quote.bid:
            rows.setdefault(one.expiration_date, []).append(one)
    expiry = min(date for date, found in rows.items() if len(found) >= count)
    found = sorted(rows[expiry], key=lambda one: one.strike)
    start = (len(found) - count) // 2
    return [
        contract(one.symbol, f"{one.strike:.2f}", OptionKind.CALL, one.underlying_symbol)
        for one in found[start : start + count]
    ]


async def agree(rig: Any) -> None:
    await rig.client.settle()
    await rig.until(lambda: rig.node.kernel.exec_engine.evt_qsize() == 0)
    snapshot = await rig.client.broker_snapshot()
    rows = await rig.client.non_trade_activities()
    books = compare(rig.client.opening, rig.client.fills, rows, snapshot, unsettled=len(rig.client.unsettled()))
    assert books.agree, [str(row) for row in books.differences]
    assert rig.client.fills.inferred == 0


def test_the_chain_is_traded_with_verticals_and_a_condor(play: Any, running: Any, shared: Path | None) -> None:
    async def scenario() -> None:
        async with running(settings=venue(shared)) as rig:
            exchange = rig.exchange
            first = datetime.fromtimestamp(exchange.market.now_ns // 10**9, NEW_YORK)

            async def until(hour: int, minute: int) -> None:
                moment = first.replace(hour=hour, minute=minute, second=0)
                await exchange.step_until(int(moment.timestamp()) * 10**9)

            await until(10, 30)
            a, b, c, d = chain(rig)
            vertical, condor = spread((a, 1), (b, -1)), spread((a, 1), (b, -1), (c, -1), (d, 1))
            for instrument in (a, b, c, d, vertical, condor):
                rig.node.kernel.cache.add_instrument(instrument)
            asked, bid = (exchange.market.quote(leg.id.symbol.value) for leg in (a, b))
            bought = send(rig, OrderSide.BUY, 2, None, vertical)
            await rig.status(bought, FILLED)
            assert bought.avg_px == pytest.approx(float(asked.ask - bid.bid))
            await rig.until(lambda: (net(rig, a), net(rig, b)) == (2, -2), "the vertical's legs")
            await agree(rig)
            resting = send(rig, OrderSide.BUY, 1, "-50.00", condor)  # nobody pays that
            await rig.status(resting, ACCEPTED)
            rig.strategy.modify_order(resting, price=Price.from_str("30.00"))
            await rig.status(resting, FILLED)
            await rig.until(lambda: [net(rig, leg) for leg in (a, b, c, d)] == [3, -3, -1, 1], "the condor's legs")
            await until(11, 30)
            sold = send(rig, OrderSide.SELL, 2, None, vertical)
            closed = send(rig, OrderSide.SELL, 1, None, condor)
            await rig.status(sold, FILLED)
            await rig.status(closed, FILLED)
            await rig.until(lambda: all(net(rig, leg) == 0 for leg in (a, b, c, d)), "flat legs")
            await agree(rig)
            assert Decimal(0) != (await rig.client.broker_snapshot()).cash - rig.client.opening.cash

    play(scenario())


def test_without_the_recording_a_made_up_chain_is_traded_as_well(play: Any, running: Any) -> None:
    test_the_chain_is_traded_with_verticals_and_a_condor(play, running, None)
