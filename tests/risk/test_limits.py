"""Limits by level."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from runner.risk.limits import Bound, Limits, LimitsBook, Rate
from runner.risk.state import NODE, Scope

BOOK = LimitsBook(
    top=Limits(max_order_qty=Decimal(100), max_orders=Rate(60, 60_000_000_000)),
    accounts={"main": Limits(max_order_qty=Decimal(50), max_position_notional=Decimal(1_000))},
    strategies={"ema": Limits(max_order_qty=Decimal(70), max_orders=Rate(5, 1_000_000_000))},
)


def test_the_smallest_value_wins_and_says_where_it_stands():
    assert BOOK.tightest("max_order_qty", "main", "ema") == Bound(Decimal(50), "accounts.main.limits.max_order_qty")
    assert BOOK.tightest("max_order_qty", "spare", "ema") == Bound(Decimal(70), "strategies.ema.limits.max_order_qty")
    assert BOOK.tightest("max_order_qty", "spare", "other") == Bound(Decimal(100), "risk.max_order_qty")
    assert BOOK.tightest("max_order_notional", "main", "ema") is None


def test_the_first_of_equal_values_is_named():
    book = LimitsBook(Limits(max_order_qty=Decimal(1)), {"main": Limits(max_order_qty=Decimal(1))})
    assert book.tightest("max_order_qty", "main", "ema") == Bound(Decimal(1), "risk.max_order_qty")


def test_an_account_and_a_strategy_are_measured_each_by_its_own():
    assert BOOK.of_account("max_order_qty", "main") == Bound(Decimal(50), "accounts.main.limits.max_order_qty")
    assert BOOK.of_account("max_order_qty", "spare") == Bound(Decimal(100), "risk.max_order_qty")
    assert BOOK.of_strategy("max_order_qty", "ema") == Bound(Decimal(70), "strategies.ema.limits.max_order_qty")
    assert BOOK.of_strategy("max_order_qty", "other") is None


def test_every_rate_applies_since_rates_can_not_be_compared():
    assert [(scope, rate.count) for scope, rate in BOOK.rates("max_orders", "main", "ema")] == [
        (NODE, 60),
        (Scope("strategy", "ema"), 5),
    ]


def test_a_zero_is_a_limit():
    book = LimitsBook(Limits(max_order_qty=Decimal(0)))
    assert book.tightest("max_order_qty", "", "") == Bound(Decimal(0), "risk.max_order_qty")


def test_a_section_of_the_real_file_is_understood():
    from runner.config.models import RateLimit, RiskLimits

    rate = RateLimit(count=3, per=timedelta(seconds=1))
    section = RiskLimits(max_order_qty=Decimal(1), max_orders=rate, state="halted")
    assert Limits.of(section) == Limits(max_order_qty=Decimal(1), max_orders=Rate(3, 1_000_000_000), state="halted")
