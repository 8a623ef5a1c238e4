"""Every reply of every endpoint against Alpaca's own OpenAPI specs, and an excerpt of ours that is always here.

The specs stand in the shared folder. A clone elsewhere has only `excerpt.json`, which names what clients rely on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator

HERE = Path(__file__).parent
SPECS = ("trading-api.json", "market-data-api.json")

# Replies that show multi-leg orders: the operation and where they are in it; and what a parent leaves empty.
SPREADS_IN = (
    ("GET /v2/orders", "[0-9]*."),
    ("POST /v2/orders", ""),
    ("GET /v2/orders/{order_id}", ""),
    ("PATCH /v2/orders/{order_id}", ""),
)
PARENT_LACKS = (
    ("side", "enum"),
    ("asset_class", "enum"),
    ("asset_id", "format"),
    ("position_intent", "enum"),
    ("symbol", "minLength"),
)
# Where the real Alpaca departs from its own specs, and so do we: (operation, place in the reply, keyword) → why.
DEVIATIONS: dict[tuple[str, str, str], str] = {
    ("GET /v2/account/activities/{activity_type}", "[0-9]*", "oneOf"): (
        "no member of TradingActivities or NonTradeActivities is required, so that a FILL row fits both of them"
    ),
    **{
        (operation, f"{place}{member}", keyword): f"the parent of a multi-leg order has no {member}"
        for member, keyword in PARENT_LACKS
        for operation, place in SPREADS_IN
    },
    **{
        (operation, f"{place}legs.[0-9].type", "enum"): "the leg of a multi-leg order has no type"
        for operation, place in SPREADS_IN
    },
    ("GET /v2/positions", "*.exchange", "enum"): "CRYPTO is missing from the exchanges of a position",
    (
        "GET /v2/positions/{symbol_or_asset_id}",
        "exchange",
        "enum",
    ): "CRYPTO is missing from the exchanges of a position",
}

LIMIT = {"symbol": "IBM", "side": "buy", "type": "limit", "limit_price": "90", "time_in_force": "day", "qty": "10"}
BRACKET = {
    **LIMIT,
    "order_class": "bracket",
    "take_profit": {"limit_price": "120"},
    "stop_loss": {"stop_price": "80"},
}
VERTICAL = {
    "order_class": "mleg",
    "qty": "1",
    "type": "limit",
    "limit_price": "-1",
    "time_in_force": "gtc",
    "legs": [
        {"symbol": "IBM260116C00090000", "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": "IBM260116C00095000", "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ],
}
DAY = {"start": "2026-01-12T14:30:00Z", "end": "2026-01-12T16:00:00Z"}
BOTH = {"symbols": "IBM,BAC"}

# (method, path in the spec, path to ask for, what to send, status)
CALLS: list[tuple[str, str, str, dict[str, Any], int]] = [
    ("GET", "/v2/account", "/v2/account", {}, 200),
    ("GET", "/v2/account/configurations", "/v2/account/configurations", {}, 200),
    ("PATCH", "/v2/account/configurations", "/v2/account/configurations", {"json": {"no_shorting": True}}, 200),
    ("GET", "/v2/account/portfolio/history", "/v2/account/portfolio/history", {}, 200),
    ("GET", "/v2/account/activities", "/v2/account/activities", {}, 200),
    ("GET", "/v2/account/activities/{activity_type}", "/v2/account/activities/FILL", {}, 200),
    ("GET", "/v2/account/activities/{activity_type}", "/v2/account/activities/FEE", {}, 200),
    ("GET", "/v2/account/activities/{activity_type}", "/v2/account/activities/CFEE", {}, 200),
    *(
        ("GET", "/v2/account/activities/{activity_type}", f"/v2/account/activities/{kind}", {}, 200)
        for kind in ("DIV", "OPASN", "OPEXC", "OPTRD", "SPLIT")
    ),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{coins}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{option}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{spread}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{spread_resting}", {"params": {"nested": "true"}}, 200),
    ("PATCH", "/v2/orders/{order_id}", "/v2/orders/{spread_to_replace}", {"json": {"limit_price": "-8"}}, 200),
    ("POST", "/v2/orders", "/v2/orders", {"json": VERTICAL}, 200),
    ("DELETE", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/IBM260116C00085000", {}, 200),
    ("DELETE", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/BTCUSD", {}, 200),
    ("GET", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/BTCUSD", {}, 200),
    ("GET", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/IBM260116C00085000", {}, 200),
    ("GET", "/v2/orders", "/v2/orders", {"params": {"status": "all", "nested": "true"}}, 200),
    ("POST", "/v2/orders", "/v2/orders", {"json": LIMIT}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{filled}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{dollars}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{trailing}", {}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{bracket}", {"params": {"nested": "true"}}, 200),
    ("GET", "/v2/orders/{order_id}", "/v2/orders/{oto}", {"params": {"nested": "true"}}, 200),
    ("POST", "/v2/orders", "/v2/orders", {"json": BRACKET}, 200),
    (
        "GET",
        "/v2/orders:by_client_order_id",
        "/v2/orders:by_client_order_id",
        {"params": {"client_order_id": "mine"}},
        200,
    ),
    ("PATCH", "/v2/orders/{order_id}", "/v2/orders/{to_replace}", {"json": {"limit_price": "91"}}, 200),
    ("DELETE", "/v2/orders/{order_id}", "/v2/orders/{to_cancel}", {}, 204),
    ("DELETE", "/v2/orders", "/v2/orders", {}, 207),
    ("GET", "/v2/positions", "/v2/positions", {}, 200),
    ("GET", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/BAC", {}, 200),
    ("DELETE", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/BAC", {"params": {"qty": "40"}}, 200),
    ("DELETE", "/v2/positions", "/v2/positions", {"params": {"cancel_orders": "true"}}, 207),
    ("GET", "/v2/assets", "/v2/assets", {}, 200),
    ("GET", "/v2/assets/{symbol_or_asset_id}", "/v2/assets/IBM", {}, 200),
    ("GET", "/v2/clock", "/v2/clock", {}, 200),
    ("GET", "/v2/calendar", "/v2/calendar", {"params": {"start": "2025-11-24", "end": "2025-12-01"}}, 200),
    ("GET", "/v2/stocks/bars", "/v2/stocks/bars", {"params": {**BOTH, **DAY, "timeframe": "5Min"}}, 200),
    ("GET", "/v2/stocks/{symbol}/bars", "/v2/stocks/IBM/bars", {"params": {**DAY, "timeframe": "1Min"}}, 200),
    *(
        ("GET", f"/v2/stocks/{kind}", f"/v2/stocks/{kind}", {"params": {**BOTH, **DAY, "limit": "7"}}, 200)
        for kind in ("quotes", "trades")
    ),
    *(
        ("GET", f"/v2/stocks/{{symbol}}/{kind}", f"/v2/stocks/IBM/{kind}", {"params": {**DAY, "limit": "7"}}, 200)
        for kind in ("quotes", "trades")
    ),
    *(
        ("GET", f"/v2/stocks/{kind}/latest", f"/v2/stocks/{kind}/latest", {"params": BOTH}, 200)
        for kind in ("bars", "quotes", "trades")
    ),
    *(
        ("GET", f"/v2/stocks/{{symbol}}/{kind}/latest", f"/v2/stocks/IBM/{kind}/latest", {}, 200)
        for kind in ("bars", "quotes", "trades")
    ),
    ("GET", "/v2/stocks/snapshots", "/v2/stocks/snapshots", {"params": BOTH}, 200),
    ("GET", "/v2/stocks/{symbol}/snapshot", "/v2/stocks/IBM/snapshot", {}, 200),
]

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    # datetime knows six digits of a second at most; Alpaca sends up to nine.
    return datetime.fromisoformat(re.sub(r"\.\d{1,9}", "", value)).tzinfo is not None and "T" in value


@formats.checks("date", raises=ValueError)
def is_date(value: object) -> bool:
    return not isinstance(value, str) or (len(value) == 10 and bool(datetime.fromisoformat(value)))


@formats.checks("decimal", raises=InvalidOperation)
def is_decimal(value: object) -> bool:
    return not isinstance(value, str) or Decimal(value).is_finite()


@formats.checks("uuid")
def is_uuid(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def schema_of(spec: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any] | None:
    """The reply's schema with what its references need, or None where the spec gives no body."""
    reply = spec["paths"][path][method.lower()]["responses"][str(status)]
    if "$ref" in reply:
        reply = spec["components"]["responses"][reply["$ref"].rsplit("/", 1)[1]]
    content = reply.get("content")
    if not content:
        return None
    return {"allOf": [content["application/json"]["schema"]], "components": spec["components"]}


