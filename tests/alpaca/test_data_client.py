"""Market data through a real node: streams straight into the engine, history in venue time."""

from __future__ import annotations

from datetime import time
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.identifiers import InstrumentId

IBM = InstrumentId.from_str("IBM.ALPACA")
MINUTES = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
#: A generated day, sixty times as fast as it was, from eleven o'clock.
REPLAY = {"speed": 600.0, "start": time(11, 0)}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_quotes_trades_and_bars_stream_to_the_strategy(play: Any, running: Any, codec: str) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=REPLAY, data_config={"codec": codec}) as rig:
            rig.strategy.subscribe_quote_ticks(IBM)
            rig.strategy.subscribe_trade_ticks(IBM)
            rig.strategy.subscribe_bars(MINUTES)
            for kind in (QuoteTick, TradeTick, Bar):
                await rig.until(
                    lambda kind=kind: any(isinstance(row, kind) for row in rig.strategy.data), kind.__name__
                )
            bar = next(row for row in rig.strategy.data if isinstance(row, Bar))
            assert bar.ts_event % 60_000_000_000 == 0
            quote = next(row for row in rig.strategy.data if isinstance(row, QuoteTick))
            assert rig.data.venue_clock.is_replay
            assert abs(rig.data.venue_clock.now_ns() - quote.ts_event) < 8 * 3_600_000_000_000
            stats = rig.data.stream_stats()
            assert stats["quotes"] > 0
            assert stats["handler_errors"] == 0

    play(scenario())


def test_a_handler_that_raises_does_not_end_the_stream(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=REPLAY) as rig:
            seen: list[Any] = []

            def raising(tick: Any) -> None:
                seen.append(tick)
                raise ValueError("boom")

            rig.strategy.subscribe_quote_ticks(IBM)
            rig.node.kernel.msgbus.subscribe("data.quotes.ALPACA.IBM", raising)
            await rig.until(lambda: len(seen) > 3, "more quotes after the first failure")
            assert rig.data.stream_stats()["handler_errors"] >= 3

    play(scenario())


def test_history_is_asked_for_in_venue_time(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=REPLAY) as rig:
            now = rig.node.kernel.clock.utc_now()
            rig.strategy.request_bars(MINUTES, start=now - pd.Timedelta(hours=1))
            await rig.until(
                lambda: sum(isinstance(row, Bar) for row in rig.strategy.data) > 10, "bars of the last hour"
            )
            bars = [row for row in rig.strategy.data if isinstance(row, Bar)]
            venue_now = rig.data.venue_clock.now_ns()
            assert all(venue_now - 2 * 3_600_000_000_000 < bar.ts_event <= venue_now for bar in bars)
            rig.strategy.data.clear()
            rig.strategy.request_quote_ticks(IBM, start=now - pd.Timedelta(minutes=10), limit=50)
            await rig.until(lambda: len(rig.strategy.data) > 0, "quotes")
            rig.strategy.data.clear()
            rig.strategy.request_trade_ticks(IBM, start=now - pd.Timedelta(minutes=10), limit=50)
            await rig.until(lambda: len(rig.strategy.data) > 0, "trades")

    play(scenario())


def test_a_stream_that_is_cut_comes_back_with_its_subscriptions(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=REPLAY) as rig:
            rig.strategy.subscribe_quote_ticks(IBM)
            await rig.until(lambda: rig.strategy.data, "a quote")
            rig.faults.arm({"cut": "data"})
            await rig.until(lambda: rig.data.stream_stats()["reconnects"] >= 1, "a reconnect")
            rig.strategy.data.clear()
            await rig.until(lambda: rig.strategy.data, "a quote after it")

    play(scenario())


def test_instruments_are_fractional_equities_with_their_asset_in_info(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=REPLAY) as rig:
            instrument = rig.node.kernel.cache.instrument(IBM)
            assert (instrument.size_precision, str(instrument.price_increment)) == (9, "0.01")
            assert instrument.info["exchange"]

    play(scenario())
