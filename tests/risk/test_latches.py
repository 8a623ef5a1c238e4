"""Latched states outlive the process."""

from __future__ import annotations

import json

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.risk.latches import MemoryLatches
from runner.risk.state import NODE, Scope, Standing, State, States

MAIN, LOSS = Scope("account", "main"), "MAX_DAILY_LOSS"


def test_a_state_is_in_force_again_after_a_restart_until_it_is_resumed():
    store = MemoryLatches()
    first = States(lambda: 5, store=store)
    first.set(State.HALTED, scope=MAIN, why="lost 1,000", by="breach")

    second = States(lambda: 9, store=store)
    second.restore()
    assert second.severest("main", "any") == first.get(MAIN)
    assert second.severest("other", "any").state is State.ACTIVE
    second.resume(scope=MAIN, why="looked at it")

    third = States(lambda: 10, store=store)
    third.restore()
    assert third.severest("main", "any").state is State.ACTIVE


@pytest.mark.parametrize("by", ["file", "fault"])
def test_what_the_file_says_and_what_a_fault_led_to_is_not_kept(by):
    store = MemoryLatches()
    States(lambda: 5, store=store).set(State.HALTED, scope=NODE, why="x", by=by)
    assert store.records == {}


def test_a_breach_under_a_files_state_is_latched_beside_it():
    store, changes = MemoryLatches(), []
    states = States(lambda: 5, changes.append, store=store)
    states.set(State.REDUCING, scope=NODE, why="risk.state", by="file")
    states.set(State.REDUCING, scope=NODE, why="lost 1,000", by="breach")
    assert [change.by for change in changes] == ["file"]

    without = States(lambda: 9, store=store)
    without.restore()
    assert without.get(NODE).why == "lost 1,000"


def test_a_store_that_fails_leaves_the_state_in_force():
    class Full(MemoryLatches):
        def save(self, key: str, value: str) -> None:
            raise OSError("disk full")

    failures = []
    states = States(lambda: 5, store=Full(), on_error=lambda doing, error: failures.append((doing, error)))
    assert states.set(State.REDUCING, scope=NODE, why="x")
    assert states.severest("a", "b").state is State.REDUCING
    assert len(failures) == 1


def test_a_state_is_in_force_and_kept_whoever_fails_to_hear_of_it_and_whatever_the_clock_says():
    def broken(*_: object) -> int:
        raise RuntimeError("a bug")

    store, failures = MemoryLatches(), []
    states = States(broken, broken, store=store, on_error=lambda doing, error: failures.append((doing, error)))
    assert states.set(State.HALTED, scope=MAIN, why="x", by="breach")
    second = States(lambda: 9, store=store)
    second.restore()
    assert second.severest("main", "any") == Standing(MAIN, State.HALTED, "x", 0, "breach")
    assert states.resume(scope=MAIN, why="looked at it")
    assert len(failures) == 4


def test_each_of_what_stands_side_by_side_outlives_the_process_save_a_fault():
    store = MemoryLatches()
    first = States(lambda: 5, store=store)
    first.set(State.HALTED, scope=MAIN, why="boom", by="fault")
    first.set(State.REDUCING, scope=MAIN, why="lost 1,000", by="breach", cause=LOSS)
    first.set(State.REDUCING, scope=MAIN, why="keep it closed", by="command")

    second = States(lambda: 9, store=store)
    second.restore()
    assert (second.get(MAIN).state, second.get(MAIN).causes) == (State.REDUCING, (LOSS,))
    second.lift(LOSS, scope=MAIN, why="a new trading day")
    third = States(lambda: 10, store=store)
    third.restore()
    assert third.get(MAIN) == Standing(MAIN, State.REDUCING, "keep it closed", 5)


@pytest.mark.parametrize(
    ("by", "state", "left"), [("breach", "reducing", State.ACTIVE), ("command", "halted", State.HALTED)]
)
def test_a_record_of_before_states_stood_side_by_side_is_read(by, state, left):
    kept = {"state": state, "why": "as it was", "since_ns": 3, "by": by, "causes": [LOSS, "MAX_DRAWDOWN"]}
    states = States(lambda: 5, store=MemoryLatches({"state/account/main": json.dumps(kept)}))
    states.restore()
    was = Standing(MAIN, State(state), "as it was", 3, by, (LOSS, "MAX_DRAWDOWN"))
    assert states.get(MAIN) == was
    states.lift(LOSS, scope=MAIN, why="a new trading day")
    assert states.get(MAIN).state is was.state
    states.lift("MAX_DRAWDOWN", scope=MAIN, why="no such thing happens")
    assert states.get(MAIN).state is left


def test_a_latch_that_can_not_be_read_loses_none_of_the_others():
    kept = json.dumps({"state": "halted", "why": "x", "since_ns": 3, "by": "command"})
    states = States(lambda: 5, store=MemoryLatches({"state/node/": "{", "state/account/main": kept}))
    with pytest.raises(ValueError, match="Expecting"):
        states.restore()
    assert states.severest("main", "any").state is State.HALTED


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[]",
        "7",
        json.dumps({"state": "asleep", "why": "", "since_ns": 0, "by": "fault"}),
        json.dumps({"state": "halted", "why": "", "since_ns": 0, "by": "nobody"}),
    ],
)
def test_latches_that_can_not_be_read_leave_the_node_reducing(bench, text):
    ours, gate, _ = bench.run(
        lambda s: s.market(OrderSide.BUY, 1), latches=MemoryLatches({"state/node/": text, "something/else": "x"})
    )
    assert ours.codes() == ["STATE_REDUCING"]
    assert gate.errors == 1
