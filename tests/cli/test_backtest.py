"""`runner fetch` and `runner backtest` as a user calls them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.backtest.conftest import OPEN, file_of, recording, write_recording  # noqa: F401 (fixtures)
from tests.node.process import ROOT, running


def runner(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ALPACA_")}
    return subprocess.run(
        [sys.executable, "-m", "runner.cli", *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, timeout=110, check=False, env=env | environ,
    )  # fmt: skip


def test_from_a_recording_to_a_report(tmp_path: Path, recording: Path) -> None:  # noqa: F811
    data = tmp_path / "data"
    got = runner("fetch", "--recording", recording, "--data", data)
    assert got.returncode == 0, got.stderr
    assert "quotes  IBM.ALPACA: 360 rows" in got.stdout
    file = file_of(tmp_path, {"a": {"steps": "buy 10, buy 999, sell 10"}}, risk={"max_order_notional": 30_000})
    page = tmp_path / "r.html"
    got = runner("backtest", file, "--data", data, "--report", page, "--json")
    assert got.returncode == 0, got.stderr
    summary = json.loads(got.stdout)
    assert summary["orders"]["filled"] == 2
    assert summary["denials"] == {"MAX_ORDER_NOTIONAL": 1}
    assert summary["data"]["fills_by"] == {"IBM.ALPACA": "quotes"}
    assert page.stat().st_size > 1_000_000
    shown = runner("backtest", file, "--data", data).stdout
    assert "denied  1 MAX_ORDER_NOTIONAL" in shown
    assert re.search(r"a +2 +2 +0 +1 +2\n", shown), shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("fetch", "--data", "d"), 2, "say what to fetch"),
        (("fetch", "IBM", "--recording", "x", "--data", "d"), 2, "one at a time"),
        (("fetch", "IBM", "--bars", "90-MINUTE", "--data", "d"), 2, "1 to 59 minutes"),
        (("fetch", "IBM", "--feed", "us", "--data", "d"), 2, "none of these symbols' feeds"),
        (("fetch", "IBM", "--data", "d"), 78, "ALPACA_API_KEY"),
        (("fetch", "configs/paper.yaml", "--data", "d"), 78, "ALPACA_API_KEY"),
        (("fetch", "--recording", "no.jsonl", "--data", "d"), 66, "no such file"),
        (("backtest", "configs/paper.yaml", "--data", "no"), 66, "there is no folder"),
        (("backtest", "configs/paper.yaml", "--data", "no", "--from", "yesterday"), 2, "write 2024-03-01"),
        (("backtest", "configs/paper.yaml", "--data", "no", "--slippage", "2"), 2, "from 0 to 1"),
        (("backtest", "configs/no.yaml", "--data", "no"), 78, "configs/no.yaml"),
    ],
)
def test_what_is_wrong_is_said_with_its_code(words: tuple[Any, ...], code: int, said: str, tmp_path: Path) -> None:
    words = tuple(str(tmp_path / "d") if word == "d" else word for word in words)
    got = runner(*words)
    assert got.returncode == code, got.stderr
    assert said in got.stderr
    assert got.stdout == ""
    assert "Traceback" not in got.stderr


@pytest.mark.slow
def test_a_simulated_run_of_the_same_recording_fills_the_same_orders(tmp_path: Path) -> None:
    day = write_recording(tmp_path / "r.jsonl", start=OPEN - timedelta(minutes=20))
    file = file_of(
        tmp_path,
        {
            "a": {
                "steps": ", , buy 3" + ", " * 18 + "sell 3, , buy 10, , , sell 10, , sell 5, , , buy 5, buy 7",
                "on_stop": "keep",
            }
        },
    )
    data, page = tmp_path / "data", tmp_path / "sim.html"
    assert runner("fetch", "--recording", day, "--data", data).returncode == 0
    got = runner("backtest", file, "--data", data, "--latency", "1s")
    assert got.returncode == 0, got.stderr
    ours = re.findall(r"\d\d:\d\d:\d\d a \w+ \d+ IBM at [\d.]+", got.stderr)
    words = ("--sim", "--replay", day, "--speed", "max", "--report", page)
    with running(file, *words, "--json", XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, summary, err = node.summary()
    assert code == 0, err
    theirs = re.findall(r"\d\d:\d\d:\d\d a \w+ \d+ IBM at [\d.]+", err)
    assert len(ours) == 7
    assert ours == theirs
    assert summary["denials"] == {}
    assert "Simulated run from" in page.read_text()
