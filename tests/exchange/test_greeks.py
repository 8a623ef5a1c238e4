"""Black-Scholes against textbook numbers, and against itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.exchange.greeks import Terms, greeks, implied_volatility, price

# Hull, "Options, Futures, and Other Derivatives", example 15.6: a stock at 42, strike 40, half a year, 10 %, 20 %.
CALL = Terms(call=True, spot=42, strike=40, years=0.5, rate=0.1)
PUT = Terms(call=False, spot=42, strike=40, years=0.5, rate=0.1)
# Hull's examples of greeks (ch. 19): 49, 50, 20 weeks, 5 %, 20 %.
HEDGED = Terms(call=True, spot=49, strike=50, years=0.3846, rate=0.05)


def test_prices_are_those_of_the_textbook() -> None:
    assert price(CALL, 0.2) == pytest.approx(4.76, abs=0.005)
    assert price(PUT, 0.2) == pytest.approx(0.81, abs=0.005)


def test_greeks_are_those_of_the_textbook() -> None:
    found = greeks(HEDGED, 0.2)
    assert found.delta == pytest.approx(0.522, abs=0.001)
    assert found.gamma == pytest.approx(0.066, abs=0.001)
    assert found.theta * 365 == pytest.approx(-4.31, abs=0.01)
    assert found.vega * 100 == pytest.approx(12.1, abs=0.05)
    assert found.rho * 100 == pytest.approx(8.91, abs=0.01)
    assert set(found.to_json()) == {"delta", "gamma", "rho", "theta", "vega"}


@given(
    call=st.booleans(),
    moneyness=st.floats(0.8, 1.25),
    years=st.floats(0.02, 2),
    rate=st.floats(0, 0.1),
    volatility=st.floats(0.1, 1.5),
)
def test_implied_volatility_undoes_the_price(
    call: bool, moneyness: float, years: float, rate: float, volatility: float
) -> None:
    terms = Terms(call, 100 * moneyness, 100, years, rate)
    paid = price(terms, volatility)
    found = implied_volatility(terms, paid)
    # Deep in the money hardly any of the price hangs on volatility: what is found must price alike.
    if found is not None:
        assert price(terms, found) == pytest.approx(paid, abs=1e-6)
    else:
        assert paid - price(terms, 0.001) < 1e-6


@given(spot=st.floats(50, 200), years=st.floats(0.02, 2), rate=st.floats(0, 0.1), volatility=st.floats(0.05, 1))
def test_put_and_call_are_in_parity(spot: float, years: float, rate: float, volatility: float) -> None:
    call, put = (Terms(which, spot, 100, years, rate) for which in (True, False))
    forward = spot - 100 * math.exp(-rate * years)
    assert price(call, volatility) - price(put, volatility) == pytest.approx(forward, abs=1e-9)
    assert greeks(call, volatility).delta - greeks(put, volatility).delta == pytest.approx(1)


@pytest.mark.parametrize(("paid", "years"), [(1.9, 0.5), (42.5, 0.5), (5, 0.0), (5, -0.1)])
def test_a_price_below_intrinsic_above_the_stock_or_after_expiry_has_no_volatility(paid: float, years: float) -> None:
    assert implied_volatility(Terms(call=True, spot=42, strike=40, years=years), paid) is None
