"""When an order trades, and at what price."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest


def last_fill(venue: Any) -> dict[str, Any]:
    return next(u for u in reversed(venue.updates) if u["event"] in {"fill", "partial_fill"})


@pytest.mark.parametrize(("side", "price"), [("buy", "100.01"), ("sell", "99.99")])
def test_a_market_order_fills_at_the_far_side_whatever_size_is_shown(venue: Any, side: str, price: str) -> None:
    reply = venue.send(side=side, qty="500")

    assert reply["status"] == "pending_new"
    assert venue.events() == ["pending_new", "new", "fill"]
    assert (last_fill(venue)["price"], last_fill(venue)["qty"]) == (price, "500")
    assert venue.order(reply).json()["filled_avg_price"] == price


def test_a_resting_limit_waits_until_the_far_side_reaches_it(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="99.50")
    venue.quote("IBM", "99.40", "99.51")
    assert venue.status(reply) == "new"

    venue.quote("IBM", "99.40", "99.50")

    assert venue.status(reply) == "filled"
    assert last_fill(venue)["price"] == "99.5"


def test_a_marketable_limit_fills_at_the_better_price(venue: Any) -> None:
    venue.send(type="limit", limit_price="101")
    assert last_fill(venue)["price"] == "100.01"


def test_a_missing_side_fills_nothing(venue: Any) -> None:
    venue.quote("IBM", "99.99", "0")
    reply = venue.send(type="limit", limit_price="101")
    assert venue.status(reply) == "new"


def test_prices_keep_the_precision_of_the_wire(venue: Any) -> None:
    venue.quote("IBM", "180.0800", "180.0850")
    venue.send()
    assert last_fill(venue)["price"] == "180.085"


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_ioc_and_fok_that_are_not_marketable_end_as_canceled(venue: Any, tif: str) -> None:
    reply = venue.send(type="limit", limit_price="99", time_in_force=tif)
    assert venue.events() == ["pending_new", "new", "canceled"]
    assert venue.status(reply) == "canceled"


def test_an_ioc_that_fills_partly_keeps_what_it_got(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0)
    venue.quote("IBM", "100", "100")

    reply = venue.send(time_in_force="ioc", qty="50")

    order = venue.order(reply)
    assert venue.events() == ["pending_new", "new", "partial_fill", "canceled"]
    assert 0 < order.filled_qty < 50
    assert venue.me.qty("IBM") == order.filled_qty


def test_partial_fills_are_seeded_and_add_up(make_venue: Callable[..., Any]) -> None:
    def run() -> list[tuple[str, str]]:
        venue = make_venue(partial_fill_rate=0.6, seed=3)
        venue.quote("IBM", "100", "100")
        reply = venue.send(qty="40")
        while venue.status(reply) != "filled":
            venue.quote("IBM", "100", "100")
        return [(u["event"], u["qty"]) for u in venue.updates if "fill" in u["event"]]

    first = run()
    assert first == run()
    assert sum(int(qty) for _, qty in first) == 40
    assert [event for event, _ in first[:-1]] == ["partial_fill"] * (len(first) - 1)
    assert first[-1][0] == "fill"


def test_fok_never_fills_partly(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0)
    venue.quote("IBM", "100", "100")
    assert venue.status(venue.send(time_in_force="fok", qty="50")) == "filled"


def test_a_sell_stop_becomes_a_market_order_at_a_print(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    reply = venue.send(side="sell", type="stop", stop_price="98")
    venue.quote("IBM", "97", "99")
    assert venue.status(reply) == "new"  # the bid alone is not a print

    venue.trade("IBM", "98")

    assert venue.status(reply) == "filled"
    assert last_fill(venue)["price"] == "97"


def test_a_late_print_elects_no_stop(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    reply = venue.send(side="sell", type="stop", stop_price="98")
    venue.trade("IBM", "90", "@", "Z")
    assert venue.status(reply) == "new"


def test_a_quote_gone_through_elects_a_stop_without_prints(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    reply = venue.send(side="sell", type="stop", stop_price="98")
    venue.quote("IBM", "97.90", "98")
    assert venue.status(reply) == "filled"


@pytest.mark.parametrize(("symbol", "stop", "limit"), [("IBM", "210", "215.25"), ("BAC", "15", "15.60")])
def test_a_buy_stop_is_a_stop_limit_and_may_not_fill_in_a_gap(venue: Any, symbol: str, stop: str, limit: str) -> None:
    reply = venue.send(symbol, type="stop", stop_price=stop)
    beyond = str(Decimal(limit) + Decimal("0.01"))

    venue.quote(symbol, stop, beyond)
    assert venue.order(reply).triggered
    assert venue.status(reply) == "new"

    venue.quote(symbol, stop, limit)
    assert venue.status(reply) == "filled"


def test_a_stop_limit_rests_at_its_limit_once_elected(venue: Any) -> None:
    reply = venue.send(type="stop_limit", stop_price="101", limit_price="101.50")
    venue.trade("IBM", "101")
    assert venue.status(reply) == "filled"  # the offer stands at 100.01, below the limit
    assert last_fill(venue)["price"] == "100.01"


def test_a_trailing_stop_follows_the_high_and_sells_below_it(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    reply = venue.send(side="sell", type="trailing_stop", trail_percent="2")
    assert venue.order(reply).json()["stop_price"] == "98"

    venue.trade("IBM", "110")
    assert (venue.order(reply).json()["hwm"], venue.order(reply).json()["stop_price"]) == ("110", "107.8")
    venue.trade("IBM", "108")
    assert venue.order(reply).json()["stop_price"] == "107.8"

    venue.quote("IBM", "107.70", "107.90")
    venue.trade("IBM", "107.80")
    assert venue.status(reply) == "filled"
    assert last_fill(venue)["price"] == "107.7"


def test_a_notional_order_buys_what_the_dollars_pay_for(venue: Any) -> None:
    venue.quote("IBM", "29", "30")
    reply = venue.send(notional="100")

    order = venue.order(reply)
    assert (order.json()["qty"], order.json()["notional"]) == (None, "100")
    assert order.filled_qty == Decimal("3.333333333")
    assert venue.me.cash == Decimal(100_000) - Decimal("3.333333333") * 30


def test_fractional_quantities_are_booked_exactly(venue: Any) -> None:
    venue.send(qty="0.123456789")
    assert venue.me.qty("IBM") == Decimal("0.123456789")
    venue.send(side="sell", qty="0.123456789")
    assert venue.me.position("IBM") is None
