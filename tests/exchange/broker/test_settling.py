"""Exercise, assignment, expiry: positions, cash and activities, and no trade update."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.errors import AlpacaError

C90, C100, C110, P100, P110 = (
    f"IBM131018{k}{s:05d}000" for k, s in (("C", 90), ("C", 100), ("C", 110), ("P", 100), ("P", 110))
)
QUOTES = {
    C90: ("10", "10.20"),
    C100: ("3", "3.20"),
    C110: ("0.50", "0.60"),
    P100: ("2.90", "3.10"),
    P110: ("10", "10.2"),
}
LAST_DAY = "2013-10-18"


def prepare(venue: Any) -> Any:
    venue.market.add_symbols(list(QUOTES))
    venue.quote("IBM", "99.99", "100.01")
    venue.trade("IBM", "100")
    for symbol, (bid, ask) in QUOTES.items():
        venue.quote(symbol, bid, ask)
    return venue


@pytest.fixture
def floor(venue: Any) -> Any:
    return prepare(venue)


def spread(floor: Any, bought: str, sold: str, qty: str = "1") -> None:
    legs = [
        {"symbol": bought, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": sold, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ]
    order = {"order_class": "mleg", "qty": qty, "type": "market", "time_in_force": "day", "legs": legs}
    floor.desk.submit(floor.me, order)


def rows(floor: Any) -> list[tuple[str, str, str, str]]:
    found = floor.me.activities.page(category="non_trade_activity", descending=False)
    return [(row["activity_type"], row["symbol"], row["qty"], row["net_amount"]) for row in found]


def held(floor: Any) -> dict[str, Decimal]:
    return {symbol: position.qty for symbol, position in floor.me.positions.items()}


def refusal(floor: Any, symbol: str, *, dne: bool = False) -> AlpacaError:
    verb = floor.desk.settling.refuse_exercise if dne else floor.desk.settling.exercise
    with pytest.raises(AlpacaError) as refused:
        verb(floor.me, symbol)
    return refused.value


def test_a_call_is_exercised(floor: Any) -> None:
    floor.send(C90, "buy", "2")
    cash = floor.me.cash
    floor.updates.clear()
    floor.desk.settling.exercise(floor.me, C90)
    assert held(floor) == {"IBM": 200}
    assert floor.me.cash == cash - 18_000
    assert rows(floor) == [("OPEXC", C90, "-2", "0"), ("OPTRD", "IBM", "200", "-18000")]
    first, second = floor.me.activities.page(category="non_trade_activity")
    assert first["group_id"] == second["group_id"]
    assert floor.updates == []
    assert floor.me.position("IBM").average == 90


def test_a_put_needs_the_shares(floor: Any) -> None:
    floor.send(P110, "buy", "1")
    assert refusal(floor, P110).message == "insufficient qty available (required: 100, available: 0)"
    floor.send("IBM", "buy", "100")
    floor.desk.settling.exercise(floor.me, P110)
    assert held(floor) == {}
    assert rows(floor)[-1] == ("OPTRD", "IBM", "-100", "11000")


def test_what_is_not_exercised(floor: Any) -> None:
    assert refusal(floor, "IBM").code == 42210000
    assert refusal(floor, C100).message == "no available position for the specified contract"
    floor.send(C110, "buy", "1")
    assert "out-of-the-money" in refusal(floor, C110).message
    floor.send(P100, "sell", "1")
    assert (refusal(floor, P100).status, refusal(floor, P100).code) == (403, 40310001)
    floor.send(C90, "buy", "1")
    resting = floor.send(C90, "sell", "1", type="limit", limit_price="20")
    assert refusal(floor, C90).message == "no qty available to exercise"
    floor.cancel(resting)
    floor.at("16:30")
    assert refusal(floor, C90).message == "exercise requests are not accepted after market close until midnight"


def test_an_exercise_that_cannot_be_paid(make_venue: Callable[..., Any]) -> None:
    venue = prepare(make_venue(opening_cash=3_000))
    venue.send(C90, "buy", "2")
    assert refusal(venue, C90).message.startswith("insufficient regt buying power (required: 18000, available: ")


def test_at_expiry_what_is_in_the_money_is_exercised_and_the_rest_expires(floor: Any) -> None:
    floor.send(C90, "buy", "1")
    floor.send(C110, "buy", "3")
    floor.at("15:00", LAST_DAY)
    floor.trade("IBM", "95")
    floor.at("16:00", LAST_DAY)
    assert held(floor) == {"IBM": 100}
    assert rows(floor) == [("OPEXC", C90, "-1", "0"), ("OPTRD", "IBM", "100", "-9000"), ("OPEXP", C110, "-3", "0")]


def test_a_spread_in_the_money_ends_in_cash(floor: Any) -> None:
    spread(floor, C90, C100)
    cash = floor.me.cash
    floor.at("15:00", LAST_DAY)
    floor.trade("IBM", "120")
    floor.at("16:00", LAST_DAY)
    assert held(floor) == {}
    assert floor.me.cash == cash + 1_000
    assert [row[0] for row in rows(floor)] == ["OPEXC", "OPTRD", "OPASN", "OPTRD"]
    assert floor.figure("maintenance") == 0
    assert floor.me.realized == floor.me.cash - 100_000


def test_a_cent_in_the_money_is_enough_and_less_is_not(floor: Any) -> None:
    floor.send(C100, "buy", "1")
    floor.at("15:00", LAST_DAY)
    floor.trade("IBM", "100.009")
    floor.at("16:00", LAST_DAY)
    assert rows(floor)[0][0] == "OPEXP"


def test_do_not_exercise(floor: Any) -> None:
    floor.send(C90, "buy", "1")
    assert refusal(floor, C90, dne=True).message == (
        "dne requests are only accepted on the expiration day of the option contract"
    )
    floor.at("12:00", LAST_DAY)
    floor.desk.settling.refuse_exercise(floor.me, C90)
    floor.at("16:00", LAST_DAY)
    assert rows(floor) == [("OPEXP", C90, "-1", "0")]
    assert held(floor) == {}


def test_a_short_put_is_assigned_on_order(floor: Any) -> None:
    floor.send(P100, "sell", "2")
    cash = floor.me.cash
    floor.updates.clear()
    floor.desk.settling.assign(floor.me, P100, Decimal(1))
    assert held(floor) == {P100: -1, "IBM": 100}
    assert floor.me.cash == cash - 10_000
    assert rows(floor) == [("OPASN", P100, "1", "0"), ("OPTRD", "IBM", "100", "-10000")]
    assert floor.updates == []
    with pytest.raises(AlpacaError, match="1 are short"):
        floor.desk.settling.assign(floor.me, P100, Decimal(2))


def test_a_covered_call_delivers_its_shares(floor: Any) -> None:
    floor.send("IBM", "buy", "100")
    floor.send(C100, "sell", "1")
    floor.at("15:00", LAST_DAY)
    floor.trade("IBM", "130")
    floor.at("16:00", LAST_DAY)
    assert held(floor) == {}
    assert floor.me.cash == 100_000 - 10_001 + 300 + 10_000


def test_an_early_assignment_that_leaves_the_long_needs_margin_for_the_shares(floor: Any) -> None:
    spread(floor, C110, C100)
    floor.desk.settling.assign(floor.me, C100, Decimal(1))
    assert held(floor) == {C110: 1, "IBM": -100}
    assert floor.figure("maintenance") == 3_000


def test_late_rows_show_the_day_after(make_venue: Callable[..., Any]) -> None:
    venue = prepare(make_venue(late_activities=True))
    venue.send(P100, "sell", "1")
    venue.desk.settling.assign(venue.me, P100, Decimal(1))
    assert venue.me.qty("IBM") == 100
    today = venue.me.activities.page(category="non_trade_activity", now_ns=venue.market.now_ns)
    assert today == []
    venue.at("20:01")  # midnight in UTC has passed
    later = venue.me.activities.page(category="non_trade_activity", now_ns=venue.market.now_ns)
    assert [row["activity_type"] for row in later] == ["OPTRD", "OPASN"]
    assert {row["date"] for row in later} == {"2013-10-07"}
