"""Orders that have ended are let go of; what comes of one of them later is still its own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus

from runner.alpaca.fills import Fill, FillLedger
from runner.alpaca.retention import MARGIN_NS
from runner.node.books import compare
from tests.alpaca.conftest import IBM
from tests.alpaca.retaining import let_go, let_go_soon
from tests.alpaca.test_resume import bracket, keep


def kept(rig: Any) -> tuple[int, int, int]:
    """How much there is of orders: ids, what was booked of them, Nautilus's own."""
    return rig.client.tracker.size, rig.client.fills.size - len(rig.client.fills), len(rig.node.kernel.cache.orders())


def fill_late(rig: Any, row: Any, qty: int, price: str = "169.00") -> None:
    """The venue fills an order after its end, and tells of it."""
    rig.exchange.broker.desk.book._life.fill(rig.account, row, Decimal(qty), Decimal(price))
    row.status = "canceled"


async def canceled(rig: Any, qty: int = 10) -> Any:
    """An order that was canceled and let go of; the venue's row of it."""
    order = rig.limit("buy", qty, "170.00")
    await rig.status(order, OrderStatus.ACCEPTED)
    rig.strategy.cancel_order(order)
    await rig.status(order, OrderStatus.CANCELED)
    await rig.until(lambda: not rig.client.in_flight)
    assert let_go(rig)[-1] == order.client_order_id.value
    assert rig.node.kernel.cache.order(order.client_order_id) is None
    return order, rig.account.orders[order.venue_order_id.value]


def check_own(rig: Any, order: Any, filled: int) -> None:
    """The order has this filled, once, and nothing passes for somebody else's."""
    cache = rig.node.kernel.cache
    assert [each.strategy_id for each in cache.orders() if each.strategy_id != order.strategy_id] == []
    known = cache.order(order.client_order_id)
    assert (known.status, known.filled_qty.as_decimal()) == (OrderStatus.CANCELED, filled)
    assert sum(fill.qty for fill in rig.client.fills if fill.order_id == order.venue_order_id.value) == filled
    assert not any(fill.external or fill.inferred for fill in rig.client.fills)


def test_a_late_fill_of_an_order_that_was_let_go_of_is_its_own(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            order, row = await canceled(rig)
            rig.faults.arm({"updates": {"duplicate": 1}})
            fill_late(rig, row, 4)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 4)
            await rig.agree()
            check_own(rig, order, 4)
            assert rig.client.retention.taken_back == 1
            # Again, and once more from the lists: what was booked before is in the journal.
            assert let_go(rig) == []  # it opened the position
            await rig.status(rig.market("sell", 4), OrderStatus.FILLED)
            await rig.until(lambda: not rig.client.in_flight)
            assert order.client_order_id.value in let_go(rig)
            fill_late(rig, row, 2)
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 2)
            await rig.client.gaps.run()
            await rig.agree()
            check_own(rig, order, 6)
            rig.journal.close()

    play(scenario())


def test_a_late_fill_that_the_stream_lost_is_its_own(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            order, row = await canceled(rig)
            rig.faults.arm({"updates": {"drop": 1}})
            fill_late(rig, row, 4)
            await rig.client.gaps.run()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 4)
            await rig.agree()
            check_own(rig, order, 4)
            rig.journal.close()

    play(scenario())


