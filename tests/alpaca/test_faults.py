"""Unknown outcomes, gaps, duplicates: the venue misbehaves, and the books still agree."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Price

FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
REJECTED = OrderStatus.REJECTED
ORDERS = {"method": "POST", "path": "/v2/orders"}


@pytest.mark.parametrize("status", [500, 0], ids=["500", "broken connection"])
def test_an_order_accepted_behind_a_lost_reply_is_found_and_not_doubled(play: Any, running: Any, status: int) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"next": [ORDERS | {"status": status, "after": True}], "mute": "trading"})
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            assert len(rig.account.orders) == 1
            assert not rig.client.unsettled()
            rig.faults.arm({"mute": None})

    play(scenario())


def test_an_order_lost_before_the_venue_is_rejected_only_after_the_timeout(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"unknown_timeout_s": 0.5}) as rig:
            rig.faults.arm({"next": [ORDERS | {"status": 500}]})
            started = asyncio.get_running_loop().time()
            order = rig.limit("buy", 10, "170")
            await rig.until(lambda: rig.client.unsettled(), "unknown")
            await rig.status(order, REJECTED)
            assert asyncio.get_running_loop().time() - started >= 0.5
            assert order.last_event.reason.startswith("UNKNOWN_OUTCOME")
            assert not rig.account.orders

    play(scenario())


def test_a_market_order_whose_reply_is_lost_is_filled_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"next": [ORDERS | {"status": 500, "after": True}]})
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]
            await rig.agree()

    play(scenario())


def test_an_event_before_its_reply_is_understood(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"events_first": True, "next": [ORDERS | {"delay_s": 0.1}]})
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]
            await rig.agree()

    play(scenario())


def test_updates_that_come_twice_count_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"updates": {"duplicate_rate": 1.0}})
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            await rig.agree()
            assert rig.client.stream_stats()["duplicate_fills"] >= 1
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]

    play(scenario())


def test_a_fill_that_the_stream_left_out_is_found_by_settling(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"updates": {"drop": 1}})
            rig.quote("IBM", "169.90", "170.00")
            await rig.client.settle()
            await rig.status(order, FILLED)
            assert rig.client.stream_stats()["inferred_fills"] == 0
            await rig.agree()

    play(scenario())


def test_fills_during_a_cut_are_made_up_for_when_the_stream_is_back(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            resting = rig.limit("buy", 10, "170")
            canceled = rig.limit("buy", 10, "150")
            await rig.status(resting, ACCEPTED)
            await rig.status(canceled, ACCEPTED)
            rig.faults.arm({"refuse": {"trading": 2}, "cut": "trading"})
            await rig.until(lambda: not rig.client.ready, "the cut")
            rig.quote("IBM", "169.90", "170.00")
            desk = rig.exchange.broker.desk
            desk.cancel(rig.account, next(row for row in rig.account.orders.values() if row.limit_price == 150))
            await rig.status(resting, FILLED)
            await rig.status(canceled, CANCELED)
            await rig.until(lambda: rig.client.ready, "ready again")
            assert rig.client.stream_stats()["inferred_fills"] == 0
            await rig.agree()

    play(scenario())


def test_opening_orders_wait_for_the_stream_and_cancels_pass(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"backoff_min_s": 0.5, "backoff_max_s": 0.5}) as rig:
            resting = rig.limit("buy", 10, "150")
            await rig.status(resting, ACCEPTED)
            rig.faults.arm({"refuse": {"trading": 1}, "cut": "trading"})
            await rig.until(lambda: not rig.client.ready, "the cut")
            opening = rig.market("buy", 10)
            rig.strategy.cancel_order(resting)
            await rig.until(lambda: not any(row.open for row in rig.account.orders.values()), "the cancel")
            assert len(rig.account.orders) == 1
            await rig.status(opening, FILLED)
            await rig.status(resting, CANCELED)
            await rig.agree()

    play(scenario())


def test_what_waited_for_the_stream_until_its_schedule_is_over_does_not_leave(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"backoff_min_s": 0.5, "backoff_max_s": 0.5}) as rig:
            over: list[str] = []
            rig.client.set_opening_check(lambda _orders: over[0] if over else None)
            await rig.status(rig.market("buy", 10), FILLED)
            rig.faults.arm({"refuse": {"trading": 1}, "cut": "trading"})
            await rig.until(lambda: not rig.client.ready, "the cut")
            opening, closing = rig.market("buy", 10), rig.market("sell", 10)
            over.append("SCHEDULE_CLOSED: the schedule of a test is over")
            await rig.status(opening, REJECTED)
            await rig.status(closing, FILLED)
            assert opening.last_event.reason.startswith("SCHEDULE_CLOSED")
            assert len(rig.account.orders) == 2
            await rig.agree()

    play(scenario())


def test_opening_orders_are_denied_while_the_stream_is_down_if_asked_for(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"when_down": "deny", "backoff_min_s": 0.5, "backoff_max_s": 0.5}) as rig:
            rig.faults.arm({"cut": "trading"})
            await rig.until(lambda: not rig.client.ready, "the cut")
            order = rig.market("buy", 10)
            await rig.status(order, OrderStatus.DENIED)
            assert order.last_event.reason.startswith("STREAM_DOWN")

    play(scenario())


def test_a_cancel_whose_reply_is_lost_is_settled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            for after in (True, False):
                order = rig.limit("buy", 10, "170")
                await rig.status(order, ACCEPTED)
                rig.faults.arm({"next": [{"method": "DELETE", "path": "/v2/orders", "status": 500, "after": after}]})
                rig.strategy.cancel_order(order)
                await rig.status(order, CANCELED)
                assert "CancelRejected" not in rig.strategy.names(order)

    play(scenario())


def test_a_modification_whose_reply_is_lost_is_settled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            patch = {"method": "PATCH", "path": "/v2/orders", "status": 500}
            rig.faults.arm({"next": [patch | {"after": True}], "mute": "trading"})
            rig.strategy.modify_order(order, price=Price.from_str("171.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            assert str(order.price) == "171.00"
            rig.faults.arm({"mute": None, "next": [patch]})
            rig.strategy.modify_order(order, price=Price.from_str("172.00"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order), "ModifyRejected")
            assert str(order.price) == "171.00"

    play(scenario())


def test_many_fills_during_a_cut_are_read_to_the_last_page(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"refuse": {"trading": 1}, "cut": "trading"})
            await rig.until(lambda: not rig.client.ready, "the cut")
            desk = rig.exchange.broker.desk
            for _ in range(130):
                body = {"symbol": "BAC", "side": "buy", "type": "market", "time_in_force": "day", "qty": "1"}
                desk.submit(rig.account, body)
                rig.quote("BAC", "14.00", "14.01")
            await rig.until(lambda: len(rig.client.fills) == 130, "130 fills")
            assert rig.client.crossings.position("BAC") == Decimal(130)

    play(scenario())


def test_updates_out_of_order_add_up(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.rate = 0.9
            rig.faults.arm({"updates": {"swap_rate": 0.5, "duplicate_rate": 0.3}})
            order = rig.limit("buy", 500, "179")
            await rig.until(lambda: len(rig.account.orders) == 1, "the order at the venue")
            while rig.position("IBM") < 500:
                rig.quote("IBM", "178.90", "178.95")
                await rig.client.settle()
            await rig.status(order, FILLED)
            rig.faults.arm({"reset": True})
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize("carries", [False, True], ids=["fills start anew", "fills are carried"])
def test_fills_before_a_modification_are_counted_once(play: Any, running: Any, carries: bool) -> None:
    async def scenario() -> None:
        async with running() as rig:
            desk = rig.exchange.broker.desk
            object.__setattr__(desk._settings, "replace_carries_fills", carries)
            desk.book._portions.rate = 1.0
            order = rig.limit("buy", 1000, "179")
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "178.90", "178.95")
            await rig.status(order, OrderStatus.PARTIALLY_FILLED)
            rig.strategy.modify_order(order, price=Price.from_str("178.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            desk.book._portions.rate = 0.0
            rig.quote("IBM", "177.90", "177.95")
            await rig.status(order, FILLED)
            assert rig.client.stream_stats()["inferred_fills"] == 0
            await rig.agree()

    play(scenario())
