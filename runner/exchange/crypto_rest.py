"""`/v1beta3/crypto/{loc}/**`: history, newest values, order books and snapshots of crypto pairs. No key is needed.

Source: Alpaca's market-data OpenAPI spec. Every location serves the same market here.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.exchange.bars import day_start
from runner.exchange.broker.quota import Quota
from runner.exchange.feeds import CRYPTO_LOCATIONS
from runner.exchange.history import History, Kind, Window
from runner.exchange.market import Market
from runner.exchange.paging import (
    bad_request,
    lists_json,
    object_json,
    page,
    query_of,
    reply,
    symbols_of,
    text_json,
)
from runner.exchange.venue_rest import Handler, with_quota

PAIR: Final = re.compile(r"[A-Z]+x?/[A-Z]+")
_KINDS: Final[tuple[Kind, ...]] = ("bars", "trades", "quotes")


class CryptoRest:
    """Market-data paths of crypto."""

    def __init__(self, market: Market, history: History, quota: Quota) -> None:
        self._market = market
        self._history = history
        self._quota = quota

    def routes(self) -> list[Route]:
        """Routes for the app."""
        paths: list[tuple[str, Handler]] = [
            *((f"/{kind}", self._page(kind)) for kind in _KINDS),
            *((f"/latest/{kind}", self._latest(kind)) for kind in _KINDS),
            ("/latest/orderbooks", self._books),
            ("/snapshots", self._snapshots),
        ]
        return [
            Route(
                "/v1beta3/crypto/{loc}" + path,
                with_quota(self._quota, handler, coded=False, keyless=True),
                methods=["GET"],
            )
            for path, handler in paths
        ]

    def _page(self, kind: Kind) -> Handler:
        async def serve(request: Request) -> Response:
            symbols, now_ns = _pairs(request), self._market.now_ns
            query = query_of(request, kind, symbols, start_ns=day_start(now_ns, utc=True), end_ns=now_ns)

            def window(symbol: str) -> Window:
                if kind == "bars":
                    return self._history.bars(symbol, query.timeframe, query.start_ns, query.end_ns)
                return self._history.between(kind, symbol, query.start_ns, query.end_ns)

            rows, token = page(query, window)
            return reply({kind: lists_json(rows), "next_page_token": text_json(token)})

        return serve

    def _latest(self, kind: Kind) -> Handler:
        async def serve(request: Request) -> Response:
            found = {pair: self._history.last(kind, pair, self._market.now_ns) for pair in _pairs(request)}
            return reply({kind: object_json({pair: row for pair, row in found.items() if row is not None})})

        return serve

    async def _books(self, request: Request) -> Response:
        books = self._history.books
        found = {pair: books[pair].to_json() for pair in _pairs(request) if pair in books}
        return reply({"orderbooks": object_json(found)})

    async def _snapshots(self, request: Request) -> Response:
        found = {pair: self._history.snapshot(pair, self._market.now_ns) for pair in _pairs(request)}
        return reply({"snapshots": object_json({pair: object_json(parts) for pair, parts in found.items() if parts})})


def _pairs(request: Request) -> list[str]:
    where = request.path_params["loc"]
    if where not in CRYPTO_LOCATIONS:
        raise bad_request(f"invalid location: {where}")
    return symbols_of(request, PAIR)
