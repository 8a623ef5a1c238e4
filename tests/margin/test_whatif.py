"""What an order would do to an account."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from runner.margin.options import OptionPosition
from runner.margin.plot import PlotError, payoff, save, show
from runner.margin.whatif import Held, OrderTextError, WhatIf, parse_order, what_if

CONDOR = "+AAPL250117P00190000 -AAPL250117P00195000 -AAPL250117C00205000 +AAPL250117C00210000 @ -1.80 x 5"
CALL = "AAPL250117C00200000"


def tried(order: str, *held: Held, cash: int = 10_000, level: int = 3) -> WhatIf:
    return what_if(held, parse_order(order), cash=Decimal(cash), level=level)


def test_an_iron_condor_takes_one_wing_less_the_credit() -> None:
    found = tried(CONDOR)
    assert (found.cost_basis, found.net, found.refusal) == (1600, -900, None)
    assert found.worst is not None
    assert (found.worst.amount, found.worst.price) == (2500, 210)
    assert found.after is not None
    assert (found.after["options_margin"], found.after["options_buying_power"]) == (2500, 8400)


def test_an_order_that_is_too_large_says_by_how_much() -> None:
    found = tried("-AAPL250117P00205000 @ 1.90", cash=5_000)
    assert (found.refusal, found.cost_basis, found.available) == ("OPTIONS_BUYING_POWER", 20_310, 5_000)
    assert found.reason is not None
    assert "20,310" in found.reason


def test_a_covered_call_costs_nothing_and_a_naked_one_is_refused() -> None:
    shares = Held("AAPL", Decimal(100), Decimal(190))
    assert tried(f"-{CALL} @ 2.10", shares).cost_basis == 0
    assert tried(f"-{CALL} @ 2.10").refusal == "OPTIONS_UNCOVERED"
    assert tried(f"-{CALL} @ 2.10", shares, level=0).refusal == "OPTIONS_LEVEL"


def test_shares_under_a_short_call_can_not_be_sold() -> None:
    held = (Held("AAPL", Decimal(100), Decimal(190)), Held(CALL, Decimal(-1), Decimal(2)))
    assert tried("-AAPL @ 190 x 1", *held).refusal == "OPTIONS_UNCOVERED"


def test_shares_take_buying_power_and_closing_takes_none() -> None:
    bought = tried("+IBM @ 100 x 50")
    assert (bought.cost_basis, bought.available) == (5_000, 20_000)
    assert bought.after is not None
    assert bought.after["buying_power"] == 15_000
    assert tried("+IBM @ 100 x 201").refusal == "BUYING_POWER"
    sold = tried("-IBM @ 100 x 10", Held("IBM", Decimal(10), Decimal(100)))
    assert (sold.cost_basis, sold.refusal) == (0, None)
    assert tried("-IBM @ 100 x 11", Held("IBM", Decimal(10), Decimal(100))).refusal == "QUANTITY"
    assert tried("-IBM @ 100 x 10").cost_basis == 1_030, "a short sale is valued 3 % above"


@pytest.mark.parametrize(
    "text",
    ["", "+IBM", "IBM @ 3", "+IBM @ x", "+IBM @ 3 x 0", "+IBM @ 3 x 1.5", "+IBM +BAC @ 3", "+0.5*IBM @ 3"],
)
def test_orders_that_make_no_sense(text: str) -> None:
    with pytest.raises(OrderTextError):
        parse_order(text)


def test_pictures(tmp_path: Path) -> None:
    order = parse_order(CONDOR)
    positions = [OptionPosition(symbol, ratio * order.qty) for symbol, ratio in order.legs]
    worst = tried(CONDOR).worst
    assert worst is not None
    drawn = payoff(positions, worst)
    assert min(drawn.values) == -2500
    assert drawn.strikes == (190, 195, 205, 210)
    save(drawn, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "2,500 USD required" in show(drawn)
    with pytest.raises(PlotError, match=r"must end in"):
        save(drawn, tmp_path / "a.gif")
