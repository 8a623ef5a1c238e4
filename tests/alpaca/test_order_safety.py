"""No order lost, none doubled, no fill booked twice or missed: each test is a way in which one once was."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.models import Order, TradeUpdate, decode

FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
REJECTED, PARTLY = OrderStatus.REJECTED, OrderStatus.PARTIALLY_FILLED
ORDERS = {"method": "POST", "path": "/v2/orders"}
PATCH = {"method": "PATCH", "path": "/v2/orders"}
SLOW_LOOKUP = {"lookup_delay_min_s": 5.0, "lookup_delay_max_s": 5.0}
BUY = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day"}


def shares(text: object) -> Quantity:
    return Quantity.from_str(f"{text}.000000000")


def portions(rig: Any, *parts: int) -> None:
    """The next matches fill so many shares each, later ones the rest."""
    left = list(parts)
    rig.exchange.broker.desk.book._portions.of = lambda order: (
        min(Decimal(left.pop(0)), order.leaves) if left else order.leaves
    )


def test_fills_behind_a_lost_reply_are_the_orders_own(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config=SLOW_LOOKUP) as rig:
            rig.faults.arm({"next": [ORDERS | {"status": 500, "after": True}], "mute": "trading"})
            order = rig.market("buy", 10)
            await rig.until(lambda: rig.client.unsettled(), "unknown")
            await rig.client.gaps.run()
            await rig.status(order, FILLED)
            assert [fill.external for fill in rig.client.fills] == [False]
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]
            await rig.agree()

    play(scenario())


def test_a_replacement_that_is_not_decided_leaves_the_old_order_standing(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 100, "170")
            await rig.status(order, ACCEPTED)
            first = order.venue_order_id
            rig.faults.arm({"races": {"replace": 1}, "next": [PATCH | {"status": 500, "after": True}]})
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: len(rig.account.orders) == 2, "the PATCH at the venue")
            await rig.client.gaps.run()
            assert order.venue_order_id == first
            portions(rig, 40)
            rig.quote("IBM", "169.90", "170.00")
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order), "ModifyRejected")
            await rig.status(order, PARTLY)
            await rig.client.settle()
            assert (order.status, order.filled_qty.as_decimal()) == (PARTLY, Decimal(40))
            rig.quote("IBM", "169.80", "169.90")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize("carries", [False, True], ids=["fills start anew", "fills are carried"])
def test_a_quantity_is_the_whole_orders_after_fills_and_replacements(play: Any, running: Any, carries: bool) -> None:
    async def scenario() -> None:
        async with running() as rig:
            object.__setattr__(rig.exchange.broker.desk._settings, "replace_carries_fills", carries)
            portions(rig, 22, 5)
            order = rig.limit("buy", 33, "170")
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, PARTLY)
            for price, quantity in (("169.00", None), ("168.00", shares(67))):
                updates = rig.strategy.names(order).count("Updated")
                rig.strategy.modify_order(order, quantity=quantity, price=Price.from_str(price))
                await rig.until(lambda n=updates: rig.strategy.names(order).count("Updated") > n, "OrderUpdated")
                rig.quote("IBM", str(Decimal(price) - 1), price)
                filled = rig.position("IBM")
                await rig.until(lambda n=filled: order.filled_qty.as_decimal() == n, "the fill")
            await rig.status(order, FILLED)
            assert rig.position("IBM") == 67
            await rig.agree()

    play(scenario())


def test_what_a_replacing_order_repeats_is_known_while_it_fills_on(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            object.__setattr__(rig.exchange.broker.desk._settings, "replace_carries_fills", True)
            portions(rig, 22, 31)
            order = rig.limit("buy", 54, "170")
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, PARTLY)
            ask = rig.client.rest.order

            async def overtaken(order_id: str) -> Any:
                reply = await ask(order_id)
                if rig.position("IBM") == 53:
                    rig.quote("IBM", "169.90", "170.00")
                    await rig.until(lambda: order.filled_qty.as_decimal() == 54, "the last fill")
                return reply

            rig.client.rest.order = overtaken
            rig.faults.arm({"updates": {"drop": 2}})  # `replaced` and `new`: the fill of 31 is the first word of it.
            rig.strategy.modify_order(order, price=Price.from_str("170.50"))
            await rig.status(order, FILLED)
            await rig.agree()
            assert rig.client.stream_stats()["inferred_fills"] == 0

    play(scenario())


def test_a_position_is_not_taken_over_while_a_fill_waits_for_its_order(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 50, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading"})
            (part,), ask = rig.client.tracker.get(order.client_order_id.value).parts, rig.client.rest.fills

            async def meanwhile(**members: Any) -> Any:
                rig.client.rest.fills = ask
                rig.strategy.modify_order(order, price=Price.from_str("169.00"))
                await rig.until(lambda: part.replacement and part.replacement.order_id, "the PATCH")
                rig.quote("IBM", "168.90", "169.00")
                return await ask(**members)

            rig.client.rest.fills = meanwhile
            await rig.client.gaps.run()
            await rig.status(order, FILLED)
            assert rig.client.stream_stats()["position_differences"] == 0
            await rig.agree()

    play(scenario())


def test_updates_of_a_replacement_that_go_missing_cost_no_shares(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            portions(rig, 40)
            order = rig.limit("buy", 100, "170")
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, PARTLY)
            rig.faults.arm({"updates": {"drop": 1}})  # `replaced` is lost, `new` comes.
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            assert order.quantity.as_decimal() == 100
            rig.quote("IBM", "168.90", "169.00")
            await rig.status(order, FILLED)
            assert rig.position("IBM") == 100
            await rig.agree()

    play(scenario())


def test_an_id_that_an_earlier_life_used_is_refused_and_its_fill_is_not_booked_again(play: Any, running: Any) -> None:
    async def scenario() -> None:
        def before(exchange: Any, key: str) -> None:
            desk, market = exchange.broker.desk, exchange.market
            desk.submit(desk.account(key), BUY | {"qty": "7", "client_order_id": "earlier"})
            market.set_clock(market.now_ns + 48 * 3_600_000_000_000)

        async with running(before=before) as rig:
            order = rig.market("buy", 7, client_order_id=ClientOrderId("earlier"))
            await rig.status(order, REJECTED)
            assert order.last_event.reason.startswith("DUPLICATE_ID")
            assert not len(rig.client.fills)
            assert rig.client.crossings.position("IBM") == 7

    play(scenario())


def test_a_fill_just_before_the_connect_is_in_the_opening_balance_only(play: Any, running: Any) -> None:
    async def scenario() -> None:
        def before(exchange: Any, key: str) -> None:
            desk = exchange.broker.desk
            desk.submit(desk.account(key), BUY | {"qty": "7"})

        async with running(before=before) as rig:
            await rig.client.gaps.run()
            assert not len(rig.client.fills)
            assert rig.client.crossings.position("IBM") == 7
            assert rig.client.stream_stats()["inferred_fills"] == 0

    play(scenario())


def test_an_end_that_comes_while_a_repair_reads_is_not_lost(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            portions(rig, 10, 10)
            order = rig.limit("buy", 100, "170")
            await rig.status(order, ACCEPTED)
            read, go_on, ask = asyncio.Event(), asyncio.Event(), rig.client.rest.order

            async def slowly(order_id: str) -> Any:
                reply = await ask(order_id)
                read.set()
                await go_on.wait()
                return reply

            rig.client.rest.order = slowly
            rig.faults.arm({"updates": {"drop": 1}})
            for _ in range(2):
                rig.quote("IBM", "169.90", "170.00")
            await read.wait()
            rig.exchange.broker.desk.cancel(rig.account, next(iter(rig.account.orders.values())))
            seen = rig.client.updates_seen
            await rig.until(lambda: rig.client.updates_seen > seen, "the cancel's event")
            go_on.set()
            await rig.status(order, CANCELED)
            assert order.filled_qty.as_decimal() == 20
            await rig.agree()

    play(scenario())


def test_a_cancel_follows_the_order_through_a_replacement_that_was_not_told(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"updates": {"drop": 2}})
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: len(rig.account.orders) == 2, "the PATCH at the venue")
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            assert "CancelRejected" not in rig.strategy.names(order)
            assert not any(row.open for row in rig.account.orders.values())

    play(scenario())


def test_an_order_that_arrives_after_it_was_given_up_is_canceled_at_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"unknown_timeout_s": 0.1}) as rig:
            rig.faults.arm({"next": [ORDERS | {"status": 0}]})
            order = rig.limit("buy", 10, "170")
            await rig.status(order, REJECTED)
            late = BUY | {"type": "limit", "limit_price": "170", "qty": "10"}
            rig.exchange.broker.desk.submit(rig.account, late | {"client_order_id": order.client_order_id.value})
            await rig.until(lambda: not any(row.open for row in rig.account.orders.values()), "its cancel")
            assert order.status == REJECTED
            rig.faults.arm({"next": [ORDERS | {"status": 0}]})
            order = rig.market("buy", 10)
            await rig.status(order, REJECTED)
            rig.exchange.broker.desk.submit(
                rig.account, BUY | {"qty": "10", "client_order_id": order.client_order_id.value}
            )
            await rig.until(lambda: len(rig.client.fills) == 1, "the fill")
            assert rig.client.fills[0].external
            await rig.agree()

    play(scenario())


def test_the_account_is_asked_again_for_what_could_not_be_read(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"read_retries": 0}) as rig:
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            await rig.client.settle()
            rig.client.touched(account=False)
            rig.faults.arm({"next": [{"method": "GET", "path": "/v2/positions", "status": 500}]})
            with pytest.raises(Exception, match="500"):
                await rig.client.settle()
            runs = rig.client.gaps.runs
            await rig.client.settle()
            assert rig.client.gaps.runs == runs + 1

    play(scenario())


def test_a_first_half_told_twice_leaves_the_second_half_working(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 38), FILLED)
            order = rig.limit("buy", 60, "179")
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "178.90", "179.00")
            rig.quote("IBM", "179.90", "180.00")
            await rig.until(lambda: len(rig.account.orders) == 3, "the second half at the venue")
            await rig.client.settle()
            tracked = rig.client.tracker.get(order.client_order_id.value)
            first = next(row for row in rig.account.orders.values() if row.filled_qty == 38 and row.side == "buy")
            order_json = decode(Order, json.dumps(first.json()), "an order")
            rig.client.updates.on_update(TradeUpdate(event="fill", order=order_json, qty=Decimal(38), price=Decimal(1)))
            assert not tracked.closed
            rig.quote("IBM", "178.90", "179.00")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_a_fill_that_overtakes_the_reply_counts_for_both_halves(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 38), FILLED)
            rig.faults.arm({"events_first": True, "next": [ORDERS | {"after": True, "delay_s": 0.1, "count": 2}]})
            order = rig.market("buy", 60)
            await rig.until(lambda: order.filled_qty.as_decimal() == 38, "the first half")
            assert rig.client.in_flight > 0
            await rig.status(order, FILLED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled", "Filled"]
            await rig.agree()

    play(scenario())


def test_somebody_else_modifies_our_order(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            portions(rig, 40)
            order = rig.limit("buy", 100, "170", time_in_force=TimeInForce.GTC)
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, PARTLY)
            row = next(iter(rig.account.orders.values()))
            rig.exchange.broker.desk.replace(rig.account, row, {"limit_price": "169"})
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            assert (str(order.price), order.quantity.as_decimal()) == ("169.00", Decimal(100))
            rig.quote("IBM", "168.90", "169.00")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())
