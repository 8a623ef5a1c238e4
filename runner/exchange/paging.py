"""What the market-data paths have in common: queries for history, their pages, and replies made of ready JSON text."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from runner.exchange.calendar import NEW_YORK, to_ns
from runner.exchange.errors import AlpacaError
from runner.exchange.history import Kind, Timeframe, Window, parse_timeframe
from runner.exchange.wire import parse_ns

type WindowOf = Callable[[str], Window]

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
MINUTE_BARS: Final = Timeframe(1, "T")


class Query(NamedTuple):
    """A checked request for history. `after` is the symbol and row that the page before ended with."""

    symbols: list[str]
    start_ns: int
    end_ns: int
    limit: int
    descending: bool
    after: tuple[str, int] | None
    timeframe: Timeframe


def bad_request(message: str) -> AlpacaError:
    """400 as the data host words it: without a code."""
    return AlpacaError(400, None, message)


def query_of(request: Request, kind: Kind, symbols: list[str], *, start_ns: int, end_ns: int) -> Query:
    """The request's query; `start_ns` is where it begins if it says nothing, `end_ns` the latest there is to see."""
    params = request.query_params
    first, last = time_of(params.get("start"), "start"), time_of(params.get("end"), "end")
    token = params.get("page_token")
    return Query(
        symbols,
        start_ns if first is None else first,
        end_ns if last is None else min(last, end_ns),
        limit_of(params, DEFAULT_LIMIT, MAX_LIMIT),
        descending(params),
        untoken(token) if token else None,
        timeframe_of(params) if kind == "bars" else MINUTE_BARS,
    )


def page(query: Query, window_of: WindowOf) -> tuple[dict[str, list[bytes]], str | None]:
    """A page of rows by symbol, and the token of the next page, None after the last."""
    rows: dict[str, list[bytes]] = {}
    left = query.limit
    last: tuple[str, int] | None = None
    for symbol in query.symbols:
        if query.after is not None and symbol < query.after[0]:
            continue
        window = window_of(symbol)
        for at in _order(window, query, symbol):
            if not left:
                assert last is not None
                return rows, token_of(*last)
            rows.setdefault(symbol, []).append(window.text(at))
            last = (symbol, at)
            left -= 1
    return rows, None


def _order(window: Window, query: Query, symbol: str) -> Iterable[int]:
    low, high = window.low, window.high
    resumed = query.after is not None and query.after[0] == symbol
    if query.descending:
        if resumed and query.after is not None:
            high = min(high, query.after[1])
        return range(high - 1, low - 1, -1)
    if resumed and query.after is not None:
        low = max(low, query.after[1] + 1)
    return range(low, high)


def symbols_of(request: Request, allowed: re.Pattern[str], *, most: int | None = None) -> list[str]:
    """The symbols of the path or of the query, sorted, each once."""
    single = request.path_params.get("symbol")
    text = single if single is not None else request.query_params.get("symbols", "")
    names = sorted({name.strip() for name in text.split(",") if name.strip()})
    if not names:
        raise bad_request("symbols is required")
    for name in names:
        if not allowed.fullmatch(name):
            raise bad_request(f"invalid symbol: {name} does not match ^{allowed.pattern}$")
    if most is not None and len(names) > most:
        raise bad_request(f"too many symbols: {len(names)} is more than {most}")
    return names


def timeframe_of(params: Mapping[str, str]) -> Timeframe:
    """The time frame of bars: 1 to 59 minutes, 1 to 23 hours, a day, a week, or 1, 2, 3, 4, 6 or 12 months."""
    text = params.get("timeframe", "")
    found = parse_timeframe(text)
    if found is None:
        raise bad_request(f"invalid timeframe: {text}" if text else "timeframe is required")
    return found


def limit_of(params: Mapping[str, str], default: int, most: int) -> int:
    """How many rows a page may have."""
    limit = params.get("limit") or str(default)
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise bad_request(f"invalid limit: {limit} is not from 1 to {most}")
    return int(limit)


def descending(params: Mapping[str, str], default: str = "asc") -> bool:
    """Whether the newest comes first."""
    sort = params.get("sort") or default
    if sort not in ("asc", "desc"):
        raise bad_request(f"invalid sort: {sort}")
    return sort == "desc"


def time_of(text: str | None, name: str) -> int | None:
    """An instant in ns, or a date: midnight in New York. None where there is none."""
    if not text:
        return None
    try:
        if len(text) == 10:
            return to_ns(datetime.combine(date.fromisoformat(text), time(0), NEW_YORK))
        return parse_ns(text.replace(" ", "+"))
    except ValueError:
        raise bad_request(f"invalid {name}: {text} is neither RFC 3339 nor YYYY-MM-DD") from None


def date_of(text: str | None, name: str) -> date | None:
    """A day, None where there is none."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise bad_request(f"invalid {name}: {text} is not a date such as 2026-01-12") from None


def token_of(symbol: str, at: int) -> str:
    """A page token: the last symbol and row of a page."""
    return base64.urlsafe_b64encode(f"{symbol}|{at}".encode()).decode()


def untoken(token: str) -> tuple[str, int]:
    """What a page token says. Raises AlpacaError 400."""
    try:
        symbol, _, at = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        return symbol, int(at)
    except (binascii.Error, UnicodeError, ValueError):
        raise bad_request(f"invalid page token: {token}") from None


def text_json(value: str | None) -> bytes:
    """A JSON string, or null."""
    return json.dumps(value).encode()


def object_json(members: Mapping[str, bytes]) -> bytes:
    """A JSON object of ready values."""
    return b"{" + b",".join(_members(members)) + b"}"


def _members(members: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, body in members.items():
        yield text_json(name) + b":" + body


def list_json(rows: Iterable[bytes]) -> bytes:
    """A JSON array of ready values."""
    return b"[" + b",".join(rows) + b"]"


def lists_json(rows: Mapping[str, list[bytes]]) -> bytes:
    """A JSON object of arrays of ready values."""
    return object_json({symbol: list_json(found) for symbol, found in rows.items()})


def reply(members: Mapping[str, bytes]) -> Response:
    """A reply whose body is an object of ready values."""
    return Response(object_json(members), media_type="application/json")