def test_a_list_that_shows_what_was_let_go_of_changes_nothing(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            for side in ("buy", "sell", "buy"):
                await rig.status(rig.market(side, 5), OrderStatus.FILLED)
            await canceled(rig)
            events = len(rig.strategy.events)
            await rig.client.gaps.run()
            await rig.agree()
            assert len(rig.strategy.events) == events
            assert {each.strategy_id for each in rig.node.kernel.cache.orders()} == {rig.strategy.id}
            assert len(rig.client.fills) == 3
            rig.journal.close()

    play(scenario())


def test_an_exit_that_fills_late_comes_back_with_its_bracket(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            orders = bracket(rig)
            await rig.status(orders[0], OrderStatus.FILLED)
            for order in orders[1:]:
                await rig.status(order, OrderStatus.ACCEPTED)
            rig.strategy.cancel_order(orders[1])
            await rig.until(lambda: all(order.is_closed for order in orders))
            await rig.status(rig.market("sell", 5), OrderStatus.FILLED)
            await rig.status(rig.market("buy", 5), OrderStatus.FILLED)
            await rig.until(lambda: not rig.client.in_flight)
            assert len(let_go(rig)) == 4
            row = rig.account.orders[orders[2].venue_order_id.value]
            fill_late(rig, row, 2, "190.00")
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 3)
            await rig.agree()
            check_own(rig, orders[2], 2)
            assert rig.client.tracker.get(orders[0].client_order_id.value).group.is_entered
            rig.journal.close()

    play(scenario())


def test_a_fill_of_which_the_journal_cant_say_whose_it_is_makes_the_books_disagree(
    play: Any, running: Any, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            _, row = await canceled(rig)
            path = rig.journal.store.path
            rig.journal.store.path = tmp_path / "gone.sqlite"
            fill_late(rig, row, 4)
            await rig.until(lambda: len(rig.client.fills) == 1)
            rig.journal.store.path = path
            assert rig.client.stream_stats()["lost_fills"] == 1
            await rig.client.settle()
            books = compare(rig.client.opening, rig.client.fills, [], await rig.client.broker_snapshot())
            assert books.agree is False
            rig.journal.close()

    play(scenario())


def test_a_strangers_order_is_looked_for_once(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            desk = rig.exchange.broker.desk
            body = {"symbol": "IBM", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "3"}
            row = rig.account.orders[desk.submit(rig.account, body | {"limit_price": "170"})["id"]]
            await canceled(rig)
            asked, ask = [], rig.client.journal.recall
            rig.client.journal.recall = lambda *ids, **how: asked.append(ids) or ask(*ids, **how)
            for _ in range(2):
                rig.exchange.broker.desk.book._life.fill(rig.account, row, Decimal(1), Decimal(169))
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 2)
            assert len(asked) == 1
            assert all(fill.external and not fill.inferred for fill in rig.client.fills)
            await rig.agree()
            rig.journal.close()

    play(scenario())


def by_hand(rig: Any, qty: str, price: str | None = None, side: str = "buy") -> Any:
    """An order of nobody here, as it is at the venue."""
    body = {"symbol": "IBM", "side": side, "type": "market", "time_in_force": "day", "qty": qty}
    more = {} if price is None else {"type": "limit", "limit_price": price}
    desk = rig.exchange.broker.desk
    return rig.account.orders[desk.submit(rig.account, body | more)["id"]]


def test_an_order_that_was_placed_elsewhere_is_let_go_of_and_what_fills_of_it_later_is_counted_once(
    play: Any, running: Any, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            before, cache = kept(rig), rig.node.kernel.cache

            def position() -> int:
                return int(rig.node.kernel.portfolio.net_position(IBM))

            resting = by_hand(rig, "10", "170")
            await rig.until(lambda: len(cache.orders_open()) == 1)
            assert let_go(rig) == [], "it works"
            rig.exchange.broker.desk.book._life.fill(rig.account, resting, Decimal(4), Decimal(169))
            await rig.until(lambda: position() == 4)
            rig.exchange.broker.desk.cancel(rig.account, resting)
            await rig.until(lambda: not cache.orders_open())
            assert let_go(rig) == [], "it opened the position"
            for qty, side, then in (("3", "buy", 7), ("7", "sell", 0), ("1", "buy", 1), ("1", "sell", 0)):
                by_hand(rig, qty, side=side)
                await rig.until(lambda then=then: position() == then)
            await rig.until(lambda: len(let_go(rig)) > 0 or not cache.orders())
            await rig.until(lambda: not let_go(rig) and not cache.orders())
            assert kept(rig) == before
            assert not rig.client.external._told
            # It is a stranger's, and was before: what it had filled is known, and is not told again.
            rig.faults.arm({"updates": {"duplicate": 1}})
            fill_late(rig, resting, 2)
            await rig.until(lambda: position() == 2)
            await rig.client.gaps.run()
            await rig.agree()
            assert position() == 2
            assert sum(fill.qty for fill in rig.client.fills if fill.order_id == resting.id) == 6
            assert all(fill.external and not fill.inferred for fill in rig.client.fills)
            (again,) = cache.orders()
            assert (again.status, again.filled_qty.as_decimal()) == (OrderStatus.CANCELED, 2)
            rig.journal.close()

    play(scenario())


@pytest.mark.parametrize("most", [2, 100])
def test_sums_of_old_fills_say_the_same_as_the_fills(most: int) -> None:
    whole, ledger = FillLedger(), FillLedger()
    rows = [
        ("IBM", "buy", "3", "180.10", "0", "0", False),
        ("IBM", "sell", "1", "181.10", "0", "0", True),
        ("BTC/USD", "buy", "0.5", "30000", "0.001", "0", False),
        ("BTC/USD", "sell", "0.2", "31000", "0", "15.5", False),
        ("IBM260320C00180000", "buy", "2", "5.10", "0", "0", False),
    ]
    for number, (symbol, side, qty, price, fee_qty, fee_usd, inferred) in enumerate(rows):
        fill = Fill(
            symbol, side, Decimal(qty), Decimal(price), f"o{number}", "", number, False, inferred, Decimal(fee_qty),
            Decimal(fee_usd),
        )  # fmt: skip
        for each in (whole, ledger):
            each.book(fill, cum_qty=fill.qty, execution_id=f"e{number}")
    ledger.fold(4, most)
    assert len(ledger) == max(1, 5 - most)
    assert ledger.earlier.count == min(4, most)
    opening = Closing(Decimal(100_000), {"IBM": Decimal(7)})
    closing = Closing(Decimal("74485.30"), {"IBM": Decimal(1)})
    answers = [compare(opening, each, [], closing, earlier=each.earlier) for each in (whole, ledger)]
    assert answers[0] == answers[1]
    assert answers[0].differences
    assert ledger.bought("BTC/USD") == whole.bought("BTC/USD") == Decimal("0.5")
    ledger.forget("o0")
    assert not ledger.knows("o0")
    assert ledger.size == whole.size - ledger.earlier.count - 2


class Closing:
    def __init__(self, cash: Decimal, positions: dict[str, Decimal]) -> None:
        self.cash, self.positions = cash, positions


def test_nothing_is_left_of_orders_that_are_over(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            before = kept(rig)
            for side in ("buy", "sell") * 3:
                await rig.status(rig.market(side, 5), OrderStatus.FILLED)
            denied = rig.limit("buy", 5, "170.00", params={"nonsense": 1})
            await rig.status(denied, OrderStatus.DENIED)
            resting = rig.limit("buy", 5, "170.00")
            await rig.status(resting, OrderStatus.ACCEPTED)
            filled = [*bracket(rig)]
            await rig.status(filled[0], OrderStatus.FILLED)
            await rig.until(lambda: not rig.client.in_flight)
            assert kept(rig) > before
            gone = let_go(rig)
            assert len(gone) == 6  # neither what rests nor a bracket of which the exits work
            assert rig.client.tracker.get(filled[0].client_order_id.value) is not None
            rig.strategy.cancel_order(resting)
            rig.strategy.cancel_order(filled[1])
            await rig.status(resting, OrderStatus.CANCELED)
            await rig.until(lambda: all(order.is_closed for order in filled))
            await rig.status(rig.market("sell", 5), OrderStatus.FILLED)
            await rig.until(lambda: not rig.client.in_flight)
            assert len(let_go(rig)) == 5
            assert not let_go(rig)
            assert not rig.journal._by_id
            assert kept(rig) == (1, before[1], 1)  # of the one that was denied, which the node lets go of
            await rig.agree()
            rig.journal.close()

    play(scenario())


def test_the_order_that_opened_a_position_stays_with_it(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            let_go_soon(rig, keep(rig, tmp_path / "j.sqlite"))
            orders = [rig.market("buy", 5), rig.market("buy", 5)]
            for order in orders:
                await rig.status(order, OrderStatus.FILLED)
            await rig.until(lambda: rig.node.kernel.cache.positions_open())
            assert let_go(rig) == [orders[1].client_order_id.value]
            await rig.status(rig.market("sell", 10), OrderStatus.FILLED)
            assert len(let_go(rig)) == 2
            rig.journal.close()

    play(scenario())


def test_what_a_list_may_still_show_is_not_let_go_of(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.journal = keep(rig, tmp_path / "j.sqlite")
            market = rig.exchange.market
            await rig.status(rig.market("buy", 5), OrderStatus.FILLED)
            await rig.status(rig.market("sell", 5), OrderStatus.FILLED)
            assert not let_go(rig)
            market.set_clock(market.now_ns + 2 * MARGIN_NS)
            rig.quote("IBM", "180.00", "180.02")
            await rig.status(rig.market("buy", 5), OrderStatus.FILLED)  # so that the venue's time is known
            assert not let_go(rig)  # as long as nobody has looked at everything
            await rig.client.gaps.run()
            market.set_clock(market.now_ns + 10_000_000_000)
            assert len(let_go(rig)) == 2
            rig.journal.close()

    play(scenario())


def test_without_a_journal_nothing_is_let_go_of(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 5), OrderStatus.FILLED)
            assert rig.client.retention.sweep(0, 0) == []

    play(scenario())
