"""What was found fine is not imported again, and is as soon as anything that it depended on is different."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = """\
name: memo
environment: sim
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: K}, secret: {env: S}}}
strategies:
  one:
    class: mine:One
    account: main
    feed: stocks
    params: {instrument_id: IBM.ALPACA}
"""
MODULE = """\
import json
import os
from pathlib import Path

import helper
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig

SIZES = json.loads(Path(__file__).with_name("sizes.json").read_text())
MODE = os.environ.get("MY_MODE")


class OneConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    size: int = helper.SIZE


class One(Strategy):
    def __init__(self, config: OneConfig) -> None:
        super().__init__(config)
"""


class Folder:
    """A user's folder, and a cache of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.cache = path / "mine", path / ".cache"
        self.path.mkdir()
        for name, text in {"memo.yaml": FILE, "mine.py": MODULE, "helper.py": "SIZE = 1\n", "sizes.json": "{}"}.items():
            (self.path / name).write_text(text)

    def check(self, **environ: str) -> tuple[bool, str]:
        """Whether Nautilus was imported, and what was printed."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER__", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "runner.cli", "check", "memo.yaml"],
            cwd=self.path,
            env=env | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.cache)} | environ,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        lines = done.stderr.splitlines()
        told = [line for line in lines if not line.startswith("import time:")]
        return any("| nautilus_trader" in line.replace("|  ", "| ").replace("  ", "") for line in lines), "\n".join(
            [done.stdout, *told]
        )

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert old in text
        (self.path / name).write_text(text.replace(old, new))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_has_not_changed_is_not_imported_again(folder: Folder) -> None:
    first, told = folder.check()
    assert (first, told.strip()) == (True, "memo.yaml: fine (parse, schema, references, build)")
    assert folder.check() == (False, told)
    assert [path.stat().st_mode & 0o777 for path in folder.cache.rglob("*.json")] == [0o600]
    # What else stands in the file may change; mistakes of it, and between it and the class, are told all the same.
    folder.edit("memo.yaml", "feed: stocks", "feed: stock")
    folder.edit("memo.yaml", "{stocks: {market: stocks}}", "{coins: {market: crypto}}")
    imported, told = folder.check()
    assert not imported
    assert "did you mean" in told or "there is no feed" in told
    assert "IBM.ALPACA needs a feed of stocks" in told


CHANGES: dict[str, Callable[[Folder], None]] = {
    "params": lambda it: it.edit("memo.yaml", "IBM.ALPACA", "BAC.ALPACA"),
    "its quotes": lambda it: it.edit("memo.yaml", "BAC.ALPACA", '"BAC.ALPACA"'),
    "the module": lambda it: it.edit("mine.py", "MODE = ", "OTHER = "),
    "a module that it imports": lambda it: it.edit("helper.py", "1", "22"),
    "a file that it reads": lambda it: it.edit("sizes.json", "{}", "{ }"),
    "a package that hides a module": lambda it: (it.path / "helper").mkdir(),
    "what is kept": lambda it: [path.write_text("{}") for path in it.cache.rglob("*.json")],  # type: ignore[misc,func-returns-value]
}


@pytest.mark.slow
def test_what_has_changed_is_imported(folder: Folder) -> None:
    assert folder.check()[0]
    for name, change in CHANGES.items():
        assert not folder.check()[0], f"before {name}"
        change(folder)
        assert folder.check()[0], name


@pytest.mark.slow
def test_another_environment_may_make_another_class(folder: Folder) -> None:
    assert folder.check(MY_MODE="a")[0]
    assert folder.check(MY_MODE="b")[0]
    assert not folder.check(MY_MODE="a", SHLVL="7")[0]


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["os.listdir('.')", "__import__('socket').create_server(('127.0.0.1', 0)).close()"])
def test_what_asks_the_world_is_imported_each_time(folder: Folder, asks: str) -> None:
    folder.edit("mine.py", "MODE = ", f"{asks}\nMODE = ")
    assert folder.check()[0]
    assert folder.check()[0]


@pytest.mark.slow
def test_mistakes_are_never_kept(folder: Folder) -> None:
    folder.edit("memo.yaml", "IBM.ALPACA}", "IBM.ALPACA, sise: 3}")
    first = folder.check()
    assert first[0]
    assert "did you mean size?" in first[1]
    assert folder.check() == first


def test_a_cache_that_cant_be_written_changes_nothing(folder: Folder) -> None:
    folder.cache.write_text("a file, where a folder should be")
    assert "fine" in folder.check()[1]
