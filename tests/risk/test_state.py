"""States: they only get more severe, until somebody resumes."""

from __future__ import annotations

import pytest

from runner.risk.latches import MemoryLatches
from runner.risk.state import NODE, Scope, Standing, State, States

MAIN, EMA = Scope("account", "main"), Scope("strategy", "ema")


def states() -> tuple[States, list[Standing]]:
    changes: list[Standing] = []
    return States(lambda: 42, changes.append), changes


def test_a_scope_begins_active():
    book, changes = states()
    assert book.get(NODE).state is State.ACTIVE
    assert book.severest("main", "ema").state is State.ACTIVE
    assert changes == []


def test_a_state_says_why_and_since_when():
    book, changes = states()
    assert book.set(State.REDUCING, scope=MAIN, why="lost 1,000 today")
    assert changes == [Standing(MAIN, State.REDUCING, "lost 1,000 today", 42)] == book.all()


def test_it_goes_up_but_never_down_by_itself():
    book, changes = states()
    assert book.set(State.REDUCING, scope=NODE, why="first")
    assert not book.set(State.REDUCING, scope=NODE, why="again")
    assert book.set(State.HALTED, scope=NODE, why="worse")
    assert not book.set(State.REDUCING, scope=NODE, why="milder")
    assert not book.set(State.ACTIVE, scope=NODE, why="no")
    assert [change.why for change in changes] == ["first", "worse"]


def test_resuming_makes_it_active_once():
    book, _ = states()
    assert not book.resume(scope=EMA, why="nothing to resume")
    book.set(State.HALTED, scope=EMA, why="a fault")
    assert book.resume(scope=EMA, why="looked at")
    assert book.get(EMA).state is State.ACTIVE
    assert book.set(State.REDUCING, scope=EMA, why="again")


def test_the_severest_of_node_account_and_strategy_holds():
    book, _ = states()
    book.set(State.REDUCING, scope=NODE, why="node")
    book.set(State.HALTED, scope=EMA, why="strategy")
    assert book.severest("main", "ema").scope == EMA
    assert book.severest("main", "other").scope == NODE


def test_a_scope_names_itself_and_its_place_in_the_file():
    assert [str(scope) for scope in (NODE, MAIN, EMA)] == ["the node", "account main", "strategy ema"]
    assert [scope.section for scope in (NODE, MAIN, EMA)] == ["risk", "accounts.main.limits", "strategies.ema.limits"]


def test_what_the_file_says_is_replaced_by_what_it_says_now_and_latches_stand():
    states = States(lambda: 1)
    states.set(State.HALTED, scope=NODE, why="risk.state", by="file")
    states.set(State.REDUCING, scope=NODE, why="a loss", by="breach")
    states.of_file(State.ACTIVE, scope=NODE, why="risk.state")
    assert states.get(NODE).state is State.REDUCING
    states.of_file(State.HALTED, scope=NODE, why="risk.state")
    assert states.get(NODE).state is State.HALTED


@pytest.mark.parametrize("before", [None, State.REDUCING])
def test_a_fault_that_is_cleared_leaves_what_was_latched_before_it(before):
    store, scope = MemoryLatches(), Scope("strategy", "a")
    states = States(lambda: 1, store=store)
    if before is not None:
        states.set(before, scope=scope, why="a loss", by="breach")
    states.set(State.HALTED, scope=scope, why="boom", by="fault")
    states.clear_fault(scope=scope, why="replaced")
    assert states.get(scope).state is (before or State.ACTIVE)
    states.clear_fault(scope=scope, why="replaced")
    assert states.get(scope).state is (before or State.ACTIVE)


def test_a_halt_by_command_outlasts_the_fault_that_came_first():
    scope = Scope("strategy", "a")
    states = States(lambda: 1)
    states.set(State.HALTED, scope=scope, why="boom", by="fault")
    assert states.set(State.HALTED, scope=scope, why="not this one", by="command") is False
    states.clear_fault(scope=scope, why="replaced")
    assert states.get(scope).why == "not this one"


LOSS, DRAWDOWN = "MAX_DAILY_LOSS", "MAX_DRAWDOWN"


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("by", ["file", "command", "fault"])
def test_a_breach_that_is_lifted_leaves_what_else_made_the_scope_reducing(by, is_first):
    """A command under a breach left no trace, and a breach after a fault took its place: the next day lifted all."""
    book, changes = states()
    others = [("breach", "lost 1,000", LOSS), (by, "keep it closed", "")]
    for each, why, cause in reversed(others) if is_first else others:
        book.set(State.REDUCING, scope=NODE, why=why, by=each, cause=cause)
    assert not book.lift(LOSS, scope=NODE, why="a new trading day")
    standing = book.get(NODE)
    assert (standing.state, standing.why, standing.by, standing.causes) == (State.REDUCING, "keep it closed", by, ())
    assert len(changes) == 1
    assert book.severest("main", "ema").state is State.REDUCING


def test_of_two_breaches_the_one_that_is_left_says_why():
    book, _ = states()
    book.set(State.REDUCING, scope=NODE, why="lost 1,000", by="breach", cause=LOSS)
    book.set(State.REDUCING, scope=NODE, why="1,000 below", by="breach", cause=DRAWDOWN)
    assert (book.get(NODE).why, book.get(NODE).causes) == ("lost 1,000", (LOSS, DRAWDOWN))
    assert not book.lift(LOSS, scope=NODE, why="a new trading day")
    assert (book.get(NODE).why, book.get(NODE).causes) == ("1,000 below", (DRAWDOWN,))
    assert book.lift(DRAWDOWN, scope=NODE, why="a new trading day")
    assert book.get(NODE) == Standing(NODE, State.ACTIVE, "a new trading day", 42)


def test_a_halt_that_ends_leaves_the_milder_state_beside_it():
    book, changes = states()
    book.set(State.REDUCING, scope=MAIN, why="lost 1,000", by="breach", cause=LOSS)
    book.set(State.HALTED, scope=MAIN, why="boom", by="fault")
    book.set(State.REDUCING, scope=MAIN, why="keep it closed", by="command")
    book.clear_fault(scope=MAIN, why="replaced")
    book.lift(LOSS, scope=MAIN, why="a new trading day")
    assert (book.get(MAIN).state, book.get(MAIN).why) == (State.REDUCING, "keep it closed")
    assert [change.state for change in changes] == [State.REDUCING, State.HALTED, State.REDUCING]


def test_resuming_ends_all_that_stands_side_by_side():
    book, changes = states()
    for by in ("file", "breach", "command", "fault"):
        book.set(State.REDUCING, scope=EMA, why=by, by=by)
    assert book.resume(scope=EMA, why="looked at it")
    book.clear_fault(scope=EMA, why="replaced")
    assert book.get(EMA) == Standing(EMA, State.ACTIVE, "looked at it", 42)
    assert len(changes) == 2
