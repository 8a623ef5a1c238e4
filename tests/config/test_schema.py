"""The JSON Schema for editors agrees with the models and is the one that is committed."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from runner.config.errors import suggestion
from runner.config.risk import Universe
from runner.config.schema import json_schema, json_schema_text
from runner.config.strategies import prepare

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(path for path in CONFIGS.glob("*.yaml") if not path.name.endswith(".tests.yaml"))


def test_the_committed_schema_is_fresh() -> None:
    assert (CONFIGS / "runner.schema.json").read_text(encoding="utf-8") == json_schema_text(), (
        "write it anew: .venv/bin/runner schema --out configs/runner.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_file_pleases_the_schema_and_the_check(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./runner.schema.json\n")
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    loaded, plans = prepare([path], environ={}, need_secrets=False, speed_is_one=False)
    assert plans.strategies.keys() == loaded.config.strategies.keys()


@pytest.mark.parametrize(
    "text",
    [
        "strategies: {s: {klass: a}}",
        "risk: {max_order_qty: -1}",
        "risk: {price_collar: 2 dollars}",
        "accounts: {main: {broker: alpaca, key: written, secret: here}}",
        "accounts: {main: {broker: alpaca, key: {}, secret: {env: A}}}",
        "node: {http_timeout: 30}",
    ],
)
def test_an_editor_sees_mistakes_too(text: str) -> None:
    whole = {**yaml.safe_load(SHIPPED[0].read_text(encoding="utf-8")), **yaml.safe_load(text)}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(whole)


def test_a_suggestion_forgives_case_and_hyphens() -> None:
    assert suggestion("Max-Order-Qty", ["max_orders", "max_order_qty"]) == "max_order_qty"
    assert suggestion("zzz", ["max_orders"]) is None


def test_symbols_of_the_universe_have_no_case() -> None:
    """Alpaca's are upper case: a `deny: [gme]` that matches nothing would forbid nothing."""
    universe = Universe.model_validate({"allow": ["aapl*"], "deny": ["gme", "btc/usd"]})
    assert (universe.allow, universe.deny) == (["AAPL*"], ["GME", "BTC/USD"])
