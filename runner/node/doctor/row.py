"""One finding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Row:
    """What was looked at, how it stands, and what to do about it. Never holds a secret."""

    check: str
    state: State
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def ok(check: str, message: str) -> Row:
    return Row(check, "ok", message)


def warn(check: str, message: str, remedy: str) -> Row:
    return Row(check, "warn", message, remedy)


def fail(check: str, message: str, remedy: str) -> Row:
    return Row(check, "fail", message, remedy)
