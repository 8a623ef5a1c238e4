"""What may be sent: the whole grid, and the words of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

PRICES: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit_price": "90"},
    "stop": {"stop_price": "110"},
    "stop_limit": {"stop_price": "110", "limit_price": "111"},
    "trailing_stop": {"trail_price": "5"},
}
TIMES = ("day", "gtc", "ioc", "fok", "opg", "cls")
# kind → what is legal, from the tables of docs.alpaca.markets "Orders at Alpaca".
LEGAL = {
    "whole": {("day", t) for t in PRICES}
    | {("gtc", t) for t in PRICES}
    | {(tif, t) for tif in ("ioc", "fok", "opg", "cls") for t in ("market", "limit")},
    "fractional": {("day", t) for t in ("market", "limit", "stop", "stop_limit")},
    "notional": {("day", t) for t in ("market", "limit", "stop", "stop_limit")},
    "extended": {("day", "limit"), ("gtc", "limit")},
}


@pytest.mark.parametrize(("kind", "tif", "order_type"), list(product(LEGAL, TIMES, PRICES)))
def test_the_grid(venue: Any, kind: str, tif: str, order_type: str) -> None:
    amount: dict[str, Any] = {"qty": "0.5" if kind == "fractional" else "2"}
    if kind == "notional":
        amount = {"notional": "50"}
    body = {**amount, "type": order_type, "time_in_force": tif, "extended_hours": kind == "extended"}
    body |= PRICES[order_type]
    if tif == "opg":
        venue.at("19:00")  # orders for an auction have a window of their own
    if (tif, order_type) in LEGAL[kind]:
        assert venue.send(**body)["type"] == order_type
    else:
        refusal = venue.refused(**body)
        assert (refusal.status, refusal.code) == (422, 42210000)
        assert venue.updates == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"qty": None}, "qty or notional is required"),
        ({"qty": "0"}, "qty must be > 0"),
        ({"qty": "-3"}, "qty must be > 0"),
        ({"qty": "many"}, "qty must be a number"),
        ({"qty": "NaN"}, "qty must be a number"),
        ({"qty": "1e30"}, "qty must be a number"),
        ({"symbol": ""}, "symbol is required"),
        ({"side": "hold"}, "side must be buy or sell"),
        ({"type": "iceberg"}, "invalid order type"),
        ({"time_in_force": "gtd"}, "invalid time_in_force"),
        ({"type": "limit"}, "limit orders require a limit price"),
        ({"limit_price": "5"}, "market orders require no stop or limit price"),
        ({"type": "stop"}, "stop orders require a stop price"),
        ({"type": "stop_limit", "stop_price": "5"}, "stop limit orders require both stop and limit price"),
        ({"type": "trailing_stop"}, "trailing stop orders must specify one of trail_price or trail_percent"),
        ({"client_order_id": "x" * 129}, "client_order_id must be no more than 128 characters"),
    ],
)
def test_a_request_that_makes_no_sense_is_40010001(venue: Any, body: dict[str, Any], message: str) -> None:
    refusal = venue.refused(**body)
    assert (refusal.status, refusal.code, refusal.message) == (422, 40010001, message)


def test_qty_and_notional_exclude_each_other(venue: Any) -> None:
    body = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "1", "notional": "5"}
    with pytest.raises(Exception, match="only one of qty or notional is accepted"):
        venue.desk.submit(venue.me, body)


@pytest.mark.parametrize(
    ("price", "legal"),
    [("100.01", True), ("100.10", True), ("100.011", False), ("0.9999", True), ("0.99999", False), ("1.001", False)],
)
def test_sub_penny_prices_are_refused(venue: Any, price: str, legal: bool) -> None:
    body = {"type": "limit", "limit_price": price}
    if legal:
        venue.send(**body)
        return
    assert venue.refused(**body).message == (
        f"invalid limit_price {price}. sub-penny increment does not fulfill minimum pricing criteria"
    )


def test_unknown_and_untradable_assets(venue: Any) -> None:
    assert venue.refused("NOPE").message == 'asset "NOPE" not found'


def test_numbers_may_be_sent_as_numbers_and_the_asset_by_its_id(venue: Any) -> None:
    reply = venue.send(venue.market.asset("IBM").id, qty=10, type="limit", limit_price=99)
    assert (reply["qty"], reply["limit_price"], reply["symbol"]) == ("10", "99", "IBM")


def test_notional_below_a_dollar(venue: Any) -> None:
    assert venue.refused(notional="0.99").message == "notional amount must be >= 1.00"


def test_more_than_nine_places(venue: Any) -> None:
    assert venue.refused(qty="0.1234567891").code == 42210000


@pytest.mark.parametrize(
    ("side", "stop", "message"),
    [
        ("buy", "99", "stop price must be greater than current price"),
        ("sell", "101", "stop price must be less than current price"),
    ],
)
def test_a_stop_on_the_wrong_side_of_the_price(venue: Any, side: str, stop: str, message: str) -> None:
    assert venue.refused(side=side, type="stop", stop_price=stop).message == message


def test_switches_of_the_account(venue: Any) -> None:
    venue.me.configuration.fractional_trading = False
    assert venue.refused(qty="0.5").message == "fractional trading is disabled"
    venue.me.configuration.no_shorting = True
    assert venue.refused(side="sell").message == "account is not allowed to short"
    venue.me.configuration.suspend_trade = True
    assert venue.refused().message == "new orders are rejected by user request"


def test_a_refused_client_order_id_is_not_burnt_and_an_accepted_one_is_for_ever(
    venue: Any, make_venue: Callable[..., Any]
) -> None:
    venue.refused(qty="9999999", client_order_id="A")
    resting = venue.send(type="limit", limit_price="90", client_order_id="A")
    assert venue.refused(client_order_id="A").code == 42210000
    venue.cancel(resting)
    again = venue.refused(client_order_id="A")
    assert (again.code, again.message) == (40010001, "client_order_id must be unique")
