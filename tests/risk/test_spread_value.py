"""What a spread counts for in limits on value: its legs together, not their difference, which may be 0 or below.

IBM's calls of 100 and 110 are quoted at 8.00 and 3.00: one spread of both counts for 1,100 dollars, bought or sold,
whether 5.00 is paid, received, or nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import new_generic_spread_id
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.derived import spread
from runner.config.risk import Portion
from runner.risk.limits import Limits
from tests.risk.conftest import SECOND, quote
from tests.risk.test_margin_options import CONTRACTS, quotes, trade

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


@pytest.mark.parametrize(("most", "codes"), [(2_400, []), (2_399, ["MAX_POSITION_NOTIONAL"])])
def test_a_spread_adds_to_what_is_held_of_each_contract(bench, most, codes):
    """Two calls of 100 are held; the spread, sold, buys one more."""
    ours, gate, _ = bench.run(
        lambda s: trade(s, LONG.id.symbol.value, OrderSide.BUY, 2),
        order(OrderSide.SELL, 1, "-5.00"),
        limits=Limits(max_position_notional=Decimal(most)),
        quotes=quotes(4),
        instruments=[*CONTRACTS, CREDIT],
    )
    assert (ours.codes(), gate.errors) == (codes, 0)
    assert all(
        f"the position in {LONG.id} to 2,400 (held 2, working orders of its side 0)" in each for each in ours.denials()
    )


@pytest.mark.parametrize(("most", "codes"), [(1_600, []), (1_599, ["MAX_POSITION_NOTIONAL"])])
def test_a_contract_adds_to_what_working_spreads_buy_of_it(bench, most, codes):
    ours, gate, _ = bench.run(
        order(OrderSide.SELL, 1, "-5.00"),
        lambda s: trade(s, LONG.id.symbol.value, OrderSide.BUY, 1, "8.00"),
        limits=Limits(max_position_notional=Decimal(most)),
        quotes=quotes(4),
        instruments=[*CONTRACTS, CREDIT],
    )
    assert (ours.codes(), gate.errors) == (codes, 0)


def test_what_a_working_spread_closes_is_closed_by_no_other_order(bench):
    """A call of 100 is held and one of 110 is short; the spread, bought, closes both."""
    gates: list[Any] = []
    ours, gate, engine = bench.run(
        lambda s: trade(s, LONG.id.symbol.value, OrderSide.BUY, 1),
        lambda s: trade(s, SHORT.id.symbol.value, OrderSide.SELL, 1),
        order(OrderSide.BUY, 1, "5.00"),
        lambda s: gates[0].set_state("halted", why="a test"),
        lambda s: trade(s, LONG.id.symbol.value, OrderSide.SELL, 1),
        lambda s: trade(s, SHORT.id.symbol.value, OrderSide.BUY, 1),
        lambda s: s.cancel_all_orders(CREDIT.id),
        lambda s: trade(s, SHORT.id.symbol.value, OrderSide.BUY, 1),
        lambda s: None,
        quotes=quotes(10),
        instruments=[*CONTRACTS, CREDIT],
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (ours.codes(), gate.errors) == (["STATE_HALTED"] * 2, 0)
    assert engine.portfolio.net_position(SHORT.id) == 0


def test_a_spread_that_closes_adds_nothing_to_what_is_exposed(bench):
    account: list[Any] = []
    gates: list[Any] = []
    bench.run(
        lambda s: trade(s, LONG.id.symbol.value, OrderSide.BUY, 1),
        lambda s: trade(s, SHORT.id.symbol.value, OrderSide.SELL, 1),
        order(OrderSide.BUY, 1, "5.00"),
        lambda s: account.append(gates[0].book.total(s.cache.accounts()[0].id)),
        quotes=quotes(6),
        instruments=[*CONTRACTS, CREDIT],
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert account == [1_100]


@pytest.mark.parametrize("leg", [LONG, SHORT])
@pytest.mark.parametrize(("ahead_s", "found"), [(5, []), (6, ["QUOTE_STALE"])])
def test_a_leg_whose_quote_is_of_the_future_makes_the_spreads_stale(bench, leg, ahead_s, found):
    price, size = Price.from_str("5.00"), Quantity.from_int(1)
    ahead = QuoteTick(leg.id, price, price, size, size, (2 + ahead_s) * SECOND, 2 * SECOND)
    ours, gate, _ = bench.run(
        lambda _s: None,
        order(OrderSide.BUY, 1, "-5.00"),
        limits=Limits(max_quote_age_ns=5 * SECOND),
        quotes=[*quotes(1), ahead, quote("100.00", "100.00", 2)],
        instruments=[*CONTRACTS, CREDIT],
    )
    assert (ours.codes(), gate.errors) == (found, 0)
    assert all(f"{leg.id} is 6 s ahead of venue time" in reason for reason in ours.denials())


@pytest.mark.parametrize("side", [OrderSide.BUY, OrderSide.SELL])
@pytest.mark.parametrize("multiplier", [None, "100.5"])
def test_a_spread_that_can_not_be_sized_is_not_taken_for_one_that_closes(bench, side, multiplier):
    """It is not loaded, or its multiplier is no whole number; none of its contracts is held."""
    _, gate, engine = bench.run(lambda s: None, quotes=quotes(3), instruments=CONTRACTS)
    if multiplier is not None:
        engine.cache.add_instrument(type(CREDIT).from_dict({**type(CREDIT).to_dict(CREDIT), "multiplier": multiplier}))
    gate.set_state("halted", why="a test")
    (ours,) = engine.kernel.trader.strategies()
    made = ours.order_factory.limit(CREDIT.id, side, Quantity.from_int(1), Price.from_str("5.00"))
    command = SubmitOrder(ours.trader_id, ours.id, made, UUID4(), 0)
    engine.kernel.msgbus.send("ExecEngine.execute", command)  # Nautilus's own risk engine may let it pass
    assert list(gate.denied) == ["STATE_HALTED"]
