"""The exit codes of `runner run`: stable, documented, one for each thing a supervisor may want to react to."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """78, 69 and 66 are sysexits.h's; a second signal ends with 128 + its number."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_DATA = 66
    CONNECT = 69
    STRATEGY = 70
    RECONCILE = 71
    HUNG = 72
    CONFIG = 78


class NodeError(Exception):
    """The node can't go on. `str()` is one sentence for the person at the terminal, `hint` what to do about it."""

    def __init__(self, code: ExitCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    def text(self) -> str:
        """What is wrong, and on a line of its own what to do."""
        return f"{self}\n  {self.hint}" if self.hint else str(self)
