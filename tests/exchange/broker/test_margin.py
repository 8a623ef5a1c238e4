"""The universal spread rule: Alpaca's worked examples, and what follows from its text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.exchange.broker.margin import Held, option_margin, requirement, uncovered, worst_loss
from runner.exchange.contracts import contract_of

DAYS = {"@1": "250117", "@2": "250124"}


def legs(text: str) -> list[Held]:
    """`+C100 -2C110@2`: longs and shorts of one underlying, expiring on the first day unless told otherwise."""
    found = []
    for word in text.split():
        day = DAYS[word[-2:]] if "@" in word else DAYS["@1"]
        sign, rest = (-1 if word[0] == "-" else 1), word[1:].partition("@")[0]
        count, kind, strike = rest.partition("C" if "C" in rest else "P")
        symbol = f"X{day}{kind}{int(strike) * 1000:08d}"
        found.append(Held(contract_of(symbol), Decimal(sign * int(count or 1))))
    return found


@pytest.mark.parametrize(
    ("position", "margin"),
    [
        ("+C100 -C110 +C200 -C190", 0),  # Alpaca's first example
        ("+C200 -C190", 1000),  # and its second
        ("+C190 -C210", 0),
        ("+P210 -P190", 0),
        ("+P190 -P195 -C205 +C210", 500),
        ("+P180 -P190 -C210 +C215", 1000),
        ("+P95 -P100 -C100 +C105", 500),
        ("-C100 +C110", 1000),
        ("-P95 +P90", 500),
        ("+C95 -2C100 +C105", 0),
        ("-C95 +2C100 -C105", 500),
        ("+C95 -2C100 +C110", 500),
        ("-C100 +2C110", 1000),
        ("+C100 -C110 +P110 -P100", 0),
        ("-C100 +C110 -P110 +P100", 1000),
        ("+C100 +P100", 0),
        ("-P100", 10_000),
        ("+P100 -2P90", 8_000),
        ("+C200 -C205 -C210 +C215", 0),
        ("+C200 -C205 -C200@2 +C205@2", 500),
        ("-C100 +C110 -P50@2 +P45@2", 1000),
        ("-P50 +P45 -P50@2 +P45@2", 500),
        ("-C100 +C100@2", 0),
        ("-P110 +P110@2 -P90@2", 11_000),  # the later short needs the later long
    ],
)
def test_the_requirement(position: str, margin: int) -> None:
    assert option_margin(legs(position)) == margin


@pytest.mark.parametrize("position", ["+C100 -2C110", "-C100 -P100", "+C100 -C100@2", "-C100 +C105@2 -C110@2"])
def test_calls_that_nothing_covers_have_no_worst_loss(position: str) -> None:
    assert option_margin(legs(position)) is None


def test_the_other_reading_of_several_expirations() -> None:
    assert option_margin(legs("-P50 +P45 -P50@2 +P45@2"), later=True) == 1000


def test_five_units_need_five_times_as_much() -> None:
    assert worst_loss(legs("+5P180 -5P190 -5C210 +5C220")) == 5000


@pytest.mark.parametrize(
    ("position", "calls", "puts"),
    [("-C100 +C110", 0, 0), ("-C100 -P90", 1, 1), ("-C100@2 +C110", 1, 0), ("-C100 +C110@2", 0, 0), ("+C100", 0, 0)],
)
def test_what_is_uncovered(position: str, calls: int, puts: int) -> None:
    assert (uncovered(legs(position), "call"), uncovered(legs(position), "put")) == (calls, puts)


def test_shares_cover_calls_and_a_naked_one_needs_the_shares() -> None:
    assert requirement(legs("-2C100"), Decimal(200), Decimal(90)) == 0
    assert requirement(legs("-2C100"), Decimal(199), Decimal(90)) == 10_000
    assert requirement(legs("-C100 -P80"), Decimal(0), Decimal(130)) == 21_000


@given(
    st.lists(
        st.tuples(st.sampled_from("CP"), st.integers(1, 30), st.integers(-3, 3).filter(bool)), min_size=1, max_size=6
    )
)
def test_the_worst_loss_is_the_worst_of_all_prices(drawn: list[tuple[str, int, int]]) -> None:
    position = legs(" ".join(f"{'+' if qty > 0 else '-'}{abs(qty)}{kind}{strike}" for kind, strike, qty in drawn))
    worth = [
        sum((leg.qty * 100 * leg.contract.intrinsic(Decimal(price)) for leg in position), Decimal(0))
        for price in range(121)
    ]
    found = worst_loss(position)
    if found is None:
        assert worth[-1] < worth[-2]  # it goes on falling beyond every strike
    else:
        assert found == max(Decimal(0), -min(worth))
