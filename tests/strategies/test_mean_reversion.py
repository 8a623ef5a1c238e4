"""Mean reversion, on a quiet price that jumps and comes back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId

from strategies.mean_reversion import MeanReversion, MeanReversionConfig

IBM = InstrumentId.from_str("IBM.ALPACA")
BAR_TYPE = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
QUIET = ["100.00", "100.10", "99.90", "100.05", "99.95"] * 3


def strategy(**params: Any) -> MeanReversion:
    return MeanReversion(
        MeanReversionConfig(
            **{
                "instrument_id": IBM,
                "bar_type": BAR_TYPE,
                "trade_size": Decimal(10),
                "window": 10,
                **params,
            }
        )
    )


def sides(engine: Any) -> list[tuple[Any, Decimal]]:
    orders = sorted(engine.cache.orders(), key=lambda order: order.ts_init)
    return [(order.side, order.quantity.as_decimal()) for order in orders]


def test_a_fall_is_bought_and_the_way_back_sold(backtest, bars_of):
    engine = backtest(strategy(), bars_of([*QUIET, "98.00", "99.99", "100.00"]))
    assert sides(engine) == [(OrderSide.BUY, Decimal(10)), (OrderSide.SELL, Decimal(10))]
    assert all(order.time_in_force == TimeInForce.DAY for order in engine.cache.orders())
    assert engine.portfolio.net_position(IBM) == 0


def test_a_rise_is_sold_short_and_bought_back(backtest, bars_of):
    engine = backtest(strategy(), bars_of([*QUIET, "102.00", "100.00", "100.00"]))
    assert sides(engine) == [(OrderSide.SELL, Decimal(10)), (OrderSide.BUY, Decimal(10))]


def test_without_short_selling_a_rise_is_left_alone(backtest, bars_of):
    engine = backtest(strategy(allow_short=False), bars_of([*QUIET, "102.00", "100.00"]))
    assert engine.cache.orders() == []


def test_a_position_is_kept_while_the_price_is_away_from_its_mean(backtest, bars_of):
    engine = backtest(strategy(), bars_of([*QUIET, "98.00", "98.60"]))
    assert sides(engine) == [(OrderSide.BUY, Decimal(10))]


def test_equal_prices_have_no_score(backtest, bars_of):
    ours = strategy()
    backtest(ours, bars_of(["100.00"] * 30))
    assert ours.z_score() is None


def test_the_score_is_exact(backtest, bars_of):
    ours = strategy(window=2)
    backtest(ours, bars_of(["100.00", "102.00"]))
    assert ours.z_score() == Decimal(1)


def test_outside_the_core_session_nothing_is_ordered(backtest, bars_of):
    bars = bars_of([*QUIET, "98.00", "100.00"], start="2013-10-07 16:30")
    assert backtest(strategy(), bars).cache.orders() == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"entry_z": "0.5", "exit_z": "0.5"}, "exit_z .0.5. must be at least 0 and less than entry_z"),
        ({"trade_size": "-1"}, "trade_size must be above zero"),
        ({"window": 1}, ">= 2"),
        ({"bar_type": "BAC.ALPACA-1-MINUTE-LAST-EXTERNAL"}, "is not one of instrument_id IBM.ALPACA"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_when_the_config_is_made(params, message):
    raw = {"instrument_id": "IBM.ALPACA", "bar_type": str(BAR_TYPE), "trade_size": "10", **params}
    with pytest.raises(msgspec.ValidationError, match=message):
        MeanReversionConfig.parse(msgspec.json.encode(raw))
