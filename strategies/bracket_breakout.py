"""Buy a breakout, and leave by a take profit or a stop loss that stand at the broker from the start.

A close above the highest high of the last `window` bars is bought with a bracket: entry, take profit and stop loss are
one order at Alpaca, so that the exits work even while this node does not. A strategy to read and to change.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from msgspec import Meta
from nautilus_trader.common.config import NonNegativeInt
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.core_session import in_core_session

HUNDRED = Decimal(100)


class BracketBreakoutConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # Nautilus has no stubs
    """What the file's `params:` may say.

    Parameters
    ----------
    instrument_id : InstrumentId
        What to trade, such as `IBM.ALPACA`.
    bar_type : BarType
        The bars whose highs are broken, such as `IBM.ALPACA-1-MINUTE-LAST-EXTERNAL`.
    trade_size : Decimal
        How many shares to buy: whole ones, as Alpaca takes no brackets of fractions.
    window : int
        How many bars the highest high is taken over.
    take_profit_pct : Decimal
        How far above the close the take profit stands, in per cent.
    stop_loss_pct : Decimal
        How far below the close the stop loss stands, in per cent.
    core_session_only : bool
        Whether to buy only within New York's core session, told by the bars' own time stamps.
    warmup_days : int
        How far back to ask for bars that fill the window; 0 asks for none.

    """

    instrument_id: InstrumentId
    bar_type: BarType
    trade_size: Decimal
    window: Annotated[int, Meta(ge=2)] = 20
    take_profit_pct: Decimal = Decimal("0.4")
    stop_loss_pct: Decimal = Decimal("0.2")
    core_session_only: bool = True
    warmup_days: NonNegativeInt = 4

    def __post_init__(self) -> None:
        if not 0 < self.stop_loss_pct < 100 or self.take_profit_pct <= 0:
            raise ValueError("take_profit_pct must be above 0, stop_loss_pct between 0 and 100")
        if self.trade_size <= 0 or self.trade_size != self.trade_size.to_integral_value():
            raise ValueError(f"trade_size must be a whole number above zero, was {self.trade_size}")
        if self.bar_type.instrument_id != self.instrument_id:
            raise ValueError(f"bar_type {self.bar_type} is not one of instrument_id {self.instrument_id}")


class BracketBreakout(Strategy):
    """Holds one bracket at a time. Stopping leaves orders and positions to the file's `on_stop:`."""

    def __init__(self, config: BracketBreakoutConfig) -> None:
        super().__init__(config)
        self._highs: deque[Decimal] = deque(maxlen=config.window)
        self._last_bar_ts = 0

    def on_start(self) -> None:
        if self.cache.instrument(self.config.instrument_id) is None:
            self.log.error(f"{self.config.instrument_id} is not known to the venue: nothing to trade")
            self.stop()
            return
        if self.config.warmup_days:
            start = self.clock.utc_now() - timedelta(days=self.config.warmup_days)
            self.request_bars(self.config.bar_type, start=start)
        self.subscribe_bars(self.config.bar_type)

    def on_historical_data(self, data: object) -> None:
        if isinstance(data, Bar) and data.bar_type == self.config.bar_type:
            self._breaks_out(data)

    def on_bar(self, bar: Bar) -> None:
        if not self._breaks_out(bar):
            return
        if self.config.core_session_only and not in_core_session(bar.ts_event):
            return
        if not self._is_busy():
            self._buy(bar.close.as_decimal())

    def on_stop(self) -> None:
        self.unsubscribe_bars(self.config.bar_type)

    def on_reset(self) -> None:
        self._highs.clear()
        self._last_bar_ts = 0

    def _breaks_out(self, bar: Bar) -> bool:
        """Whether the bar closes above all of the window; it is remembered."""
        # A live bar can overtake the history that was asked for: what is older than the last bar is left out.
        if bar.ts_event <= self._last_bar_ts:
            return False
        self._last_bar_ts = bar.ts_event
        full = len(self._highs) == self.config.window
        broken = full and bool(bar.close.as_decimal() > max(self._highs))
        self._highs.append(bar.high.as_decimal())
        return broken

    def _is_busy(self) -> bool:
        instrument_id = self.config.instrument_id
        return bool(
            self.portfolio.net_position(instrument_id)
            or self.cache.orders_open(instrument_id=instrument_id, strategy_id=self.id)
            or self.cache.orders_inflight(instrument_id=instrument_id, strategy_id=self.id)
        )

    def _buy(self, close: Decimal) -> None:
        instrument = self.cache.instrument(self.config.instrument_id)
        bracket = self.order_factory.bracket(
            instrument_id=self.config.instrument_id,
            order_side=OrderSide.BUY,
            quantity=instrument.make_qty(self.config.trade_size),
            # One time in force for all three, as Alpaca has it.
            time_in_force=TimeInForce.DAY,
            tp_time_in_force=TimeInForce.DAY,
            sl_time_in_force=TimeInForce.DAY,
            tp_price=instrument.make_price(close * (1 + self.config.take_profit_pct / HUNDRED)),
            tp_post_only=False,
            sl_trigger_price=instrument.make_price(close * (1 - self.config.stop_loss_pct / HUNDRED)),
        )
        self.submit_order_list(bracket)
