"""Commands wait while positions are changed step by step."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

import pytest

from runner.risk.hold import MOST_ANSWERS, Hold


class Desk:
    """Sends to a hold as the gate does, and keeps what was executed; `answers` says what a command is answered with."""

    def __init__(self, answers: dict[str, list[str]] | None = None) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.answers = answers or {}
        self.breaks: Callable[[str], bool] = lambda _command: False
        self.denied: list[str] = []
        self.error: type[BaseException] = ValueError
        self.hold = Hold(
            self.execute,
            lambda command: "cancel" not in command,
            lambda doing, error: self.failed.append(f"{doing}: {error}"),
        )

    def send(self, *commands: str) -> None:
        for command in commands:
            if not self.hold.keeps(command, None):
                self.execute(command, None)

    def execute(self, command: Any, _inner: Any, failure: Exception | None = None) -> None:
        if self.breaks(command):
            raise self.error(command)
        denied = failure is not None and "cancel" not in command
        (self.denied if denied else self.done).append(command)
        self.send(*self.answers.get(command, ()))


def test_what_comes_meanwhile_is_executed_afterwards_in_order() -> None:
    desk = Desk()
    desk.send("before")
    with desk.hold.held():
        desk.send("submit", "cancel", "submit again")
        assert desk.done == ["before"]
    desk.send("after")
    assert desk.done == ["before", "submit", "cancel", "submit again", "after"]


def test_it_is_executed_also_where_what_is_done_meanwhile_fails() -> None:
    desk = Desk()

    def fail() -> None:
        with desk.hold.held():
            desk.send("submit")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert desk.done == ["submit"]


def test_one_within_another_ends_with_the_other() -> None:
    desk = Desk()
    with desk.hold.held():
        with desk.hold.held():
            desk.send("a")
        desk.send("b")
        assert desk.done == []
    assert desk.done == ["a", "b"]


def test_one_that_fails_is_told_and_keeps_none_of_the_others() -> None:
    desk = Desk()
    desk.breaks = lambda command: command == "bad"
    with desk.hold.held():
        desk.send("bad", "good")
    assert desk.done == ["good"]
    assert desk.failed == ["passing on a command that waited: bad"]


def test_an_answer_to_one_that_waited_goes_behind_the_others() -> None:
    desk = Desk({"order": ["cancel of the exit"]})
    with desk.hold.held():
        desk.send("order", "exit")
    assert desk.done == ["order", "exit", "cancel of the exit"]


def test_two_that_answer_without_end_are_not_executed_without_end() -> None:
    """It is the recursion that they would be in without it, which ends one of them."""
    desk = Desk({"a": ["a"], "b": ["b"]})
    with desk.hold.held():
        desk.send("a", "b")
    assert len(desk.done) == MOST_ANSWERS + 2
    assert len(desk.failed) == 2
    assert all("recursion" in each for each in desk.failed)


def test_no_cancel_overtakes_its_order_however_late_it_comes() -> None:
    desk = Desk({"a": ["x"], "b": ["y"], "x": ["cancel y"], "y": ["z"], "cancel y": ["cancel z"]})
    with desk.hold.held():
        desk.send("a", "b")
    assert desk.done == ["a", "b", "x", "y", "cancel y", "z", "cancel z"]


def test_beyond_the_bound_orders_are_refused_and_cancels_go_behind_the_orders_that_wait() -> None:
    many = [f"answer {n}" for n in range(MOST_ANSWERS)]
    desk = Desk({"a": [*many, "too many", "cancel answer 0"]})
    with desk.hold.held():
        desk.send("a")
    assert desk.denied == ["too many"]
    assert desk.done == ["a", *many, "cancel answer 0"]
    assert not desk.failed


def test_what_came_before_is_under_no_bound() -> None:
    desk, many = Desk(), [f"order {n}" for n in range(2 * MOST_ANSWERS)]
    with desk.hold.held():
        desk.send(*many)
    assert desk.done == many


def test_cancels_that_answer_without_end_end_as_well() -> None:
    desk = Desk({"cancel": ["cancel"]})
    with desk.hold.held():
        desk.send("cancel")
    assert len(desk.failed) == 1
    assert "recursion" in desk.failed[0]
    desk.send("order")
    assert desk.done[-1] == "order"


def test_one_that_ends_everything_keeps_none_of_the_others_and_is_raised() -> None:
    desk = Desk({"order": ["answer"]})
    desk.breaks, desk.error = lambda command: command == "bad", CancelledError

    def send() -> None:
        with desk.hold.held():
            desk.send("bad", "order", "cancel")

    with pytest.raises(CancelledError, match="bad"):
        send()
    assert desk.done == ["order", "cancel", "answer"]
    desk.send("after")
    assert desk.done[-1] == "after"
