"""A strategy for the soak: in and out of a pair without rest, so that the orders of weeks come in an hour."""

from __future__ import annotations

from decimal import Decimal

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy


class ChurnConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # Nautilus has no stubs
    """What the file's `params:` may say: an order of `size` with a quote, no sooner than `every_ms` after the last."""

    instrument_id: InstrumentId
    size: Decimal
    every_ms: int = 200


class Churn(Strategy):
    """Buys where it holds nothing, else sells what it holds; one order at a time."""

    def __init__(self, config: ChurnConfig) -> None:
        super().__init__(config)
        self.last_ns = 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        instrument_id, now_ns = self.config.instrument_id, self.clock.timestamp_ns()
        working = self.cache.orders_open_count(strategy_id=self.id) + self.cache.orders_inflight_count(
            strategy_id=self.id
        )
        if working or now_ns - self.last_ns < self.config.every_ms * 1_000_000:
            return
        self.last_ns = now_ns
        instrument = self.cache.instrument(instrument_id)
        held = self.portfolio.net_position(instrument_id)
        side, qty = (OrderSide.SELL, held) if held > 0 else (OrderSide.BUY, self.config.size)
        self.submit_order(self.order_factory.market(instrument_id, side, instrument.make_qty(qty)))
