"""Short calls stay covered, whatever is sold: shares or calls that cover them, by this order and by those that work."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId, new_generic_spread_id

from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code
from runner.risk.exposure import nanos
from tests.risk.conftest import IBM
from tests.risk.test_margin_options import C100, C110, P90, options, trade  # noqa: F401

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ids = {symbol: InstrumentId.from_str(f"{symbol}.ALPACA") for symbol in (C100, C110, P90)}


def covered_call(contracts: int = 1) -> list[Any]:
    return [lambda s: s.market(BUY, 200), lambda s: trade(s, C110, SELL, contracts)]


@pytest.mark.parametrize(("contracts", "sold", "codes"), [(1, 100, []), (1, 101, ["MARGIN_UNCOVERED"])])
def test_shares_under_a_short_call_are_not_sold(options, contracts, sold, codes):  # noqa: F811
    ours, gate, engine = options(*covered_call(contracts), lambda s: s.market(SELL, sold))
    assert ours.codes() == codes
    assert gate.errors == 0
    assert engine.portfolio.net_position(IBM) == (200 if codes else 100)


def test_a_sale_through_zero_uncovers_too(options):  # noqa: F811
    ours, gate, _ = options(*covered_call(), lambda s: s.market(SELL, 250))
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def test_a_short_put_needs_no_shares(options):  # noqa: F811
    ours, _, _ = options(lambda s: s.market(BUY, 200), lambda s: trade(s, P90, SELL, 1), lambda s: s.market(SELL, 200))
    assert ours.codes() == []


def test_sales_that_work_are_counted_at_once(options):  # noqa: F811
    ours, gate, _ = options(
        *covered_call(), lambda s: s.limit(SELL, 100, "120.00"), lambda s: s.limit(SELL, 1, "121.00")
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def test_a_modification_that_sells_more_is_held_to_it(options):  # noqa: F811
    orders: list[Any] = []

    def modify(s: Any, qty: int) -> None:
        s.modify_order(orders[0], quantity=orders[0].quantity.from_int(qty))

    ours, gate, _ = options(
        *covered_call(),
        lambda s: orders.append(s.limit(SELL, 50, "120.00")),
        lambda s: modify(s, 101),
        lambda s: modify(s, 100),
    )
    rejected = [event.reason for event in ours.events if type(event).__name__ == "OrderModifyRejected"]
    assert [reason.split(":")[0] for reason in rejected] == ["MARGIN_UNCOVERED"]
    assert int(orders[0].quantity) == 100
    assert gate.errors == 0


def test_no_call_is_sold_against_shares_that_another_order_sells(options):  # noqa: F811
    ours, gate, _ = options(
        lambda s: s.market(BUY, 100), lambda s: s.limit(SELL, 1, "120.00"), lambda s: trade(s, C110, SELL, 1)
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def test_shares_are_not_sold_under_a_call_whose_sale_works(options):  # noqa: F811
    ours, gate, _ = options(
        lambda s: s.market(BUY, 100), lambda s: trade(s, C110, SELL, 1, "4.00"), lambda s: s.market(SELL, 1)
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def covered_by_a_call(held: int) -> list[Any]:
    """A short call of 110 that shares covered when it was sold, and calls of 100 cover now."""
    return [
        lambda s: s.market(BUY, 100),
        lambda s: trade(s, C110, SELL, 1),
        lambda s: trade(s, C100, BUY, held),
        lambda s: s.market(SELL, 100),
    ]


@pytest.mark.parametrize(("held", "codes"), [(1, ["MARGIN_UNCOVERED"]), (2, [])])
def test_a_long_call_that_covers_a_short_one_is_not_sold(options, held, codes):  # noqa: F811
    ours, gate, engine = options(*covered_by_a_call(held), lambda s: trade(s, C100, SELL, 1))
    assert ours.codes() == codes
    assert gate.errors == 0
    assert engine.portfolio.net_position(ids[C100]) == 1


def test_what_is_bought_back_needs_no_cover_any_more(options):  # noqa: F811
    ours, _, engine = options(
        *covered_call(), lambda s: trade(s, C110, BUY, 1), lambda s: s.market(SELL, 200), lambda s: None
    )
    assert ours.codes() == []
    assert engine.portfolio.is_flat(IBM)


def test_neither_a_state_nor_a_missing_price_lets_the_cover_go(options, monkeypatch):  # noqa: F811
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        s.market(SELL, 101)
        s.market(SELL, 50)

    def failing(s: Any) -> None:
        # Where the gate fails, what surely reduces passes, but the cover is asked for all the same.
        monkeypatch.setattr(gates[0].judge, "_illegal", lambda *_args, **_more: 1 / 0)
        s.market(SELL, 51)
        s.market(SELL, 50)

    ours, gate, engine = options(*covered_call(), halted, failing, prepare=lambda _engine, gate: gates.append(gate))
    assert ours.codes() == ["MARGIN_UNCOVERED", "GATE_ERROR"]
    assert gate.errors == 2
    assert engine.portfolio.net_position(IBM) == 100


def test_a_bracket_sells_only_what_it_has_bought(options):  # noqa: F811
    ours, gate, _ = options(
        lambda s: s.market(BUY, 100),
        lambda s: trade(s, C110, SELL, 1),
        lambda s: s.bracket(BUY, 100, "101.00", "90.00", "130.00"),
    )
    assert ours.codes() == []
    assert gate.errors == 0


def test_a_spread_may_not_sell_the_cover_of_another_call(options):  # noqa: F811
    """One call of 100 covers one of 110; selling the spread (110 bought, 100 sold) is fine, 100 against a put not."""
    _, gate, engine = options(*covered_by_a_call(1))
    account_id = engine.cache.accounts()[0].id
    rules = gate.limits.rules("ALPACA", "main")
    order = next(iter(engine.cache.orders()))
    for legs, expected in (([(C110, 1), (C100, -1)], None), ([(P90, 1), (C100, -1)], Code.OPTION_REFUSED)):
        candidate = Candidate(order, nanos(order.quantity), None)
        candidate.instrument_id = new_generic_spread_id([(ids[symbol], ratio) for symbol, ratio in legs])
        candidate.leg.units = 10**9
        subject = Subject(account_id, order.strategy_id, "ALPACA", "main", rules)
        look = gate.book.look([candidate], subject, 0, 0)
        denied = gate.judge._uncovers([candidate], look.orders, subject, reducing=False, one=True)
        assert (None if denied is None else denied[0].code) == expected


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("sold", "codes"), [(100, []), (101, ["MARGIN_UNCOVERED"] * 2)])
def test_what_a_list_buys_back_covers_nothing_before_it_is_filled(options, sold, codes, turned):  # noqa: F811
    orders = [(BUY, 1, "2.00", ids[C110]), (SELL, sold, "101.00")]
    ours, gate, _ = options(*covered_call(), lambda s: s.several(*(reversed(orders) if turned else orders)))
    assert (ours.codes(), gate.errors) == (codes, 0)


@pytest.mark.parametrize(("first", "codes"), [(60, []), (61, ["MARGIN_UNCOVERED"] * 2)])
def test_sales_of_one_list_take_cover_together(options, first, codes):  # noqa: F811
    ours, gate, _ = options(*covered_call(), lambda s: s.several((SELL, first), (SELL, 40)))
    assert (ours.codes(), gate.errors) == (codes, 0)


@pytest.mark.parametrize(("sold", "codes"), [(100, []), (101, ["MARGIN_UNCOVERED"] * 2)])
def test_a_call_and_shares_of_one_list_lean_on_what_is_left(options, sold, codes):  # noqa: F811
    ours, gate, _ = options(
        lambda s: s.market(BUY, 200), lambda s: s.several((SELL, sold, "101.00"), (SELL, 1, "4.00", ids[C110]))
    )
    assert (ours.codes(), gate.errors) == (codes, 0)
