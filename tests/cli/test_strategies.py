"""`runner strategies`: what can be named, found without running anything that only looks like a strategy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cli.check import check
from runner.cli.strategies import strategies
from tests.node.process import TRADER

ROOT = Path(__file__).parents[2]
HEAD = """
# yaml-language-server: $schema=./runner.schema.json
name: n
environment: sim
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: A}, secret: {env: B}}}
strategies:
"""
OWN = '''
from typing import Literal
import enum
from decimal import Decimal

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.trading.strategy import Strategy, StrategyConfig

SAID = print("imported")


class MineConfig(StrategyConfig, frozen=True):
    """Mine.

    Parameters
    ----------
    mode : str
        How it
        trades.
    side, other : OrderSide
        Which way.

    """

    mode: Literal["a", "b"]
    side: OrderSide
    sizes: tuple[Decimal, ...]
    other: OrderSide = OrderSide.SELL
    levels: list[int] = []
    label: str | None = None


class Mine(Strategy):
    """Trades.

    More of it.
    """

    def __init__(self, config: MineConfig) -> None:
        super().__init__(config)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, alone on the import path beside what is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not (Path(each) / "pyproject.toml").exists()])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[dict[str, Any], dict[str, str]]:
    """Strategies by path, errors by module."""
    assert strategies(*words, json_=True) == code
    answer = json.loads(capsys.readouterr().out)
    return {each["class"]: each for each in answer["strategies"]}, {
        each["module"]: each["error"] for each in answer["errors"]
    }


def test_it_lists_the_folders_the_packages_and_nautilus_examples(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine_alone.py").write_text(OWN)
    (folder / "pack_a").mkdir()
    (folder / "pack_a" / "__init__.py").write_text("")
    (folder / "pack_a" / "traders.py").write_text(TRADER)
    found, _ = told(capsys)
    assert "mine_alone:Mine" in found
    assert {"pack_a.traders:Trader", "pack_a.traders:Raising"} <= found.keys()
    assert "nautilus_trader.examples.strategies.ema_cross:EMACross" in found
    assert strategies() == 0
    shown = capsys.readouterr().out
    assert "mine_alone:Mine\n    Trades.\n    mode side sizes [other=SELL] [levels=[]] [label=null]\n" in shown


def test_a_class_is_told_with_types_defaults_texts_and_yaml_that_passes_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine_told.py").write_text(OWN)
    found, errors = told(capsys, "mine_told:Mine")
    assert errors == {}
    one = found["mine_told:Mine"]
    assert (one["doc"], one["source"]) == ("Trades.", str(folder / "mine_told.py"))
    params = {each["name"]: each for each in one["params"]}
    assert "strategy_id" not in params
    assert params["mode"] == {
        "name": "mode",
        "type": "one of a, b",
        "required": True,
        "default": None,
        "doc": "How it trades.",
        "choices": ["a", "b"],
        "inherited": False,
    }
    assert (params["other"]["default"], params["other"]["doc"]) == ("SELL", "Which way.")
    assert "BUY" in params["side"]["choices"]
    assert params["manage_stop"]["inherited"]
    (folder / "n.yaml").write_text(HEAD + one["yaml"])
    assert check(Path("n.yaml")) == 0, capsys.readouterr().err
    assert strategies("mine_told:Mine") == 0
    assert one["yaml"] in capsys.readouterr().out


def test_the_yaml_of_every_example_passes_the_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.append(str(ROOT))
    found, errors = told(capsys, "strategies", "nautilus_trader.examples.strategies", code=1)
    # Nautilus's own one has no config class at all.
    assert set(errors) == {"nautilus_trader.examples.strategies.market_maker:MarketMaker"}
    assert len(found) > 15
    for number, one in enumerate(found.values()):
        file = folder / f"n{number}.yaml"
        file.write_text(HEAD + one["yaml"])
        capsys.readouterr()
        code = check(file)
        error = capsys.readouterr().err
        # An author's own rule on values that somebody is to replace.
        assert code == 0 or "refuses these" in error, (one["class"], error)


def test_what_cant_be_imported_is_shown_and_the_rest_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad_name.py").write_text(f"{OWN}\nx = undefined\n")
    (folder / "bad_syntax.py").write_text("class A(Strategy:\n")
    (folder / "bad_exit.py").write_text(f"import sys\nX = sys.exit(3)\n{OWN}")
    (folder / "mine_good.py").write_text(OWN)
    found, errors = told(capsys)
    assert "mine_good:Mine" in found
    assert "NameError" in errors["bad_name"]
    assert "SyntaxError" in errors["bad_syntax"]
    assert "SystemExit" in errors["bad_exit"]


def test_a_script_is_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a_script.py").write_text(f"{OWN}\nopen('traded', 'w').close()\n")
    (folder / "unrelated.py").write_text("open('ran', 'w').close()\n")
    found, errors = told(capsys)
    assert "a_script:Mine" not in found
    assert "runs code" in errors["a_script"]
    assert not (folder / "traded").exists()
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("how", ["file", "folder", "package"])
def test_a_path_may_be_a_file_a_folder_or_a_package(folder: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    package = folder / "far" / f"pack_{how}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "traders.py").write_text(TRADER)
    if how == "package":
        sys.path.append(str(folder / "far"))
    word = {"file": str(package / "traders.py"), "folder": str(package), "package": f"pack_{how}"}[how]
    found, errors = told(capsys, word)
    assert errors == {}
    assert f"pack_{how}.traders:Trader" in found


def test_what_is_not_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("nowhere.py", "no_such_package", "strategies.ema_cros:EMACross"):
        found, errors = told(capsys, word, code=1)
        assert (found, list(errors)) == ({}, [word])


def test_actors_and_algorithms_are_listed_with_their_kind_and_yaml_for_their_section(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pack_b").mkdir()
    (folder / "pack_b" / "__init__.py").write_text("")
    (folder / "pack_b" / "traders.py").write_text(TRADER)
    twap = "nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm"
    found, _ = told(capsys)
    kinds = {path: each["kind"] for path, each in found.items()}
    assert (kinds["pack_b.traders:Trader"], kinds["pack_b.traders:Ears"]) == ("strategy", "actor")
    assert kinds[twap] == "execution algorithm"
    text = ""
    for path in (twap, "pack_b.traders:Ears"):
        assert strategies(path) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"{path}  ({kinds[path]})\n")
        section = {"actor": "actors:", "execution algorithm": "exec_algorithms:"}[kinds[path]]
        text += f"{section}{shown.partition(section)[2]}"
    named = "{instrument_id: IBM.ALPACA, bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL}"
    strategy = f"  s: {{class: 'pack_b.traders:Trader', account: main, feed: stocks, params: {named}}}\n"
    (folder / "f.yaml").write_text(HEAD + strategy + text)
    assert check(folder / "f.yaml", sim=True) == 0, capsys.readouterr().err
