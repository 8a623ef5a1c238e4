"""A fault ends its strategy and nobody else, whichever way it came in."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import OrderStatusReport
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId, ExecAlgorithmId, VenueOrderId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.trading.strategy import StrategyConfig
from pydantic import SecretStr

from runner.config.secrets import remember
from runner.node.closer import NODE_TAG, Closer
from runner.node.exit_codes import ExitCode
from tests.node.fake_venue import IBM, Behaviour, FakeExec, Quiet, Run, make_plan, quote


class Boom(Exception):
    """What the strategies here raise."""


def raising(name: str) -> type[Quiet]:
    """A strategy whose method `name` raises."""

    def boom(self: Any, *args: Any) -> None:
        raise Boom(f"in {name}")

    return type("Raising", (Quiet,), {name: boom})


async def tick(run: Run) -> None:
    """Send a quote and wait until the good strategy has it."""
    before = run.strategy("good").ticks
    run.adapter.data.send(quote(n=before + 1))
    await run.until(lambda: run.strategy("good").ticks > before)


def down(run: Run) -> bool:
    return run.node.parts.guards["bad"].down


@pytest.mark.parametrize("name", ["on_quote_tick", "handle_quote_tick"])
async def test_the_others_lose_no_tick_to_one_that_raises_on_quotes(behaviour: Behaviour, name: str) -> None:
    async with Run(make_plan({"bad": raising(name), "good": Quiet}), behaviour) as run:
        await tick(run)
        assert down(run)
        assert run.strategy("bad").is_stopped
        await tick(run)
        assert run.strategy("good").ticks == 2


@pytest.mark.parametrize(
    "name",
    [
        "on_order_initialized",
        "on_order_submitted",
        "on_order_accepted",
        "on_order_filled",
        "on_order_event",
        "on_position_opened",
        "on_event",
    ],
)
async def test_a_fault_in_an_event_handler_leaves_the_books_right(behaviour: Behaviour, name: str) -> None:
    async with Run(make_plan({"bad": raising(name), "good": Quiet}), behaviour) as run:
        run.strategy("bad").market()
        await run.until(lambda: down(run))
        await tick(run)
        run.strategy("good").market()
        await run.until(lambda: "OrderFilled" in run.strategy("good").heard)
        await run.end()
    assert run.node.books["main"].agree is True


async def test_an_indicator_that_raises_ends_its_strategy_only(behaviour: Behaviour) -> None:
    class Bad(ExponentialMovingAverage):
        def handle_quote_tick(self, tick: Any) -> None:
            raise Boom("indicator")

    class Indicating(Quiet):
        def on_start(self) -> None:
            super().on_start()
            self.register_indicator_for_quote_ticks(IBM, Bad(3))

    async with Run(make_plan({"bad": Indicating, "good": Quiet}), behaviour) as run:
        await tick(run)
        assert run.node.parts.guards["bad"].fault.where == "handle_quote_tick"
        assert run.strategy("bad").ticks == 0


@pytest.mark.parametrize("kind", ["alert", "timer", "default"])
async def test_a_timer_that_raises_ends_its_strategy_on_the_loops_thread(behaviour: Behaviour, kind: str) -> None:
    ended = asyncio.Event()

    class Timed(Quiet):
        def on_start(self) -> None:
            if kind == "timer":
                self.clock.set_timer("t", pd.Timedelta("10ms"), callback=self.due)
            else:
                call = self.due if kind == "alert" else None
                self.clock.set_time_alert("t", self.clock.utc_now() + pd.Timedelta("10ms"), call)

        def due(self, event: Any) -> None:
            asyncio.get_running_loop()
            ended.set()
            raise Boom("timer")

        def on_event(self, event: Any) -> None:
            self.due(event)

    async with Run(make_plan({"bad": Timed, "good": Quiet}), behaviour) as run:
        await asyncio.wait_for(ended.wait(), 5)
        await run.until(lambda: down(run))
        assert run.node.parts.guards["bad"].fault.where in ("timer t", "on_event")
        assert run.strategy("bad").clock.timer_names == []
        await tick(run)


async def test_a_request_callback_that_raises_ends_its_strategy(behaviour: Behaviour) -> None:
    async with Run(make_plan({"bad": raising("_finish_response"), "good": Quiet}), behaviour) as run:
        run.strategy("bad")._finish_response(None)
        assert down(run)
        await tick(run)


@pytest.mark.parametrize("name", ["on_stop", "on_save", "on_load"])
async def test_what_raises_at_the_end_does_not_keep_the_others_from_ending(behaviour: Behaviour, name: str) -> None:
    async with Run(make_plan({"bad": raising(name), "good": Quiet}), behaviour) as run:
        assert run.strategy("bad").save() == {}
        run.strategy("bad").load({"a": b"1"})
        await run.end()
    assert "on_stop" in run.strategy("good").heard


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), RecursionError()])
async def test_what_is_no_ordinary_exception_is_a_fault_too(behaviour: Behaviour, error: BaseException) -> None:
    class Bad(Quiet):
        def on_quote_tick(self, tick: Any) -> None:
            raise error

    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        await tick(run)
        assert down(run)


async def test_a_keyboard_interrupt_of_its_own_is_a_fault_where_ctrl_c_has_a_handler(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bad(Quiet):
        def on_quote_tick(self, tick: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(signal, "getsignal", lambda number: lambda *_: None)
    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        await tick(run)
        assert down(run)


@pytest.mark.parametrize("tags", [None, [NODE_TAG]])
async def test_orders_sent_after_the_fault_in_the_same_handler_are_denied(behaviour: Behaviour, tags: Any) -> None:
    class Bad(Quiet):
        def on_order_initialized(self, event: Any) -> None:
            raise Boom("early")

        def on_quote_tick(self, tick: Any) -> None:
            self.last = self.order_factory.market(IBM, OrderSide.BUY, quote().ask_size, tags=tags)
            self.submit_order(self.last)

    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        await tick(run)
        order = run.strategy("bad").last
        await run.until(lambda: order.is_closed)
        assert order.status_string() == "DENIED"
        assert run.exec.sent == []
        assert order.last_event.reason.startswith("STRATEGY_DOWN")


@pytest.mark.parametrize("listed", [False, True])
async def test_an_order_for_an_algorithm_that_does_not_run_is_denied(behaviour: Behaviour, listed: bool) -> None:
    class Algorithmic(Quiet):
        def on_quote_tick(self, tick: Any) -> None:
            twap = ExecAlgorithmId("TWAP")
            self.last = self.order_factory.market(IBM, OrderSide.BUY, quote().ask_size, exec_algorithm_id=twap)
            if listed:
                self.submit_order_list(self.order_factory.create_list([self.last]))
            else:
                self.submit_order(self.last)

    async with Run(make_plan({"a": Algorithmic, "good": Quiet}), behaviour) as run:
        await tick(run)
        order = run.strategy("a").last
        await run.until(lambda: order.is_closed)
        assert order.status_string() == "DENIED"
        assert order.last_event.reason == "ORDER_ILLEGAL: no execution algorithm TWAP runs in this node, leave it out"
        assert run.exec.sent == []


async def test_its_working_orders_are_cancelled_and_nothing_of_it_runs_again(behaviour: Behaviour) -> None:
    async with Run(make_plan({"bad": raising("on_quote_tick"), "good": Quiet}), behaviour) as run:
        mine, other = run.strategy("bad").limit(), run.strategy("good").limit("80.00")
        await run.until(lambda: mine.is_open and other.is_open)
        heard = list(run.strategy("bad").heard)
        await tick(run)
        await run.until(lambda: mine.is_closed)
        assert other.is_open
        assert run.strategy("bad").heard == heard


class Sends(Quiet):
    """Sends a resting order on a quote, and fails right after."""

    def on_quote_tick(self, tick: Any) -> None:
        self.last = self.limit()
        raise Boom("after the order")


async def test_an_order_sent_just_before_the_fault_is_cancelled_once_it_can_be(behaviour: Behaviour) -> None:
    async with Run(make_plan({"bad": Sends, "good": Quiet}), behaviour) as run:
        await tick(run)
        order = run.strategy("bad").last
        await run.until(lambda: order.is_closed)
        assert order.status_string() == "CANCELED"
        assert run.exec.sent == behaviour.cancels == [order.client_order_id.value]


async def test_a_refused_cancellation_is_told_and_asked_for_again_when_the_order_changes(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def refuse(self: FakeExec, command: Any) -> None:
        asked.append(command.client_order_id.value)
        ids = self._ids(self._cache.order(command.client_order_id))
        venue_order_id = VenueOrderId(f"V-{command.client_order_id}")
        now = self._clock.timestamp_ns()
        self.generate_order_cancel_rejected(**ids, venue_order_id=venue_order_id, reason="too early", ts_event=now)

    async with Run(make_plan({"bad": Sends, "good": Quiet}), behaviour) as run:
        with monkeypatch.context() as early:
            early.setattr(FakeExec, "_cancel_order", refuse)
            await tick(run)
            order = run.strategy("bad").last
            await run.until(lambda: "too early" in caplog.text)
            await tick(run)
            assert len(asked) == 1
            assert order.is_open
        run.exec.generate_order_updated(
            **run.exec._ids(order),
            venue_order_id=order.venue_order_id,
            quantity=order.quantity,
            price=order.price,
            trigger_price=None,
            ts_event=0,
        )
        await run.until(lambda: order.is_closed)
        assert behaviour.cancels == asked


async def test_the_nodes_own_closing_order_works_on_after_the_fault(behaviour: Behaviour) -> None:
    async with Run(make_plan({"bad": raising("on_quote_tick"), "good": Quiet}), behaviour) as run:
        run.strategy("bad").market()
        await run.until(lambda: "OrderFilled" in run.strategy("bad").heard)
        behaviour.fill_markets = False
        with Closer(run.node.parts) as closer:
            closer.step(["bad"], shorts_first=False)
            closing = next(order for order in run.node.parts.kernel.cache.orders() if not order.is_closed)
            await tick(run)
            await run.until(lambda: closing.is_open)
            await tick(run)
        assert down(run)
        assert behaviour.cancels == []
        run.exec.fill(closing)
        await run.until(lambda: closing.is_closed)


async def test_an_order_that_comes_under_its_id_after_the_fault_is_left_alone(behaviour: Behaviour) -> None:
    """One placed elsewhere of which the strategy had claimed the instrument: a stop by hand, in its place."""
    async with Run(make_plan({"bad": raising("on_quote_tick"), "good": Quiet}), behaviour) as run:
        await tick(run)
        engine, bad = run.node.parts.kernel.exec_engine, run.strategy("bad")
        engine._external_order_claims[IBM] = bad.id
        engine.reconcile_execution_report(by_hand(run.exec))
        (order,) = run.node.parts.kernel.cache.orders(strategy_id=bad.id)
        await run.until(lambda: order.is_open)
        await tick(run)
        assert order.is_open
        assert behaviour.cancels == []


@pytest.mark.parametrize("on_stop", ["keep", "cancel"])
async def test_a_node_that_ends_with_its_last_strategy_waits_until_its_last_order_is_cancelled(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, on_stop: str
) -> None:
    submit = FakeExec._submit_order

    async def late(self: FakeExec, command: Any) -> None:
        for _ in range(500):  # turns of the loop: the end has begun by then
            await asyncio.sleep(0)
        await submit(self, command)

    monkeypatch.setattr(FakeExec, "_submit_order", late)
    run = Run(make_plan({"bad": Sends}, on_stop=on_stop), behaviour)
    async with run:
        run.adapter.data.send(quote())
        assert await run.task == ExitCode.STRATEGY
    assert run.strategy("bad").last.status_string() == "CANCELED"


def by_hand(client: FakeExec) -> OrderStatusReport:
    return OrderStatusReport(
        account_id=client.account_id,
        instrument_id=IBM,
        venue_order_id=VenueOrderId("V-hand"),
        client_order_id=ClientOrderId("hand"),
        order_side=OrderSide.SELL,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        order_status=OrderStatus.ACCEPTED,
        price=quote("150.00").bid_price,
        quantity=quote().bid_size,
        filled_qty=Quantity.zero(),
        report_id=UUID4(),
        ts_accepted=0,
        ts_last=0,
        ts_init=0,
    )


async def test_the_error_is_told_once_readably_and_without_secrets(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    remember([SecretStr("hunter2hunter2")])

    class Bad(Quiet):
        def on_quote_tick(self, tick: Any) -> None:
            raise Boom("the secret is hunter2hunter2")

    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        await tick(run)
        await tick(run)
        errors = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("strategy bad is stopped")
    assert "test_guard.py" in errors[0]
    assert "runner/node/guard.py" not in errors[0]
    out, err = capfd.readouterr()
    assert "hunter2hunter2" not in caplog.text + out + err
    assert "Boom" not in out + err


async def test_manage_stop_does_not_keep_a_failed_strategy_running(behaviour: Behaviour) -> None:
    plan = make_plan({"bad": raising("on_quote_tick"), "good": Quiet})
    bad = plan.strategies["bad"]
    object.__setattr__(bad, "config", StrategyConfig(order_id_tag="bad", manage_stop=True))
    async with Run(plan, behaviour) as run:
        await tick(run)
        assert run.strategy("bad").is_stopped


async def test_a_handler_that_works_costs_little(behaviour: Behaviour) -> None:
    """The guard adds one Python call on each side of a handler; what it may not do is look anything up."""
    async with Run(make_plan({"bad": Quiet, "good": Quiet}), behaviour) as run:
        handler = run.strategy("good").on_quote_tick
        frames: list[str] = []
        sys.setprofile(lambda frame, event, _: frames.append(frame.f_code.co_name) if event == "call" else None)
        handler(quote())
        sys.setprofile(None)
        assert [name for name in frames if name != "quote"] == ["guarded", "on_quote_tick"]
