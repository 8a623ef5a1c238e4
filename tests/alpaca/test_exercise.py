"""Contracts are exercised, or said not to be, by an order's params; others' exercises and expiry end in positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity

from tests.alpaca.test_adjust import CALL, PUT, SYMBOL, agree, arrange
from tests.alpaca.test_multi_leg import net, send

FILLED, CANCELED, DENIED, REJECTED = (
    OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.DENIED, OrderStatus.REJECTED,
)  # fmt: skip
IBM = InstrumentId.from_str("IBM.ALPACA")


def ask(rig: Any, qty: int, instrument: Any = CALL, **params: Any) -> Any:
    order = rig.strategy.order_factory.market(
        instrument.id, OrderSide.SELL, Quantity.from_int(qty), time_in_force=TimeInForce.DAY
    )
    rig.strategy.submit_order(order, params=params)
    return order


async def hold(rig: Any) -> None:
    arrange(rig)
    rig.quote("IBM", "185.00", "185.02")
    await rig.status(send(rig, OrderSide.BUY, 2, "5.10", CALL), FILLED)
    await rig.until(lambda: net(rig, CALL) == 2)


def test_contracts_are_exercised_and_the_shares_come_at_the_strike(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            order = ask(rig, 2, exercise=True)
            await rig.status(order, FILLED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Filled"]
            await rig.until(lambda: net(rig, CALL) == 0, "no contracts")
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 200, "the shares")
            (shares,) = rig.node.kernel.cache.positions_open(instrument_id=IBM)
            assert shares.avg_px_open == 180.0
            assert rig.position("IBM") == 200
            await agree(rig)

    play(scenario())


def test_what_the_venue_refuses_is_rejected_with_its_words(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            rig.quote("IBM", "170.00", "170.02")
            order = ask(rig, 2, exercise=True)
            await rig.status(order, REJECTED)
            assert "out-of-the-money" in order.last_event.reason
            early = ask(rig, 2, do_not_exercise=True)
            await rig.status(early, REJECTED)
            assert "expiration day" in early.last_event.reason
            assert net(rig, CALL) == 2
            await agree(rig)

    play(scenario())


def test_a_part_of_the_contracts_or_somebody_elses_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            for order in (ask(rig, 1, exercise=True), ask(rig, 1, PUT, exercise=True)):
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith("EXERCISE")

    play(scenario())


def test_an_assignment_at_the_venue_ends_in_the_strategys_positions(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(rig.market("buy", 100), FILLED)
            await rig.status(send(rig, OrderSide.SELL, 1, "5.00", CALL), FILLED)  # a covered call
            await rig.until(lambda: net(rig, CALL) == -1)
            rig.exchange.broker.desk.settling.assign(rig.account, SYMBOL, Decimal(1))
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0, "no contract")
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 0, "no shares")
            await agree(rig)

    play(scenario())


def test_contracts_that_expire_worthless_are_gone(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            rig.quote("IBM", "170.00", "170.02")
            contract = rig.exchange.market.contract(SYMBOL)
            rig.exchange.market.set_clock(rig.exchange.market.expiry_ns(contract) + 1_000_000_000)
            rig.quote("IBM", "170.00", "170.02")
            await rig.until(lambda: rig.position(SYMBOL) == 0, "the expiry at the venue")
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0, "no contract")
            await agree(rig)

    play(scenario())
