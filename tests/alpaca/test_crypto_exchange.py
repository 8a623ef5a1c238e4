"""Pairs traded on the simulated exchange, which takes its fees from what is received."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.objects import Quantity

from runner.node.books import compare
from tests.alpaca.scripted import pair
from tests.alpaca.test_crypto_orders import net, order_of

FILLED, ACCEPTED, CANCELED = OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.CANCELED
BTC = pair()


def arrange(rig: Any) -> None:
    rig.node.kernel.cache.add_instrument(BTC)
    rig.exchange.market.add_symbols(["BTC/USD"])
    rig.quote("BTC/USD", "30000", "30010")


async def agree(rig: Any) -> None:
    """Positions and, by the node's own books, cash."""
    await rig.client.settle()
    await rig.until(lambda: rig.node.kernel.exec_engine.evt_qsize() == 0)
    assert net(rig) == rig.position("BTC/USD") == rig.client.crossings.position("BTC/USD")
    snapshot = await rig.client.broker_snapshot()
    books = compare(
        rig.client.opening, rig.client.fills, await rig.client.non_trade_activities(), snapshot,
        unsettled=len(rig.client.unsettled()),
    )  # fmt: skip
    assert books.agree, [str(row) for row in books.differences]


def test_coins_are_bought_and_sold_and_the_books_agree(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(order_of(rig, OrderSide.BUY, "0.123456789"), FILLED)
            assert 0 < rig.position("BTC/USD") < Decimal("0.123456789")
            await agree(rig)
            held = rig.position("BTC/USD")
            await rig.status(order_of(rig, OrderSide.SELL, str(held)), FILLED)
            await rig.until(lambda: rig.position("BTC/USD") == 0, "no coins")
            await agree(rig)

    play(scenario())


def test_a_resting_order_pays_what_a_maker_pays(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = order_of(rig, OrderSide.BUY, "0.5", "29500.00")
            await rig.status(order, ACCEPTED)
            rig.exchange.market.set_clock(rig.exchange.market.now_ns + 5_000_000_000)
            rig.quote("BTC/USD", "29490", "29500")
            await rig.status(order, FILLED)
            await agree(rig)

    play(scenario())


def test_a_fill_found_by_rest_has_the_fee_that_the_position_shows(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            rig.faults.arm({"updates": {"drop": 20}})
            order = order_of(rig, OrderSide.BUY, "0.7", "30020.00")
            await rig.until(lambda: rig.position("BTC/USD") > 0, "the fill that nobody tells")
            rig.faults.arm({"reset": True})
            await rig.client.gaps.run()
            await rig.status(order, FILLED)
            await agree(rig)
            assert rig.client.stream_stats()["position_differences"] == 0

    play(scenario())


def test_an_order_by_dollars_buys_coins(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = rig.strategy.order_factory.market(
                BTC.id, OrderSide.BUY, Quantity.from_str("500.00"), time_in_force=TimeInForce.GTC, quote_quantity=True
            )
            rig.strategy.submit_order(order)
            await rig.status(order, FILLED)
            assert order.quantity == order.filled_qty
            await agree(rig)

    play(scenario())


def test_a_part_that_is_left_is_canceled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            order = order_of(rig, OrderSide.BUY, "1", "29000.00", TimeInForce.IOC)
            await rig.status(order, CANCELED)
            await agree(rig)

    play(scenario())


def test_two_corrections_at_one_moment_of_the_venue_both_reach_nautilus(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(order_of(rig, OrderSide.BUY, "1"), FILLED)
            rig.client.venue_clock.now_ns = lambda: 1  # A replay's stands still between messages.
            for fee in ("0.0004", "0.0003"):
                rig.account.positions["BTC/USD"].qty -= Decimal(fee)
                await rig.client.gaps.run()
            await rig.until(lambda: net(rig) == rig.position("BTC/USD"), "both corrections")
            assert rig.client.stream_stats()["position_differences"] == 0

    play(scenario())
