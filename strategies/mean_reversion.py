"""Lean against the move: buy what has fallen far below its recent mean, sell what has risen far above it.

How far is told in standard deviations of the last `window` closes (a z-score). A strategy to read and to change.
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


class MeanReversionConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # Nautilus has no stubs
    """What the file's `params:` may say.

    Parameters
    ----------
    instrument_id : InstrumentId
        What to trade, such as `BAC.ALPACA`.
    bar_type : BarType
        The bars whose closes are measured, such as `BAC.ALPACA-1-MINUTE-LAST-EXTERNAL`.
    trade_size : Decimal
        The position to take, in shares (or the instrument's own unit).
    window : int
        How many closes the mean and the standard deviation are taken over.
    entry_z : Decimal
        How many standard deviations from the mean open a position.
    exit_z : Decimal
        How near to the mean, in standard deviations, the position is closed.
    allow_short : bool
        Whether to sell short what has risen too far; otherwise only falls are bought.
    core_session_only : bool
        Whether to order only within New York's core session, told by the bars' own time stamps.
    warmup_days : int
        How far back to ask for bars that fill the window; 0 asks for none.

    """

    instrument_id: InstrumentId
    bar_type: BarType
    trade_size: Decimal
    window: Annotated[int, Meta(ge=2)] = 20
    entry_z: Decimal = Decimal("2.0")
    exit_z: Decimal = Decimal("0.5")
    allow_short: bool = True
    core_session_only: bool = True
    warmup_days: NonNegativeInt = 4

    def __post_init__(self) -> None:
        if not 0 <= self.exit_z < self.entry_z:
            raise ValueError(f"exit_z ({self.exit_z}) must be at least 0 and less than entry_z ({self.entry_z})")
        if self.trade_size <= 0:
            raise ValueError(f"trade_size must be above zero, was {self.trade_size}")
        if self.bar_type.instrument_id != self.instrument_id:
            raise ValueError(f"bar_type {self.bar_type} is not one of instrument_id {self.instrument_id}")


class MeanReversion(Strategy):
    """Opens when the close is `entry_z` from its mean and closes within `exit_z`, by market orders for the day.

    Stopping leaves orders and positions to the file's `on_stop:`; nothing is flattened here.
    """

    def __init__(self, config: MeanReversionConfig) -> None:
        super().__init__(config)
        self._closes: deque[Decimal] = deque(maxlen=config.window)
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
            self._remember(data)

    def on_bar(self, bar: Bar) -> None:
        if not self._remember(bar):
            return
        if self.config.core_session_only and not in_core_session(bar.ts_event):
            return
        z = self.z_score()
        if z is None:
            return
        position = self.portfolio.net_position(self.config.instrument_id)
        if z <= -self.config.entry_z:
            self._hold(self.config.trade_size)
        elif z >= self.config.entry_z:
            self._hold(-self.config.trade_size if self.config.allow_short else Decimal(0))
        elif (position > 0 and z >= -self.config.exit_z) or (position < 0 and z <= self.config.exit_z):
            self._hold(Decimal(0))

    def on_stop(self) -> None:
        self.unsubscribe_bars(self.config.bar_type)

    def on_reset(self) -> None:
        self._closes.clear()
        self._last_bar_ts = 0

    def z_score(self) -> Decimal | None:
        """How many standard deviations the last close is from the window's mean.

        None until the window is full, and while all closes in it are equal.
        """
        if len(self._closes) < self.config.window:
            return None
        mean = sum(self._closes, Decimal(0)) / len(self._closes)
        variance = sum(((close - mean) ** 2 for close in self._closes), Decimal(0)) / len(self._closes)
        return (self._closes[-1] - mean) / variance.sqrt() if variance else None

    def _remember(self, bar: Bar) -> bool:
        # A live bar can overtake the history that was asked for: what is older than the last bar is left out.
        if bar.ts_event <= self._last_bar_ts:
            return False
        self._last_bar_ts = bar.ts_event
        self._closes.append(bar.close.as_decimal())
        return True

    def _hold(self, target: Decimal) -> None:
        """Send the one order that takes the position to `target`; while an order is under way, do nothing."""
        instrument_id = self.config.instrument_id
        if self.cache.orders_open(instrument_id=instrument_id, strategy_id=self.id) or (
            self.cache.orders_inflight(instrument_id=instrument_id, strategy_id=self.id)
        ):
            return
        change = target - self.portfolio.net_position(instrument_id)
        if change == 0:
            return
        order = self.order_factory.market(
            instrument_id=instrument_id,
            order_side=OrderSide.BUY if change > 0 else OrderSide.SELL,
            quantity=self.cache.instrument(instrument_id).make_qty(abs(change)),
            time_in_force=TimeInForce.DAY,
        )
        self.submit_order(order)
