"""A breakout bought with a bracket, on prices that leave their range."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId

from strategies.bracket_breakout import BracketBreakout, BracketBreakoutConfig

IBM = InstrumentId.from_str("IBM.ALPACA")
BAR_TYPE = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
QUIET = ["100.00", "100.10", "99.90", "100.05", "99.95"] * 2
FILLED, CANCELED = OrderStatus.FILLED, OrderStatus.CANCELED


def config(**params: Any) -> dict[str, Any]:
    return {
        "instrument_id": IBM, "bar_type": BAR_TYPE, "trade_size": Decimal(10), "window": 10,
        "take_profit_pct": Decimal(1), "stop_loss_pct": Decimal("0.5"), "core_session_only": False, **params,
    }  # fmt: skip


def orders_of(engine: Any) -> list[Any]:
    return sorted(engine.cache.orders(), key=lambda order: order.client_order_id.value)


def test_a_close_above_the_window_is_bought_with_both_exits(backtest, bars_of):
    engine = backtest(BracketBreakout(BracketBreakoutConfig(**config())), bars_of([*QUIET, "100.50", "100.60"]))
    entry, stop, profit = orders_of(engine)
    assert entry.status == FILLED
    assert (stop.trigger_price.as_decimal(), profit.price.as_decimal()) == (Decimal("100.00"), Decimal("101.50"))
    assert {order.time_in_force for order in (entry, stop, profit)} == {TimeInForce.DAY}
    assert not profit.is_post_only


def test_the_take_profit_ends_the_trade_and_another_may_begin(backtest, bars_of):
    engine = backtest(
        BracketBreakout(BracketBreakoutConfig(**config())), bars_of([*QUIET, "100.50", "102.00", "102.50"])
    )
    entry, stop, profit = orders_of(engine)[:3]
    assert (entry.status, profit.status, stop.status) == (FILLED, FILLED, CANCELED)


def test_within_the_window_nothing_is_bought(backtest, bars_of):
    engine = backtest(BracketBreakout(BracketBreakoutConfig(**config())), bars_of([*QUIET, "100.05", "99.00"]))
    assert engine.cache.orders() == []


@pytest.mark.parametrize(
    "wrong", [{"trade_size": Decimal("0.5")}, {"stop_loss_pct": Decimal(0)}, {"take_profit_pct": Decimal(-1)}]
)
def test_settings_that_make_no_bracket_are_refused(wrong):
    with pytest.raises((ValueError, msgspec.ValidationError)):
        BracketBreakoutConfig(**config(**wrong))
