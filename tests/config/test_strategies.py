"""The build stage: parameters in the types of the strategy's own config class."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from runner.config.classes import config_class
from runner.config.errors import ConfigErrors
from runner.config.load import load
from runner.config.strategies import StrategyPlan, resolve

ROOT = Path(__file__).parents[2]
BROKEN = Path(__file__).parent / "broken"
HEAD = """\
name: t
environment: sim
feeds: {stocks: {market: stocks}}
accounts:
  main: {broker: alpaca, key: {env: A}, secret: {env: B}}
  other: {broker: alpaca, key: {env: C}, secret: {env: D}}
"""


@pytest.fixture(autouse=True)
def _no_leftover_modules() -> Iterator[None]:
    """Modules that a test imports from its own folder are not there for the next."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith(("nautilus_trader", "runner")) and getattr(sys.modules[name], "__file__", None):
            file = str(sys.modules[name].__file__)
            if "pytest-" in file:
                del sys.modules[name]


def plans(folder: Path, strategies: str, *, speed_is_one: bool = True) -> dict[str, StrategyPlan]:
    path = folder / "t.yaml"
    path.write_text(f"{HEAD}paths: ['{BROKEN}', '{ROOT}']\nstrategies:\n{strategies}\n")
    return resolve(load([path], environ={}), speed_is_one=speed_is_one).strategies


def messages(folder: Path, strategies: str, *, speed_is_one: bool = True) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        plans(folder, strategies, speed_is_one=speed_is_one)
    return [f"{error.where}: {error.message}" for error in caught.value.errors]


def test_every_kind_of_field_takes_its_text(tmp_path: Path) -> None:
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.model.identifiers import TraderId

    config = plans(
        tmp_path,
        """\
  s:
    class: mine.strats:Typed
    account: main
    feed: stocks
    params:
      side: buy
      mode: b
      flag: true
      ratio: 1e-3
      size: 180.0850
      inner: {count: 1_000, items: [1, -2]}
      pair: [7, 7]
      counts: {ON: 1}
      wait: PT5M
      positive: 3
      trader: A-1
      either: text
      anything: {whole: 1, exact: 1.50, flag: [true, "true"], word: ON}
""",
    )["s"].config
    assert config.side is OrderSide.BUY
    assert (config.mode, config.flag, config.ratio) == ("b", True, 0.001)
    assert (config.size, str(config.size)) == (Decimal("180.085"), "180.0850")
    assert (config.inner.count, config.inner.items) == (1000, [1, -2])
    assert config.pair == (7, "7")
    assert config.counts == {"ON": 1}
    assert config.wait == timedelta(minutes=5)
    assert config.trader == TraderId("A-1")
    assert config.either == "text"
    assert config.anything == {"whole": 1, "exact": Decimal("1.50"), "flag": [True, "true"], "word": "ON"}


def test_a_plan_names_instruments_and_bar_types(tmp_path: Path) -> None:
    plan = plans(
        tmp_path,
        "  s: {class: mine.strats:Bars, account: main, feed: stocks, params: {instrument_id: IBM.ALPACA,"
        " bar_type: BAC.ALPACA-1-MINUTE-LAST-EXTERNAL}}",
    )["s"]
    assert plan.id == "s"
    assert (plan.cls.__name__, plan.config_cls.__name__) == ("Bars", "BarsConfig")
    assert plan.instruments == ("IBM.ALPACA", "BAC.ALPACA")
    assert plan.bar_types == ("BAC.ALPACA-1-MINUTE-LAST-EXTERNAL",)
    assert plan.spec.account == "main"


def test_a_strategy_without_a_config_of_its_own_gets_the_base(tmp_path: Path) -> None:
    plan = plans(tmp_path, "  s: {class: mine.strats:Plain, account: main, feed: stocks, params: {log_events: false}}")[
        "s"
    ]
    assert plan.config_cls.__name__ == "StrategyConfig"
    assert plan.config.log_events is False


BARS = "params: {instrument_id: IBM.ALPACA, bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL}"


@pytest.mark.parametrize(
    ("first", "second"),
    [("account: main, shared: true", "account: main, shared: true"), ("account: main", "account: other")],
)
def test_one_instrument_is_traded_twice_if_both_share_or_the_accounts_differ(
    tmp_path: Path, first: str, second: str
) -> None:
    made = plans(
        tmp_path,
        f"  a: {{class: mine.strats:Bars, feed: stocks, {first}, {BARS}}}\n"
        f"  b: {{class: mine.strats:Bars, feed: stocks, {second}, {BARS}}}",
    )
    assert list(made) == ["a", "b"]


