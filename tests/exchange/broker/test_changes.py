"""Cancel and replace: what each does, and who wins a race."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.errors import AlpacaError


def resting(venue: Any, qty: str = "10", **body: Any) -> dict[str, Any]:
    reply: dict[str, Any] = venue.send(qty=qty, type="limit", limit_price="90", **body)
    venue.updates.clear()
    return reply


def refusal_of(act: Callable[[], Any]) -> AlpacaError:
    with pytest.raises(AlpacaError) as caught:
        act()
    return caught.value


def test_a_cancel_ends_the_order_and_may_be_repeated(venue: Any) -> None:
    order = resting(venue)
    venue.cancel(order)
    venue.cancel(order)
    assert venue.events() == ["canceled"]
    assert venue.order(order).json()["canceled_at"] is not None


def test_a_filled_order_cannot_be_cancelled(venue: Any) -> None:
    order = venue.send()
    refusal = refusal_of(lambda: venue.cancel(order))
    assert (refusal.status, refusal.code, refusal.message) == (422, 42210000, 'order is already in "filled" state')


def test_an_unknown_order_is_404(venue: Any) -> None:
    refusal = refusal_of(lambda: venue.desk.order(venue.me, "nope"))
    assert (refusal.status, refusal.code) == (404, 40410000)


def test_replaced_carries_the_old_order_then_new_the_new_one(venue: Any) -> None:
    old = resting(venue)
    new = venue.replace(old, limit_price="91", qty="12")

    first, second = venue.updates
    assert (first["event"], first["order"]["id"], first["order"]["status"]) == ("replaced", old["id"], "replaced")
    assert first["order"]["replaced_by"] == new["id"]
    assert (second["event"], second["order"]["id"], second["order"]["replaces"]) == ("new", new["id"], old["id"])
    assert (new["limit_price"], new["qty"], new["filled_qty"]) == ("91", "12", "0")
    assert new["client_order_id"] != old["client_order_id"]


def test_a_replacement_that_is_marketable_fills_at_once(venue: Any) -> None:
    new = venue.replace(resting(venue), limit_price="101")
    assert venue.events(new) == ["new", "fill"]


def test_a_chain_of_replacements_goes_on_from_the_last_id_only(venue: Any) -> None:
    first = resting(venue)
    second = venue.replace(first, limit_price="91")
    third = venue.replace(second, limit_price="92", client_order_id="third")
    assert third["client_order_id"] == "third"
    assert refusal_of(lambda: venue.replace(first, limit_price="93")).message == "order already replaced"
    assert refusal_of(lambda: venue.cancel(second)).message == 'order is already in "replaced" state'


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, 42210000, "order parameters are not changed"),
        ({"limit_price": "90.00"}, 42210000, "order parameters are not changed"),
        ({"limit_price": "90.001"}, 42210000, "sub-penny"),
        ({"stop_price": "80"}, 40010001, "stop_price is not accepted for limit orders"),
        ({"qty": "0"}, 40010001, "qty must be > 0"),
        ({"qty": "1.5"}, 42210000, "qty must be integer"),
        ({"notional": "50"}, 42210000, "notional orders cannot be replaced"),
        ({"qty": "99999"}, 40310000, "insufficient buying power"),
        ({"time_in_force": "gtd"}, 40010001, "invalid time_in_force"),
    ],
)
def test_a_replacement_is_checked_like_an_order(venue: Any, body: dict[str, str], code: int, message: str) -> None:
    order = resting(venue)
    refusal = refusal_of(lambda: venue.replace(order, **body))
    assert refusal.code == code
    assert message in refusal.message
    assert venue.status(order) == "new"


def test_an_order_being_replaced_gives_its_buying_power_to_the_new_one(venue: Any) -> None:
    order = resting(venue, qty="2000")  # 180,000 of 200,000
    assert venue.replace(order, qty="2200")["qty"] == "2200"
    assert venue.figure("reserved") == 198_000


def test_a_closing_order_may_grow_up_to_the_position(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    order = venue.send(side="sell", qty="8", type="limit", limit_price="120")
    assert venue.replace(order, qty="10")["qty"] == "10"


def test_what_replaces_a_partly_filled_order_is_for_the_rest_of_the_new_total(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0)
    venue.quote("IBM", "100", "100")
    old = venue.send(qty="100", type="limit", limit_price="100")
    filled = venue.order(old).filled_qty
    assert 0 < filled < 100

    assert refusal_of(lambda: venue.replace(old, qty=str(filled))).message == "qty must be > filled_qty"
    new = venue.replace(old, qty="150", limit_price="99")

    assert Decimal(new["qty"]) == 150 - filled
    assert new["filled_qty"] == "0"


def test_a_switch_makes_the_replacement_carry_the_fills(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=1.0, replace_carries_fills=True)
    venue.quote("IBM", "100", "100")
    old = venue.send(qty="100", type="limit", limit_price="100")
    new = venue.replace(old, qty="150", limit_price="99")
    assert (new["qty"], new["filled_qty"]) == ("150", venue.order(old).json()["filled_qty"])


@pytest.mark.parametrize(("ask", "ending"), [("90", "fill"), ("95", "canceled")])
def test_a_cancel_in_a_race_is_decided_at_the_next_quote(venue: Any, ask: str, ending: str) -> None:
    order = resting(venue)
    venue.faults.arm({"races": {"cancel": 1}})
    venue.cancel(order)
    assert venue.status(order) == "pending_cancel"

    venue.quote("IBM", "80", ask)

    expected = ["order_cancel_rejected", "fill"] if ending == "fill" else ["canceled"]
    assert venue.events(order) == ["pending_cancel", *expected]


@pytest.mark.parametrize(("ask", "old_ending", "new_ending"), [("90", "filled", "rejected"), ("95", "replaced", "new")])
def test_a_replace_in_a_race_is_decided_at_the_next_quote(
    venue: Any, ask: str, old_ending: str, new_ending: str
) -> None:
    old = resting(venue)
    venue.faults.arm({"races": {"replace": 1}})
    new = venue.replace(old, limit_price="91")
    assert venue.status(old) == "pending_replace"

    venue.quote("IBM", "80", ask)

    assert (venue.status(old), venue.status(new)) == (old_ending, new_ending)
    if old_ending == "filled":
        assert venue.events(old) == ["pending_replace", "order_replace_rejected", "fill"]


def test_a_change_that_waits_at_the_close_ends_with_its_order(venue: Any) -> None:
    old = resting(venue)
    venue.faults.arm({"races": {"replace": 1}})
    new = venue.replace(old, limit_price="91")
    venue.at("16:00")
    assert not venue.order(old).open
    assert not venue.order(new).open
    assert venue.figure("reserved") == 0


def test_closing_a_position_by_quantity_by_percentage_and_whole(venue: Any) -> None:
    venue.hold(qty=10, price="100")
    venue.desk.close(venue.me, "IBM", qty=Decimal(3))
    assert venue.me.qty("IBM") == 7
    venue.desk.close(venue.me, "IBM", percentage=Decimal(50))
    assert venue.me.qty("IBM") == Decimal("3.5")
    venue.desk.close(venue.me, "IBM")
    assert venue.me.position("IBM") is None
    assert refusal_of(lambda: venue.desk.close(venue.me, "IBM")).message == "position does not exist"
