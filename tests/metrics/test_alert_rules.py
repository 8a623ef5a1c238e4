"""The alert rules in deploy/: Prometheus's own tool takes them, each one fires, and each has its page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.metrics.declarations import DECLARATIONS

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
RECORDED: list[dict[str, Any]] = yaml.safe_load((FOLDER / "recording.yml").read_text())["groups"][0]["rules"]
RECORDED_CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "recording.test.yml").read_text())["tests"]
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]


def test_promtool_takes_the_rules_and_its_tests_hold(promtool):
    tests = ["test", "rules", "alerts.test.yml", "recording.test.yml"]
    for words in (["check", "config", "prometheus.yml"], tests):
        done = subprocess.run([promtool, *words], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_shown_to_fire_and_to_stay_silent():
    fires = {row["alertname"] for case in CASES for row in case["alert_rule_test"] if row["exp_alerts"]}
    silent = {row["alertname"] for case in CASES for row in case["alert_rule_test"] if not row["exp_alerts"]}
    assert fires == silent == {rule["alert"] for rule in RULES}


def test_each_alert_has_its_page():
    headings = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.M))
    assert headings == {rule["alert"] for rule in RULES}
    assert all(rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}" for rule in RULES)


def test_every_metric_in_a_rule_exists():
    known = {declaration.name for declaration in DECLARATIONS}
    named = {name for rule in (*RULES, *RECORDED) for name in re.findall(r"(?<!:)runner_\w+", rule["expr"])}
    assert named
    assert {name.removesuffix("_bucket") for name in named} <= known


def test_each_recorded_series_is_named_by_its_level_and_shown_by_a_test():
    shown = {row["expr"] for case in RECORDED_CASES for row in case["promql_expr_test"]}
    names = [rule["record"] for rule in RECORDED]
    assert all(re.fullmatch(r"\w+:runner_\w+:\w+", name) for name in names)
    # A step on the way to another is shown by that one.
    steps = {name for name in names for rule in RECORDED if name in rule["expr"]}
    assert shown == set(names) - steps
