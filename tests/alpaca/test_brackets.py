"""Brackets, OCO and OTO: one order at Alpaca, two or three of Nautilus's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import ContingencyType, OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price

IBM = InstrumentId.from_str("IBM.ALPACA")
FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
DENIED, REJECTED, PARTLY = OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.PARTIALLY_FILLED


def bracket(rig: Any, side: str = "buy", qty: int = 10, entry: str | None = None, **kw: Any) -> list[Any]:
    """Submit a bracket around 180; returns [entry, stop loss, take profit]."""
    up = 1 if side == "buy" else -1
    instrument = rig.node.kernel.cache.instrument(IBM)
    made = rig.strategy.order_factory.bracket(
        IBM,
        OrderSide.BUY if side == "buy" else OrderSide.SELL,
        instrument.make_qty(qty),
        time_in_force=kw.pop("tif", TimeInForce.GTC),
        tp_price=kw.pop("tp", Price.from_str(f"{180 + 5 * up}.00")),
        sl_trigger_price=kw.pop("sl", Price.from_str(f"{180 - 5 * up}.00")),
        **({} if entry is None else {"entry_order_type": OrderType.LIMIT, "entry_price": Price.from_str(entry)}),
        **kw,
    )
    rig.strategy.submit_order_list(made, params=None)
    return list(made.orders)


def pair(rig: Any, side: OrderSide, qty: int, profit: str, stop: str) -> list[Any]:
    """Submit a take profit and a stop loss that cancel each other."""
    factory, instrument = rig.strategy.order_factory, rig.node.kernel.cache.instrument(IBM)
    made = factory.bracket(
        IBM,
        OrderSide.BUY if side == OrderSide.SELL else OrderSide.SELL,
        instrument.make_qty(qty),
        tp_price=Price.from_str(profit),
        sl_trigger_price=Price.from_str(stop),
        contingency_type=ContingencyType.OCO,
        tp_post_only=False,
    )
    exits = [remade(order, parent_order_id=None) for order in made.orders[1:]]
    submitted = factory.create_list(exits)
    rig.strategy.submit_order_list(submitted)
    return exits


def remade(order: Any, **changes: Any) -> Any:
    """The order with other links than its factory gives it."""
    document = order.init_event.to_dict(order.init_event) | changes
    return type(order).create(type(order.init_event).from_dict(document))


def at_venue(rig: Any) -> list[Any]:
    return list(rig.account.orders.values())


def test_a_bracket_is_one_order_and_its_take_profit_cancels_its_stop(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(stop, ACCEPTED)
            await rig.status(profit, ACCEPTED)
            assert rig.strategy.names(entry) == ["Submitted", "Accepted", "Filled"]
            assert len(at_venue(rig)) == 3
            rig.quote("IBM", "185.00", "185.02")
            await rig.status(profit, FILLED)
            await rig.status(stop, CANCELED)
            assert rig.position("IBM") == 0
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_stop_loss_cancels_the_take_profit(play: Any, running: Any, side: str) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig, side)
            await rig.status(entry, FILLED)
            rig.quote("IBM", *(("174.90", "174.92") if side == "buy" else ("185.10", "185.12")))
            await rig.status(stop, FILLED)
            await rig.status(profit, CANCELED)
            assert rig.position("IBM") == 0
            await rig.agree()

    play(scenario())


def test_exits_are_accepted_while_they_are_held_and_end_with_their_entry(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig, entry="179.00")
            for order in (entry, stop, profit):
                await rig.status(order, ACCEPTED)
            assert {row.status for row in at_venue(rig)} == {"new", "held"}
            rig.strategy.cancel_order(entry)
            for order in (entry, stop, profit):
                await rig.status(order, CANCELED)
            await rig.agree()

    play(scenario())


def test_cancelling_one_exit_ends_the_group(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(profit, ACCEPTED)
            rig.strategy.cancel_order(profit)
            await rig.status(profit, CANCELED)
            await rig.status(stop, CANCELED)
            assert rig.position("IBM") == 10
            await rig.agree()

    play(scenario())


def test_cancel_all_ends_a_bracket_in_any_state(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            resting = bracket(rig, entry="179.00")
            filled = bracket(rig)
            await rig.status(filled[0], FILLED)
            await rig.status(resting[0], ACCEPTED)
            rig.strategy.cancel_all_orders(IBM)
            for order in (*resting, *filled[1:]):
                await rig.status(order, CANCELED)
            await rig.agree()

    play(scenario())


def test_a_partial_fill_of_one_exit_shrinks_the_other(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(profit, ACCEPTED)
            rig.exchange.broker.desk.book._portions.rate = 1.0
            rig.quote("IBM", "185.00", "185.02")
            await rig.until(lambda: profit.filled_qty > 0, "a partial fill")
            if profit.status == PARTLY:
                assert stop.quantity == profit.leaves_qty
            rig.exchange.broker.desk.book._portions.rate = 0.0
            rig.quote("IBM", "185.01", "185.03")
            await rig.status(profit, FILLED)
            await rig.status(stop, CANCELED)
            await rig.agree()

    play(scenario())


def test_the_price_of_a_leg_is_modified(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(profit, ACCEPTED)
            rig.strategy.modify_order(profit, price=Price.from_str("183.00"))
            await rig.until(lambda: profit.price == Price.from_str("183.00"), "the new price")
            rig.strategy.modify_order(stop, trigger_price=Price.from_str("177.00"))
            await rig.until(lambda: stop.trigger_price == Price.from_str("177.00"), "the new stop")
            rig.strategy.modify_order(stop, quantity=stop.quantity.from_str("5.000000000"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(stop), "the refusal")
            rig.quote("IBM", "183.00", "183.02")
            await rig.status(profit, FILLED)
            await rig.status(stop, CANCELED)
            await rig.agree()

    play(scenario())


def test_an_oco_pair_protects_a_position(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            none = pair(rig, OrderSide.SELL, 10, "185.00", "175.00")
            for order in none:
                await rig.status(order, DENIED)
            await rig.status(rig.market("buy", 10), FILLED)
            stop, profit = pair(rig, OrderSide.SELL, 10, "185.00", "175.00")
            await rig.status(stop, ACCEPTED)
            await rig.status(profit, ACCEPTED)
            rig.quote("IBM", "174.90", "174.92")
            await rig.status(stop, FILLED)
            await rig.status(profit, CANCELED)
            await rig.agree()

    play(scenario())


def test_an_oto_entry_brings_its_one_exit(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            factory, instrument = rig.strategy.order_factory, rig.node.kernel.cache.instrument(IBM)
            made = factory.bracket(
                IBM, OrderSide.BUY, instrument.make_qty(10), tp_price=Price.from_str("185.00"),
                sl_trigger_price=Price.from_str("175.00"),
            )  # fmt: skip
            entry, stop, _ = made.orders
            entry = remade(entry, linked_order_ids=[stop.client_order_id.value])
            stop = remade(stop, linked_order_ids=None, contingency_type="NO_CONTINGENCY")
            rig.strategy.submit_order_list(factory.create_list([entry, stop]))
            await rig.status(entry, FILLED)
            await rig.status(stop, ACCEPTED)
            rig.quote("IBM", "174.90", "174.92")
            await rig.status(stop, FILLED)
            await rig.agree()

    play(scenario())


def test_a_refused_bracket_ends_as_a_whole(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            orders = bracket(rig, qty=100_000)
            for order in orders:
                await rig.status(order, REJECTED)
            assert not at_venue(rig)
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize(
    ("kw", "code"),
    [
        ({"tp": Price.from_str("174.00")}, "EXIT_PRICES"),
        ({"tif": TimeInForce.DAY}, "UNSUPPORTED_ORDER_LIST"),
        ({"entry": "179.00", "sl": Price.from_str("179.00")}, "EXIT_PRICES"),
        ({"sl_order_type": OrderType.TRAILING_STOP_MARKET, "sl_trailing_offset": Decimal(1)}, "UNSUPPORTED_ORDER_LIST"),
        ({"tp_order_type": OrderType.MARKET_IF_TOUCHED, "tp_trigger_price": Price.from_str("185.00")},
         "UNSUPPORTED_ORDER_LIST"),
    ],
)  # fmt: skip
def test_a_shape_that_alpaca_does_not_take_is_denied_as_a_whole(
    play: Any, running: Any, kw: dict[str, Any], code: str
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            sent = rig.client.http.stats()["requests"]
            orders = bracket(rig, **kw)
            for order in orders:
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith(code), order.last_event.reason
            assert rig.client.http.stats()["requests"] == sent

    play(scenario())


def test_a_bracket_waits_for_the_position_that_it_would_cross(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 10), FILLED)
            through = bracket(rig)
            for order in through:
                await rig.status(order, DENIED)
            rig.strategy.close_all_positions(IBM)
            orders = bracket(rig)
            await rig.status(orders[0], FILLED)
            await rig.status(orders[1], ACCEPTED)
            assert rig.position("IBM") == 10
            await rig.agree()

    play(scenario())


def test_events_before_the_reply_find_their_orders(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"events_first": True})
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(profit, ACCEPTED)
            await rig.status(stop, ACCEPTED)
            assert len(rig.node.kernel.cache.orders()) == 3
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize("status", [500, 0])
def test_a_bracket_whose_reply_was_lost_is_found_with_its_legs(play: Any, running: Any, status: int) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm(
                {
                    "next": [{"method": "POST", "path": "/v2/orders", "count": 1, "status": status, "after": True}],
                    "updates": {"drop": 10},
                }
            )
            entry, stop, profit = bracket(rig)
            await rig.status(entry, FILLED)
            await rig.status(stop, ACCEPTED)
            await rig.status(profit, ACCEPTED)
            rig.faults.arm({"reset": True})
            rig.quote("IBM", "185.00", "185.02")
            await rig.status(profit, FILLED)
            await rig.status(stop, CANCELED)
            assert len(rig.node.kernel.cache.orders()) == 3
            await rig.agree()

    play(scenario())
