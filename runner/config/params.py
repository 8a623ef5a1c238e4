"""A component's parameters: texts of the file made into what its own config class declares.

Every function here needs Nautilus or is called by one that does; it is imported inside functions, as this package
must be importable without.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Union, get_args, get_origin

import msgspec

from runner.config.document import ListNode, MapNode, Mark, Node, Scalar, Step
from runner.config.errors import instead

VENUE = "ALPACA"
# A text that goes through Nautilus's Rust side unchecked: what is not printable ASCII ends the process there.
_PRINTABLE = re.compile(r"[!-~]([ -~]*[!-~])?")
_WITH_TAG = re.compile(r"[!-~]+-[!-~]+")
_BAR_TYPE = re.compile(r"(?P<instrument>.+)-(?P<step>\d+)-[A-Z_]+-[A-Z]+-(?:INTERNAL|EXTERNAL)(?:@.+)?")
_WHOLE = re.compile(r"[+-]?\d+(_\d+)*")
_FRACTION = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Bad(Exception):
    """A value that its type does not take."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


type Report = Callable[[Mark, tuple[Step, ...], str], None]
_FAILED = object()


def build_struct(
    node: MapNode,
    config_cls: type,
    path: tuple[Step, ...],
    report: Report,
    *,
    refused: Mapping[str, str] = types.MappingProxyType({}),
) -> Any:
    """An instance of `config_cls` from a mapping; None after anything was reported.

    `report(mark, path, message)` is called for each key that is unknown, missing or of the wrong type. `refused` are
    keys that a file can't set, with what to do instead.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(config_cls)}
    values: dict[str, Any] = {}
    good = True
    for key, entry in node.entries.items():
        here = (*path, key)
        if key in refused:
            report(entry.key_mark, here, refused[key])
            good = False
        elif key not in fields:
            known = [name for name in fields if name not in refused]
            report(entry.key_mark, here, f"unknown key, {_instead(key, known, config_cls)}")
            good = False
        elif _is_null(entry.value) and not _takes_none(fields[key].type):
            continue
        else:
            value = _convert(entry.value, fields[key].type, here, report, entry.key_mark)
            good = good and value is not _FAILED
            values[fields[key].name] = value
    for field in fields.values():
        if field.required and field.name not in values and field.encode_name not in node.entries:
            report(
                node.mark, (*path, field.encode_name), f"missing, {config_cls.__name__} needs {describe(field.type)}"
            )
            good = False
        elif field.required and field.name not in values and _is_null(node.entries[field.encode_name].value):
            entry = node.entries[field.encode_name]
            report(entry.key_mark, (*path, field.encode_name), f"empty, write {describe(field.type)}")
            good = False
    if not good:
        return None
    try:
        return config_cls(**values)
    except (Exception, SystemExit) as error:  # __post_init__ is the strategy author's code
        report(node.mark, path, f"{config_cls.__name__} refuses these: {_reason(error)}")
        return None


def _instead(key: str, known: list[str], config_cls: type) -> str:
    own = [name for name in getattr(config_cls, "__annotations__", {}) if name in known]
    meant = instead(key, known)
    return meant if meant.startswith("did you") else f"{config_cls.__name__} has {', '.join(own or known)}"


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text is None


def _takes_none(kind: Any) -> bool:
    return kind is Any or type(None) in get_args(_bare(kind)) or kind is type(None)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (
        text
        if isinstance(error, ValueError | TypeError | AssertionError) and text
        else f"{type(error).__name__}: {text}"
    )


def _convert(node: Node, kind: Any, path: tuple[Step, ...], report: Report, key_mark: Mark) -> Any:
    """The value of `node` as `kind`; whatever is wrong is reported where it stands, and _FAILED returned."""
    kind_is = _bare(kind)
    choices = _members(kind_is)
    if isinstance(node, MapNode) and (structs := [one for one in choices if _is_struct(one)]):
        made = build_struct(node, structs[0], path, report)
        return _FAILED if made is None else made
    if isinstance(node, ListNode) and (lists := [one for one in choices if _origin(one) in _SEQUENCES]):
        item_types = get_args(lists[0])
        fixed = _origin(lists[0]) is tuple and item_types and item_types[-1] is not Ellipsis
        if fixed and len(item_types) != len(node.items):
            report(node.mark, path, f"{len(node.items)} in the list, write {len(item_types)}")
            return _FAILED
        kinds = item_types if fixed else [item_types[0] if item_types else Any] * len(node.items)
        items = [
            _convert(n, k, (*path, i), report, n.mark) for i, (n, k) in enumerate(zip(node.items, kinds, strict=True))
        ]
        return (
            _FAILED
            if any(item is _FAILED for item in items)
            else _constrained(_origin(lists[0])(items), kind, node.mark, path, report)
        )
    if isinstance(node, MapNode) and (maps := [one for one in choices if _origin(one) in {dict, Mapping}]):
        key_type, value_type = get_args(maps[0]) or (str, Any)
        pairs = {}
        for key, entry in node.entries.items():
            made_key = _convert(Scalar(key, entry.key_mark), key_type, (*path, key), report, entry.key_mark)
            pairs[made_key] = _convert(entry.value, value_type, (*path, key), report, entry.key_mark)
        return _FAILED if any(one is _FAILED for pair in pairs.items() for one in pair) else pairs
    if kind_is is Any or kind_is is object:
        return _guessed(node)
    if not isinstance(node, Scalar):
        report(key_mark, path, f"not {describe(kind)}, it is {'a list' if isinstance(node, ListNode) else 'a mapping'}")
        return _FAILED
    if node.text is None:
        if type(None) in choices:
            return None
        report(key_mark, path, f"empty, write {describe(kind)}")
        return _FAILED
    problems = []
    for choice in sorted(choices, key=lambda one: _bare(one) is str):
        if choice is type(None):
            continue
        try:
            value = _scalar(node, choice)
        except Bad as bad:
            problems.append(bad.message)
        else:
            return _constrained(value, kind, node.mark, path, report)
    message = problems[0] if len(problems) == 1 else f"`{node.text}` is not {describe(kind)}"
    report(node.mark, path, message)
    return _FAILED


_SEQUENCES: dict[Any, Any] = {list: list, tuple: tuple, set: set, frozenset: frozenset}


def plain_types(kind: Any) -> tuple[Any, ...]:
    """The types that a union allows, without their bounds."""
    return tuple(_bare(one) for one in _members(_bare(kind)))


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) in {Union, types.UnionType}:
        return tuple(inner for one in get_args(kind) for inner in _members(_bare(one)))
    return (kind,)


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _constrained(value: Any, kind: Any, mark: Mark, path: tuple[Step, ...], report: Report) -> Any:
    """`value` after the bounds of an annotation such as PositiveInt."""
    if get_origin(kind) is not Annotated:
        inner = [one for one in get_args(kind) if get_origin(one) is Annotated]
        if len(inner) != 1 or value is None:
            return value
        kind = inner[0]
    try:
        msgspec.convert(value, kind, builtin_types=(Decimal, datetime, date, time, timedelta))
    except msgspec.ValidationError as error:
        text = str(error)
        # "Expected `int` >= 1" is as msgspec says it; a type of Nautilus's own it can't judge, and needs no bounds.
        if text.startswith("Expected") and "got" not in text:
            report(mark, path, f"`{value}` is out of bounds, {text[0].lower()}{text[1:].replace('`', '')}")
            return _FAILED
    except TypeError:
        pass
    return value


def _scalar(node: Scalar, kind: Any) -> Any:
    """One text as `kind`. Raises Bad."""
    kind, text = _bare(kind), node.text
    assert text is not None
    if kind is bool:
        if text not in {"true", "false"}:
            raise Bad(f"`{text}` is neither true nor false")
        return text == "true"
    if kind is int:
        if not _WHOLE.fullmatch(text):
            raise Bad(f"`{text}` is not a whole number")
        return int(text)
    if kind is float:
        if not _FRACTION.fullmatch(text):
            raise Bad(f"`{text}` is not a number")
        return float(text)
    if kind is Decimal:
        return _decimal(text)
    if kind is str:
        return text
    if kind is Path:
        return Path(text)
    if get_origin(kind) is Literal:
        return _literal(text, get_args(kind))
    if (members := enum_members(kind)) is not None:
        return _member(text, kind, members)
    if _is_struct(kind) or _origin(kind) in _SEQUENCES or _origin(kind) in {dict, Mapping}:
        raise Bad(f"`{text}` is not {describe(kind)}")
    return _special(text, kind)


def _decimal(text: str) -> Decimal:
    if not _FRACTION.fullmatch(text):
        raise Bad(f"`{text}` is not a number")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Bad(f"`{text}` is not a number") from None


def _literal(text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if text == (str(choice).lower() if isinstance(choice, bool) else str(choice)):
            return choice
    raise Bad(f"`{text}` is not possible, {instead(text, [str(one) for one in choices], 'possible')}")


def enum_members(kind: Any) -> dict[str, Any] | None:
    """Names and members of an enum, Python's or one of Nautilus's Rust side; None for any other type."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, enum.Enum):
        return dict(kind.__members__)
    if "nautilus_pyo3" in getattr(kind, "__module__", "") and callable(getattr(kind, "variants", None)):
        return {name: getattr(kind, name) for name in dir(kind) if name.isupper()}
    return None


