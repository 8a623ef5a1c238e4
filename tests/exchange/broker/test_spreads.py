"""Multi-leg orders: what is refused, what they cost, how they trade, change and end."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.broker.queries import select_orders
from runner.exchange.errors import AlpacaError

OCT, NOV = "131018", "131115"
# Strike to (bid, ask), calls and puts of IBM in October; IBM stands at 100.
CALLS = {"100": ("3", "3.20"), "105": ("1.40", "1.50"), "110": ("0.50", "0.60")}
PUTS = {"100": ("2.90", "3.10"), "95": ("1", "1.10"), "90": ("0.30", "0.40")}


def occ(kind: str, strike: str, day: str = OCT, root: str = "IBM") -> str:
    return f"{root}{day}{kind}{int(strike) * 1000:08d}"


@pytest.fixture
def floor(venue: Any) -> Any:
    for kind, table in (("C", CALLS), ("P", PUTS)):
        for strike, (bid, ask) in table.items():
            venue.market.add_symbols([occ(kind, strike)])
            venue.quote(occ(kind, strike), bid, ask)
    venue.market.add_symbols([occ("C", "100", NOV), occ("C", "14", root="BAC")])
    venue.quote(occ("C", "100", NOV), "5", "5.20")
    venue.quote(occ("C", "14", root="BAC"), "1", "1.10")
    return venue


def leg(word: str, intent: str | None = "open") -> dict[str, Any]:
    """`+C100`, `-2P95`, `+C100@131115`; with what it does to the position."""
    side = "buy" if word[0] == "+" else "sell"
    rest, _, day = word[1:].partition("@")
    kind = "C" if "C" in rest else "P"
    count, _, strike = rest.partition(kind)
    made: dict[str, Any] = {"symbol": occ(kind, strike, day or OCT), "ratio_qty": count or "1", "side": side}
    return made if intent is None else {**made, "position_intent": f"{side}_to_{intent}"}


def body(words: str, *, qty: object = "1", limit: str | None = None, intent: str | None = "open", **more: Any) -> Any:
    priced = {"type": "market"} if limit is None else {"type": "limit", "limit_price": limit}
    legs = [leg(word, intent) for word in words.split()]
    return {"order_class": "mleg", "qty": qty, "time_in_force": "day", "legs": legs, **priced, **more}


def send(floor: Any, words: str, **more: Any) -> dict[str, Any]:
    reply: dict[str, Any] = floor.desk.submit(floor.me, body(words, **more))
    return reply


def refused(floor: Any, words: str, **more: Any) -> AlpacaError:
    with pytest.raises(AlpacaError) as refusal:
        send(floor, words, **more)
    return refusal.value


def statuses(floor: Any, reply: dict[str, Any]) -> list[str]:
    return [one.status for one in floor.order(reply).family]


CONDOR = "+P90 -P95 -C105 +C110"


@pytest.mark.parametrize(
    ("words", "more", "code", "message"),
    [
        ("+C100", {}, 40010001, "mleg orders require 2 to 4 legs"),
        ("+C100 -C105", {"symbol": "IBM"}, 40010001, "symbol is not allowed for mleg order"),
        ("+C100 -C105", {"qty": "0.5"}, 42210000, "qty must be integer for options trading"),
        ("+C100 -C105", {"limit": "1.005"}, 42210000, "sub-penny"),
        ("+C100 -C105", {"type": "market", "limit_price": "1"}, 42210000, "limit price is only valid for limit orders"),
        ("+C100 -C105", {"type": "limit"}, 42210000, "limit price is required for limit orders"),
        ("+C100 -C105", {"time_in_force": "ioc"}, 42210000, "invalid time in force"),
        ("+C100 -C105", {"extended_hours": True}, 42210000, "extended hours is not supported for options trading"),
        ("+C100 -C999", {}, 42210000, f"asset not found for {occ('C', '999')}"),
        ("+2C100 -2C105", {}, 42210000, "leg ratio quantities should be relatively prime: GCD[2 2] = 2"),
        ("+C100 -C100", {}, 42210000, "a different contract in each leg"),
        ("-C100 -C105", {}, 40310000, "mleg uncovered short contracts not allowed, please use single leg order"),
        ("+C100 -2C105", {}, 40310000, "mleg uncovered short contracts not allowed"),
        ("+P90 -C105", {}, 40310000, "mleg uncovered short contracts not allowed"),
        (f"+C100 -C100@{NOV}", {}, 40310000, "mleg uncovered short contracts not allowed"),
        ("+C100 -C105", {"intent": "close"}, 42210000, "position intent mismatch, inferred: buy_to_open"),
        ("+C100 -C105", {"qty": "9999"}, 40310000, "insufficient options buying power"),
    ],
)
def test_what_is_refused(floor: Any, words: str, more: dict[str, Any], code: int, message: str) -> None:
    refusal = refused(floor, words, **more)
    assert refusal.code == code
    assert message in refusal.message
    assert floor.updates == []


def test_legs_of_two_underlyings_or_of_shares(floor: Any) -> None:
    request = body("+C100 -C105")
    request["legs"][1]["symbol"] = occ("C", "14", root="BAC")
    with pytest.raises(AlpacaError, match="underlying asset mismatch: IBM != BAC"):
        floor.desk.submit(floor.me, request)
    request["legs"][1]["symbol"] = "IBM"
    with pytest.raises(AlpacaError, match="equity legs are allowed only with"):
        floor.desk.submit(floor.me, request)


def test_level_three_is_needed(floor: Any) -> None:
    floor.me.configuration.max_options_trading_level = 2
    assert refused(floor, "+C100 -C105").message == "account not eligible to trade spreads or uncovered contracts"


def test_intents_may_be_left_out_unless_the_switch_says_otherwise(floor: Any, make_venue: Callable[..., Any]) -> None:
    reply = send(floor, "+C100 -C105", intent=None, limit="1")
    assert [one["position_intent"] for one in reply["legs"]] == ["buy_to_open", "sell_to_open"]
    strict = make_venue(leg_intents_required=True)
    strict.market.add_symbols([occ("C", "100"), occ("C", "105")])
    assert refused(strict, "+C100 -C105", intent=None).message == "leg.0 position intent is required"


def test_the_shapes_of_parent_and_legs(floor: Any) -> None:
    reply = send(floor, CONDOR, qty="2", limit="-1.80")
    assert (reply["status"], reply["order_class"], reply["limit_price"]) == ("pending_new", "mleg", "-1.8")
    assert [reply[name] for name in ("symbol", "asset_class", "asset_id", "side")] == [""] * 4
    first = reply["legs"][0]
    assert (first["type"], first["order_type"], first["limit_price"]) == ("", "", None)
    assert (first["ratio_qty"], first["qty"], first["symbol"]) == ("1", "2", occ("P", "90"))
    assert (first["asset_class"], first["order_class"], first["side"]) == ("us_option", "mleg", "buy")
    assert len({one["client_order_id"] for one in (reply, *reply["legs"])}) == 5
    assert statuses(floor, reply) == ["new"] * 5
    assert floor.events() == ["pending_new", "new"]
    streamed = floor.updates[0]["order"]
    assert (streamed["side"], streamed["asset_id"]) == ("buy", "00000000-0000-0000-0000-000000000000")


def test_a_debit_spread_trades_at_the_far_sides(floor: Any) -> None:
    reply = send(floor, "+C100 -C105", qty="2", limit="2")
    update = floor.updates[-1]
    assert (update["event"], update["price"], update["qty"]) == ("fill", "1.8", "2")
    assert update["position_qtys"] == {occ("C", "100"): "2", occ("C", "105"): "-2"}
    assert [(one["price"], one["qty"]) for one in update["legs"]] == [("3.2", "2"), ("1.4", "2")]
    assert "execution_id" not in update
    assert "position_qty" not in update
    assert len({one["execution_id"] for one in update["legs"]}) == 2
    assert [one["order_id"] for one in update["legs"]] == [one["id"] for one in reply["legs"]]
    assert statuses(floor, reply) == ["filled"] * 3
    assert update["order"]["filled_avg_price"] == "1.8"
    assert floor.me.cash == 100_000 - 360
    assert floor.figure("maintenance") == 0
    fills = floor.me.activities.page(types=frozenset({"FILL"}), descending=False)
    assert [(row["symbol"], row["order_id"]) for row in fills] == [(o["symbol"], o["id"]) for o in reply["legs"]]


def test_legs_may_have_updates_of_their_own_too(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(leg_updates=True)
    for strike in ("100", "105"):
        venue.market.add_symbols([occ("C", strike)])
        venue.quote(occ("C", strike), *CALLS[strike])
    reply = send(venue, "+C100 -C105", limit="2")
    assert venue.events() == ["pending_new", "new", "fill", "fill", "fill"]
    parent, *legs = venue.updates[-3:]
    assert [one["execution_id"] for one in legs] == [one["execution_id"] for one in parent["legs"]]
    assert [one["order"]["id"] for one in legs] == [one["id"] for one in reply["legs"]]
    assert [one["position_qty"] for one in legs] == ["1", "-1"]


def test_a_credit_is_negative_and_an_iron_condor_needs_one_wing(floor: Any) -> None:
    reply = send(floor, CONDOR, limit="-1.30")
    assert statuses(floor, reply) == ["filled"] * 5
    assert floor.updates[-1]["price"] == "-1.4"
    assert floor.order(reply).average == Decimal("-1.4")
    assert (floor.me.cash, floor.figure("maintenance")) == (100_140, 500)
    assert floor.figure("options_buying_power") == 100_140 - 500


def test_a_limit_waits_for_its_net_price(floor: Any) -> None:
    reply = send(floor, "+C100 -C105", limit="1.70")
    assert statuses(floor, reply) == ["new"] * 3
    floor.quote(occ("C", "105"), "1.50", "1.60")
    assert statuses(floor, reply) == ["filled"] * 3
    assert floor.updates[-1]["price"] == "1.7"


def test_a_leg_without_a_bid_holds_the_order_up(floor: Any) -> None:
    floor.quote(occ("C", "105"), "0", "0.05")
    reply = send(floor, "+C100 -C105", limit="9")
    assert statuses(floor, reply) == ["new"] * 3


@pytest.mark.parametrize(
    ("words", "limit", "cost"),
    [
        ("+C100 -C105", "1", 100),
        ("+P100 -P95", "1.25", 125),
        (CONDOR, "-1.80", 320),
        (CONDOR, "1.80", 680),
        ("+C110 -C100", "-5", 500),
        ("+C100 +P100", "0.60", 60),
    ],
)
def test_the_cost_basis_is_margin_plus_net_price(floor: Any, words: str, limit: str, cost: int) -> None:
    for kind, table in (("C", CALLS), ("P", PUTS)):
        for strike in table:
            floor.quote(occ(kind, strike), "0", "0")
    send(floor, words, qty="3", limit=limit)
    assert floor.figure("options_buying_power") == 100_000 - 3 * cost
    refusal = refused(floor, words, qty="9999", limit=limit)
    assert refusal.extra["cost_basis"] == str(9999 * cost)


def test_a_spread_closes_in_one_order_without_new_margin(floor: Any) -> None:
    send(floor, "+C110 -C100", qty="10")
    floor.me.cash = Decimal(5_100)  # just enough to keep it
    reply = send(floor, "-C110 +C100", qty="10", limit="2.70", intent="close")
    assert statuses(floor, reply) == ["filled"] * 3
    assert floor.me.positions == {}


def test_what_is_held_by_another_order_is_not_closed_twice(floor: Any) -> None:
    send(floor, "+C100 -C105", qty="2")
    resting = send(floor, "-C100 +C105", qty="2", limit="-3", intent="close")
    refusal = refused(floor, "-C100 +C105", limit="-3", intent="close")
    assert refusal.extra["related_orders"] == [resting["legs"][0]["id"]]
    assert "available: 0" in floor.refused(occ("C", "100"), "sell", "1").message
    floor.cancel(resting)
    send(floor, "-C100 +C105", limit="-1", intent="close")


def test_a_straddle_is_not_closed_in_one_order(floor: Any) -> None:
    send(floor, "+C100 +P100")
    assert "mleg uncovered" in refused(floor, "-C100 -P100", intent="close").message


def test_a_cancel_ends_the_legs_and_gives_the_money_back(floor: Any) -> None:
    reply = send(floor, CONDOR, limit="-2")
    with pytest.raises(AlpacaError, match="can't be changed by itself"):
        floor.cancel(reply["legs"][0])
    floor.cancel(reply)
    assert statuses(floor, reply) == ["canceled"] * 5
    assert floor.me.open_orders() == []
    assert floor.figure("options_buying_power") == 100_000
    assert floor.events() == ["pending_new", "new", "canceled"]


def test_a_replacement_has_legs_of_its_own(floor: Any) -> None:
    old = send(floor, CONDOR, limit="-2")
    new = floor.replace(old, limit_price="-1.90", qty="3")
    assert (new["replaces"], new["limit_price"], new["qty"]) == (old["id"], "-1.9", "3")
    assert not {one["id"] for one in new["legs"]} & {one["id"] for one in old["legs"]}
    assert statuses(floor, old) == ["replaced"] * 5
    assert statuses(floor, new) == ["new"] * 5
    assert floor.events()[-2:] == ["replaced", "new"]
    with pytest.raises(AlpacaError, match="order parameters are not changed"):
        floor.replace(new, limit_price="-1.90")
    with pytest.raises(AlpacaError, match="can't be changed by itself"):
        floor.replace(new["legs"][0], qty="2")
    floor.replace(new, limit_price="-1.30")
    assert floor.me.qty(occ("P", "95")) == -3


def test_partial_fills_keep_the_ratio_and_a_replacement_takes_the_rest(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0, seed=5)
    for strike in ("100", "105", "110"):
        venue.market.add_symbols([occ("C", strike)])
        venue.quote(occ("C", strike), *CALLS[strike])
    reply = send(venue, "+C100 -2C105 +C110", qty="9", limit="1.10")
    order = venue.order(reply)
    done = order.filled_qty
    assert 0 < done < 9
    assert [leg.filled_qty for leg in order.legs] == [done, 2 * done, done]
    assert {one.status for one in order.family} == {"partially_filled"}
    assert venue.events()[-1] == "partial_fill"
    venue.quote(occ("C", "105"), "0.90", "1")
    new = venue.replace(reply, qty="10")
    assert new["qty"] == str(10 - done)


def test_a_market_order_prices_itself_at_the_far_sides(floor: Any) -> None:
    reply = send(floor, "+C100 -C105")
    assert floor.updates[-1]["price"] == "1.8"
    assert statuses(floor, reply)[0] == "filled"
    floor.at("17:00")
    assert "only allowed during market hours" in refused(floor, "+C100 -C105").message


def test_an_order_sent_at_night_works_in_the_morning(floor: Any) -> None:
    floor.at("18:00")
    reply = send(floor, "+C100 -C105", limit="2")
    assert statuses(floor, reply) == ["accepted"] * 3
    floor.at("09:30", "2013-10-08")
    assert statuses(floor, reply) == ["new"] * 3
    floor.quote(occ("C", "100"), "3", "3.20")
    assert statuses(floor, reply) == ["new"] * 3, "the other leg's quote is of yesterday"
    floor.quote(occ("C", "105"), "1.40", "1.50")
    assert statuses(floor, reply) == ["filled"] * 3


def test_it_expires_with_its_day(floor: Any) -> None:
    reply = send(floor, "+C100 -C105", limit="1")
    floor.at("16:00")
    assert statuses(floor, reply) == ["expired"] * 3


def test_orders_nested_and_flat(floor: Any) -> None:
    reply = send(floor, "+C100 -C105", limit="1")
    orders = floor.me.orders.values()
    (found,) = select_orders(orders, {"nested": "true"})
    assert found.id == reply["id"]
    assert len(select_orders(orders, {})) == 3
    (found,) = select_orders(orders, {"nested": "true", "symbols": occ("C", "105"), "asset_class": "us_option"})
    assert found.id == reply["id"]


@pytest.mark.parametrize(
    ("change", "event"), [("cancel", "order_cancel_rejected"), ("replace", "order_replace_rejected")]
)
def test_a_fill_may_win_the_race(floor: Any, change: str, event: str) -> None:
    floor.faults.arm({"races": {change: 1}})
    reply = send(floor, "+C100 -C105", limit="1.70")
    if change == "cancel":
        floor.cancel(reply)
    else:
        new = floor.replace(reply, limit_price="1.60")
    assert statuses(floor, reply) == [f"pending_{change}"] * 3
    floor.quote(occ("C", "105"), "1.50", "1.60")
    assert statuses(floor, reply) == ["filled"] * 3
    assert event in floor.events(reply)
    if change == "replace":
        assert statuses(floor, new) == ["rejected"] * 3


def test_or_the_change_wins(floor: Any) -> None:
    floor.faults.arm({"races": {"cancel": 1, "replace": 1}})
    reply = send(floor, "+C100 -C105", limit="1.70")
    new = floor.replace(reply, limit_price="1.60")
    floor.quote(occ("C", "105"), "1.40", "1.60")
    assert (statuses(floor, reply), statuses(floor, new)) == (["replaced"] * 3, ["new"] * 3)
    floor.cancel(new)
    floor.quote(occ("C", "105"), "1.40", "1.60")
    assert statuses(floor, new) == ["canceled"] * 3
    assert floor.figure("options_buying_power") == 100_000
