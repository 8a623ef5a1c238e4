"""What a reload would do, or did, as one object: for the command's answer, the log and `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.config.diff import Change, Diff, Named

#: applied: all of it; unchanged: there was nothing to do; failed: a check failed, nothing was done; refused: it needs a
#: restart, nothing was done; incomplete: it was done, and a strategy is down by it.
Result = Literal["applied", "unchanged", "failed", "refused", "incomplete"]


class Busy(Exception):
    """Another reload is under way."""


class CheckFailed(Exception):
    """A reload that can't be done; nothing was changed. `problems` are told one a line, `refused` by a restart only."""

    def __init__(self, message: str, problems: Iterable[str] = (), *, refused: bool = False) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        self.refused = refused

    def text(self) -> str:
        return "\n".join([str(self), *(f"  {line}" for each in self.problems for line in each.splitlines())])


@dataclass(frozen=True, slots=True)
class Held:
    """What a strategy that is stopped has at this moment."""

    orders: int = 0
    positions: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{self.orders} working orders"] if self.orders else []
        return ", ".join([*words, *(f"position {each}" for each in self.positions)])


@dataclass(frozen=True, slots=True)
class ActorSteps:
    """What is to be done with actors. `code`: whose class was imported anew; `revived`: which had failed."""

    named: Named = field(default_factory=Named)
    code: frozenset[str] = frozenset()
    revived: frozenset[str] = frozenset()

    @property
    def change(self) -> tuple[str, ...]:
        """Every actor that is replaced, in the order of the file."""
        return (*self.named.change, *(name for name in self.named.unchanged if name in self.code))

    @property
    def new(self) -> tuple[str, ...]:
        """Whatever is made and started."""
        return (*self.change, *self.named.add)

    @property
    def leaving(self) -> tuple[str, ...]:
        """Whatever is stopped and let go of."""
        return (*self.change, *self.named.remove)

    def __bool__(self) -> bool:
        return bool(self.new or self.leaving)

    def as_dict(self) -> dict[str, Any]:
        return {
            "add": list(self.named.add),
            "change": [
                {
                    "name": name,
                    "keys": [_key(each) for each in self.named.change.get(name, ())],
                    "code": name in self.code,
                    "failed": name in self.revived,
                }
                for name in self.change
            ],
            "remove": [{"name": name, "failed": name in self.revived} for name in self.named.remove],
            "unchanged": [name for name in self.named.unchanged if name not in self.code],
        }


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be done. `code` are strategies whose class was imported anew."""

    diff: Diff
    code: frozenset[str] = frozenset()
    revived: frozenset[str] = frozenset()
    policies: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Other files than the node ran by so far; empty where they are the same."""
    actors: ActorSteps = field(default_factory=ActorSteps)

    @property
    def add(self) -> tuple[str, ...]:
        return self.diff.sections["strategies"].add

    @property
    def remove(self) -> tuple[str, ...]:
        return self.diff.sections["strategies"].remove

    @property
    def change(self) -> tuple[str, ...]:
        """Every strategy that is replaced, in the order of the file."""
        named = self.diff.sections["strategies"]
        return (*named.change, *(name for name in named.unchanged if name in self.code))

    @property
    def unchanged(self) -> tuple[str, ...]:
        return tuple(name for name in self.diff.sections["strategies"].unchanged if name not in self.code)

    def __bool__(self) -> bool:
        strategies = self.add or self.remove or self.change
        return bool(strategies or self.actors or self.diff.in_place or self.diff.restart or self.files)

    def as_dict(self) -> dict[str, Any]:
        changed = self.diff.sections["strategies"].change
        return {
            "add": list(self.add),
            "change": [
                {
                    "name": name,
                    "keys": [_key(each) for each in changed.get(name, ())],
                    "code": name in self.code,
                    **self._leaving(name),
                }
                for name in self.change
            ],
            "remove": [{"name": name, **self._leaving(name)} for name in self.remove],
            "unchanged": list(self.unchanged),
            "actors": self.actors.as_dict(),
            "in_place": [_key(each) for each in self.diff.in_place],
            "restart": [_key(each) for each in self.diff.restart],
            "files": list(self.files),
        }

    def _leaving(self, name: str) -> dict[str, Any]:
        held = self.held.get(name, Held())
        return {
            "on_stop": self.policies.get(name, "keep"),
            "orders": held.orders,
            "positions": list(held.positions),
            "failed": name in self.revived,
        }

    def summary(self, *, done: bool) -> str:
        """In one line, for the log."""
        verbs = ("added", "replaced", "removed", "changed") if done else ("add", "replace", "remove", "change")
        paths = tuple(each.path for each in self.diff.in_place)
        actors = (self.actors.named.add, self.actors.change, self.actors.named.remove)
        own = (self.add, self.change, self.remove)
        named = [(*names, *(f"actor {name}" for name in more)) for names, more in zip(own, actors, strict=True)]
        rows = zip(verbs, (*named, paths), strict=True)
        words = [f"{verb} {', '.join(names)}" for verb, names in rows if names]
        return "; ".join(words) or "the files are other ones, what they say is the same"


def _key(change: Change) -> dict[str, str | None]:
    return {"path": change.path, "old": change.old, "new": change.new}
