"""Buy a call spread at the money, hold it for a while, sell it: orders of two legs that fill together or not at all.

The contracts are looked up while it runs (those that expire by the next weekend, as Alpaca lists them without dates),
so that the file names the underlying only. It is out before the close, as options can't be closed after it. A strategy
to read and to change.
"""

from __future__ import annotations

from decimal import Decimal

from nautilus_trader.common.config import NonNegativeInt, PositiveInt
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OptionKind, OrderSide, TimeInForce
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId, new_generic_spread_id
from nautilus_trader.model.instruments import OptionContract
from nautilus_trader.trading.strategy import Strategy

from strategies.core_session import in_core_session, minutes_to_close

DAY_NS = 86_400 * 1_000_000_000
#: Minutes before 16:00 in New York from which a spread is sold whatever its age.
OUT_BEFORE_MIN = 10


class CallSpreadConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # Nautilus has no stubs
    """What the file's `params:` may say.

    Parameters
    ----------
    instrument_id : InstrumentId
        The underlying, such as `IBM.ALPACA`.
    bar_type : BarType
        Its bars: their closes choose the strikes, their number tells the time.
    trade_size : int
        How many spreads to buy.
    width : int
        How many strikes lie between the leg that is bought and the one that is sold.
    min_days : int
        Contracts that expire sooner are left alone.
    hold_bars : int
        After how many bars the spread is sold again.

    """

    instrument_id: InstrumentId
    bar_type: BarType
    trade_size: PositiveInt = 1
    width: PositiveInt = 1
    min_days: NonNegativeInt = 1
    hold_bars: PositiveInt = 30

    def __post_init__(self) -> None:
        if self.bar_type.instrument_id != self.instrument_id:
            raise ValueError(f"bar_type {self.bar_type} is not one of instrument_id {self.instrument_id}")


class CallSpread(Strategy):
    """Holds one spread at a time. Stopping leaves orders and positions to the file's `on_stop:`."""

    def __init__(self, config: CallSpreadConfig) -> None:
        super().__init__(config)
        self._legs: tuple[OptionContract, OptionContract] | None = None
        self._spread_id: InstrumentId | None = None
        self._held = Decimal(0)
        self._bars_held = 0

    def on_start(self) -> None:
        underlying = self.config.instrument_id
        wanted = {"asset_class": "us_option", "underlying_symbols": underlying.symbol.value, "type": "call"}
        self.request_instruments(underlying.venue, params=wanted)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        if not in_core_session(bar.ts_event):
            return
        if self._spread_id is None:
            self._choose(bar)
        elif self.cache.instrument(self._spread_id) is not None and not self._is_waiting():
            self._bars_held += 1
            left = minutes_to_close(bar.ts_event)
            if not self._held:
                if left > self.config.hold_bars + OUT_BEFORE_MIN:
                    self._send(OrderSide.BUY)
            elif self._bars_held > self.config.hold_bars or left <= OUT_BEFORE_MIN:
                self._send(OrderSide.SELL)

    def on_order_filled(self, event: OrderFilled) -> None:
        if event.instrument_id != self._spread_id:
            return  # a leg's own fill
        qty = event.last_qty.as_decimal()
        self._held += qty if event.order_side == OrderSide.BUY else -qty
        self._bars_held = 0

    def on_stop(self) -> None:
        self.unsubscribe_bars(self.config.bar_type)
        for leg in self._legs or ():
            self.unsubscribe_quote_ticks(leg.id)

    def _choose(self, bar: Bar) -> None:
        """The nearest expiration that is far enough away, and the strikes beside the last price."""
        soonest = bar.ts_event + self.config.min_days * DAY_NS
        calls = [
            each
            for each in self.cache.instruments(venue=self.config.instrument_id.venue)
            if isinstance(each, OptionContract)
            and each.underlying == self.config.instrument_id.symbol.value
            and each.option_kind == OptionKind.CALL
            and each.expiration_ns >= soonest
        ]
        if not calls:
            return
        expiry = min(each.expiration_ns for each in calls)
        strikes = sorted((each for each in calls if each.expiration_ns == expiry), key=lambda each: each.strike_price)
        close = bar.close.as_decimal()
        below = sum(each.strike_price.as_decimal() <= close for each in strikes)
        low = max(below - 1, 0)
        high = low + self.config.width
        if high >= len(strikes):
            return
        self._legs = strikes[low], strikes[high]
        self._spread_id = new_generic_spread_id([(self._legs[0].id, 1), (self._legs[1].id, -1)])
        self.log.info(f"trading {self._spread_id}")
        self.request_instrument(self._spread_id)
        for leg in self._legs:
            self.subscribe_quote_ticks(leg.id)

    def _is_waiting(self) -> bool:
        return bool(
            self.cache.orders_open(instrument_id=self._spread_id, strategy_id=self.id)
            or self.cache.orders_inflight(instrument_id=self._spread_id, strategy_id=self.id)
        )

    def _send(self, side: OrderSide) -> None:
        """A limit at what both legs cost on their far sides: it fills at once, or waits for the price to come back."""
        assert self._legs is not None
        quotes = [self.cache.quote_tick(leg.id) for leg in self._legs]
        if any(quote is None for quote in quotes):
            return
        low, high = quotes
        if side == OrderSide.BUY:
            net = low.ask_price.as_decimal() - high.bid_price.as_decimal()
        else:
            net = low.bid_price.as_decimal() - high.ask_price.as_decimal()
        if net <= 0:
            return
        spread = self.cache.instrument(self._spread_id)
        order = self.order_factory.limit(
            instrument_id=self._spread_id,
            order_side=side,
            quantity=spread.make_qty(self.config.trade_size),
            price=spread.make_price(net),
            time_in_force=TimeInForce.DAY,
        )
        self.submit_order(order)
