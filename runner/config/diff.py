"""What differs between the file that a node runs and the same file as it is now, and what each difference takes.

Only the names and values of the file are compared; whether a strategy's code changed is seen by `classes` and
`fresh`. A new named section joins by its row in `NAMED`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from runner.config.models import RunnerConfig, SecretRef
from runner.config.secrets import MASK, redact
from runner.config.source import NAMED_SECTIONS, is_secret_key

#: Sections whose entries are added, changed and removed in a running node, with the keys that change in place.
NAMED: Mapping[str, frozenset[str]] = {
    "strategies": frozenset({"limits", "on_stop", "shared", "schedule"}),
    "actors": frozenset(),
}
#: What else changes in place, wherever it stands below these.
_IN_PLACE = ("risk", "reload", "paths", "tests")
_ACCOUNT_IN_PLACE = frozenset({"limits", "on_stream_down"})


@dataclass(frozen=True, slots=True)
class Change:
    """One key: `old` and `new` as text, secrets masked; None where it is not there."""

    path: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return (
            f"{self.path}: {'(none)' if self.old is None else self.old} → {'(none)' if self.new is None else self.new}"
        )


@dataclass(frozen=True, slots=True)
class Named:
    """The entries of one section, by name. `change` holds the keys for which an entry is replaced."""

    add: tuple[str, ...] = ()
    change: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """`in_place` takes effect without touching a strategy; `restart` can't take effect in a running node."""

    sections: Mapping[str, Named]
    in_place: tuple[Change, ...] = ()
    restart: tuple[Change, ...] = ()


def diff(old: RunnerConfig, new: RunnerConfig) -> Diff:
    """From the file that runs to the one that is to run."""
    before, after = _values(old), _values(new)
    sections: dict[str, Named] = {}
    in_place: list[Change] = []
    restart: list[Change] = []
    for section, keys in NAMED.items():
        sections[section] = _named(section, keys, before.get(section, {}), after.get(section, {}), in_place)
    for change in _changes(before, after, ()):
        steps = change[0]
        if steps[0] in NAMED:
            continue
        here = steps[0] in _IN_PLACE or (
            steps[0] == "accounts" and len(steps) > 2 and str(steps[2]) in _ACCOUNT_IN_PLACE
        )
        (in_place if here else restart).append(_told(*change))
    restart += [Change(path, MASK, f"{MASK} (another value)") for path in _secrets_changed(old, new)]
    return Diff(sections, tuple(in_place), tuple(restart))


def digest(config: RunnerConfig) -> str:
    """A short fingerprint of what the file says; values of secrets take no part."""
    return hashlib.sha256(json.dumps(_values(config), sort_keys=True).encode()).hexdigest()[:12]


def _values(config: RunnerConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True, exclude_none=True)


def _named(
    section: str, keys: frozenset[str], before: dict[str, Any], after: dict[str, Any], in_place: list[Change]
) -> Named:
    change: dict[str, tuple[Change, ...]] = {}
    unchanged = []
    for name in before.keys() & after.keys():
        found = [(steps, old, new) for steps, old, new in _changes(before[name], after[name], (section, name))]
        replaced = tuple(_told(*each) for each in found if str(each[0][2]) not in keys)
        in_place += [_told(*each) for each in found if str(each[0][2]) in keys]
        if replaced:
            change[name] = replaced
        else:
            unchanged.append(name)
    return Named(
        add=tuple(name for name in after if name not in before),
        change={name: change[name] for name in after if name in change},
        remove=tuple(name for name in before if name not in after),
        unchanged=tuple(name for name in after if name in unchanged),
    )


_Steps = tuple[str, ...]


def _changes(old: Any, new: Any, path: _Steps) -> Iterator[tuple[_Steps, Any, Any]]:
    """The smallest mappings' keys that differ; lists and scalars are compared as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                yield from _changes(old.get(key), new.get(key), (*path, str(key)))
    elif old != new:
        yield path, old, new


def _told(path: _Steps, old: Any, new: Any) -> Change:
    return Change(".".join(path), _text(path, old), _text(path, new))


def _text(path: _Steps, value: Any) -> str | None:
    if value is None:
        return None
    return redact(_plain(_masked(path, value)))


def _masked(path: _Steps, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked((*path, str(key)), item) for key, item in value.items()}
    # `{env: NAME}` and `{file: PATH}` say where a secret is, and are no secret.
    return MASK if _is_secret(path) and path[-1] not in {"env", "file"} else value


def _is_secret(path: _Steps) -> bool:
    """By the names of the keys on the way; of a checked file they are known not to be misspelt."""
    chosen = path[0] in NAMED_SECTIONS
    return any(is_secret_key(step) for i, step in enumerate(path) if not (chosen and i == 1))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secrets_changed(old: RunnerConfig, new: RunnerConfig) -> list[str]:
    """Paths whose reference is the same, and names another secret by now (a file was written anew)."""
    before, after = dict(_secrets(old, "")), dict(_secrets(new, ""))
    return [
        path
        for path, ref in after.items()
        if (was := before.get(path)) is not None
        and (was.env, was.file) == (ref.env, ref.file)
        and was.loaded
        and ref.loaded
        and was.value.get_secret_value() != ref.value.get_secret_value()
    ]


def _secrets(node: Any, path: str) -> Iterator[tuple[str, SecretRef]]:
    if isinstance(node, SecretRef):
        yield path, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _secrets(getattr(node, name), f"{path}.{name}" if path else name)
    elif isinstance(node, dict):
        for name, item in node.items():
            yield from _secrets(item, f"{path}.{name}")
