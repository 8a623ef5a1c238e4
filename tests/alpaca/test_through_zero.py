"""Splitting at zero: what may go now never crosses, and nothing is lost or invented."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.alpaca.through_zero import Plan, plan, signed

D = Decimal


@pytest.mark.parametrize(
    ("side", "qty", "position", "working", "expected"),
    [
        ("buy", 100, 0, 0, Plan(D(100), D(0))),
        ("buy", 100, 50, 0, Plan(D(100), D(0))),
        ("sell", 100, 100, 0, Plan(D(100), D(0))),
        ("sell", 150, 100, 0, Plan(D(100), D(50))),
        ("sell", 100, 100, 100, Plan(D(0), D(100))),
        ("sell", 80, 100, 60, Plan(D(40), D(40))),
        ("buy", 100, -100, 0, Plan(D(100), D(0))),
        ("buy", 100, -100, 100, Plan(D(0), D(100))),
        ("sell", 10, -5, 0, Plan(D(10), D(0))),
    ],
)
def test_an_order_is_split_at_zero(side: str, qty: int, position: int, working: int, expected: Plan) -> None:
    assert plan(side, D(qty), D(position), D(working)) == expected


@given(st.sampled_from(["buy", "sell"]), st.integers(1, 10**6), st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_what_goes_now_never_crosses_and_the_rest_is_kept(side: str, qty: int, position: int, working: int) -> None:
    made = plan(side, D(qty), D(position), D(working))
    assert made.now + made.later == qty
    assert made.now >= 0
    assert made.later >= 0
    if position * signed(side, D(1)) < 0:
        after = D(position) + signed(side, made.now)
        assert after == 0 or (after > 0) == (position > 0)
        assert made.now <= max(0, abs(position) - working)
