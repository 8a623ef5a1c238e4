"""The node's life: each stage ends, with the right code, whatever the venue and the strategies do."""

from __future__ import annotations

import asyncio
import logging

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.node.exit_codes import ExitCode
from runner.node.gate import install_gate
from tests.node.fake_venue import Behaviour, Quiet, Run, Stubborn, make_plan, quote


def one(**times: str):
    return make_plan({"a": Quiet}, **times)


async def test_a_node_trades_and_ends_with_0_and_agreeing_books(behaviour: Behaviour) -> None:
    async with Run(one(), behaviour) as run:
        run.strategy("a").market()
        await run.until(lambda: "OrderFilled" in run.strategy("a").heard)
        assert await run.end() == ExitCode.OK
    assert run.node.books["main"].agree is True
    assert run.node.tally.orders()["filled"] == 1
    assert run.node.tally.fills == 1


@pytest.mark.parametrize("which", ["data_connect", "exec_connect"])
async def test_a_refused_connection_ends_with_69_and_says_what_to_do(
    behaviour: Behaviour, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    setattr(behaviour, which, RuntimeError("401 unauthorized"))
    run = Run(one(), behaviour)
    assert await run.node.run() == ExitCode.CONNECT
    errors = [r.message for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "refused the keys" in errors[0]
    assert "make sure that the key and its secret belong together" in errors[0]


@pytest.mark.parametrize("how", ["hang", "stubborn"])
async def test_a_connection_that_hangs_ends_with_69_and_is_named(
    behaviour: Behaviour, how: str, stubborn: Stubborn, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour.data_connect = stubborn if how == "stubborn" else how
    assert await Run(one(connect_timeout="50ms"), behaviour).node.run() == ExitCode.CONNECT
    assert "feed stocks" in caplog.text


@pytest.mark.parametrize("how", [RuntimeError("HTTP 500"), "hang", "stubborn"])
async def test_a_reconciliation_that_fails_or_hangs_ends_with_71_before_any_strategy_starts(
    behaviour: Behaviour, how: object, stubborn: Stubborn
) -> None:
    behaviour.report = stubborn if how == "stubborn" else how
    run = Run(one(reconcile_timeout="100ms"), behaviour)
    assert await run.node.run() == ExitCode.RECONCILE
    assert run.strategy("a").heard == []


@pytest.mark.parametrize("stage", ["data_connect", "report"])
async def test_a_stop_while_it_starts_ends_it_at_once_with_0(
    behaviour: Behaviour, stage: str, stubborn: Stubborn
) -> None:
    setattr(behaviour, stage, stubborn)
    run = Run(one(connect_timeout="60s", reconcile_timeout="60s"), behaviour)
    run.begin()
    if stage == "report":
        await run.until(lambda: run.node.stage == "reconcile")
    else:
        await run.until(lambda: run.node.stage == "connect")
    assert await run.end() == ExitCode.OK


async def test_a_disconnect_that_hangs_does_not_keep_the_node(behaviour: Behaviour, stubborn: Stubborn) -> None:
    behaviour.disconnect = stubborn
    async with Run(one(stop_timeout="200ms"), behaviour) as run:
        assert await run.end() == ExitCode.OK


async def test_a_broker_that_does_not_answer_at_the_end_makes_the_books_null(behaviour: Behaviour) -> None:
    behaviour.snapshot = "hang"
    async with Run(one(stop_timeout="400ms"), behaviour) as run:
        await run.end()
    assert run.node.books["main"].agree is None
    assert "did not answer" in run.node.books["main"].reason


async def test_books_that_disagree_say_where(behaviour: Behaviour) -> None:
    async with Run(one(), behaviour) as run:
        run.exec.held["BAC"] = 7
        await run.end()
    books = run.node.books["main"]
    assert books.agree is False
    assert [str(d) for d in books.differences] == ["BAC: ours 0, broker 7 (+7)"]


async def test_a_strategy_that_raises_in_on_start_ends_alone(behaviour: Behaviour) -> None:
    class Bad(Quiet):
        def on_start(self) -> None:
            raise ValueError("boom")

    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        assert not run.strategy("bad").is_running
        assert run.strategy("good").is_running
        run.adapter.data.send(quote())
        await run.until(lambda: run.strategy("good").ticks == 1)
        assert await run.end() == ExitCode.OK


async def test_when_every_strategy_is_down_the_node_ends_with_70(behaviour: Behaviour) -> None:
    class Bad(Quiet):
        def on_start(self) -> None:
            raise ValueError("boom")

    assert await Run(make_plan({"a": Bad, "b": Bad}), behaviour).node.run() == ExitCode.STRATEGY


async def test_a_constructor_that_raises_ends_with_1(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Quiet):
        def __init__(self, config: object) -> None:
            raise ValueError("no such period")

    assert await Run(make_plan({"a": Bad}), behaviour).node.run() == ExitCode.FAILED
    assert "no such period" in caplog.text


async def test_cancel_ends_working_orders_and_waits_for_them(behaviour: Behaviour) -> None:
    async with Run(one(), behaviour) as run:
        order = run.strategy("a").limit()
        await run.until(lambda: order.is_open)
        await run.end()
        assert order.is_closed
    assert len(behaviour.cancels) == 1


async def test_keep_leaves_working_orders_alone(behaviour: Behaviour) -> None:
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), behaviour) as run:
        order = run.strategy("a").limit()
        await run.until(lambda: order.is_open)
        await run.end()
        assert order.is_open
    assert behaviour.cancels == []


async def test_flatten_cancels_and_closes_the_position(behaviour: Behaviour) -> None:
    async with Run(make_plan({"a": Quiet}, on_stop="flatten"), behaviour) as run:
        order = run.strategy("a").limit()
        run.strategy("a").market()
        await run.until(lambda: order.is_open and run.exec.held)
        await run.end()
        assert order.is_closed
    assert run.exec.held == {"IBM": 0}
    assert run.node.books["main"].agree is True


async def test_flatten_at_the_end_sets_opposite_positions_off_and_sells_what_the_account_holds(
    behaviour: Behaviour,
) -> None:
    plan = make_plan({"a": Quiet, "b": Quiet, "c": Quiet}, on_stop={"a": "flatten", "b": "flatten", "c": "keep"})
    async with Run(plan, behaviour, install_gate=install_gate) as run:
        for name, side in (("a", OrderSide.BUY), ("a", OrderSide.BUY), ("b", OrderSide.SELL), ("c", OrderSide.SELL)):
            run.strategy(name).market(side)
            await run.until(lambda name=name: run.strategy(name).cache.orders_closed(strategy_id=run.strategy(name).id))
        await run.until(lambda: len(run.exec.fills) == 4)
        await run.end()
    assert run.exec.held == {"IBM": -10}, "c's"
    assert len(run.exec.sent) == 5, "10 of a and b are set off, 10 are sold"
    assert run.node.books["main"].agree is True


async def test_what_on_stop_sends_to_close_a_position_is_not_cancelled(behaviour: Behaviour) -> None:
    class Closer(Quiet):
        def on_stop(self) -> None:
            self.close_all_positions(quote().instrument_id, reduce_only=False)

    async with Run(make_plan({"a": Closer}), behaviour) as run:
        run.strategy("a").market()
        await run.until(lambda: run.exec.held)
        await run.end()
    assert run.exec.held == {"IBM": 0}
    assert behaviour.cancels == []


async def test_a_late_fill_of_a_failed_strategy_is_still_booked(behaviour: Behaviour) -> None:
    class Bad(Quiet):
        def on_quote_tick(self, tick: object) -> None:
            raise ValueError("boom")

    behaviour.fill_markets = False
    async with Run(make_plan({"bad": Bad, "good": Quiet}), behaviour) as run:
        order = run.strategy("bad").market()
        await run.until(lambda: order.is_open)
        run.adapter.data.send(quote())
        await run.until(lambda: order.is_closed)
        assert behaviour.cancels == [order.client_order_id.value]
        run.exec.fill(order)
        cache = run.node.parts.kernel.cache
        await run.until(lambda: cache.positions_open())
        await run.end()
    assert run.node.books["main"].agree is True


async def test_a_failure_of_the_machinery_ends_with_1(behaviour: Behaviour) -> None:
    async with Run(one(), behaviour) as run:

        def broken(command: object) -> None:
            raise RuntimeError("engine bug")

        run.exec.submit_order = broken
        run.node.parts.kernel.exec_engine.shutdown_system("engine bug")
        assert await run.task == ExitCode.FAILED


async def test_two_accounts_get_the_orders_of_their_own_strategies(behaviour: Behaviour) -> None:
    async with Run(make_plan({"a": Quiet, "b": Quiet}, accounts=("one", "two")), behaviour) as run:
        first, second = run.strategy("a").market(), run.strategy("b").limit()
        await run.until(lambda: first.is_closed and second.is_open)
        assert run.adapter.exec["ALPACA"].sent == [first.client_order_id.value]
        assert run.adapter.exec["ALPACA_TWO"].sent == [second.client_order_id.value]
        assert str(second.account_id) == "ALPACA_TWO-1"
        await run.end()
        assert second.is_closed
    assert set(run.node.books) == {"one", "two"}


async def test_stopping_twice_is_stopping_once(behaviour: Behaviour) -> None:
    async with Run(one(), behaviour) as run:
        run.node.request_stop(ExitCode.OK)
        run.node.request_stop(ExitCode.FAILED, "too late")
        assert await asyncio.shield(run.task) == ExitCode.OK
