"""The keeper in a node over the fake venue: what it cancels and closes, and when; time is the venue's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal as D
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import Quantity

from runner.alpaca.models import WireError
from runner.alpaca.venue_clock import VenueClock
from runner.node.calendar import REFRESH_S, CalendarHook
from runner.node.gate import GateHook, install_gate
from runner.node.remote.commands import Command, Commands
from runner.node.remote.status import status
from runner.node.schedule.hook import ScheduleHook
from runner.node.telemetry import TelemetryHook
from runner.risk.limits import Limits, LimitsBook
from tests.node.fake_venue import IBM, Behaviour, Quiet, Run, make_plan
from tests.node.schedule.test_timetable import ns
from tests.node.test_algorithms import Slicer, User, algorithm, with_algorithms

DAY = "2013-10-07"  # a Monday
FLAT = {"flat_before_close": "5m"}
Start = Callable[..., AbstractAsyncContextManager[Run]]


class Venue:
    """The venue's clock, as a test moves it; what the keeper tells a person."""

    def __init__(self) -> None:
        self.clock = VenueClock()
        self.troubles: list[str] = []

    def move(self, at: str) -> None:
        self.clock.observe(ns(f"{DAY} {at}"))


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def start(venue: Venue, behaviour: Behaviour) -> Start:
    """Runs strategies (Quiet unless named otherwise) by their schedules from a time of the day on."""

    @asynccontextmanager
    async def started(
        schedules: dict[str, Any],
        at: str | None = "10:00",
        *,
        cls: Any = Quiet,
        hooks: tuple[Any, ...] = (),
        algorithms: dict[str, Any] | None = None,
        refresh_s: float = REFRESH_S,
    ) -> AsyncIterator[Run]:
        if at is not None:
            venue.clock.set_from_clock(ns(f"{DAY} {at}"))
        behaviour.venue_clock = venue.clock
        plan = make_plan(dict.fromkeys(schedules, cls), on_stop="keep", schedules=schedules)
        plan = with_algorithms(plan, **(algorithms or {}))
        calendar = CalendarHook(retry_s=0.001, refresh_s=refresh_s)
        ours = (calendar, GateHook(), ScheduleHook(calendar, venue.troubles.append), *hooks)
        async with Run(plan, behaviour, hooks=ours, install_gate=install_gate) as run:
            yield run

    return started


async def settled(run: Run) -> None:
    await run.until(lambda: not run.node.parts.schedules.busy)


async def worked(run: Run, *orders: Any) -> None:
    await run.until(lambda: all(order.is_open for order in orders))


async def bought(run: Run, name: str = "a") -> None:
    run.strategy(name).market()
    await run.until(lambda: held(run, name) == 10)


def hold(run: Run, name: str, qty: int) -> None:
    strategy, side = run.strategy(name), OrderSide.BUY if qty > 0 else OrderSide.SELL
    strategy.submit_order(
        strategy.order_factory.market(IBM, side, Quantity.from_int(abs(qty)), time_in_force=TimeInForce.DAY)
    )


async def denied(run: Run, side: Any = OrderSide.BUY) -> str:
    """Why an order at the market is not sent."""
    order = run.strategy("a").market(side)
    await run.until(lambda: order.is_closed)
    return str(order.last_event.reason)


def held(run: Run, name: str = "a") -> int:
    positions = run.node.parts.kernel.cache.positions_open(strategy_id=run.strategy(name).id)
    return int(sum(each.signed_decimal_qty() for each in positions))


def sent(run: Run) -> list[tuple[str, int]]:
    orders = [run.node.parts.kernel.cache.order(ClientOrderId(each)) for each in run.exec.sent]
    return [("buy" if order.is_buy else "sell", int(order.quantity)) for order in orders]


async def test_what_opens_is_denied_outside_and_what_closes_and_cancels_passes(start: Start, venue: Venue) -> None:
    async with start({"a": {"start": "09:45", "stop": "15:30", "on_stop": "keep"}}, "09:44") as run:
        assert await denied(run) == (
            "SCHEDULE_CLOSED: strategies.a.schedule lets nothing be opened until Mon 2013-10-07 09:45: "
            "only what shrinks a position passes"
        )
        venue.move("09:45")
        await bought(run)
        resting = run.strategy("a").limit("80.00")
        await worked(run, resting)
        venue.move("15:30")
        await settled(run)
        assert resting.is_open
        assert (await denied(run)).startswith("SCHEDULE_CLOSED")
        run.strategy("a").cancel_order(resting)
        exit_ = run.strategy("a").limit("110.00", OrderSide.SELL)
        await worked(run, exit_)
        run.strategy("a").cancel_order(exit_)
        await run.until(lambda: exit_.is_closed)
        run.strategy("a").market(OrderSide.SELL)
        await run.until(lambda: held(run) == 0)
        assert (await denied(run, OrderSide.SELL)).startswith("SCHEDULE_CLOSED"), "it would go short"
        assert run.node.parts.strategies["a"].is_running


