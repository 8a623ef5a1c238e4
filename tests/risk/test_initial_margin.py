"""Orders of shares that ask for more than half of their value once they are held, worked by hand.

An account of 1,000,000 dollars has 2,000,000 of buying power, which is twice its excess: a position takes twice its
initial margin of that, so an order for it costs no less. Long, all of the value below 2.50; short, 2.50 a share or all
of the value below 5.00, and 5.00 a share from there on; and whatever the asset itself asks for.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import usd
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook
from tests.risk.conftest import IBM, equity, quote
from tests.risk.test_margin import Told

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ALL = Limits(headroom=Decimal(0))


def at(price: str) -> list[Any]:
    return [quote(price, price, second) for second in range(1, 8)]


def asking(rate: str) -> Any:
    """IBM with an initial margin of its own."""
    return Equity.from_dict({**Equity.to_dict(equity()), "margin_init": rate, "margin_maint": rate})


@pytest.mark.parametrize(
    ("side", "price", "most"),
    [
        (BUY, "0.90", 1_111_111),  # 1.80
        (BUY, "2.49", 401_606),  # 4.98
        (BUY, "2.50", 800_000),  # half
        (BUY, "5.00", 400_000),
        (SELL, "1.00", 400_000),  # 2.50 a share: 5.00
        (SELL, "4.00", 250_000),  # all of it: 8.00
        (SELL, "8.00", 200_000),  # 5.00 a share: 10.00
        (SELL, "10.00", 200_000),  # 5.00 is half of it
        (SELL, "12.50", 160_000),  # half of it
    ],
)
def test_an_order_costs_no_less_than_its_position_takes(bench, side, price, most):
    for qty, codes in ((most, []), (most + 1, ["MARGIN_INSUFFICIENT"])):
        # The ask is so far below that 1.03 of it are less than the limit.
        market = at(f"{Decimal(price) * (2 if side == BUY else Decimal('0.9')):.2f}")
        ours, gate, _ = bench.run(lambda s, qty=qty: s.limit(side, qty, price), limits=ALL, quotes=market)
        assert (ours.codes(), gate.errors) == (codes, 0)


@pytest.mark.parametrize(
    ("rate", "side", "most"),
    [
        ("0.75", BUY, 13_333),  # 150.00
        ("0.75", SELL, 12_944),  # 1.5 × 103.00
        ("1", BUY, 10_000),
        ("0.5", BUY, 20_000),
        ("0.3", BUY, 20_000),
    ],
)
def test_an_asset_that_asks_for_more_costs_more(bench, rate, side, most):
    for qty, codes in ((most, []), (most + 1, ["MARGIN_INSUFFICIENT"])):
        ours, gate, _ = bench.run(
            lambda _s: None,
            lambda s, qty=qty: s.market(side, qty),
            limits=ALL,
            prepare=lambda engine, _gate: engine.cache.add_instrument(asking(rate)),
        )
        assert (ours.codes(), gate.errors) == (codes, 0)


def test_where_nothing_is_lent_shares_cost_their_price(bench):
    told: list[Told] = []
    ours, gate, _ = bench.run(
        lambda _s: told[0].says(2_000_000, multiplier="1"),
        lambda s: s.limit(BUY, 1_111_112, "0.90"),
        lambda s: s.limit(BUY, 1_111_111, "0.90"),
        limits=ALL,
        quotes=at("1.00"),
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)


def test_what_closes_costs_nothing(bench):
    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 1_000_000),
        lambda s: s.limit(SELL, 1_000_000, "1.10"),
        limits=ALL,
        quotes=at("1.00"),
    )
    assert (ours.codes(), gate.margin.reserved(gate.account_ids()[0])) == ([], 0)


def test_a_working_order_holds_what_its_position_takes_whatever_it_is_moved_to_and_after_a_restart(bench):
    held: list[Decimal] = []
    orders: list[Any] = []
    gates: list[Any] = []

    def look(_s: Any) -> None:
        (account_id,) = gates[0].account_ids()
        held.append(gates[0].margin.reserved(account_id))

    def to(price: str) -> Any:
        return lambda s: s.modify_order(orders[0], price=Price.from_str(price))

    ours, gate, engine = bench.run(
        lambda s: orders.append(s.limit(BUY, 400_000, "0.90")),
        look,
        to("2.60"),
        look,
        to("0.80"),
        look,
        lambda s: s.modify_order(orders[0], quantity=Quantity.from_int(300_000)),
        look,
        # 2,000,000 less 300,000 × 1.60
        lambda s: s.limit(BUY, 950_001, "0.80"),
        lambda s: s.limit(BUY, 950_000, "0.80"),
        limits=ALL,
        quotes=[quote("3.00", "3.00", second) for second in range(1, 14)],
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert held == [720_000, 1_040_000, 640_000, 480_000]
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)
    kernel = engine.kernel
    again = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(ALL))
    again.begin()
    (account_id,) = again.account_ids()
    assert (again.margin.reserved(account_id), usd(again.book.engine.cost(orders[0].client_order_id.value))) == (
        2_000_000,
        480_000,
    )
    assert IBM in again.working.instruments(account_id)
