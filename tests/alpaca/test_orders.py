"""Request bodies, and what is refused before it is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import StrategyId, TraderId
from nautilus_trader.model.objects import Price

from runner.alpaca.instruments import AlpacaEquity, equity
from runner.alpaca.models import Asset
from runner.alpaca.orders import decimal_text, denial, replace_body, sub_penny, submit_body

WHOLE = equity(Asset(id="1", symbol="IBM"))
FRACTIONAL = equity(Asset(id="1", symbol="IBM", fractionable=True))
HALTED = equity(Asset(id="1", symbol="IBM", status="inactive", tradable=False))


@pytest.fixture
def make() -> OrderFactory:
    return OrderFactory(TraderId("TEST-1"), StrategyId("S-1"), TestClock())


def body(order: Any, qty: str = "10") -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(submit_body(order, "IBM", qty=Decimal(qty), client_order_id="O-1"))
    return made


def test_a_stop_limit_order_has_both_prices_as_text(make: OrderFactory) -> None:
    order = make.stop_limit(
        WHOLE.id,
        OrderSide.SELL,
        WHOLE.make_qty(10),
        Price.from_str("180.50"),
        Price.from_str("181.00"),
        time_in_force=TimeInForce.DAY,
    )
    assert body(order) == {
        "symbol": "IBM",
        "qty": "10",
        "side": "sell",
        "type": "stop_limit",
        "time_in_force": "day",
        "client_order_id": "O-1",
        "limit_price": "180.5",
        "stop_price": "181",
    }


def test_extended_hours_take_limit_orders_only(make: OrderFactory) -> None:
    limit = make.limit(WHOLE.id, OrderSide.BUY, WHOLE.make_qty(1), Price.from_str("180.00"))
    market = make.market(WHOLE.id, OrderSide.BUY, WHOLE.make_qty(1))
    assert denial(limit, WHOLE, {"extended_hours": True}) is None
    assert "extended hours" in (denial(market, WHOLE, {"extended_hours": True}) or "")


def test_an_asset_that_does_not_trade_is_denied(make: OrderFactory) -> None:
    order = make.market(HALTED.id, OrderSide.BUY, HALTED.make_qty(1))
    assert (denial(order, HALTED) or "").startswith("NOT_TRADABLE")


def test_a_bracket_is_denied(make: OrderFactory) -> None:
    bracket = make.bracket(
        WHOLE.id,
        OrderSide.BUY,
        WHOLE.make_qty(1),
        tp_price=Price.from_str("190.00"),
        sl_trigger_price=Price.from_str("170.00"),
    )
    assert (denial(bracket.orders[0], WHOLE) or "").startswith("UNSUPPORTED_INSTRUCTION")


@pytest.mark.parametrize(
    ("price", "fine"),
    [("180.05", True), ("180.050", True), ("180.055", False), ("1.001", False), ("0.9999", True), ("0.99999", False)],
)
def test_sub_penny_prices_are_denied_as_alpaca_would(price: str, fine: bool) -> None:
    assert (sub_penny("price", Decimal(price)) is None) == fine


def test_a_replacement_names_only_what_changes() -> None:
    made = msgspec.json.decode(replace_body(client_order_id="O-1-r1", limit_price=Decimal("171.00")))
    assert made == {"client_order_id": "O-1-r1", "limit_price": "171"}


@given(st.decimals("0", "1000000", places=9))
def test_decimal_text_is_exact_and_plain(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()


def test_fractionable_assets_are_alpaca_equities_and_others_are_plain() -> None:
    assert type(FRACTIONAL) is AlpacaEquity
    assert FRACTIONAL.size_precision == 9
    assert (type(WHOLE).__name__, WHOLE.size_precision) == ("Equity", 0)
    assert AlpacaEquity.to_dict(AlpacaEquity.from_dict(AlpacaEquity.to_dict(FRACTIONAL))) == AlpacaEquity.to_dict(
        FRACTIONAL
    )


@pytest.mark.parametrize(("last", "increment"), [("0.5", "0.0001"), ("1", "0.01"), ("180", "0.01"), (None, "0.01")])
def test_the_price_increment_follows_the_price(last: str | None, increment: str) -> None:
    made = equity(Asset(id="1", symbol="F"), last_price=None if last is None else Decimal(last))
    assert str(made.price_increment) == increment


def test_an_asset_without_margin_needs_all_its_cash() -> None:
    made = equity(Asset(id="1", symbol="F", marginable=False, margin_requirement_long=Decimal(30)))
    assert (made.margin_init, made.margin_maint) == (Decimal(1), Decimal(1))
