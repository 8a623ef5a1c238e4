"""Field types of the file: what a scalar's text may be, and the sentence that says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_NODE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")
CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})")
_URL = re.compile(r"(https?|wss?)://[^\s/@]+(/[^\s@]*)?")
_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def wrong(message: str, **context: Any) -> PydanticCustomError:
    """An error whose text is the final sentence; braces in `message` are taken literally."""
    return PydanticCustomError("runner", "{text}", {"text": message, **context})


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise wrong(f"`{value}` is neither true nor false")
        return value == "true"
    return value


def _duration(value: Any) -> timedelta:
    """Text with a unit (`500ms`, `30s`, `1m`, `1h`, `1d`); must be longer than nothing."""
    if isinstance(value, timedelta):
        length = value
    else:
        if not isinstance(value, str):
            raise wrong("not a length of time, write one with its unit, such as 30s")
        match = _DURATION.fullmatch(value.strip())
        if match is None or (match[2] and match[2] not in _UNITS_US):
            raise wrong(f"`{value}` is not a length of time, write a number and ms, s, m, h or d, such as 30s")
        if not match[2]:
            raise wrong(f"`{value}` has no unit, write {value}s for seconds (or ms, m, h, d)")
        microseconds = Decimal(match[1]) * _UNITS_US[match[2]]
        if microseconds > 36_500 * _UNITS_US["d"]:
            raise wrong(f"`{value}` is longer than a century")
        length = timedelta(microseconds=int(microseconds))
    if length <= timedelta(0):
        raise wrong(f"`{value}` is no time at all, write more than 0")
    return length


def parse_duration(text: str) -> timedelta:
    """A length of time as a file has it. Raises ValueError with the sentence that says what is wrong."""
    try:
        return _duration(text)
    except PydanticCustomError as error:
        raise ValueError(str(error)) from None


def duration_text(length: timedelta) -> str:
    """The shortest text that reads back as `length`."""
    total = length // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s", "ms"):
        if total % _UNITS_US[unit] == 0:
            return f"{total // _UNITS_US[unit]}{unit}"
    return f"{(Decimal(total) / 1000).normalize():f}ms"


def is_node_name(text: str) -> bool:
    """Whether a node can have this name."""
    return text.isascii() and _NODE_NAME.fullmatch(text) is not None and len(text) <= 32


def _name(value: Any) -> Any:
    if isinstance(value, str) and not is_node_name(value):
        raise wrong(f"`{value}` can't be a name, use at most 32 ASCII letters, digits, - and _, first a letter")
    return value


def _key(value: Any) -> Any:
    """Names become parts of Nautilus identifiers and of environment variables, which __ takes apart."""
    if isinstance(value, str) and not (value.isascii() and NAME.fullmatch(value) and len(value) <= 32):
        raise wrong(f"`{value}` can't be a name, use up to 32 ASCII letters, digits and single _, first a letter")
    return value


def _class_path(value: Any) -> Any:
    if isinstance(value, str) and not CLASS_PATH.fullmatch(value):
        instead = "write package.module:ClassName"
        head, dot, tail = value.rpartition(".")
        if dot and CLASS_PATH.fullmatch(f"{head}:{tail}"):
            instead = f"write {head}:{tail}"
        raise wrong(f"`{value}` is not an import path of a class, {instead}")
    return value


def _listen(value: Any) -> Any:
    if isinstance(value, str):
        match = _LISTEN.fullmatch(value)
        if match is None:
            raise wrong(f"`{value}` is not an address, write host:port, such as 127.0.0.1:9464")
        if int(match[2]) > 65535:
            raise wrong(f"port {match[2]} does not exist, the highest is 65535")
    return value


def _url(value: Any) -> Any:
    if isinstance(value, str):
        # A URL may carry a password before the @: it is refused without being shown.
        if "@" in value:
            raise wrong("a URL with a user or password in it, leave them out: keys go in key and secret")
        if not _URL.fullmatch(value):
            raise wrong(f"`{value}` is not a URL, it begins with https://, http://, wss:// or ws://")
    return value.rstrip("/") if isinstance(value, str) else value


def without_nulls(value: Any) -> Any:
    """A null removes what a file underneath said, so that it reads as if the key were absent."""
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if item is not None}
    return value


Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?(ms|s|m|h|d)$", "examples": ["500ms", "30s", "1h"]}),
]
Limit = Annotated[
    Decimal,
    Field(gt=0, allow_inf_nan=False),
    PlainSerializer(lambda value: f"{value:f}", return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[\d_]+(\.\d+)?$"},
            ]
        }
    ),
]
Name = Annotated[str, BeforeValidator(_key)]
NodeName = Annotated[str, BeforeValidator(_name)]
ClassPath = Annotated[str, BeforeValidator(_class_path)]
ListenAddress = Annotated[str, BeforeValidator(_listen)]
Url = Annotated[str, BeforeValidator(_url)]
