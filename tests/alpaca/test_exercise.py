"""Contracts are exercised, or said not to be, by an order's params; others' exercises and expiry end in positions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity

from runner.config.risk import Portion
from runner.risk.limits import Limits, UniverseLimits
from tests.alpaca.test_adjust import CALL, PUT, SYMBOL, agree, arrange
from tests.alpaca.test_gate_over_the_wire import show, take_the_seat
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


async def hold(rig: Any, contract: Any = CALL) -> None:
    arrange(rig)
    rig.quote("IBM", "185.00", "185.02")
    await rig.status(send(rig, OrderSide.BUY, 2, "5.10", contract), FILLED)
    await rig.until(lambda: net(rig, contract) == 2)


@asynccontextmanager
async def gated(running: Any, limits: Limits, contract: Any = CALL, *, shares: int = 0) -> AsyncIterator[Any]:
    """Two contracts are held that are worth exercising (a call at 180 or a put at 175), and so many shares."""
    async with running() as rig:
        await hold(rig, contract)
        if shares:
            await rig.status(rig.market("buy" if shares > 0 else "sell", abs(shares)), FILLED)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == shares, "the shares")
        gate = take_the_seat(rig, limits)
        price = Decimal("185.00") if contract is CALL else Decimal("170.00")
        show(rig, {"IBM": (price, price)})
        yield rig, gate
        assert gate.errors == 0


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


def test_on_the_day_of_expiration_it_can_be_said_not_to_exercise(play: Any, running: Any) -> None:
    """The venue's answer has no content: the order has ended all the same."""

    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            rig.exchange.market.set_clock(int(datetime(2026, 3, 20, 15, 0, tzinfo=UTC).timestamp()) * 10**9)
            rig.quote("IBM", "185.00", "185.02")
            order = ask(rig, 2, do_not_exercise=True)
            await rig.status(order, CANCELED)
            assert rig.strategy.names(order) == ["Submitted", "Accepted", "Canceled"]

    play(scenario())


def test_a_part_of_the_contracts_or_somebody_elses_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await hold(rig)
            for order in (ask(rig, 1, exercise=True), ask(rig, 1, PUT, exercise=True)):
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith("EXERCISE")

    play(scenario())


CALLED = 2 * 100 * Decimal(185)  # the shares' worth, which is more than the strike
PUT_AWAY = 2 * 100 * Decimal(175)  # they go at the strike, which is more than they are worth


@pytest.mark.parametrize(
    ("contract", "worth", "bounds", "code"),
    [
        (contract, worth, bounds(worth), code)
        for contract, worth in ((CALL, CALLED), (PUT, PUT_AWAY))
        for bounds, code in (
            (lambda worth: {"max_order_notional": worth - 1}, "MAX_ORDER_NOTIONAL"),
            (lambda _worth: {"max_order_qty": Decimal(199)}, "MAX_ORDER_QTY"),
            (lambda worth: {"max_position_notional": worth - 1}, "MAX_POSITION_NOTIONAL"),
            (lambda worth: {"max_gross_exposure": Portion(amount=worth)}, "MAX_GROSS_EXPOSURE"),  # beside the contracts
            (lambda _worth: {"headroom": Decimal("0.9")}, "MARGIN_INSUFFICIENT"),
            (lambda _worth: {"universe": UniverseLimits(deny=("IBM",))}, "SYMBOL_DENIED"),
        )
    ]
    + [(PUT, PUT_AWAY, {"universe": UniverseLimits(shorting=False)}, "NOT_SHORTABLE")],
)
def test_an_exercise_is_held_to_the_limits_on_the_shares(
    play: Any, running: Any, contract: Any, worth: Decimal, bounds: dict[str, Any], code: str
) -> None:
    async def scenario() -> None:
        async with gated(running, Limits(**bounds), contract) as (rig, gate):
            order = ask(rig, 2, contract, exercise=True)
            await rig.status(order, DENIED)
            assert order.last_event.reason.startswith(f"{code}: ")
            assert len(gate.reservations) == 0
            assert net(rig, contract) == 2

    play(scenario())


