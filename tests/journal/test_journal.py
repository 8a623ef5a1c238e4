"""What is kept of orders, accounts, the gate and strategies, and what comes back of it."""

from __future__ import annotations

import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderStatus
from nautilus_trader.model.events import OrderAccepted, OrderCanceled, OrderFilled, OrderInitialized, OrderSubmitted
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientOrderId,
    ExecAlgorithmId,
    InstrumentId,
    PositionId,
    StrategyId,
    TradeId,
    TraderId,
    VenueOrderId,
)
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.orders import LimitOrder

from runner.journal import Journal, JournalError
from tests.node.fake_venue import IBM, equity

ACCOUNT = AccountId("ALPACA-PAPER")
TRADER = TraderId("test-001")
S1 = StrategyId("Some-one")


class Desk:
    """Orders as a node would make them, with the events that a venue brings about."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path)
        self.cache = Cache()
        self.cache.add_instrument(equity("IBM"))
        self.account = self.journal.account("main")
        self.known = self.account.open_account("PA1")
        self.factory = OrderFactory(TRADER, S1, TestClock())
        self.factory.set_client_order_id_count(self.journal.run * 100)
        self.journal.start(self.cache)

    async def send(self, side: str, qty: int, **kw: Any) -> Any:
        way = OrderSide.BUY if side == "buy" else OrderSide.SELL
        return await self.submit(self.factory.limit(IBM, way, Quantity.from_int(qty), Price.from_str("100.00"), **kw))

    async def submit(self, order: Any) -> Any:
        self.cache.add_order(order)
        name, qty = order.client_order_id.value, order.quantity.as_decimal()
        await self.account.before_submit(
            [order], order_id=name, client_order_id=name, qty=qty, params={"extended_hours": True}
        )
        ids = (TRADER, S1, IBM, order.client_order_id)
        self.apply(order, OrderSubmitted(*ids, ACCOUNT, UUID4(), 1, 1))
        self.apply(order, OrderAccepted(*ids, VenueOrderId(f"v-{name}"), ACCOUNT, UUID4(), 2, 2))
        return order

    def fill(self, order: Any, qty: int, price: str = "100.00") -> None:
        trade = f"T-{order.client_order_id.value}-{order.filled_qty}"[-36:]
        self.account.booked(
            order.client_order_id.value, order.venue_order_id.value,
            [(Decimal(0), order.filled_qty.as_decimal() + qty)], Decimal(0), Decimal(0), trade_id=trade,
        )  # fmt: skip
        event = OrderFilled(
            TRADER, S1, IBM, order.client_order_id, order.venue_order_id, ACCOUNT, TradeId(trade),
            PositionId(f"{IBM}-{S1}"), order.side, order.order_type, Quantity.from_int(qty), Price.from_str(price),
            USD, Money(0, USD), LiquiditySide.TAKER, UUID4(), 3, 3,
        )  # fmt: skip
        self.apply(order, event)

    def cancel(self, order: Any) -> None:
        ids = (TRADER, S1, IBM, order.client_order_id, order.venue_order_id, ACCOUNT)
        self.apply(order, OrderCanceled(*ids, UUID4(), 4, 4))

    def apply(self, order: Any, event: Any) -> None:
        order.apply(event)
        self.cache.update_order(order)
        self.journal.on_order_event(event)

    def reborn(self, path: Path) -> Desk:
        self.journal.close()
        return Desk(path)


async def test_what_an_algorithm_had_sent_comes_back_as_the_strategys_own(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    # Of a primary order that was never sent, and so is not in the journal: a part, filled half and resting.
    primary = desk.factory.limit(
        IBM, OrderSide.BUY, Quantity.from_int(30), Price.from_str("100.00"), exec_algorithm_id=ExecAlgorithmId("slicer")
    )
    desk.cache.add_order(primary)
    part = ClientOrderId(f"{primary.client_order_id}-E1")
    init = OrderInitialized.to_dict(primary.init_event) | {"client_order_id": part.value, "quantity": "10"}
    init["exec_spawn_id"] = primary.client_order_id.value
    spawned = LimitOrder.create(OrderInitialized.from_dict(init))
    assert spawned.is_spawned
    await desk.submit(spawned)
    desk.fill(spawned, 4)

    desk = desk.reborn(path)
    (past,) = desk.account.restore()
    assert past.order.client_order_id == part
    assert past.order.strategy_id == S1
    assert (past.order.exec_algorithm_id, past.order.exec_spawn_id) == (None, None)
    assert past.order.filled_qty == Quantity.from_int(4)
    assert desk.cache.exec_algorithm_ids() == set()
    assert desk.cache.check_integrity()
    desk.fill(past.order, 6)
    assert [int(each.signed_decimal_qty()) for each in desk.cache.positions_open(strategy_id=S1)] == [4]
    desk.journal.close()


async def test_orders_come_back_with_their_state_and_positions_with_their_strategy(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    assert not desk.known
    flat = await desk.send("buy", 5)
    desk.fill(flat, 5)
    closing = await desk.send("sell", 5)
    desk.fill(closing, 5)
    done = await desk.send("buy", 10)
    desk.fill(done, 4, "101.50")
    desk.fill(done, 6, "102.0050")
    working = await desk.send("sell", 8)
    desk.fill(working, 3, "103.00")
    gone = await desk.send("buy", 1)
    desk.cancel(gone)

    desk = desk.reborn(path)
    assert desk.known
    assert desk.account.instruments() == {"IBM.ALPACA"}
    (past,) = desk.account.restore()
    assert past.order.client_order_id == working.client_order_id
    assert past.order.status == OrderStatus.PARTIALLY_FILLED
    assert past.order.filled_qty == working.filled_qty
    assert past.params == {"extended_hours": True}
    (booked,) = past.booked
    assert booked.spans == [(Decimal(0), Decimal(3))]
    (position,) = desk.cache.positions_open(strategy_id=S1, account_id=ACCOUNT)
    assert position.signed_decimal_qty() == 7
    assert str(position.avg_px_open) == "101.803"
    # What an open position or order does not need is left on the disk.
    ids = {order.client_order_id for order in desk.cache.orders()}
    assert ids == {done.client_order_id, working.client_order_id}
    # Its next event is kept as well.
    desk.fill(past.order, 5)
    desk = desk.reborn(path)
    assert desk.account.restore() == []
    (position,) = desk.cache.positions_open()
    assert position.signed_decimal_qty() == 2
    desk.journal.close()


async def test_a_position_that_went_through_zero_in_one_fill_comes_back_as_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    order = await desk.send("buy", 3)
    desk.fill(order, 3)
    order = await desk.send("sell", 10)
    desk.fill(order, 10, "99.00")
    desk = desk.reborn(path)
    desk.account.restore()
    (position,) = desk.cache.positions_open()
    assert position.signed_decimal_qty() == -7
    assert str(position.avg_px_open) == "99.0"
    desk.journal.close()


async def test_a_reduce_only_fill_without_a_position_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    desk.fill(await desk.send("buy", 3), 3)
    desk.fill(await desk.send("sell", 3, reduce_only=True), 3)
    desk.fill(await desk.send("sell", 2, reduce_only=True), 2)  # filled against what somebody else holds
    desk.fill(await desk.send("buy", 4), 4)
    desk = desk.reborn(path)
    assert desk.account.restore() == []
    (position,) = desk.cache.positions_open()
    assert position.signed_decimal_qty() == 4
    desk.journal.close()


async def test_an_order_that_closed_what_others_hold_makes_no_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.S1", StrategyId("EXTERNAL"))
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    order = await desk.send("sell", 3)
    desk.fill(order, 3)
    desk = desk.reborn(path)
    assert desk.account.restore() == []
    assert desk.cache.positions() == []
    desk.journal.close()


async def test_a_fill_is_booked_with_its_event_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    order = await desk.send("buy", 3)
    # The process dies after the adapter has booked it, and before Nautilus has applied it.
    spans = [(Decimal(0), Decimal(3))]
    desk.account.booked(order.client_order_id.value, "v", spans, Decimal(300), Decimal(0), trade_id="T")
    desk = desk.reborn(path)
    (past,) = desk.account.restore()
    assert past.booked == []
    desk.journal.close()


async def test_an_order_is_written_when_before_submit_returns(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "life" / "j.sqlite")
    order = await desk.send("buy", 3)
    shutil.copytree(tmp_path / "life", tmp_path / "death")  # as a kill would leave it
    desk.journal.close()
    later = Desk(tmp_path / "death" / "j.sqlite")
    (past,) = later.account.restore()
    assert [(past.order.client_order_id, send.kind) for send in past.sends] == [(order.client_order_id, "submit")]
    later.journal.close()


@pytest.mark.parametrize(
    "garble",
    [
        "UPDATE orders SET init = substr(init, 1, 50)",
        "UPDATE events SET body = 'x'",
        "UPDATE events SET body = '{}'",
        "UPDATE sends SET qty = 'abc'",
        "UPDATE meta SET value = 'x' WHERE key = 'run'",
        "INSERT INTO booked VALUES ('v', 'o', '[', '0', '0')",
        "INSERT INTO strategies VALUES ('s', x'c1', 1)",
    ],
)
async def test_a_row_that_can_t_be_understood_is_damage_with_its_remedy(tmp_path: Path, garble: str) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    order = await desk.send("buy", 3)
    desk.fill(order, 3)
    desk.journal.close()
    with sqlite3.connect(path) as other:
        other.execute(garble)
    other.close()
    with pytest.raises(JournalError, match=r"j\.sqlite is damaged \(.*move it away and start again"):  # noqa: PT012
        journal = Journal(path)
        try:
            journal.account("main").instruments()
            journal.account("main").restore()
            journal.load_state("s")
        finally:
            journal.close()


def test_a_record_that_can_t_be_written_now_is_written_once_it_can(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    connection = journal.store._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    journal.start(None)
    with pytest.raises(JournalError, match="the disk is full"):
        journal.save("state/node/", "x" * 9000)
    connection.execute(f"PRAGMA max_page_count = {pages + 100}")
    journal.close()
    assert Journal(path).load() == {"state/node/": "x" * 9000}


def test_another_account_than_before_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "j.sqlite")
    desk.journal.close()
    journal = Journal(tmp_path / "j.sqlite")
    with pytest.raises(JournalError, match="opens another account than the one"):
        journal.account("main").open_account("PA2")
    journal.close()


def test_the_claim_on_an_account_may_refuse_it(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []
    journal = Journal(tmp_path / "j.sqlite", claim=lambda name, broker_id: asked.append((name, broker_id)))
    journal.account("main").open_account("PA1")
    assert asked == [("main", "PA1")]
    journal.close()


def test_latches_states_and_the_number_of_lives_come_back(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    journal.save("state/node/", "halted")
    journal.start(Cache())
    journal.save("state/node/", "reducing")
    journal.save_state("one", {"lives": b"7"})
    assert journal.run == 1
    journal.close()
    journal = Journal(path)
    assert journal.run == 2
    assert journal.load() == {"state/node/": "reducing"}
    assert journal.load_state("one") == {"lives": b"7"}
    assert journal.load_state("two") is None
    journal.close()


def test_events_of_orders_that_were_never_sent_are_not_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "j.sqlite")
    order = desk.factory.market(InstrumentId.from_str("IBM.ALPACA"), OrderSide.BUY, Quantity.from_int(1))
    desk.journal.on_order_event(order.init_event)
    desk.journal.close()
    journal = Journal(tmp_path / "j.sqlite")
    assert journal.store.read("SELECT * FROM events") == []
    journal.close()


async def aged(path: Path, monkeypatch: pytest.MonkeyPatch, *, reduce_only: bool = False) -> Desk:
    """Long ago: bought 5, sold 5, and a fill of 3 that is held to this day; each order of it has ended."""
    desk = Desk(path)
    for side, qty in (("buy", 5), ("sell", 5)):
        desk.fill(await desk.send(side, qty), qty)
    if reduce_only:
        desk.fill(await desk.send("sell", 7, reduce_only=True), 7)
    desk.cancel(await desk.send("buy", 9))
    desk.fill(await desk.send("buy", 3), 3)
    desk.journal.store.write_now([])
    monkeypatch.setattr("runner.journal.journal.KEEP_NS", -(10**18))
    return desk


def counted(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as file:
        tables = ("orders", "sends", "booked", "events")
        counts = {table: file.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}
    file.close()
    return counts


@pytest.mark.parametrize("reduce_only", [False, True])
async def test_what_ended_long_ago_goes_with_its_fills_save_those_of_a_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reduce_only: bool
) -> None:
    path = tmp_path / "j.sqlite"
    desk = (await aged(path, monkeypatch, reduce_only=reduce_only)).reborn(path)
    assert counted(path) == {"orders": 0, "sends": 0, "booked": 0, "events": 1}
    assert desk.account.restore() == []
    (position,) = desk.cache.positions_open()
    assert position.signed_decimal_qty() == 3
    desk.journal.close()


async def test_a_running_node_forgets_too_but_for_fills_and_their_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite"
    desk = await aged(path, monkeypatch, reduce_only=True)
    desk.journal.prune()
    desk.journal.store.write_now([])
    assert counted(path) == {"orders": 4, "sends": 0, "booked": 0, "events": 4}
    desk = desk.reborn(path)
    assert [each.signed_decimal_qty() for each in desk.cache.positions_open()] == []
    desk.account.restore()
    assert [each.signed_decimal_qty() for each in desk.cache.positions_open()] == [3]
    assert counted(path)["events"] == 1
    desk.journal.close()


async def test_an_order_that_was_let_go_of_is_found_by_any_of_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    desk = Desk(path)
    order = await desk.send("buy", 9)
    desk.fill(order, 4)
    desk.cancel(order)
    other = await desk.send("sell", 1)
    name = order.client_order_id
    await desk.account.before_replace(order_id=name.value, client_order_id=f"{name}-r1", qty=Decimal(8))
    desk.journal.store.write_now([])
    for order_id, client_order_id in (("", name.value), ("", f"{name}-r1"), (order.venue_order_id.value, "")):
        desk.cache.purge_order(name)
        desk.account.unfollow(name.value)
        (past,) = desk.account.recall(order_id, client_order_id)
        assert desk.account.recall(order_id, client_order_id, in_text=True)
        known = desk.cache.order(name)
        assert (known.status, known.filled_qty) == (OrderStatus.CANCELED, Quantity.from_int(4))
        assert past.order is known
        assert [(row.venue_order_id, row.spans) for row in past.booked] == [
            (order.venue_order_id.value, [(Decimal(0), Decimal(4))])
        ]
        assert [send.kind for send in past.sends] == ["submit", "replace"]
    desk.fill(known, 1)  # its events are kept again
    desk.journal.store.write_now([])
    with desk.journal.store.aside() as read:
        assert read("SELECT COUNT(*) FROM events WHERE kind = 'OrderFilled'") == [(2,)]
    assert desk.account.recall("nobody's", "nobody's", in_text=True) == []
    assert desk.account.recall(f"v-{other.client_order_id}", "") == []  # it has not filled
    assert len(desk.account.recall(f"v-{other.client_order_id}", "", in_text=True)) == 1
    assert desk.journal.account("other").recall("", name.value) == []
    desk.journal.close()
