"""Follow the trend: long while the fast average is above the slow one, short (or out) while it is below.

A strategy to read and to change, not one to get rich by.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from nautilus_trader.common.config import NonNegativeInt, PositiveInt
from nautilus_trader.config import StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.trading.strategy import Strategy

from strategies.core_session import in_core_session

#: Of a pair the fee is taken in coins, so that a little less than `trade_size` is held: not worth another order.
WORTH_AN_ORDER = Decimal("0.01")


class EMACrossConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # Nautilus has no stubs
    """What the file's `params:` may say.

    Parameters
    ----------
    instrument_id : InstrumentId
        What to trade, such as `IBM.ALPACA`.
    bar_type : BarType
        The bars to average, such as `IBM.ALPACA-1-MINUTE-LAST-EXTERNAL`.
    trade_size : Decimal
        The position to hold while the trend lasts, in shares (or the instrument's own unit).
    fast_period, slow_period : int
        The averages' lengths in bars. The fast one must be the shorter.
    allow_short : bool
        Whether to sell short while the fast average is below the slow one; otherwise to be out.
    core_session_only : bool
        Whether to order only within New York's core session, told by the bars' own time stamps. Pairs trade always.
    warmup_days : int
        How far back to ask for bars that warm the averages up; 0 asks for none.

    """

    instrument_id: InstrumentId
    bar_type: BarType
    trade_size: Decimal
    fast_period: PositiveInt = 10
    slow_period: PositiveInt = 20
    allow_short: bool = True
    core_session_only: bool = True
    warmup_days: NonNegativeInt = 4

    def __post_init__(self) -> None:
        if self.fast_period >= self.slow_period:
            raise ValueError(f"fast_period ({self.fast_period}) must be less than slow_period ({self.slow_period})")
        if self.trade_size <= 0:
            raise ValueError(f"trade_size must be above zero, was {self.trade_size}")
        if self.bar_type.instrument_id != self.instrument_id:
            raise ValueError(f"bar_type {self.bar_type} is not one of instrument_id {self.instrument_id}")


class EMACross(Strategy):
    """Holds `trade_size` in the direction of the trend, changed by market orders that are good for the day.

    Those for a crypto pair are good till cancelled, as no market order for one is taken for the day.

    Stopping leaves orders and positions to the file's `on_stop:`; nothing is flattened here.
    """

    def __init__(self, config: EMACrossConfig) -> None:
        super().__init__(config)
        self.fast = ExponentialMovingAverage(config.fast_period)
        self.slow = ExponentialMovingAverage(config.slow_period)
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
            self._average(data)

    def on_bar(self, bar: Bar) -> None:
        if not self._average(bar) or not self.slow.initialized:
            return
        if self.config.core_session_only and not in_core_session(bar.ts_event):
            return
        size = self.config.trade_size
        if self.fast.value > self.slow.value:
            self._hold(size)
        elif self.fast.value < self.slow.value:
            self._hold(-size if self.config.allow_short else Decimal(0))

    def on_stop(self) -> None:
        self.unsubscribe_bars(self.config.bar_type)

    def on_reset(self) -> None:
        self.fast.reset()
        self.slow.reset()
        self._last_bar_ts = 0

    def _average(self, bar: Bar) -> bool:
        # A live bar can overtake the history that was asked for: what is older than the last bar is left out.
        if bar.ts_event <= self._last_bar_ts:
            return False
        self._last_bar_ts = bar.ts_event
        self.fast.handle_bar(bar)
        self.slow.handle_bar(bar)
        return True

    def _hold(self, target: Decimal) -> None:
        """Send the one order that takes the position to `target`; while an order is under way, do nothing."""
        instrument_id = self.config.instrument_id
        if self.cache.orders_open(instrument_id=instrument_id, strategy_id=self.id) or (
            self.cache.orders_inflight(instrument_id=instrument_id, strategy_id=self.id)
        ):
            return
        change = target - self.portfolio.net_position(instrument_id)
        if abs(change) < self.config.trade_size * WORTH_AN_ORDER:
            return
        pair = isinstance(self.cache.instrument(instrument_id), CurrencyPair)
        order = self.order_factory.market(
            instrument_id=instrument_id,
            order_side=OrderSide.BUY if change > 0 else OrderSide.SELL,
            quantity=self.cache.instrument(instrument_id).make_qty(abs(change)),
            time_in_force=TimeInForce.GTC if pair else TimeInForce.DAY,
        )
        self.submit_order(order)
