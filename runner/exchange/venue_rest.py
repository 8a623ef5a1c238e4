"""`/v2/assets`, `/v2/clock` and `/v2/calendar`: the venue itself, for any key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange.auth import authenticate, credentials
from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import CORE_OPEN, FIRST_YEAR, LAST_YEAR, NS, PRE_OPEN, new_york
from runner.exchange.errors import AlpacaError, invalid, not_found
from runner.exchange.market import Market

type Handler = Callable[[Request], Awaitable[Response]]


def with_quota(quota: Quota, handler: Handler, *, coded: bool = True, keyless: bool = False) -> Handler:
    """Authenticate, count the request against its key's quota, and put the quota's headers on every reply.

    `coded`: whether a refusal carries a code, as the trading host's do and the data host's do not. `keyless`: whether a
    request without any key is served; one with a bad key is not.
    """

    async def endpoint(request: Request) -> Response:
        key = "" if keyless and credentials(request.headers) is None else authenticate(request.headers)
        try:
            headers = quota.take(key)
        except AlpacaError as error:
            if coded:
                raise
            raise AlpacaError(429, None, "too many requests.", headers=error.headers) from None
        try:
            response = await handler(request)
        except AlpacaError as error:
            error.headers = {**headers, **error.headers}
            raise
        response.headers.update(headers)
        return response

    return endpoint


class VenueRest:
    """The venue's own paths."""

    def __init__(self, market: Market, quota: Quota) -> None:
        self._market = market
        self._quota = quota

    def routes(self) -> list[Route]:
        """Routes for the app."""
        paths: list[tuple[str, Handler]] = [
            ("/v2/assets", self._assets),
            ("/v2/assets/{symbol_or_id:path}", self._asset),
            ("/v2/clock", self._clock),
            ("/v2/calendar", self._calendar),
        ]
        return [Route(path, with_quota(self._quota, handler), methods=["GET"]) for path, handler in paths]

    async def _assets(self, request: Request) -> Response:
        query = request.query_params
        attributes = {name for name in query.get("attributes", "").split(",") if name}
        rows = []
        for symbol in self._market.symbols():
            asset = self._market.asset(symbol)
            assert asset is not None
            body = asset.to_json()
            if body["class"] != (query.get("asset_class") or "us_equity"):
                continue
            if any(query.get(name) not in (None, "", body[name]) for name in ("status", "exchange")):
                continue
            if attributes and attributes.isdisjoint(body["attributes"]):
                continue
            rows.append(body)
        rows.sort(key=lambda row: (row["class"], row["exchange"], row["symbol"]))
        return JSONResponse(rows)

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["symbol_or_id"]
        asset = self._market.asset(name)
        if asset is None:
            raise not_found(f"asset not found for {name}")
        return JSONResponse(asset.to_json())

    async def _clock(self, _request: Request) -> Response:
        market, now_ns = self._market, self._market.now_ns
        return JSONResponse(
            {
                "timestamp": _local(now_ns),
                "is_open": market.session() == "core",
                "next_open": _local(market.calendar.next_open(now_ns)),
                "next_close": _local(market.calendar.next_close(now_ns)),
            }
        )

    async def _calendar(self, request: Request) -> Response:
        query = request.query_params
        first = _date(query.get("start"), "start") or date(FIRST_YEAR, 1, 1)
        last = _date(query.get("end"), "end") or date(LAST_YEAR - 1, 12, 31)
        by = query.get("date_type", "TRADING")
        if by not in ("TRADING", "SETTLEMENT"):
            raise invalid(f"date_type must be TRADING or SETTLEMENT, not {by}")
        calendar = self._market.calendar
        first, last = max(first, date(FIRST_YEAR, 1, 1)), min(last, date(LAST_YEAR - 1, 12, 31))
        if by == "SETTLEMENT":
            earlier = first
            for _ in range(3 if first.year > FIRST_YEAR else 0):
                earlier = calendar.previous_trading_day(earlier)
            days = [d for d in calendar.trading_days(earlier, last) if first <= calendar.settlement_day(d) <= last]
        else:
            days = calendar.trading_days(first, last)
        return JSONResponse([self._day(day) for day in days])

    def _day(self, day: date) -> dict[str, Any]:
        calendar = self._market.calendar
        return {
            "date": day.isoformat(),
            "open": f"{CORE_OPEN:%H:%M}",
            "close": f"{calendar.close_time(day):%H:%M}",
            "session_open": f"{PRE_OPEN:%H%M}",
            "session_close": f"{calendar.session_close_time(day):%H%M}",
            "settlement_date": calendar.settlement_day(day).isoformat(),
        }


def _local(ns: int) -> str:
    """RFC 3339 with New York's offset, as the real clock has it."""
    whole = new_york(ns - ns % NS)
    fraction = f".{ns % NS:09d}".rstrip("0") if ns % NS else ""
    text = whole.isoformat()
    return text[:19] + fraction + text[19:]


def _date(text: str | None, name: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise invalid(f"{name} must be a date such as 2013-10-07, not {text}") from None
