"""Market-data messages as bytes: time stamps, exact numbers, msgpack.

A message travels through the exchange as the JSON text it came in, so that 180.0850 leaves as 180.0850.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgpack

NS: Final = 1_000_000_000
_EXACT: Final = json.JSONDecoder(parse_float=Decimal)
_TIMES: Final = ("t", "created_at", "updated_at")
_PACKER: Final = msgpack.Packer()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD: Final = re.compile(rb'\{"T":"([a-z]+)","S":"([^"\\]+)",')
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):(\d\d)(?:[.,](\d{1,9}))?\d*(Z|z|[+-]\d\d:?\d\d)$")


class Message(NamedTuple):
    """One message of the tape: when it is sent (UNIX ns), `T`, `S`, and its JSON text, which begins with both."""

    ts_ns: int
    kind: str
    symbol: str
    raw: bytes


@lru_cache(maxsize=4_096)
def _minute_ns(minute: str, zone: str) -> int:
    zone = "+00:00" if zone in ("Z", "z") else zone
    delta = datetime.fromisoformat(f"{minute}:00{zone}") - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS


def parse_ns(text: str) -> int:
    """UNIX ns of an RFC 3339 stamp. Raises ValueError where it is none, or has no zone."""
    if len(text) == 30 and text[29] == "Z":  # the form nearly every message has: nine digits, UTC
        return _minute_ns(text[:16], "Z") + int(text[17:19]) * NS + int(text[20:29])
    found = _STAMP.match(text)
    if found is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time with a zone, such as 2013-10-07T13:30:00.25Z")
    minute, second, fraction, zone = found.groups()
    return _minute_ns(minute.upper().replace(" ", "T"), zone) + int(second) * NS + int((fraction or "").ljust(9, "0"))


@lru_cache(maxsize=64)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, UTC).strftime("%Y-%m-%dT%H:%M:")


@lru_cache(maxsize=1_024)
def _second(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    return f"{_minute(minutes)}{second:02d}"


def stamp(ns: int) -> str:
    """RFC 3339 in UTC, as Go prints it: no trailing zeros of the fraction."""
    seconds, fraction = divmod(ns, NS)
    return f"{_second(seconds)}.{fraction:09d}".rstrip("0") + "Z" if fraction else _second(seconds) + "Z"


def loads(raw: bytes) -> Any:
    """JSON with every number that has a point as Decimal. Raises ValueError."""
    return _EXACT.decode(raw.decode())


def fields_of(raw: bytes) -> dict[str, Any]:
    """The members of a message of the tape: like `loads`, for text that is known to be one object."""
    fields: dict[str, Any] = _EXACT.raw_decode(raw.decode())[0]
    return fields


def dumps(value: Any) -> str:
    """Compact JSON in which a Decimal is a number with the digits it has."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, separators=(",", ":"))


def head(raw: bytes) -> tuple[str, str] | None:
    """`T` and `S` of a message in canonical form, None where it has another form."""
    found = _HEAD.match(raw)
    return (found[1].decode(), found[2].decode()) if found else None


def canonical(kind: str, symbol: str, fields: dict[str, Any]) -> bytes:
    """The JSON text of a message, `T` and `S` first."""
    rest = {key: value for key, value in fields.items() if key not in ("T", "S")}
    first = {"T": kind, "S": symbol} if symbol else {"T": kind}  # news has symbols of its own
    return dumps({**first, **rest}).encode()


def row(raw: bytes, symbol: str) -> bytes:
    """A stream message as REST shows it: without `T` and `S`."""
    return b"{" + raw[len(symbol) + 16 :]  # {"T":"q","S":"IBM",


def to_msgpack(raw: bytes) -> bytes:
    """The message in msgpack: numbers as Alpaca has them (floats), times as the Timestamp extension."""
    fields = json.loads(raw)
    for name in _TIMES:
        if name in fields:
            fields[name] = msgpack.Timestamp(*divmod(parse_ns(fields[name]), NS))
    packed: bytes = _PACKER.pack(fields)
    return packed


def msgpack_array(count: int) -> bytes:
    """The header of a msgpack array."""
    header: bytes = _PACKER.pack_array_header(count)
    return header
