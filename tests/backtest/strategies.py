"""Strategies that files in these tests name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import ContingencyType, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.orders import LimitOrder, OrderList
from nautilus_trader.trading.strategy import Strategy, StrategyConfig


class StepsConfig(StrategyConfig, frozen=True):
    """`steps`: what to do at each bar, such as `buy 10`, `sell 10`, `bid 5 99.00`, `twap 10`, `oto 10 20 95.00`
    (an entry of 10 with an exit of 20), `raise`, or nothing.
    """

    instrument_id: InstrumentId
    bar_type: BarType
    steps: str = ""
    warm_up: bool = False
    timer: bool = False
    extended: bool = False


class Steps(Strategy):
    """Does one step a bar."""

    def __init__(self, config: StepsConfig) -> None:
        super().__init__(config)
        self.todo = [step.strip() for step in config.steps.split(",")]
        self.seen: list[Any] = []
        self.asked: list[Any] = []
        self.stops = 0

    def on_start(self) -> None:
        if self.config.warm_up:
            self.request_bars(self.config.bar_type, start=self.clock.utc_now() - timedelta(days=2))
        if self.config.timer:
            self.clock.set_timer("bad", timedelta(minutes=5), callback=self.on_time)
        self.subscribe_bars(self.config.bar_type)
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_time(self, _event: Any) -> None:
        raise ValueError("a timer that fails")

    def on_historical_data(self, data: Any) -> None:
        self.asked.append((self.clock.timestamp_ns(), data.ts_init))

    def on_trade_tick(self, tick: Any) -> None:
        self.seen.append(tick)

    def on_bar(self, _bar: Any) -> None:
        step = self.todo.pop(0) if self.todo else ""
        if step == "raise":
            raise ValueError("a handler that fails")
        if step == "cancel":
            for order in self.cache.orders(strategy_id=self.id):
                self.cancel_order(order)
        if not step or step == "cancel":
            return
        what, qty, *price = step.split()
        instrument = self.cache.instrument(self.config.instrument_id)
        side = OrderSide.SELL if what in ("sell", "ask") else OrderSide.BUY
        size = instrument.make_qty(int(qty))
        if what == "oto":
            self.enter(size, instrument.make_qty(int(price[0])), instrument.make_price(float(price[1])))
            return
        day = TimeInForce.GTC if isinstance(instrument, CurrencyPair) else TimeInForce.DAY
        if what == "twap":
            order = self.order_factory.market(
                instrument.id,
                side,
                size,
                time_in_force=day,
                exec_algorithm_id=ExecAlgorithmId("TWAP"),
                exec_algorithm_params={"horizon_secs": 120, "interval_secs": 60},
            )
        elif price:
            order = self.order_factory.limit(
                instrument.id, side, size, instrument.make_price(float(price[0])), time_in_force=day
            )
        else:
            order = self.order_factory.market(instrument.id, side, size, time_in_force=day)
        self.submit_order(order, params={"extended_hours": True} if self.config.extended else None)

    def enter(self, size: Any, exit_size: Any, price: Any) -> None:
        """An entry at a limit with one exit at the same price."""
        factory, ids = self.order_factory, (self.trader_id, self.id, self.config.instrument_id)
        entry_id, exit_id = factory.generate_client_order_id(), factory.generate_client_order_id()
        more = {"order_list_id": factory.generate_order_list_id(), "time_in_force": TimeInForce.DAY}
        now = self.clock.timestamp_ns()
        entry = LimitOrder(
            *ids, entry_id, OrderSide.BUY, size, price, UUID4(), now,
            contingency_type=ContingencyType.OTO, linked_order_ids=[exit_id], **more,
        )  # fmt: skip
        exit_ = LimitOrder(
            *ids, exit_id, OrderSide.SELL, exit_size, price, UUID4(), now, parent_order_id=entry_id, **more
        )
        self.submit_order_list(OrderList(more["order_list_id"], [entry, exit_]))

    def on_stop(self) -> None:
        self.stops += 1


class CountConfig(ActorConfig, frozen=True):
    bar_type: BarType
    fails_at: int = 0


class Count(Actor):
    """Counts bars."""

    def __init__(self, config: CountConfig) -> None:
        super().__init__(config)
        self.bars = 0

    def on_start(self) -> None:
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, _bar: Any) -> None:
        self.bars += 1
        if self.bars == self.config.fails_at:
            raise ValueError("an actor that fails")
