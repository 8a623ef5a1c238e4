"""What an order is worth before it is filled, from what the cache knows of the market. In nano-dollars."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from nautilus_trader.model.enums import OrderSide, OrderType, PriceType, TrailingOffsetType
from nautilus_trader.model.identifiers import generic_spread_id_to_list, is_generic_spread_id

from runner.risk.exposure import NANO, decimal, nano, nanos

ONE = Decimal(1)
_BUY, _LAST, _STOP = OrderSide.BUY, PriceType.LAST, OrderType.STOP_MARKET
TRAILING = (OrderType.TRAILING_STOP_MARKET, OrderType.TRAILING_STOP_LIMIT)
_FIFTY = 50 * NANO
_BASIS_POINTS = 10_000
Quote = tuple[int | None, int | None, int]
_NONE: Quote = (None, None, 0)


def multiplier(instrument: Any) -> Decimal:
    """How many units of the underlying one contract is of."""
    return _decimal(instrument.multiplier)


def whole_multiplier(instrument: Any) -> int:
    """The same as the engine counts in it. Raises ValueError for one that is no whole number."""
    of = multiplier(instrument)
    if of != int(of):
        raise ValueError(f"{instrument.id} has a multiplier of {of}, which is no whole number")
    return int(of)


@lru_cache(maxsize=256)
def _decimal(quantity: Any) -> Decimal:
    return quantity.as_decimal()  # type: ignore[no-any-return]


class Prices:
    """Prices from Nautilus's cache, chosen so that an order's worth is not understated."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._quotes: dict[Any, tuple[Any, Quote]] = {}

    def quote(self, instrument_id: Any) -> Quote:
        """Bid, ask and venue time (UNIX nanoseconds) of the newest quote; a side that has the price 0 is None."""
        quote = self._cache.quote_tick(instrument_id)
        if quote is None:
            return _NONE
        known = self._quotes.get(instrument_id)
        if known is None or known[0] is not quote:  # a decision asks several times for the same
            bid, ask = nanos(quote.bid_price), nanos(quote.ask_price)
            known = (quote, (bid if bid > 0 else None, ask if ask > 0 else None, quote.ts_event))
            self._quotes[instrument_id] = known
        return known[1]

    def middle(self, instrument_id: Any) -> Decimal | None:
        """What is held is worth, in USD: the middle of the quote, else the last trade, else a bar's close."""
        bid, ask, _ = self.quote(instrument_id)
        if bid is not None and ask is not None:
            return decimal(bid) if bid == ask else decimal(bid + ask) / 2
        last = self._last(instrument_id)
        if last is None:
            last = self._any_bar(instrument_id)
        return None if last is None else decimal(last)

    def market(self, instrument_id: Any, *, buy: bool) -> int | None:
        """What a market order would pay or get: the far side of the quote, else the last trade, else a bar's close.

        A quote's missing side has the price 0. A sale is never taken to be worth less than the last trade: a stub bid
        of a cent, as one sees before the open, must not let a large short sale through.
        """
        bid, ask, _ = self.quote(instrument_id)
        if buy and ask is not None:
            return ask
        far = ask if buy else bid
        if is_generic_spread_id(instrument_id):
            return self._net(instrument_id, buy=buy) if far is None else far
        last = self._last(instrument_id)
        if far is None or last is None:
            far = last if far is None else far
            return self._any_bar(instrument_id) if far is None else far
        return max(far, last)

    def worth(self, instrument_id: Any, price: int | None) -> int | None:
        """What one unit counts for in limits on value: its price; of a spread, what all its legs are worth together.

        A spread's own price is the difference of its legs' and says nothing of its size: it may be 0, or below.
        """
        if not is_generic_spread_id(instrument_id):
            return price
        total = Decimal(0)
        for leg_id, ratio in generic_spread_id_to_list(instrument_id):
            middle = self.middle(leg_id)
            if middle is None:
                return None
            total += middle * abs(ratio)
        return nano(total)

    def proceeds(self, instrument_id: Any) -> int | None:
        """What a sale at the market brings at least, a unit: the bid; of a spread, its legs' far sides."""
        bid, _, _ = self.quote(instrument_id)
        if bid is None and is_generic_spread_id(instrument_id):
            return self._net(instrument_id, buy=False)
        return bid

    def _net(self, instrument_id: Any, *, buy: bool) -> int | None:
        """What one unit of a spread costs (or brings, where it is sold) at the far sides of its legs' quotes."""
        net = 0
        for leg_id, ratio in generic_spread_id_to_list(instrument_id):
            bid, ask, _ = self.quote(leg_id)
            far = ask if (ratio > 0) == buy else bid
            if far is None:
                return None
            net += far * ratio
        return net

    def order(self, order: Any, price: int | None = None, trigger: int | None = None) -> int | None:
        """What one unit of the order is worth at most: None where neither the order nor the market says.

        A buy limit can't cost more than its price. A sell limit is filled at its price or above it, a stop at the
        market that it meets, so for these the market's price counts where it is the higher. A buy that trails
        begins with its stop so far above the market. `price` and `trigger` are those that it has or would have, by
        default its own.
        """
        buy = order.side == _BUY
        worth = price if price is not None else (nanos(order.price) if order.has_price else None)
        if worth is not None and worth > 0:
            if buy:
                return worth
        elif order.has_trigger_price:
            worth = trigger if trigger is not None else nanos(order.trigger_price)
        market = self.market(order.instrument_id, buy=buy)
        if worth is None or market is None:
            if buy and market is not None and order.order_type in TRAILING:
                return market + _trail(order, market)
            return market if worth is None else worth
        return max(worth, market)

    def lowest(self, order: Any, limit: int | None) -> int | None:
        """The lowest price at which an order in money may be filled now: there it is of the most units."""
        if order.side != _BUY:
            return limit if limit is not None else self.proceeds(order.instrument_id) or self.order(order)
        market = self.market(order.instrument_id, buy=True)
        return market if limit is None else limit if market is None else min(limit, market)

    def least(self, order: Any, trigger: int | None) -> int:
        """What a unit costs at least, besides its own price: a short sale 1.03 × ask, a buy stop what the broker's
        protective limit allows. `trigger`: where it is, or would be.
        """
        if order.side != _BUY:
            _, ask, _ = self.quote(order.instrument_id)
            reference = ask if ask is not None else self.market(order.instrument_id, buy=True)
            return 0 if reference is None else -(-reference * 103 // 100)
        if order.order_type == _STOP and trigger is not None:
            # Alpaca turns a buy stop into a stop-limit that far above the stop: below 50 dollars, and from there on.
            return -(-trigger * (1040 if trigger < _FIFTY else 1025) // 1000)
        return 0

    def _last(self, instrument_id: Any) -> int | None:
        last = self._cache.price(instrument_id, _LAST)
        return nanos(last) if last is not None and last > 0 else None

    def _any_bar(self, instrument_id: Any) -> int | None:
        bars = [self._cache.bar(bar_type) for bar_type in self._cache.bar_types(instrument_id)]
        newest = max((bar for bar in bars if bar is not None), key=lambda bar: bar.ts_event, default=None)
        return nanos(newest.close) if newest is not None and newest.close > 0 else None


def _trail(order: Any, market: int) -> int:
    """How far it stays behind the market; 0 where that is given in what the venue does not take."""
    match order.trailing_offset_type:
        case TrailingOffsetType.PRICE:
            return nano(order.trailing_offset)
        case TrailingOffsetType.BASIS_POINTS:
            return nano(decimal(market) * order.trailing_offset / _BASIS_POINTS)
        case _:
            return 0
