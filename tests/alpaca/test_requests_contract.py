"""Every request that trading sends fits Alpaca's own OpenAPI specification: paths, parameters, bodies.

`requests_excerpt.json` is what the specification says of the paths used here, without its texts; where the whole
specification is at hand it is read instead, and the excerpt must be a part of it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType, TimeInForce, TrailingOffsetType
from nautilus_trader.model.objects import Price, Quantity
from openapi_schema_validator import OAS30Validator

from tests.alpaca import test_crypto_exchange, test_option_exchange
from tests.alpaca.test_brackets import IBM, bracket, pair
from tests.alpaca.test_multi_leg import send

EXCERPT = json.loads((Path(__file__).parent / "requests_excerpt.json").read_text())
FILLED, ACCEPTED = OrderStatus.FILLED, OrderStatus.ACCEPTED


class Recording:
    """The HTTP client, with what passes through it written down."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get(self, path: str, params: Any = (), **kw: Any) -> Any:
        if not kw.get("data"):
            self.requests.append(("get", path, list(params or ()), b""))
        return self._client.get(path, params, **kw)

    def post(self, path: str, body: bytes = b"") -> Any:
        self.requests.append(("post", path, [], body))
        return self._client.post(path, body)

    def patch(self, path: str, body: bytes) -> Any:
        self.requests.append(("patch", path, [], body))
        return self._client.patch(path, body)

    def delete(self, path: str) -> Any:
        self.requests.append(("delete", path, [], b""))
        return self._client.delete(path)


def record(rig: Any) -> Recording:
    shared = rig.client._shared
    shared._client = Recording(shared.client)
    return shared._client


