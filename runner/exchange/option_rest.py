"""`/v1beta1/options/**`: trades, bars, newest values, and snapshots with greeks. There are no historical quotes.

Source: Alpaca's market-data OpenAPI spec. Implied volatility and greeks are our own (see `greeks`), which the reply
header X-Greeks says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange import tables
from runner.exchange.assets import OPTION_SYMBOL
from runner.exchange.bars import day_start
from runner.exchange.broker.quota import Quota
from runner.exchange.contracts import ContractFilter, OptionContract
from runner.exchange.errors import AlpacaError
from runner.exchange.feeds import OPTION_FEEDS
from runner.exchange.greeks import YEAR_NS, Terms, greeks, implied_volatility
from runner.exchange.history import History, Kind, Window
from runner.exchange.market import Market, Quote, Trade
from runner.exchange.paging import (
    bad_request,
    date_of,
    limit_of,
    lists_json,
    object_json,
    page,
    query_of,
    reply,
    symbols_of,
    text_json,
    time_of,
    token_of,
    untoken,
)
from runner.exchange.settings import Settings
from runner.exchange.venue_rest import Handler, with_quota

MOST_SYMBOLS: Final = 100
_TYPES: Final = ("call", "put")


class OptionRest:
    """Market-data paths of options."""

    def __init__(self, settings: Settings, market: Market, history: History, quota: Quota) -> None:
        self._settings = settings
        self._market = market
        self._history = history
        self._quota = quota
        self._label = f"computed; model=black-scholes; rate={settings.risk_free_rate}"

    def routes(self) -> list[Route]:
        """Routes for the app; the fixed paths come before those with a symbol in them."""
        paths: list[tuple[str, Handler]] = [
            ("/bars", self._page("bars")),
            ("/trades", self._page("trades")),
            ("/trades/latest", self._latest("trades")),
            ("/quotes/latest", self._latest("quotes")),
            ("/snapshots", self._snapshots),
            ("/snapshots/{underlying}", self._chain),
            ("/meta/exchanges", self._exchanges),
            ("/meta/conditions/{ticktype}", self._conditions),
        ]
        return [
            Route("/v1beta1/options" + path, with_quota(self._quota, handler, coded=False), methods=["GET"])
            for path, handler in paths
        ]

    def _page(self, kind: Kind) -> Handler:
        async def serve(request: Request) -> Response:
            symbols = symbols_of(request, OPTION_SYMBOL, most=MOST_SYMBOLS)
            now_ns = self._market.now_ns
            query = query_of(request, kind, symbols, start_ns=day_start(now_ns), end_ns=now_ns)

            def window(symbol: str) -> Window:
                if kind == "bars":
                    return self._history.bars(symbol, query.timeframe, query.start_ns, query.end_ns)
                return self._history.between(kind, symbol, query.start_ns, query.end_ns)

            rows, token = page(query, window)
            return reply({kind: lists_json(rows), "next_page_token": text_json(token)})

        return serve

    def _latest(self, kind: Kind) -> Handler:
        async def serve(request: Request) -> Response:
            self._check_feed(request)
            symbols = symbols_of(request, OPTION_SYMBOL, most=MOST_SYMBOLS)
            found = {symbol: self._history.last(kind, symbol, self._market.now_ns) for symbol in symbols}
            return reply({kind: object_json({symbol: row for symbol, row in found.items() if row is not None})})

        return serve

    async def _snapshots(self, request: Request) -> Response:
        symbols = symbols_of(request, OPTION_SYMBOL, most=MOST_SYMBOLS)
        return self._shown(request, (found for symbol in symbols if (found := self._market.contract(symbol))))

    async def _chain(self, request: Request) -> Response:
        params = request.query_params
        wanted = ContractFilter(
            underlyings=frozenset({request.path_params["underlying"]}),
            status="active",
            type=_type(params),
            strike_gte=decimal_of(params, "strike_price_gte"),
            strike_lte=decimal_of(params, "strike_price_lte"),
            expiration_date=date_of(params.get("expiration_date"), "expiration_date"),
            expiration_date_gte=date_of(params.get("expiration_date_gte"), "expiration_date_gte"),
            expiration_date_lte=date_of(params.get("expiration_date_lte"), "expiration_date_lte"),
            root_symbol=params.get("root_symbol") or None,
        )
        return self._shown(request, self._market.contracts(wanted))

    def _shown(self, request: Request, contracts: Iterable[OptionContract]) -> Response:
        """A page of snapshots: contracts that have shown anything, in the order of their symbols."""
        self._check_feed(request)
        params = request.query_params
        limit = limit_of(params, 100, 1_000)
        since_ns = time_of(params.get("updated_since"), "updated_since")
        token = params.get("page_token")
        after = untoken(token)[0] if token else ""
        shown: dict[str, bytes] = {}
        following = None
        for contract in contracts:
            if contract.symbol <= after or not self._updated(contract.symbol, since_ns):
                continue
            if len(shown) == limit:
                following = token_of(next(reversed(shown)), 0)
                break
            shown[contract.symbol] = self._snapshot(contract)
        answer = reply({"snapshots": object_json(shown), "next_page_token": text_json(following)})
        answer.headers["X-Greeks"] = self._label
        return answer

    def _updated(self, symbol: str, since_ns: int | None) -> bool:
        newest: list[Quote | Trade | None] = [self._market.quote(symbol), self._market.last_trade(symbol)]
        return any(one is not None and (since_ns is None or one.ts_ns >= since_ns) for one in newest)

    def _snapshot(self, contract: OptionContract) -> bytes:
        known = self._history.snapshot(contract.symbol, self._market.now_ns)
        for name, value in self._computed(contract).items():
            known[name] = json.dumps(value).encode()
        return object_json(known)

    def _computed(self, contract: OptionContract) -> dict[str, Any]:
        """Implied volatility and greeks at the middle of the quote; nothing where there is no such middle."""
        paid = _middle(self._market.quote(contract.symbol))
        underlying = contract.underlying_symbol
        trade = self._market.last_trade(underlying)
        spot = _middle(self._market.quote(underlying)) or (trade.price if trade else None)
        years = (self._market.expiry_ns(contract) - self._market.now_ns) / YEAR_NS
        if paid is None or spot is None or years <= 0:
            return {}
        terms = Terms(
            contract.type == "call", float(spot), float(contract.strike), years, float(self._settings.risk_free_rate)
        )
        volatility = implied_volatility(terms, float(paid))
        if volatility is None:
            return {}
        return {"impliedVolatility": round(volatility, 4), "greeks": greeks(terms, volatility).to_json()}

    def _check_feed(self, request: Request) -> None:
        feed = request.query_params.get("feed") or "indicative"
        if feed not in OPTION_FEEDS:
            raise bad_request(f"invalid feed: {feed}")
        if feed == "opra" and self._settings.plan == "basic":
            raise AlpacaError(403, None, "subscription does not permit querying OPRA data")

    async def _exchanges(self, _request: Request) -> Response:
        return JSONResponse(tables.OPTION_EXCHANGES)

    async def _conditions(self, request: Request) -> Response:
        kind = request.path_params["ticktype"]
        if kind not in tables.OPTION_CONDITIONS:
            raise bad_request(f"invalid ticktype: {kind}")
        return JSONResponse(tables.OPTION_CONDITIONS[kind])


def decimal_of(params: Mapping[str, str], name: str) -> Decimal | None:
    """A number of the query, None where there is none."""
    text = params.get(name)
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise bad_request(f"invalid {name}: {text} is not a number")
    return number


def _type(params: Mapping[str, str]) -> Any:
    kind = params.get("type") or None
    if kind is not None and kind not in _TYPES:
        raise bad_request(f"invalid type: {kind}")
    return kind


def _middle(quote: Quote | None) -> Decimal | None:
    return (quote.bid + quote.ask) / 2 if quote is not None and quote.bid > 0 and quote.ask > 0 else None
