"""What a spread counts for in limits on value: its legs together, not their difference, which may be 0 or below.

IBM's calls of 100 and 110 are quoted at 8.00 and 3.00: one spread of both counts for 1,100 dollars, bought or sold,
whether 5.00 is paid, received, or nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import new_generic_spread_id
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.derived import spread
from runner.config.risk import Portion
from runner.risk.limits import Limits
from tests.risk.test_margin_options import CONTRACTS, quotes

LONG, SHORT, _ = CONTRACTS
LEGS = [(LONG, -1), (SHORT, 1)]
CREDIT = spread(new_generic_spread_id([(leg.id, ratio) for leg, ratio in LEGS]), LEGS)
DAY = TimeInForce.DAY


def order(side: Any, qty: int, price: str) -> Any:
    def step(s: Any) -> None:
        made = s.order_factory.limit(CREDIT.id, side, Quantity.from_int(qty), Price.from_str(price), time_in_force=DAY)
        s.submit_order(made)

    return step


def codes(bench: Any, limits: Limits, *steps: Any) -> list[str]:
    ours, gate, _ = bench.run(*steps, limits=limits, quotes=quotes(len(steps) + 1), instruments=[*CONTRACTS, CREDIT])
    assert gate.errors == 0
    found: list[str] = ours.codes()
    return found


@pytest.mark.parametrize("price", ["-5.00", "0.00", "-0.01", "5.00"])
@pytest.mark.parametrize("side", [OrderSide.BUY, OrderSide.SELL])
def test_an_orders_value_is_bounded_for_credits_debits_and_what_costs_nothing(bench, side, price):
    limits = Limits(max_order_notional=Decimal(2_200))
    assert codes(bench, limits, order(side, 2, price)) == []
    assert codes(bench, limits, order(side, 3, price)) == ["MAX_ORDER_NOTIONAL"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_position_notional=Decimal(2_200)), "MAX_POSITION_NOTIONAL"),
        (Limits(max_gross_exposure=Portion(amount=Decimal(2_200))), "MAX_GROSS_EXPOSURE"),
    ],
)
def test_credits_that_work_add_to_what_is_held_and_never_take_from_it(bench, limits, code):
    one = order(OrderSide.BUY, 1, "-5.00")
    assert codes(bench, limits, one, one) == []
    assert codes(bench, limits, one, one, one) == [code]


def test_a_spread_whose_legs_have_no_price_can_not_be_judged(bench):
    ours, _, _ = bench.run(
        order(OrderSide.BUY, 1, "-5.00"),
        limits=Limits(max_order_notional=Decimal(2_200)),
        instruments=[*CONTRACTS, CREDIT],
    )
    assert ours.codes() == ["NO_PRICE"]