def _member(text: str, kind: type, members: dict[str, Any]) -> Any:
    for name, member in members.items():
        if text.upper() == name.upper() or (
            isinstance(member, enum.Enum) and isinstance(member.value, str) and text == member.value
        ):
            return member
    raise Bad(f"`{text}` is no {kind.__name__}, {instead(text, list(members), 'possible')}")


def _special(text: str, kind: Any) -> Any:
    """Nautilus's own types, dates and whatever else a config class declares, each checked before it is made."""
    from nautilus_trader.common.config import msgspec_decoding_hook
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.identifiers import Identifier, InstrumentId, TraderId

    if kind in {datetime, date, time, timedelta}:
        try:
            return msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError:
            raise Bad(f"`{text}` is not {describe(kind)}, write it as ISO 8601 does") from None
    if not _PRINTABLE.fullmatch(text):
        raise Bad(f"`{text}` is not plain ASCII text, which {describe(kind)} must be")
    if kind is InstrumentId:
        _check_instrument(text)
    elif kind is BarType:
        _check_bar_type(text)
    elif kind is TraderId and not _WITH_TAG.fullmatch(text):
        raise Bad(f"`{text}` is no trader id, write NAME-TAG")
    elif isinstance(kind, type) and issubclass(kind, Identifier) and len(text) > 36:
        raise Bad(f"`{text}` is longer than the 36 characters of {describe(kind)}")
    try:
        return msgspec.convert(text, kind, strict=False, dec_hook=msgspec_decoding_hook)
    except Exception as error:  # Nautilus raises what it likes here
        _refuse(text, kind, error)


