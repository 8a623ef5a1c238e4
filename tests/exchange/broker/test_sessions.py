"""What the clock does to orders: queues, openings, expiry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def early(make_venue: Callable[..., Any]) -> Any:
    """New York, 09:00, before the open of 8 October; a quote of the pre-market stands."""
    venue = make_venue()
    venue.at("09:00", "2013-10-08")
    venue.quote("IBM", "99", "101")
    return venue


def test_a_market_order_before_the_open_waits_for_the_first_quote_after_it(early: Any) -> None:
    reply = early.send()
    assert reply["status"] == "accepted"
    early.quote("IBM", "99", "101")
    assert early.events() == ["accepted"]

    early.at("09:30", "2013-10-08")
    assert early.events() == ["accepted", "pending_new", "new"]

    early.quote("IBM", "99.5", "100.5")
    assert early.status(reply) == "filled"
    assert early.updates[-1]["price"] == "100.5"


def test_a_market_order_is_taken_before_any_price_was_seen(early: Any) -> None:
    reply = early.send("F")
    early.at("09:31", "2013-10-08")
    early.quote("F", "17", "17.01")
    assert early.status(reply) == "filled"


def test_a_queued_order_can_be_cancelled_but_not_replaced(early: Any) -> None:
    reply = early.send(type="limit", limit_price="90")
    with pytest.raises(Exception, match="cannot replace order in accepted status"):
        early.replace(reply, limit_price="91")
    early.cancel(reply)
    assert early.events(reply) == ["accepted", "canceled"]


def test_an_extended_hours_limit_trades_in_the_pre_market_and_others_do_not(early: Any) -> None:
    eager = early.send(type="limit", limit_price="101", extended_hours=True)
    patient = early.send(type="limit", limit_price="101")
    assert (early.status(eager), early.status(patient)) == ("filled", "accepted")


def test_a_day_order_expires_at_the_close_and_a_gtc_order_stays(venue: Any) -> None:
    day = venue.send(type="limit", limit_price="90")
    gtc = venue.send(type="limit", limit_price="90", time_in_force="gtc")
    assert day["expires_at"] == "2013-10-07T20:00:00.000000000Z"
    assert gtc["expires_at"] == "2014-01-05T21:15:00.000000000Z"

    venue.at("15:59:59")
    assert venue.status(day) == "new"
    venue.at("16:00")
    assert venue.events(day)[-1] == "expired"
    assert venue.order(day).json()["expired_at"] == "2013-10-07T20:00:00.000000000Z"

    venue.at("10:00", "2013-10-08")
    venue.quote("IBM", "89", "90")
    assert venue.status(gtc) == "filled"


def test_an_extended_day_order_lives_until_the_late_session_ends(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="90", extended_hours=True)
    venue.at("19:59")
    assert venue.status(reply) == "new"
    venue.at("20:00")
    assert venue.status(reply) == "expired"


def test_a_day_order_after_the_close_is_for_the_next_day(venue: Any) -> None:
    venue.at("17:00")
    reply = venue.send()
    assert reply["status"] == "accepted"
    assert reply["expires_at"] == "2013-10-08T20:00:00.000000000Z"
    venue.at("09:30", "2013-10-08")
    venue.quote("IBM", "99", "100")
    assert venue.status(reply) == "filled"


def test_a_jump_over_the_close_expires_before_the_next_quote_can_fill(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="90")
    venue.at("10:00", "2013-10-08")
    venue.quote("IBM", "80", "81")
    assert venue.events(reply)[-1] == "expired"


def test_gtc_orders_are_cancelled_after_ninety_days(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="90", time_in_force="gtc")
    venue.at("10:00", "2014-01-07")
    assert venue.status(reply) == "canceled"


def test_no_core_order_fills_in_the_late_session(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="90", time_in_force="gtc")
    venue.at("16:30")
    venue.quote("IBM", "79", "80")
    assert venue.status(reply) == "new"


def test_event_times_never_repeat_although_the_clock_stands_still(venue: Any) -> None:
    venue.send()
    venue.send()
    stamps = [update["timestamp"] for update in venue.updates]
    assert stamps == sorted(set(stamps))
    assert stamps[0].startswith("2013-10-07T14:00:00.0000000")
