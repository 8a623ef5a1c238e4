"""Orders through zero, in both shapes that Alpaca refuses, against an exchange that refuses them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId

from runner.risk.limits import Limits
from tests.alpaca.test_gate_over_the_wire import show, take_the_seat

IBM = InstrumentId.from_str("IBM.ALPACA")
FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
REJECTED, SUBMITTED, PARTLY = OrderStatus.REJECTED, OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED


def test_one_order_that_crosses_is_two_at_the_venue_and_one_here(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            order = rig.market("sell", 150)
            await rig.status(order, FILLED)
            assert order.filled_qty.as_decimal() == 150
            assert rig.position("IBM") == -50
            names = [row.client_order_id for row in rig.account.orders.values()]
            assert names[1:] == [order.client_order_id.value, f"{order.client_order_id.value}-2"]
            await rig.agree()

    play(scenario())


def test_close_and_reverse_in_one_turn_waits_for_the_close(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 100), FILLED)
            rig.strategy.close_all_positions(IBM)
            opening = rig.market("buy", 100)
            await rig.status(opening, FILLED)
            assert rig.position("IBM") == 100
            assert rig.strategy.names(opening) == ["Submitted", "Accepted", "Filled"]
            await rig.agree()

    play(scenario())


def test_what_waits_is_rejected_with_the_reason_when_the_close_fails(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            closing = rig.limit("sell", 100, "190")
            await rig.status(closing, ACCEPTED)
            waiting = rig.market("sell", 100)
            await rig.status(waiting, SUBMITTED)
            assert rig.client.unsettled() == {waiting.client_order_id}
            rig.strategy.cancel_order(closing)
            await rig.status(waiting, REJECTED)
            assert waiting.last_event.reason.startswith("CLOSE_FAILED")
            assert closing.client_order_id.value in waiting.last_event.reason
            assert rig.position("IBM") == 100
            await rig.agree()

    play(scenario())


def test_what_waited_until_its_schedule_is_over_does_not_leave(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            over: list[str] = []
            rig.client.set_opening_check(
                lambda orders: over[0] if over and orders[0].strategy_id == rig.strategy.id else None
            )
            await rig.status(rig.market("buy", 100), FILLED)
            closing = rig.limit("sell", 100, "190")
            await rig.status(closing, ACCEPTED)
            waiting, crossing = rig.market("sell", 50), rig.limit("sell", 10, "150")
            await rig.status(waiting, SUBMITTED)
            await rig.status(crossing, SUBMITTED)
            over.append("SCHEDULE_CLOSED: the schedule of a test is over")
            rig.quote("IBM", "190.01", "190.05")
            await rig.status(closing, FILLED)
            for order in (waiting, crossing):
                await rig.status(order, REJECTED)
                assert order.last_event.reason == (
                    "SCHEDULE_CLOSED: never sent, as it waited until the schedule of a test is over"
                )
            assert len(rig.account.orders) == 2
            assert rig.position("IBM") == 0
            await rig.agree()

    play(scenario())


def test_of_an_order_that_crosses_after_its_schedule_only_what_closes_trades(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            over: list[str] = []
            rig.client.set_opening_check(lambda _orders: over[0] if over else None)
            await rig.status(rig.market("buy", 100), FILLED)
            order = rig.limit("sell", 150, "190")
            await rig.status(order, ACCEPTED)
            over.append("SCHEDULE_CLOSED: the schedule of a test is over")
            rig.quote("IBM", "190.01", "190.05")
            await rig.status(order, CANCELED)
            assert order.filled_qty.as_decimal() == 100
            assert rig.position("IBM") == 0
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize("waits", [False, True])
def test_what_would_open_by_the_time_it_may_leave_is_asked_of_the_gate_again(
    play: Any, running: Any, waits: bool
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, Limits())
            show(rig, {"IBM": (Decimal("185.00"), Decimal("185.02"))})
            await rig.status(rig.market("buy", 100), FILLED)
            crossing = rig.limit("sell", 100 if waits else 150, "190")
            await rig.status(crossing, ACCEPTED)
            waiting = rig.limit("sell", 50, "150") if waits else crossing
            if waits:
                await rig.status(waiting, SUBMITTED)
            gate.set_state("halted", why="somebody said so")
            rig.quote("IBM", "190.01", "190.05")
            await rig.status(waiting, REJECTED if waits else CANCELED)
            assert crossing.filled_qty.as_decimal() == 100
            if waits:
                assert waiting.last_event.reason.startswith("STATE_HALTED: never sent, as it waited until")
                assert "somebody said so" in waiting.last_event.reason
            assert len(rig.account.orders) == 2
            assert rig.position("IBM") == 0
            assert gate.errors == 0
            await rig.agree()

    play(scenario())


def test_canceling_a_crossing_order_ends_both_halves(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            order = rig.limit("sell", 150, "190")
            await rig.status(order, ACCEPTED)
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            assert not rig.client.unsettled()
            rig.quote("IBM", "191.00", "191.02")
            await rig.agree()
            assert rig.position("IBM") == 100

    play(scenario())


def test_a_crossing_order_that_can_not_be_canceled_is_of_what_works(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 25), OrderStatus.FILLED)
            order = rig.limit("buy", 35, "170.00")  # 25 close, 10 wait
            await rig.status(order, OrderStatus.ACCEPTED)
            rig.faults.arm({"next": [{"method": "DELETE", "path": "/v2/orders", "count": 1, "status": 422}]})
            rig.strategy.cancel_order(order)
            await rig.until(lambda: "CancelRejected" in rig.strategy.names(order))
            await rig.until(lambda: order.quantity == 25, "what works")
            assert order.status == OrderStatus.ACCEPTED
            rig.quote("IBM", "169.98", "170.00")
            await rig.status(order, OrderStatus.FILLED)
            await rig.agree()

    play(scenario())


def test_canceling_what_waits_sends_nothing(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            closing = rig.limit("sell", 100, "190")
            await rig.status(closing, ACCEPTED)
            waiting = rig.market("sell", 50)
            await rig.status(waiting, SUBMITTED)
            rig.strategy.cancel_order(waiting)
            await rig.status(waiting, CANCELED)
            assert closing.status == ACCEPTED
            assert len(rig.account.orders) == 2

    play(scenario())


def test_a_refused_second_half_ends_the_order_with_what_it_filled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            order = rig.limit("sell", 150, "180.00", time_in_force=TimeInForce.DAY)
            await rig.status(order, FILLED)
            assert order.filled_qty.as_decimal() == Decimal(150)
            huge = rig.market("buy", 100_050)
            await rig.status(huge, CANCELED)
            assert huge.filled_qty.as_decimal() == 50
            assert rig.position("IBM") == 0
            await rig.agree()

    play(scenario())


def test_a_crossing_fok_order_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 100), FILLED)
            order = rig.limit("sell", 150, "180.00", time_in_force=TimeInForce.FOK)
            await rig.status(order, OrderStatus.DENIED)
            assert order.last_event.reason.startswith("THROUGH_ZERO")

    play(scenario())
