"""What is wrong in a catalog is told by file and row, before Nautilus reads it: there most of this ends the process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.backtest.catalog import History
from runner.backtest.errors import DataError
from runner.backtest.feed import Source
from runner.backtest.verify import verify
from runner.backtest.window import FOREVER_NS
from tests.backtest.conftest import BARS, file_of

FOLDERS = {"quotes": "quote_tick", "trades": "trade_tick", "bars": "bar"}
SECOND = 1_000_000_000
Change = Callable[[Path], object]


def raw(price: int, more: int = 0) -> bytes:
    return (price * 10**16 + more).to_bytes(16, "little", signed=True)


def file_in(folder: Path, kind: str) -> Path:
    (path,) = folder.glob(f"data/{FOLDERS[kind]}/IBM*/*.parquet")
    return path


def cell(column: str, value: Any, row: int = 5) -> Change:
    """Another value in one row; `value` may be a function of what is there."""

    def change(path: Path) -> None:
        table = pq.read_table(path)
        values = table.column(column).to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        index, metadata = table.schema.get_field_index(column), table.schema.metadata
        field = table.schema.field(index).with_nullable(value is None)
        changed = table.set_column(index, field, pa.array(values, type=field.type))
        pq.write_table(changed.replace_schema_metadata(metadata), path)

    return change


def table(made: Callable[[Any], Any]) -> Change:
    return lambda path: pq.write_table(made(pq.read_table(path)), path)


def fact(name: str, value: str) -> Change:
    return table(lambda there: there.replace_schema_metadata(there.schema.metadata | {name.encode(): value.encode()}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def scratch(path: Path) -> None:
    """Good at both its ends, garbage between."""
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(200) + whole[500:])


def rename(name: str) -> Change:
    return lambda path: path.rename(path.with_name(name))


def another(path: Path) -> None:
    shutil.copy(path, path.with_name("2024-03-04T14-40-00-000000000Z_2024-03-04T15-30-00-000000000Z.parquet"))


def other_kind(path: Path) -> None:
    shutil.copy(file_in(path.parents[3], "trades"), path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("quotes", cut, "is damaged: Parquet magic bytes not found"),
        ("quotes", scratch, "is damaged: Corrupt snappy"),
        ("bars", lambda path: path.write_bytes(b""), "is damaged: Parquet file size is 0 bytes"),
        ("bars", lambda path: path.write_text("a,b\n1,2\n"), "is damaged"),
        ("bars", as_folder, "is a directory"),
        ("quotes", other_kind, r"quotes have bid_price .*, and it has price "),
        ("quotes", table(lambda there: there.drop_columns(["ts_init"])), r"and it has bid_price [^.]*$"),
        ("trades", table(lambda _: pa.table({"price": [float("nan")]})), r"and it has price \(double\)"),
        ("trades", table(lambda there: there.slice(0, 0)), "it has no rows"),
        ("trades", table(lambda there: there.replace_schema_metadata(None)), "its instrument_id is missing"),
        ("bars", fact("bar_type", "nonsense"), f"its bar_type is nonsense, not {BARS}"),
        ("quotes", fact("price_precision", "99"), "its price_precision is 99"),
        ("bars", fact("price_precision", "two"), "its price_precision is two"),
        ("quotes", fact("price_precision", "4"), "its price_precision is 4, and that of IBM.ALPACA is 2"),
        ("trades", cell("price", raw(-100)), "in row 6 price is -100, below 0"),
        ("trades", cell("price", raw(0)), "in row 6 price is 0, and must be above"),
        ("trades", cell("size", raw(0)), "in row 6 size is 0, and must be above"),
        (
            "quotes",
            cell("ask_price", (2**127 - 1).to_bytes(16, "little")),
            "ask_price is .*more than Nautilus",
        ),
        ("quotes", cell("bid_price", None), "a bid_price is missing"),
        ("quotes", cell("bid_price", raw(100, 1)), "bid_price is 100.0000000000000001, of more than 2 digits"),
        ("bars", cell("high", raw(1)), "in row 6 open is .*above the bar's high"),
        ("bars", cell("volume", b"\xff" * 16), "in row 6 volume is .*below 0"),
        ("trades", cell("aggressor_side", 9), "in row 6 aggressor_side is 9"),
        ("trades", cell("trade_id", "é"), "in row 6 trade_id is 'é', not 1 to 36 ASCII characters"),
        ("trades", cell("trade_id", "x" * 37), "trade_id is"),
        ("bars", cell("ts_init", lambda ts: ts - 90 * SECOND), r"row 6 ts_init is .*, before that of the row before"),
        ("bars", cell("ts_init", 0), "in row 6 ts_init is .*, and its name says 2024-03-04 09:31 to 2024-03-04 10:30"),
        ("bars", rename("data.parquet"), "says what time it covers, and this one's does not"),
        ("bars", rename("a_b.parquet"), "says what time it covers, and this one's does not"),
        ("bars", another, "covers a time that the file before it covers, too"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_row(
    folder: Path, tmp_path: Path, kind: str, change: Change, says: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change(file_in(copy, kind))
    history = History.open(copy)
    played = [Source(kind, BARS if kind == "bars" else "IBM.ALPACA", "IBM.ALPACA", moves=kind == "quotes")]
    known = {"IBM.ALPACA": history.instrument("IBM.ALPACA")}
    with pytest.raises(DataError, match=says) as caught:
        verify(history, played, known, 0, FOREVER_NS)
    assert str(copy / "data" / FOLDERS[kind]) in str(caught.value)
    assert caught.value.hint


def test_sound_files_and_rows_that_are_not_played_are_no_matter(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    history = History.open(copy)
    played = [Source(kind, BARS if kind == "bars" else "IBM.ALPACA", "IBM.ALPACA", moves=True) for kind in FOLDERS]
    known = {"IBM.ALPACA": history.instrument("IBM.ALPACA")}
    verify(history, played, known, 0, FOREVER_NS)
    cell("price", raw(-100))(file_in(copy, "trades"))
    cell("bid_price", raw(0))(file_in(copy, "quotes"))  # a side may be missing
    verify(history, played[:1], known, 0, FOREVER_NS)
    verify(history, played, known, 0, 1)
    cut(file_in(copy, "bars"))  # which a strategy may ask for
    with pytest.raises(DataError, match="is damaged"):
        verify(history, played[:1], known, 0, FOREVER_NS)


def test_the_command_ends_with_one_error_and_66(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    scratch(file_in(copy, "quotes"))
    file = file_of(tmp_path, {"one": {"steps": "buy 10"}})
    command = [sys.executable, "-m", "runner.cli", "backtest", str(file), "--data", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (66, "")
    first, hint = done.stderr.splitlines()
    assert "is damaged: Corrupt snappy compressed data" in first
    assert hint == "  remove that file, and `runner fetch` what it had anew"
