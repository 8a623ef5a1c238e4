"""Files over files, overrides over both, and where a mistake in each is said to stand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from runner.config.errors import ConfigErrors
from runner.config.load import Loaded, load

BASE = """\
name: base
environment: sim
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: T_KEY}, secret: {env: T_SECRET}}}
strategies:
  s:
    class: a.b:C
    account: main
    feed: stocks
    params: {size: 10, list: [1, 2], ticker: ON}
risk: {max_order_qty: 5, max_orders: {count: 5, per: 1m}}
paths: []
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


def over(base: Path, text: str, name: str = "over.yaml") -> list[Path]:
    path = base.parent / name
    path.write_text(text)
    return [base, path]


def read(*files: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    return load(files, environ=environ or {})


def mistakes(*files: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(files, environ=environ or {})
    return [error.render().split("\n")[0].replace(str(files[0].parent) + "/", "") for error in caught.value.errors]


def test_texts_become_what_the_schema_says(base: Path) -> None:
    config = read(base).config
    assert config.risk.max_order_qty == Decimal(5)
    assert config.risk.max_orders is not None
    assert config.risk.max_orders.per == timedelta(minutes=1)
    assert config.strategies["s"].params["ticker"] == "ON"


def test_mappings_merge_and_lists_replace(base: Path) -> None:
    config = read(*over(base, "risk: {max_order_notional: 7}\nstrategies: {s: {params: {list: [3]}}}")).config
    assert (config.risk.max_order_qty, config.risk.max_order_notional) == (Decimal(5), Decimal(7))
    assert config.strategies["s"].params["list"] == ["3"]
    assert config.strategies["s"].params["size"] == "10"


def test_null_removes(base: Path) -> None:
    assert read(*over(base, "risk: {max_orders: null}")).config.risk.max_orders is None
    assert read(*over(base, "risk: null")).config.risk.max_order_qty is None
    assert "size" not in read(*over(base, "strategies: {s: {params: {size: ~}}}")).config.strategies["s"].params


def test_what_null_removed_can_be_said_anew(base: Path) -> None:
    files = over(base, "risk: null")
    third = base.parent / "third.yaml"
    third.write_text("risk: {max_order_notional: 1}")
    config = read(*files, third).config
    assert config.risk.max_order_qty is None
    assert config.risk.max_order_notional == Decimal(1)


def test_null_does_not_hide_an_unknown_key(base: Path) -> None:
    assert mistakes(*over(base, "actor: null")) == ["over.yaml:1:1 actor: unknown key, did you mean actors?"]


def test_a_mistake_is_told_in_the_file_that_has_it(base: Path) -> None:
    assert mistakes(*over(base, "risk:\n  max_order_qty: -5\nfeeds: {stocks: {market: stonks}}")) == [
        "over.yaml:2:18 risk.max_order_qty: `-5` is too small, write more than 0",
        "over.yaml:3:26 feeds.stocks.market: `stonks` is not possible, did you mean stocks?",
    ]


def test_a_file_that_is_away_is_named(base: Path) -> None:
    assert mistakes(base, base.parent / "away.yaml") == ["away.yaml: no such file"]


def test_a_variable_is_laid_over_the_files(base: Path) -> None:
    environ = {
        "RUNNER__RISK__MAX_ORDER_QTY": "7",
        "RUNNER__STRATEGIES__S__PARAMS__SIZE": "11",
        "RUNNER__RISK__MAX_ORDERS": "{count: 9, per: 30s}",
        "RUNNER__PATHS": "[., ..]",
        "RUNNER_SHARED": "not ours",
    }
    config = read(base, environ=environ).config
    assert config.risk.max_order_qty == Decimal(7)
    assert config.risk.max_orders is not None
    assert config.risk.max_orders.count == 9
    assert config.strategies["s"].params["size"] == "11"
    assert config.paths == [".", ".."]


def test_a_variable_of_null_removes(base: Path) -> None:
    assert read(base, environ={"RUNNER__RISK__MAX_ORDER_QTY": "null"}).config.risk.max_order_qty is None


def test_variables_find_names_of_any_case(base: Path) -> None:
    text = BASE.replace("main", "Main")
    base.write_text(text)
    config = read(base, environ={"RUNNER__ACCOUNTS__MAIN__LIMITS__MAX_ORDER_QTY": "3"}).config
    assert config.accounts["Main"].limits is not None


def test_a_mistake_in_a_variable_names_it(base: Path) -> None:
    environ = {
        "RUNNER__RISK__MAX_ORDER_QTTY": "7",
        "RUNNER__RISK__MAX_ORDER_QTY": "x",
        "RUNNER__RISK__MAX_ORDERS": "{count: 9",
        "RUNNER__NAME": "",
        "RUNNER__A____B": "1",
    }
    assert sorted(mistakes(base, environ=environ)) == [
        "RUNNER__A____B: no key between two double underscores, write RUNNER__SECTION__KEY=value",
        "RUNNER__NAME name: empty, give it a value, or null to remove what the file says",
        "RUNNER__RISK__MAX_ORDERS risk.max_orders: not a YAML mapping or list, check its brackets and commas",
        "RUNNER__RISK__MAX_ORDER_QTTY risk.max_order_qtty: unknown key, did you mean max_order_qty?",
        "RUNNER__RISK__MAX_ORDER_QTY risk.max_order_qty: `x` is not a number, write digits, such as 1_000 or 0.5",
    ]


def test_a_secret_in_a_variable_is_refused_without_being_shown(base: Path) -> None:
    told = mistakes(base, environ={"RUNNER__ACCOUNTS__MAIN__KEY": "PKHUSHHUSHHUSHHUSH"})
    assert told == [
        (
            "RUNNER__ACCOUNTS__MAIN__KEY accounts.main.key: "
            "a secret must not stand in the file, write {env: NAME} or {file: PATH}"
        )
    ]


def test_a_key_of_the_other_environment_is_refused_without_being_shown(base: Path) -> None:
    base.write_text(BASE.replace("environment: sim", "environment: live"))
    environ = {"T_KEY": "PKHUSHHUSHHUSHHUSH", "T_SECRET": "hushhushhush"}
    assert mistakes(base, environ=environ) == [
        (
            "base.yaml:4:35 accounts.main.key: a paper key (it begins with PK) under `environment: live`, "
            "use the live account's"
        )
    ]


def test_secrets_come_from_variables_and_from_files_beside_the_config(base: Path, tmp_path: Path) -> None:
    (tmp_path / "the_secret").write_text("hushhush\n")
    base.write_text(
        BASE.replace("{env: T_SECRET}", "{file: the_secret}").replace("environment: sim", "environment: paper")
    )
    account = read(base, environ={"T_KEY": "PKX"}).config.accounts["main"]
    assert account.key.value.get_secret_value() == "PKX"
    assert account.secret.value.get_secret_value() == "hushhush"
    assert "hushhush" not in repr(account) + str(account) + account.model_dump_json()


def test_a_secret_that_is_not_one_word_is_refused(base: Path) -> None:
    base.write_text(BASE.replace("environment: sim", "environment: paper"))
    assert mistakes(base, environ={"T_KEY": "two words", "T_SECRET": " "}) == [
        (
            "base.yaml:4:46 accounts.main.key.env: the environment variable T_KEY holds more than one word "
            "of plain ASCII, it should hold the secret alone"
        ),
        "base.yaml:4:68 accounts.main.secret.env: the environment variable T_SECRET is empty",
    ]


def test_a_simulation_needs_no_secrets(base: Path) -> None:
    base.write_text(BASE.replace("environment: sim", "environment: paper"))
    config = load([base], environ={}, need_secrets=False).config
    assert not config.accounts["main"].key.loaded
    with pytest.raises(LookupError, match="T_KEY"):
        _ = config.accounts["main"].key.value


def test_one_key_for_two_accounts_is_refused_whatever_its_names(base: Path) -> None:
    files = over(base, "accounts: {more: {broker: alpaca, key: {env: X_KEY}, secret: {env: T_SECRET}}}")
    (told,) = mistakes(*files, environ={"T_KEY": "PKHUSHHUSH", "X_KEY": "PKHUSHHUSH"})
    assert told.startswith("over.yaml:1:35 accounts.more.key: the same key as accounts.main has: ")