async def test_the_adapter_asks_the_gate_of_what_had_to_wait(start: Start, venue: Venue) -> None:
    async with start({"a": {"start": "09:45", "stop": "15:30", "on_stop": "keep"}}) as run:
        ask, factory = run.exec.opening_check, run.strategy("a").order_factory
        order = factory.market(IBM, OrderSide.BUY, Quantity.from_int(1))
        assert ask([order]) is None
        gate = run.node.gate
        gate.set_state("halted", why="somebody said so")
        assert ask([order]).startswith("STATE_HALTED: ")
        gate.resume(why="all is well")
        assert ask([order]) is None
        venue.move("15:30")
        assert ask([order]).startswith("SCHEDULE_CLOSED: strategies.a.schedule")


@pytest.mark.parametrize(
    ("on_stop", "position", "entry", "exit_"),
    [("keep", 10, True, True), ("cancel", 10, False, True), ("flatten", 0, False, False)],
)
async def test_at_its_stop_orders_and_positions_are_what_the_file_says(
    start: Start, venue: Venue, on_stop, position, entry, exit_
) -> None:
    async with start({"a": {"stop": "15:30", "on_stop": on_stop}, "b": {"stop": "15:45"}}) as run:
        await bought(run)
        bid, ask = run.strategy("a").limit("80.00"), run.strategy("a").limit("110.00", OrderSide.SELL)
        other = run.strategy("b").limit("70.00")
        await worked(run, bid, ask, other)
        venue.move("15:29:59")
        await settled(run)
        assert (bid.is_open, ask.is_open) == (True, True)
        venue.move("15:30")
        await run.until(lambda: (bid.is_open, ask.is_open, held(run)) == (entry, exit_, position))
        await settled(run)
        assert other.is_open, "its schedule goes on"
        assert sent(run)[4:] == ([("sell", 10)] if on_stop == "flatten" else [])
        assert run.node.gate.errors == 0


@pytest.mark.parametrize("on_stop", ["keep", "cancel", "flatten"])
async def test_an_algorithm_opens_nothing_after_the_stop_and_what_it_holds_goes_with_the_rest(
    start: Start, venue: Venue, on_stop: str
) -> None:
    async with start({"a": {"stop": "15:30", "on_stop": on_stop}}, cls=User, algorithms={"slicer": Slicer}) as run:
        whole = run.strategy("a").through(30)
        algorithm(run).part(10)
        await run.until(lambda: held(run) == 10)
        venue.move("15:30")
        await run.until(lambda: held(run) == (0 if on_stop == "flatten" else 10))
        await settled(run)
        assert whole.is_closed == (on_stop != "keep")
        late = algorithm(run).part(10, reduce_primary=False)
        await run.until(lambda: late.is_closed)
        assert late.last_event.reason.startswith("SCHEDULE_CLOSED" if on_stop == "keep" else "ORDER_ILLEGAL")
        assert sent(run) == [("buy", 10)] + [("sell", 10)] * (on_stop == "flatten")
        assert run.node.gate.errors == 0


async def test_it_is_flat_before_the_close_and_opens_nothing_on_that_day(start: Start, venue: Venue) -> None:
    async with start({"a": FLAT}) as run:
        await bought(run)
        venue.move("15:55")
        await run.until(lambda: held(run) == 0)
        await settled(run)
        for at in ("15:56", "16:00", "18:00"):
            venue.move(at)
            assert (await denied(run)).startswith("SCHEDULE_CLOSED")
        assert sent(run) == [("buy", 10), ("sell", 10)]
        assert venue.troubles == []


async def test_who_starts_within_the_minutes_before_the_close_is_flat_too(start: Start, venue: Venue) -> None:
    async with start({"a": FLAT}, "15:50") as run:
        await bought(run)
        run.node.parts.schedules.follow(make_plan({"a": Quiet}, schedules={"a": {"flat_before_close": "15m"}}).config)
        await run.node.reloaded()
        await run.until(lambda: held(run) == 0)


