"""How values look on Alpaca's wire: decimals as strings, times as RFC 3339 with nine digits, ids."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from runner.exchange.errors import MALFORMED, AlpacaError, invalid

NEW_YORK: Final = ZoneInfo("America/New_York")
SECOND_NS: Final = 1_000_000_000
NINE_PLACES: Final = Decimal("1e-9")

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def text(value: Decimal | int) -> str:
    """A decimal as Alpaca writes it: no exponent, no trailing zeros, at most nine places."""
    number = Decimal(value)
    if number.as_tuple().exponent < -9:  # type: ignore[operator]  # never inf or nan here
        number = number.quantize(NINE_PLACES, rounding=ROUND_HALF_EVEN)
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written


def one_word(symbol: str) -> str:
    """A symbol as positions and activities show it: pairs without their slash."""
    return symbol.replace("/", "")


def optional_text(value: Decimal | None) -> str | None:
    """`text`, with null for what is not there."""
    return None if value is None else text(value)


def rfc3339(ns: int) -> str:
    """UNIX nanoseconds as `2013-10-07T13:30:00.000000000Z`."""
    seconds, rest = divmod(ns, SECOND_NS)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """An order shows the same few times again and again."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def optional_rfc3339(ns: int | None) -> str | None:
    """`rfc3339`, with null for what has not happened."""
    return None if ns is None else rfc3339(ns)


def parse_time(value: str, name: str) -> int:
    """UNIX nanoseconds of an RFC 3339 time or a plain date (UTC midnight); 422 where it is neither."""
    # A `+` of an offset arrives as a space when the client forgot to escape it.
    whole, _, tail = value.strip().replace(" ", "+").partition(".")
    digits = ""
    zone = ""
    if tail:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        zone = tail[len(digits) :]
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        raise invalid(f"{name} is not a valid RFC 3339 time: {value}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND_NS + int((digits + "0" * 9)[:9])


def day_of(ns: int) -> date:
    """New York's date at that time."""
    return datetime.fromtimestamp(ns // SECOND_NS, NEW_YORK).date()


def minute_of_day(ns: int) -> int:
    """New York's minutes since midnight at that time."""
    moment = datetime.fromtimestamp(ns // SECOND_NS, NEW_YORK)
    return moment.hour * 60 + moment.minute


def new_york_ns(day: date, hour: int, minute: int) -> int:
    """UNIX nanoseconds of a New York wall time."""
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)
    return int(moment.timestamp()) * SECOND_NS


def parse_json(body: bytes) -> dict[str, Any]:
    """The request's object with its numbers exact; 400 where it is not an object."""
    try:
        document = json.loads(body, parse_float=Decimal, parse_int=Decimal) if body.strip() else {}
    except (ValueError, RecursionError):
        raise AlpacaError(400, MALFORMED, "request body format is invalid") from None
    if not isinstance(document, dict):
        raise AlpacaError(400, MALFORMED, "request body format is invalid")
    return document


def parse_decimal(value: object, name: str) -> Decimal | None:
    """A number sent as a string or as a JSON number; None where it was left out; 422 otherwise."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise invalid(f"{name} must be a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise invalid(f"{name} must be a number") from None
    # Beyond these an order is nonsense, and quantizing it would overflow the decimal context.
    if not number.is_finite() or abs(number) >= Decimal("1e15"):
        raise invalid(f"{name} must be a number")
    return number


def decimals(value: Decimal) -> int:
    """How many places behind the point matter: 1.50 has one."""
    return max(0, -int(value.normalize().as_tuple().exponent))


class Ids:
    """Seeded ids, so that a replay gives the same ones twice. Three families that never share a value."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"ids:{seed}")  # noqa: S311  # ids, not secrets
        self._activities = 0
        self._events = 0

    def fresh(self) -> str:
        """A random UUID (orders, executions)."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def activity(self, ts_ns: int) -> str:
        """`YYYYMMDDHHMMSSmmm::uuid`, sorting in the order of creation.

        Alpaca leaves rows of one millisecond in no order. A replay's clock stands still between two ticks, which
        would put far more rows into that case than Alpaca ever does, so the UUID starts with a counter here.
        """
        self._activities += 1
        number = (self._activities << 80) | self._random.getrandbits(80)
        stamp = datetime.fromtimestamp(ts_ns // SECOND_NS, UTC)
        return f"{stamp:%Y%m%d%H%M%S}{ts_ns // 1_000_000 % 1000:03d}::{uuid.UUID(int=number, version=4)}"

    def event(self, ts_ns: int) -> str:
        """A ULID that sorts in the order of creation."""
        self._events += 1
        number = ((ts_ns // 1_000_000) << 80) | self._events
        return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
