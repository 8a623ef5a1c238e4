"""What an order needs of the market before it may open anything: a sound quote, and a price that is near it.

The collar is about being filled far from the market, so only the harmful side counts: a buy above the middle of the
quote, a sale below it. A limit is held to its price, a market order to the far side of the quote. A stop without a
limit has no price until it is triggered; a stop with one is held to its trigger, where that is further away than the
market.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderType

from runner.risk.codes import Code, Denial, percent, seconds, text
from runner.risk.exposure import ZERO
from runner.risk.limits import Rules
from runner.risk.prices import Prices

_MARKET = frozenset({OrderType.MARKET, OrderType.MARKET_TO_LIMIT})
_AT_TRIGGER = frozenset({OrderType.STOP_LIMIT, OrderType.TRAILING_STOP_LIMIT})


def check(order: Any, rules: Rules, prices: Prices, now_ns: int, *, command: Any = None) -> Denial | None:
    """Judge one order that opens; `command` is the modification that it would become."""
    instrument_id = order.instrument_id
    bid, ask, ts_event = prices.quote(instrument_id)
    if bid is None or ask is None:
        missing = "bid" if bid is None and ask is not None else "ask" if bid is not None else "quote"
        return Denial(Code.QUOTE_MISSING, f"{instrument_id} has no {missing}, so nothing can be opened")
    if bid > ask:
        return Denial(
            Code.QUOTE_CROSSED,
            f"the quote of {instrument_id} is crossed (bid {text(bid)}, ask {text(ask)}), so nothing can be opened",
        )
    if rules.quote_age is not None and (age := now_ns - ts_event) > rules.quote_age.value:
        return Denial(
            Code.QUOTE_STALE,
            f"the quote of {instrument_id} is {seconds(age)} old, "
            f"more than the {seconds(rules.quote_age.value)} of {rules.quote_age.where}",
        )
    return _collar(order, rules, bid, ask, command)


def _collar(order: Any, rules: Rules, bid: Decimal, ask: Decimal, command: Any) -> Denial | None:
    if rules.collar_percent is None and rules.collar_absolute is None:
        return None
    buy = order.is_buy
    middle = (bid + ask) / 2
    found = _price(order, buy, bid, ask, middle, command)
    if found is None:
        return None
    price, reference, name = found
    away = price - reference if buy else reference - price
    if away <= ZERO:
        return None
    for bound, most in (
        (rules.collar_absolute, None if rules.collar_absolute is None else rules.collar_absolute.value),
        (rules.collar_percent, None if rules.collar_percent is None else rules.collar_percent.value * reference),
    ):
        if bound is None or most is None or away <= most:
            continue
        limit = text(bound.value) if bound is rules.collar_absolute else percent(bound.value)
        return Denial(
            Code.PRICE_COLLAR,
            f"to {'buy' if buy else 'sell'} {order.instrument_id} at {text(price)} is {text(away)} "
            f"({percent(away / reference)}) {'above' if buy else 'below'} the {name} of {text(reference)}, "
            f"more than the {limit} of {bound.where}",
        )
    return None


def _price(
    order: Any, buy: bool, bid: Decimal, ask: Decimal, middle: Decimal, command: Any
) -> tuple[Decimal, Decimal, str] | None:
    """The price that the order may be filled at, what it is held to, and its name; None where it has none yet."""
    kind = order.order_type
    if kind in _MARKET:
        return (ask if buy else bid), middle, "middle"
    if not order.has_price:
        return None
    asked = None if command is None else command.price
    price: Decimal = (order.price if asked is None else asked).as_decimal()
    if kind not in _AT_TRIGGER:
        return price, middle, "middle"
    asked = None if command is None else command.trigger_price
    trigger: Decimal = (order.trigger_price if asked is None else asked).as_decimal()
    further = trigger > middle if buy else trigger < middle
    return (price, trigger, "trigger") if further else (price, middle, "middle")
