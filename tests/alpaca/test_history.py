"""History on request, read from the exchange to the last page: long bars, and what they are adjusted for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.model.data import BarType

END = 1 << 62
START = pd.Timestamp("2013-06-01", tz="UTC")
#: A trade on some days of two months. Between the last two there is a split, two for one.
TRADES = [("2013-08-30", 100), ("2013-09-03", 102), ("2013-09-05", 104), ("2013-09-30", 106), ("2013-10-07", 54)]
SPLIT = {"symbol": "IBM", "new_rate": 2, "old_rate": 1, "ex_date": "2013-10-01", "process_date": "2013-10-01"}


@pytest.fixture
def months(tmp_path: Path) -> dict[str, Any]:
    """Settings of an exchange that has lived through them."""
    rows = [
        {"T": "t", "S": symbol, "i": at, "x": "N", "p": price, "s": 100, "c": [" "], "z": "A", "t": f"{day}T15:00:00Z"}
        for at, (day, price) in enumerate(TRADES)
        for symbol in ("IBM", "BAC")
    ]
    replay, actions = tmp_path / "months.jsonl", tmp_path / "actions.json"
    replay.write_text("\n".join(json.dumps(row) for row in rows))
    actions.write_text(json.dumps({"forward_splits": [SPLIT]}))
    return {"replay": (replay,), "corporate_actions": actions}


def midnight(month: int, day: int) -> int:
    return int(datetime(2013, month, day, 4, tzinfo=UTC).timestamp()) * 1_000_000_000


async def bars(rig: Any, spec: str, **request: Any) -> list[tuple[int, float]]:
    """When each closed, and at what."""
    rig.strategy.data.clear()
    done: list[Any] = []
    bar_type = BarType.from_str(f"IBM.ALPACA-{spec}-LAST-EXTERNAL")
    rig.strategy.request_bars(bar_type, start=START, callback=done.append, **request)
    await rig.until(lambda: done, f"the bars {spec}")
    return [(bar.ts_event, float(bar.close)) for bar in rig.strategy.data]


def test_weeks_and_months_close_by_the_calendar_and_not_before(play: Any, running: Any, months: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=months) as rig:
            await rig.exchange.step_until(END)
            rig.data.venue_clock.observe(rig.exchange.market.now_ns)
            assert await bars(rig, "1-MONTH") == [(midnight(9, 1), 100), (midnight(10, 1), 106)]
            assert await bars(rig, "3-MONTH") == [(midnight(10, 1), 106)]
            assert await bars(rig, "1-WEEK") == [(midnight(9, 2), 100), (midnight(9, 9), 104), (midnight(10, 7), 106)]
            assert len(await bars(rig, "1-DAY")) == 4
            assert await bars(rig, "12-MONTH") == []

    play(scenario())


def test_bars_are_raw_unless_the_request_or_the_feed_says_otherwise(play: Any, running: Any, months: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=months, data_config={"adjustment": "split"}) as rig:
            await rig.exchange.step_until(END)
            rig.data.venue_clock.observe(rig.exchange.market.now_ns)
            assert [close for _, close in await bars(rig, "1-MONTH")] == [50, 53]
            raw = await bars(rig, "1-MONTH", params={"adjustment": "raw"})
            assert [close for _, close in raw] == [100, 106]
            # What the stream has lost is read again as it was streamed.
            month = BarType.from_str("IBM.ALPACA-1-MONTH-LAST-EXTERNAL")
            found = await rig.data.history_bars(month, START.value, rig.exchange.market.now_ns)
            assert [float(bar.close) for bar in found] == [100, 106]
            with pytest.raises(ValueError, match="`splits` is none of"):
                await rig.data.history_bars(month, START.value, START.value, adjust="splits")

    play(scenario())
