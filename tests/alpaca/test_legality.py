"""The table of what Alpaca takes, walked cell by cell."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from runner.alpaca.legality import ASSETS, CLASSES, TABLE, TIMES, TYPES, illegal, sessions

CELLS = list(product(ASSETS, CLASSES, TIMES, TYPES))
# Written out a second time, by hand, from Alpaca's pages: how many cells of each asset are legal.
LEGAL = {"stock": 10 + 4 + 4 + 16 + 2, "fraction": 4, "crypto": 5, "option": 8, "spread": 4}


def at(clock: str, day: int = 12) -> int:
    hour, minute = clock.split(":")
    return int(datetime(2026, 1, day, int(hour), int(minute), tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


def test_as_many_cells_are_legal_as_alpacas_pages_say() -> None:
    legal = [cell for cell in CELLS if illegal(*cell) is None]
    assert {asset: sum(cell[0] == asset for cell in legal) for asset in ASSETS} == LEGAL


@pytest.mark.parametrize("asset", ASSETS)
def test_every_illegal_cell_is_denied_with_a_code_a_reason_and_what_is_taken_instead(asset: str) -> None:
    for cell in CELLS:
        if cell[0] != asset or sessions(*cell):
            continue
        reason = illegal(*cell)
        assert reason is not None
        code, _, sentence = reason.partition(": ")
        assert code.isupper()
        assert sentence.startswith("Alpaca takes")
        # What it offers is on the table: one of the words that it names makes a legal cell of this one.
        asset_rows = [row for row in TABLE if row.asset == asset]
        offered = {word for row in asset_rows for word in f"{row.classes} {row.times} {row.types}".split()}
        assert any(word in sentence.replace(",", "").split() for word in offered), reason


def test_no_cell_of_the_table_is_denied() -> None:
    for row in TABLE:
        for cell in product((row.asset,), row.classes.split(), row.times.split(), row.types.split()):
            assert illegal(*cell, extended=row.session == "extended") is None


@pytest.mark.parametrize("cell", CELLS)
def test_extended_hours_take_day_and_gtc_limits_of_stocks_and_day_limits_of_fractions(
    cell: tuple[str, str, str, str],
) -> None:
    if not sessions(*cell):
        return
    wanted = cell in {("stock", "simple", "day", "limit"), ("stock", "simple", "gtc", "limit")} or cell == (
        "fraction", "simple", "day", "limit",
    )  # fmt: skip
    reason = illegal(*cell, extended=True)
    assert (reason is None) == wanted
    assert reason is None or reason.startswith("UNSUPPORTED_EXTENDED_HOURS: ")


@pytest.mark.parametrize(
    ("cell", "clock", "taken"),
    [
        (("stock", "simple", "opg", "market"), "09:27", True),
        (("stock", "simple", "opg", "market"), "09:28", False),
        (("stock", "simple", "opg", "limit"), "18:59", False),
        (("stock", "simple", "opg", "limit"), "19:00", True),
        (("stock", "simple", "cls", "market"), "15:49", True),
        (("stock", "simple", "cls", "market"), "15:50", False),
        (("stock", "simple", "cls", "limit"), "19:00", True),
        (("option", "simple", "day", "market"), "09:29", False),
        (("option", "simple", "day", "market"), "09:30", True),
        (("spread", "mleg", "day", "market"), "16:00", False),
        (("option", "simple", "gtc", "market"), "16:00", False),
        (("option", "simple", "day", "limit"), "03:00", True),
        (("option", "simple", "gtc", "stop"), "03:00", True),
        (("crypto", "simple", "gtc", "market"), "03:00", True),
        (("stock", "simple", "day", "market"), "03:00", True),
    ],
)
def test_some_cells_are_taken_at_some_hours_only(cell: tuple[str, str, str, str], clock: str, taken: bool) -> None:
    reason = illegal(*cell, now_ns=at(clock))
    assert (reason is None) == taken
    assert reason is None or (reason.startswith("SESSION: ") and clock in reason)


def test_on_a_saturday_no_option_order_at_the_market_is_sent() -> None:
    assert (illegal("option", "simple", "day", "market", now_ns=at("11:00", 17)) or "").startswith("SESSION: ")
