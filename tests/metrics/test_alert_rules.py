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
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]


def test_promtool_takes_the_rules_and_its_tests_hold(promtool):
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]):
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
    named = {name for rule in RULES for name in re.findall(r"runner_\w+", rule["expr"])}
    assert named
    assert named <= known