def operation(method: str, path: str) -> dict[str, Any]:
    """What the specification says of a request; fails where it knows none such."""
    for template, methods in sorted(EXCERPT["paths"].items(), key=lambda row: row[0].count("{")):
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method in methods:
            found: dict[str, Any] = methods[method]
            return found
    raise AssertionError(f"{method} {path} is not in the specification")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with references followed, that takes no members it does not name."""
    if "$ref" in schema:
        return strict(EXCERPT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {name: strict(inner) for name, inner in made["properties"].items()}
        made["additionalProperties"] = False
    if "items" in made:
        made["items"] = strict(made["items"])
    return made


def check(method: str, path: str, params: list[tuple[str, str]], body: bytes) -> None:
    said = operation(method, path)
    known = {row["name"] for row in said["parameters"] if row["in"] == "query"}
    # Newer than the specification: the activities' filter by order.
    assert {name for name, _ in params} <= known | {"order_id"}, (method, path, params)
    if not body:
        assert method not in ("post", "patch") or "requestBody" not in said, (method, path)
        return
    schema = strict(said["requestBody"]["content"]["application/json"]["schema"])
    document = msgspec.json.decode(body)
    errors = [error.message for error in OAS30Validator(schema).iter_errors(document)]
    assert not errors, (method, path, document, errors)


def test_every_request_of_a_busy_day_fits_the_specification(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            recording = record(rig)
            factory = rig.strategy.order_factory
            await rig.status(rig.market("buy", 30), FILLED)
            resting = rig.limit("buy", 10, "170.00", time_in_force=TimeInForce.DAY, params={"extended_hours": True})
            rig.send("stop_limit", "sell", 5, price=Price.from_str("170.00"), trigger_price=Price.from_str("171.00"))
            rig.send("stop_market", "sell", 5, trigger_price=Price.from_str("171.00"))
            await rig.status(rig.market("buy", 1, params={"position_intent": "buy_to_open"}), FILLED)
            for kind, offset in ((TrailingOffsetType.PRICE, "1.50"), (TrailingOffsetType.BASIS_POINTS, "250")):
                rig.send(
                    "trailing_stop_market", "sell", 5, trailing_offset=Decimal(offset),
                    trailing_offset_type=kind,
                )  # fmt: skip
            dollars = factory.market(
                IBM, OrderSide.BUY, Quantity.from_str("50.00"), time_in_force=TimeInForce.DAY, quote_quantity=True
            )
            rig.strategy.submit_order(dollars)
            pair(rig, OrderSide.SELL, 5, "185.00", "175.00")
            entry, *_ = bracket(rig, sl_order_type=OrderType.STOP_MARKET)
            await rig.status(entry, FILLED)
            await rig.status(resting, ACCEPTED)
            rig.strategy.modify_order(
                resting, quantity=Quantity.from_str("12.000000000"), price=Price.from_str("169.00")
            )
            await rig.until(lambda: resting.price == Price.from_str("169.00"))
            rig.strategy.query_order(resting)
            rig.strategy.cancel_all_orders(IBM)
            await rig.until(lambda: rig.client.in_flight == 0)
            await rig.client.gaps.run()
            await rig.client.book.opening()
            await rig.client.non_trade_activities()
            for row in recording.requests:
                check(*row)
            seen = {method for method, *_ in recording.requests}
            assert seen == {"get", "post", "patch", "delete"}
            posted = [msgspec.json.decode(body) for method, _, _, body in recording.requests if method == "post"]
            assert {row.get("order_class", "") for row in posted} == {"", "bracket", "oco"}
            assert {row["type"] for row in posted} == {"market", "limit", "stop", "stop_limit", "trailing_stop"}

    play(scenario())


def test_every_request_for_contracts_and_pairs_fits_the_specification(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            test_option_exchange.arrange(rig)
            test_crypto_exchange.arrange(rig)
            rig.quote("IBM", "185.00", "185.02")
            recording = record(rig)
            call = test_option_exchange.CALL
            await rig.status(send(rig, OrderSide.BUY, 2, "5.10", call), FILLED)
            spread = send(rig, OrderSide.SELL, 1, "9.00", test_option_exchange.CONDOR)
            await rig.status(spread, ACCEPTED)
            rig.strategy.modify_order(spread, price=Price.from_str("8.00"))
            await rig.until(lambda: spread.price == Price.from_str("8.00"))
            rig.strategy.cancel_order(spread)
            await rig.until(lambda: spread.is_closed)
            await rig.status(test_crypto_exchange.order_of(rig, OrderSide.BUY, "0.01"), FILLED)
            order = rig.strategy.order_factory.market(
                call.id, OrderSide.SELL, Quantity.from_int(2), time_in_force=TimeInForce.DAY
            )
            rig.strategy.submit_order(order, params={"exercise": True})
            await rig.status(order, FILLED)
            for row in recording.requests:
                check(*row)
            assert any(path.endswith("/exercise") for _, path, _, _ in recording.requests)
            posted = [
                msgspec.json.decode(body) for method, _, _, body in recording.requests if method == "post" and body
            ]
            assert {row.get("order_class", "") for row in posted} == {"", "mleg"}

    play(scenario())


def test_the_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="not in the specification"):
        check("put", "/v2/orders", [], b"")
    with pytest.raises(AssertionError):
        check("post", "/v2/orders", [], b'{"type":"market","time_in_force":"day","quantity":"1"}')
    with pytest.raises(AssertionError):
        check("get", "/v2/orders", [("page", "2")], b"")


def test_the_excerpt_is_a_part_of_the_specification(shared: Path | None) -> None:
    path = None if shared is None else shared / "alpaca" / "trading-api.json"
    # Without the specification it is compared with itself: that its references lead somewhere is still seen.
    whole = json.loads(path.read_text()) if path is not None and path.exists() else EXCERPT
    for name in set(re.findall(r"#/components/schemas/(\w+)", json.dumps(EXCERPT))):
        assert name in EXCERPT["components"]["schemas"]

    def part_of(small: Any, large: Any, where: str) -> None:
        if isinstance(small, dict):
            for name, inner in small.items():
                assert name in large, f"{where}/{name}"
                part_of(inner, large[name], f"{where}/{name}")
        elif not isinstance(small, list):
            assert small == large, where

    part_of(EXCERPT["components"], whole["components"], "components")
    for template, methods in EXCERPT["paths"].items():
        for method, said in methods.items():
            if "requestBody" in said:
                part_of(said["requestBody"], whole["paths"][template][method]["requestBody"], template)
