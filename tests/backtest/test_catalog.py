"""A folder of history that can't be read says which file is at fault, and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.backtest.catalog import History
from runner.backtest.errors import DataError


@pytest.mark.parametrize("left", [0, 100])
def test_a_damaged_file_is_named_with_its_remedy(folder: Path, tmp_path: Path, left: int) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (path,) = copy.glob("data/alpaca_equity/IBM.ALPACA/*.parquet")
    path.write_bytes(path.read_bytes()[:left])
    read = History.open(copy)
    for ask in (read.instruments, lambda: read.instrument("IBM.ALPACA")):
        with pytest.raises(DataError, match=rf"a file of {copy} is damaged: .*{path.name}"):
            ask()
