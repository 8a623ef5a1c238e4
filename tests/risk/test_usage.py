"""How much of each limit is used."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.objects import Quantity

from runner.config.risk import Portion
from runner.risk.limits import Limits, LimitsBook, Rate
from runner.risk.state import NODE, Scope
from tests.risk.conftest import SECOND, quote

BUY = OrderSide.BUY
D = Decimal


def test_every_limit_with_a_measure_tells_how_much_of_it_is_used(bench):
    limits = Limits(
        max_order_qty=D(100),
        max_order_notional=D(20_000),
        max_position_notional=D(20_000),
        max_gross_exposure=Portion(fraction=D("0.02")),
        max_open_orders=4,
        max_orders=Rate(10, 60 * SECOND),
        max_cancels=Rate(5, 60 * SECOND),
        max_fills=Rate(4, 60 * SECOND),
        max_daily_loss=Portion(amount=D(100)),
        headroom=D(0),
    )
    book = LimitsBook(top=limits, strategies={"main": limits, "idle": limits})
    orders: list[Any] = []
    _, gate, _ = bench.run(
        lambda s: s.market(BUY, 50),
        lambda s: orders.append(s.limit(BUY, 10, "90.00")),
        lambda s: orders.append(s.limit(BUY, 10, "91.00")),
        lambda s: s.cancel_order(orders[0]),
        limits=book,
    )
    found = {(each.limit, each.scope): each.fraction for each in gate.used()}
    want = {
        "max_order_qty": D("0.5"),
        "max_order_notional": D("0.25"),
        "max_position_notional": D("0.2955"),  # 50 × 100 and 10 × 91
        "max_gross_exposure": D("0.2955"),
        "max_open_orders": D("0.25"),
        "max_orders": D("0.3"),
        "max_cancels": D("0.2"),
        "max_fills": D("0.25"),
        "max_daily_loss": D(0),
    }
    assert {name: found[name, NODE] for name in want} == want
    idle = Scope("strategy", "idle")
    # A percentage of the equity of a strategy that has not traded on any account yet is of nothing.
    assert {found[name, idle] for name in want if name != "max_gross_exposure"} == {D(0)}
    # 5,000 are held and 910 are ordered of the 2,000,000 that the equity carries.
    assert found["margin", Scope("account", "ALPACA")] == D("0.002955")
    assert gate.errors == 0


def test_the_limits_on_one_order_count_for_the_level_that_bound_it(bench):
    book = LimitsBook(Limits(max_order_qty=D(100)), strategies={"main": Limits(max_order_qty=D(50))})
    _, gate, _ = bench.run(lambda s: s.market(BUY, 25), limits=book)
    found = {each.scope: each.fraction for each in gate.used()}
    assert found == {NODE: D(0), Scope("strategy", "main"): D("0.5")}


def test_an_order_that_was_made_larger_counts_as_one_that_passed(bench):
    orders: list[Any] = []
    _, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 10, "90.00")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(40)),
        lambda s: s.modify_order(orders[0], Quantity.from_int(101)),  # denied
        limits=Limits(max_order_qty=D(100), max_order_notional=D(10_000)),
    )
    assert {each.limit: each.fraction for each in gate.used()} == {
        "max_order_qty": D("0.4"),
        "max_order_notional": D("0.36"),
    }


def test_a_fault_leaves_the_node_as_it_was(bench):
    _, gate, _ = bench.run(lambda s: s.market(BUY, 25), limits=Limits(max_order_qty=D(100)))
    gate.losses.used = lambda: 1 / 0
    assert len(gate.used()) == 1
    assert gate.errors == 1


def test_of_an_equity_that_is_lost_a_fraction_is_used_up(bench):
    """It was told as below 0."""
    _, gate, _ = bench.run(
        lambda s: s.market(BUY, 20_000),
        lambda s: None,
        lambda s: None,
        limits=Limits(max_gross_exposure=Portion(fraction=D(3)), max_daily_loss=Portion(fraction=D(1)), headroom=D(0)),
        quotes=[quote(price, price, at) for at, price in enumerate(["100.00", "100.00", "40.00", "40.00"], 1)],
    )
    gate.tick()
    (account_id,) = gate.account_ids()
    assert gate.ledger.equity(account_id) < 0
    found = {each.limit: each.fraction for each in gate.used()}
    assert found == {"max_gross_exposure": 1, "max_daily_loss": D("1.2"), "margin": 1}
    assert gate.errors == 0


def test_a_limit_that_can_not_be_told_leaves_the_others_to_be(bench):
    limits = Limits(
        max_position_notional=D(20_000),
        max_gross_exposure=Portion(amount=D(20_000)),
        max_open_orders=4,
        max_daily_loss=Portion(amount=D(100)),
        max_drawdown=Portion(fraction=D("0.01")),
        headroom=D(0),
    )
    book = LimitsBook(top=limits, strategies={"main": limits})
    _, gate, _ = bench.run(lambda s: s.market(BUY, 50), lambda s: None, limits=book)
    assert len(gate.used()) == 11

    def missing(*_args: Any) -> Any:
        raise LookupError("no price of it is known")

    gate.book.total = missing
    assert [each.limit for each in gate.used()] == [
        *["max_open_orders"] * 2,
        "margin",
        *["max_daily_loss", "max_drawdown"] * 2,
    ]
    assert gate.errors == 0
    gate.book.count = gate.ledger.equities = lambda *_args: 1 / 0
    assert [each.limit for each in gate.used()] == ["margin", *["max_daily_loss"] * 2]
    assert gate.errors == 4
