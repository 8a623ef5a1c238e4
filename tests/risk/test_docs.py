"""docs/risk.md has a row for every key and every code, and names functions that exist: none is stale."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from runner.config.risk import RiskLimits
from runner.risk.codes import Code

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
#: Of accounts and strategies, not of limits.
OTHER_KEYS = {"on_stream_down", "schedule"}


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called that."""
    lines = iter(PAGE.splitlines())
    header = next(line for line in lines if line.startswith(f"| {first} |"))
    assert next(lines).startswith("| ---")
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
        assert len(found[-1]) == header.count("|") - 1, line
    return found


CONTROLS, SHOWN = table("control"), table("code")


@cache
def names_in(path: Path) -> dict[str, str]:
    """Functions, methods, classes and variables, with their text."""
    found: dict[str, str] = {}
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = ast.get_source_segment(text, node) or ""
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, "")
    return found


def test_every_code_stands_once_in_each_table() -> None:
    codes = sorted(Code)
    assert sorted(code for row in CONTROLS for code in row[2].split(", ")) == codes
    assert sorted(row[0] for row in SHOWN) == codes


def test_every_key_has_a_row_and_no_row_is_of_a_key_that_is_gone() -> None:
    named = {key for row in CONTROLS for key in re.findall(r"`(\w+)`", row[1])}
    assert named - OTHER_KEYS == set(RiskLimits.model_fields)


@pytest.mark.parametrize("row", SHOWN, ids=[row[0] for row in SHOWN])
def test_what_a_row_names_exists_and_decides_it(row: list[str]) -> None:
    code, decided, shown = row
    path, _, name = decided.partition("::")
    assert code in names_in(ROOT / "runner" / path)[name]
    for each in shown.split(", "):
        path, _, name = each.partition("::")
        assert name in names_in(ROOT / "tests" / path), each


def test_other_functions_that_it_names_exist() -> None:
    named = re.findall(r"`(risk/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) >= 3
    for path, name in named:
        assert name in names_in(ROOT / "tests" / path), (path, name)
