"""A recording becomes a catalog."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from runner.alpaca.instruments import AlpacaEquity
from runner.backtest.catalog import History
from runner.backtest.errors import DataError
from runner.backtest.recording import import_recording
from tests.backtest.conftest import BARS


def put(path: Path, *messages: object) -> Path:
    text = "".join((m if isinstance(m, str) else json.dumps(m)) + "\n" for m in messages)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def taken(history: History, path: Path) -> dict[tuple[str, str], int]:
    with history.writing():
        return import_recording(history, [path])


def test_bars_are_made_of_the_trades_as_the_exchange_makes_them(folder: Path) -> None:
    history = History.open(folder)
    bars = history.read("bars", BARS, 0, 2**62)
    trades = history.read("trades", "IBM.ALPACA", 0, 2**62)
    assert len(bars) == 60
    first = [trade for trade in trades if trade.ts_event < bars[0].ts_event]
    assert (bars[0].open, bars[0].close) == (first[0].price, first[-1].price)
    assert bars[0].volume.as_decimal() == 100 * len(first)


def test_a_second_time_nothing_is_written(folder: Path, recording: Path, tmp_path: Path) -> None:
    history = History(tmp_path / "d")
    assert sum(taken(history, recording).values()) == 60 + 360 + 360
    assert taken(history, recording) == {}


def test_what_is_finer_than_the_instrument_is_rounded_and_a_side_that_is_missing_has_no_size(tmp_path: Path) -> None:
    at = "2024-03-04T14:30:00Z"
    path = put(
        tmp_path / "r.jsonl.gz",
        {"T": "q", "S": "IBM", "bp": 0, "bs": 3, "ap": 180.01, "as": 2, "t": at},
        '{"T":"t","S":"IBM","i":1,"x":"V","p":180.0850,"s":1,"c":["@"],"z":"A","t":"2024-03-04T14:30:01Z"}',
        {"T": "t", "S": "BTC/USD", "i": 2, "p": 60000.5, "s": 0.000000012, "tks": "B", "t": "2024-03-04T14:30:02Z"},
        {"T": "q", "S": "IBM260116C00225000", "bp": 1.2, "bs": 3, "ap": 1.3, "as": 2, "t": "2024-03-04T14:30:03Z"},
    )
    history = History(tmp_path / "d")
    taken(history, path)
    (quote,) = history.read("quotes", "IBM.ALPACA", 0, 2**62)
    assert (str(quote.bid_price), str(quote.bid_size), str(quote.ask_price)) == ("0.00", "0.000000000", "180.01")
    (trade,) = history.read("trades", "IBM.ALPACA", 0, 2**62)
    assert str(trade.price) == "180.08"
    (coin,) = history.read("trades", "BTC/USD.ALPACA", 0, 2**62)
    assert str(coin.size) == "0.000000012"
    assert {span.identifier for span in history.spans() if span.kind == "trades"} == {"IBM.ALPACA", "BTC/USD.ALPACA"}
    assert isinstance(history.instrument("IBM.ALPACA"), AlpacaEquity)
    assert history.instrument("IBM260116C00225000.ALPACA").strike_price.as_decimal() == 225
    assert history.instrument("ETH/USD.ALPACA") is None


def test_a_file_that_is_no_recording_is_told_with_its_line(tmp_path: Path) -> None:
    path = put(tmp_path / "r.jsonl", {"T": "q", "S": "IBM", "bp": 1, "ap": 2, "t": "2024-03-04T14:30:00Z"}, "no json")
    with pytest.raises(DataError, match=r"r\.jsonl:2: not JSON"):
        taken(History(tmp_path / "d"), path)
