"""What an order needs of the market before it may open anything: a sound quote, and a price that is near it.

The collar is about being filled far from the market, so only the harmful side counts: a buy above the middle of the
quote, a sale below it. A limit is held to its price, a market order to the far side of the quote. A stop without a
limit has no price until it is triggered; a stop with one is held to its trigger, where that is further away than the
market. Of a spread every leg needs a sound quote, and its price is held to the middle of what they make together; that
may be 0 or below, so a percentage is of what the legs are worth together.
"""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.enums import OrderType
from nautilus_trader.model.identifiers import generic_spread_id_to_list, is_generic_spread_id

from runner.risk.codes import Code, Denial, percent, seconds, text
from runner.risk.exposure import NANO, decimal, nanos
from runner.risk.limits import Rules
from runner.risk.prices import Prices

_MARKET = (OrderType.MARKET, OrderType.MARKET_TO_LIMIT)
_AT_TRIGGER = (OrderType.STOP_LIMIT, OrderType.TRAILING_STOP_LIMIT)


def check(order: Any, rules: Rules, prices: Prices, now_ns: int, *, command: Any = None) -> Denial | None:
    """Judge one order that opens; `command` is the modification that it would become."""
    instrument_id = order.instrument_id
    if is_generic_spread_id(instrument_id):
        return _check_spread(order, rules, prices, now_ns, command)
    bid, ask, ts_event = prices.quote(instrument_id)
    if bid is None or ask is None or bid > ask or rules.quote_age_ns is not None:
        denial = _unsound(instrument_id, bid, ask, ts_event, rules, now_ns)
        if denial is not None:
            return denial
    if rules.collar_percent is None and rules.collar_absolute is None:
        return None
    assert bid is not None
    assert ask is not None
    return _collar(order, rules, bid, ask, command)


def _check_spread(order: Any, rules: Rules, prices: Prices, now_ns: int, command: Any) -> Denial | None:
    bid = ask = worth = 0
    for leg_id, ratio in generic_spread_id_to_list(order.instrument_id):
        low, high, ts_event = prices.quote(leg_id)
        denial = _unsound(leg_id, low, high, ts_event, rules, now_ns)
        if denial is not None:
            return denial
        assert low is not None
        assert high is not None
        bid += (low if ratio > 0 else high) * ratio
        ask += (high if ratio > 0 else low) * ratio
        worth += (low + high) * abs(ratio)
    if rules.collar_percent is None and rules.collar_absolute is None:
        return None
    return _collar(order, rules, bid, ask, command, worth)


def _unsound(
    instrument_id: Any, bid: int | None, ask: int | None, ts_event: int, rules: Rules, now_ns: int
) -> Denial | None:
    if bid is None or ask is None:
        missing = "bid" if bid is None and ask is not None else "ask" if bid is not None else "quote"
        return Denial(Code.QUOTE_MISSING, f"{instrument_id} has no {missing}, so nothing can be opened")
    if bid > ask:
        return Denial(
            Code.QUOTE_CROSSED,
            f"the quote of {instrument_id} is crossed (bid {_text(bid)}, ask {_text(ask)}), so nothing can be opened",
        )
    if rules.quote_age_ns is not None and now_ns - ts_event > rules.quote_age_ns:
        assert rules.quote_age is not None
        return Denial(
            Code.QUOTE_STALE,
            f"the quote of {instrument_id} is {seconds(now_ns - ts_event)} old, "
            f"more than the {seconds(rules.quote_age_ns)} of {rules.quote_age.where}",
        )
    return None


def _collar(order: Any, rules: Rules, bid: int, ask: int, command: Any, worth: int | None = None) -> Denial | None:
    """`worth` is twice what a percentage is of; by default that of the price that the order is held to."""
    buy = order.is_buy
    kind = order.order_type
    # A middle can lie between two nano-dollars, so everything here is doubled.
    reference, name = bid + ask, "middle"
    if kind in _MARKET:
        price = 2 * (ask if buy else bid)
    elif not order.has_price:
        return None
    else:
        price = 2 * nanos(order.price if command is None or command.price is None else command.price)
        if kind in _AT_TRIGGER:
            asked = None if command is None else command.trigger_price
            trigger = 2 * nanos(order.trigger_price if asked is None else asked)
            if trigger > reference if buy else trigger < reference:
                reference, name = trigger, "trigger"
    away = price - reference if buy else reference - price
    if away <= 0:
        return None
    if worth is None:
        worth = reference
    bound = rules.collar_absolute
    if bound is not None and away > 2 * bound.nanos:
        limit = text(bound.value)
    else:
        bound = rules.collar_percent
        if bound is None or away * NANO <= bound.nanos * worth:
            return None
        limit = percent(bound.value)
    return Denial(
        Code.PRICE_COLLAR,
        f"to {'buy' if buy else 'sell'} {order.instrument_id} at {text(decimal(price) / 2)} is "
        f"{text(decimal(away) / 2)} ({percent(decimal(away) / decimal(worth))}) {'above' if buy else 'below'} "
        f"the {name} of {text(decimal(reference) / 2)}, more than the {limit} of {bound.where}",
    )


def _text(nano_dollars: int) -> str:
    return text(decimal(nano_dollars))
