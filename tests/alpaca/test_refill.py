"""More trades and bars than the stream's bounds hold: REST brings the rest, in order, each once."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.identifiers import InstrumentId

IBM = InstrumentId.from_str("IBM.ALPACA")
MINUTES = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
HASTE = {"speed": 3000.0, "start": time(11, 0)}
SMALL = {"conflate_above": 16, "spill_above": 3}


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "queued"])
def test_what_the_stream_lost_is_read_again_in_order_and_once(play: Any, running: Any, direct: bool) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=HASTE, data_config=SMALL | {"direct": direct}) as rig:
            rig.strategy.subscribe_trade_ticks(IBM)
            rig.strategy.subscribe_bars(MINUTES)
            await rig.until(lambda: rig.data.stream_stats()["refilled"] > 50, "refilled trades")
            rig.exchange.pause()
            stats = rig.data.stream_stats
            await rig.until(lambda: not rig.data.gapped and stats()["backlog"] == 0, "the gap's end")
            await rig.until(lambda: rig.node.kernel.data_engine.data_qsize() == 0, "the queue")
            trades = [row for row in rig.strategy.data if isinstance(row, TradeTick)]
            bars = [row for row in rig.strategy.data if isinstance(row, Bar)]
            all_trades = await rig.data.history_trades(IBM, trades[0].ts_event, trades[-1].ts_event)
            first = next(n for n, row in enumerate(all_trades) if row.trade_id == trades[0].trade_id)
            assert [row.trade_id.value for row in trades] == [row.trade_id.value for row in all_trades[first:]]
            minutes = await rig.data.history_bars(MINUTES, bars[0].ts_event - 60_000_000_000, bars[-1].ts_event)
            assert [row.ts_event for row in bars] == [row.ts_event for row in minutes]
            assert len(bars) > 2

    play(scenario())


def test_the_feed_is_gapped_until_rest_has_answered(play: Any, running: Any) -> None:
    async def scenario() -> None:
        config = SMALL | {"read_retries": 0, "spill_above": 1_000}
        async with running(data=True, settings=HASTE, data_config=config) as rig:
            rig.strategy.subscribe_trade_ticks(IBM)
            await rig.until(lambda: len(rig.strategy.data) > 10, "trades")
            assert not rig.data.gapped
            trades = {"method": "GET", "path": "/v2/stocks/trades"}
            rig.faults.arm({"next": [trades | {"status": 500, "count": 2}, trades | {"delay_s": 0.1}]})
            rig.data.refill.lost("*")
            assert rig.data.gapped
            await rig.until(lambda: not rig.faults.requests, "the answer")
            assert rig.data.gapped
            await rig.until(lambda: not rig.data.gapped, "the gap's end")
            assert rig.data.stream_stats()["refills"] == 1

    play(scenario())
