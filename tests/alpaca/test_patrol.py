"""Updates that never come, on a stream that stands: the venue is asked."""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Price

FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
QUICK = {"check_interval_s": 0.05}


def test_a_market_order_whose_fill_is_not_told_is_asked_for(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=QUICK) as rig:
            rig.faults.arm({"mute": "trading"})
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            await rig.until(lambda: rig.client.stream_stats()["untold_ends"] == 1, "the count")
            assert rig.client.stream_stats()["inferred_fills"] == 0
            await rig.agree()

    play(scenario())


def test_a_cancel_that_the_venue_took_is_followed_up(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=QUICK) as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading"})
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)

    play(scenario())


def test_a_cancel_that_came_to_nothing_is_rejected_though_nobody_says_so(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=QUICK) as rig:
            rig.exchange.broker.desk.book._portions.of = lambda order: min(order.leaves, type(order.leaves)(1))
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading", "races": {"cancel": 1}})
            rig.strategy.cancel_order(order)
            await rig.until(lambda: any(row.status == "pending_cancel" for row in rig.account.orders.values()))
            rig.quote("IBM", "169.90", "170.00")
            await rig.until(lambda: "CancelRejected" in rig.strategy.names(order), "CancelRejected")
            assert order.status == OrderStatus.PARTIALLY_FILLED

    play(scenario())


def test_a_replacement_that_the_venue_took_is_followed_up_either_way(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=QUICK) as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading"})
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            rig.faults.arm({"races": {"replace": 1}})
            rig.strategy.modify_order(order, price=Price.from_str("168.00"))
            await rig.until(lambda: len(rig.account.orders) == 3, "the second PATCH")
            rig.quote("IBM", "168.90", "169.00")
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order), "ModifyRejected")
            await rig.status(order, FILLED)

    play(scenario())


def test_a_resting_orders_fill_is_found_by_the_round_of_everything(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=QUICK) as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading"})
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, FILLED)

    play(scenario())


def test_nothing_is_asked_while_nothing_is_overdue(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"check_interval_s": 30.0}) as rig:
            await rig.status(rig.limit("buy", 10, "170"), ACCEPTED)
            asked = rig.client.http.stats()["requests"]
            await rig.client.patrol.round(everything=False)
            assert rig.client.http.stats()["requests"] == asked

    play(scenario())
