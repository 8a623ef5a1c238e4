"""What an order is taken to be worth."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide, OrderSide, TrailingOffsetType
from nautilus_trader.model.identifiers import InstrumentId, StrategyId, TradeId, TraderId
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import nano
from runner.risk.prices import Prices

IBM = InstrumentId.from_str("IBM.ALPACA")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
ONE = Quantity.from_int(1)
FACTORY = OrderFactory(TraderId("T-001"), StrategyId("S-one"), TestClock())


def prices(*, quote: tuple[str, str] | None = None, trade: str | None = None, bar: str | None = None) -> Prices:
    cache = Cache()
    if quote is not None:
        bid, ask = (Price.from_str(price) for price in quote)
        cache.add_quote_tick(QuoteTick(IBM, bid, ask, ONE, ONE, 0, 0))
    if trade is not None:
        cache.add_trade_tick(TradeTick(IBM, Price.from_str(trade), ONE, AggressorSide.BUYER, TradeId("1"), 0, 0))
    if bar is not None:
        bar_type = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")
        close = Price.from_str(bar)
        cache.add_bar(Bar(bar_type, close, close, close, close, ONE, 0, 0))
    return Prices(cache)


def market(side: Any) -> Any:
    return FACTORY.market(IBM, side, ONE)


def limit(side: Any, price: str) -> Any:
    return FACTORY.limit(IBM, side, ONE, Price.from_str(price))


def stop(side: Any, trigger: str) -> Any:
    return FACTORY.stop_market(IBM, side, ONE, Price.from_str(trigger))


@pytest.mark.parametrize(
    ("known", "order", "worth"),
    [
        ({"quote": ("99.00", "101.00")}, market(BUY), "101"),
        ({"quote": ("99.00", "101.00")}, market(SELL), "99"),
        ({"quote": ("99.00", "101.00"), "trade": "100.00"}, market(BUY), "101"),
        ({"quote": ("0.01", "101.00"), "trade": "100.00"}, market(SELL), "100"),  # a stub bid
        ({"quote": ("99.00", "0.00"), "trade": "100.00"}, market(BUY), "100"),  # nobody offers
        ({"trade": "100.00"}, market(BUY), "100"),
        ({"bar": "98.00"}, market(SELL), "98"),
        ({"bar": "0.00"}, market(BUY), None),
        ({}, market(BUY), None),
        ({"quote": ("99.00", "101.00")}, limit(BUY, "90.00"), "90"),
        ({"quote": ("99.00", "101.00")}, limit(BUY, "110.00"), "110"),
        ({"quote": ("99.00", "101.00")}, limit(SELL, "110.00"), "110"),
        ({"quote": ("99.00", "101.00")}, limit(SELL, "1.00"), "99"),  # is filled at the bid, not at its price
        ({}, limit(SELL, "1.00"), "1"),
        ({"quote": ("99.00", "101.00")}, stop(BUY, "105.00"), "105"),
        ({"quote": ("99.00", "101.00")}, stop(SELL, "95.00"), "99"),
        ({}, stop(BUY, "105.00"), "105"),
    ],
)
def test_an_order_is_not_worth_less_than_it_can_cost(known, order, worth):
    assert prices(**known).order(order) == (None if worth is None else nano(Decimal(worth)))


@pytest.mark.parametrize(
    ("side", "offset", "kind", "worth"),
    [
        (BUY, "20", "PRICE", "121"),
        (BUY, "50", "BASIS_POINTS", "101.505"),
        (BUY, "20", "TICKS", "101"),  # no venue of ours trails by ticks
        (SELL, "20", "PRICE", "99"),
    ],
)
def test_a_buy_that_trails_is_worth_the_stop_that_it_begins_with(side, offset, kind, worth):
    order = FACTORY.trailing_stop_market(
        IBM, side, ONE, trailing_offset=Decimal(offset), trailing_offset_type=TrailingOffsetType[kind]
    )
    assert prices(quote=("99.00", "101.00")).order(order) == nano(Decimal(worth))
    assert prices().order(order) is None


@pytest.mark.parametrize(
    ("known", "side", "own", "lowest"),
    [
        ({"quote": ("99.00", "101.00")}, BUY, None, "101"),
        ({"quote": ("99.00", "101.00")}, BUY, "110.00", "101"),  # is filled at the ask, not at its price
        ({"quote": ("99.00", "101.00")}, BUY, "90.00", "90"),
        ({}, BUY, "90.00", "90"),
        ({}, BUY, None, None),
        ({"quote": ("99.00", "101.00"), "trade": "120.00"}, SELL, None, "99"),
        ({"quote": ("99.00", "101.00")}, SELL, "110.00", "110"),
        ({"trade": "120.00"}, SELL, None, "120"),
    ],
)
def test_an_order_in_money_is_of_the_most_units_at_the_lowest_price(known, side, own, lowest):
    order = market(side) if own is None else limit(side, own)
    price = None if own is None else nano(Decimal(own))
    assert prices(**known).lowest(order, price) == (None if lowest is None else nano(Decimal(lowest)))


def test_a_modifications_price_stands_in_for_the_orders_own():
    assert prices().order(limit(BUY, "90.00"), 95 * 10**9) == 95 * 10**9
    assert prices().order(stop(BUY, "105.00"), trigger=108 * 10**9) == 108 * 10**9
