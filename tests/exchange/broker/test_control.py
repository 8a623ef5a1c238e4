"""Assignments, dividends and splits ordered by a control request."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.broker.control import BrokerControl
from runner.exchange.errors import AlpacaError


def row(venue: Any) -> dict[str, Any]:
    found: dict[str, Any] = venue.me.activities.page(category="non_trade_activity")[0]
    return found


@pytest.mark.parametrize(("qty", "net"), [(10, "9.5"), (-10, "-9.5")])
def test_a_dividend_is_paid_to_longs_and_by_shorts(venue: Any, qty: int, net: str) -> None:
    venue.hold(qty=qty)
    cash = venue.me.cash
    assert BrokerControl(venue.desk).do({"dividend": {"symbol": "IBM", "rate": "0.95"}}) == 1
    assert venue.me.cash == cash + Decimal(net)
    shown = row(venue)
    assert (shown["activity_type"], shown["net_amount"], shown["per_share_amount"]) == ("DIV", net, "0.95")
    assert venue.updates == []


def test_a_split_keeps_the_worth(venue: Any) -> None:
    venue.hold(qty=10)
    venue.trade("IBM", "100")
    resting = venue.send(type="limit", limit_price="90")
    equity = venue.figure("equity")
    assert BrokerControl(venue.desk).do({"split": {"symbol": "IBM", "new_rate": 4, "old_rate": 1}}) == 1
    position = venue.me.position("IBM")
    assert (position.qty, position.average) == (40, 25)
    assert venue.figure("equity") == equity
    assert venue.status(resting) == "canceled"
    assert (row(venue)["activity_type"], row(venue)["qty"]) == ("SPLIT", "30")


def test_a_reverse_split(venue: Any) -> None:
    venue.hold(qty=10)
    BrokerControl(venue.desk).do({"split": {"symbol": "IBM", "new_rate": 1, "old_rate": 5}})
    assert (venue.me.qty("IBM"), row(venue)["qty"]) == (2, "-8")


def test_a_split_under_options_is_refused(venue: Any) -> None:
    venue.market.add_symbols(["IBM131018C00100000"])
    venue.quote("IBM131018C00100000", "3", "3.20")
    venue.send("IBM131018C00100000", "buy", "1")
    with pytest.raises(AlpacaError, match="holds options on it"):
        BrokerControl(venue.desk).do({"split": {"symbol": "IBM", "new_rate": 2, "old_rate": 1}})


@pytest.mark.parametrize(("amount", "kind"), [("5000", "CSD"), ("-5000", "CSW")])
def test_a_transfer_moves_cash_and_tells_of_it(venue: Any, amount: str, kind: str) -> None:
    control, cash, closing = BrokerControl(venue.desk), venue.me.cash, venue.me.last_equity
    assert control.do({"transfer": {"amount": amount, "key": "PK2"}}) == 0
    assert control.do({"transfer": {"amount": amount, "row": False}}) == 1
    assert (venue.me.cash, venue.me.activities.rows) == (cash + Decimal(amount), [])
    assert control.do({"transfer": {"amount": amount, "cash": False}}) == 1
    assert (row(venue)["activity_type"], row(venue)["net_amount"]) == (kind, amount)
    assert (venue.me.cash, venue.me.last_equity) == (cash + Decimal(amount), closing)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "must have one member of assign, dividend, split, close, transfer"),
        ({"gift": {}}, "gift must be one of"),
        ({"transfer": {"amount": 0}}, "amount must be a number other than 0"),
        ({"transfer": {"amount": 1, "cash": False, "row": False}}, "one of them is true"),
        ({"dividend": {"symbol": "IBM"}}, "rate must be > 0"),
        ({"dividend": {"rate": 1}}, "symbol is required"),
        ({"split": {"symbol": "IBM", "new_rate": 2, "old_rate": 0}}, "old_rate must be > 0"),
    ],
)
def test_what_it_does_not_understand(venue: Any, document: dict[str, Any], words: str) -> None:
    with pytest.raises(AlpacaError, match=words):
        BrokerControl(venue.desk).do(document)


def test_the_venue_closes_a_position(venue: Any) -> None:
    venue.hold(qty=10)
    assert BrokerControl(venue.desk).do({"close": {"symbol": "IBM", "key": "PK2"}}) == 0
    assert BrokerControl(venue.desk).do({"close": {"symbol": "IBM"}}) == 1
    assert (venue.me.position("IBM"), venue.events()) == (None, ["pending_new", "new", "fill"])


def test_an_assignment_beyond_what_is_short_reaches_nobody(venue: Any) -> None:
    symbol = "IBM131018P00100000"
    venue.market.add_symbols([symbol])
    venue.quote(symbol, "3", "3.20")
    other = venue.desk.account("PK0")
    for account, qty in ((other, "1"), (venue.me, "2")):
        order = {"symbol": symbol, "side": "sell", "type": "market", "time_in_force": "day", "qty": qty}
        venue.desk.submit(account, order)
    control = BrokerControl(venue.desk)
    with pytest.raises(AlpacaError, match="1 are short"):
        control.do({"assign": {"symbol": symbol, "qty": 2}})
    assert venue.me.qty("IBM") == 0
    assert control.do({"assign": {"symbol": symbol, "qty": 2, "key": "PK1"}}) == 1
    assert (venue.me.qty("IBM"), other.qty("IBM")) == (200, 0)


async def test_over_http(house: Any) -> None:
    async with house.client() as client:
        order = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "10"}
        assert (await client.post("/v2/orders", json=order)).status_code == 200
        reply = await client.post("/control/broker", json={"dividend": {"symbol": "IBM", "rate": "1"}})
        assert reply.json() == {"accounts": 1}
        (found,) = (await client.get("/v2/account/activities/DIV")).json()
        assert found["net_amount"] == "10"
