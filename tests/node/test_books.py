"""Opening + fills − fees ± other bookings = the broker's figures, to the cent and to the share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.node.books import Agreement, Difference, all_agree, compare

D = Decimal


@dataclass(frozen=True)
class Snap:
    cash: Decimal
    positions: dict[str, Decimal]


@dataclass(frozen=True)
class Fill:
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    inferred: bool = False


@dataclass(frozen=True)
class Booking:
    activity_type: str
    net_amount: Decimal | None
    symbol: str | None = None
    qty: Decimal | None = None


OPENING = Snap(D("100000"), {"IBM": D(5)})
FILLS = [Fill("IBM", "buy", D(10), D("180.0850")), Fill("BAC", "sell", D("0.5"), D("13.97"))]
CLOSING = Snap(D("98206.135"), {"IBM": D(15), "BAC": D("-0.5")})


def test_fills_explain_cash_and_positions() -> None:
    assert compare(OPENING, FILLS, [], CLOSING) == Agreement(True)


def test_fees_leave_cash_and_no_shares() -> None:
    fee = Booking("FEE", D("-0.08"), "IBM", D(10))
    assert compare(OPENING, FILLS, [fee], replace(CLOSING, cash=CLOSING.cash - D("0.08"))).agree is True


def test_a_split_moves_shares() -> None:
    split = Booking("SPLIT", None, "IBM", D(15))
    closing = replace(CLOSING, positions={"IBM": D(30), "BAC": D("-0.5")})
    assert compare(OPENING, FILLS, [split], closing).agree is True


def test_a_missing_fill_shows_in_cash_and_shares() -> None:
    result = compare(OPENING, FILLS[:1], [], CLOSING)
    assert result.agree is False
    assert result.differences == (
        Difference("cash", D("98199.150"), D("98206.135")),
        Difference("BAC", D(0), D("-0.5")),
    )


def test_an_inferred_fill_makes_it_false_even_where_the_sums_agree() -> None:
    result = compare(OPENING, [replace(f, inferred=True) for f in FILLS], [], CLOSING)
    assert result.agree is False
    assert result.differences == ()
    assert "inferred" in str(result.reason)


def test_without_an_opening_or_with_unknown_orders_nothing_is_claimed() -> None:
    assert compare(None, FILLS, [], CLOSING).agree is None
    assert compare(OPENING, FILLS, [], CLOSING, unsettled=1).agree is None


def test_digits_that_the_broker_does_not_show_are_no_difference() -> None:
    fills = [Fill("IBM", "buy", D(3), D("1.0001"))]
    assert compare(Snap(D("100"), {}), fills, [], Snap(D("97.00"), {"IBM": D(3)})).agree is True
    assert compare(Snap(D("100"), {}), fills, [], Snap(D("97.01"), {"IBM": D(3)})).agree is False


@pytest.mark.parametrize(
    ("answers", "together"),
    [([], None), ([True], True), ([True, None], None), ([True, False, None], False)],
)
def test_one_answer_for_all_accounts(answers: list[bool | None], together: bool | None) -> None:
    assert all_agree({str(n): Agreement(a) for n, a in enumerate(answers)}) is together


amounts = st.decimals("0.01", "1000", places=2)
fills = st.lists(
    st.builds(Fill, st.sampled_from(["IBM", "BAC"]), st.sampled_from(["buy", "sell"]), amounts, amounts), max_size=20
)


@given(fills, st.decimals("-50", "50", places=2).filter(bool))
def test_any_fills_agree_with_their_own_sum_and_with_no_other(rows: list[Fill], off: Decimal) -> None:
    cash, held = D("100000.0000"), {}
    for fill in rows:
        sign = 1 if fill.side == "buy" else -1
        cash -= sign * fill.qty * fill.price
        held[fill.symbol] = held.get(fill.symbol, D(0)) + sign * fill.qty
    opening = Snap(D("100000"), {})
    assert compare(opening, rows, [], Snap(cash, held)).agree is True
    assert compare(opening, rows, [], Snap(cash + off, held)).agree is False
    assert compare(opening, rows, [], Snap(cash, {**held, "IBM": held.get("IBM", D(0)) + off})).agree is False


CALL = "IBM260320C00180000"
DUE = {CALL: 1_774_272_600 * 10**9}


def test_a_contract_that_expired_before_its_row_came_is_not_judged_yet() -> None:
    opening = replace(OPENING, positions={CALL: D(2)})
    closing = replace(opening, positions={})
    waiting = compare(opening, [], [], closing, awaited=DUE)
    assert waiting.agree is None
    assert (
        waiting.reason
        == f"the broker's activity of {CALL} (expired, exercised or assigned) is due by 2026-03-23 13:30 UTC"
    )
    assert [row.what for row in waiting.differences] == [CALL]
    assert compare(opening, [], [], closing).agree is False  # once it is due
    assert compare(opening, [], [Booking("OPEXP", D(0), CALL, D(-2))], closing, awaited=DUE).agree is True


def test_what_an_assignment_delivers_is_waited_for_with_its_cash_and_nothing_else() -> None:
    opening = replace(OPENING, positions={CALL: D(-1), "IBM": D(100)})
    closing = replace(opening, cash=opening.cash + 18_000, positions={})
    awaited = DUE | {"IBM": DUE[CALL]}
    assert compare(opening, [], [], closing, awaited=awaited).agree is None
    assert compare(opening, [], [], replace(closing, positions={"BAC": D(1)}), awaited=awaited).agree is False
    assert compare(opening, [], [], replace(opening, cash=D(1)), awaited=awaited).agree is False
    rows = [Booking("OPASN", D(0), CALL, D(1)), Booking("OPTRD", D(18_000), "IBM", D(-100))]
    assert compare(opening, [], rows, closing, awaited=awaited).agree is True


def test_rows_of_contracts_that_were_gone_before_the_opening_balance_count_for_nothing() -> None:
    rows = [
        Booking("OPTRD", D(18_000), "IBM", D(-100)),
        Booking("OPASN", D(0), CALL, D(1)),
        Booking("OPEXP", D(0), "IBM260320P00170000", D(-3)),
    ]
    assert compare(OPENING, FILLS, rows, CLOSING).agree is True
    again = [*rows, Booking("OPTRD", D(18_000), "IBM", D(-100))]
    assert compare(OPENING, FILLS, again, CLOSING).agree is False
