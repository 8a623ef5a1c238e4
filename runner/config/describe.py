"""A class that a file can name, told to a person: parameters with types, defaults and texts, and YAML to paste.

Needs Nautilus, which is imported inside functions.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

import msgspec

from runner.config.classes import EXEC_ALGORITHM, STRATEGY, ClassProblem, Kind, config_class, config_fields, kind_of
from runner.config.fields import duration_text
from runner.config.params import describe, enum_members, plain_types

_PARAMETER = re.compile(r"^(\w+(?:\s*,\s*\w+)*)\s*:(?:\s|$)")
_EXAMPLES = {
    "InstrumentId": "IBM.ALPACA",
    "BarType": "IBM.ALPACA-1-MINUTE-LAST-EXTERNAL",
    "ClientId": "ALPACA",
    "Price": "1.00",
    "Quantity": "1",
    "Money": "1.00 USD",
    "Currency": "USD",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a config class. `default` is as a file would have it; None where it is required."""

    name: str
    type: str
    required: bool
    default: str | None
    doc: str
    choices: tuple[str, ...] = ()
    inherited: bool = False
    """Of every Nautilus strategy, actor or algorithm."""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """A class. `path` is what a file names."""

    kind: Kind
    path: str
    source: str
    doc: str
    config: str
    params: tuple[Parameter, ...]
    id: str | None = None
    """By which orders know an algorithm, where its config says so by default."""

    @property
    def own(self) -> tuple[Parameter, ...]:
        """Parameters of this class alone."""
        return tuple(each for each in self.params if not each.inherited)

    def as_dict(self) -> dict[str, Any]:
        params = [{key: value for key, value in asdict(each).items() if key != "example"} for each in self.params]
        made = {
            "kind": self.kind.word,
            "class": self.path,
            "source": self.source,
            "doc": self.doc,
            "config": self.config,
        }
        return {**made, "params": params, "yaml": snippet(self)}


def describe_class(cls: type) -> Described:
    """Raises ClassProblem where its config class can't be told."""
    kind = kind_of(cls)
    assert kind is not None, cls
    config = config_class(cls)
    common = config_fields(kind)
    texts = _texts(config)
    params = []
    try:
        fields = msgspec.structs.fields(config)
    except Exception as error:  # annotations that can't be resolved
        raise ClassProblem(f"the parameters of {config.__name__} can't be read: {error}") from error
    for field in fields:
        if field.encode_name in kind.refused:
            continue
        default = None if field.required else _text(_default(field))
        params.append(
            Parameter(
                field.encode_name,
                describe(field.type),
                field.required,
                default,
                texts.get(field.name, ""),
                _choices(field.type),
                field.name in common,
                _example(field.name, field.type),
            )
        )
    return Described(
        kind,
        f"{cls.__module__}:{cls.__qualname__}",
        str(getattr(sys.modules.get(cls.__module__), "__file__", "") or ""),
        _first(inspect.getdoc(cls) if "__doc__" in vars(cls) else None),
        f"{config.__module__}:{config.__qualname__}",
        tuple(params),
        _id(kind, fields),
    )


def _id(kind: Kind, fields: Iterable[Any]) -> str | None:
    found = next((field for field in fields if kind is EXEC_ALGORITHM and field.name == kind.id_field), None)
    return None if found is None or found.required or _default(found) is None else str(_default(found))


def snippet(one: Described) -> str:
    """A block for its section; what is required is written, the rest stands as comments with its default."""
    module = one.path.partition(":")[0].rpartition(".")[2]
    name = one.id or re.sub(r"_+", "_", module).strip("_")
    lines = [f"  {name}:", f"    class: {one.path}"]
    lines += ["    account: main", "    feed: stocks"] if one.kind is STRATEGY else []
    required = [each for each in one.own if each.required]
    if one.own:
        lines.append("    params:" if required else "    # params:")
    lines += [f"      {each.name}: {each.example}".ljust(40) + f"  # {each.type}" for each in required]
    lines += [f"      # {each.name}: {each.default}" for each in one.own if not each.required]
    return "\n".join([*lines, ""])


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _text(value: Any) -> str:
    """A value as a file would have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, timedelta):
        return duration_text(value) if value > timedelta(0) else "0s"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    return str(value)


def _choices(kind: Any) -> tuple[str, ...]:
    for one in plain_types(kind):
        if get_origin(one) is Literal:
            return tuple(map(str, get_args(one)))
        if (members := enum_members(one)) is not None:
            return tuple(members)
    return ()


def _example(name: str, kind: Any) -> str:
    """A value that the type takes, and that a person replaces."""
    kinds = [one for one in plain_types(kind) if one is not type(None)]
    one = kinds[0] if kinds else str
    if choices := _choices(kind):
        return choices[0]
    known: dict[Any, str] = {bool: "false", int: "1", float: "1.0", Decimal: "1", timedelta: "60", dict: "{}"}
    if (get_origin(one) or one) in (list, tuple, set, frozenset):
        inner = [each for each in get_args(one) if each is not Ellipsis]
        return f"[{_example(name, inner[0])}]" if inner else "[]"
    found = known.get(get_origin(one) or one) or _EXAMPLES.get(getattr(one, "__name__", ""))
    return found or f"{name.upper()}-001"


def _first(doc: str | None) -> str:
    """The first paragraph, in one line."""
    return " ".join((doc or "").strip().split("\n\n")[0].split())


def _texts(config: type) -> dict[str, str]:
    """What the docstrings of a config class and its ancestors say of each parameter, numpy's way."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        names: list[str] = []
        doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
        _, _, section = doc.partition("Parameters\n----------\n")
        for line in section.splitlines():
            if line and not line.startswith(" "):
                match = _PARAMETER.match(line)
                if match is None:
                    break
                names = [name.strip() for name in match[1].split(",")]
                found.update(dict.fromkeys(names, ""))
            else:
                for name in names:
                    found[name] = f"{found[name]} {line.strip()}".strip()
    return found
