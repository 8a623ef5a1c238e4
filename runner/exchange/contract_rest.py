"""`/v2/options/contracts`: which option contracts there are.

Source: Alpaca's trading OpenAPI spec. Without a date the list ends with the next weekend, and without a status it has
only what is active.
"""

from __future__ import annotations

import base64
import binascii
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import new_york
from runner.exchange.contracts import ContractFilter
from runner.exchange.errors import invalid, not_found
from runner.exchange.market import Market
from runner.exchange.venue_rest import with_quota

_CHOICES: Final = {"status": ("active", "inactive"), "type": ("call", "put"), "style": ("american", "european")}
_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 10_000
_SUNDAY: Final = 6


class ContractRest:
    """The two paths."""

    def __init__(self, market: Market, quota: Quota) -> None:
        self._market = market
        self._quota = quota

    def routes(self) -> list[Route]:
        """Routes for the app."""
        return [
            Route("/v2/options/contracts", with_quota(self._quota, self._list), methods=["GET"]),
            Route("/v2/options/contracts/{symbol_or_id}", with_quota(self._quota, self._one), methods=["GET"]),
        ]

    async def _one(self, request: Request) -> Response:
        name = request.path_params["symbol_or_id"]
        contract = self._market.contract(name)
        if contract is None:
            raise not_found(f"option contract {name} not found")
        return JSONResponse(contract.to_json(deliverables=True))

    async def _list(self, request: Request) -> Response:
        params = request.query_params
        limit = params.get("limit") or str(_DEFAULT_LIMIT)
        if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_LIMIT:
            raise invalid(f"limit must be from 1 to {_MAX_LIMIT}, not {limit}")
        first = _offset(params.get("page_token"))
        last = first + int(limit)
        found = self._market.contracts(self._filter(request))
        with_deliverables = _flag(request, "show_deliverables") is True
        token = base64.b64encode(str(last).encode()).decode() if last < len(found) else None
        rows = [contract.to_json(deliverables=with_deliverables) for contract in found[first:last]]
        return JSONResponse({"option_contracts": rows, "next_page_token": token})

    def _filter(self, request: Request) -> ContractFilter:
        params = request.query_params
        exact, last = _date(request, "expiration_date"), _date(request, "expiration_date_lte")
        if exact is None and last is None:
            today = new_york(self._market.now_ns).date()
            last = today + timedelta(days=_SUNDAY - today.weekday())
        return ContractFilter(
            underlyings=frozenset(n.strip() for n in params.get("underlying_symbols", "").split(",") if n.strip()),
            status=_choice(request, "status") or "active",
            expiration_date=exact,
            expiration_date_gte=_date(request, "expiration_date_gte"),
            expiration_date_lte=last,
            root_symbol=params.get("root_symbol") or None,
            type=_choice(request, "type"),
            style=_choice(request, "style"),
            strike_gte=_decimal(request, "strike_price_gte"),
            strike_lte=_decimal(request, "strike_price_lte"),
            penny_program=_flag(request, "ppind"),
        )


def _choice(request: Request, name: str) -> Any:
    value = request.query_params.get(name) or None
    if value is not None and value not in _CHOICES[name]:
        raise invalid(f"{name} must be {' or '.join(_CHOICES[name])}, not {value}")
    return value


def _flag(request: Request, name: str) -> bool | None:
    value = request.query_params.get(name, "").lower()
    if value not in ("", "true", "false"):
        raise invalid(f"{name} must be true or false, not {value}")
    return None if not value else value == "true"


def _date(request: Request, name: str) -> date | None:
    text = request.query_params.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise invalid(f"{name} must be a date such as 2026-01-16, not {text}") from None


def _decimal(request: Request, name: str) -> Decimal | None:
    text = request.query_params.get(name)
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        raise invalid(f"{name} must be a number, not {text}") from None


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.b64decode(token.encode()).decode()))
    except (binascii.Error, UnicodeError, ValueError):
        raise invalid(f"page_token {token} is not one of ours") from None