@pytest.mark.parametrize(("contract", "worth", "held", "shares"), [(CALL, CALLED, 0, 200), (PUT, PUT_AWAY, 200, 0)])
def test_what_an_exercise_may_bring_it_brings_and_its_room_is_given_back(
    play: Any, running: Any, contract: Any, worth: Decimal, held: int, shares: int
) -> None:
    async def scenario() -> None:
        limits = Limits(
            max_order_notional=worth, max_position_notional=worth, max_order_qty=Decimal(200), headroom=Decimal(0)
        )
        async with gated(running, limits, contract, shares=held) as (rig, gate):
            order = ask(rig, 2, contract, exercise=True)
            await rig.status(order, FILLED)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == shares, "the shares")
            assert rig.position("IBM") == shares
            assert len(gate.reservations) == 0
            assert gate.margin.reserved(gate.account_ids()[0]) == 0
            assert gate.book.count() == 0
            await agree(rig)

    play(scenario())


@pytest.mark.parametrize("state", ["reducing", "halted"])
@pytest.mark.parametrize(("contract", "shares"), [(CALL, 0), (CALL, 100), (CALL, -100), (PUT, 0), (PUT, 100)])
def test_in_no_state_an_exercise_opens(play: Any, running: Any, state: str, contract: Any, shares: int) -> None:
    async def scenario() -> None:
        async with gated(running, Limits(), contract, shares=shares) as (rig, gate):
            gate.set_state(state, why="a test")
            order = ask(rig, 2, contract, exercise=True)
            await rig.status(order, DENIED)
            assert order.last_event.reason.startswith(f"STATE_{state.upper()}")
            assert rig.position("IBM") == shares

    play(scenario())


@pytest.mark.parametrize(("contract", "shares"), [(CALL, -200), (CALL, -300), (PUT, 200), (PUT, 300)])
def test_one_that_only_shrinks_the_shares_passes_in_a_halt(play: Any, running: Any, contract: Any, shares: int) -> None:
    async def scenario() -> None:
        limits = Limits(
            max_position_notional=Decimal(1), universe=UniverseLimits(deny=("*",)), headroom=Decimal("0.99")
        )
        async with gated(running, limits, contract, shares=shares) as (rig, gate):
            gate.set_state("halted", why="a test")
            await rig.status(ask(rig, 2, contract, exercise=True), FILLED)
            left = shares + (200 if shares < 0 else -200)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == left, "the shares")
            assert len(gate.reservations) == 0

    play(scenario())


def test_until_an_exercise_is_settled_its_room_is_taken_and_its_contracts_are_not_free(play: Any, running: Any) -> None:
    async def scenario() -> None:
        limits = Limits(max_position_notional=CALLED + 10 * 185)
        async with gated(running, limits) as (rig, gate):
            path = f"/v2/positions/{SYMBOL}/exercise"
            rig.faults.arm({"next": [{"method": "POST", "path": path, "status": 500, "after": True}]})
            settle = asyncio.Event()
            run = rig.client.gaps.run

            async def later() -> None:
                await settle.wait()
                await run()

            rig.client.gaps.run = later
            order = ask(rig, 2, exercise=True)
            await rig.until(lambda: rig.position("IBM") == 200, "the exercise at the venue")
            assert order.status == OrderStatus.SUBMITTED
            late = rig.market("buy", 11)
            await rig.status(late, DENIED)
            assert late.last_event.reason.startswith("MAX_POSITION_NOTIONAL")
            gate.set_state("halted", why="a test")
            for again in (ask(rig, 2), ask(rig, 2, exercise=True)):
                await rig.status(again, DENIED)
            settle.set()
            await rig.status(order, FILLED)
            assert len(gate.reservations) == 0
            del rig.client.gaps.run

    play(scenario())


@asynccontextmanager
async def lost(running: Any) -> AsyncIterator[Any]:
    """An exercise whose request never came, which nobody here knows."""
    async with gated(running, Limits(headroom=Decimal(0))) as (rig, gate):
        path = f"/v2/positions/{SYMBOL}/exercise"
        rig.faults.arm({"next": [{"method": "POST", "path": path, "status": 500}]})
        runs = rig.client.gaps.runs
        order = ask(rig, 2, exercise=True)
        await rig.until(lambda: rig.client.gaps.runs > runs, "a look at the positions")
        yield rig, gate, order


async def wait_until(rig: Any, day: int, hour: int, minute: int = 0) -> None:
    """It becomes that time (UTC) of January 2026, and all is looked at."""
    at = datetime(2026, 1, day, hour, minute, tzinfo=UTC)
    rig.exchange.market.set_clock(int(at.timestamp()) * 10**9)
    rig.client.venue_clock.observe(rig.exchange.market.now_ns)  # a replay's is what was seen
    rig.quote("IBM", "185.00", "185.02")
    await rig.client.gaps.run()


