"""The strategies that a bench names in its file: one counts quotes, one answers each with an order."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class CounterConfig(StrategyConfig, frozen=True):
    """After each `wanted` quotes the time since the first of them is written to `report`, a named pipe."""

    instrument_id: InstrumentId
    wanted: int
    report: str


class Counter(Strategy):
    """Counts quotes and says how long they took."""

    def __init__(self, config: CounterConfig) -> None:
        super().__init__(config)
        self.seen = 0
        self.began = 0.0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: Any) -> None:
        self.seen += 1
        if self.seen == 1:
            self.began = time.perf_counter()
        elif self.seen == self.config.wanted:
            took = time.perf_counter() - self.began
            self.seen = 0
            # What a strategy prints is a log line in this node, so the figure goes another way.
            Path(self.config.report).write_text(json.dumps({"seconds": took}) + "\n")


class ReactorConfig(StrategyConfig, frozen=True):
    """`trade_size`: shares of each order."""

    instrument_id: InstrumentId
    trade_size: Decimal = Decimal(1)


class Reactor(Strategy):
    """Sends a market order for each quote."""

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.size = self.instrument.make_qty(self.config.trade_size)
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: Any) -> None:
        self.submit_order(
            self.order_factory.market(
                self.config.instrument_id, OrderSide.BUY, self.size, time_in_force=TimeInForce.DAY
            )
        )
