"""Money that is paid in or out is neither won nor lost, whenever the broker tells of it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Quantity

from runner.alpaca.models import Activity
from runner.alpaca.transfers import Move, Transfers, span
from runner.config.risk import Portion
from runner.risk.latches import MemoryLatches
from runner.risk.limits import Limits
from runner.risk.state import NODE, State
from tests.alpaca.conftest import IBM, NEW_YORK
from tests.alpaca.test_adjust import book
from tests.alpaca.test_gate_over_the_wire import take_the_seat

LIMITS = Limits(max_daily_loss=Portion(amount=Decimal(500)))


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


def transfer(rig: Any, amount: str, **more: Any) -> None:
    assert rig.exchange.broker.control.do({"transfer": {"amount": amount, **more}}) == 1


async def read(rig: Any, gate: Any, times: int = 3) -> Any:
    """The account is read so often, and the gate looks at it; the node's state."""
    for _ in range(times):
        await rig.client.book.refresh()
    await rig.until(lambda: rig.node.kernel.exec_engine.evt_qsize() == 0)
    gate.tick()
    return gate.states.get(NODE)


def lose(rig: Any, amount: str) -> None:
    """Something that only the broker's figures tell of."""
    transfer(rig, f"-{amount}", type="FEE")


@pytest.mark.parametrize("amount", ["-5000", "5000"])
def test_a_transfer_is_no_loss_and_hides_none(play: Any, running: Any, amount: str) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            for more in ({}, {"type": "JNLC"}, {"type": "ACATC"}, {"type": "JNL"}):
                transfer(rig, amount, **more)
                assert (await read(rig, gate)).state is State.ACTIVE
            lose(rig, "500")
            assert (await read(rig, gate)).state is State.ACTIVE
            lose(rig, "0.01")
            standing = await read(rig, gate)
            assert standing.state is State.REDUCING
            assert standing.why.startswith("MAX_DAILY_LOSS: 500.01 lost today")

    play(scenario())


