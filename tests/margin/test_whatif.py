"""What an order would do to an account."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from runner.margin.options import AlpacaOptionsMarginCalculator, ExpiryLoss, OptionPosition
from runner.margin.plot import Payoff, PlotError, payoff, save, show
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
    ["", "+IBM", "IBM @ 3", "+IBM @ x", "+IBM @ 3 x 0", "+IBM +BAC @ 3", "+0.5*IBM @ 3"],
)
def test_orders_that_make_no_sense(text: str) -> None:
    with pytest.raises(OrderTextError):
        parse_order(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("+IBM @ -3", "above 0"),
        (f"+{CALL} @ 0", "above 0"),
        ("+IBM @ NaN", "out of range"),
        ("+IBM @ Infinity", "out of range"),
        ("+IBM @ 3 x NaN", "out of range"),
        ("+IBM @ 3 x Infinity", "out of range"),
        ("+IBM @ 1e30", "out of range"),
        ("+IBM @ 3 x 1e30", "out of range"),
        ("+IBM @ 3 @ 5", "stands twice"),
        ("+IBM @ 3 x 2 x 3", "stands twice"),
        (f"+{CALL} @ 3 x 1.5", "contracts are whole"),
        ("+AAPL250117C0020000 @ 3", "no Alpaca symbol"),
        ("+AAPL251345C00200000 @ 3", "no date of expiry"),
        ("+BTCUSD @ 3", "no Alpaca symbol"),
    ],
)
def test_an_order_that_could_be_misread_is_refused(text: str, says: str) -> None:
    with pytest.raises(OrderTextError, match=says):
        parse_order(text)


def test_a_ratio_of_one_leg_is_so_many_of_it() -> None:
    assert tried(f"+2*{CALL} @ 3").cost_basis == tried(f"+{CALL} @ 3 x 2").cost_basis == 600
    assert tried("+3*IBM @ 3 x 2").cost_basis == 18


def test_symbols_may_be_written_as_nautilus_has_them() -> None:
    assert tried(f"+{CALL}.ALPACA @ 3").cost_basis == 300
    assert parse_order("+IBM.ALPACA @ 3").legs == (("IBM", 1),)


def test_parts_of_shares_and_coins() -> None:
    assert tried("+BTC/USD @ 20000 x 0.25").cost_basis == 5_000
    assert tried("+IBM @ 100 x 0.5").cost_basis == 50
    assert tried("-IBM @ 100 x 0.5", Held("IBM", Decimal("0.5"), Decimal(100))).refusal is None


@pytest.mark.parametrize(
    ("order", "cash"), [("-BTC/USD @ 100 x 1", 10_000), ("-IBM @ 5 x 10", 1_999), ("-IBM @ 100 x 0.5", 10_000)]
)
def test_what_can_not_be_sold_short(order: str, cash: int) -> None:
    assert tried(order, cash=cash).refusal == "NOT_SHORTABLE"


def test_what_an_option_costs_is_gone_from_every_buying_power() -> None:
    after = tried(f"+{CALL} @ 50").after
    assert after is not None
    assert (after["buying_power"], after["options_buying_power"]) == (10_000, 5_000)
    assert after["non_marginable_buying_power"] == 5_000


def test_margin_that_is_freed_goes_against_what_was_missing_first() -> None:
    held = (Held("AAPL", Decimal(100), Decimal(192)), Held("AAPL250117P00100000", Decimal(-1), Decimal(2)))
    found = tried("+AAPL250117P00100000 @ 0.05", *held, cash=-18_000)
    assert found.after is not None
    # -18,005 cash, 19,200 of shares, half of them borrowed on: 8,405 are missing still.
    assert (found.after["options_buying_power"], found.after["buying_power"]) == (0, 0)


def test_a_limit_moves_no_price_of_what_is_held() -> None:
    found = tried("+AAPL @ 100 x 1", Held("AAPL", Decimal(100), Decimal(192)), cash=0)
    assert found.after is not None
    assert (found.before["equity"], found.after["equity"]) == (19_200, 19_292)
    unpriced = tried("+AAPL @ 190 x 1", Held("AAPL", Decimal(100)), cash=0)
    assert unpriced.after is not None
    assert unpriced.before["equity"] == unpriced.after["equity"] == 19_000


def test_a_position_in_two_rows_is_refused() -> None:
    row = Held("AAPL250117P00100000", Decimal(-1))
    with pytest.raises(ValueError, match="two positions"):
        what_if([row, row], None, cash=Decimal(30_000))


def test_a_short_position_asks_by_its_price_and_its_own_rate() -> None:
    with pytest.raises(ValueError, match="give its price"):
        what_if([Held("AAPL", Decimal(-100))], None, cash=Decimal(50_000))
    found = what_if([Held("AAPL", Decimal(-100), Decimal(100), 90)], None, cash=Decimal(50_000))
    assert found.before["maintenance_margin"] == 9_000


@pytest.mark.parametrize("row", [Held("IBM", Decimal("1e25"), Decimal(1)), Held(CALL, Decimal("1e25"))])
def test_positions_that_are_out_of_range(row: Held) -> None:
    with pytest.raises(ValueError, match="out of range"):
        what_if([row], None, cash=Decimal(0))


def test_pictures(tmp_path: Path) -> None:
    order = parse_order(CONDOR)
    positions = [OptionPosition(symbol, ratio * int(order.qty)) for symbol, ratio in order.legs]
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


def drawn_of(order: str, *held: Held, expirations: Literal["per_date", "from_date"] = "per_date") -> Payoff:
    read = parse_order(order)
    calculator = AlpacaOptionsMarginCalculator(expirations=expirations)
    found = what_if(held, read, cash=Decimal(100_000), calculator=calculator)
    assert found.worst is not None
    rows = [OptionPosition(row.symbol, int(row.qty)) for row in held if row.symbol != "AAPL"]
    rows += [OptionPosition(symbol, ratio * int(read.qty)) for symbol, ratio in read.legs]
    return payoff(rows, found.worst, shares=sum(int(row.qty) for row in held if row.symbol == "AAPL"))


COVERED = (Held("AAPL", Decimal(300), Decimal(192)), Held(CALL, Decimal(-1), Decimal(2)))
FAR_PUTS = (Held("AAPL250221P00050000", Decimal(-1)), Held("AAPL250221P00045000", Decimal(1)))


@pytest.mark.parametrize(
    ("drawn", "worst"),
    [
        (drawn_of("+AAPL250117P00190000 -AAPL250117P00195000 @ -1.80 x 5", *COVERED), 190),
        (drawn_of("+AAPL250221C00110000 -AAPL250117C00100000 @ 2"), 110),
        (drawn_of("+AAPL250117P00045000 -AAPL250117P00050000 @ -1", *FAR_PUTS), 45),
        (drawn_of("+AAPL250117P00045000 -AAPL250117P00050000 @ -1", *FAR_PUTS, expirations="from_date"), 45),
        (drawn_of("-AAPL250117P00100000 @ 1"), 0),
    ],
    ids=["covered calls", "diagonal", "two dates", "two dates together", "put"],
)
def test_the_line_goes_down_to_what_is_required_and_there(drawn: Payoff, worst: int) -> None:
    assert min(drawn.values) == -drawn.worst.amount < 0
    assert drawn.values[drawn.prices.index(Decimal(worst))] == -drawn.worst.amount
    assert drawn.worst.price == worst


def test_where_nothing_is_required_the_strikes_fill_the_picture() -> None:
    fly = drawn_of("+AAPL250117C00095000 -2*AAPL250117C00100000 +AAPL250117C00105000 @ 1")
    assert (fly.prices[0], fly.prices[-1]) == (Decimal("89.75"), Decimal("110.25"))
    covered = drawn_of(f"-{CALL} @ 2", COVERED[0])
    assert covered.values[-1] == 20_000, "a hundred shares, called away at 200; the others are no part of it"


@pytest.mark.parametrize(
    ("order", "cost", "cash"),
    [
        ("+PENY @ 1 x 100", 200, 10_000),  # all of its value is asked for below 2.50
        ("+PENY @ 1 x 100", 100, 1_999),  # nothing is lent
        ("-PENY @ 1 x 100", 500, 10_000),  # 2.50 a share
        ("-PENY @ 8 x 100", 1_000, 10_000),  # 5.00 a share
        ("+TQQQ @ 100 x 10", 1_500, 10_000),  # 75 % of its own
        ("+IBM @ 100 x 10", 1_000, 10_000),
    ],
)
def test_shares_cost_no_less_than_their_position_takes(order: str, cost: int, cash: int) -> None:
    rows = [Held("TQQQ", Decimal(1), Decimal(100), 75)] if "TQQQ" in order else []
    found = what_if(rows, parse_order(order), cash=Decimal(cash))
    assert (found.cost_basis, found.refusal) == (cost, None)
    assert found.before is not None
    assert found.after is not None
    if cash > 2_000:
        assert found.before["buying_power"] - found.after["buying_power"] <= cost


def test_the_line_of_what_is_bought_is_drawn_without_shares() -> None:
    nothing = ExpiryLoss("AAPL", Decimal(0), Decimal(0), None)
    assert payoff([OptionPosition("AAPL280121C00190000", 1)], nothing).values == (0, 0, 950)
    assert payoff([OptionPosition("AAPL280121P00190000", 1)], nothing, shares=100).values[-2:] == (0, 0)


IBM_C200, IBM_C210 = "IBM280121C00200000", "IBM280121C00210000"


def rolled(order: str, *held: Held, cash: str, multiplier: int = 2) -> WhatIf:
    return what_if(held, parse_order(order), cash=Decimal(cash), multiplier=multiplier)


@pytest.mark.parametrize(
    ("order", "held", "cash", "left"),
    [
        # 2,100 of equity stay that: the spread is worth what is paid for it.
        (f"+{IBM_C200} -{IBM_C210} @ 2", [Held("IBM", Decimal(20), Decimal(80))], "500", 1_100),
        # The call that is sold is worth 3, which is owed as the 5 of the other were.
        (
            f"+{IBM_C200} -{IBM_C210} @ 2",
            [Held("IBM", Decimal(100), Decimal(190)), Held(IBM_C200, Decimal(-1), Decimal(5))],
            "10000",
            19_000,
        ),
        # A second call of those that are held without a price.
        (
            f"-{IBM_C200} @ 5",
            [Held("IBM", Decimal(200), Decimal(190)), Held(IBM_C200, Decimal(-1))],
            "10000",
            28_500,
        ),
    ],
)
def test_what_is_left_after_an_order_of_options(order: str, held: list[Held], cash: str, left: int) -> None:
    found = rolled(order, *held, cash=cash)
    assert found.refusal is None
    assert found.after is not None
    assert (found.after["options_buying_power"], found.after["buying_power"]) == (left, 2 * left)


def test_where_nothing_is_lent_a_call_is_bought_back_in_cash() -> None:
    held = [Held("IBM", Decimal(100), Decimal(190)), Held(IBM_C200, Decimal(-1), Decimal(5))]
    for cash, refusal in (("499.99", "OPTIONS_BUYING_POWER"), ("500", None)):
        found = rolled(f"+{IBM_C200} @ 5", *held, cash=cash, multiplier=1)
        assert (found.refusal, found.cost_basis) == (refusal, 500)
    assert rolled(f"+{IBM_C200} @ 5", *held, cash="0").cost_basis == 0, "what it cost is owed no more"


def test_a_purchase_below_the_market_holds_its_price() -> None:
    found = rolled("+IBM @ 100 x 100", Held("IBM", Decimal(10), Decimal(200)), cash="10000")
    assert found.before is not None
    assert found.after is not None
    assert found.before["buying_power"] - found.after["buying_power"] == found.cost_basis == 10_000


def test_a_picture_goes_down_to_what_is_required_where_a_later_long_is_used_in_part() -> None:
    legs = {"IBM280121P00210000": -2, "IBM280317P00200000": 2, "IBM280317P00180000": -1}
    rows = [OptionPosition(symbol, qty) for symbol, qty in legs.items()]
    (worst,) = AlpacaOptionsMarginCalculator().calculate_maintenance_margin(rows).roots
    assert min(payoff(rows, worst).values) == -worst.amount


@pytest.mark.parametrize("symbol", ["BRK/B", "ETH/BTC"])
def test_what_is_no_pair_in_dollars_is_refused(symbol: str) -> None:
    with pytest.raises(OrderTextError, match="is no Alpaca symbol"):
        parse_order(f"+{symbol} @ 400 x 10")
