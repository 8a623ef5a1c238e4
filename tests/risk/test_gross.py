"""Gross exposure, positions and working orders together."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity

from runner.config.risk import Portion
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import NODE, Scope
from tests.risk.conftest import IBM, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
BAC = InstrumentId.from_str("BAC.ALPACA")
USD = Limits(max_gross_exposure=Portion(amount=Decimal(20_000)))


def both(*prices: tuple[str, str]) -> list[Any]:
    """Quotes of IBM and BAC, BAC's just before."""
    each = []
    for second, (ibm, bac) in enumerate(prices, 1):
        each += [quote(bac, bac, second, BAC), quote(ibm, ibm, second)]
    return each


def bac(s: Any, side: Any, qty: int) -> None:
    s.submit_order(s.order_factory.market(BAC, side, Quantity.from_int(qty)))


@pytest.fixture
def two(bench):
    """The bench with a second instrument."""

    def run(*steps: Any, limits: Any, quotes: Any = None, **more: Any) -> Any:
        return bench.run(
            *steps,
            limits=limits,
            quotes=quotes or both(*[("100.00", "50.00")] * (len(steps) + 1)),
            instruments=[BAC],
            **more,
        )

    return run


@pytest.mark.parametrize("scope", [NODE, Scope("account", "ALPACA"), Scope("strategy", "main")])
@pytest.mark.parametrize("limits", [USD, Limits(max_gross_exposure=Portion(fraction=Decimal("0.02")))])
@pytest.mark.parametrize(("qty", "passes"), [(200, True), (201, False)])
def test_all_positions_add_up_whatever_their_sign(two, scope, limits, qty, passes):
    book = {
        "node": LimitsBook(top=limits),
        "account": LimitsBook(accounts={"ALPACA": limits}),
        "strategy": LimitsBook(strategies={"main": limits}),
    }[scope.kind]
    ours, gate, _ = two(lambda s: s.market(BUY, 100), lambda s: bac(s, SELL, qty), limits=book)
    assert ours.codes() == ([] if passes else ["MAX_GROSS_EXPOSURE"])
    assert gate.errors == 0
    if not passes:
        assert "could take the gross exposure from 10,000 to 20,050" in ours.denials()[0]
        assert ours.denials()[0].endswith(f"of {scope.section}.max_gross_exposure")


def test_working_orders_count_at_once_and_give_back_what_they_took(two):
    orders: list[Any] = []
    ours, _, _ = two(
        lambda s: orders.append(s.limit(BUY, 150, "90.00")),  # 13,500
        lambda s: bac(s, BUY, 131),  # 6,550
        lambda s: s.cancel_order(orders[0]),
        lambda s: bac(s, BUY, 400),
        limits=USD,
    )
    assert ours.codes() == ["MAX_GROSS_EXPOSURE"]


def test_a_reversal_counts_where_it_ends(two):
    ours, _, _ = two(
        lambda s: s.market(BUY, 100),
        lambda s: s.market(SELL, 301),
        lambda s: s.market(SELL, 300),
        limits=USD,
    )
    assert ours.codes() == ["MAX_GROSS_EXPOSURE"]


def test_prices_move_what_is_used_and_closing_still_passes(two):
    ours, _gate, engine = two(
        lambda s: s.market(BUY, 100),
        lambda s: bac(s, BUY, 1),  # 150 × 100 and more are held by now
        lambda s: s.market(SELL, 100),
        limits=Limits(max_gross_exposure=Portion(amount=Decimal(15_000))),
        quotes=both(("100.00", "50.00"), ("150.00", "50.00"), ("150.00", "50.00"), ("150.00", "50.00")),
    )
    assert ours.codes() == ["MAX_GROSS_EXPOSURE"]
    assert engine.portfolio.net_position(IBM) == 0


@pytest.mark.parametrize(("qty", "passes"), [(200, True), (201, False)])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_orders_of_a_list_add_up_over_instruments(two, side, qty, passes):
    ours, gate, _ = two(lambda s: s.several((BUY, 100), (side, qty, None, BAC)), limits=USD)
    assert (ours.codes(), gate.errors) == ([] if passes else ["MAX_GROSS_EXPOSURE"] * 2, 0)


@pytest.mark.parametrize(("qty", "passes"), [(200, True), (201, False)])
def test_of_a_list_of_both_sides_the_worse_counts(two, qty, passes):
    """Any of them may be filled alone."""
    ours, gate, _ = two(lambda s: s.several((BUY, 150, "99.00"), (SELL, qty, "100.00")), limits=USD)
    assert (ours.codes(), gate.errors) == ([] if passes else ["MAX_GROSS_EXPOSURE"] * 2, 0)


def test_without_a_price_nothing_is_opened(two):
    ours, gate, _ = two(lambda s: bac(s, BUY, 1), limits=USD, quotes=[quote("100.00", "100.00", 1)])
    assert ours.codes() == ["NO_PRICE"]
    assert gate.errors == 0


def test_the_total_is_that_of_a_fresh_count(two):
    """Whatever happened, what is kept equals what a new gate would work out."""
    from runner.risk.book import Book

    orders: list[Any] = []
    _, gate, engine = two(
        lambda s: s.market(BUY, 100),
        lambda s: orders.append(s.limit(SELL, 250, "110.00")),
        lambda s: bac(s, SELL, 10),
        lambda s: s.modify_order(orders[0], Quantity.from_int(240)),
        lambda s: s.limit(BUY, 7, "95.00"),
        limits=LimitsBook(Limits(max_gross_exposure=Portion(amount=Decimal(10**6)))),
        quotes=both(*[(f"{100 + i}.00", f"{50 - i}.00") for i in range(6)]),
    )
    account = engine.cache.accounts()[0].id
    gate.tick()
    fresh = Book(engine.cache, gate.judge._prices, gate.ledger)
    fresh.take_up()
    for instrument_id in (IBM, BAC):
        for leg in gate.working.legs(instrument_id, account):
            fresh.put(leg, account)
    # Sold through zero: 140 short at 110 is more than 107 long; 10 BAC short at the last bid.
    assert gate.book.total(account) == fresh.total(account) == 140 * 110 + 10 * 45
