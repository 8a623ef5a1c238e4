"""Several contracts as one order: from a spread of Nautilus's, or from a list."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OptionKind, OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import Price, Quantity

from runner._engine import Rejected
from runner.risk.limits import Limits, Rate
from runner.risk.state import NODE, State
from tests.alpaca.scripted import Venue, contract, spread
from tests.alpaca.test_gate_over_the_wire import take_the_seat

FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
DENIED, REJECTED, PARTLY = OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.PARTIALLY_FILLED
LOW, HIGH = "IBM300119C00180000", "IBM300119C00190000"
CALL, CALL2 = contract(LOW, "180"), contract(HIGH, "190")
PUT = contract("IBM300119P00180000", "180", OptionKind.PUT)
VERTICAL = spread((CALL, 1), (CALL2, -1))
DAY = TimeInForce.DAY


def send(rig: Any, side: OrderSide, qty: int, price: str | None, instrument: Any = VERTICAL, **kw: Any) -> Any:
    factory = rig.strategy.order_factory
    params = kw.pop("params", None)
    if price is None:
        order = factory.market(instrument.id, side, Quantity.from_int(qty), time_in_force=DAY)
    else:
        order = factory.limit(
            instrument.id, side, Quantity.from_int(qty), Price.from_str(price), time_in_force=kw.pop("tif", DAY)
        )
    rig.strategy.submit_order(order, params=params)
    return order


def net(rig: Any, instrument: Any) -> Decimal:
    return Decimal(str(rig.node.kernel.portfolio.net_position(instrument.id)))


def test_a_spread_is_one_order_whose_legs_become_positions(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            order = send(rig, OrderSide.BUY, 3, "3.00")
            await rig.status(order, ACCEPTED)
            (posted,) = venue.posted
            assert posted == {
                "path": "/v2/orders", "order_class": "mleg", "qty": "3", "type": "limit", "time_in_force": "day",
                "client_order_id": order.client_order_id.value, "limit_price": "3",
                "legs": [
                    {"symbol": LOW, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
                    {"symbol": HIGH, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
                ],
            }  # fmt: skip
            venue.fill_units(venue.last(), 1, "2.90", ["5.00", "2.10"])
            await rig.status(order, PARTLY)
            venue.fill_units(venue.last(), 2, "3.00", ["5.10", "2.10"])
            await rig.status(order, FILLED)
            await rig.until(lambda: net(rig, CALL2) == -3, "the legs' positions")
            assert net(rig, CALL) == 3
            assert net(rig, VERTICAL) == 0
            assert rig.client.crossings.positions[LOW] == 3
            assert rig.client.crossings.positions[HIGH] == -3
            assert [fill.symbol for fill in rig.client.fills] == [LOW, HIGH, LOW, HIGH]
            assert not list(rig.client.tracker)
            assert len(rig.node.kernel.cache.orders()) == 1

    play(scenario())


def test_a_spread_that_is_sold_turns_its_legs_and_asks_for_a_credit(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            order = send(rig, OrderSide.BUY, 1, "3.00")
            await rig.until(lambda: venue.posted)
            venue.fill_units(venue.last(), 1, "3.00", ["5.00", "2.00"])
            await rig.status(order, FILLED)
            closing = send(rig, OrderSide.SELL, 1, "3.50")
            await rig.status(closing, ACCEPTED)
            posted = venue.posted[-1]
            assert posted["limit_price"] == "-3.5"
            assert [(leg["side"], leg["position_intent"]) for leg in posted["legs"]] == [
                ("sell", "sell_to_close"), ("buy", "buy_to_close"),
            ]  # fmt: skip
            venue.fill_units(venue.last(), 1, "-3.60", ["5.70", "2.10"])
            await rig.status(closing, FILLED)
            assert closing.avg_px == pytest.approx(3.60)
            await rig.until(lambda: net(rig, CALL) == 0 and net(rig, CALL2) == 0, "flat legs")

    play(scenario())


def test_a_spreads_fill_counts_as_one_and_not_once_more_for_each_leg(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            gate = take_the_seat(rig, Limits(max_fills=Rate(2, 60 * 10**9)))
            for number in (1, 2, 3):
                order = send(rig, OrderSide.BUY, 1, "3.00")
                await rig.status(order, ACCEPTED)
                venue.fill_units(venue.last(), 1, "3.00", ["5.00", "2.00"])
                await rig.until(lambda number=number: net(rig, CALL2) == -number, "the last leg")
                assert gate.states.get(NODE).state is (State.ACTIVE if number < 3 else State.REDUCING)
            assert gate.states.get(NODE).why.startswith("MAX_FILLS: 3 fills within ")

    play(scenario())


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize(
    ("limit", "prices", "taken"),
    [("3.00", ("5.05", "2.05"), True), ("3.01", ("5.05", "2.05"), False), ("-3.00", ("2.05", "5.05"), True),
     ("-2.99", ("2.05", "5.05"), False)],
)  # fmt: skip
def test_a_lists_net_price_is_no_worse_for_us_than_its_orders_own(
    play: Any, running: Any, gated: bool, limit: str, prices: tuple[str, str], taken: bool
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2)
            gate = take_the_seat(rig, Limits()) if gated else None
            factory = rig.strategy.order_factory
            sent = zip((CALL, CALL2), (OrderSide.BUY, OrderSide.SELL), prices, strict=True)
            orders = [
                factory.limit(each.id, side, Quantity.from_int(2), Price.from_str(price), time_in_force=DAY)
                for each, side, price in sent
            ]
            params = {"order_class": "mleg", "limit_price": limit}
            rig.strategy.submit_order_list(factory.create_list(orders), params=params)
            for order in orders:
                await rig.status(order, ACCEPTED if taken else DENIED)
            assert len(venue.posted) == taken
            if taken:
                return
            reason = orders[0].last_event.reason
            assert reason.startswith("ORDER_ILLEGAL: MULTI_LEG: " if gated else "MULTI_LEG: ")
            assert f"the net price {limit} " in reason
            assert f"come to {Decimal(prices[0]) - Decimal(prices[1]):f}" in reason
            assert gate is None or (gate.errors, len(gate.reservations)) == (0, 0)

    play(scenario())


def test_a_list_of_contracts_is_one_order_if_it_asks_to_be(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, PUT)
            factory = rig.strategy.order_factory
            orders = [
                factory.limit(CALL.id, OrderSide.BUY, Quantity.from_int(2), Price.from_str("5.00"), time_in_force=DAY),
                factory.limit(CALL2.id, OrderSide.SELL, Quantity.from_int(2), Price.from_str("2.0"), time_in_force=DAY),
                factory.limit(PUT.id, OrderSide.BUY, Quantity.from_int(4), Price.from_str("1.00"), time_in_force=DAY),
            ]
            rig.strategy.submit_order_list(
                factory.create_list(orders), params={"order_class": "mleg", "limit_price": "5.00"}
            )
            for order in orders:
                await rig.status(order, ACCEPTED)
            posted = venue.posted[-1]
            assert (posted["qty"], posted["limit_price"]) == ("2", "5")
            assert [leg["ratio_qty"] for leg in posted["legs"]] == ["1", "1", "2"]
            rig.strategy.cancel_order(orders[2])
            await rig.until(lambda: venue.deleted, "the cancel of the whole")
            assert venue.deleted == [venue.last()["id"]]
            venue.fill_units(venue.last(), 1, "5.00", ["5.00", "2.00", "1.00"])
            for order in orders:
                await rig.status(order, PARTLY)
            venue.say("canceled", venue.last() | {"status": "canceled"})
            for order in orders:
                await rig.status(order, CANCELED)
            assert [str(order.filled_qty) for order in orders] == ["1", "1", "2"]
            assert (net(rig, CALL), net(rig, CALL2), net(rig, PUT)) == (1, -1, 2)

    play(scenario())


def test_a_replaced_multi_leg_order_has_new_legs_and_fills_under_them(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            order = send(rig, OrderSide.SELL, 2, "3.00")
            await rig.status(order, ACCEPTED)
            first = venue.last()
            venue.fill_units(first, 1, "-3.00", ["5.00", "2.00"])
            await rig.status(order, PARTLY)
            rig.strategy.modify_order(order, price=Price.from_str("2.80"))
            await rig.until(lambda: venue.patched, "the replacement")
            assert venue.patched[0][1]["limit_price"] == "-2.8"
            second = venue.last()
            venue.say("replaced", first)
            await rig.until(lambda: order.price == Price.from_str("2.80"), "the new price")
            second["qty"] = "1"
            venue.fill_units(second, 1, "-2.80", ["4.80", "2.00"])
            await rig.status(order, FILLED)
            assert (net(rig, CALL), net(rig, CALL2)) == (-2, 2)

    play(scenario())


@pytest.mark.parametrize("told", [True, False], ids=["by the stream", "when it is read"])
def test_legs_of_a_refused_replacement_have_filled_nothing(play: Any, running: Any, told: bool) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            order = send(rig, OrderSide.BUY, 2, "3.00")
            await rig.status(order, OrderStatus.ACCEPTED)
            first = venue.last()
            venue.fill_units(first, 1, "2.90", ["5.00", "2.10"])
            rig.strategy.modify_order(order, price=Price.from_str("3.20"))
            await rig.until(lambda: venue.patched, "the replacement")
            second = venue.last()
            second |= {"filled_qty": "1", "filled_avg_price": "2.90"}  # it repeats what has filled, and so do its legs
            for leg, price in zip(second["legs"], ("5.00", "2.10"), strict=True):
                leg |= {"filled_qty": "1", "filled_avg_price": price}
            for leg in second["legs"]:
                await rig.client.gaps.refresh(leg["id"])
            # The old order fills whole before the venue has decided.
            first |= {"replaced_by": None}
            venue.fill_units(first, 1, "3.00", ["5.05", "2.05"])
            for row in (second, *second["legs"]):
                row["status"] = "rejected"
            if told:
                venue.say("rejected", second)
            for leg in second["legs"]:
                await rig.client.gaps.refresh(leg["id"])
            await rig.status(order, OrderStatus.FILLED)
            await rig.until(lambda: (net(rig, CALL), net(rig, CALL2)) == (2, -2))
            assert rig.client.stream_stats()["inferred_fills"] == 0
            for member in rig.client.tracker.get(order.client_order_id.value).group.members:
                assert len(member.part.order_ids) == 1
                assert member.part.filled(rig.client.fills) == 2

    play(scenario())


def test_a_missed_update_of_a_multi_leg_order_is_found_by_asking(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            order = send(rig, OrderSide.BUY, 2, "3.00")
            await rig.status(order, ACCEPTED)
            row = venue.last()
            say, venue.say = venue.say, lambda *a, **k: None  # type: ignore[method-assign]
            venue.fill_units(row, 1, "3.00", ["5.00", "2.00"])
            venue.say = say  # type: ignore[method-assign]
            venue.fill_units(row, 1, "3.00", ["5.00", "2.00"])
            await rig.status(order, FILLED)
            await rig.until(lambda: (net(rig, CALL), net(rig, CALL2)) == (2, -2), "the legs")
            assert sum(fill.qty for fill in rig.client.fills) == 4

    play(scenario())


def test_a_refusal_ends_every_order_of_the_list(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2)
            venue.refusal = Rejected(403, 40310000, "insufficient options buying power", b"{}")
            factory = rig.strategy.order_factory
            orders = [
                factory.market(CALL.id, OrderSide.BUY, Quantity.from_int(1), time_in_force=DAY),
                factory.market(CALL2.id, OrderSide.SELL, Quantity.from_int(1), time_in_force=DAY),
            ]
            rig.strategy.submit_order_list(factory.create_list(orders), params={"order_class": "mleg"})
            for order in orders:
                await rig.status(order, REJECTED)
                assert "insufficient options buying power" in order.last_event.reason
            assert not list(rig.client.tracker)

    play(scenario())


@pytest.mark.parametrize(
    ("legs", "qty", "code"),
    [
        (((CALL, 2), (CALL2, -2)), 1, "common divisor 2"),
        (((CALL, 1), (CALL2, -2)), 1, "sold without a bought one"),
        (((CALL, -1), (PUT, -1)), 1, "sold without a bought one"),
    ],
)
def test_what_alpaca_does_not_take_as_one_order_is_denied(
    play: Any, running: Any, legs: Any, qty: int, code: str
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            made = spread(*legs)
            venue = Venue(rig, CALL, CALL2, PUT, made)
            order = send(rig, OrderSide.BUY, qty, "1.00", made)
            await rig.status(order, DENIED)
            assert code in order.last_event.reason, order.last_event.reason
            late = send(rig, OrderSide.BUY, qty, "1.00", made, tif=TimeInForce.FOK)
            await rig.status(late, DENIED)
            assert late.last_event.reason.startswith("UNSUPPORTED_TIME_IN_FORCE")
            assert not venue.posted

    play(scenario())


def test_a_single_contract_says_whether_it_opens_or_closes(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL)
            order = send(rig, OrderSide.BUY, 2, "5.00", CALL)
            await rig.status(order, ACCEPTED)
            assert venue.posted[-1]["position_intent"] == "buy_to_open"
            row = venue.last()
            venue.say(
                "fill", row | {"status": "filled", "filled_qty": "2", "filled_avg_price": "5"}, qty="2", price="5",
                execution_id=venue.fresh(), position_qty="2",
            )  # fmt: skip
            await rig.status(order, FILLED)
            closing = send(rig, OrderSide.SELL, 1, "5.50", CALL)
            await rig.status(closing, ACCEPTED)
            assert venue.posted[-1]["position_intent"] == "sell_to_close"
            assert ClientOrderId(venue.posted[-1]["client_order_id"]) == closing.client_order_id

    play(scenario())


def test_a_spread_that_closes_does_not_wait_for_the_stream_and_passes_in_every_state(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            gate = take_the_seat(rig, Limits())
            order = send(rig, OrderSide.BUY, 3, "3.00")
            await rig.status(order, ACCEPTED)
            venue.fill_units(venue.last(), 3, "3.00", ["5.10", "2.10"])
            await rig.status(order, FILLED)
            await rig.until(lambda: net(rig, CALL2) == -3, "the legs")
            gate.set_state("reducing", why="a test")
            rig.client._ready.clear()  # as while the stream is down
            closing = send(rig, OrderSide.SELL, 3, "2.00")
            await rig.status(closing, ACCEPTED)
            assert gate.may_not_open(rig.client.account_id, [closing]) is None
            opening = rig.strategy.order_factory.limit(
                VERTICAL.id, OrderSide.BUY, Quantity.from_int(1), Price.from_str("3.00")
            )
            assert str(gate.may_not_open(rig.client.account_id, [opening])).startswith("STATE_REDUCING: ")
            rig.client._ready.set()

    play(scenario())


def test_a_list_of_legs_that_waited_is_asked_of_as_a_whole(play: Any, running: Any) -> None:
    """A roll: one leg closes, the other opens. It may not leave after a halt, though its first leg by itself might."""

    async def scenario() -> None:
        async with running() as rig:
            other = contract("IBM300119C00200000", "200")
            venue = Venue(rig, CALL, CALL2, other, VERTICAL)
            gate = take_the_seat(rig, Limits())
            order = send(rig, OrderSide.BUY, 5, "3.00")
            await rig.status(order, ACCEPTED)
            venue.fill_units(venue.last(), 5, "3.00", ["5.10", "2.10"])
            await rig.status(order, FILLED)
            await rig.until(lambda: net(rig, CALL2) == -5, "the legs")
            rig.client._ready.clear()  # as while the stream is down
            factory, sent = rig.strategy.order_factory, len(venue.posted)
            two, day = Quantity.from_int(2), TimeInForce.DAY
            legs = [
                factory.limit(CALL2.id, OrderSide.BUY, two, Price.from_str("2.20"), time_in_force=day),
                factory.limit(other.id, OrderSide.SELL, two, Price.from_str("1.00"), time_in_force=day),
            ]
            params = {"order_class": "mleg", "limit_price": "1.20"}
            rig.strategy.submit_order_list(factory.create_list(legs), params=params)
            await rig.status(legs[0], OrderStatus.SUBMITTED)
            gate.set_state("halted", why="a test")
            assert gate.may_not_open(rig.client.account_id, legs[:1]) is None
            rig.client._ready.set()
            for leg in legs:
                await rig.status(leg, OrderStatus.REJECTED)
                assert leg.last_event.reason.startswith("STATE_HALTED: never sent")
            assert (len(venue.posted), gate.errors) == (sent, 0)

    play(scenario())
