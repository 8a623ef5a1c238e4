"""The books, with numbers worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.exchange.broker.account_json import account_json
from runner.exchange.broker.accounts import Position, maintenance_margin


@pytest.mark.parametrize(
    ("qty", "price", "dollars"),
    [
        # Alpaca's table, "Margin and Short Selling": long < 2.50 whole, up to 6 half, else 30 %.
        ("100", "50", "1500"),
        ("100", "4", "200"),
        ("100", "2", "200"),
        ("100", "2.50", "125"),
        ("100", "6.00", "300"),
        ("100", "6.01", "180.30"),
        # Short < 5: the greater of 2.50 a share and the whole; else of 5.00 a share and 30 %.
        ("-100", "4", "400"),
        ("-100", "2", "250"),
        ("-100", "12", "500"),
        ("-100", "40", "1200"),
        ("-100", "5.00", "500"),
    ],
)
def test_maintenance_follows_the_published_table(qty: str, price: str, dollars: str) -> None:
    assert maintenance_margin(D(qty), D(price)) == D(dollars)


def test_an_asset_that_is_not_marginable_needs_its_whole_value() -> None:
    assert maintenance_margin(D(100), D(50), marginable=False) == D(5000)


def test_a_fresh_account_has_its_cash_and_twice_that_as_buying_power(venue: Any) -> None:
    assert venue.me.cash == D(100_000)
    assert venue.figure("equity") == D(100_000)
    assert venue.figure("regt_buying_power") == D(200_000)
    assert venue.figure("options_buying_power") == D(100_000)
    assert venue.figure("non_marginable_buying_power") == D(100_000)


def test_a_long_position_moves_equity_margin_and_buying_power(venue: Any) -> None:
    venue.hold(qty=100, price="100")
    venue.quote("IBM", "110", "110")

    # 90,000 cash + 11,000; initial 5,500; maintenance 3,300; (101,000 − 5,500) × 2.
    assert venue.me.cash == D(90_000)
    assert venue.figure("equity") == D(101_000)
    assert venue.figure("initial") == D(5_500)
    assert venue.figure("maintenance") == D(3_300)
    assert venue.figure("buying_power") == D(191_000)
    assert venue.figure("non_marginable_buying_power") == D(90_000)


def test_a_short_position_owes_its_shares(venue: Any) -> None:
    venue.hold(qty=-100, price="100")
    venue.quote("IBM", "110", "110")

    # 110,000 cash − 11,000; maintenance max(500, 3,300).
    assert venue.me.cash == D(110_000)
    assert venue.figure("short_value") == D(-11_000)
    assert venue.figure("equity") == D(99_000)
    assert venue.figure("initial") == D(5_500)
    assert venue.figure("maintenance") == D(3_300)
    assert venue.figure("buying_power") == D(187_000)


def test_working_orders_hold_buying_power_until_they_end(venue: Any) -> None:
    order = venue.send(type="limit", limit_price="90", qty="100")
    assert venue.figure("buying_power") == D(191_000)
    venue.cancel(order)
    assert venue.figure("buying_power") == D(200_000)


def test_a_short_sale_holds_the_greater_of_its_limit_and_three_percent_above_the_ask(venue: Any) -> None:
    venue.send(side="sell", type="limit", limit_price="100.50", qty="100")
    assert venue.figure("reserved") == D("10301.03")  # 1.03 × 100.01 × 100
    venue.send("BAC", "sell", "100", type="limit", limit_price="20")
    assert venue.figure("reserved") == D("12301.03")


def test_closing_orders_hold_no_buying_power(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    before = venue.figure("buying_power")
    venue.send(side="sell", type="limit", limit_price="120")
    assert venue.figure("buying_power") == before


def test_average_entry_and_realized_profit(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    venue.hold(qty=30, price="104")
    assert venue.me.position("IBM").average == D(103)

    venue.quote("IBM", "110", "110.02")
    venue.send(side="sell", qty="15")

    assert venue.me.realized == D(105)  # 15 × (110 − 103)
    assert venue.me.position("IBM").average == D(103)
    assert venue.me.position("IBM").qty == 25


def test_a_covered_short_realizes_what_it_fell(venue: Any) -> None:
    venue.hold(qty=-10, price="100")
    venue.quote("IBM", "89", "90")
    venue.send(qty="10")
    assert venue.me.realized == D(100)
    assert venue.me.cash == D(100_100)
    assert venue.me.position("IBM") is None


def test_fees_leave_the_cash_at_once_and_stand_among_the_activities(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(fee_per_share=D("0.005"))
    venue.quote("IBM", "100", "100")
    venue.send(qty="30")

    assert venue.me.cash == D(100_000) - 3_000 - D("0.15")
    fee, fill = venue.me.activities.page()
    assert (fee["activity_type"], fee["net_amount"], fee["qty"], fee["symbol"]) == ("FEE", "-0.15", "30", "IBM")
    assert (fill["activity_type"], fill["price"]) == ("FILL", "100")


def test_the_close_turns_todays_figures_into_yesterdays(venue: Any) -> None:
    venue.hold(qty=100, price="100")
    venue.quote("IBM", "110", "110")
    assert account_json(venue.desk, venue.me)["balance_asof"] == "2013-10-04"  # the Friday before
    venue.at("16:00")
    assert account_json(venue.desk, venue.me)["balance_asof"] == "2013-10-07"
    assert venue.me.last_equity == D(101_000)
    assert venue.me.last_maintenance == D(3_300)
    assert venue.me.position("IBM").day_cost == D(11_000)
    assert venue.desk.last_day_price("IBM") == D(110)


def test_below_two_thousand_dollars_there_is_no_margin(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(opening_cash=D(1999))
    venue.quote("IBM", "100", "100")
    assert venue.figure("buying_power") == D(1999)
    assert venue.refused(side="sell", qty="1").message == "account is not allowed to short"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell"]),
            st.integers(1, 1000),
            st.decimals("0.0001", "5000", places=4, allow_nan=False, allow_infinity=False),
        ),
        max_size=30,
    )
)
def test_realized_plus_open_value_is_what_the_cash_says(fills: list[tuple[str, int, D]]) -> None:
    """At any mark: money paid and received + value of what is held = realized + unrealized profit."""
    position = Position("IBM")
    cash = D(0)
    for side, qty, price in fills:
        position.apply("buy" if side == "buy" else "sell", D(qty), price)
        cash += (-qty if side == "buy" else qty) * price
    mark = D(123)
    assert abs(cash + position.qty * mark - position.realized - (position.qty * mark - position.cost)) < D("1e-12")
    assert position.qty == sum(qty if side == "buy" else -qty for side, qty, _ in fills)


def test_an_account_is_its_keys_at_every_exchange(venue: Any, make_venue: Any) -> None:
    ours, theirs = (each.desk.account("PK2") for each in (venue, make_venue(seed=5)))
    assert (ours.id, ours.number) == (theirs.id, theirs.number)
    assert len({each.number for each in (ours, venue.me)}) == 2
    assert ours.number.startswith("PA")
    assert len(ours.number) == 12
