"""A reload in a running node, over the fake venue: what changes, what does not, and what a failure leaves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.alpaca.venue_clock import VenueClock
from runner.node.remote.commands import Command, Commands, Refused
from runner.node.telemetry import TelemetryHook
from runner.risk.state import NODE, Scope, State
from tests.node.fake_venue import Behaviour, Run, quote
from tests.node.reload.conftest import Editable, start
from tests.node.schedule.test_timetable import ns

OK = "runner_config_last_reload_successful"


def subscribers(run: Run) -> int:
    return sum(each.topic.startswith("data.quotes") for each in run.node.parts.kernel.msgbus.subscriptions())


async def ticked(run: Run, names: str, ticks: int) -> None:
    await run.until(lambda: all(run.strategy(name).ticks == ticks for name in names))


async def test_of_three_strategies_one_is_changed_and_the_others_keep_everything(at: Editable) -> None:
    run = at.run
    before, heard_by = {name: run.strategy(name) for name in "abc"}, subscribers(run)
    orders = {name: before[name].limit() for name in "abc"}
    await run.until(lambda: all(order.is_open for order in orders.values()))
    run.adapter.data.send(quote(n=1))
    await ticked(run, "abc", 1)

    at.edit("b", params="{period: 20}")
    answer = await at.reload()
    assert answer["result"] == "applied"
    assert answer["changes"]["change"][0] == {
        "name": "b",
        "keys": [{"path": "strategies.b.params.period", "old": None, "new": "20"}],
        "code": False,
        "on_stop": "keep",
        "orders": 1,
        "positions": [],
        "failed": False,
    }
    assert answer["changes"]["unchanged"] == ["a", "c"]

    after = {name: run.strategy(name) for name in "abc"}
    assert (after["a"], after["c"]) == (before["a"], before["c"])
    assert after["b"] is not before["b"]
    assert after["b"].id == before["b"].id
    assert after["b"].config.period == 20
    assert all(order.is_open for order in orders.values())
    assert run.behaviour.cancels == []
    run.adapter.data.send(quote(n=2))
    await ticked(run, "ac", 2)
    await ticked(run, "b", 1)
    assert before["b"].ticks == 1, "what was replaced hears nothing any more"
    assert subscribers(run) == heard_by
    # Its orders are the new one's.
    run.exec.fill(orders["b"])
    await run.until(lambda: "OrderFilled" in after["b"].heard)
    assert "OrderFilled" not in before["b"].heard
    assert run.node.parts.kernel.cache.positions_open(strategy_id=after["b"].id)
    assert at.sample(OK) == 1
    assert at.sample("runner_config_reloads_total", result="applied") == 1
    assert at.sample("runner_config_info", hash=answer["hash"]) == 1


async def test_the_saved_state_is_handed_over_and_what_is_replaced_is_let_go(at: Editable) -> None:
    old = weakref.ref(at.run.strategy("b"))
    for lives in (2, 3):
        at.edit("b", params=f"{{period: {lives}}}")
        await at.reload()
        assert at.run.strategy("b").lives == lives
    gc.unfreeze()
    await at.run.until(lambda: gc.collect() is None or old() is None, turns=3)


async def test_strategies_are_added_and_removed_guarded_routed_and_known(at: Editable) -> None:
    run, heard_by = at.run, subscribers(at.run)
    left = run.strategy("a").limit()
    await run.until(lambda: left.is_open)
    at.remove("a")
    at.edit("d", on_stop="cancel")
    answer = await at.reload()
    assert (answer["changes"]["add"], [row["name"] for row in answer["changes"]["remove"]]) == (["d"], ["a"])
    assert set(run.node.parts.strategies) == set(run.node.parts.guards) == set(run.node.plan.strategies) == set("bcd")
    assert left.is_open, "its on_stop keeps them"
    new = run.strategy("d")
    order = new.limit()
    await run.until(lambda: order.is_open)
    assert subscribers(run) == heard_by
    assert run.node.parts.guards["d"].component is new
    at.code.write_text(at.code.read_text().replace("class Other", "def boom(): ...\n\n\nclass Other"))
    answer = await at.reload()
    assert [row["name"] for row in answer["changes"]["change"]] == ["b", "c", "d"]
    assert all(row["code"] for row in answer["changes"]["change"])
    assert order.is_closed, "its on_stop cancels them"
    # An account is flattened with what a removed strategy left there; it comes back under the same id.
    assert left.strategy_id.value not in run.node.parts.names
    at.edit("a", on_stop="keep")
    await at.reload()
    assert run.strategy("a").id == left.strategy_id
    assert run.strategy("a").lives == 2, "with what it saved when it left"


async def test_another_class_under_the_same_name_takes_its_orders_over(at: Editable) -> None:
    run = at.run
    order = run.strategy("a").limit()
    await run.until(lambda: order.is_open)
    at.edit("a", class_=f"{at.module}:Other")
    await at.reload()
    assert type(run.strategy("a")).__name__ == "Other"
    assert run.strategy("a").id == order.strategy_id
    assert order.is_open


async def test_changed_code_runs_in_the_new_object_and_the_old_one_keeps_the_old(at: Editable) -> None:
    old = at.run.strategy("a")
    at.code.write_text(at.code.read_text().replace("self.lives = 1", "self.lives = 5"))
    planned = await at.do("plan")
    assert [row["code"] for row in planned["changes"]["change"]] == [True, True, True]
    assert type(old).__init__.__globals__["Subject"] is type(old), "a plan leaves nothing behind"
    answer = await at.reload()
    assert answer["result"] == "applied"
    assert type(at.run.strategy("a")) is not type(old)
    assert (await at.reload())["result"] == "unchanged"


async def test_a_schedule_is_in_force_at_once(folder: Editable, behaviour: Behaviour) -> None:
    """Given, changed and taken away, at 16:00 by the venue's clock; no strategy is touched."""
    behaviour.venue_clock = VenueClock()
    behaviour.venue_clock.set_from_clock(ns("2013-10-07 14:00"))
    async with start(folder, behaviour) as run:
        folder.run, before = run, {name: run.strategy(name) for name in "abc"}
        resting, other = before["a"].limit(), before["b"].limit()
        await run.until(lambda: resting.is_open and other.is_open)
        folder.edit("a", schedule="{stop: 13:30}")
        answer = await folder.reload()
        assert [key["path"] for key in answer["changes"]["in_place"]] == ["strategies.a.schedule"]
        assert answer["changes"]["unchanged"] == ["a", "b", "c"]
        await run.until(lambda: resting.is_closed)
        denied = before["a"].limit()
        await run.until(lambda: denied.is_closed)
        assert denied.last_event.reason.startswith("SCHEDULE_CLOSED")
        folder.edit("a", schedule="{stop: 14:30}")
        await folder.reload()
        again = before["a"].limit()
        await run.until(lambda: again.is_open)
        behaviour.venue_clock.observe(ns("2013-10-07 14:30"))
        await run.until(lambda: again.is_closed)
        del folder.strategies["a"]["schedule"]
        folder.write()
        await folder.reload()
        free = before["a"].limit()
        await run.until(lambda: free.is_open)
        assert other.is_open
        assert {name: run.strategy(name) for name in "abc"} == before