def _refuse(text: str, kind: Any, error: Exception) -> NoReturn:
    reason = _reason(error)
    if "unsupported" in reason:
        raise Bad(f"{describe(kind)} can't be written in a file, leave it out") from None
    raise Bad(f"`{text}` is not {describe(kind)}: {reason}") from None


def _check_instrument(text: str) -> None:
    symbol, dot, venue = text.rpartition(".")
    if not dot:
        raise Bad(f"`{text}` has no venue, write {text}.{VENUE}")
    if not symbol or not venue or " " in text:
        raise Bad(f"`{text}` is no instrument, write SYMBOL.{VENUE}")
    if venue != VENUE:
        raise Bad(f"the venue {venue} has no feed here, write {symbol}.{VENUE}")


def _check_bar_type(text: str) -> None:
    match = _BAR_TYPE.fullmatch(text)
    if match is None:
        raise Bad(f"`{text}` is no bar type, write it like IBM.{VENUE}-1-MINUTE-LAST-EXTERNAL")
    _check_instrument(match["instrument"])
    from nautilus_trader.model.data import BarType

    try:
        BarType.from_str(text)
    except Exception as error:  # ValueError, or what the parts raise
        raise Bad(f"`{text}` is no bar type: {_step(error, match['step'])}") from None


def _step(error: Exception, step: str) -> str:
    token = re.search(r"invalid token: '(.*)' at position", str(error))
    if token is None:
        return _reason(error)
    if token[1] == step:
        return f"its step {step} does not divide the next larger unit evenly"
    return f"`{token[1]}` is not known"


def _guessed(node: Node) -> Any:
    """For a field that declares no type: true, false and whole numbers, exact decimals, and texts."""
    if isinstance(node, MapNode):
        return {key: _guessed(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [_guessed(item) for item in node.items]
    if node.text is None or node.quoted:
        return node.text
    if node.text in {"true", "false"}:
        return node.text == "true"
    if _WHOLE.fullmatch(node.text):
        return int(node.text)
    return Decimal(node.text) if _FRACTION.fullmatch(node.text) else node.text


class _Words:
    NAMES: ClassVar[dict[Any, str]] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Decimal: "a number",
        str: "a text",
        list: "a list",
        tuple: "a list",
        set: "a list",
        frozenset: "a list",
        dict: "a mapping",
        timedelta: "a length of time",
        datetime: "a date and time",
        date: "a date",
        time: "a time of day",
        Any: "a value",
        type(None): "nothing",
    }


def describe(kind: Any) -> str:
    """A type as a person says it."""
    members = [one for one in _members(_bare(kind)) if one is not type(None)]
    if len(members) > 1:
        return " or ".join(dict.fromkeys(describe(one) for one in members))
    one = _bare(members[0]) if members else type(None)
    if get_origin(one) is Literal:
        return "one of " + ", ".join(str(item) for item in get_args(one))
    if (known := _Words.NAMES.get(_origin(one))) is not None:
        return known
    if _is_struct(one):
        return f"a mapping ({one.__name__})"
    name = getattr(one, "__name__", str(one))
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
