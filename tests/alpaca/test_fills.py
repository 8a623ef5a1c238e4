"""The fill ledger: every fill once, whoever told of it, however often and in whatever order."""

from __future__ import annotations

import random
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from runner.alpaca.fills import Fill, FillLedger, trade_id_text

D = Decimal


def fill(qty: int | Decimal, price: str = "10", order_id: str = "A", side: str = "buy") -> Fill:
    return Fill("IBM", side, D(qty), D(price), order_id, "O-1", 1, False, False)


def test_a_line_of_the_log_names_it_shortly() -> None:
    assert f"{fill(40)}" == "buy 40 IBM at 10 (order A)"


def test_a_fill_told_by_stream_and_by_rest_is_booked_once() -> None:
    ledger = FillLedger()
    assert ledger.book(fill(40), cum_qty=D(40), execution_id="e1") is not None
    assert ledger.book(fill(40), cum_qty=D(40), execution_id=None) is None
    assert (ledger.booked_qty("A"), ledger.duplicates, len(ledger)) == (D(40), 1, 1)


def test_the_same_execution_id_is_a_duplicate_even_with_another_quantity() -> None:
    ledger = FillLedger()
    ledger.book(fill(40), cum_qty=D(40), execution_id="e1")
    assert ledger.book(fill(40), cum_qty=D(80), execution_id="e1") is None


def test_a_later_fill_shows_the_gap_and_the_earlier_one_closes_it() -> None:
    ledger = FillLedger()
    ledger.book(fill(60), cum_qty=D(100), execution_id="e2")
    assert not ledger.is_complete("A", D(100))
    assert ledger.book(fill(40), cum_qty=D(40), execution_id=None) is not None
    assert ledger.is_complete("A", D(100))


def test_what_was_filled_before_is_known_and_not_a_fill() -> None:
    ledger = FillLedger()
    ledger.seed("A", D(40))
    assert ledger.book(fill(40), cum_qty=D(40)) is None
    assert ledger.book(fill(10), cum_qty=D(50)) is not None
    assert [row.qty for row in ledger] == [D(10)]


def test_an_inferred_fill_takes_the_price_that_makes_the_average_right_and_is_counted() -> None:
    ledger = FillLedger()
    ledger.book(fill(40, "10"), cum_qty=D(40))
    inferred = ledger.infer(fill(100), filled_qty=D(100), avg_price=D("10.6"))
    assert inferred is not None
    assert (inferred.qty, inferred.price, inferred.inferred, ledger.inferred) == (D(60), D("11.0000"), True, 1)
    assert ledger.infer(fill(100), filled_qty=D(100), avg_price=D("10.6")) is None


def test_a_fill_that_was_inferred_is_a_duplicate_when_it_comes_after_all() -> None:
    ledger = FillLedger()
    ledger.infer(fill(100), filled_qty=D(100), avg_price=D(10))
    assert ledger.book(fill(60), cum_qty=D(100), execution_id="late") is None


def test_listeners_hear_each_fill_once() -> None:
    ledger, heard = FillLedger(), []
    ledger.on_fill(heard.append)
    for _ in range(3):
        ledger.book(fill(5), cum_qty=D(5), execution_id="e")
    assert [row.qty for row in heard] == [D(5)]


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 11),
)
def test_any_order_with_any_duplicates_books_exactly_the_total(
    quantities: list[int], rng: random.Random, missing: int
) -> None:
    cumulative, told = 0, []
    for index, quantity in enumerate(quantities):
        cumulative += quantity
        told.append((D(quantity), D(cumulative), f"e{index}"))
    lost = told[missing] if missing < len(told) else None
    messages = [row for row in told if row != lost] * 2
    rng.shuffle(messages)
    ledger = FillLedger()
    for quantity, cum, execution_id in messages:
        ledger.book(fill(quantity), cum_qty=cum, execution_id=rng.choice([execution_id, None]))
    assert ledger.booked_qty("A") == D(cumulative) - (lost[0] if lost else D(0))
    assert ledger.is_complete("A", D(cumulative)) == (lost is None)
    ledger.infer(fill(cumulative), filled_qty=D(cumulative), avg_price=D(10))
    assert sum(row.qty for row in ledger) == D(cumulative)
    assert ledger.is_complete("A", D(cumulative))


@given(st.text(max_size=80), st.decimals("0.000000001", "1000000", places=9))
def test_a_trade_id_always_fits_and_is_stable(order_id: str, cum: Decimal) -> None:
    made = trade_id_text(order_id, cum)
    assert len(made) <= 36
    assert made.isascii()
    assert made == trade_id_text(order_id, cum + D("0E-12"))
    assert made != trade_id_text(order_id, cum, inferred=True)
