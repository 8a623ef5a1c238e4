"""The price collar, and the quote that it needs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.limits import Limits
from tests.risk.conftest import IBM, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
SECOND = 1_000_000_000
PERCENT = Limits(collar_percent=Decimal("0.02"))
ABSOLUTE = Limits(collar_absolute=Decimal("0.50"))


def stop_limit(s: Any, side: Any, price: str, trigger: str) -> Any:
    order = s.order_factory.stop_limit(IBM, side, Quantity.from_int(1), Price.from_str(price), Price.from_str(trigger))
    s.submit_order(order)
    return order


# The quote is 100.00 to 100.00, or 99.00 to 101.00.
ROWS = [
    # limits, quote, order, code
    (PERCENT, "100.00", lambda s: s.limit(BUY, 1, "102.00"), None),
    (PERCENT, "100.00", lambda s: s.limit(BUY, 1, "102.01"), "PRICE_COLLAR"),
    (PERCENT, "100.00", lambda s: s.limit(SELL, 1, "98.00"), None),
    (PERCENT, "100.00", lambda s: s.limit(SELL, 1, "97.99"), "PRICE_COLLAR"),
    (PERCENT, "100.00", lambda s: s.limit(BUY, 1, "50.00"), None),  # far, but harmless
    (PERCENT, "100.00", lambda s: s.limit(SELL, 1, "150.00"), None),
    (ABSOLUTE, "100.00", lambda s: s.limit(BUY, 1, "100.50"), None),
    (ABSOLUTE, "100.00", lambda s: s.limit(BUY, 1, "100.51"), "PRICE_COLLAR"),
    (ABSOLUTE, "99.50 100.50", lambda s: s.market(BUY, 1), None),
    (ABSOLUTE, "99.49 100.51", lambda s: s.market(BUY, 1), "PRICE_COLLAR"),
    (ABSOLUTE, "99.49 100.51", lambda s: s.market(SELL, 1), "PRICE_COLLAR"),
    (PERCENT, "100.00", lambda s: stop_limit(s, BUY, "112.20", "110.00"), None),  # 2% above its trigger
    (PERCENT, "100.00", lambda s: stop_limit(s, BUY, "112.21", "110.00"), "PRICE_COLLAR"),
    (PERCENT, "100.00", lambda s: stop_limit(s, SELL, "88.20", "90.00"), None),
    (PERCENT, "100.00", lambda s: stop_limit(s, SELL, "88.19", "90.00"), "PRICE_COLLAR"),
    (PERCENT, "100.01 100.00", lambda s: s.limit(BUY, 1, "100.00"), "QUOTE_CROSSED"),
    (PERCENT, "0.00 100.00", lambda s: s.limit(BUY, 1, "100.00"), "QUOTE_MISSING"),
    (PERCENT, "100.00 0.00", lambda s: s.limit(BUY, 1, "100.00"), "QUOTE_MISSING"),
]


@pytest.mark.parametrize(("limits", "prices", "order", "code"), ROWS)
def test_an_order_that_opens_needs_a_sound_quote_and_a_price_near_it(bench, limits, prices, order, code):
    bid, ask = (prices.split() * 2)[:2]
    ours, gate, _ = bench.run(order, limits=limits, quotes=[quote(bid, ask, 1)])
    assert ours.codes() == ([] if code is None else [code])
    assert gate.passed == (code is None)
    assert gate.errors == 0


def test_without_any_quote_nothing_is_opened(bench):
    _, gate, _ = bench.run(at_start=lambda s: s.limit(BUY, 1, "100.00"), limits=PERCENT)
    assert gate.denied == {"QUOTE_MISSING": 1}


@pytest.mark.parametrize(("age_ns", "code"), [(5 * SECOND, None), (5 * SECOND + 1, "QUOTE_STALE")])
def test_a_quote_may_be_as_old_as_the_limit_by_venue_time(bench, age_ns, code):
    ours, _, _ = bench.run(
        lambda s: s.limit(BUY, 1, "100.00"),
        limits=Limits(max_quote_age_ns=5 * SECOND),
        quotes=[quote("100.00", "100.00", 1)],
        venue_now_ns=lambda: SECOND + age_ns,
    )
    assert ours.codes() == ([] if code is None else [code])


@pytest.mark.parametrize(("ahead_ns", "code"), [(5 * SECOND, None), (5 * SECOND + 1, "QUOTE_STALE")])
def test_a_quote_may_be_ahead_of_venue_time_by_as_much_as_it_may_be_old(bench, ahead_ns, code):
    """One that a wrong stamp put into the future was never too old."""
    ours, gate, _ = bench.run(
        lambda s: s.limit(BUY, 1, "100.00"),
        limits=Limits(max_quote_age_ns=5 * SECOND),
        quotes=[quote("100.00", "100.00", 10)],
        venue_now_ns=lambda: 10 * SECOND - ahead_ns,
    )
    assert ours.codes() == ([] if code is None else [code])
    assert code is None or "ahead of venue time, more than the 5 s of risk.max_quote_age" in ours.denials()[0]
    assert gate.errors == 0


def test_what_reduces_passes_whatever_the_quote(bench):
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 10),
        lambda s: s.limit(SELL, 10, "1.00"),
        limits=Limits(collar_percent=Decimal("0.02"), max_quote_age_ns=1),
        quotes=[quote("100.00", "100.00", 1), quote("101.00", "100.00", 2), quote("100.00", "100.00", 3)],
        venue_now_ns=lambda: SECOND,
    )
    assert ours.denials() == []
    assert engine.portfolio.net_position(IBM) == 0


def test_a_modification_is_held_to_the_price_that_it_asks_for(bench):
    orders: list[Any] = []
    ours, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 1, "99.00")),
        lambda s: s.modify_order(orders[0], price=Price.from_str("102.01")),
        limits=PERCENT,
    )
    assert gate.denied == {"PRICE_COLLAR": 1}
    assert orders[0].price == Price.from_str("99.00")
    (reason,) = [e.reason for e in ours.events if type(e).__name__ == "OrderModifyRejected"]
    assert reason == (
        "PRICE_COLLAR: to buy IBM.ALPACA at 102.01 is 2.01 (2.01%) above the middle of 100, "
        "more than the 2% of risk.price_collar"
    )
