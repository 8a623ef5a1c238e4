"""What the import contracts of pyproject.toml can't see: the compiled module is no file that they read."""

from __future__ import annotations

import ast
from pathlib import Path

EXCHANGE = Path(__file__).resolve().parents[2] / "runner" / "exchange"


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def test_the_exchange_does_its_own_arithmetic_and_never_asks_the_engine() -> None:
    modules = list(EXCHANGE.rglob("*.py"))
    assert modules
    users = [path.name for path in modules if any(name.startswith("runner._engine") for name in imported(path))]
    assert users == []
