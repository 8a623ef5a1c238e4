"""`/v2/stocks/**`: history up to venue time, newest values, snapshots.

Source: Alpaca's market-data OpenAPI spec and docs.alpaca.markets "Historical stock data". Rows leave with the digits
that they came with.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.exchange import tables
from runner.exchange.bars import day_start
from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import NEW_YORK, to_ns
from runner.exchange.errors import AlpacaError
from runner.exchange.history import History, Kind, Timeframe, Window, parse_timeframe
from runner.exchange.hub import DELAY_NS
from runner.exchange.market import Market
from runner.exchange.settings import Settings
from runner.exchange.venue_rest import Handler, with_quota
from runner.exchange.wire import parse_ns

_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]*([./-][A-Z0-9]+)*")
_HISTORICAL_FEEDS: Final = frozenset({"sip", "iex", "boats", "otc"})
_LATEST_FEEDS: Final = _HISTORICAL_FEEDS | {"delayed_sip", "overnight"}
_SINGULAR: Final[dict[Kind, str]] = {"trades": "trade", "quotes": "quote", "bars": "bar"}
_DEFAULT_LIMIT: Final = 1_000
_MAX_LIMIT: Final = 10_000


class _Query(NamedTuple):
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


class DataRest:
    """Market-data paths."""

    def __init__(self, settings: Settings, market: Market, history: History, quota: Quota) -> None:
        self._settings = settings
        self._market = market
        self._history = history
        self._quota = quota

    def routes(self) -> list[Route]:
        """Routes for the app; the fixed paths come before those with a symbol in them."""
        paths: list[tuple[str, Handler]] = [
            ("/v2/stocks/snapshots", self._snapshots),
            ("/v2/stocks/meta/exchanges", self._exchanges),
            ("/v2/stocks/meta/conditions/{ticktype}", self._conditions),
        ]
        kinds: tuple[Kind, ...] = ("bars", "trades", "quotes")
        for kind in kinds:
            paths += [
                (f"/v2/stocks/{kind}", self._page(kind)),
                (f"/v2/stocks/{kind}/latest", self._latest(kind)),
                (f"/v2/stocks/{{symbol}}/{kind}", self._page(kind)),
                (f"/v2/stocks/{{symbol}}/{kind}/latest", self._latest(kind)),
            ]
        paths.append(("/v2/stocks/{symbol}/snapshot", self._snapshots))
        return [Route(path, with_quota(self._quota, handler, coded=False), methods=["GET"]) for path, handler in paths]

    def _page(self, kind: Kind) -> Handler:
        async def page(request: Request) -> Response:
            query = self._query(request, kind)
            rows, token = self._rows(kind, query)
            single = request.path_params.get("symbol")
            found = b"[" + b",".join(rows.get(single, [])) + b"]" if single else _lists(rows)
            symbol = b'"symbol":' + _text(single) + b"," if single else b""
            return _json(b"{%b%b:%b,%b:%b}" % (symbol, _text(kind), found, b'"next_page_token"', _text(token)))

        return page

    def _latest(self, kind: Kind) -> Handler:
        async def latest(request: Request) -> Response:
            until_ns = self._latest_until(request)
            single = request.path_params.get("symbol")
            found = {}
            for symbol in _symbols(request):
                row = self._last(kind, symbol, until_ns)
                if row is not None:
                    found[symbol] = row
            if single is None:
                return _json(b"{%b:%b}" % (_text(kind), _object(found)))
            if single not in found:
                raise AlpacaError(404, None, f"no {_SINGULAR[kind]} found for {single}")
            return _json(b'{"symbol":%b,%b:%b}' % (_text(single), _text(_SINGULAR[kind]), found[single]))

        return latest

    async def _snapshots(self, request: Request) -> Response:
        until_ns = self._latest_until(request)
        single = request.path_params.get("symbol")
        found = {}
        for symbol in _symbols(request):
            day, previous = self._history.days(symbol)
            parts = {
                "latestTrade": self._last("trades", symbol, until_ns),
                "latestQuote": self._last("quotes", symbol, until_ns),
                "minuteBar": self._last("bars", symbol, until_ns),
                "dailyBar": day,
                "prevDailyBar": previous,
            }
            known = {name: part for name, part in parts.items() if part is not None}
            if known:
                found[symbol] = _object({**({"symbol": _text(single)} if single else {}), **known})
        if single is None:
            return _json(_object(found))
        if single not in found:
            raise AlpacaError(404, None, f"no snapshot found for {single}")
        return _json(found[single])

    async def _exchanges(self, _request: Request) -> Response:
        return _json(json.dumps(tables.EXCHANGES).encode())

    async def _conditions(self, request: Request) -> Response:
        tape = request.query_params.get("tape", "")
        if tape not in ("A", "B", "C", "O", "N"):
            raise bad_request(f"invalid tape: {tape or 'it is required'}")
        kind = request.path_params["ticktype"]
        if kind not in tables.CONDITIONS:
            raise bad_request(f"invalid ticktype: {kind}")
        return _json(json.dumps(tables.CONDITIONS[kind]).encode())

    def _last(self, kind: Kind, symbol: str, until_ns: int) -> bytes | None:
        if kind == "bars":
            return self._history.last_bar(symbol)
        return self._history.last(kind, symbol, until_ns)

    def _rows(self, kind: Kind, query: _Query) -> tuple[dict[str, list[bytes]], str | None]:
        """A page of rows by symbol, and the token of the next page, None after the last."""
        rows: dict[str, list[bytes]] = {}
        left = query.limit
        last: tuple[str, int] | None = None
        for symbol in query.symbols:
            if query.after is not None and symbol < query.after[0]:
                continue
            if kind == "bars":
                window = self._history.bars(symbol, query.timeframe, query.start_ns, query.end_ns)
            else:
                window = self._history.between(kind, symbol, query.start_ns, query.end_ns)
            for at in _order(window, query, symbol):
                if not left:
                    assert last is not None
                    return rows, _token(*last)
                rows.setdefault(symbol, []).append(window.text(at))
                last = (symbol, at)
                left -= 1
        return rows, None

    def _query(self, request: Request, kind: Kind) -> _Query:
        params, now_ns = request.query_params, self._market.now_ns
        feed = params.get("feed") or "sip"
        if feed not in _HISTORICAL_FEEDS:
            raise bad_request(f"invalid feed: {feed}")
        start_ns = _time(params.get("start"), "start")
        end_ns = _time(params.get("end"), "end")
        if self._settings.plan == "basic" and feed == "sip":
            if end_ns is not None and end_ns > now_ns - DELAY_NS:
                raise AlpacaError(403, None, "subscription does not permit querying recent SIP data")
            now_ns -= DELAY_NS
        start_ns = day_start(self._market.now_ns) if start_ns is None else start_ns
        end_ns = now_ns if end_ns is None else min(end_ns, now_ns)
        timeframe = Timeframe(1, "T")
        if kind == "bars":
            text = params.get("timeframe", "")
            found = parse_timeframe(text)
            if found is None:
                raise bad_request(f"invalid timeframe: {text}" if text else "timeframe is required")
            timeframe = found
        limit = params.get("limit") or str(_DEFAULT_LIMIT)
        if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_LIMIT:
            raise bad_request(f"invalid limit: {limit} is not from 1 to {_MAX_LIMIT}")
        sort = params.get("sort") or "asc"
        if sort not in ("asc", "desc"):
            raise bad_request(f"invalid sort: {sort}")
        token = params.get("page_token")
        after = _untoken(token) if token else None
        return _Query(_symbols(request), start_ns, end_ns, int(limit), sort == "desc", after, timeframe)

    def _latest_until(self, request: Request) -> int:
        feed = request.query_params.get("feed") or "sip"
        if feed not in _LATEST_FEEDS:
            raise bad_request(f"invalid feed: {feed}")
        return self._market.now_ns - (DELAY_NS if feed == "delayed_sip" else 0)


def _order(window: Window, query: _Query, symbol: str) -> Iterable[int]:
    low, high = window.low, window.high
    resumed = query.after is not None and query.after[0] == symbol
    if query.descending:
        if resumed and query.after is not None:
            high = min(high, query.after[1])
        return range(high - 1, low - 1, -1)
    if resumed and query.after is not None:
        low = max(low, query.after[1] + 1)
    return range(low, high)


def _symbols(request: Request) -> list[str]:
    single = request.path_params.get("symbol")
    text = single if single is not None else request.query_params.get("symbols", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise bad_request("symbols is required")
    for name in names:
        if not _SYMBOL.fullmatch(name):
            raise bad_request(f"invalid symbol: {name}")
    return sorted(set(names))


def _time(text: str | None, name: str) -> int | None:
    """An instant, or a date: midnight in New York."""
    if not text:
        return None
    try:
        if len(text) == 10:
            return to_ns(datetime.combine(date.fromisoformat(text), time(0), NEW_YORK))
        return parse_ns(text.replace(" ", "+"))
    except ValueError:
        raise bad_request(f"invalid {name}: {text} is neither RFC 3339 nor YYYY-MM-DD") from None


def _token(symbol: str, at: int) -> str:
    return base64.urlsafe_b64encode(f"{symbol}|{at}".encode()).decode()


def _untoken(token: str) -> tuple[str, int]:
    try:
        symbol, _, at = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        return symbol, int(at)
    except (binascii.Error, UnicodeError, ValueError):
        raise bad_request(f"invalid page token: {token}") from None


def _text(value: str | None) -> bytes:
    return json.dumps(value).encode()


def _object(members: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(_members(members)) + b"}"


def _members(members: dict[str, bytes]) -> Iterator[bytes]:
    for name, body in members.items():
        yield _text(name) + b":" + body


def _lists(rows: dict[str, list[bytes]]) -> bytes:
    return _object({symbol: b"[" + b",".join(found) + b"]" for symbol, found in rows.items()})


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