def problems(spec: dict[str, Any], path: str, method: str, status: int, body: Any) -> Iterator[tuple[str, str, str]]:
    """(place, keyword, what) of each way in which the body misses the schema."""
    schema = schema_of(spec, path, method, status)
    if schema is None:
        return
    for error in OAS30Validator(schema, format_checker=formats).iter_errors(body):
        yield ".".join(str(step) for step in error.absolute_path), str(error.validator), error.message


@lru_cache
def load(path: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(path.read_text())
    return spec


def specs_of(shared: Path | None, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Our excerpt, and the spec of Alpaca's that knows the path."""
    found = [("excerpt", load(HERE / "excerpt.json"))]
    if shared is not None:
        loaded = [(name, load(shared / "alpaca" / name)) for name in SPECS]
        known = [(name, spec) for name, spec in loaded if path in spec["paths"]]
        assert known, f"no spec of Alpaca's knows {path}"
        found += known
    return found


def allowed(method: str, path: str, place: str, keyword: str) -> bool:
    return any(
        operation == f"{method} {path}" and fnmatchcase(place, pattern) and keyword == known
        for operation, pattern, known in DEVIATIONS
    )


@pytest.mark.parametrize(
    ("method", "path", "url", "send", "status"), CALLS, ids=[f"{c[0]} {c[2]} {n}" for n, c in enumerate(CALLS)]
)
async def test_a_reply_is_what_the_specs_promise(
    visitor: Any, shared: Path | None, method: str, path: str, url: str, send: dict[str, Any], status: int
) -> None:
    reply = await visitor.ask(method, url, **send)
    assert reply.status_code == status, reply.text
    assert reply.headers["X-Request-ID"]
    if status == 204:
        assert reply.content == b""
        return
    body = json.loads(reply.text)
    assert body, "an empty reply would agree with every schema"
    for name, spec in specs_of(shared, path):
        missed = [
            f"{name}: {place}: {what}"
            for place, keyword, what in problems(spec, path, method, status, body)
            if not allowed(method, path, place, keyword)
        ]
        assert missed == []


@pytest.mark.parametrize(
    ("method", "url", "send", "status", "code"),
    [
        ("POST", "/v2/orders", {"json": {}}, 422, 40010001),
        ("POST", "/v2/orders", {"content": b"{"}, 400, 40010000),
        ("POST", "/v2/orders", {"json": {**LIMIT, "symbol": "NOPE"}}, 422, 42210000),
        ("POST", "/v2/orders", {"json": {**LIMIT, "qty": "99999"}}, 403, 40310000),
        ("GET", "/v2/orders/nope", {}, 404, 40410000),
        ("DELETE", "/v2/orders/{filled}", {}, 422, 42210000),
        ("PATCH", "/v2/orders/{filled}", {"json": {"qty": "3"}}, 422, 42210000),
        ("GET", "/v2/positions/NOPE", {}, 404, 40410000),
        ("GET", "/v2/assets/NOPE", {}, 404, 40410000),
    ],
)
async def test_a_refusal_has_a_status_a_code_and_a_message(
    visitor: Any, method: str, url: str, send: dict[str, Any], status: int, code: int
) -> None:
    reply = await visitor.ask(method, url, **send)
    body = reply.json()
    assert (reply.status_code, body["code"]) == (status, code)
    assert isinstance(body["message"], str)
    assert body["message"]


@pytest.mark.parametrize(("operation", "place", "keyword"), list(DEVIATIONS))
async def test_each_deviation_still_is_one(
    visitor: Any, shared: Path | None, operation: str, place: str, keyword: str
) -> None:
    """One that has gone must leave the list. Without the specs the list is held against the excerpt's operations."""
    method, path = operation.split()
    assert method.lower() in load(HERE / "excerpt.json")["paths"][path]
    if shared is None:
        return
    (_, (_, spec)) = specs_of(shared, path)
    found = [
        (where, known)
        for verb, known_path, url, send, status in CALLS
        if (verb, known_path) == (method, path)
        for where, known, _ in problems(spec, path, method, status, (await visitor.ask(method, url, **send)).json())
    ]
    assert any(fnmatchcase(where, place) and known == keyword for where, known in found)
