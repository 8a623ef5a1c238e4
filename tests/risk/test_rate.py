"""The order rate's window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.risk.limits import Rate
from runner.risk.rate import Rates
from runner.risk.state import NODE, Scope

EMA = Scope("strategy", "ema")


def test_the_bound_is_allowed_and_one_more_is_not():
    rates, limits = Rates(), [(NODE, Rate(3, 10))]
    assert rates.exceeded(limits, 3, 100) is None
    rates.count(limits, 3, 100)
    assert rates.exceeded(limits, 1, 100) == (NODE, Rate(3, 10), 3)


def test_an_order_leaves_the_window_when_it_is_as_old_as_the_window_is_long():
    rates, limits = Rates(), [(NODE, Rate(1, 10))]
    rates.count(limits, 1, 100)
    assert rates.exceeded(limits, 1, 109) is not None
    assert rates.exceeded(limits, 1, 110) is None


def test_each_scope_has_its_own_window():
    rates = Rates()
    both = [(NODE, Rate(5, 10)), (EMA, Rate(1, 10))]
    rates.count(both, 1, 100)
    assert rates.exceeded(both, 1, 100) == (EMA, Rate(1, 10), 1)
    assert rates.exceeded(both[:1], 4, 100) is None


def test_asking_counts_nothing():
    rates, limits = Rates(), [(NODE, Rate(1, 10))]
    for _ in range(3):
        assert rates.exceeded(limits, 1, 100) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_no_window_ever_holds_more_than_its_count_even_if_the_clock_steps_back(steps, count, per):
    rates, limits = Rates(), [(NODE, Rate(count, per))]
    sent: list[int] = []
    latest = 0
    for now, orders in steps:
        latest = max(latest, now)
        if rates.exceeded(limits, orders, now) is None:
            rates.count(limits, orders, now)
            sent += [latest] * orders
    for end in range(31):
        assert sum(end - per < at <= end for at in sent) <= count