async def test_limits_alone_touch_no_strategy_and_hold_at_once(at: Editable) -> None:
    run = at.run
    before, heard_by = {name: run.strategy(name) for name in "abc"}, subscribers(run)
    run.node.gate.set_state(State.REDUCING, scope=Scope("strategy", "c"), why="a test")
    first = before["a"].limit()
    await run.until(lambda: first.is_open)
    at.more = "risk: {max_order_qty: 5, price_collar: 2%, state: reducing}"
    at.edit("b", on_stop="cancel", limits="{max_order_qty: 3}")
    answer = await at.reload()
    assert answer["result"] == "applied"
    assert {key["path"] for key in answer["changes"]["in_place"]} == {
        "risk.max_order_qty", "risk.price_collar", "risk.state", "strategies.b.on_stop", "strategies.b.limits",
    }  # fmt: skip
    assert {name: run.strategy(name) for name in "abc"} == before
    denied = before["a"].limit()
    await run.until(lambda: denied.is_closed)
    assert denied.status_string() == "DENIED"
    assert subscribers(run) == heard_by + 1, "the collar needs quotes, whoever else asks for them"
    assert run.node.gate.states.get(NODE).state is State.REDUCING
    assert first.client_order_id in run.node.gate.working, "what works is still counted"
    at.more = ""
    at.edit("b", on_stop="cancel")
    del at.strategies["b"]["limits"]
    at.write()
    await at.reload()
    assert run.node.gate.states.get(NODE).state is State.ACTIVE, "the file no longer says so"
    assert run.node.gate.states.get(Scope("strategy", "c")).state is State.REDUCING, "a latch stands"
    assert subscribers(run) == heard_by
    second = before["a"].limit("91.00")
    await run.until(lambda: second.is_open)


