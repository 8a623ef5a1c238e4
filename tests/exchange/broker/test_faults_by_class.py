"""The switches to misbehave, for pairs and multi-leg orders, through HTTP and the stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

LOW, HIGH = "IBM131018C00100000", "IBM131018C00105000"
SPREAD = {
    "order_class": "mleg",
    "qty": "2",
    "type": "limit",
    "limit_price": "2",
    "time_in_force": "day",
    "legs": [
        {"symbol": LOW, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": HIGH, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ],
}
COINS = {"symbol": "BTC/USD", "side": "buy", "type": "market", "time_in_force": "gtc", "qty": "0.5"}
BODIES = [pytest.param(SPREAD, id="spread"), pytest.param(COINS, id="pair")]


@pytest.fixture
async def open_house(house: Any) -> AsyncIterator[Any]:
    house.market.add_symbols([LOW, HIGH, "BTC/USD"])
    for symbol, bid, ask in ((LOW, "3", "3.20"), (HIGH, "1.40", "1.50"), ("BTC/USD", "49990", "50000")):
        house.quote(symbol, bid, ask)
    async with house.client() as house.http, connect(house.ws_url, max_queue=None) as house.ws:
        await house.ws.send(json.dumps({"action": "auth", "key": "PK1", "secret": "secret"}))
        await house.ws.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        await house.ws.recv()
        await house.ws.recv()
        yield house


async def events(house: Any, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        return [json.loads(await house.ws.recv())["data"] for _ in range(count)]


async def arm(house: Any, **faults: Any) -> None:
    assert (await house.http.post("/control/faults", json=faults)).status_code == 200


@pytest.mark.parametrize("body", BODIES)
async def test_a_reply_that_is_lost_after_acceptance(open_house: Any, body: dict[str, Any]) -> None:
    await arm(open_house, next=[{"method": "POST", "path": "/v2/orders", "status": 500, "after": True}])
    reply = await open_house.http.post("/v2/orders", json={**body, "client_order_id": "mine"})
    assert reply.status_code == 500
    found = await open_house.http.get("/v2/orders:by_client_order_id", params={"client_order_id": "mine"})
    assert found.json()["status"] == "filled"
    again = await open_house.http.post("/v2/orders", json={**body, "client_order_id": "mine"})
    assert (again.status_code, again.json()["code"]) == (422, 40010001)


@pytest.mark.parametrize("body", BODIES)
async def test_updates_twice_missing_and_out_of_order(open_house: Any, body: dict[str, Any]) -> None:
    await arm(open_house, updates={"duplicate": 1})
    await open_house.http.post("/v2/orders", json=body)
    got = await events(open_house, 4)
    assert [one["event"] for one in got] == ["pending_new", "pending_new", "new", "fill"]
    await arm(open_house, updates={"drop": 1})
    await open_house.http.post("/v2/orders", json=body)
    assert [one["event"] for one in await events(open_house, 2)] == ["new", "fill"]
    await arm(open_house, updates={"swap": 1})
    await open_house.http.post("/v2/orders", json=body)
    assert [one["event"] for one in await events(open_house, 3)] == ["new", "pending_new", "fill"]


@pytest.mark.parametrize("body", BODIES)
async def test_an_order_that_was_taken_is_rejected(open_house: Any, body: dict[str, Any]) -> None:
    await arm(open_house, rejects=1)
    reply = (await open_house.http.post("/v2/orders", json=body)).json()
    assert reply["status"] == "pending_new"
    assert [one["event"] for one in await events(open_house, 2)] == ["pending_new", "rejected"]
    account = (await open_house.http.get("/v2/account")).json()
    assert account["options_buying_power"] == "100000"
    await open_house.http.post("/v2/orders", json=body)
    assert (await events(open_house, 3))[-1]["event"] == "fill"


async def test_a_fill_of_a_spread_survives_a_cut_socket_in_the_activities(open_house: Any) -> None:
    await arm(open_house, mute="trading")
    reply = (await open_house.http.post("/v2/orders", json=SPREAD)).json()
    rows = (await open_house.http.get("/v2/account/activities/FILL")).json()
    assert {row["order_id"] for row in rows} == {leg["id"] for leg in reply["legs"]}
    assert {row["symbol"]: row["qty"] for row in rows} == {LOW: "2", HIGH: "2"}
    order = (await open_house.http.get(f"/v2/orders/{reply['id']}", params={"nested": "true"})).json()
    assert (order["filled_qty"], order["filled_avg_price"]) == ("2", "1.8")


async def test_all_positions_of_a_spread_close_shorts_first(open_house: Any) -> None:
    await open_house.http.post("/v2/orders", json=SPREAD)
    rows = (await open_house.http.delete("/v2/positions")).json()
    assert [(row["symbol"], row["status"]) for row in rows] == [(HIGH, 200), (LOW, 200)]
    assert (await open_house.http.get("/v2/positions")).json() == []


async def test_exercise_and_its_refusals_over_http(open_house: Any) -> None:
    http = open_house.http
    missing = await http.post(f"/v2/positions/{LOW}/exercise")
    assert (missing.status_code, missing.json()["code"]) == (403, 40310000)
    wrong = await http.post("/v2/positions/IBM/exercise")
    assert (wrong.status_code, wrong.json()["message"]) == (422, "invalid symbol")
    await http.post("/v2/orders", json={**COINS, "symbol": LOW, "qty": "1", "time_in_force": "day"})
    early = await http.post(f"/v2/positions/{LOW}/do-not-exercise")
    assert (early.status_code, "expiration day" in early.json()["message"]) == (403, True)
    open_house.quote("IBM", "109.99", "110.01")
    done = await http.post(f"/v2/positions/{LOW}/exercise")
    assert (done.status_code, done.content) == (200, b"")
    (position,) = (await http.get("/v2/positions")).json()
    assert (position["symbol"], position["qty"], position["avg_entry_price"]) == ("IBM", "100", "100")
