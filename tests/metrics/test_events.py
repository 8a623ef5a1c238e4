"""Order events of a real (simulated) run, counted and timed; and the sampler on the same run."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import AccountId, InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from runner.metrics.registry import Metrics
from runner.metrics.sampler import Sampler
from runner.risk.gate import RiskGate
from runner.risk.halves import HALF
from runner.risk.limits import Limits, LimitsBook

IBM = InstrumentId(Symbol("IBM"), Venue("ALPACA"))
SECOND = 1_000_000_000
WHO = {"strategy": "ema_ibm", "account": "main"}


class Three(Strategy):  # type: ignore[misc]
    """One order that fills, one that rests and is canceled, one that is denied, one modification that is denied."""

    def on_start(self) -> None:
        self.subscribe_quote_ticks(IBM)
        self.step = 0

    def on_quote_tick(self, tick: Any) -> None:
        self.step += 1
        if self.step == 1:
            price = Price.from_str("100.00")
            self.submit_order(self.order_factory.limit(IBM, OrderSide.BUY, Quantity.from_int(10), price))
            self.submit_order(self.order_factory.market(IBM, OrderSide.BUY, Quantity.from_int(1_000)))
            self.resting = self.order_factory.limit(IBM, OrderSide.BUY, Quantity.from_int(5), Price.from_str("90.00"))
            self.submit_order(self.resting)
        elif self.step == 2:
            self.modify_order(self.resting, Quantity.from_int(1_000))
        elif self.step == 3:
            self.cancel_order(self.resting)


@pytest.fixture
def ran() -> Iterator[tuple[Metrics, Any, RiskGate, Any]]:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue("ALPACA"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(100_000, USD)],
        latency_model=LatencyModel(base_latency_nanos=SECOND // 2),
    )
    engine.add_instrument(
        Equity(
            instrument_id=IBM,
            raw_symbol=IBM.symbol,
            currency=USD,
            price_precision=2,
            price_increment=Price.from_str("0.01"),
            lot_size=Quantity.from_int(1),
            ts_event=0,
            ts_init=0,
        )
    )
    size, price = Quantity.from_int(100), Price.from_str("100.00")
    engine.add_data([QuoteTick(IBM, price, price, size, size, n * SECOND, n * SECOND) for n in range(1, 8)])
    strategy = Three(StrategyConfig(order_id_tag="ema_ibm"))
    engine.add_strategy(strategy)
    kernel = engine.kernel
    limits = LimitsBook(top=Limits(max_order_qty=Decimal(100)))
    gate = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=limits)
    gate.install(kernel.exec_engine)
    metrics = Metrics({"ema_ibm": "main"})
    metrics.events.attach(kernel.cache, accounts={"ALPACA-001": "main"}, homes={"ema_ibm": "main"})
    kernel.msgbus.subscribe("events.order.*", metrics.on_order_event)
    engine.run()
    yield metrics, kernel, gate, strategy
    engine.dispose()


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_orders_are_counted_by_the_states_they_came_to(ran):
    metrics, *_ = ran
    states = {"submitted": 2, "accepted": 2, "filled": 1, "canceled": 1, "rejected": 0, "denied": 1, "expired": 0}
    counted = {state: value(metrics, "runner_orders_total", **WHO, state=state) for state in states}
    assert counted == states
    assert value(metrics, "runner_fills_total", **WHO) == 1


def test_a_half_of_positions_that_are_set_off_is_no_fill(ran):
    metrics, kernel, _, _ = ran
    fill = next(order.last_event for order in kernel.cache.orders_closed() if order.filled_qty)
    metrics.on_order_event(type(fill).from_dict(type(fill).to_dict(fill) | {"info": {HALF: 1}}))
    assert value(metrics, "runner_fills_total", **WHO) == 1
    metrics.on_order_event(fill)
    assert value(metrics, "runner_fills_total", **WHO) == 2


def test_denials_are_counted_by_code_modifications_included(ran):
    metrics, _, gate, _ = ran
    assert value(metrics, "runner_denials_total", code="MAX_ORDER_QTY", **WHO) == 2
    assert gate.denied == {"MAX_ORDER_QTY": 2}


def test_the_three_steps_are_timed(ran):
    metrics, *_ = ran
    name = "runner_order_latency_seconds"
    assert value(metrics, f"{name}_count", step="tick_to_decision") == 3
    assert value(metrics, f"{name}_sum", step="tick_to_decision") == 0
    # The venue takes half a second for each.
    assert value(metrics, f"{name}_count", step="decision_to_ack") == 2
    assert value(metrics, f"{name}_sum", step="decision_to_ack") >= 1.0
    assert value(metrics, f"{name}_count", step="ack_to_fill") == 1


def test_the_sampler_tells_what_accounts_and_positions_are_worth(ran):
    metrics, kernel, gate, strategy = ran
    gate.set_state("reducing", why="a test")
    sampler = Sampler(
        metrics,
        cache=kernel.cache,
        portfolio=kernel.portfolio,
        accounts={"main": AccountId("ALPACA-001")},
        strategies={"ema_ibm": (strategy.id, "main")},
        gate=gate,
        ready=lambda: (True, ""),
    )
    sampler.sample()
    assert value(metrics, "runner_sample_errors_total") == 0
    where = {"account": "main", "instrument": "IBM.ALPACA"}
    assert value(metrics, "runner_position_quantity", **where) == 10
    assert value(metrics, "runner_position_market_value_usd", **where) == 1_000
    assert value(metrics, "runner_account_cash_usd", account="main") == 100_000
    assert value(metrics, "runner_orders_working", **WHO) == 0
    assert value(metrics, "runner_risk_state", scope="node", name="", state="reducing") == 1
    assert value(metrics, "runner_risk_state", scope="node", name="", state="active") == 0
    assert value(metrics, "runner_ready") == 1


def test_what_can_not_be_sampled_is_counted_and_raises_nothing(ran):
    metrics, kernel, *_ = ran
    Sampler(
        metrics, cache=None, portfolio=kernel.portfolio, accounts={"main": AccountId("ALPACA-001")}, strategies={}
    ).sample()
    assert value(metrics, "runner_sample_errors_total") == 1


async def test_the_sampler_tells_how_late_the_loop_is(ran):
    import asyncio

    metrics, kernel, *_ = ran
    sampled = asyncio.Event()

    class Told(Sampler):
        def sample(self) -> None:
            sampled.set()

    task = asyncio.create_task(
        Told(metrics, cache=kernel.cache, portfolio=kernel.portfolio, accounts={}, strategies={}).run(0.001)
    )
    await asyncio.wait_for(sampled.wait(), 10)
    task.cancel()
    assert (value(metrics, "runner_loop_lag_seconds") or 0) >= 0
