"""A small recording, a catalog made of it, and files whose strategies trade on it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from runner.backtest.catalog import History
from runner.backtest.engine import Backtest, Terms
from runner.backtest.recording import import_recording
from runner.backtest.run import Options, prepare
from runner.config.load import load
from runner.config.strategies import resolve
from runner.report.recorder import Recorder

NEW_YORK = ZoneInfo("America/New_York")
OPEN = datetime(2024, 3, 4, 9, 30, tzinfo=NEW_YORK)
BARS = "IBM.ALPACA-1-MINUTE-LAST-EXTERNAL"


def stamp(at: datetime) -> str:
    return at.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def at_ns(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000


def write_recording(
    path: Path, minutes: int = 60, *, start: datetime = OPEN, symbol: str = "IBM", quotes: bool = True
) -> Path:
    """A wave around 100: each minute quotes a cent apart, and a trade at each side, stamped after the quote."""
    lines = []
    for second in range(0, minutes * 60, 10):
        at = start + timedelta(seconds=second)
        middle = 100 + 2 * math.sin(second / 600)
        bid, ask = round(middle - 0.02, 2), round(middle + 0.02, 2)
        if quotes:
            lines.append(
                {
                    "T": "q",
                    "S": symbol,
                    "bx": "V",
                    "bp": bid,
                    "bs": 500,
                    "ax": "V",
                    "ap": ask,
                    "as": 400,
                    "t": stamp(at),
                }
            )
        price = bid if second % 20 else ask
        soon = stamp(at + timedelta(seconds=1))
        lines.append({"T": "t", "S": symbol, "i": second, "x": "V", "p": price, "s": 100, "c": ["@"], "t": soon})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("recording") / "ibm.jsonl")


@pytest.fixture(scope="session")
def folder(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of the recording. Only read it."""
    history = History(tmp_path_factory.mktemp("catalog"))
    with history.writing():
        import_recording(history, [recording])
    return history.folder


def file_of(folder: Path, strategies: dict[str, dict[str, Any]], **more: Any) -> Path:
    """A file with strategies that do what their `steps` say; `more` are its other sections."""
    accounts = sorted({each.get("account", "main") for each in strategies.values()})
    keys = {
        name: {"broker": "alpaca", "key": {"env": f"T_{name.upper()}_KEY"}, "secret": {"env": "T_SECRET"}}
        for name in accounts
    }
    made = {}
    for name, given in strategies.items():
        params = {"instrument_id": "IBM.ALPACA", "bar_type": BARS} | {
            key: given[key]
            for key in ("steps", "warm_up", "timer", "extended", "instrument_id", "bar_type")
            if key in given
        }
        made[name] = {
            "class": "tests.backtest.strategies:Steps",
            "account": "main",
            "feed": "stocks",
            "shared": True,
            "params": params,
        } | {key: given[key] for key in ("account", "feed", "on_stop", "limits", "schedule") if key in given}
    body = {
        "name": "t",
        "environment": "paper",
        "feeds": {"stocks": {"market": "stocks"}},
        "accounts": keys,
        "strategies": made,
    }
    path = folder / "file.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(body | more))))
    return path


Run = Callable[..., tuple[Backtest, Recorder]]


@pytest.fixture
def run(tmp_path: Path, folder: Path) -> Iterator[Run]:
    """Runs a file of strategies over the recording (or `data`); `window` and `terms` are the command's."""
    opened: list[Backtest] = []

    def go(
        strategies: dict[str, dict[str, Any]],
        *,
        data: Path = folder,
        terms: Terms | None = None,
        account: str | None = None,
        window: dict[str, int] | None = None,
        **more: Any,
    ) -> tuple[Backtest, Recorder]:
        path = file_of(tmp_path, strategies, **more)
        loaded = load([path], environ={}, need_secrets=False)
        options = Options((path,), data, account=account, terms=terms or Terms(), **(window or {}))
        backtest, recorder = prepare(options, loaded.config, resolve(loaded))
        opened.append(backtest)
        backtest.run()
        recorder.close()
        return backtest, recorder

    yield go
    for each in opened:
        each.close()
