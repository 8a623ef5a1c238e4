"""When an order trades, and at what price: the rules of Alpaca's paper engine.

Source: docs.alpaca.markets "Paper trading": an order fills when it is marketable against the best bid and offer,
whatever size is displayed; now and then it fills partly and is looked at again. Stops are elected by a print at the
stop, or by a quote that has gone through it; trailing stops likewise, in the core session only.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from runner.exchange.broker.orders import Order, signed_ratio
from runner.exchange.broker.wire import NINE_PLACES
from runner.exchange.calendar import Session
from runner.exchange.market import Quote

# Sale conditions of prints that don't update a symbol's last price (CTS/UTP specifications): they elect no stop.
NOT_LAST: Final = frozenset(["4", "7", "B", "C", "G", "H", "I", "M", "N", "P", "Q", "R", "T", "U", "V", "W", "Z"])
STOPS: Final = frozenset({"stop", "stop_limit", "trailing_stop"})


def may_trade(order: Order, session: Session) -> bool:
    """Whether the order can trade in this session at all."""
    if session == "core":
        return True
    return session in {"pre", "post"} and order.extended_hours and order.type == "limit"


def prices_of_legs(order: Order, quotes: Mapping[str, Quote]) -> tuple[Decimal, list[Decimal]] | None:
    """The net price of one unit of a multi-leg order at the legs' far sides, and each leg's; None where a leg has no
    far side, or the net price is beyond the limit.
    """
    prices = []
    for leg in order.legs:
        quote = quotes.get(leg.symbol)
        far = None if quote is None else (quote.ask if leg.is_buy else quote.bid)
        if far is None or far <= 0:
            return None
        prices.append(far)
    net = sum((price * signed_ratio(leg) for leg, price in zip(order.legs, prices, strict=True)), Decimal(0))
    if order.limit_price is not None and net > order.limit_price:
        return None
    return net, prices


def price_in_auction(order: Order, price: Decimal) -> Decimal | None:
    """An auction's price, where the order's limit lets it trade there."""
    limit = order.limit_price
    beyond = limit is not None and (price > limit if order.is_buy else price < limit)
    return None if beyond else price


def price_at(order: Order, quote: Quote) -> Decimal | None:
    """The price it trades at against this quote, the far side, or None where it is not marketable."""
    far = quote.ask if order.is_buy else quote.bid
    if far <= 0 or (order.type in STOPS and not order.triggered):
        return None
    limit = order.protective_limit
    if limit is not None and (far > limit if order.is_buy else far < limit):
        return None
    return far


def elected_by_quote(order: Order, quote: Quote) -> bool:
    """Whether a quote has gone through the stop: a bid at or above a buy's, an offer at or below a sell's."""
    if order.stop_price is None or order.type not in STOPS:
        return False
    if order.is_buy:
        return quote.bid >= order.stop_price and quote.bid > 0
    return 0 < quote.ask <= order.stop_price


def elected_by_print(order: Order, price: Decimal) -> bool:
    """Whether a print has reached the stop."""
    if order.stop_price is None or order.type not in STOPS:
        return False
    return price >= order.stop_price if order.is_buy else price <= order.stop_price


def counts_as_last(raw: dict[str, Any]) -> bool:
    """Whether a print updates the last price. An option's conditions are one letter of another alphabet."""
    if isinstance(raw.get("c"), str):
        return True
    return not NOT_LAST.intersection(raw.get("c") or ())


def trail(order: Order, price: Decimal) -> None:
    """Move a trailing stop's high (for a buy: low) water mark, and its stop with it."""
    if order.type != "trailing_stop" or order.triggered:
        return
    if order.hwm is not None and (price >= order.hwm if order.is_buy else price <= order.hwm):
        return
    order.hwm = price
    distance = order.trail_price
    if distance is None:
        assert order.trail_percent is not None
        distance = price * order.trail_percent / 100
    order.stop_price = price + distance if order.is_buy else price - distance


def shares_of(notional: Decimal, price: Decimal) -> Decimal:
    """How many shares a dollar amount buys, nine places, never more than it pays for."""
    return (notional / price).quantize(NINE_PLACES, rounding=ROUND_DOWN)


class Portions:
    """Seeded partial fills: with probability `rate` a match takes a random part of what is left."""

    def __init__(self, seed: int, rate: float) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"partial_fill_rate is a probability from 0 to 1, not {rate}")
        self._random = random.Random(f"fills:{seed}")  # noqa: S311  # reproducible, not secret
        self.rate = rate

    def of(self, order: Order) -> Decimal:
        """Shares to fill now. All-or-none, fractional and single-share orders fill whole."""
        leaves = order.leaves
        if self.rate and order.asset_class == "crypto" and order.qty is not None and self._random.random() < self.rate:
            return (leaves * self._random.randint(1, 99) / 100).quantize(NINE_PLACES, rounding=ROUND_DOWN) or leaves
        if self.rate == 0 or order.time_in_force == "fok" or order.fractional or leaves < 2:
            return leaves
        if self._random.random() >= self.rate:
            return leaves
        return Decimal(self._random.randint(1, int(leaves) - 1))
