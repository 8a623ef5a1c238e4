"""Brackets, OCO and OTO orders: what is held, what starts, what cancels what."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.broker.queries import select_orders

EXITS = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}


def bracket(venue: Any, **body: Any) -> dict[str, Any]:
    reply: dict[str, Any] = venue.send(order_class="bracket", **{**EXITS, **body})
    return reply


def legs(venue: Any, reply: dict[str, Any]) -> tuple[Any, Any]:
    """The take-profit and the stop-loss as they stand."""
    profit, stop = venue.order(reply).legs
    return profit, stop


def statuses(venue: Any, reply: dict[str, Any]) -> list[str]:
    return [order.status for order in venue.order(reply).family]


def test_one_post_makes_three_orders_whose_exits_are_held(venue: Any) -> None:
    reply = bracket(venue, type="limit", limit_price="99")

    assert (reply["order_class"], reply["status"]) == ("bracket", "pending_new")
    profit, stop = reply["legs"]
    assert (profit["type"], profit["side"], profit["limit_price"], profit["status"]) == ("limit", "sell", "110", "held")
    assert (stop["type"], stop["side"], stop["stop_price"], stop["limit_price"]) == ("stop", "sell", "95", None)
    assert {leg["order_class"] for leg in reply["legs"]} == {"bracket"}
    assert {leg["position_intent"] for leg in reply["legs"]} == {"sell_to_close"}
    assert len({order["client_order_id"] for order in (reply, profit, stop)}) == 3
    assert statuses(venue, reply) == ["new", "held", "held"]
    assert venue.events() == ["pending_new", "new"]


def test_a_stop_loss_with_a_limit_is_a_stop_limit(venue: Any) -> None:
    reply = bracket(venue, stop_loss={"stop_price": "95", "limit_price": "94.5"})
    assert (reply["legs"][1]["type"], reply["legs"][1]["limit_price"]) == ("stop_limit", "94.5")


def test_the_exits_start_when_the_entry_is_filled_whole(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0)
    venue.quote("IBM", "100", "100")
    reply = bracket(venue, qty="20")
    assert statuses(venue, reply) == ["partially_filled", "held", "held"]
    venue.desk.book._portions.rate = 0.0
    venue.quote("IBM", "100", "100")
    assert statuses(venue, reply) == ["filled", "new", "new"]
    assert venue.events()[-3:] == ["fill", "new", "new"]


@pytest.mark.parametrize(
    ("quote", "price", "expected"),
    [
        (("110", "110.02"), "110", ["filled", "filled", "canceled"]),
        (("94", "95"), "94", ["filled", "canceled", "filled"]),
    ],
)
def test_one_exit_fills_and_the_other_is_cancelled(
    venue: Any, quote: tuple[str, str], price: str, expected: list[str]
) -> None:
    reply = bracket(venue)
    venue.quote("IBM", *quote)
    assert statuses(venue, reply) == expected
    assert venue.me.position("IBM") is None
    assert venue.events()[-2:] == ["fill", "canceled"]
    assert venue.updates[-2]["price"] == price


def test_a_short_entry_has_buying_exits(venue: Any) -> None:
    exits = {"take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "105"}}
    reply = bracket(venue, side="sell", **exits)
    assert {leg["side"] for leg in reply["legs"]} == {"buy"}
    venue.quote("IBM", "89", "90")
    assert statuses(venue, reply) == ["filled", "filled", "canceled"]
    assert venue.me.position("IBM") is None


def test_a_partial_fill_of_one_exit_shrinks_the_other(venue: Any) -> None:
    reply = bracket(venue, qty="20")
    venue.desk.book._portions.of = lambda order: order.qty / 4
    venue.quote("IBM", "110", "110.02")
    profit, stop = legs(venue, reply)
    assert (profit.status, stop.qty, stop.leaves) == ("partially_filled", 15, 15)
    venue.desk.book._portions.of = lambda order: order.leaves
    venue.quote("IBM", "94", "95")
    assert statuses(venue, reply) == ["filled", "canceled", "filled"]
    assert venue.me.position("IBM") is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_cancelling_any_one_cancels_the_group(venue: Any, which: int) -> None:
    reply = bracket(venue, type="limit", limit_price="99")
    venue.desk.cancel(venue.me, venue.order(reply).family[which])
    assert statuses(venue, reply) == ["canceled"] * 3
    assert venue.events().count("canceled") == 3
    assert venue.figure("reserved") == 0


def test_cancelling_an_exit_leaves_the_position_alone(venue: Any) -> None:
    reply = bracket(venue)
    venue.desk.cancel(venue.me, legs(venue, reply)[0])
    assert statuses(venue, reply) == ["filled", "canceled", "canceled"]
    assert venue.me.qty("IBM") == 10


def test_a_day_bracket_expires_whole(venue: Any) -> None:
    resting = bracket(venue, type="limit", limit_price="99")
    filled = bracket(venue)
    venue.at("16:00")
    assert statuses(venue, resting) == ["expired"] * 3
    assert statuses(venue, filled) == ["filled", "expired", "expired"]


def test_a_queued_bracket_starts_at_the_open(venue: Any) -> None:
    venue.at("09:00", "2013-10-08")
    reply = bracket(venue)
    assert statuses(venue, reply) == ["accepted", "held", "held"]
    venue.at("09:30", "2013-10-08")
    venue.quote("IBM", "99.99", "100.01")
    assert statuses(venue, reply) == ["filled", "new", "new"]


def test_the_shares_are_held_once_for_both_exits(venue: Any) -> None:
    bracket(venue)
    assert venue.me.held("IBM") == 10
    refusal = venue.refused(side="sell", qty="1")
    assert (refusal.extra["available"], refusal.extra["held_for_orders"]) == ("0", "10")
    assert len(refusal.extra["related_orders"]) == 1


def test_exits_that_are_held_hold_no_shares(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    bracket(venue, type="limit", limit_price="99")
    assert venue.me.held("IBM") == 0


def test_exits_are_exempt_from_the_wash_trade_guard_and_entries_are_not(venue: Any) -> None:
    bracket(venue)
    venue.send(qty="1")  # beside a stop and a limit on the other side
    venue.send(side="sell", qty="1", type="limit", limit_price="101")
    assert "wash trade" in venue.refused(order_class="bracket", **EXITS).message


@pytest.mark.parametrize("name", ["take_profit", "stop_loss"])
def test_an_oto_order_has_one_exit(venue: Any, name: str) -> None:
    reply = venue.send(order_class="oto", **{name: EXITS[name]})
    (leg,) = venue.order(reply).legs
    assert leg.role == name
    venue.quote("IBM", *(("110", "111") if name == "take_profit" else ("94", "95")))
    assert statuses(venue, reply) == ["filled", "filled"]
    assert venue.me.position("IBM") is None


@pytest.mark.parametrize(
    ("quote", "expected"), [(("110", "110.02"), ["filled", "canceled"]), (("94", "95"), ["canceled", "filled"])]
)
def test_an_oco_order_is_two_exits_of_which_the_limit_is_the_parent(
    venue: Any, quote: tuple[str, str], expected: list[str]
) -> None:
    venue.hold(qty=10, price="100")
    reply = venue.send(side="sell", type="limit", order_class="oco", **EXITS)
    assert (reply["type"], reply["limit_price"], reply["order_class"]) == ("limit", "110", "oco")
    (stop,) = reply["legs"]
    assert (stop["status"], stop["stop_price"], stop["side"]) == ("held", "95", "sell")
    assert statuses(venue, reply) == ["new", "new"]
    venue.quote("IBM", *quote)
    assert statuses(venue, reply) == expected
    assert venue.me.position("IBM") is None


def test_an_oco_order_out_of_hours_waits_whole(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    venue.at("17:00")
    reply = venue.send(side="sell", type="limit", order_class="oco", **EXITS)
    assert statuses(venue, reply) == ["accepted", "held"]
    venue.at("09:30", "2013-10-08")
    assert statuses(venue, reply) == ["new", "new"]


def test_an_oco_order_is_an_exit_and_brackets_are_entries(venue: Any) -> None:
    refusal = venue.refused(side="sell", type="limit", order_class="oco", **EXITS)
    assert refusal.message == "oco orders must be exit orders"
    venue.hold(qty=10, price="100")
    exits = {"take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "105"}}
    assert venue.refused(side="sell", order_class="bracket", **exits).message == "bracket orders must be entry orders"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"take_profit": {"limit_price": "95"}}, "take_profit.limit_price must be > stop_loss.stop_price"),
        ({"stop_loss": {"stop_price": "100"}}, "stop_loss.stop_price must be <= base_price - 0.01"),
        (
            {"type": "limit", "limit_price": "95"},
            "stop_loss.stop_price must be <= base_price - 0.01",
        ),
        (
            {"stop_loss": {"stop_price": "95", "limit_price": "96"}},
            "stop_loss.limit_price must be <= stop_loss.stop_price",
        ),
        ({"stop_loss": None}, "bracket orders require take_profit.limit_price and stop_loss.stop_price"),
        ({"take_profit": {"limit_price": "110.001"}}, "invalid take_profit 110.001."),
        ({"qty": "1.5"}, "fractional orders must be"),
        ({"extended_hours": True, "type": "limit", "limit_price": "99"}, "extended hours orders must be simple"),
        ({"type": "trailing_stop", "trail_price": "3"}, "bracket orders can't be trailing_stop orders"),
        ({"time_in_force": "ioc"}, "bracket orders can't be market orders with time_in_force ioc"),
    ],
)
def test_brackets_that_make_no_sense(venue: Any, body: dict[str, Any], message: str) -> None:
    refusal = venue.refused(**{"order_class": "bracket", **EXITS, **body})
    assert (refusal.status, refusal.code) == (422, 42210000)
    assert refusal.message.startswith(message)
    assert venue.updates == []
    assert not venue.me.orders


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"order_class": "oto", **EXITS}, "oto orders require either take_profit or stop_loss"),
        (EXITS, "take_profit and stop_loss require an order_class of bracket, oco or oto"),
    ],
)
def test_exits_that_a_class_does_not_have(venue: Any, body: dict[str, Any], message: str) -> None:
    assert venue.refused(**body).message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"order_class": "ladder"}, "invalid order_class: ladder"),
        ({"order_class": "oto", "take_profit": {}}, "take_profit requires a price"),
        ({"order_class": "oto", "take_profit": "9"}, "take_profit must be an object"),
        ({"order_class": "oto", "stop_loss": {"limit_price": "9"}}, "stop_loss.stop_price is required"),
        ({"order_class": "oto", "stop_loss": {"stop_price": "0"}}, "stop_loss price must be > 0"),
    ],
)
def test_requests_that_are_malformed(venue: Any, body: dict[str, Any], message: str) -> None:
    refusal = venue.refused(**body)
    assert (refusal.code, refusal.message) == (40010001, message)


def test_only_the_prices_of_a_bracket_are_replaced(venue: Any) -> None:
    reply = bracket(venue, type="limit", limit_price="99")
    with pytest.raises(Exception, match="only limit_price and stop_price of bracket orders can be replaced"):
        venue.replace(reply, qty="5")
    with pytest.raises(Exception, match="order isn't sent to exchange yet"):
        venue.replace(reply["legs"][0], limit_price="111")

    new = venue.replace(reply, limit_price="100.01")

    assert [leg["id"] for leg in new["legs"]] == [leg["id"] for leg in reply["legs"]]
    assert statuses(venue, new) == ["filled", "new", "new"]
    venue.quote("IBM", "110", "111")
    assert statuses(venue, new) == ["filled", "filled", "canceled"]


def test_a_leg_that_works_is_replaced_in_its_group(venue: Any) -> None:
    reply = bracket(venue)
    profit, stop = legs(venue, reply)
    with pytest.raises(Exception, match="must be > stop_loss"):
        venue.desk.replace(venue.me, profit, {"limit_price": "95"})
    new = venue.desk.replace(venue.me, stop, {"stop_price": "97"})
    assert [leg.id for leg in venue.order(reply).legs] == [profit.id, new["id"]]
    assert new["order_class"] == "bracket"
    venue.quote("IBM", "96", "97")
    assert venue.status(new) == "filled"
    assert profit.status == "canceled"


def test_a_leg_may_be_replaced_in_a_race(venue: Any) -> None:
    reply = bracket(venue)
    _, stop = legs(venue, reply)
    venue.faults.arm({"races": {"replace": 1}})
    new = venue.desk.replace(venue.me, stop, {"stop_price": "97"})
    venue.quote("IBM", "99.99", "100.01")
    assert venue.order(reply).legs[1].id == new["id"]
    assert venue.status(new) == "new"


def test_an_oto_order_cannot_be_replaced(venue: Any) -> None:
    reply = venue.send(type="limit", limit_price="99", order_class="oto", take_profit={"limit_price": "110"})
    with pytest.raises(Exception, match="oto orders cannot be replaced"):
        venue.replace(reply, limit_price="98")


def test_legs_are_rows_of_their_own_unless_nested(venue: Any) -> None:
    reply = bracket(venue, type="limit", limit_price="99")
    rows = select_orders(venue.me.orders.values(), {"status": "open"})
    assert len(rows) == 3
    assert all(row.json(nested=False)["legs"] is None for row in rows)
    (row,) = select_orders(venue.me.orders.values(), {"status": "open", "nested": "true"})
    assert [leg["id"] for leg in row.json()["legs"]] == [leg["id"] for leg in reply["legs"]]


def test_legs_whose_parent_is_not_asked_for_are_not_lost(venue: Any) -> None:
    bracket(venue)
    rows = select_orders(venue.me.orders.values(), {"status": "open", "nested": "true"})
    assert {row.role for row in rows} == {"take_profit", "stop_loss"}


def test_the_entry_of_a_bracket_alone_reserves_buying_power(venue: Any) -> None:
    bracket(venue, type="limit", limit_price="99")
    assert venue.figure("reserved") == Decimal(990)
