"""The endpoints over HTTP: statuses, bodies, filters, headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ORDER = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "10"}
LIMIT = {**ORDER, "type": "limit", "limit_price": "90"}


async def test_each_key_has_an_account_of_its_own(house: Any) -> None:
    async with house.client("PK1") as one, house.client("PK2") as two:
        await one.post("/v2/orders", json=ORDER)
        mine, other = (await one.get("/v2/account")).json(), (await two.get("/v2/account")).json()
    assert mine["id"] != other["id"]
    assert (mine["cash"], other["cash"]) == ("98999.9", "100000")
    assert other["options_trading_level"] == 3
    assert (other["multiplier"], other["buying_power"]) == ("2", "200000")


async def test_without_a_good_key_there_is_401_without_a_code(house: Any) -> None:
    async with house.client("BAD1") as client:
        reply = await client.get("/v2/account")
    assert (reply.status_code, reply.json()) == (401, {"message": "unauthorized."})


async def test_an_order_by_id_and_by_client_order_id(house: Any) -> None:
    async with house.client() as client:
        posted = (await client.post("/v2/orders", json={**LIMIT, "client_order_id": "mine"})).json()
        by_id = (await client.get(f"/v2/orders/{posted['id']}")).json()
        by_client_id = (await client.get("/v2/orders:by_client_order_id", params={"client_order_id": "mine"})).json()
        missing = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": "other"})
    assert by_id == by_client_id
    assert by_id["status"] == "new"
    assert (missing.status_code, missing.json()["code"]) == (404, 40410000)


async def test_the_filters_of_the_order_list(house: Any) -> None:
    async with house.client() as client:

        async def ids(**query: Any) -> list[str]:
            return [row["id"] for row in (await client.get("/v2/orders", params=query)).json()]

        a = (await client.post("/v2/orders", json=LIMIT)).json()
        b = (await client.post("/v2/orders", json={**ORDER, "symbol": "BAC"})).json()
        c = (await client.post("/v2/orders", json={**LIMIT, "symbol": "BAC", "limit_price": "10"})).json()

        assert await ids() == [c["id"], a["id"]]
        assert await ids(status="all", direction="asc") == [a["id"], b["id"], c["id"]]
        assert await ids(status="closed") == [b["id"]]
        assert await ids(status="all", symbols="BAC,F", nested="true") == [c["id"], b["id"]]
        assert await ids(status="all", limit=1) == [c["id"]]
        assert await ids(status="all", after=a["submitted_at"], direction="asc") == [b["id"], c["id"]]
        assert await ids(status="all", until=b["submitted_at"]) == [a["id"]]
        assert await ids(status="all", after_order_id=b["id"]) == [c["id"]]
        assert await ids(status="all", before_order_id=b["id"]) == [a["id"]]
        assert await ids(status="all", side="sell") == []
        assert await ids(status="all", asset_class="crypto") == []
        for bad in ({"status": "some"}, {"limit": "0"}, {"limit": "501"}, {"after": "soon"}, {"nested": "perhaps"}):
            assert (await client.get("/v2/orders", params=bad)).status_code == 422


async def test_cancel_one_is_204_and_all_is_207(house: Any) -> None:
    async with house.client() as client:
        one, two = [(await client.post("/v2/orders", json=LIMIT)).json() for _ in range(2)]
        reply = await client.delete(f"/v2/orders/{one['id']}")
        assert (reply.status_code, reply.content) == (204, b"")
        many = await client.delete("/v2/orders")
        assert (many.status_code, many.json()) == (207, [{"id": two["id"], "status": 200}])
        assert (await client.delete("/v2/orders/5a1c5d7b-5f10-4000-8000-000000000000")).status_code == 404


async def test_replace_answers_with_the_new_order(house: Any) -> None:
    async with house.client() as client:
        old = (await client.post("/v2/orders", json=LIMIT)).json()
        new = await client.patch(f"/v2/orders/{old['id']}", json={"limit_price": "91", "qty": None})
        assert new.status_code == 200
        assert new.json()["replaces"] == old["id"]
        assert (await client.get(f"/v2/orders/{old['id']}")).json()["replaced_by"] == new.json()["id"]


async def test_positions_and_closing_them(house: Any) -> None:
    async with house.client() as client:
        await client.post("/v2/orders", json=ORDER)
        await client.post("/v2/orders", json={**ORDER, "symbol": "BAC", "side": "sell", "qty": "100"})
        bac, ibm = (await client.get("/v2/positions")).json()
        assert (bac["side"], bac["qty"], bac["cost_basis"], bac["market_value"]) == ("short", "-100", "-1399", "-1400")
        assert (ibm["side"], ibm["qty"], ibm["avg_entry_price"], ibm["unrealized_pl"]) == (
            "long",
            "10",
            "100.01",
            "-0.1",
        )
        assert (await client.get(f"/v2/positions/{ibm['asset_id']}")).json() == ibm

        half = await client.delete("/v2/positions/IBM", params={"percentage": "50"})
        assert (half.status_code, half.json()["side"], half.json()["qty"]) == (200, "sell", "5")

        await client.post("/v2/orders", json={**LIMIT, "side": "sell", "qty": "5", "limit_price": "120"})
        rows = (await client.delete("/v2/positions")).json()
        assert [(row["symbol"], row["status"]) for row in rows] == [("BAC", 200), ("IBM", 403)]
        assert rows[1]["body"]["held_for_orders"] == "5"

        rest = await client.delete("/v2/positions", params={"cancel_orders": "true"})
        assert (rest.status_code, [row["status"] for row in rest.json()]) == (207, [200])
        gone = await client.get("/v2/positions/IBM")
        assert (gone.status_code, gone.json()) == (404, {"code": 40410000, "message": "position does not exist"})


async def test_configuration_is_read_and_changed(house: Any) -> None:
    async with house.client() as client:
        before = (await client.get("/v2/account/configurations")).json()
        after = (
            await client.patch("/v2/account/configurations", json={"no_shorting": True, "dtbp_check": None})
        ).json()
        assert after == {**before, "no_shorting": True}
        refused = await client.post("/v2/orders", json={**ORDER, "side": "sell"})
        assert (refused.status_code, refused.json()["message"]) == (403, "account is not allowed to short")
        assert (await client.get("/v2/account")).json()["shorting_enabled"] is False
        for bad in ({"no_shorting": "yes"}, {"max_margin_multiplier": "9"}, {"colour": "red"}):
            assert (await client.patch("/v2/account/configurations", json=bad)).status_code == 422


async def test_activities_by_path_and_by_parameter(make_house: Callable[..., Any]) -> None:
    async with make_house(fee_per_share=1) as house, house.client() as client:
        await client.post("/v2/orders", json=ORDER)
        both = (await client.get("/v2/account/activities")).json()
        fees = (await client.get("/v2/account/activities/FEE")).json()
        fills = (await client.get("/v2/account/activities", params={"activity_types": "FILL"})).json()
        assert [row["activity_type"] for row in both] == ["FEE", "FILL"]
        assert (fees, fills) == ([both[0]], [both[1]])
        page = await client.get("/v2/account/activities", params={"page_size": 1, "page_token": both[0]["id"]})
        assert page.json() == fills


async def test_portfolio_history_has_numbers(house: Any) -> None:
    async with house.client() as client:
        await client.post("/v2/orders", json=ORDER)
        body = (await client.get("/v2/account/portfolio/history", params={"timeframe": "1Min"})).json()
    assert (body["base_value"], body["equity"], body["timeframe"]) == (100000.0, [99999.9], "1Min")


async def test_the_quota_is_in_the_headers_and_then_429(make_house: Callable[..., Any]) -> None:
    async with make_house(reply_quota_per_min=2) as house, house.client() as client:
        house.broker.quota.clock = lambda: 600.0
        first = await client.get("/v2/account")
        assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("2", "1")
        assert first.headers["X-RateLimit-Reset"] == "660"
        missing = await client.get("/v2/positions/IBM")
        assert (missing.status_code, missing.headers["X-RateLimit-Remaining"]) == (404, "0")
        over = await client.get("/v2/account")
        assert (over.status_code, over.json()["code"]) == (429, 42910000)
        house.broker.quota.clock = lambda: 661.0
        assert (await client.get("/v2/account")).status_code == 200


@pytest.mark.parametrize("after", [True, False])
async def test_a_500_before_or_after_the_venue_took_the_order(house: Any, after: bool) -> None:
    async with house.client() as client:
        rule = {"method": "POST", "path": "/v2/orders", "status": 500, "after": after}
        armed = await client.post("/control/faults", json={"next": [rule]})
        assert armed.status_code == 200
        reply = await client.post("/v2/orders", json={**ORDER, "client_order_id": "lost"})
        assert (reply.status_code, reply.json()["code"]) == (500, 50010000)
        found = await client.get("/v2/orders:by_client_order_id", params={"client_order_id": "lost"})
        assert found.status_code == (200 if after else 404)
        assert (await client.post("/v2/orders", json=ORDER)).status_code == 200  # the fault is used up


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"explode": True},
        {"cut": "everything"},
        {"updates": {"lose": 1}},
        {"updates": {"drop_rate": 2}},
        {"next": [{"path": "/", "status": 200}]},
        {"next": [{"paht": "/"}]},
        {"races": {"cancel": -1}},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(house: Any, document: Any) -> None:
    async with house.client() as client:
        assert (await client.post("/control/faults", json=document)).status_code == 422
