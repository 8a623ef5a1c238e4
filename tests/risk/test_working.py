"""Which orders may still be filled, told by reservations or by the orders themselves."""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.objects import Quantity

from runner.risk.book import Book
from runner.risk.reservations import Reservations
from runner.risk.working import Working
from tests.risk.plain import leg
from tests.risk.test_book import IBM, Cache, fresh, order


def desk(other: Any = None) -> tuple[Cache, Reservations, Book, Working]:
    cache = Cache()
    reservations, book = Reservations(), fresh(cache)
    working = Working(reservations, cache, book, other or (lambda each: leg(each, 7, 2)))
    reservations.on_change = working.note
    return cache, reservations, book, working


def put(cache: Cache, name: str, **more: Any) -> Any:
    made = order(name, account_id="A", is_closed=False, is_open=True, is_inflight=False, **more)
    cache.orders[made.client_order_id] = made
    return made


def test_orders_that_the_gate_never_saw_count_from_the_start_until_they_close() -> None:
    cache, _, book, working = desk()
    mine, closed = put(cache, "mine"), put(cache, "closed")
    closed.is_closed = True
    for each in (mine, closed):
        working.note(each.client_order_id)
    assert [leg.order for leg in working.legs(IBM, "A")] == [mine]
    assert working.instruments("A") == {IBM}
    assert (book.total("A"), book.total("A", "S"), book.total("A", "T")) == (14, 14, 0)
    mine.is_closed = True
    working.note(mine.client_order_id)
    assert list(working.legs(IBM, "A")) == []
    assert (book.total("A"), book.count(), working.instruments("A")) == (0, 0, set())


def test_a_reservation_counts_before_the_cache_knows_its_order() -> None:
    _, reservations, book, working = desk()
    asked = order("new", is_closed=False, is_quote_quantity=False, leaves_qty=Quantity.from_int(3))
    reservations.reserve(asked, "A", 10 * 10**9)
    working.note(asked.client_order_id)
    assert book.total("A") == 30
    assert asked.client_order_id in working
    reservations.release(asked.client_order_id)
    assert book.total("A") == 0
    assert list(working.legs(IBM, "A")) == []


def test_an_exit_counts_for_more_with_each_fill_of_its_entry() -> None:
    cache, _, book, working = desk()
    entry = put(cache, "entry")
    exit_ = put(cache, "exit", buy=False, parent_order_id=entry.client_order_id)
    for each in (entry, exit_):
        working.note(each.client_order_id)
    assert book.side(IBM, "A", buy=False) == 0
    entry.filled_qty = Quantity.from_int(4)
    working.note(entry.client_order_id)  # nobody tells of the exit
    assert book.side(IBM, "A", buy=False) == 4
    entry.is_closed, entry.filled_qty = True, Quantity.from_int(7)
    working.note(entry.client_order_id)
    assert book.side(IBM, "A", buy=False) == 7
    exit_.is_closed = True
    working.note(exit_.client_order_id)
    assert (book.count(), working._children) == (0, {})


def test_an_order_of_another_account_is_another_part() -> None:
    cache, _, book, working = desk()
    one, other = put(cache, "one"), put(cache, "other")
    vars(other).update(account_id="B", strategy_id="T")
    for each in (one, other):
        working.note(each.client_order_id)
    assert [leg.order for leg in working.legs(IBM, "B")] == [other]
    assert (book.count("A"), book.count("B"), book.count("B", "T"), book.count()) == (1, 1, 1, 2)
