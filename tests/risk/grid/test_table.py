"""The grid is whole: every key of the file and every code has a row, every row a cell for each way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from runner.config.risk import RateLimit, RiskLimits
from runner.config.section import Section
from runner.risk.codes import Code
from tests.risk.grid.table import ROWS, WAYS, Cell, Row


def keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """`max_order_qty`, `price_collar.percent`: whatever the file may set, by its path."""
    for name, field in section.model_fields.items():
        inner = [each for each in sections(field.annotation) if each is not RateLimit]
        for each in inner:
            yield from keys(each, f"{prefix}{name}.")
        if not inner:
            yield prefix + name


def sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for each in get_args(annotation):
        yield from sections(each)


def test_every_key_of_the_file_has_a_row_and_no_row_is_about_another() -> None:
    assert {key for row in ROWS for key in row.keys} == set(keys(RiskLimits))


def test_every_code_has_a_row() -> None:
    # What goes around the gate never comes to it: tests/alpaca/test_order_safety.py.
    assert {code for row in ROWS for code in row.codes} == set(Code) - {Code.GATE_BYPASSED}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_has_every_way_and_denies_with_its_codes(row: Row) -> None:
    assert set(row.cells) == set(WAYS)
    cells = [cell for way, cell in row.cells.items() if isinstance(cell, Cell) and way != "unknown account"]
    assert {step.code for cell in cells for step in cell.steps} - {None} <= set(row.codes)
    assert all(len(cell.split()) > 3 for cell in row.cells.values() if isinstance(cell, str))
    for cell in cells:
        assert any(step.code for step in cell.steps) or row.name == "our own order on the other side"
        assert any(step.code is None for step in cell.steps)
