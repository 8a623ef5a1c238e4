"""Holds commands back while positions are not what they are about to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Hold:
    """What comes while it is `held` goes to `execute` at its end, in order; `failed` hears of what that raises."""

    def __init__(self, execute: Callable[[Any], None], failed: Callable[[str, Exception], None]) -> None:
        self._execute = execute
        self._failed = failed
        self._waiting: list[Any] | None = None

    def keeps(self, command: Any) -> bool:
        """Whether this command waits, to be executed later."""
        if self._waiting is None:
            return False
        self._waiting.append(command)
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whatever came meanwhile is executed at the end, also where this raises; one within another ends with it.

        What comes in answer to one that waited goes behind the others that still do. What comes in answer to that goes
        at once: two who meet each denial with another order would keep this from ever ending.
        """
        if self._waiting is not None:
            yield
            return
        waiting = self._waiting = []
        try:
            yield
        finally:
            answers = self._waiting = []
            try:
                self._execute_all(waiting)
            finally:
                self._waiting = None
            self._execute_all(answers)

    def _execute_all(self, commands: Sequence[Any]) -> None:
        for command in commands:
            try:
                self._execute(command)
            except Exception as error:  # whoever sent it has gone on, and the others are still to go
                self._failed("passing on a command that waited", error)
