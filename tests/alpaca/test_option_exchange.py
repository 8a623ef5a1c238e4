"""Contracts and spreads traded on the simulated exchange: quotes in, legs filled, books equal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OptionKind, OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.objects import Price

from tests.alpaca.scripted import contract, spread
from tests.alpaca.test_multi_leg import net, send

FILLED, CANCELED, ACCEPTED, REJECTED = (
    OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED, OrderStatus.REJECTED,
)  # fmt: skip
LOW, HIGH = "IBM260320C00180000", "IBM260320C00190000"
PUT_LOW, PUT_HIGH = "IBM260320P00170000", "IBM260320P00175000"
CALL, CALL2 = contract(LOW, "180"), contract(HIGH, "190")
PUT, PUT2 = contract(PUT_LOW, "170", OptionKind.PUT), contract(PUT_HIGH, "175", OptionKind.PUT)
VERTICAL = spread((CALL, 1), (CALL2, -1))
CONDOR = spread((PUT, 1), (PUT2, -1), (CALL, -1), (CALL2, 1))
SYMBOLS = (LOW, HIGH, PUT_LOW, PUT_HIGH)


def arrange(rig: Any) -> None:
    for instrument in (CALL, CALL2, PUT, PUT2, VERTICAL, CONDOR):
        rig.node.kernel.cache.add_instrument(instrument)
    rig.exchange.market.add_symbols(SYMBOLS)
    quotes(rig)


def quotes(rig: Any, call: str = "5.00") -> None:
    """IBM's call at this bid, the other contracts at theirs, all a dime wide."""
    for symbol, bid in ((LOW, call), (HIGH, "2.00"), (PUT_LOW, "1.00"), (PUT_HIGH, "2.00")):
        rig.quote(symbol, bid, str(Decimal(bid) + Decimal("0.10")))


