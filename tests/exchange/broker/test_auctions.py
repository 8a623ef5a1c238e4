"""Orders for the opening and the closing auction: when they are taken, and at what price they trade."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("tif", "when", "message"),
    [
        ("opg", "09:28", "opg orders must be submitted after 7:00pm and before 9:28am"),
        ("opg", "18:59", "opg orders must be submitted after 7:00pm and before 9:28am"),
        ("cls", "15:50", "cls orders must be submitted after 7:00pm and before 3:50pm"),
        ("cls", "18:59", "cls orders must be submitted after 7:00pm and before 3:50pm"),
    ],
)
def test_the_windows_are_shut(venue: Any, tif: str, when: str, message: str) -> None:
    venue.at(when, "2013-10-08")
    refusal = venue.refused(time_in_force=tif)
    assert (refusal.status, refusal.code, refusal.message) == (403, 40310000, message)


@pytest.mark.parametrize(("tif", "when"), [("opg", "19:00"), ("cls", "15:49"), ("cls", "19:00")])
def test_the_windows_are_open(venue: Any, tif: str, when: str) -> None:
    venue.at(when)
    assert venue.send(time_in_force=tif)["time_in_force"] == tif


def test_at_the_open_it_trades_at_the_first_print(venue: Any) -> None:
    venue.at("09:00", "2013-10-08")
    order = venue.send(time_in_force="opg")
    assert order["status"] == "accepted"
    venue.at("09:30", "2013-10-08")
    venue.quote("IBM", "101", "103")
    assert venue.status(order) == "new"
    venue.trade("IBM", "102.5")
    assert venue.status(order) == "filled"
    assert venue.updates[-1]["price"] == "102.5"


def test_without_a_print_the_quote_decides_after_a_minute(venue: Any) -> None:
    venue.at("09:00", "2013-10-08")
    order = venue.send(time_in_force="opg")
    venue.at("09:31", "2013-10-08")
    venue.quote("IBM", "101", "103")
    assert (venue.status(order), venue.updates[-1]["price"]) == ("filled", "103")


def test_a_limit_that_the_auction_misses_ends(venue: Any) -> None:
    venue.at("09:00", "2013-10-08")
    opening = venue.send(time_in_force="opg", type="limit", limit_price="100")
    closing = venue.send(time_in_force="cls", type="limit", limit_price="100")
    venue.at("09:30", "2013-10-08")
    venue.trade("IBM", "102")
    assert (venue.status(opening), venue.status(closing)) == ("expired", "new")
    venue.at("16:00", "2013-10-08")
    assert venue.status(closing) == "expired"


def test_at_the_close_it_trades_at_the_last_print_and_not_before(venue: Any) -> None:
    order = venue.send(time_in_force="cls", type="limit", limit_price="105")
    venue.quote("IBM", "99", "100")
    venue.trade("IBM", "101")
    assert venue.status(order) == "new"
    venue.at("15:59:59")
    venue.trade("IBM", "102")
    venue.at("16:00")
    assert (venue.status(order), venue.updates[-1]["price"]) == ("filled", "102")


def test_on_a_half_day_the_closing_window_ends_ten_minutes_before_its_close(venue: Any) -> None:
    venue.at("12:50", "2013-11-29")
    assert venue.refused(time_in_force="cls").message.endswith("before 12:50pm")


def test_a_cancel_may_lose_against_the_auction(venue: Any) -> None:
    venue.faults.arm({"races": {"cancel": 1}})
    order = venue.send(time_in_force="cls")
    venue.cancel(order)
    assert venue.status(order) == "pending_cancel"
    venue.trade("IBM", "102")
    venue.at("16:00")
    assert venue.events(order)[-2:] == ["order_cancel_rejected", "fill"]
