"""`runner exchange` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest


def run(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "exchange", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_one_line_when_ready_and_ends_on_sigterm(write: Callable[..., Path], quote: Any) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("BAC", "13:30:01Z"))
    process = run("--port", "0", "--replay", str(path), "--speed", "max", "--wait", "--fee-per-share", "0.01")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    try:
        port = ready.pop("port")
        assert ready == {
            "ready": True,
            "url": f"http://127.0.0.1:{port}",
            "synthetic": False,
            "symbols": ["BAC", "IBM"],
            "date": "2013-10-07",
        }
        keys = {"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"}
        assert httpx.get(f"http://127.0.0.1:{port}/v2/account", headers=keys).json()["cash"] == "100000"
    finally:
        process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")


def test_files_of_several_kinds_are_replayed_together(write: Callable[..., Path], quote: Any, tmp_path: Path) -> None:
    call = "IBM131018C00185000"
    option = quote(call, "13:30:00Z", "3.1", "3.2").replace('"c":["R"],"z":"A"', '"c":"A"')
    stocks, options = write("stocks.jsonl", quote("IBM", "13:30:01Z")), write("options.jsonl", option)
    contracts = tmp_path / "contracts.json"
    contracts.write_text(json.dumps([{"symbol": call, "open_interest": "12"}]))
    words = ["--replay", str(options), "--replay", str(stocks), "--contracts", str(contracts), "--speed", "max"]
    process = run(*words)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    try:
        keys = {"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"}
        found = httpx.get(f"{ready['url']}/v2/options/contracts/{call}", headers=keys).json()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert ready["symbols"] == ["IBM"]
    assert (found["open_interest"], found["expiration_date"]) == ("12", "2013-10-18")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--speed", "warp"], 2, "speed 'warp' is neither a number nor max"),
        (["--start", "noon"], 2, "--start 'noon' can't be read: write it like 09:30"),
        (["--fee-per-share", "-1"], 2, "fee_per_share must not be negative"),
        (["--symbols", "ibm"], 2, "symbol 'ibm' is neither a stock nor a pair"),
        (["--contracts", "nowhere.json"], 1, "nowhere.json: No such file"),
        (["--corporate-actions", "nowhere.json"], 1, "nowhere.json: No such file"),
        (["--options", "BTC/USD"], 1, "options are on stocks"),
        (["--options", "IBM", "--replay", "a.jsonl"], 2, "options are generated with a synthetic day only"),
        (["--symbols", "IBM,BTC/USD", "--day", "2026-01-11"], 1, "2026-01-11 is no trading day"),
        (["--replay", "nowhere.jsonl"], 1, "nowhere.jsonl: no such file"),
        (["--day", "2026-01-11"], 1, "2026-01-11 is no trading day"),
        (["--core-only", "--start", "21:00"], 1, "is after the last message"),
    ],
)
def test_mistakes_are_said_in_one_line(words: list[str], code: int, says: str) -> None:
    process = run(*words)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert says in err
    assert len(err.splitlines()) == 1
    assert out == ""
