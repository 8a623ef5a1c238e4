"""`/v2/stocks/**`: history up to venue time, newest values, snapshots, auctions.

Source: Alpaca's market-data OpenAPI spec and docs.alpaca.markets "Historical stock data". Rows leave with the digits
that they came with.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange import tables
from runner.exchange.actions import CorporateActions
from runner.exchange.bars import day_start
from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import new_york
from runner.exchange.errors import AlpacaError
from runner.exchange.history import History, Kind, Window
from runner.exchange.hub import DELAY_NS
from runner.exchange.market import Market
from runner.exchange.paging import (
    Query,
    WindowOf,
    bad_request,
    list_json,
    lists_json,
    object_json,
    page,
    query_of,
    reply,
    symbols_of,
    text_json,
)
from runner.exchange.settings import Settings
from runner.exchange.venue_rest import Handler, with_quota
from runner.exchange.wire import dumps, loads

STOCK_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]*([./-][A-Z0-9]+)*")
_HISTORICAL_FEEDS: Final = frozenset({"sip", "iex", "boats", "otc"})
_LATEST_FEEDS: Final = _HISTORICAL_FEEDS | {"delayed_sip", "overnight"}
_SINGULAR: Final[dict[Kind, str]] = {"trades": "trade", "quotes": "quote", "bars": "bar"}
# Sale conditions of a primary venue's auctions (CTS and UTP specifications): prints, and official prices.
_AUCTIONS: Final = {"O": "o", "Q": "o", "6": "c", "M": "c"}


class DataRest:
    """Market-data paths of stocks."""

    def __init__(
        self, settings: Settings, market: Market, history: History, actions: CorporateActions, quota: Quota
    ) -> None:
        self._settings = settings
        self._market = market
        self._history = history
        self._actions = actions
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
        paths += [
            ("/v2/stocks/auctions", self._auctions),
            ("/v2/stocks/{symbol}/auctions", self._auctions),
            ("/v2/stocks/{symbol}/snapshot", self._snapshots),
        ]
        return [Route(path, with_quota(self._quota, handler, coded=False), methods=["GET"]) for path, handler in paths]

    def _page(self, kind: Kind) -> Handler:
        async def serve(request: Request) -> Response:
            query = self._query(request, kind)
            if kind != "bars":
                return _paged(request, kind, query, self._trades_or_quotes(kind, query))
            adjust = self._actions.adjustment(request.query_params.get("adjustment"), self._market.now_ns)

            def bars(symbol: str) -> Window:
                days = self._history.day_bars(symbol)
                return self._history.bars(
                    symbol, query.timeframe, query.start_ns, query.end_ns, adjust=adjust(symbol, days)
                )

            return _paged(request, kind, query, bars)

        return serve

    def _trades_or_quotes(self, kind: Kind, query: Query) -> WindowOf:
        return lambda symbol: self._history.between(kind, symbol, query.start_ns, query.end_ns)

    def _latest(self, kind: Kind) -> Handler:
        async def latest(request: Request) -> Response:
            until_ns = self._latest_until(request)
            single = request.path_params.get("symbol")
            found = {}
            for symbol in symbols_of(request, STOCK_SYMBOL):
                row = self._history.last(kind, symbol, until_ns)
                if row is not None:
                    found[symbol] = row
            if single is None:
                return reply({kind: object_json(found)})
            if single not in found:
                raise AlpacaError(404, None, f"no {_SINGULAR[kind]} found for {single}")
            return reply({"symbol": text_json(single), _SINGULAR[kind]: found[single]})

        return latest

    async def _snapshots(self, request: Request) -> Response:
        until_ns = self._latest_until(request)
        single = request.path_params.get("symbol")
        found = {}
        for symbol in symbols_of(request, STOCK_SYMBOL):
            known = self._history.snapshot(symbol, until_ns)
            if known:
                found[symbol] = object_json({**({"symbol": text_json(single)} if single else {}), **known})
        if single is None:
            return reply(found)
        if single not in found:
            raise AlpacaError(404, None, f"no snapshot found for {single}")
        return Response(found[single], media_type="application/json")

    async def _auctions(self, request: Request) -> Response:
        """The opening and closing auctions of each day, out of the trades that report them."""
        if request.query_params.get("feed") not in (None, "", "sip"):
            raise bad_request(f"invalid feed: {request.query_params['feed']}: auctions are of the sip feed")
        query = self._query(request, "trades")
        return _paged(request, "auctions", query, lambda symbol: self._auctions_of(symbol, query))

    def _auctions_of(self, symbol: str, query: Query) -> Window:
        days: dict[str, dict[str, list[bytes]]] = defaultdict(lambda: {"o": [], "c": []})
        times: dict[str, int] = {}
        shown = set()
        trades = self._history.between("trades", symbol, query.start_ns, query.end_ns)
        for at in range(trades.low, trades.high):
            row = loads(trades.text(at))
            for condition in row.get("c") or ():
                key = (row["p"], row["x"], condition)
                if condition in _AUCTIONS and key not in shown:
                    shown.add(key)
                    day = new_york(trades.times[at]).date().isoformat()
                    times.setdefault(day, trades.times[at])
                    auction = {"c": condition, "p": row["p"], "s": row["s"], "t": row["t"], "x": row["x"]}
                    days[day][_AUCTIONS[condition]].append(dumps(auction).encode())
        texts = [reply_day(day, sides) for day, sides in days.items()]
        return Window([times[day] for day in days], lambda at: texts[at], 0, len(texts))

    async def _exchanges(self, _request: Request) -> Response:
        return JSONResponse(tables.EXCHANGES)

    async def _conditions(self, request: Request) -> Response:
        tape = request.query_params.get("tape", "")
        if tape not in ("A", "B", "C", "O", "N"):
            raise bad_request(f"invalid tape: {tape or 'it is required'}")
        kind = request.path_params["ticktype"]
        if kind not in tables.CONDITIONS:
            raise bad_request(f"invalid ticktype: {kind}")
        return JSONResponse(tables.CONDITIONS[kind])

    def _query(self, request: Request, kind: Kind) -> Query:
        params, now_ns = request.query_params, self._market.now_ns
        feed = params.get("feed") or "sip"
        if feed not in _HISTORICAL_FEEDS:
            raise bad_request(f"invalid feed: {feed}")
        late_ns = now_ns
        if self._settings.plan == "basic" and feed == "sip":
            late_ns -= DELAY_NS
        query = query_of(request, kind, symbols_of(request, STOCK_SYMBOL), start_ns=day_start(now_ns), end_ns=now_ns)
        if late_ns < now_ns and params.get("end") and query.end_ns > late_ns:
            raise AlpacaError(403, None, "subscription does not permit querying recent SIP data")
        return query._replace(end_ns=min(query.end_ns, late_ns))

    def _latest_until(self, request: Request) -> int:
        feed = request.query_params.get("feed") or "sip"
        if feed not in _LATEST_FEEDS:
            raise bad_request(f"invalid feed: {feed}")
        return self._market.now_ns - (DELAY_NS if feed == "delayed_sip" else 0)


def reply_day(day: str, sides: dict[str, list[bytes]]) -> bytes:
    """One day's auctions, as Alpaca's spec calls `stock_daily_auctions`."""
    return object_json({"d": json.dumps(day).encode(), "o": list_json(sides["o"]), "c": list_json(sides["c"])})


def _paged(request: Request, name: str, query: Query, window_of: WindowOf) -> Response:
    rows, token = page(query, window_of)
    single = request.path_params.get("symbol")
    if single is None:
        return reply({name: lists_json(rows), "next_page_token": text_json(token)})
    found = list_json(rows.get(single, []))
    return reply({"symbol": text_json(single), name: found, "next_page_token": text_json(token)})
