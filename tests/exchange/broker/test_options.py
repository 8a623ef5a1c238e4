"""Single option orders: levels, coverage, cost, sessions, positions."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from runner.exchange.broker.positions import position_json

C100, C110, P100, P95 = (
    f"IBM131018{kind}00{strike}000" for kind, strike in (("C", 100), ("C", 110), ("P", 100), ("P", "095"))
)
PRICES: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit_price": "3"},
    "stop": {"stop_price": "5"},
    "stop_limit": {"stop_price": "5", "limit_price": "6"},
    "trailing_stop": {"trail_price": "1"},
}


@pytest.fixture
def floor(venue: Any) -> Any:
    venue.market.add_symbols([C100, C110, P100, P95])
    for symbol, bid, ask in ((C100, "3", "3.20"), (C110, "0.50", "0.60"), (P100, "2.90", "3.10"), (P95, "1", "1.10")):
        venue.quote(symbol, bid, ask)
    return venue


@pytest.mark.parametrize(("tif", "kind"), list(product(("day", "gtc", "ioc", "fok", "opg", "cls"), PRICES)))
def test_the_grid(floor: Any, tif: str, kind: str) -> None:
    body = {"type": kind, "time_in_force": tif, **PRICES[kind]}
    if tif in {"day", "gtc"} and kind != "trailing_stop":
        assert floor.send(C100, "buy", "1", **body)["order_class"] == "simple"
        return
    words = f"invalid option order_type: {kind}" if tif in {"day", "gtc"} else "invalid option time_in_force"
    refusal = floor.refused(C100, "buy", "1", **body)
    assert (refusal.code, refusal.message) == (42210000, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"qty": "0.5"}, "qty must be integer for options trading"),
        ({"notional": "500"}, "notional orders are not supported for options trading"),
        ({"type": "limit", "limit_price": "3", "extended_hours": True}, "extended hours is not supported for options"),
        ({"order_class": "oto", "stop_loss": {"stop_price": "1"}}, "complex orders not supported for options trading"),
        ({"type": "limit", "limit_price": "3.001"}, "sub-penny"),
        ({"position_intent": "buy_to_close"}, "inferred: buy_to_open, specified: buy_to_close"),
    ],
)
def test_what_no_option_order_may_have(floor: Any, body: dict[str, Any], words: str) -> None:
    refusal = floor.refused(C100, "buy", **{"qty": "1", **body})
    assert refusal.code == 42210000
    assert words in refusal.message


def test_a_long_costs_its_premium_times_a_hundred(floor: Any) -> None:
    order = floor.send(C100, "buy", "2")
    assert (order["position_intent"], floor.status(order)) == ("buy_to_open", "filled")
    assert floor.me.cash == 100_000 - 640
    position = position_json(floor.desk, floor.me, floor.me.position(C100))
    shown = {name: position[name] for name in ("qty", "avg_entry_price", "cost_basis", "market_value", "asset_class")}
    assert shown == {
        "qty": "2",
        "avg_entry_price": "3.2",
        "cost_basis": "640",
        "market_value": "620",
        "asset_class": "us_option",
    }
    assert floor.figure("options_buying_power") == 99_360
    assert floor.figure("initial") == 0


def test_alpacas_example_of_too_little_buying_power(make_venue: Any) -> None:
    venue = make_venue(opening_cash=5_000)
    venue.market.add_symbols([C100])
    venue.quote(C100, "3.70", "3.80")
    refusal = venue.refused(C100, "buy", "100", type="limit", limit_price="3.80")
    assert refusal.body() == {
        "code": 40310000,
        "message": "insufficient options buying power",
        "options_buying_power": "5000",
        "cost_basis": "38000",
    }


def test_a_put_is_secured_by_cash(floor: Any) -> None:
    floor.send(P100, "sell", "5", type="limit", limit_price="2.90")
    assert floor.me.cash == 101_450
    assert floor.figure("maintenance") == 50_000
    assert floor.figure("options_buying_power") == 51_450
    refusal = floor.refused(P95, "sell", "6", type="limit", limit_price="1")
    assert refusal.message == (
        "insufficient options buying power for cash-secured put (required: 56400, available: 51450)"
    )
    assert refusal.extra["required_options_buying_power"] == "56400"


def test_a_resting_put_reserves_its_cash(floor: Any) -> None:
    order = floor.send(P100, "sell", "5", type="limit", limit_price="4")
    assert floor.figure("options_buying_power") == 100_000 - 48_000
    floor.cancel(order)
    assert floor.figure("options_buying_power") == 100_000


def test_a_call_is_covered_by_shares(floor: Any) -> None:
    assert floor.refused(C110, "sell", "1").message == "account not eligible to trade uncovered option contracts"
    floor.send("IBM", "buy", "150")
    refusal = floor.refused(C110, "sell", "2")
    assert refusal.message == ("insufficient underlying qty available for covered call (required: 200, available: 150)")
    floor.send(C110, "sell", "1")
    position = position_json(floor.desk, floor.me, floor.me.position("IBM"))
    assert (position["qty"], position["qty_available"]) == ("150", "50")
    assert "available: 50" in floor.refused("IBM", "sell", "100").message
    assert floor.figure("maintenance") == 150 * 100 * 3 // 10
    floor.send(C110, "buy", "1")
    floor.send("IBM", "sell", "150")


def test_a_resting_covered_call_locks_shares_too(floor: Any) -> None:
    floor.send("IBM", "buy", "100")
    order = floor.send(C110, "sell", "1", type="limit", limit_price="2")
    assert "available: 0" in floor.refused("IBM", "sell", "1").message
    assert "insufficient underlying" in floor.refused(C110, "sell", "1").message
    assert floor.replace(order, limit_price="3")["limit_price"] == "3"


@pytest.mark.parametrize(
    ("level", "symbol", "side", "words"),
    [
        (0, C100, "buy", "account not authorized to trade options"),
        (0, P100, "sell", "account not authorized to trade options"),
        (1, C100, "buy", "account not eligible to trade long option contracts"),
        (1, P100, "sell", None),
        (2, C100, "buy", None),
        (2, P100, "buy", None),
    ],
)
def test_the_levels(floor: Any, level: int, symbol: str, side: str, words: str | None) -> None:
    floor.me.configuration.max_options_trading_level = level
    if words is None:
        floor.send(symbol, side, "1")
        return
    refusal = floor.refused(symbol, side, "1")
    assert (refusal.code, refusal.message) == (40310000, words)


def test_what_is_held_is_closed_and_not_turned_over(floor: Any) -> None:
    floor.send(C100, "buy", "2")
    assert "requested: 3, available: 2" in floor.refused(C100, "sell", "3").message
    order = floor.desk.close(floor.me, C100)
    assert (order["position_intent"], floor.me.position(C100)) == ("sell_to_close", None)


def test_market_orders_only_in_the_session(floor: Any) -> None:
    floor.at("16:30")
    refusal = floor.refused(C100, "buy", "1")
    assert (refusal.code, refusal.message) == (42210000, "options market orders are only allowed during market hours")
    queued = floor.send(C100, "buy", "1", type="limit", limit_price="3.30")
    assert queued["status"] == "accepted"
    floor.at("09:30", "2013-10-08")
    floor.quote(C100, "3", "3.20")
    assert floor.status(queued) == "filled"


def test_nothing_is_opened_in_the_last_half_hour_or_after(floor: Any) -> None:
    floor.send(C100, "buy", "1")
    floor.at("15:30", "2013-10-18")
    floor.quote(C100, "3", "3.20")
    assert floor.refused(C110, "buy", "1").message == (f'contract "{C110}" expires soon, unable to open new positions')
    floor.send(C100, "sell", "1")
    floor.at("16:00", "2013-10-18")
    assert floor.refused(C110, "buy", "1", type="limit", limit_price="1").message == f'contract "{C110}" is expired'


def test_unknown_contracts(floor: Any) -> None:
    assert floor.refused("IBM131018C00999000", "buy", "1").message == 'contract "IBM131018C00999000" not found'


def test_a_gtc_order_ends_with_its_contract(floor: Any) -> None:
    order = floor.send(C100, "buy", "1", type="limit", limit_price="1", time_in_force="gtc")
    assert order["expires_at"].startswith("2013-10-18T20:00")
    floor.at("16:00", "2013-10-18")
    assert floor.status(order) == "canceled"


def test_a_stop_is_elected_by_the_quote(floor: Any) -> None:
    floor.send(C100, "buy", "1")
    stop = floor.send(C100, "sell", "1", type="stop", stop_price="2")
    floor.quote(C100, "1.80", "2")
    assert (floor.status(stop), floor.updates[-1]["price"]) == ("filled", "1.8")


def test_shorts_are_bought_back_before_the_long_that_covers_them_goes(floor: Any) -> None:
    legs = [
        {"symbol": C110, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": C100, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ]
    floor.desk.submit(
        floor.me, {"order_class": "mleg", "qty": "1", "type": "market", "time_in_force": "day", "legs": legs}
    )
    assert floor.refused(C110, "sell", "1").message == "account not eligible to trade uncovered option contracts"
    floor.send(C100, "buy", "1")
    floor.send(C110, "sell", "1")
    assert floor.me.positions == {}


def test_of_two_longs_that_cover_a_short_one_may_be_for_sale_at_a_time(floor: Any) -> None:
    legs = [
        {"symbol": C110, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": C100, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ]
    floor.desk.submit(
        floor.me, {"order_class": "mleg", "qty": "1", "type": "market", "time_in_force": "day", "legs": legs}
    )
    floor.market.add_symbols([C120 := "IBM131018C00120000"])
    floor.quote(C120, "0.20", "0.30")
    floor.send(C120, "buy", "1")
    first = floor.send(C120, "sell", "1", type="limit", limit_price="1")
    assert floor.refused(C110, "sell", "1").message == "account not eligible to trade uncovered option contracts"
    floor.cancel(first)
    floor.send(C110, "sell", "1")


def written(venue: Any) -> None:
    """A covered call is short, worth 55 dollars, which are owed, and 3 dollars of options buying power are left."""
    venue.send("IBM", "buy", "100")
    venue.send(C110, "sell", "1")
    venue.me.cash += 3 - venue.figure("options_buying_power") + 200 * 110
    venue.send(P95, "buy", "200")
    assert venue.figure("options_buying_power") == 3


def test_what_is_bought_back_is_paid_where_it_frees_too_little(floor: Any) -> None:
    written(floor)
    refusal = floor.refused(C110, "buy", "1", type="limit", limit_price="0.59")
    assert (refusal.code, refusal.message) == (40310000, "insufficient options buying power")
    assert refusal.extra == {"options_buying_power": "3", "cost_basis": "4"}
    order = floor.send(C110, "buy", "1", type="limit", limit_price="0.58")
    assert floor.figure("options_buying_power") == 0
    assert "cost_basis" in floor.refused(P95, "buy", "1", type="limit", limit_price="0.01").extra
    floor.cancel(order)
    assert floor.figure("options_buying_power") == 3


@pytest.mark.parametrize("netted", [True, False])
def test_a_put_that_is_bought_back_frees_more_than_it_costs(make_venue: Any, netted: bool) -> None:
    venue = make_venue(netted_cost=netted)
    venue.market.add_symbols([P100])
    venue.quote(P100, "2.90", "3.10")
    venue.send(P100, "sell", "1")
    venue.me.cash -= venue.figure("options_buying_power")
    if netted:
        assert venue.status(venue.send(P100, "buy", "1")) == "filled"
        assert venue.figure("options_buying_power") == 10_000 - 310
    else:
        assert venue.refused(P100, "buy", "1").extra == {"options_buying_power": "0", "cost_basis": "310"}


def test_what_one_order_frees_pays_for_no_other(make_venue: Any) -> None:
    """Two puts of 100 and one of 95 make 500 of margin, and 10,000: the first bought back frees those."""
    venue = make_venue()
    venue.market.add_symbols([P100, P95])
    venue.quote(P100, "7", "7.10")
    venue.quote(P95, "1", "1.10")
    venue.send(P95, "buy", "1")
    venue.send(P100, "sell", "2")
    venue.me.cash -= venue.figure("options_buying_power")
    assert venue.send(P100, "buy", "1", type="limit", limit_price="6")["status"] == "pending_new"
    refusal = venue.refused(P100, "buy", "1", type="limit", limit_price="6")
    assert refusal.extra == {"options_buying_power": "0", "cost_basis": "100"}


def test_what_does_not_divide_evenly_holds_no_more_than_it_costs(floor: Any) -> None:
    """Three of five puts of 95 are sold that secure three of 100: 9,500 less 375, in thirds."""
    floor.send(P95, "buy", "5")
    floor.send(P100, "sell", "3")
    floor.send(P95, "sell", "3", type="limit", limit_price="1.25")
    assert floor.me.reserved() == (9_125, 9_125)
