"""FILL and FEE rows: what they say, and how they are paged."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.errors import AlpacaError


def test_a_fill_row_has_every_member_and_no_execution_id(venue: Any) -> None:
    order = venue.send(qty="30")
    (row,) = venue.me.activities.page()
    update = venue.updates[-1]
    stamp, _, uuid = row.pop("id").partition("::")
    assert stamp == "20131007140000000"
    assert uuid != update["execution_id"]
    assert row == {
        "activity_type": "FILL",
        "type": "fill",
        "order_id": order["id"],
        "order_status": "filled",
        "symbol": "IBM",
        "side": "buy",
        "price": "100.01",
        "qty": "30",
        "cum_qty": "30",
        "leaves_qty": "0",
        "transaction_time": update["timestamp"],
    }


def test_cumulative_quantity_is_shared_with_the_stream(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(partial_fill_rate=0.8, seed=5)
    venue.quote("IBM", "100", "100")
    order = venue.send(qty="50")
    while venue.status(order) != "filled":
        venue.quote("IBM", "100", "100")

    rows = venue.me.activities.page(descending=False)
    streamed = [u["order"]["filled_qty"] for u in venue.updates if "fill" in u["event"]]
    assert [row["cum_qty"] for row in rows] == streamed
    assert [row["type"] for row in rows] == ["partial_fill"] * (len(rows) - 1) + ["fill"]
    assert all(Decimal(row["cum_qty"]) + Decimal(row["leaves_qty"]) == 50 for row in rows)


def test_tailing_by_page_token_misses_nothing_although_the_clock_stands_still(venue: Any) -> None:
    for _ in range(7):
        venue.send(qty="1")
    seen: list[str] = []
    token = None
    while rows := venue.me.activities.page(descending=False, page_size=3, page_token=token):
        seen += [row["id"] for row in rows]
        token = rows[-1]["id"]
    assert seen == [row.id for row in venue.me.activities.rows]

    venue.send(qty="1")
    assert len(venue.me.activities.page(descending=False, page_token=token)) == 1


def test_the_newest_comes_first_unless_told_otherwise(venue: Any) -> None:
    venue.send(qty="1")
    venue.send(qty="2")
    assert [row["qty"] for row in venue.me.activities.page()] == ["2", "1"]


def test_filters_by_type_category_time_and_order(make_venue: Callable[..., Any]) -> None:
    venue = make_venue(fee_per_share=Decimal("0.01"))
    venue.quote("IBM", "100", "100")
    venue.send(qty="1")
    cut = venue.market.now_ns + 60_000_000_000
    venue.at("11:00")
    second = venue.send(qty="2")
    page = venue.me.activities.page

    assert [row["activity_type"] for row in page(types=frozenset({"FEE"}))] == ["FEE", "FEE"]
    assert len(page(types=frozenset({"FILL", "FEE"}))) == 4
    assert [row["qty"] for row in page(category="trade_activity", after_ns=cut)] == ["2"]
    assert [row["qty"] for row in page(category="non_trade_activity", until_ns=cut)] == ["1"]
    assert [row["qty"] for row in page(order_id=second["id"])] == ["2"]


def test_an_unknown_page_token_is_refused(venue: Any) -> None:
    with pytest.raises(AlpacaError) as caught:
        venue.me.activities.page(page_token="nonsense")
    assert caught.value.status == 422
