"""docs/risk.md names every key, every code, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.config.risk import RiskLimits
from runner.risk.codes import Code

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_described(code):
    assert re.search(rf"\b{code}\b", PAGE)


@pytest.mark.parametrize("key", list(RiskLimits.model_fields))
def test_every_key_is_described(key):
    assert f"`{key}" in PAGE


def test_the_tests_that_it_names_exist():
    folder = ""
    rows = [line.rsplit("|", 2)[1] for line in PAGE.splitlines() if line.startswith("|") and "tests/" in line]
    assert len(rows) > 20
    for row in rows:
        for name in re.findall(r"[\w/]+\.py", row):
            folder = name.rpartition("/")[0] or folder
            path = name if "/" in name else f"{folder}/{name}"
            assert (ROOT / path).exists(), path