@pytest.mark.parametrize("bars", ["5-MINUTE-LAST-INTERNAL", "5-MINUTE-LAST-INTERNAL@1-MINUTE-EXTERNAL"])
def test_bars_aggregated_inside_are_refused_at_another_speed_only(tmp_path: Path, bars: str) -> None:
    text = (
        "  s: {class: mine.strats:Bars, account: main, feed: stocks, "
        f"params: {{instrument_id: IBM.ALPACA, bar_type: IBM.ALPACA-{bars}}}}}"
    )
    assert plans(tmp_path, text)["s"].bar_types == (f"IBM.ALPACA-{bars}",)
    (told,) = messages(tmp_path, text, speed_is_one=False)
    assert told.startswith("strategies.s.params.bar_type: bars aggregated inside the node (INTERNAL)")


def test_a_module_is_found_beside_the_file_and_in_its_parent(tmp_path: Path) -> None:
    source = "from nautilus_trader.trading.strategy import Strategy\n\nclass Mine(Strategy):\n    pass\n"
    (tmp_path / "above_it.py").write_text(source)
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "beside_it.py").write_text(source)
    made = plans(
        folder,
        "  a: {class: above_it:Mine, account: main, feed: stocks}\n"
        "  b: {class: beside_it:Mine, account: main, feed: stocks}",
    )
    assert {plan.cls.__module__ for plan in made.values()} == {"above_it", "beside_it"}


def test_a_file_of_the_user_hides_no_installed_module(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('hidden')")
    made = plans(tmp_path, "  s: {class: mine.strats:Plain, account: main, feed: stocks}")
    assert made["s"].cls.__name__ == "Plain"
    assert sys.path.index(str(tmp_path)) > 0
    assert "site-packages" not in "".join(sys.path[sys.path.index(str(tmp_path)) :])


def test_a_module_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (told,) = messages(tmp_path, "  s: {class: my_strategys:Mine, account: main, feed: stocks}")
    assert told.startswith("strategies.s.class: there is no module my_strategys, ")
    assert str(tmp_path) in told
    assert str(BROKEN) in told


def test_the_strategies_checks_of_its_own_are_told(tmp_path: Path) -> None:
    (told,) = messages(
        tmp_path,
        "  s: {class: strategies.ema_cross:EMACross, account: main, feed: stocks, params: {instrument_id: IBM.ALPACA,"
        " bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL, trade_size: 1, fast_period: 20, slow_period: 10}}",
    )
    assert told == (
        "strategies.s.params: EMACrossConfig refuses these: fast_period (20) must be less than slow_period (10)"
    )


def test_one_that_exits_while_it_is_made_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(
        "import sys\nfrom nautilus_trader.trading.strategy import Strategy, StrategyConfig\n"
        "class LeavingConfig(StrategyConfig, frozen=True):\n    x: int = 1\n"
        "class Leaving(Strategy):\n    def __init__(self, config: LeavingConfig) -> None:\n        sys.exit('bye')\n"
    )
    (told,) = messages(tmp_path, "  s: {class: leaving:Leaving, account: main, feed: stocks}")
    assert "Leaving refuses these: bye" in told


@pytest.mark.parametrize("text", ["X", "-", "a-", "-a", "é-1"])
def test_texts_that_would_abort_the_process_are_refused(tmp_path: Path, text: str) -> None:
    (told,) = messages(
        tmp_path,
        f"  s: {{class: mine.strats:Typed, account: main, feed: stocks, params: {{side: BUY, trader: '{text}'}}}}",
    )
    assert told.startswith(f"strategies.s.params.trader: `{text}` is ")


def test_a_subclass_has_the_config_of_its_parent_or_one_of_its_own_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "family.py").write_text(
        "from nautilus_trader.config import StrategyConfig\n"
        "from nautilus_trader.trading.strategy import Strategy\n"
        "class ParentConfig(StrategyConfig, frozen=True):\n    size: int\n"
        "class Parent(Strategy):\n    def __init__(self, config):\n        super().__init__(config)\n"
        "class Child(Parent):\n    def on_start(self): ...\n"
        "class GrownConfig(ParentConfig, frozen=True):\n    more: int\n"
        "class Grown(Parent):\n    def on_start(self): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    family = importlib.import_module("family")
    assert config_class(family.Parent) is family.ParentConfig
    assert config_class(family.Child) is family.ParentConfig
    assert config_class(family.Grown) is family.GrownConfig