async def test_a_state_of_the_file_that_was_resumed_is_not_set_again_by_another_change(at: Editable) -> None:
    at.more = "risk: {state: reducing}"
    at.write()
    await at.reload()
    at.run.node.gate.resume(scope=NODE, why="a test")
    at.more = "risk: {state: reducing, max_order_qty: 5}"
    at.write()
    await at.reload()
    assert at.run.node.gate.states.get(NODE).state is State.ACTIVE


FAILURES: dict[str, tuple[Callable[[Editable], Any], str, str]] = {
    "parse": (lambda at: at.path.write_text("strategies: {a: [\n"), "failed", "mistakes in the files"),
    "schema": (lambda at: at.edit("b", on_stopp="keep"), "failed", "mistakes in the files"),
    "gone": (lambda at: at.path.unlink(), "failed", "mistakes in the files"),
    "no feed": (lambda at: at.edit("b", feed="coins"), "failed", "mistakes in the files"),
    "no class": (lambda at: at.edit("b", class_=f"{at.module}:Nobody"), "failed", "mistakes in the files"),
    "params": (lambda at: at.edit("b", params="{period: ten}"), "failed", "mistakes in the files"),
    "import": (lambda at: at.code.write_text(f"{at.code.read_text()}\nraise RuntimeError('broken')\n"),
               "failed", "mistakes in the files"),
    "syntax": (lambda at: at.code.write_text("def broken(:\n"), "failed", "mistakes in the files"),
    "restart": (lambda at: at.path.write_text(at.path.read_text().replace("stop_timeout: 1s", "stop_timeout: 2s")),
                "refused", "a restart is needed"),
    "save": (lambda at: _unsaving(at), "failed", "can't be saved"),
    "load": (lambda at: at.edit("b", params="{fails_on: load}"), "failed", "given the state"),
    "make": (lambda at: at.edit("b", params="{fails_on: make}"), "failed", "can't be made"),
    "instruments": (lambda at: _venue(at, ["Alpaca has no instrument X"]), "failed", "not to be had"),
    "venue": (lambda at: _venue(at, RuntimeError("HTTP 500")), "failed", "can't be looked up"),
    "venue hangs": (lambda at: _venue(at, "hang"), "failed", "did not answer"),
    "limits": (lambda at: _no_limits(at), "failed", "limits can't be put in force"),
}  # fmt: skip


def _unsaving(at: Editable) -> None:
    type(at.run.strategy("b")).on_save = lambda self: 1 / 0
    at.edit("b", params="{period: 3}")


def _venue(at: Editable, how: Any) -> None:
    at.run.behaviour.look_up = how
    at.edit("b", params="{period: 3}")


