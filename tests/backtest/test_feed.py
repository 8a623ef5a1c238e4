"""What a backtest needs, and what is said where it is not there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from runner.backtest.catalog import History
from runner.backtest.errors import DataError
from runner.backtest.feed import source_of
from runner.backtest.recording import import_recording
from tests.backtest.conftest import OPEN, Run, at_ns, write_recording


@pytest.mark.parametrize(
    ("named", "source"),
    [
        ("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL", "IBM.ALPACA-1-MINUTE-LAST-EXTERNAL"),
        ("IBM.ALPACA-5-MINUTE-LAST-INTERNAL@1-MINUTE-EXTERNAL", "IBM.ALPACA-1-MINUTE-LAST-EXTERNAL"),
        ("IBM.ALPACA-5-MINUTE-LAST-INTERNAL", None),
    ],
)
def test_bars_that_the_node_makes_itself_need_what_they_are_made_of(named: str, source: str | None) -> None:
    assert source_of(named) == source


def test_an_instrument_without_data_is_named_with_what_is_there(run: Run) -> None:
    bars = "BAC.ALPACA-1-MINUTE-LAST-EXTERNAL"
    with pytest.raises(DataError) as caught:
        run({"a": {}, "b": {"instrument_id": "BAC.ALPACA", "bar_type": bars}})
    assert f"strategy b needs {bars}" in str(caught.value)
    assert "strategy a" not in str(caught.value)
    assert "runner fetch" in caught.value.hint
    with pytest.raises(DataError, match=r"of IBM.ALPACA there are .*1-MINUTE.* from 2024-03-04 09:31"):
        run({"a": {"bar_type": "IBM.ALPACA-1-HOUR-LAST-EXTERNAL"}})


def test_an_empty_range_is_told_with_the_range_there_is(run: Run) -> None:
    with pytest.raises(DataError, match=r"has IBM.ALPACA-1-MINUTE-LAST-EXTERNAL from 2024-03-04 09:31 to .* only"):
        run({"a": {}}, window={"start_ns": at_ns(OPEN + timedelta(days=3))})


def test_a_wrong_folder_is_told_from_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        History.open(tmp_path / "no")
    with pytest.raises(DataError, match="is no catalog"):
        History.open(tmp_path)


def test_bars_alone_move_the_venue_too(run: Run, tmp_path: Path) -> None:
    history = History(tmp_path / "bars")
    with history.writing():
        import_recording(history, [write_recording(tmp_path / "r.jsonl", quotes=False)])
    trades = tmp_path / "bars" / "data" / "trade_tick"
    for file in trades.glob("*/*"):
        file.unlink()
    backtest, recorder = run({"a": {"steps": "buy 10"}}, data=history.folder)
    bar = history.read("bars", "IBM.ALPACA-1-MINUTE-LAST-EXTERNAL", 0, 2**62)[0]
    assert [fill.price for fill in recorder.fills] == [bar.close.as_decimal()]
    assert {each.kind: each.moves for each in backtest.feed.played} == {"bars": True}


def test_several_days_are_played_one_by_one(run: Run, tmp_path: Path) -> None:
    history = History(tmp_path / "days")
    for day in range(3):
        path = write_recording(tmp_path / f"{day}.jsonl", 10, start=OPEN + timedelta(days=day))
        with history.writing():
            import_recording(history, [path])
    backtest, recorder = run({"a": {"steps": "buy 1, sell 1, " * 20}}, data=history.folder)
    assert backtest.feed.counts == {"quotes": 180, "trades": 180, "bars": 30}
    assert len(recorder.fills) == 30
    assert len({fill.ts_ns // 86_400_000_000_000 for fill in recorder.fills}) == 3
