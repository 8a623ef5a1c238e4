"""Holds commands back while positions are not what they are about to be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

#: How many commands may come in answer to those that waited, before new orders are refused: somebody answers each
#: denial with another order, and would keep this from ever ending.
MOST_ANSWERS = 1_000

type Inner = Callable[[Any], None]


class FloodedError(RuntimeError):
    """Commands that answer one another without end."""


class Execute(Protocol):
    """Carries out a command that came for `inner`; one that takes a risk is denied where there is a `failure`."""

    def __call__(self, command: Any, inner: Inner | None, failure: Exception | None = None) -> None: ...


class Hold:
    """What comes while it is `held` goes to `execute` at its end, in order; `failed` hears of what that raises.

    `is_order`: whether a command takes a risk (an order, a modification), or takes one away (a cancel).
    """

    def __init__(
        self, execute: Execute, is_order: Callable[[Any], bool], failed: Callable[[str, Exception], None]
    ) -> None:
        self._execute = execute
        self._is_order = is_order
        self._failed = failed
        self.waiting: deque[tuple[Any, Inner | None]] | None = None
        """What came, with where it goes; None while nothing is held."""
        self._room: int | None = None
        """How many answers may still come; None while nothing is executed yet."""

    def keeps(self, command: Any, inner: Inner | None) -> bool:
        """Whether this command waits, to be executed later, or has been refused."""
        waiting = self.waiting
        if waiting is None:
            return False
        if self._room is not None:
            if self._room <= 0:
                if self._is_order(command):
                    self._refuse(command, inner)
                    return True
                if not any(self._is_order(each) for each, _ in waiting):
                    return False  # it can overtake no order that it is about
            self._room -= 1
        waiting.append((command, inner))
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whatever came meanwhile is executed at the end, also where this raises; one within another ends with it.

        What comes in answer goes behind all that still waits, so that no cancel overtakes its order.
        """
        if self.waiting is not None:
            yield
            return
        waiting = self.waiting = deque()
        try:
            yield
        finally:
            self._room = MOST_ANSWERS
            try:
                self._execute_all(waiting)
            finally:
                self.waiting = self._room = None

    def _execute_all(self, waiting: deque[tuple[Any, Inner | None]]) -> None:
        try:
            while waiting:
                command, inner = waiting.popleft()
                try:
                    self._execute(command, inner)
                except Exception as error:  # whoever sent it has gone on, and the others are still to go
                    self._failed("passing on a command that waited", error)
        finally:
            if waiting:  # whatever ends this (an interrupt): there may be cancels among the others
                self._execute_all(waiting)

    def _refuse(self, command: Any, inner: Inner | None) -> None:
        """At once, so that whoever answers this as well is in a recursion, which ends."""
        self._execute(
            command,
            inner,
            FloodedError(
                f"more than {MOST_ANSWERS} commands came in answer to those that waited for positions to be set off; "
                "see which strategy answers each denial with another order"
            ),
        )
