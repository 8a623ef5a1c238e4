"""Commands wait while positions are changed step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.risk.hold import Hold


class Desk:
    """Sends to a hold as the gate does, and keeps what was executed; `answers` says what a command is answered with."""

    def __init__(self, answers: dict[str, list[str]] | None = None) -> None:
        self.done: list[str] = []
        self.failed: list[str] = []
        self.answers = answers or {}
        self.breaks: Callable[[str], bool] = lambda _command: False
        self.hold = Hold(self.execute, lambda doing, error: self.failed.append(f"{doing}: {error}"))

    def send(self, *commands: str) -> None:
        for command in commands:
            if not self.hold.keeps(command):
                self.execute(command)

    def execute(self, command: Any) -> None:
        if self.breaks(command):
            raise ValueError(command)
        self.done.append(command)
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
    assert len(desk.failed) == 2
    assert all("recursion" in each for each in desk.failed)