async def test_in_real_time_it_wakes_by_itself(start: Start, venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live, the venue's clock goes on without any stamp, and may be put right while it sleeps."""
    monkeypatch.setattr("runner.node.schedule.hook._LONGEST_S", 0.01)
    began, stop_ns = time.monotonic_ns(), ns(f"{DAY} 15:55")
    at_ns = ns(f"{DAY} 12:00")
    venue.clock = VenueClock(lambda: at_ns + time.monotonic_ns() - began)
    async with start({"a": FLAT}, None) as run:
        assert not venue.clock.is_replay
        await bought(run)
        at_ns, began = stop_ns - 30_000_000, time.monotonic_ns()
        await run.until(lambda: held(run) == 0, turns=10**6)
        assert venue.clock.now_ns() >= stop_ns
        assert sent(run) == [("buy", 10), ("sell", 10)]


class Stubborn(Quiet):
    """Sends an exit again whenever one is canceled."""

    def on_order_canceled(self, event: Any) -> None:
        self.again = self.limit("110.00", OrderSide.SELL)


async def test_an_exit_that_a_strategy_sends_again_does_not_hold_the_closing_back(start: Start, venue: Venue) -> None:
    async with start({"a": FLAT}, cls=Stubborn) as run:
        await bought(run)
        exit_ = run.strategy("a").limit("110.00", OrderSide.SELL)
        await worked(run, exit_)
        venue.move("15:55")
        await run.until(lambda: held(run) == 0)
        assert run.strategy("a").again.last_event.reason == (
            "SCHEDULE_CLOSED: strategies.a.schedule is closing its positions: only market orders that close pass"
        )
        assert sent(run) == [("buy", 10), ("sell", 10), ("sell", 10)]


async def test_a_closing_order_is_not_doubled_while_it_works_and_its_trouble_is_told_once(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    async with start({"a": FLAT}) as run:
        await bought(run)
        behaviour.fill_markets = False
        venue.move("15:55")
        closing = run.node.parts.kernel.cache.orders()[-1]
        await worked(run, closing)
        for at in ("15:55:01", "15:55:16", "15:55:29"):
            venue.move(at)
            await settled(run)
        assert venue.troubles == []
        for at in ("15:55:30", "15:55:31", "15:57"):
            venue.move(at)
            await settled(run)
        (told,) = venue.troubles
        assert told.startswith("strategy a is to be flat by its schedule, and is not yet: a: 10 IBM is not closed yet")
        assert sent(run) == [("buy", 10), ("sell", 10)]
        venue.move("16:00")
        assert venue.troubles[1:] == [told.replace("is to be", "was to be").replace("is not yet", "is not", 1)]
        assert run.node.parts.schedules.left("a") == 1
        run.exec.fill(closing)
        await run.until(lambda: held(run) == 0)
        assert run.node.parts.schedules.left("a") == 0


async def test_a_refused_closing_order_is_sent_again_after_a_while(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    async with start({"a": FLAT}) as run:
        await bought(run)
        refuse(run, times=7)
        for second in range(5):
            venue.move(f"15:55:0{second}")
            await run.until(lambda tries=second + 1: refused(run) == tries)
            await settled(run)
        for at in ("15:55:05", "15:55:14"):
            venue.move(at)
            await settled(run)
            assert refused(run) == 5, "no hammering"
        for at, tries in (("15:55:15", 6), ("15:55:16", 7)):
            venue.move(at)
            await run.until(lambda tries=tries: refused(run) == tries)
            await settled(run)
        venue.move("15:55:17")
        await run.until(lambda: held(run) == 0)
        assert refused(run) == 7


@pytest.mark.parametrize("sides", [(100, -60), (60, -100), (60, -60)])
async def test_opposite_positions_of_strategies_that_are_to_be_flat_are_set_off_against_each_other(
    start: Start, venue: Venue, sides: tuple[int, int]
) -> None:
    async with start({"a": FLAT, "b": FLAT}) as run:
        for name, qty in zip("ab", sides, strict=True):
            hold(run, name, qty)
            await run.until(lambda name=name, qty=qty: held(run, name) == qty)
        venue.move("15:55")
        await run.until(lambda: held(run, "a") == held(run, "b") == 0)
        assert run.exec.held["IBM"] == 0
        await settled(run)
        net = abs(sum(sides))
        assert sum(qty for _, qty in sent(run)[2:]) == net, "no more than the account held"
        assert run.node.gate.errors == 0
        assert venue.troubles == []


async def test_a_strategy_that_is_to_be_flat_is_not_set_off_against_one_that_trades_on(
    start: Start, venue: Venue
) -> None:
    async with start({"a": FLAT, "b": {"stop": "16:00", "on_stop": "keep"}}) as run:
        run.strategy("a").market()
        run.strategy("b").market(OrderSide.SELL)
        await run.until(lambda: (held(run, "a"), held(run, "b")) == (10, -10))
        cache = run.node.parts.kernel.cache
        for tries, at in enumerate(("15:55", "15:55:15", "15:55:30"), 1):
            venue.move(at)
            await run.until(
                lambda tries=tries: sum(each.status == OrderStatus.DENIED for each in cache.orders()) == tries
            )
            await settled(run)
        assert "SCHEDULE_CLOSED" in venue.troubles[0]
        assert "flatten the account" in venue.troubles[0]
        assert (held(run, "a"), held(run, "b")) == (10, -10)
        assert len(sent(run)) == 2


@pytest.mark.parametrize(
    "limits", [Limits(duplicate_window_ns=600 * 10**9), Limits(max_order_qty=D(5)), Limits(max_order_notional=D(50))]
)
async def test_limits_on_one_order_do_not_hold_up_its_closing_order(start: Start, venue: Venue, limits: Limits) -> None:
    async with start({"a": FLAT}) as run:
        run.node.gate.set_limits(LimitsBook(top=Limits(duplicate_window_ns=600 * 10**9)))
        await bought(run)
        run.strategy("a").market(OrderSide.SELL)
        await run.until(lambda: held(run) == 0)
        for qty in (4, 6):
            hold(run, "a", qty)
        await run.until(lambda: held(run) == 10)
        run.node.gate.set_limits(LimitsBook(top=limits))
        venue.move("15:55")
        await run.until(lambda: held(run) == 0)
        assert not run.node.gate.denied


def refuse(run: Run, times: int) -> None:
    """The venue rejects that many orders."""
    left, inner, client = [times], run.exec._submit_order, run.exec

    async def submit(command: Any) -> None:
        if not left[0]:
            await inner(command)
            return
        left[0] -= 1
        now = client._clock.timestamp_ns()
        client.generate_order_submitted(**client._ids(command.order), ts_event=now)
        client.generate_order_rejected(**client._ids(command.order), reason="not now", ts_event=now)

    client._submit_order = submit


def refused(run: Run) -> int:
    return sum(order.status_string() == "REJECTED" for order in run.node.parts.kernel.cache.orders())


async def test_a_cancellation_that_the_venue_refuses_is_asked_for_again(start: Start, venue: Venue) -> None:
    async with start({"a": {"stop": "15:30"}}) as run:
        bid = run.strategy("a").limit("80.00")
        await worked(run, bid)
        inner, client, asked = run.exec._cancel_order, run.exec, []

        async def refuse(command: Any) -> None:
            asked.append(command)
            if len(asked) > 1:
                await inner(command)
                return
            ids, now = client._ids(command), client._clock.timestamp_ns()
            client.generate_order_cancel_rejected(
                **ids, venue_order_id=bid.venue_order_id, reason="not now", ts_event=now
            )

        client._cancel_order = refuse
        venue.move("15:30")
        await run.until(lambda: "OrderCancelRejected" in run.strategy("a").heard)
        await settled(run)
        for at in ("15:30:01", "15:30:14"):
            venue.move(at)
            await settled(run)
        assert (len(asked), bid.is_open) == (1, True), "no hammering"
        venue.move("15:30:15")
        await run.until(lambda: bid.is_closed)


async def test_a_strategy_that_has_failed_is_flat_before_the_close_too(start: Start, venue: Venue) -> None:
    async with start({"a": FLAT, "b": {"stop": "12:00"}}) as run:
        await bought(run)
        run.node.parts.guards["a"].fail("on_bar", ValueError("a test"))
        venue.move("15:55")
        await run.until(lambda: held(run) == 0)


async def test_it_leaves_a_flatten_that_somebody_asked_for_alone(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    async with start({"a": FLAT}) as run:
        await bought(run)
        async with run.node.flattening:
            venue.move("15:55")
            await settled(run)
            assert sent(run) == [("buy", 10)]
        venue.move("15:55:01")
        await run.until(lambda: held(run) == 0)
        assert sent(run) == [("buy", 10), ("sell", 10)]


async def test_a_flatten_in_the_minutes_before_the_close_closes_once(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    async with start({"a": FLAT}) as run:
        await bought(run)
        behaviour.fill_markets = False
        venue.move("15:55")
        await run.until(lambda: len(run.exec.sent) == 2)
        behaviour.fill_markets = True
        answer = await Commands(run.node).do("flatten", Command(why="a test", timeout_s=2), "a test")
        assert answer["left"] == {}
        venue.move("15:56")
        await settled(run)
        assert held(run) == 0
        assert sent(run) == [("buy", 10), ("sell", 10), ("sell", 10)]
        assert len(behaviour.cancels) == 1


async def test_nothing_is_opened_until_the_calendar_is_read_which_is_tried_again(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    behaviour.calendar = WireError("a test")
    async with start({"a": FLAT}) as run:
        assert await denied(run) == (
            "SCHEDULE_CLOSED: strategies.a.schedule goes by the exchange's calendar, which could not be read yet: "
            "only what shrinks a position passes"
        )
        behaviour.calendar = None
        venue.move("15:54:59")
        await run.until(lambda: run.node.parts.schedules.moment("a").open)
        await bought(run)


async def test_a_day_that_the_exchange_shortens_while_the_node_runs_is_short(
    start: Start, venue: Venue, behaviour: Behaviour
) -> None:
    async with start({"a": FLAT}, "12:00", refresh_s=0.0) as run:
        await bought(run)
        venue.move("12:56")
        await settled(run)
        assert held(run) == 10
        behaviour.short_days.add(DAY)
        await run.until(lambda: held(run) == 0)
        assert sent(run) == [("buy", 10), ("sell", 10)]


async def test_a_window_over_midnight_ends_on_the_next_day(
    start: Start, venue: Venue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "runner.node")
    async with start({"a": {"start": "15:45", "stop": "04:00", "on_stop": "flatten"}}, "15:44") as run:
        assert "strategy a opens positions by its schedule: 15:45 to 04:00 of the next day" in caplog.text
        assert "nothing be opened until Mon 2013-10-07 15:45" in await denied(run)
        venue.move("15:45")
        await bought(run)
        resting = run.strategy("a").limit("80.00")
        await worked(run, resting)
        venue.clock.observe(ns("2013-10-08 03:59:59"))
        await settled(run)
        assert resting.is_open
        venue.clock.observe(ns("2013-10-08 04:00"))
        await run.until(lambda: not resting.is_open)
        assert held(run) == 10
        assert "nothing be opened until Tue 2013-10-08 15:45" in await denied(run)
        venue.clock.observe(ns("2013-10-08 09:30"))
        await run.until(lambda: held(run) == 0)


async def test_status_and_metrics_say_how_a_schedule_stands(start: Start, venue: Venue, behaviour: Behaviour) -> None:
    telemetry = TelemetryHook(None, None, lambda: (True, ""))
    async with start({"a": FLAT | {"start": "09:45"}, "b": None}, "09:30", hooks=(telemetry,)) as run:

        def says() -> tuple[Any, ...]:
            telemetry._sampler.sample()
            value = telemetry.metrics.registry.get_sample_value
            names = ("runner_schedule_open", "runner_schedule_positions_left", "runner_strategy_up")
            return (
                status(run.node, "sim", 0)["strategies"]["a"]["schedule"],
                *(value(name, {"strategy": "a"}) for name in names),
            )

        opens, closes = "2013-10-07T13:45:00Z", "2013-10-07T19:55:00Z"
        assert says() == ({"open": False, "flat": False, "until": opens, "left": 0}, 0, 0, 1)
        venue.move("09:45")
        assert says() == ({"open": True, "flat": False, "until": closes, "left": 0}, 1, 0, 1)
        await bought(run)
        behaviour.fill_markets = False
        venue.move("15:55")
        tomorrow = "2013-10-08T13:45:00Z"
        assert says() == ({"open": False, "flat": True, "until": tomorrow, "left": 1}, 0, 1, 1)
        venue.move("16:00")
        assert says() == ({"open": False, "flat": False, "until": tomorrow, "left": 1}, 0, 1, 1)
        assert status(run.node, "sim", 0)["strategies"]["b"]["schedule"] is None
        assert telemetry.metrics.registry.get_sample_value("runner_schedule_open", {"strategy": "b"}) == 1