def _no_limits(at: Editable) -> None:
    at.edit("b", params="{period: 3}")
    at.patch.setattr("runner.node.reload.prepare.limits_book", lambda config: 1 / 0)


@pytest.mark.parametrize("what", FAILURES)
async def test_a_reload_that_fails_at_any_step_leaves_the_old_node_trading(
    at: Editable, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, at.patch = at.run, monkeypatch
    before, plan = {name: run.strategy(name) for name in "abc"}, run.node.plan
    order = before["b"].limit()
    await run.until(lambda: order.is_open)
    edit, result, says = FAILURES[what]
    edit(at)
    for verb in ("plan", "reload"):
        answer = await at.do(verb)
        assert (answer["result"], says in answer["outcome"] + str(answer["problems"])) == (result, True), answer
    assert "everything stays as it was" in caplog.text
    assert run.node.plan is plan
    assert {name: run.strategy(name) for name in "abc"} == before
    assert all(strategy.is_running for strategy in before.values())
    assert at.sample(OK) == 0
    assert at.sample("runner_config_reloads_total", result=result) == 1
    assert order.is_open
    run.adapter.data.send(quote())
    await ticked(run, "abc", 1)
    second = before["b"].limit("80.00")
    await run.until(lambda: second.is_open)


async def test_after_a_failure_the_mended_file_is_taken(at: Editable) -> None:
    at.edit("b", on_stopp="keep")
    assert (await at.reload())["result"] == "failed"
    assert at.sample(OK) == 0
    del at.strategies["b"]["on_stopp"]
    at.write()
    assert (await at.reload())["result"] == "unchanged"
    assert at.sample(OK) == 1


async def test_a_strategy_that_fails_to_start_is_down_and_says_so_and_a_mended_one_takes_its_place(
    at: Editable,
) -> None:
    run = at.run
    at.edit("b", params="{fails_on: start}")
    answer = await at.reload()
    assert answer["result"] == "incomplete"
    assert answer["problems"] == ["strategy b is down: ValueError: start fails in on_start"]
    assert run.node.parts.guards["b"].down
    assert run.node.gate.states.get(Scope("strategy", "b")).state is State.HALTED
    assert at.sample(OK) == 0
    assert all(run.strategy(name).is_running for name in "ac")
    at.edit("b", params="{period: 7}")
    assert (await at.reload())["result"] == "applied"
    assert run.strategy("b").is_running
    assert run.node.gate.states.get(Scope("strategy", "b")).state is State.ACTIVE
    assert at.sample(OK) == 1


async def test_a_node_whose_every_strategy_a_reload_breaks_waits_for_the_mended_file(at: Editable) -> None:
    for name in "abc":
        at.edit(name, params="{fails_on: start}")
    assert (await at.reload())["result"] == "incomplete"
    for name in "abc":
        at.edit(name, params="{period: 1}")
    assert (await at.reload())["result"] == "applied"
    assert all(at.run.strategy(name).is_running for name in "abc")


async def test_orders_that_can_t_be_canceled_in_time_keep_the_new_one_from_starting(
    at: Editable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = at.run
    order = run.strategy("b").limit()
    await run.until(lambda: order.is_open)

    async def deaf(command: Any) -> None: ...

    monkeypatch.setattr(run.exec, "_cancel_order", deaf)
    at.edit("b", on_stop="cancel", params="{period: 3}")
    answer = await at.reload()
    assert answer["result"] == "incomplete"
    assert "1 orders are not canceled" in answer["problems"][0]
    assert not run.strategy("b").is_running
    assert run.strategy("a").is_running


async def test_a_changed_strategy_is_flattened_where_its_file_says_so(at: Editable) -> None:
    run = at.run
    run.strategy("b").market()
    await run.until(lambda: run.exec.held.get("IBM") == 10)
    at.edit("b", on_stop="flatten", params="{period: 3}")
    assert (await at.reload())["result"] == "applied"
    assert run.exec.held["IBM"] == 0
    assert run.strategy("b").is_running


async def test_one_reload_at_a_time(at: Editable) -> None:
    at.run.behaviour.look_up = "hang"
    at.edit("b", params="{period: 3}")
    first = asyncio.create_task(at.reload())
    reloader = at.run.node.reloader
    await at.run.until(lambda: reloader._lock.locked())
    with pytest.raises(Refused, match="under way") as refused:
        await at.reload()
    assert refused.value.status == 409
    assert (await first)["result"] == "failed"
    at.run.behaviour.look_up = None
    assert (await at.reload())["result"] == "applied"


async def test_other_files_are_run_by_from_then_on(at: Editable, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("strategies: {b: {params: {period: 3}}}\n")
    answer = await at.do("reload", at.path, other)
    assert answer["changes"]["files"] == [str(at.path), str(other)]
    assert at.run.strategy("b").config.period == 3
    assert (await at.reload())["result"] == "unchanged"


async def test_what_a_removed_strategy_left_is_flattened_with_its_account(at: Editable) -> None:
    run = at.run
    run.strategy("a").market()
    await run.until(lambda: run.exec.held.get("IBM") == 10)
    at.remove("a")
    await at.reload()
    answer = await Commands(run.node).do("flatten", Command(why="a test", account="main", timeout_s=5), "a test")
    assert run.exec.held["IBM"] == 0, answer


async def test_a_strategy_moves_to_another_account_only_while_it_has_nothing(
    behaviour: Behaviour, folder: Editable
) -> None:
    folder.accounts = ("main", "spare")
    folder.write()
    async with start(folder, behaviour) as folder.run:
        run = folder.run
        order = run.strategy("b").limit()
        await run.until(lambda: order.is_open)
        folder.edit("b", account="spare")
        answer = await folder.reload()
        assert answer["result"] == "failed"
        assert "it has 1 working orders on account main" in answer["outcome"]
        run.strategy("b").cancel_order(order)
        await run.until(lambda: order.is_closed)
        assert (await folder.reload())["result"] == "applied"
        order = run.strategy("b").limit()
        await run.until(lambda: order.is_open)
        assert run.adapter.exec["ALPACA_SPARE"].sent == [order.client_order_id.value]
        assert run.strategy("b").portfolio._account_id == run.adapter.exec["ALPACA_SPARE"].account_id


async def test_a_fault_of_our_own_in_the_second_phase_is_told_and_the_node_lives(
    at: Editable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runner.node.reload.apply.WindDown.run", lambda self, timeout_s: 1 / 0)
    at.edit("b", params="{period: 3}")
    answer = await at.reload()
    assert answer["result"] == "incomplete"
    assert "could not be stopped in order" in answer["problems"][0]
    assert at.run.node.parts.guards["b"].down
    assert at.run.strategy("a").is_running
    monkeypatch.setattr("runner.node.reload.reloader.apply", lambda node, prepared: 1 / 0)
    at.edit("b", params="{period: 4}")
    assert (await at.reload())["outcome"].startswith("it broke off")
    assert at.sample("runner_config_reloads_total", result="incomplete") == 2
    assert at.sample(OK) == 0


async def test_the_metrics_follow_and_what_is_gone_alarms_nobody(behaviour: Behaviour, folder: Editable) -> None:
    telemetry = TelemetryHook(None, None, lambda: (True, ""))
    folder.more = "risk: {max_open_orders: 10}"
    folder.write()
    async with start(folder, behaviour, telemetry=telemetry) as folder.run:
        run, folder.metrics = folder.run, telemetry.metrics
        run.node.gate.set_state(State.HALTED, scope=Scope("strategy", "a"), why="a test")
        telemetry._sampler.sample()
        assert folder.sample("runner_risk_state", scope="strategy", name="a", state="halted") == 1
        assert folder.sample("runner_limit_used_ratio", limit="max_open_orders", scope="node", name="") == 0
        folder.remove("a")
        folder.more = ""
        folder.edit("d", params="{fails_on: start}")
        await folder.reload()
        telemetry._sampler.sample()
        up = {name: folder.sample("runner_strategy_up", strategy=name) for name in "abcd"}
        assert up == {"a": None, "b": 1, "c": 1, "d": 0}
        assert folder.sample("runner_risk_state", scope="strategy", name="a", state="halted") is None
        assert folder.sample("runner_limit_used_ratio", limit="max_open_orders", scope="node", name="") is None
        assert folder.sample("runner_denials_total", code="MAX_ORDERS", strategy="d", account="main") == 0
        order = run.strategy("b").limit()
        await run.until(lambda: order.is_open)
        folder.edit("d", params="{period: 3}")
        await folder.reload()
        order = run.strategy("d").limit()
        await run.until(lambda: order.is_open)
        counted = {"strategy": "d", "account": "main", "state": "accepted"}
        assert folder.sample("runner_orders_total", **counted) == 1
        assert folder.sample("runner_strategy_up", strategy="d") == 1


async def test_an_end_while_strategies_are_stopped_starts_no_new_one(
    behaviour: Behaviour, folder: Editable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(folder, behaviour) as folder.run:
        run = folder.run
        order = run.strategy("b").limit()
        await run.until(lambda: order.is_open)
        old = run.strategy("b")

        async def deaf(command: Any) -> None: ...

        monkeypatch.setattr(run.exec, "_cancel_order", deaf)
        folder.edit("b", on_stop="cancel", params="{period: 3}")
        task = asyncio.create_task(folder.reload())
        await run.until(lambda: run.node.reloading, turns=10**6)
        run.node.request_stop()
        assert (await task)["result"] == "incomplete"
        assert run.strategy("b") is old
        assert await run.task == 0


async def test_an_end_during_the_checks_gives_the_reload_up(behaviour: Behaviour, folder: Editable) -> None:
    async with start(folder, behaviour) as folder.run:
        behaviour.look_up = "hang"
        folder.edit("b", params="{period: 3}")
        task = asyncio.create_task(folder.reload())
        await folder.run.until(lambda: folder.run.node.reloader._task is not None)
        assert await folder.run.end() == 0
    assert (await task)["outcome"] == "the node ends, and the reload is given up"


async def test_a_signal_during_a_reload_is_not_lost(at: Editable) -> None:
    hook = at.run.node._hooks[0]
    at.run.behaviour.look_up = "hang"
    at.edit("b", params="{period: 3}")
    first = asyncio.create_task(at.reload())
    await at.run.until(lambda: at.run.node.reloader._lock.locked())
    for _ in range(3):
        hook.request("SIGHUP", "a signal")
    await first
    at.run.behaviour.look_up = None
    await at.run.until(lambda: at.run.strategy("b").config.period == 3, turns=10**6)


async def test_a_saved_file_is_reloaded_and_a_half_written_one_told_once(
    behaviour: Behaviour, folder: Editable, caplog: pytest.LogCaptureFixture
) -> None:
    folder.more = "reload: {settle: 20ms}"
    folder.write()
    async with start(folder, behaviour, watch=True) as run:
        folder.run = run
        whole = folder.path.read_text()
        folder.path.write_text(whole[: len(whole) // 2])
        await _until(lambda: folder.sample(OK) == 0)
        folder.path.touch()
        (folder.folder / "neighbour.txt").write_text("x")
        folder.edit("b", params="{period: 3}")
        await _until(lambda: run.strategy("b").config.period == 3)
        # As editors do it: a new file in the old one's place.
        temporary = folder.folder / "new.yaml"
        temporary.write_text(folder.path.read_text().replace("period: 3", "period: 4"))
        temporary.rename(folder.path)
        await _until(lambda: run.strategy("b").config.period == 4)
    assert folder.sample("runner_config_reloads_total", result="failed") == 1
    assert caplog.text.count("watch: reload its files (the file was saved): failed") == 1


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)
