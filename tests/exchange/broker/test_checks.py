"""What the account allows: quantity held, crossing zero, wash trades, shorting, buying power."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest


def test_an_order_through_zero_is_refused_with_the_numbers(venue: Any) -> None:
    venue.hold(qty=9, price="100")
    refusal = venue.refused(side="sell", qty="10")
    assert (refusal.status, refusal.code) == (403, 40310000)
    assert refusal.body() == {
        "code": 40310000,
        "message": "insufficient qty available for order (requested: 10, available: 9)",
        "available": "9",
        "existing_qty": "9",
        "held_for_orders": "0",
        "related_orders": [],
        "symbol": "IBM",
    }


def test_an_opening_order_while_its_closing_one_works_is_refused(venue: Any) -> None:
    venue.hold(qty=9, price="100")
    closing = venue.send(side="sell", qty="9", type="limit", limit_price="120")
    refusal = venue.refused(side="sell", qty="9")
    assert refusal.message == "insufficient qty available for order (requested: 9, available: 0)"
    assert refusal.extra["held_for_orders"] == "9"
    assert refusal.extra["related_orders"] == [closing["id"]]


def test_a_short_is_not_covered_through_zero_either(venue: Any) -> None:
    venue.hold(qty=-9, price="100")
    assert venue.refused(qty="10").extra["available"] == "9"
    venue.send(qty="9")
    assert venue.me.position("IBM") is None


def test_a_long_buy_is_refused_while_a_short_sale_is_open(venue: Any) -> None:
    venue.send(side="sell", type="limit", limit_price="120")
    refusal = venue.refused(type="limit", limit_price="90")
    assert refusal.message == "cannot open a long buy while a short sell order is open"


@pytest.mark.parametrize(
    ("held", "side", "intent"),
    [(0, "buy", "buy_to_open"), (0, "sell", "sell_to_open"), (9, "sell", "sell_to_close"), (-9, "buy", "buy_to_close")],
)
def test_the_intent_is_inferred(venue: Any, held: int, side: str, intent: str) -> None:
    if held:
        venue.hold(qty=held, price="100")
    assert venue.send(side=side, qty="1")["position_intent"] == intent


def test_a_wrong_intent_is_refused(venue: Any) -> None:
    refusal = venue.refused(side="sell", position_intent="sell_to_close")
    assert refusal.code == 42210000
    assert refusal.message == "position intent mismatch, inferred: sell_to_open, specified: sell_to_close"


@pytest.mark.parametrize(
    ("resting", "new", "reason"),
    [
        ({"type": "limit", "limit_price": "110"}, {"type": "limit", "limit_price": "109.99"}, None),
        ({"type": "limit", "limit_price": "110"}, {"type": "limit", "limit_price": "110"}, "limit"),
        ({"type": "limit", "limit_price": "110"}, {}, "limit"),
        ({"type": "stop", "stop_price": "90"}, {"type": "limit", "limit_price": "80"}, "market/stop"),
        ({"type": "limit", "limit_price": "110"}, {"type": "stop", "stop_price": "120"}, "limit"),
        ({"type": "trailing_stop", "trail_price": "9"}, {}, None),
        ({"type": "limit", "limit_price": "110"}, {"type": "trailing_stop", "trail_price": "9"}, None),
    ],
)
def test_the_wash_trade_table(venue: Any, resting: dict[str, str], new: dict[str, str], reason: str | None) -> None:
    venue.hold(qty=10, price="100")
    first = venue.send(side="sell", qty="5", **resting)
    if reason is None:
        venue.send(side="buy", qty="5", **new)
        return
    refusal = venue.refused(side="buy", qty="5", **new)
    assert (refusal.status, refusal.code) == (403, 40310000)
    assert refusal.message == "potential wash trade detected. use complex orders"
    assert refusal.extra == {
        "reject_reason": f"opposite side {reason} order exists",
        "existing_order_id": first["id"],
    }


def test_alpacas_own_example_of_buying_power(make_venue: Any) -> None:
    """Buying power 10,000; a limit buy takes its value off; one above the rest is refused (docs, "Buying Power")."""
    venue = make_venue(opening_cash=5_000)
    venue.quote("IBM", "99", "100")
    venue.send(qty="30", type="limit", limit_price="90")
    assert venue.figure("buying_power") == 10_000 - 2_700
    refusal = venue.refused(qty="80", type="limit", limit_price="95")
    assert refusal.body() == {
        "code": 40310000,
        "message": "insufficient buying power",
        "buying_power": "7300",
        "cost_basis": "7600",
    }


def test_no_fractional_shorts(venue: Any) -> None:
    assert venue.refused(side="sell", qty="0.5").message == "fractional orders cannot be sold short"
    assert venue.refused(side="sell", notional="50").message == "fractional orders cannot be sold short"


def test_a_fraction_that_is_held_may_be_sold(venue: Any) -> None:
    venue.send(qty="1.5")
    venue.send(side="sell", qty="0.5")
    assert venue.me.qty("IBM") == 1


def test_an_asset_that_cannot_be_borrowed(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    asset = replace(venue.market.asset("F"), shortable=False)
    monkeypatch.setattr(venue.market, "asset", lambda _symbol: asset)
    assert venue.refused("F", "sell").message == 'asset "F" cannot be sold short'


def test_no_dollars_open_while_an_order_that_closes_works(venue: Any) -> None:
    venue.hold(qty=9, price="100")
    venue.send(side="sell", qty="9", type="limit", limit_price="120")
    assert venue.refused(notional="50", type="limit", limit_price="90").message == (
        "unable to open new notional orders while having open closing position orders"
    )


KINDS = ("market", "limit", "stop", "stop_limit")


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize(("resting", "new"), list(product(KINDS, KINDS)))
def test_all_rows_of_the_wash_trade_table(venue: Any, resting: str, new: str, crossing: bool) -> None:
    """At night every type rests. Two limits are judged by their prices, whatever else is refused."""
    venue.hold(qty=100, price="100")
    venue.at("18:00")
    prices = {"sell": "110", "buy": "110" if crossing else "109.99"}

    def order(side: str, kind: str) -> dict[str, str]:
        members = {"type": kind, "side": side, "qty": "5"}
        if "limit" in kind:
            members["limit_price"] = prices[side]
        if "stop" in kind:
            members["stop_price"] = "105" if side == "buy" else "115"
        return members

    venue.send(**order("sell", resting))
    if "limit" in resting and "limit" in new and not crossing:
        venue.send(**order("buy", new))
        return
    refusal = venue.refused(**order("buy", new))
    assert refusal.message == "potential wash trade detected. use complex orders"
    kind = "limit" if "limit" in resting else "market/stop"
    assert refusal.extra["reject_reason"] == f"opposite side {kind} order exists"
