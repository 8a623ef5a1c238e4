"""The two fills by which one position is set off against another (`runner.node.netting`): they are no executions."""

from __future__ import annotations

from typing import Any

HALF = "half"
"""In a half's info: 1, then 2."""


def half_of(event: Any) -> int | None:
    """Which half a fill is; None where it is another fill."""
    found: int | None = (event.info or {}).get(HALF)
    return found
