"""Whether orders may open positions: active, reducing or halted, by scope, latched until somebody resumes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """From mild to severe. Reducing orders and cancels pass in every state."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]


_SEVERITY = {State.ACTIVE: 0, State.REDUCING: 1, State.HALTED: 2}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a state or a limit stands on; names are those in the file."""

    kind: Literal["node", "account", "strategy"]
    name: str = ""

    @property
    def section(self) -> str:
        """Where its limits stand in the file."""
        return "risk" if self.kind == "node" else f"{_PLURAL[self.kind]}.{self.name}.limits"

    def __str__(self) -> str:
        return "the node" if self.kind == "node" else f"{self.kind} {self.name}"


_PLURAL = {"account": "accounts", "strategy": "strategies"}
NODE = Scope("node")


@dataclass(frozen=True, slots=True)
class Standing:
    """A scope's state, why it came to it, and since when (venue time, UNIX nanoseconds)."""

    scope: Scope
    state: State
    why: str
    since_ns: int


_ACTIVE = Standing(NODE, State.ACTIVE, "", 0)


class States:
    """The state of every scope. It only becomes more severe by itself; `resume` is a person's decision."""

    def __init__(self, now_ns: Callable[[], int], on_change: Callable[[Standing], None] | None = None) -> None:
        self._now_ns = now_ns
        self._on_change = on_change
        self._standings: dict[Scope, Standing] = {}

    def get(self, scope: Scope) -> Standing:
        return self._standings.get(scope) or Standing(scope, State.ACTIVE, "", 0)

    def all(self) -> list[Standing]:
        """Every scope that was ever other than active."""
        return list(self._standings.values())

    def set(self, state: State, *, scope: Scope, why: str) -> bool:
        """Make a scope more severe. False, and nothing changes, where it already is as severe or more so."""
        if state.severity <= self.get(scope).state.severity:
            return False
        self._put(Standing(scope, state, why, self._now_ns()))
        return True

    def resume(self, *, scope: Scope, why: str) -> bool:
        """Make a scope active again. False where it was."""
        if self.get(scope).state is State.ACTIVE:
            return False
        self._put(Standing(scope, State.ACTIVE, why, self._now_ns()))
        return True

    def severest(self, account: str, strategy: str) -> Standing:
        """The state that an order of this account and strategy stands under."""
        if not self._standings:
            return _ACTIVE
        if all(standing.state is State.ACTIVE for standing in self._standings.values()):
            return _ACTIVE
        scopes = (NODE, Scope("account", account), Scope("strategy", strategy))
        return max((self.get(scope) for scope in scopes), key=lambda standing: standing.state.severity)

    def _put(self, standing: Standing) -> None:
        self._standings[standing.scope] = standing
        if self._on_change is not None:
            self._on_change(standing)
