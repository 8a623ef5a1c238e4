"""The EMA cross, on bars whose trend is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId

from strategies.ema_cross import EMACross, EMACrossConfig

IBM = InstrumentId.from_str("IBM.ALPACA")
BAR_TYPE = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
UP = [f"{100 + n}.00" for n in range(30)]
UP_AND_DOWN = [*UP, *(f"{130 - n}.00" for n in range(30))]


def strategy(**params: Any) -> EMACross:
    return EMACross(
        EMACrossConfig(
            **{
                "instrument_id": IBM,
                "bar_type": BAR_TYPE,
                "trade_size": Decimal(10),
                "fast_period": 3,
                "slow_period": 6,
                **params,
            }
        )
    )


def test_the_position_follows_the_trend_and_reverses_with_it(backtest, bars_of):
    engine = backtest(strategy(), bars_of(UP_AND_DOWN))
    orders = sorted(engine.cache.orders(), key=lambda order: order.ts_init)
    assert [(order.side, order.quantity.as_decimal()) for order in orders] == [
        (OrderSide.BUY, Decimal(10)),
        (OrderSide.SELL, Decimal(20)),
    ]
    assert all(order.is_closed and order.filled_qty == order.quantity for order in orders)
    assert engine.portfolio.net_position(IBM) == Decimal(-10)


def test_orders_are_market_orders_for_the_day(backtest, bars_of):
    engine = backtest(strategy(), bars_of(UP))
    (order,) = engine.cache.orders()
    assert order.order_type == OrderType.MARKET
    assert order.time_in_force == TimeInForce.DAY


def test_without_short_selling_a_falling_trend_ends_flat(backtest, bars_of):
    engine = backtest(strategy(allow_short=False), bars_of(UP_AND_DOWN))
    assert len(engine.cache.orders()) == 2
    assert engine.portfolio.net_position(IBM) == 0


def test_nothing_is_ordered_before_the_slow_average_is_warm(backtest, bars_of):
    engine = backtest(strategy(), bars_of(UP[:5]))
    assert engine.cache.orders() == []


def test_outside_the_core_session_nothing_is_ordered_unless_told(backtest, bars_of):
    early = bars_of(UP, start="2013-10-07 08:00")
    assert backtest(strategy(), early).cache.orders() == []
    assert len(backtest(strategy(core_session_only=False), early).cache.orders()) == 1


def test_bars_before_the_open_warm_the_averages_up_for_the_first_bar_after_it(backtest, bars_of):
    engine = backtest(strategy(), bars_of(UP, start="2013-10-07 09:10"))
    (order,) = engine.cache.orders()
    assert order.ts_init == bars_of(["1.00"], start="2013-10-07 09:30")[0].ts_event


def test_history_that_a_live_bar_overtook_is_left_out(backtest, bars_of):
    bars = bars_of(UP)
    ours = strategy()
    ours.on_historical_data(bars[3])
    count = ours.fast.count
    for late in bars[:4]:
        ours.on_historical_data(late)
    assert ours.fast.count == count == 1


def test_stopping_keeps_the_position_and_gives_the_subscription_back(backtest, bars_of):
    engine = backtest(strategy(), bars_of(UP))
    assert engine.portfolio.net_position(IBM) == Decimal(10)
    assert not engine.kernel.msgbus.has_subscribers(f"data.bars.{BAR_TYPE}")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fast_period": 20, "slow_period": 10}, "fast_period .20. must be less than slow_period .10."),
        ({"trade_size": "0"}, "trade_size must be above zero"),
        ({"bar_type": "BAC.ALPACA-1-MINUTE-LAST-EXTERNAL"}, "is not one of instrument_id IBM.ALPACA"),
        ({"fast_period": 0}, ">= 1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_when_the_config_is_made(params, message):
    raw = {"instrument_id": "IBM.ALPACA", "bar_type": str(BAR_TYPE), "trade_size": "10", **params}
    with pytest.raises(msgspec.ValidationError, match=message):
        EMACrossConfig.parse(msgspec.json.encode(raw))


def test_the_config_is_made_from_plain_texts():
    raw = {"instrument_id": "IBM.ALPACA", "bar_type": str(BAR_TYPE), "trade_size": "2.5"}
    config = EMACrossConfig.parse(msgspec.json.encode(raw))
    assert isinstance(config, StrategyConfig)
    assert config.trade_size == Decimal("2.5")
    assert config.fast_period == 10
    assert config.slow_period == 20
