"""A venue that says what the test makes it say: for replies and updates whose exact shape matters."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AssetClass, CurrencyType, OptionKind
from nautilus_trader.model.identifiers import InstrumentId, Symbol, new_generic_spread_id
from nautilus_trader.model.instruments import CurrencyPair, OptionContract, OptionSpread
from nautilus_trader.model.objects import Currency, Price, Quantity

from runner._engine import Accepted, Rejected
from runner.alpaca.models import decode_update

EXPIRY_NS = 2_000_000_000 * 10**9


def pair(symbol: str = "BTC/USD") -> CurrencyPair:
    """A crypto pair as the provider makes it."""
    base, _, _ = symbol.partition("/")
    return CurrencyPair(
        instrument_id=InstrumentId.from_str(f"{symbol}.ALPACA"),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str(base) if base == "BTC" else Currency(base, 9, 0, base, CurrencyType.CRYPTO),
        quote_currency=USD,
        price_precision=2,
        size_precision=9,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.000000001"),
        ts_event=0,
        ts_init=0,
    )


def contract(symbol: str, strike: str, kind: OptionKind = OptionKind.CALL, underlying: str = "IBM") -> OptionContract:
    """An option contract as the provider makes it."""
    return OptionContract(
        InstrumentId.from_str(f"{symbol}.ALPACA"), Symbol(symbol), AssetClass.EQUITY, USD, 2, Price.from_str("0.01"),
        Quantity.from_int(100), Quantity.from_int(1), underlying, kind, Price.from_str(strike), 0, EXPIRY_NS, 0, 0,
    )  # fmt: skip


def spread(*legs: tuple[OptionContract, int]) -> OptionSpread:
    """The spread of these contracts with their signed ratios."""
    made = new_generic_spread_id([(leg.id, ratio) for leg, ratio in legs])
    return OptionSpread(
        made, Symbol(made.symbol.value), AssetClass.EQUITY, USD, 2, Price.from_str("0.01"), Quantity.from_int(100),
        Quantity.from_int(1), "IBM", "MLEG", 0, EXPIRY_NS, 0, 0,
    )  # fmt: skip


class Venue:
    """Stands before the HTTP client: takes what is posted, patched and deleted, and answers reads as scripted."""

    def __init__(self, rig: Any, *instruments: Any) -> None:
        self.rig = rig
        for instrument in instruments:
            rig.node.kernel.cache.add_instrument(instrument)
        shared = rig.client._shared
        self._client = shared.client
        shared._client = self
        self._ids = itertools.count(1)
        self.posted: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.refusal: Rejected | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def fresh(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._ids):012d}"

    def get(self, path: str, params: Any = (), **kw: Any) -> Any:
        order = self.orders.get(path.removeprefix("/v2/orders/"))
        return self._client.get(path, params, **kw) if order is None else _done(msgspec.json.encode(order))

    def post(self, path: str, body: bytes) -> Any:
        document = msgspec.json.decode(body) if body else {}
        self.posted.append({"path": path} | document)
        if self.refusal is not None:
            return _done(self.refusal)
        return _done(Accepted(200, msgspec.json.encode(self.order(document) if "type" in document else {})))

    def patch(self, path: str, body: bytes) -> Any:
        old, document = path.rpartition("/")[2], msgspec.json.decode(body)
        self.patched.append((old, document))
        made = self.order(self.orders[old] | document | {"legs": [
            {"symbol": leg["symbol"], "side": leg["side"], "ratio_qty": leg["ratio_qty"]}
            for leg in self.orders[old]["legs"] or ()
        ]}, replaces=old)  # fmt: skip
        self.orders[old] |= {"status": "replaced", "replaced_by": made["id"]}
        return _done(Accepted(200, msgspec.json.encode(made)))

    def delete(self, path: str, params: Any = ()) -> Any:
        self.deleted.append(path.rpartition("/")[2])
        return _done(Accepted(204, b""))

    def order(self, body: dict[str, Any], replaces: str | None = None) -> dict[str, Any]:
        """The order of a request, as Alpaca shows it."""
        several = body.get("order_class") == "mleg"
        made = {
            "id": self.fresh(), "client_order_id": body["client_order_id"], "status": "new", "replaces": replaces,
            "symbol": "" if several else body["symbol"], "side": "" if several else body["side"],
            "type": body["type"], "order_class": body.get("order_class", ""), "time_in_force": body["time_in_force"],
            "qty": body.get("qty"), "notional": body.get("notional"), "limit_price": body.get("limit_price"),
            "filled_qty": "0", "filled_avg_price": None, "submitted_at": self.now(), "legs": None,
            "asset_class": "" if several else "us_equity",
        }  # fmt: skip
        if several:
            made["legs"] = [
                made | {
                    "id": self.fresh(), "client_order_id": self.fresh(), "symbol": leg["symbol"], "side": leg["side"],
                    "type": "", "limit_price": None, "ratio_qty": leg["ratio_qty"], "legs": None, "replaces": None,
                    "qty": str(int(leg["ratio_qty"]) * int(made["qty"])),
                }
                for leg in body["legs"]
            ]  # fmt: skip
        self.orders[made["id"]] = made
        self.orders |= {leg["id"]: leg for leg in made["legs"] or ()}
        return made

    def now(self) -> str:
        return "2026-01-12T15:00:00.000000001Z"

    def say(self, event: str, order: dict[str, Any], **more: Any) -> None:
        """A trade update."""
        body = {"event": event, "timestamp": self.now(), "order": order} | more
        update = decode_update(msgspec.json.encode(body))
        assert update is not None
        self.rig.client.updates.on_update(update)

    def last(self) -> dict[str, Any]:
        """The newest order that is no leg."""
        return [row for row in self.orders.values() if row["type"]][-1]

    def fill_units(self, order: dict[str, Any], units: int, price: str, legs: list[str], **more: Any) -> None:
        """A multi-leg order fills `units` at a net price, each leg at its own."""
        rows = []
        for leg, leg_price in zip(order["legs"], legs, strict=True):
            qty = int(leg["ratio_qty"]) * units
            filled = int(leg["filled_qty"]) + qty
            leg |= {"filled_qty": str(filled), "filled_avg_price": leg_price}
            rows.append(
                {"execution_id": self.fresh(), "qty": str(qty), "price": leg_price, "order_id": leg["id"],
                 "symbol": leg["symbol"], "timestamp": self.now()}
            )  # fmt: skip
        total = int(order["filled_qty"]) + units
        status = "filled" if total == int(order["qty"]) else "partially_filled"
        order |= {"filled_qty": str(total), "filled_avg_price": price, "status": status}
        for leg in order["legs"]:
            leg["status"] = status
        event = "fill" if status == "filled" else "partial_fill"
        self.say(event, order, qty=str(units), price=price, legs=rows, **more)


def _done(result: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
