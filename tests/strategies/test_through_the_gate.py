"""Strategies, ours and Nautilus's own, with the risk gate in its seat."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.backtest.node import BacktestNode
from nautilus_trader.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
    ImportableStrategyConfig,
    LoggingConfig,
)
from nautilus_trader.examples.strategies import ema_cross as theirs
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook
from strategies.ema_cross import EMACross, EMACrossConfig

IBM = InstrumentId.from_str("IBM.ALPACA")
BAR_TYPE = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
UP_AND_DOWN = [f"{100 + n}.00" for n in range(30)] + [f"{130 - n}.00" for n in range(30)]


def gate_on(engine: Any, limits: Limits) -> RiskGate:
    kernel = engine.kernel
    gate = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(top=limits))
    gate.install(kernel.exec_engine)
    return gate


def wavy(bars: list[Any]) -> list[Any]:
    """The bars with a range: Nautilus's own strategy trades on no bar of a single price."""
    instrument_tick = Decimal("0.05")
    return [
        Bar(
            bar.bar_type,
            bar.open,
            type(bar.high)(bar.high.as_decimal() + instrument_tick, 2),
            type(bar.low)(bar.low.as_decimal() - instrument_tick, 2),
            bar.close,
            bar.volume,
            bar.ts_event,
            bar.ts_init,
        )
        for bar in bars
    ]


def their_ema_cross(qty: int) -> Any:
    return theirs.EMACross(
        theirs.EMACrossConfig(
            instrument_id=IBM,
            bar_type=BAR_TYPE,
            trade_size=Decimal(qty),
            fast_ema_period=3,
            slow_ema_period=6,
            subscribe_trade_ticks=False,
            close_positions_on_stop=False,
        )
    )


def test_nautiluss_own_ema_cross_closes_and_reverses_in_one_handler_through_the_gate(backtest, bars_of):
    gates: list[RiskGate] = []
    engine = backtest(
        their_ema_cross(10),
        wavy(bars_of(UP_AND_DOWN)),
        before_run=lambda e: gates.append(gate_on(e, Limits(max_position_notional=Decimal(1_500)))),
    )
    orders = engine.cache.orders()
    assert len(orders) == 3  # in, out and short
    assert {order.status for order in orders} == {OrderStatus.FILLED}
    assert engine.portfolio.net_position(IBM) == -10
    assert gates[0].denied == {}


def test_over_the_limit_nautiluss_own_strategy_is_denied_on_a_margin_account(backtest, bars_of):
    gates: list[RiskGate] = []
    engine = backtest(
        their_ema_cross(10),
        wavy(bars_of(UP_AND_DOWN)),
        before_run=lambda e: gates.append(gate_on(e, Limits(max_order_notional=Decimal(500)))),
    )
    assert engine.cache.positions() == []
    assert {order.status for order in engine.cache.orders()} == {OrderStatus.DENIED}
    assert gates[0].denied.total() == len(engine.cache.orders()) > 0


def test_our_ema_cross_goes_on_after_a_denial(backtest, bars_of):
    gates: list[RiskGate] = []
    config = EMACrossConfig(instrument_id=IBM, bar_type=BAR_TYPE, trade_size=Decimal(10), fast_period=3, slow_period=6)
    # Ten long pass at 106. The turn comes near 125, where ten short would be over: they pass once it is below 110.
    engine = backtest(
        EMACross(config),
        bars_of(UP_AND_DOWN),
        before_run=lambda e: gates.append(gate_on(e, Limits(max_position_notional=Decimal(1_100)))),
    )
    assert gates[0].denied["MAX_POSITION_NOTIONAL"] > 0
    assert engine.portfolio.net_position(IBM) == -10


@pytest.mark.parametrize(("limit", "trades"), [(Decimal(20), True), (Decimal(9), False)])
def test_in_a_backtest_node_the_gate_holds_the_same_limits(tmp_path: Path, bars_of, instrument, limit, trades):
    catalog = ParquetDataCatalog(str(tmp_path))
    catalog.write_data([instrument])
    catalog.write_data(bars_of(UP_AND_DOWN))
    strategy = ImportableStrategyConfig(
        strategy_path="strategies.ema_cross:EMACross",
        config_path="strategies.ema_cross:EMACrossConfig",
        config={
            "instrument_id": "IBM.ALPACA",
            "bar_type": str(BAR_TYPE),
            "trade_size": "10",
            "fast_period": 3,
            "slow_period": 6,
        },
    )
    run = BacktestRunConfig(
        engine=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), strategies=[strategy]),
        venues=[
            BacktestVenueConfig(
                name="ALPACA",
                oms_type="NETTING",
                account_type="MARGIN",
                base_currency="USD",
                starting_balances=["100000 USD"],
            )
        ],
        data=[
            BacktestDataConfig(
                catalog_path=str(tmp_path),
                data_cls="nautilus_trader.model.data:Bar",
                instrument_id="IBM.ALPACA",
                bar_types=[str(BAR_TYPE)],
            )
        ],
        dispose_on_completion=False,
    )
    node = BacktestNode([run])
    try:
        node.build()
        engine = node.get_engine(run.id)
        gate = gate_on(engine, Limits(max_order_qty=limit))
        node.run()
        assert bool(engine.cache.positions()) is trades
        assert bool(gate.denied) is not trades
        assert gate.passed == (2 if trades else 0)
    finally:
        node.dispose()
