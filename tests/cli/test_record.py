"""`runner record`, as a person runs it, and ends it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import date
from pathlib import Path

import pytest

from runner.cli.record import record
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.exchange.tape import Tape
from tests.cli.test_check import ROOT

SECRET = "s3cret-s3cret-s3cret"
FILE = """
name: n
environment: paper
feeds: {{stocks: {{market: stocks, stream_url: "{ws}"}}, coins: {{market: crypto, stream_url: "{ws}"}}}}
accounts: {{main: {{broker: alpaca, key: {{env: R_KEY}}, secret: {{env: R_SECRET}}}}}}
strategies: {{s: {{class: "m:C", account: main, feed: stocks, params: {{a: IBM.ALPACA, b: [BTC/USD.ALPACA]}}}}}}
"""


async def started(folder: Path, *words: str) -> asyncio.subprocess.Process:
    """A recorder that has subscribed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runner.cli", "record", *words),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "R_KEY": "PKREC", "R_SECRET": SECRET, "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"recording trades" not in (line := await process.stderr.readline()):
        assert line, "it ended before"
    return process


async def test_what_was_recorded_until_a_kill_is_replayed_and_gone_on_with(tmp_path: Path) -> None:
    settings = Settings(symbols=("IBM",), day=date(2026, 1, 12), extended_hours=False, speed=60, wait=True, seed=7)
    path = tmp_path / "x-2026-01-12.jsonl.gz"
    async with ExchangeServer(settings) as exchange, asyncio.timeout(60):
        (tmp_path / "n.yaml").write_text(FILE.format(ws=exchange.ws_url))
        words = ("n.yaml", "--feed", "stocks", "--out", "x.jsonl.gz")
        process = await started(tmp_path, *words)
        while not path.exists() or path.stat().st_size == 0:
            await asyncio.sleep(0.01)
        process.kill()
        await process.communicate()
        before = [message.raw for message in Tape([path]).messages()]
        assert before
        process = await started(tmp_path, *words, "--json")
        size = path.stat().st_size
        while path.stat().st_size <= size:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["gaps"], summary["dropped"]) == (1, 0)
    after = [message.raw for message in Tape([path]).messages()]
    assert after[: len(before)] == before
    assert len(after) == len(before) + summary["messages"]
    assert SECRET not in f"{out!r}{err!r}"


async def test_it_ends_after_the_length_that_was_asked_for(tmp_path: Path) -> None:
    settings = Settings(symbols=("BTC/USD",), day=date(2026, 1, 12), speed=600, wait=True)
    async with ExchangeServer(settings) as exchange, asyncio.timeout(60):
        (tmp_path / "n.yaml").write_text(FILE.format(ws=exchange.ws_url))
        process = await started(tmp_path, "n.yaml", "--feed", "coins", "--out", "y.jsonl.gz", "--for", "500ms")
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b" messages (" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"files": ("n.yaml",)}, "the file has several feeds, choose one with --feed: stocks, coins"),
        ({"files": ("n.yaml",), "feed": "stock"}, "the file has no feed `stock`, did you mean stocks?"),
        ({"files": ("n.yaml",), "feed": "stocks", "for_": "10"}, "--for: `10` has no unit"),
        ({"feed": "iexx"}, "there is no feed `iexx`, did you mean iex?"),
        ({}, "name a file, or one of Alpaca's feeds with --feed: iex,"),
        ({"feed": "iex"}, "set ALPACA_API_KEY and ALPACA_API_SECRET"),
        ({"files": ("n.yaml",), "feed": "stocks", "out": "x.gz"}, "x.gz is no name of a recording"),
        ({"files": ("n.yaml",), "feed": "stocks", "out": "none/x.jsonl.gz"}, "there is no folder none"),
    ],
)
def test_wrong_use_is_told_before_anything_connects(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("R_KEY", "PKREC")
    monkeypatch.setenv("R_SECRET", SECRET)
    Path("n.yaml").write_text(FILE.format(ws="ws://127.0.0.1:1"))
    files = tuple(map(Path, words.pop("files", ())))  # type: ignore[call-overload]
    out = Path(str(words.pop("out", "x.jsonl.gz")))
    assert record(*files, out=out, **words) == 2  # type: ignore[arg-type]
    assert message in capsys.readouterr().err


def test_mistakes_of_the_file_end_with_78(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("name: n\n")
    assert record(tmp_path / "n.yaml", out=tmp_path / "x.jsonl.gz") == 78


def test_a_feed_that_is_never_there_ends_with_69_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("R_KEY", "PKREC")
    monkeypatch.setenv("R_SECRET", SECRET)
    (tmp_path / "n.yaml").write_text(FILE.format(ws="ws://127.0.0.1:1"))
    assert record(tmp_path / "n.yaml", out=tmp_path / "x.jsonl.gz", feed="stocks", for_="100ms") == 69
    assert "the feed was never there: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "n.yaml"]
