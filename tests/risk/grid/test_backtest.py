"""The grid in a backtest on a margin account, at each level of the file."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.identifiers import InstrumentId

from tests.risk.conftest import quote
from tests.risk.grid.hand import BAC, CALLS, LEVELS, OPTION_QUOTES, RATIO, START_NS, VERTICAL, Cell, Hand, Seen, Step
from tests.risk.grid.table import CELLS
from tests.risk.test_margin_options import C100

SECOND_0 = START_NS // 10**9
#: A step runs at the first of them. What it sends is released, filled or refused by the last.
QUOTES_A_STEP = 3


def market(cell: Cell) -> list[Any]:
    found = []
    bid, ask = "100.00", "100.00"
    options = dict(OPTION_QUOTES)
    second = SECOND_0
    for step in cell.steps:
        bid, ask = step.market or (bid, ask)
        options[C100] = step.call or options[C100]
        for _ in range(QUOTES_A_STEP):
            second += 1
            for symbol, prices in options.items():
                found.append(quote(*prices, second, InstrumentId.from_str(f"{symbol}.ALPACA")))
            found.append(quote(bid, ask, second))
    return [*found, quote(bid, ask, second + 1)]


@pytest.mark.parametrize("cell", [cell for _, cell in CELLS], ids=[name for name, _ in CELLS])
@pytest.mark.parametrize("level", LEVELS)
def test_a_cell(bench: Any, cell: Cell, level: str) -> None:
    hand = Hand(cell, level)
    seen: list[Seen] = []
    found: list[set[str]] = []

    def begin(step: Step) -> Any:
        def do(strategy: Any) -> None:
            hand.strategy = strategy
            seen.append(Seen(hand))
            step.do(hand)

        return do

    def end(_strategy: Any) -> None:
        found.append(seen[-1].codes())

    def prepare(engine: Any, gate: Any) -> None:
        hand.gate = gate

    steps = [each for step in cell.steps for each in (begin(step), *[lambda _s: None] * (QUOTES_A_STEP - 2), end)]
    _, gate, _ = bench.run(
        *steps, limits=hand.book(cell.limits), quotes=market(cell), instruments=[BAC, *CALLS, VERTICAL, RATIO],
        prepare=prepare, **hand.parts(),
    )  # fmt: skip
    assert found == [set() if step.code is None else {step.code} for step in cell.steps]
    assert gate.errors == sum(step.code == "GATE_ERROR" for step in cell.steps)
