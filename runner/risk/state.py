"""Whether orders may open positions: active, reducing or halted, by scope, latched until somebody resumes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple

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
    """The codes of all breaches that hold."""


_ACTIVE = Standing(NODE, State.ACTIVE, "", 0)


class States:
    """The state of every scope. It only becomes more severe by itself; `resume` is a person's decision.

    What the file, a command, a fault and each kind of breach made of a scope stand side by side, each until its own end
    or until the scope is resumed; the severest holds. What a command or a breach set is kept in `store`, and is in
    force again after a restart until somebody resumes it. What the file says is said by the file each time, and a
    fault's state ends with the process: to start it anew is a person's decision. `on_error` hears of a store, a clock
    or an `on_change` that fails: the state holds in memory all the same.
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
        self._held: dict[Scope, dict[_Source, Standing]] = {}
        self._shown: dict[Scope, Standing] = {}  # the severest of what is held, or that it is active again
        self._calm = True  # nothing is other than active
        self.unkept: dict[Scope, str] = {}
        """Why the store did not keep a scope's state when it last changed: a restart may not know of it."""

    def restore(self) -> None:
        """Take up what was latched before a restart. Raises what the store raises, and ValueError, KeyError or
        TypeError for a broken record, once all others are taken up.
        """
        broken: Exception | None = None
        for key, written in self._store.load().items():
            if not key.startswith(_PREFIX):
                continue
            kind, _, name = key.removeprefix(_PREFIX).partition("/")
            scope = Scope(kind, name)  # type: ignore[arg-type]
            try:
                held = _held(scope, written)
            except (ValueError, KeyError, TypeError) as error:
                broken = error
                continue
            if held:
                self._held[scope] = held
                self._show(scope)
        if broken is not None:
            raise broken

    def get(self, scope: Scope) -> Standing:
        return self._shown.get(scope) or Standing(scope, State.ACTIVE, "", 0)

    def all(self) -> list[Standing]:
        """Every scope that was ever other than active."""
        return list(self._shown.values())

    def set(self, state: State, *, scope: Scope, why: str, by: By = "command", cause: str = "") -> bool:
        """Make a scope more severe. False where it already is as severe or more so.

        What is as severe already, by something else, is remembered all the same: that may end before this does. `cause`
        is a breach's code; breaches of several codes stand side by side too.
        """
        before = self.get(scope).state
        current = self._held.get(scope, {}).get((by, cause))
        if state is not State.ACTIVE and (current is None or state.severity > current.state.severity):
            self._put(Standing(scope, state, why, self._time(), by, (cause,) if cause else ()))
        return self.get(scope).state is not before

    def of_file(self, state: State, *, scope: Scope, why: str) -> None:
        """The file says another state of a scope than it did: that takes the place of what it said, milder or not.

        What was latched besides stands.
        """
        if state is State.ACTIVE:
            self._end(("file", ""), scope, why)
        else:
            self._put(Standing(scope, state, why, self._time(), "file"))

    def clear_fault(self, *, scope: Scope, why: str) -> None:
        """A strategy that had failed is replaced: what its fault made of the scope ends; anything else stands."""
        self._end(("fault", ""), scope, why)

    def lift(self, cause: str, *, scope: Scope, why: str) -> bool:
        """This breach is over. Whether the scope is milder for it: what else made it reducing stands."""
        return self._end(("breach", cause), scope, why)

    def resume(self, *, scope: Scope, why: str) -> bool:
        """Make a scope active again, whatever made it less. False where it was."""
        if self.get(scope).state is State.ACTIVE:
            return False
        self._held[scope].clear()
        self._show(scope, why)
        self._keep(scope)
        return True

    def severest(self, account: str, strategy: str) -> Standing:
        """The state that an order of this account and strategy stands under."""
        if self._calm:
            return _ACTIVE
        scopes = (NODE, Scope("account", account), Scope("strategy", strategy))
        return max((self.get(scope) for scope in scopes), key=lambda standing: standing.state.severity)

    def _put(self, standing: Standing) -> None:
        # It is shown, and kept: what a person or an exception says may hold a secret.
        standing = replace(standing, why=redact(standing.why))
        self._held.setdefault(standing.scope, {})[_source(standing)] = standing
        self._show(standing.scope)
        if standing.by in _KEPT:
            self._keep(standing.scope)

    def _end(self, source: _Source, scope: Scope, why: str) -> bool:
        """Whether the scope is milder for it."""
        before = self.get(scope).state
        if self._held.get(scope, {}).pop(source, None) is None:
            return False
        self._show(scope, why)
        if source[0] in _KEPT:
            self._keep(scope)
        return self.get(scope).state is not before

    def _show(self, scope: Scope, why: str = "") -> None:
        """Work out what holds now; `why` it is active where nothing is held any more."""
        before = self.get(scope).state
        now = _severest(self._held[scope].values()) or Standing(scope, State.ACTIVE, redact(why), self._time())
        self._shown[scope] = now
        self._calm = not any(self._held.values())
        if self._on_change is None or now.state is before:
            return
        try:
            self._on_change(now)
        except Exception as error:  # whoever hears of it, the state holds and is kept
            self._on_error(f"telling of the state of {scope}", error)

    def _time(self) -> int:
        """0 where no clock tells: a state is set because something fails, too."""
        try:
            return self._now_ns()
        except Exception as error:
            self._on_error("asking for the time", error)
            return 0

    def _keep(self, scope: Scope) -> None:
        kept = [each for each in self._held[scope].values() if each.by in _KEPT]
        # Beside each, the severest: what an older version of this reads.
        record = {**_record(_severest(kept) or self._shown[scope]), "held": [_record(each) for each in kept]}
        try:
            self._store.save(f"{_PREFIX}{scope.kind}/{scope.name}", json.dumps(record))
            self.unkept.pop(scope, None)
        except Exception as error:  # whatever the store does, the state holds
            self.unkept[scope] = redact(str(error))
            self._on_error(f"keeping the state of {scope}", error)