@pytest.mark.parametrize(("day", "hour", "over"), [(12, 16, 13), (12, 22, 14), (13, 13, 14)])
def test_the_night_that_settles_is_one_after_a_close(play: Any, running: Any, day: int, hour: int, over: int) -> None:
    """In UTC; the market opens at 14:30. What is asked for before that is settled in the night after."""

    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.market.set_clock(int(datetime(2026, 1, day, hour, tzinfo=UTC).timestamp()) * 10**9)
            found = await rig.client.rest.after_night_ns()
            assert datetime.fromtimestamp(found // 10**9, UTC) == datetime(2026, 1, over, 14, 30, tzinfo=UTC)

    play(scenario())


def test_an_exercise_that_never_came_gives_its_room_back_after_the_night(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with lost(running) as (rig, gate, order):
            for day, hour in ((12, 21), (13, 14)):  # after the close, and before the market opens at 14:30
                await wait_until(rig, day, hour)
                assert order.status == OrderStatus.SUBMITTED
                assert len(gate.reservations) == 2
            await wait_until(rig, 13, 14, 31)
            await rig.status(order, REJECTED)
            assert order.last_event.reason.startswith("REPLY_LOST: after the night the contracts of")
            assert (len(gate.reservations), gate.margin.reserved(gate.account_ids()[0])) == (0, 0)
            await rig.status(ask(rig, 2, exercise=True), FILLED)
            await agree(rig)

    play(scenario())


def test_an_exercise_that_came_late_is_filled_though_the_night_is_over(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with lost(running) as (rig, gate, order):
            rig.exchange.broker.desk.settling.exercise(rig.account, SYMBOL)
            await wait_until(rig, 13, 15)
            await rig.status(order, FILLED)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 200, "the shares")
            assert len(gate.reservations) == 0
            await rig.client.gaps.run()
            assert rig.strategy.names(order)[-1] == "Filled"

    play(scenario())


def test_a_cancel_of_an_exercise_that_nobody_knows_of_is_answered_and_ends_with_it(play: Any, running: Any) -> None:
    """Nautilus takes no refused cancel for an order that was not accepted: until its end it shows the cancel."""

    async def scenario() -> None:
        async with lost(running) as (rig, gate, order):
            rig.strategy.cancel_order(order)
            await rig.until(lambda: "CancelRejected" in rig.strategy.names(order), "an answer")
            assert "whether its request came nobody knows" in rig.strategy.events[-1].reason
            assert len(gate.reservations) == 2
            await wait_until(rig, 13, 15)
            await rig.status(order, REJECTED)
            assert len(gate.reservations) == 0

    play(scenario())


def test_contracts_that_another_order_sells_are_not_exercised(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with gated(running, Limits()) as (rig, gate):
            resting = send(rig, OrderSide.SELL, 1, "9.00", CALL)
            await rig.status(resting, OrderStatus.ACCEPTED)
            order = ask(rig, 2, exercise=True)
            await rig.status(order, DENIED)
            assert order.last_event.reason.startswith("ORDER_ILLEGAL: EXERCISE: ")
            assert (gate.book.count(), len(gate.reservations)) == (1, 1)

    play(scenario())


def test_a_list_of_exercises_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with gated(running, Limits()) as (rig, gate):
            factory = rig.strategy.order_factory
            orders = [
                factory.market(each.id, OrderSide.SELL, Quantity.from_int(2), time_in_force=TimeInForce.DAY)
                for each in (CALL, PUT)
            ]
            rig.strategy.submit_order_list(factory.create_list(orders), params={"exercise": True})
            for order in orders:
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith("ORDER_ILLEGAL: ")
                assert "EXERCISE: send one order at a time" in order.last_event.reason
            assert len(gate.reservations) == 0

    play(scenario())


def test_what_the_venue_does_not_exercise_gives_its_room_back(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with gated(running, Limits(headroom=Decimal(0))) as (rig, gate):
            show(rig, {"IBM": (Decimal("170.00"), Decimal("170.02"))})
            order = ask(rig, 2, exercise=True)
            await rig.status(order, REJECTED)
            assert "out-of-the-money" in order.last_event.reason
            assert len(gate.reservations) == 0
            assert gate.margin.reserved(gate.account_ids()[0]) == 0
            assert gate.book.count() == 0

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
