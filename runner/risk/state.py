"""Whether orders may open positions: active, reducing or halted, by scope, latched until somebody resumes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple

from runner.config.secrets import redact
from runner.risk.latches import LatchStore, MemoryLatches


class State(StrEnum):
    """From mild to severe. Reducing orders and cancels pass in every state."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]


_SEVERITY = {State.ACTIVE: 0, State.REDUCING: 1, State.HALTED: 2}


class Scope(NamedTuple):  # hashed many times an order
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


By = Literal["file", "command", "breach", "fault"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A scope's state, why it came to it and by what, and since when (venue time, UNIX nanoseconds)."""

    scope: Scope
    state: State
    why: str
    since_ns: int
    by: By = "command"
    causes: tuple[str, ...] = ()
    """The codes of all breaches since it was last active, so that one that ends by itself does not end the others."""


_ACTIVE = Standing(NODE, State.ACTIVE, "", 0)


class States:
    """The state of every scope. It only becomes more severe by itself; `resume` is a person's decision.

    What a command or a breach set is kept in `store`, and is in force again after a restart until somebody resumes it.
    What the file says is said by the file each time, and a fault's state ends with the process: to start it anew is a
    person's decision. `on_error` hears of a store that fails: the state
    holds in memory all the same.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        on_change: Callable[[Standing], None] | None = None,
        *,
        store: LatchStore | None = None,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._now_ns = now_ns
        self._on_change = on_change
        self._store = store if store is not None else MemoryLatches()
        self._on_error = on_error or (lambda _doing, _error: None)
        self._latched: dict[Scope, Standing] = {}
        self._of_file: dict[Scope, Standing] = {}
        self._calm = True  # nothing is other than active
        self.unkept: dict[Scope, str] = {}
        """Why the store did not keep a scope's state when it last changed: a restart may not know of it."""

    def restore(self) -> None:
        """Take up what was latched before a restart. Raises what the store raises, ValueError for a broken record."""
        for key, text in self._store.load().items():
            kind, _, name = key.removeprefix(_PREFIX).partition("/")
            if not key.startswith(_PREFIX):
                continue
            standing = _standing(Scope(kind, name), text)  # type: ignore[arg-type]
            if standing.state is not State.ACTIVE:
                self._latched[standing.scope] = standing
                self._calm = False
                if self._on_change is not None:
                    self._on_change(standing)

    def get(self, scope: Scope) -> Standing:
        latched, of_file = self._latched.get(scope), self._of_file.get(scope)
        if latched is None or of_file is None:
            return latched or of_file or Standing(scope, State.ACTIVE, "", 0)
        return of_file if of_file.state.severity > latched.state.severity else latched

    def all(self) -> list[Standing]:
        """Every scope that was ever other than active."""
        return [self.get(scope) for scope in dict.fromkeys((*self._latched, *self._of_file))]

    def set(self, state: State, *, scope: Scope, why: str, by: By = "command", cause: str = "") -> bool:
        """Make a scope more severe. False where it already is as severe or more so.

        `cause` is a breach's code; another one is remembered beside the first.

        What the file says and what was latched stand side by side: a breach under a file's `reducing` is still
        latched once the file no longer says so.
        """
        layer = self._of_file if by == "file" else self._latched
        current = layer.get(scope) or Standing(scope, State.ACTIVE, "", 0)
        causes = current.causes if not cause or cause in current.causes else (*current.causes, cause)
        before = self.get(scope)
        if state.severity > current.state.severity:
            self._put(layer, Standing(scope, state, why, self._now_ns(), by, causes), before)
        elif current.by == "fault" and by != "fault" and state.severity == current.state.severity:
            # It outlasts the fault, which ends with a new object in the strategy's place.
            self._put(layer, Standing(scope, state, why, self._now_ns(), by, causes), before)
        elif state is not State.ACTIVE and causes != current.causes:
            self._put(layer, replace(current, causes=causes), before)
        return self.get(scope).state is not before.state

    def of_file(self, state: State, *, scope: Scope, why: str) -> None:
        """The file says another state of a scope than it did: that takes the place of what it said, milder or not.

        What was latched besides stands.
        """
        self._put(self._of_file, Standing(scope, state, why, self._now_ns(), "file"), self.get(scope))

    def clear_fault(self, *, scope: Scope, why: str) -> None:
        """A strategy that had failed is replaced: what its fault made of the scope ends; anything else stands."""
        latched = self._latched.get(scope)
        if latched is None or latched.by != "fault":
            return
        # A fault's state is kept nowhere; what was latched before it is.
        written = self._store.load().get(f"{_PREFIX}{scope.kind}/{scope.name}")
        earlier = Standing(scope, State.ACTIVE, why, self._now_ns()) if written is None else _standing(scope, written)
        self._put(self._latched, earlier, self.get(scope), keep=False)

    def lift(self, cause: str, *, scope: Scope, why: str) -> bool:
        """Make a scope active again where this breach alone made it reducing; False where anything else did too."""
        latched = self._latched.get(scope)
        if latched is None or latched.by != "breach" or cause not in latched.causes:
            return False
        left = tuple(each for each in latched.causes if each != cause)
        before = self.get(scope)
        if left:
            self._put(self._latched, replace(latched, causes=left), before)
            return False
        self._put(self._latched, Standing(scope, State.ACTIVE, why, self._now_ns()), before)
        return self.get(scope).state is not before.state

    def resume(self, *, scope: Scope, why: str) -> bool:
        """Make a scope active again. False where it was."""
        before = self.get(scope)
        if before.state is State.ACTIVE:
            return False
        self._of_file.pop(scope, None)
        self._put(self._latched, Standing(scope, State.ACTIVE, why, self._now_ns()), before)
        return True

    def severest(self, account: str, strategy: str) -> Standing:
        """The state that an order of this account and strategy stands under."""
        if self._calm:
            return _ACTIVE
        scopes = (NODE, Scope("account", account), Scope("strategy", strategy))
        return max((self.get(scope) for scope in scopes), key=lambda standing: standing.state.severity)

    def _put(self, layer: dict[Scope, Standing], standing: Standing, before: Standing, *, keep: bool = True) -> None:
        # It is shown, and kept: what a person or an exception says may hold a secret.
        standing = replace(standing, why=redact(standing.why))
        layer[standing.scope] = standing
        self._calm = all(each.state is State.ACTIVE for each in (*self._latched.values(), *self._of_file.values()))
        if keep and standing.by not in ("file", "fault"):
            record = {
                "state": standing.state,
                "why": standing.why,
                "since_ns": standing.since_ns,
                "by": standing.by,
                "causes": standing.causes,
            }
            try:
                self._store.save(f"{_PREFIX}{standing.scope.kind}/{standing.scope.name}", json.dumps(record))
                self.unkept.pop(standing.scope, None)
            except Exception as error:  # whatever the store does, the state holds
                self.unkept[standing.scope] = redact(str(error))
                self._on_error(f"keeping the state of {standing.scope}", error)
        if self._on_change is not None and (now := self.get(standing.scope)).state is not before.state:
            self._on_change(now)


_PREFIX = "state/"


def _standing(scope: Scope, written: str) -> Standing:
    record = json.loads(written)
    return Standing(
        scope,
        State(record["state"]),
        str(record["why"]),
        int(record["since_ns"]),
        record["by"],
        tuple(record.get("causes", ())),
    )
