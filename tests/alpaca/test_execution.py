"""Orders through a real node to the simulated exchange and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce, TriggerType
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Price, Quantity

IBM = InstrumentId.from_str("IBM.ALPACA")
FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
DENIED, REJECTED, PARTLY = OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.PARTIALLY_FILLED


def test_a_market_order_is_submitted_accepted_and_filled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]
            assert order.avg_px == pytest.approx(180.02)
            await rig.agree()

    play(scenario())


def test_a_limit_order_rests_and_fills_when_the_market_comes(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "179.50", time_in_force=TimeInForce.GTC)
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "179.40", "179.50")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_stop_and_stop_limit_orders_trigger(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            bought = rig.market("buy", 20)
            await rig.status(bought, FILLED)
            stop = rig.send("stop_market", "sell", 10, trigger_price=Price.from_str("179.00"))
            stop_limit = rig.send(
                "stop_limit", "sell", 10, price=Price.from_str("178.00"), trigger_price=Price.from_str("178.50")
            )
            await rig.status(stop, ACCEPTED)
            await rig.status(stop_limit, ACCEPTED)
            rig.quote("IBM", "178.90", "178.95")
            await rig.status(stop, FILLED)
            assert stop_limit.status == ACCEPTED
            rig.quote("IBM", "178.40", "178.45")
            await rig.status(stop_limit, FILLED)
            await rig.agree()

    play(scenario())


@pytest.mark.parametrize(
    ("tif", "price", "expected"),
    [
        (TimeInForce.DAY, "181.00", FILLED),
        (TimeInForce.GTC, "181.00", FILLED),
        (TimeInForce.IOC, "181.00", FILLED),
        (TimeInForce.FOK, "181.00", FILLED),
        (TimeInForce.IOC, "170.00", CANCELED),
        (TimeInForce.FOK, "170.00", CANCELED),
    ],
)
def test_each_time_in_force_does_what_it_says(
    play: Any, running: Any, tif: TimeInForce, price: str, expected: OrderStatus
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, price, time_in_force=tif)
            await rig.status(order, expected)
            await rig.agree()

    play(scenario())


def test_a_fraction_of_a_share_trades_where_the_asset_allows_it(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", "0.5", time_in_force=TimeInForce.DAY)
            await rig.status(order, FILLED)
            assert rig.position("IBM") == Decimal("0.5")
            await rig.agree()

    play(scenario())


def test_what_alpaca_does_not_have_is_denied_before_it_is_sent(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            sent = rig.client.http.stats()["requests"]
            denied = [
                rig.limit("buy", 10, "170", post_only=True),
                rig.limit("buy", 10, "170", display_qty=Quantity.from_int(5)),
                rig.send("market_to_limit", "buy", 10),
                rig.send("market_if_touched", "buy", 10, trigger_price=Price.from_str("170.00")),
                rig.market("buy", 10, time_in_force=TimeInForce.AT_THE_OPEN),
                rig.market("buy", "0.5", time_in_force=TimeInForce.GTC),
                rig.market("sell", 10, reduce_only=True),
                rig.send(
                    "stop_market",
                    "buy",
                    10,
                    trigger_price=Price.from_str("190.00"),
                    trigger_type=TriggerType.MARK_PRICE,
                ),
                rig.send(
                    "stop_market", "buy", 10, trigger_price=Price.from_str("190.00"), time_in_force=TimeInForce.IOC
                ),
            ]
            for order in denied:
                await rig.status(order, DENIED)
            reasons = [order.last_event.reason for order in denied]
            assert all(reason.split(":")[0].isupper() and len(reason) > 30 for reason in reasons), reasons
            assert rig.client.http.stats()["requests"] == sent

    play(scenario())


def test_a_refusal_of_the_venue_is_a_rejection_with_its_words(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", 100_000)
            await rig.status(order, REJECTED)
            assert "insufficient buying power (HTTP 403, code 40310000)" in order.last_event.reason
            assert rig.strategy.names(order) == ["Submitted", "Rejected"]

    play(scenario())


def test_a_cancel_is_told_when_the_venue_has_canceled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            assert rig.strategy.names(order)[-2:] == ["PendingCancel", "Canceled"]

    play(scenario())


def test_a_cancel_that_overtakes_its_submit_waits_for_it(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"next": [{"method": "POST", "path": "/v2/orders", "delay_s": 0.1}]})
            order = rig.limit("buy", 10, "170")
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            assert not rig.client.unsettled()
            assert not [row for row in rig.account.orders.values() if row.open]

    play(scenario())


def test_cancel_all_is_for_one_instrument_and_side(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            low = rig.limit("buy", 10, "170")
            other = rig.limit("buy", 10, "13", InstrumentId.from_str("BAC.ALPACA"))
            second = rig.limit("buy", 10, "169")
            for order in (low, other, second):
                await rig.status(order, ACCEPTED)
            rig.strategy.cancel_all_orders(IBM, OrderSide.BUY)
            await rig.status(low, CANCELED)
            await rig.status(second, CANCELED)
            assert other.status == ACCEPTED
            rig.strategy.cancel_orders([other])
            await rig.status(other, CANCELED)

    play(scenario())


def test_a_modified_order_stands_under_a_new_id_and_fills_there(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            first = order.venue_order_id
            rig.strategy.modify_order(order, quantity=Quantity.from_str("20.000000000"), price=Price.from_str("171.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            assert order.venue_order_id != first
            assert (str(order.price), order.quantity.as_decimal()) == ("171.00", Decimal(20))
            rig.quote("IBM", "170.90", "171.00")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_a_fill_that_wins_against_a_modification_is_booked_and_the_modification_rejected(
    play: Any, running: Any
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"races": {"replace": 1}})
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: len(rig.account.orders) == 2, "the PATCH at the venue")
            rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, FILLED)
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order), "ModifyRejected")
            await rig.agree()

    play(scenario())


def test_a_modification_that_the_venue_refuses_leaves_the_order(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED)
            rig.strategy.modify_order(order, quantity=Quantity.from_str("99999999.000000000"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order), "ModifyRejected")
            assert order.status == ACCEPTED
            assert order.quantity.as_decimal() == 10

    play(scenario())


def test_partial_fills_add_up(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.rate = 0.9
            order = rig.limit("buy", 1000, "179")
            await rig.status(order, ACCEPTED)
            while order.status != FILLED:
                rig.quote("IBM", "178.90", "178.95")
                await rig.until(lambda: order.filled_qty.as_decimal() == rig.position("IBM"), "the fill")
            assert rig.strategy.names(order).count("Filled") > 1
            await rig.agree()

    play(scenario())


def test_the_second_lock_denies_what_the_gate_did_not_pass(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            resting = rig.limit("buy", 10, "170")
            await rig.status(resting, ACCEPTED)
            rig.client.set_gate_check(lambda command: False)
            order = rig.market("buy", 10)
            await rig.status(order, DENIED)
            assert order.last_event.reason.startswith("GATE_BYPASSED")
            rig.strategy.modify_order(resting, price=Price.from_str("169.00"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(resting), "ModifyRejected")
            rig.strategy.cancel_order(resting)
            await rig.status(resting, CANCELED)

    play(scenario())


@pytest.mark.parametrize("legal", [True, False])
def test_what_alpaca_takes_is_asked_once(play: Any, running: Any, monkeypatch: pytest.MonkeyPatch, legal: bool) -> None:
    asked = []

    def denial(order: Any, *_: Any, **__: Any) -> str:
        asked.append(order)
        return "ORDER_ILLEGAL: so says the test"

    async def scenario() -> None:
        async with running() as rig:
            monkeypatch.setattr("runner.alpaca.preparing.denial", denial)
            rig.client.set_gate_check(lambda _command: True, legal=legal)
            order = rig.limit("buy", 10, "170")
            await rig.status(order, ACCEPTED if legal else DENIED)
            assert rig.client.preparing.one(order, None) == "ORDER_ILLEGAL: so says the test"
            assert asked == ([order] if legal else [order, order])
            rig.client.set_gate_check(lambda _command: False, legal=legal)
            around = rig.limit("buy", 10, "170")
            await rig.status(around, DENIED)
            assert around.last_event.reason.startswith("GATE_BYPASSED")

    play(scenario())


def test_commands_of_one_instrument_leave_in_the_order_given(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(exec_config={"serial": True}) as rig:
            orders = [rig.limit("buy", 1, "170") for _ in range(8)]
            for order in orders:
                await rig.status(order, ACCEPTED)
            arrived = [row.client_order_id for row in rig.account.orders.values()]
            assert arrived == [order.client_order_id.value for order in orders]

    play(scenario())


def test_the_account_state_follows_fills_and_carries_the_brokers_fields(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            account = rig.node.kernel.cache.accounts()[0]
            assert str(account.balance_total()) == "100000.00 USD"
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            await rig.until(lambda: str(account.balance_total()) == "98199.80 USD", "the new balance")
            assert account.last_event.info["buying_power"]
            assert account.margins() or account.account_margins()

    play(scenario())


def test_an_order_of_somebody_else_is_reported_and_its_fill_booked(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            body = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "7"}
            rig.exchange.broker.desk.submit(rig.account, body | {"client_order_id": "by-hand"})
            await rig.until(lambda: len(rig.client.fills) == 1, "the fill")
            assert rig.client.fills[0].external
            cache = rig.node.kernel.cache
            await rig.until(lambda: cache.order(ClientOrderId("by-hand")) is not None, "the external order")
            await rig.status(cache.order(ClientOrderId("by-hand")), FILLED)
            assert rig.client.crossings.position("IBM") == 7

    play(scenario())