@pytest.mark.parametrize(("amount", "lost"), [("-501", "501"), ("400", None), ("-400", None)])
def test_what_the_account_earns_and_pays_is_won_and_lost(
    play: Any, running: Any, amount: str, lost: str | None
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            transfer(rig, amount, type="INT")
            standing = await read(rig, gate)
            assert standing.state is (State.ACTIVE if lost is None else State.REDUCING)
            assert gate.losses._days[NODE].lost == (501 if lost else -Decimal(amount) if amount[0] == "-" else 0)

    play(scenario())


def test_what_came_is_taken_for_a_deposit_until_an_activity_tells(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            transfer(rig, "5000", row=False)
            lose(rig, "499")
            assert (await read(rig, gate)).state is State.ACTIVE
            assert gate.losses._days[NODE].lost == 499
            transfer(rig, "5000", cash=False)
            await rig.client.transfers._read()
            lose(rig, "2")
            standing = await read(rig, gate)
            assert standing.state is State.REDUCING
            assert standing.why.startswith("MAX_DAILY_LOSS: 501 lost today")
            assert standing.why.endswith("; 5,000 paid in since the close of 2026-01-09 don't count")

    play(scenario())


def test_what_went_counts_as_lost_until_an_activity_tells_and_its_latch_stays(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            transfer(rig, "-5000", row=False)
            standing = await read(rig, gate, 1)
            assert standing.state is State.REDUCING
            assert "5,000 went that no activity explains yet (a withdrawal?)" in standing.why
            transfer(rig, "-5000", cash=False)
            await read(rig, gate)
            await rig.client.transfers._read()
            assert (await read(rig, gate)).why == standing.why
            assert gate.losses._days[NODE].lost == 0
            gate.resume(why="it was a withdrawal")
            lose(rig, "501")
            standing = await read(rig, gate)
            assert standing.why.startswith("MAX_DAILY_LOSS: 501 lost today")

    play(scenario())


@pytest.mark.parametrize("amount", ["-5000", "5000"])
def test_an_activity_before_its_money_changes_nothing(play: Any, running: Any, amount: str) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            transfer(rig, amount, cash=False)
            await rig.client.transfers._read()
            assert (await read(rig, gate)).state is State.ACTIVE
            assert gate.losses._days[NODE].lost == 0
            transfer(rig, amount, row=False)
            lose(rig, "501")
            assert (await read(rig, gate)).why.startswith("MAX_DAILY_LOSS: 501 lost today")

    play(scenario())


def test_money_that_the_account_shows_as_on_its_way_out_is_no_loss(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            transfers = rig.client.transfers
            transfer(rig, "-5000", row=False)
            account, body = await rig.client.rest.account()
            account = msgspec.structs.replace(account, pending_transfer_out=Decimal(5000))
            await transfers.look(account, body)
            assert transfers.figures(account) == {"transferred": "-5000", "unexplained": "0"}
            transfer(rig, "-5000", cash=False)
            await transfers._read()
            assert transfers.figures(account) == {"transferred": "-5000", "unexplained": "0"}
            assert [move.kind for move in transfers._moves] == ["CSW"]
            assert gate.errors == 0

    play(scenario())


def test_fills_are_no_transfers(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            orders = [rig.market("buy", 10), rig.market("buy", 5)]
            await rig.until(lambda: all(order.is_closed for order in orders))
            rig.market("sell", 15)
            await rig.until(lambda: rig.position("IBM") == 0)
            rig.account.cash += Decimal("0.03")  # each fill is rounded to the cent
            for _ in range(3):
                await rig.client.book.refresh()
            assert rig.client.transfers._moves == []
            transfer(rig, "0.03", row=False)
            for _ in range(3):
                await rig.client.book.refresh()
            assert [move.amount for move in rig.client.transfers._moves] == [Decimal("0.03")]

    play(scenario())


@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_paid_in_is_known_after_a_restart(play: Any, running: Any, is_late: bool) -> None:
    store = MemoryLatches()

    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, LIMITS)
            rig.client.transfers.keep_in(store, "main")
            transfer(rig, "5000", row=not is_late)
            await read(rig, gate)
            # As the next life begins.
            again = Transfers(rig.client)
            again.keep_in(store, "main")
            account, _ = await rig.client.rest.account()
            await again.begin(account)
            name = "unexplained" if is_late else "transferred"
            assert again.figures(account) == {"transferred": "0", "unexplained": "0"} | {name: "5000"}
            transfer(rig, "5000", cash=False) if is_late else None
            third = Transfers(rig.client)
            third.keep_in(store, "main")
            await third.begin(account)
            assert third.figures(account) == {"transferred": "5000", "unexplained": "0"}

    play(scenario())


def test_what_was_paid_in_while_no_node_ran_is_known(play: Any, running: Any) -> None:
    def before(exchange: Any, key: str) -> None:
        exchange.broker.account(key)
        exchange.broker.control.do({"transfer": {"amount": "5000"}})

    async def scenario() -> None:
        async with running(before=before) as rig:
            gate = take_the_seat(rig, LIMITS)
            lose(rig, "501")
            assert (await read(rig, gate)).why.startswith("MAX_DAILY_LOSS: 501 lost today")

    play(scenario())


@pytest.mark.parametrize(("move", "is_since"), [
    (Move(Decimal(1), ns("2026-01-09 15:00"), ns("2026-01-09 15:05")), False),
    (Move(Decimal(1), ns("2026-01-09 15:58"), ns("2026-01-09 16:03")), True),
    (Move(Decimal(-1), ns("2026-01-09 15:58"), ns("2026-01-09 16:03")), False),
    (Move(Decimal(-1), ns("2026-01-09 16:00"), ns("2026-01-09 16:03")), True),
])  # fmt: skip
def test_a_move_of_about_the_close_counts_where_it_would_hide_a_loss(move: Move, is_since: bool) -> None:
    close_ns = ns("2026-01-09 16:00")
    assert move.is_since(close_ns, close_ns) is is_since


@pytest.mark.parametrize(("amount", "told"), [("5000", "5000"), ("-5000", "0")])
def test_a_transfer_between_a_short_days_close_and_four_counts_where_it_would_hide_a_loss(
    play: Any, running: Any, amount: str, told: str
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            for when in ("2026-11-27 12:00", "2026-11-27 13:30", "2026-11-27 14:00"):
                rig.exchange.market.set_clock(ns(when))
                rig.client.venue_clock.observe(ns(when))
                await rig.client.book.refresh()
            transfer(rig, amount)
            await rig.client.transfers._read()
            await rig.client.book.refresh()
            account, _ = await rig.client.rest.account()
            assert account.balance_asof == "2026-11-27"
            assert rig.client.transfers.figures(account)["transferred"] == told

    play(scenario())


@pytest.mark.parametrize(("date", "made", "after", "by"), [
    ("2026-01-09", "2026-01-09T18:00:00Z", "2026-01-09 13:00", "2026-01-09 13:00"),
    ("2026-01-09", "2026-01-10T00:00:00Z", "2026-01-09 00:00", "2026-01-10 00:00"),  # late, as on paper
    ("2026-01-09", None, "2026-01-09 00:00", "2026-01-10 00:00"),
])  # fmt: skip
def test_when_a_rows_money_moved(date: str, made: str | None, after: str, by: str) -> None:
    row = Activity(id="1", activity_type="CSD", date=date, created_at=made)
    assert span(row) == (ns(after) - 1, ns(by))


@pytest.mark.parametrize("qty", ["10", "-10"])
def test_shares_that_are_transferred_are_no_loss_and_hide_none(play: Any, running: Any, qty: str) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 20), OrderStatus.FILLED)
            await read(rig, take_the_seat(rig, Limits()))
            book(rig, "JNLS", "IBM", qty, price="180")  # 1800 dollars
            await rig.client.transfers._read()
            account, _ = await rig.client.rest.account()
            told = rig.client.transfers.figures(account)
            assert told == {"transferred": str(Decimal(qty) * 180), "unexplained": "0"}
            await rig.client.transfers._read()
            assert rig.client.transfers.figures(account) == told, "once"

    play(scenario())


def show(rig: Any, price: str) -> None:
    """The node sees a quote of IBM."""
    cache, now_ns = rig.node.kernel.cache, rig.exchange.market.now_ns
    at, size = cache.instrument(IBM).make_price(Decimal(price)), Quantity.from_int(100)
    cache.add_quote_tick(QuoteTick(IBM, at, at, size, size, now_ns, now_ns))


def test_a_split_whose_shares_come_first_is_no_loss(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            show(rig, "180")
            gate = take_the_seat(rig, LIMITS)
            await rig.status(rig.market("buy", 100), OrderStatus.FILLED)
            gate.tick()
            before = gate.ledger.value()
            rig.exchange.broker.control.do({"split": {"symbol": "IBM", "new_rate": 3, "old_rate": 1}})
            await rig.client.gaps.run()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 300)
            assert (await read(rig, gate)).state is State.ACTIVE
            assert gate.ledger.value() == before
            show(rig, "59")
            gate.tick()
            assert gate.ledger.value() == before - 300
            assert gate.states.get(NODE).state is State.ACTIVE
            assert gate.errors == 0

    play(scenario())


def test_a_split_whose_price_comes_first_says_so_where_it_looks_like_a_loss(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            show(rig, "180")
            gate = take_the_seat(rig, LIMITS)
            await rig.status(rig.market("buy", 100), OrderStatus.FILLED)
            gate.tick()
            before = gate.ledger.value()
            show(rig, "60")
            gate.tick()
            standing = gate.states.get(NODE)
            assert standing.state is State.REDUCING
            assert "IBM went from 180 to 60 at once (a split that is not booked yet?)" in standing.why
            rig.exchange.broker.control.do({"split": {"symbol": "IBM", "new_rate": 3, "old_rate": 1}})
            await rig.client.gaps.run()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 300)
            assert (await read(rig, gate)).state is State.REDUCING
            assert gate.ledger.value() == before
            gate.resume(why="it was a split")
            assert (await read(rig, gate)).state is State.ACTIVE

    play(scenario())


def test_an_activity_whose_money_had_not_gone_before_a_restart_takes_off_no_loss(play: Any, running: Any) -> None:
    store = MemoryLatches()

    async def scenario() -> None:
        async with running() as rig:
            rig.client.transfers.keep_in(store, "main")
            transfer(rig, "-5000", cash=False)
            await rig.client.transfers._read()
            await rig.client.book.refresh()
            again = Transfers(rig.client)
            again.keep_in(store, "main")
            account, _ = await rig.client.rest.account()
            await again.begin(account)
            assert again.figures(account) == {"transferred": "0", "unexplained": "0"}
            transfer(rig, "-5000", row=False)
            account, _ = await again.look(*await rig.client.rest.account())
            assert again.figures(account) == {"transferred": "-5000", "unexplained": "0"}

    play(scenario())


def test_a_record_that_can_not_be_read_is_told_and_the_activities_count(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            transfer(rig, "5000")
            again = Transfers(rig.client)
            again.keep_in(MemoryLatches({"transfers/main": '{"moves": [{}]}'}), "main")
            account, _ = await rig.client.rest.account()
            await again.begin(account)
            assert again.figures(account) == {"transferred": "5000", "unexplained": "0"}

    play(scenario())