def test_a_debit_spread_opens_and_closes(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = send(rig, OrderSide.BUY, 2, "3.10", VERTICAL)
            await rig.status(order, FILLED)
            await rig.until(lambda: net(rig, CALL) == 2 and net(rig, CALL2) == -2, "the legs")
            await rig.agree(*SYMBOLS)
            closing = send(rig, OrderSide.SELL, 2, "2.80", VERTICAL)
            await rig.status(closing, FILLED)
            await rig.until(lambda: net(rig, CALL) == 0 and net(rig, CALL2) == 0, "no legs")
            await rig.agree(*SYMBOLS)
            assert len(rig.node.kernel.cache.orders()) == 2

    play(scenario())


def test_an_iron_condor_rests_and_is_modified_and_filled_for_a_credit(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = send(rig, OrderSide.BUY, 1, "-4.20", CONDOR)
            await rig.status(order, ACCEPTED)
            rig.strategy.modify_order(order, price=Price.from_str("-3.70"))
            await rig.status(order, FILLED)
            assert order.avg_px < 0
            await rig.until(lambda: net(rig, PUT2) == -1)
            await rig.agree(*SYMBOLS)

    play(scenario())


def test_a_resting_spread_is_canceled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = send(rig, OrderSide.BUY, 1, "2.00", VERTICAL)
            await rig.status(order, ACCEPTED)
            rig.strategy.cancel_all_orders(VERTICAL.id)
            await rig.status(order, CANCELED)
            await rig.agree(*SYMBOLS)
            assert not list(rig.client.tracker)

    play(scenario())


def test_a_spread_that_the_account_can_not_pay_is_rejected(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = send(rig, OrderSide.BUY, 1000, "3.10", VERTICAL)
            await rig.status(order, REJECTED)
            assert "insufficient" in order.last_event.reason
            await rig.agree(*SYMBOLS)

    play(scenario())


def test_single_contracts_open_and_close(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(send(rig, OrderSide.BUY, 3, "5.10", CALL), FILLED)
            await rig.status(send(rig, OrderSide.SELL, 1, None, CALL), FILLED)
            assert rig.position(LOW) == 2
            await rig.agree(*SYMBOLS)

    play(scenario())


def test_contracts_and_spreads_rest_until_canceled_and_a_stop_sells(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            gtc = {"time_in_force": TimeInForce.GTC}
            for instrument, price in ((CALL, "1.00"), (VERTICAL, "0.50")):
                resting = rig.limit("buy", 1, price, instrument.id, **gtc)
                await rig.status(resting, ACCEPTED)
                assert rig.account.orders[resting.venue_order_id.value].time_in_force == "gtc"
                rig.strategy.cancel_order(resting)
                await rig.status(resting, CANCELED)
            await rig.status(send(rig, OrderSide.BUY, 2, "5.10", CALL), FILLED)
            stop = rig.send("stop_market", "sell", 2, CALL.id, trigger_price=Price.from_str("4.50"), **gtc)
            await rig.status(stop, ACCEPTED)
            quotes(rig, "4.40")
            await rig.status(stop, FILLED)
            await rig.agree(*SYMBOLS)

    play(scenario())


@pytest.mark.parametrize("status", [500, 0])
def test_a_spread_whose_reply_and_updates_were_lost_is_found_with_its_legs(
    play: Any, running: Any, status: int
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            rule = {"method": "POST", "path": "/v2/orders", "count": 1, "status": status, "after": True}
            rig.faults.arm({"next": [rule], "updates": {"drop": 20}})
            order = send(rig, OrderSide.BUY, 2, "3.10", VERTICAL)
            await rig.status(order, FILLED)
            await rig.until(lambda: net(rig, CALL) == 2 and net(rig, CALL2) == -2, "the legs")
            rig.faults.arm({"reset": True})
            await rig.agree(*SYMBOLS)
            assert rig.client.fills.inferred == 0
            assert len(rig.node.kernel.cache.orders()) == 1

    play(scenario())


def test_a_replaced_spread_repeats_units_whose_fills_were_not_told(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            desk = rig.exchange.broker.desk
            object.__setattr__(desk._settings, "replace_carries_fills", True)
            desk.book._portions.rate = 1.0
            order = send(rig, OrderSide.BUY, 3, "3.00", VERTICAL)
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"updates": {"drop": 1}})  # the fill of one or two of three
            quotes(rig, "4.80")
            await rig.until(lambda: rig.position(LOW) > 0, "a fill at the venue")
            old = next(row for row in rig.account.orders.values() if row.several)
            # What the old order had filled can't be read for a while; how the new one stands can.
            rig.faults.arm({"next": [{"method": "GET", "path": f"/v2/orders/{old.id}", "delay_s": 0.3, "count": 1}]})
            rig.strategy.modify_order(order, price=Price.from_str("2.00"))
            await rig.until(lambda: old.replaced_by, "the replacement")
            await rig.until(lambda: rig.client.find_id(old.replaced_by), "its id")
            await rig.client.gaps.refresh(old.replaced_by)
            for leg in rig.account.orders[old.replaced_by].legs:
                await rig.client.gaps.refresh(leg.id)
            await rig.client.settle()
            assert rig.client.fills.inferred == 0
            await rig.agree(*SYMBOLS)
            assert order.filled_qty.as_decimal() == rig.position(LOW)

    play(scenario())


def test_updates_that_come_twice_and_out_of_order_change_nothing(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            rig.exchange.broker.desk.book._portions.rate = 0.8
            rig.faults.arm({"events_first": True, "updates": {"duplicate": 20, "swap": 20}})
            order = send(rig, OrderSide.BUY, 10, "3.10", VERTICAL)
            for step in range(40):
                if order.status == FILLED:
                    break
                quotes(rig, f"5.0{step % 2}")
                await rig.until(lambda: rig.client.in_flight == 0)
            rig.exchange.broker.desk.book._portions.rate = 0.0
            quotes(rig, "4.90")
            await rig.status(order, FILLED)
            rig.faults.arm({"reset": True})
            await rig.client.gaps.run()
            await rig.agree(*SYMBOLS)
            assert net(rig, CALL) == 10

    play(scenario())


def test_reports_have_the_spread_as_one_order_bought_or_sold_and_none_of_its_legs(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            for side, price in ((OrderSide.BUY, "2.00"), (OrderSide.SELL, "9.00")):
                order = send(rig, side, 1, price, VERTICAL)
                await rig.status(order, ACCEPTED)
                rows = await rig.client.rest.orders("open")
                (report,) = [report for row in rows if (report := rig.client.reports.order_report(row)) is not None]
                assert (report.instrument_id, report.order_side) == (VERTICAL.id, side)
                assert (str(report.price), report.client_order_id) == (price, order.client_order_id)
                rig.strategy.cancel_order(order)
                await rig.status(order, CANCELED)

    play(scenario())


def test_somebody_elses_spread_shows_as_external(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            body = {
                "order_class": "mleg", "qty": "1", "type": "market", "time_in_force": "day",
                "legs": [
                    {"symbol": LOW, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
                    {"symbol": HIGH, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
                ],
            }  # fmt: skip
            rig.exchange.broker.desk.submit(rig.account, body)
            await rig.until(lambda: (net(rig, CALL), net(rig, CALL2)) == (1, -1), "external positions")
            assert {position.strategy_id.value for position in rig.node.kernel.cache.positions()} == {"EXTERNAL"}
            await rig.agree(*SYMBOLS)

    play(scenario())
