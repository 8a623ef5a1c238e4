"""Latched states outlive the process."""

from __future__ import annotations

import json

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.risk.latches import MemoryLatches
from runner.risk.state import NODE, Scope, State, States

MAIN = Scope("account", "main")


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


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"state": "asleep", "why": "", "since_ns": 0, "by": "fault"})])
def test_latches_that_can_not_be_read_leave_the_node_reducing(bench, text):
    ours, gate, _ = bench.run(
        lambda s: s.market(OrderSide.BUY, 1), latches=MemoryLatches({"state/node/": text, "something/else": "x"})
    )
    assert ours.codes() == ["STATE_REDUCING"]
    assert gate.errors == 1
