"""When a command is carried out, and when it is not; over the fake venue."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.journal import JournalError
from runner.node.remote.commands import Command, Commands, Refused
from runner.risk.state import NODE, Scope, State, States
from tests.node.fake_venue import Behaviour, Quiet, Run, make_plan, quote

WHO = "uid 1, process 2"


class Gate:
    """Keeps states, and judges nothing."""

    def __init__(self) -> None:
        self.states = States(lambda: 1)

    def begin(self) -> None: ...

    def set_state(self, state: State, *, scope: Scope, why: str, by: Any = "command") -> bool:
        return self.states.set(State(state), scope=scope, why=why, by=by)

    def resume(self, *, scope: Scope, why: str) -> bool:
        return self.states.resume(scope=scope, why=why)


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep", accounts=("main", "spare"))
    async with Run(plan, Behaviour(), install_gate=_install) as run:
        yield run


def _install(plan: Any, parts: Any) -> Gate:
    parts.router.install(parts.kernel.msgbus, parts.kernel.exec_engine)
    return Gate()


async def test_a_halt_is_latched_and_resumed_by_scope(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    commands = Commands(run.node)
    halted = Command(why="odd", strategy="a")
    assert (await commands.do("halt", halted, WHO))["outcome"] == "strategy a is halted"
    assert (await commands.do("halt", halted, WHO))["outcome"] == "strategy a was halted already"
    answer = await commands.do("resume", Command(why="fine"), WHO)
    assert answer["outcome"] == "the node was active"
    assert answer["states"] == [{"kind": "strategy", "name": "a", "state": "halted", "why": f"odd ({WHO})"}]
    answer = await commands.do("resume", Command(why="fine", strategy="a"), WHO)
    assert answer == {"outcome": "strategy a is active again", "left": {}, "states": []}
    assert f"{WHO}: halt strategy a (odd): strategy a is halted" in caplog.text
    assert f"{WHO}: resume strategy a (fine): strategy a is active again" in caplog.text


async def test_a_halt_that_could_not_be_kept_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(key: str, value: str) -> None:
        raise JournalError("the disk is full; free some space")

    monkeypatch.setattr(run.node.gate.states._store, "save", full)
    answer = await Commands(run.node).do("halt", Command(why="odd"), WHO)
    assert answer["outcome"] == (
        "the node is halted; a restart before this is mended won't know of it: the disk is full; free some space"
    )


async def test_cancelling_takes_back_what_works_in_its_scope_and_changes_no_state(run: Run) -> None:
    mine, other = run.strategy("a").limit(), run.strategy("b").limit()
    await run.until(lambda: mine.is_open and other.is_open)
    answer = await Commands(run.node).do("cancel", Command(why="x", account="main"), WHO)
    assert answer == {"outcome": "the orders of account main are canceled", "closed": [], "left": {}}
    assert (mine.is_closed, other.is_open) == (True, True)
    assert run.node.gate.states.all() == []


async def test_cancelling_leaves_alone_what_is_sent_meanwhile(run: Run) -> None:
    strategy, newer = run.strategy("a"), []
    strategy.on_order_canceled = lambda event: newer.append(strategy.limit("80.00"))
    order = strategy.limit()
    await run.until(lambda: order.is_open)
    answer = await Commands(run.node).do("cancel", Command(why="x", timeout_s=5), WHO)
    assert answer["left"] == {}
    await run.until(lambda: newer[0].is_open)
    assert len(newer) == 1


async def test_flattening_closes_and_leaves_it_reducing(run: Run) -> None:
    run.strategy("a").market(OrderSide.SELL)
    await run.until(lambda: len(run.exec.fills) == 1)
    answer = await Commands(run.node).do("flatten", Command(why="x", strategy="a", timeout_s=5), WHO)
    assert answer["outcome"] == "strategy a is flat, and reducing until it is resumed"
    assert run.exec.held["IBM"] == 0
    assert run.node.gate.states.get(Scope("strategy", "a")).state is State.REDUCING


async def test_a_broker_that_does_not_say_what_works_keeps_no_position_open(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.strategy("a").market()
    await run.until(lambda: len(run.exec.fills) == 1)

    async def down(kept: Any, timeout_s: float) -> tuple[int, list[str]]:
        raise ConnectionError("GET /v2/orders: timeout")

    monkeypatch.setattr(run.exec, "cancel_others", down)
    answer = await Commands(run.node).do("flatten", Command(why="x", timeout_s=5), WHO)
    why = "account main: orders placed elsewhere could not be read, and may still work: GET /v2/orders: timeout"
    assert answer["outcome"] == f"not finished: {why}"
    assert answer["left"] == {"orders": [], "positions": [], "unread": [why]}
    assert [row["result"] for row in answer["closed"]] == ["closed"]
    answer = await Commands(run.node).do("halt", Command(why="x", cancel=True, timeout_s=5), WHO)
    assert answer["outcome"] == f"not finished: {why}"
    assert run.node.gate.states.get(NODE).state is State.HALTED


async def test_what_could_not_be_closed_in_time_is_told(run: Run) -> None:
    run.strategy("a").market()
    await run.until(lambda: len(run.exec.fills) == 1)
    run.behaviour.fill_markets = False
    answer = await Commands(run.node).do("flatten", Command(why="x", timeout_s=0.05), WHO)
    assert answer["outcome"] == "not finished: 1 position left"
    assert answer["left"]["orders"] == []
    (row,) = answer["left"]["positions"]
    assert (row["strategy"], row["quantity"], row["symbol"], row["result"]) == ("a", "10", "IBM", "working")
    assert row["text"].startswith("a: 10 IBM is not closed yet: its closing order O-")


@pytest.mark.parametrize("scope", [{"account": "x"}, {"strategy": "x"}])
async def test_an_unknown_scope_is_refused_with_the_known_ones(run: Run, scope: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"the node has (main, spare|a, b)") as refused:
        await Commands(run.node).do("halt", Command(why="x", **scope), WHO)
    assert refused.value.status == 404
    assert run.node.gate.states.all() == []


async def test_before_it_trades_it_can_be_halted_only(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.node.stage = "connect"
    commands = Commands(run.node)
    for verb in ("resume", "flatten", "cancel"):
        with pytest.raises(Refused, match="does not trade"):
            await commands.do(verb, Command(why="x"), WHO)  # type: ignore[arg-type]
    assert "resume the node (x): refused: the node does not trade" in caplog.text
    await commands.do("halt", Command(why="x", cancel=True), WHO)
    assert run.node.gate.states.get(NODE).state is State.HALTED


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        (Command(why="x"), 409, "not started from files"),
        (Command(why="x", strategy="a"), 400, "for the whole node"),
        (Command(why="x", files=("some.yaml",)), 400, "absolute paths"),
    ],
)
async def test_a_reload_that_can_t_be_meant_is_refused(run: Run, command: Command, status: int, says: str) -> None:
    if status == 400:
        run.node.reloader = SimpleNamespace()
    with pytest.raises(Refused, match=says) as refused:
        await Commands(run.node).do("reload", command, WHO)
    assert refused.value.status == status
    run.node.reloader = None


async def test_a_node_that_is_not_built_refuses() -> None:
    with pytest.raises(Refused, match="not built"):
        await Commands(SimpleNamespace(parts=None, gate=None, plan=None)).do("halt", Command(why="x"), WHO)  # type: ignore[arg-type]


class Raising(Quiet):
    def on_quote_tick(self, tick: Any) -> None:
        raise ValueError("boom")


async def test_a_strategy_that_has_failed_is_not_brought_back_by_resuming() -> None:
    plan = make_plan({"a": Raising, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour(), install_gate=_install) as run:
        run.adapter.data.send(quote())
        await run.until(lambda: run.node.parts.guards["a"].down)
        with pytest.raises(Refused, match="mend it"):
            await Commands(run.node).do("resume", Command(why="x", strategy="a"), WHO)
        assert run.node.gate.states.get(Scope("strategy", "a")).state is State.HALTED
