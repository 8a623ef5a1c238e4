"""States: they only get more severe, until somebody resumes."""

from __future__ import annotations

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