_PREFIX = "state/"
_KEPT = frozenset({"command", "breach"})
# Which of several that are as severe is shown: one that lasts rather than one that ends by itself.
_LASTING = {"command": 2, "breach": 2, "fault": 1, "file": 0}
_Source = tuple[By, str]
"""What made a scope other than active, and the code of a breach."""


def _source(standing: Standing) -> _Source:
    return standing.by, "".join(standing.causes)


def _severest(held: Iterable[Standing]) -> Standing | None:
    """With the codes of all breaches among them. None of none."""
    held = list(held)
    if not held:
        return None
    shown = max(held, key=lambda each: (each.state.severity, _LASTING[each.by]))  # of like ones the first
    return replace(shown, causes=tuple(cause for each in held for cause in each.causes))


def _record(standing: Standing) -> dict[str, Any]:
    return {
        "state": standing.state,
        "why": standing.why,
        "since_ns": standing.since_ns,
        "by": standing.by,
        "causes": standing.causes,
    }


def _held(scope: Scope, written: str) -> dict[_Source, Standing]:
    """What a record says is held. Raises ValueError, KeyError or TypeError for a broken one."""
    record = json.loads(written)
    standings = [_standing(scope, each) for each in record["held"]] if "held" in record else _one(scope, record)
    return {_source(each): each for each in standings}


def _one(scope: Scope, record: dict[str, Any]) -> list[Standing]:
    """Of a record that knows the severest alone, with the codes of the breaches under it."""
    standing = _standing(scope, record)
    if standing.state is State.ACTIVE:
        return []
    breaches = [replace(standing, by="breach", causes=(cause,)) for cause in standing.causes]
    if standing.by == "breach":
        return breaches or [standing]
    return [replace(standing, causes=()), *(replace(each, state=State.REDUCING) for each in breaches)]


def _standing(scope: Scope, record: dict[str, Any]) -> Standing:
    if record["by"] not in _LASTING:
        raise ValueError(f"{record['by']!r} is no cause of a state")
    return Standing(
        scope,
        State(record["state"]),
        str(record["why"]),
        int(record["since_ns"]),
        record["by"],
        tuple(record.get("causes", ())),
    )
