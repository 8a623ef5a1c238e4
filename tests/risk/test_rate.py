"""The order rate's window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner._engine import RateWindows
from runner.risk.limits import Rate, rate_limits
from runner.risk.state import NODE, Scope

EMA = Scope("strategy", "ema")


def test_the_bound_is_allowed_and_one_more_is_not():
    rates, limits = RateWindows(), rate_limits([(NODE, Rate(3, 10))])
    assert rates.exceeded(limits, 3, 100) is None
    rates.count(limits, 3, 100)
    assert rates.exceeded(limits, 1, 100) == (0, 3)


def test_an_order_leaves_the_window_when_it_is_as_old_as_the_window_is_long():
    rates, limits = RateWindows(), rate_limits([(NODE, Rate(1, 10))])
    rates.count(limits, 1, 100)
    assert rates.exceeded(limits, 1, 109) is not None
    assert rates.exceeded(limits, 1, 110) is None


def test_each_scope_has_its_own_window():
    rates = RateWindows()
    node, ema = (NODE, Rate(5, 10)), (EMA, Rate(1, 10))
    rates.count(rate_limits([node, ema]), 1, 100)
    assert rates.exceeded(rate_limits([node, ema]), 1, 100) == (1, 1)
    assert rates.exceeded(rate_limits([node]), 4, 100) is None
    assert [rates.held(scope.section, 10, 100) for scope in (NODE, EMA)] == [1, 1]


def test_asking_counts_nothing():
    rates, limits = RateWindows(), rate_limits([(NODE, Rate(1, 10))])
    for _ in range(3):
        assert rates.exceeded(limits, 1, 100) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_no_window_ever_holds_more_than_its_count_even_if_the_clock_steps_back(steps, count, per):
    rates, limits = RateWindows(), rate_limits([(NODE, Rate(count, per))])
    sent: list[int] = []
    latest = 0
    for now, orders in steps:
        if sent and latest - now > per:  # the clock was ahead: what is in the window happened now
            sent = [min(at, now) for at in sent if at > latest - per]
            latest = now
        latest = max(latest, now) if sent else now
        if rates.exceeded(limits, orders, now) is None:
            rates.count(limits, orders, now)
            sent += [latest] * orders
        for end in range(31):
            assert sum(end - per < at <= end for at in sent) <= count
