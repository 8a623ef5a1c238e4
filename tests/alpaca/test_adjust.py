"""Positions that change without an order end in Nautilus's positions and in the books."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OptionKind, OrderSide, OrderStatus
from nautilus_trader.model.identifiers import InstrumentId

from runner.alpaca.adjust import endings, has_expired
from runner.exchange.broker.activities import Activity
from runner.node.books import compare
from tests.alpaca.scripted import contract
from tests.alpaca.test_multi_leg import net, send

FILLED = OrderStatus.FILLED
IBM = InstrumentId.from_str("IBM.ALPACA")
SYMBOL, PUT_SYMBOL = "IBM260320C00180000", "IBM260320P00175000"
CALL, PUT = contract(SYMBOL, "180"), contract(PUT_SYMBOL, "175", OptionKind.PUT)


def arrange(rig: Any) -> None:
    rig.exchange.market.add_symbols([SYMBOL, PUT_SYMBOL])
    for instrument in (CALL, PUT):
        rig.node.kernel.cache.add_instrument(instrument)
        rig.quote(instrument.id.symbol.value, "5.00", "5.10")


def book(rig: Any, kind: str, symbol: str, qty: str, price: str = "0", amount: str = "0") -> None:
    """The venue moves a position without an order, and writes a row."""
    write(rig, kind, symbol, qty, price, amount)
    rig.account.cash += Decimal(amount)
    move(rig, symbol, Decimal(qty))


def write(rig: Any, kind: str, symbol: str, qty: str, price: str = "0", amount: str = "0") -> None:
    """A row of the venue's, of a position that has moved already."""
    account, now_ns = rig.account, rig.exchange.market.now_ns
    row = {
        "activity_type": kind, "id": f"20260112150000000::{kind}{len(account.activities.rows)}", "date": "2026-01-12",
        "net_amount": amount, "symbol": symbol, "qty": qty, "price": price, "description": "", "status": "executed",
    }  # fmt: skip
    account.activities.add(Activity(row["id"], kind, now_ns, row))


def move(rig: Any, symbol: str, change: Decimal) -> None:
    account = rig.account
    held = account.positions.get(symbol)
    if held is None:
        template = next(iter(account.positions.values()))
        held = type(template)(symbol=symbol) if symbol not in account.positions else template
        account.positions[symbol] = held
    held.qty += change
    if held.qty == 0:
        del account.positions[symbol]


async def books_of(rig: Any) -> Any:
    snapshot = await rig.client.broker_snapshot()
    rows = await rig.client.non_trade_activities()
    awaited, unsettled = rig.client.awaited_activities(), len(rig.client.unsettled())
    return compare(rig.client.opening, rig.client.fills, rows, snapshot, unsettled=unsettled, awaited=awaited)


async def agree(rig: Any) -> None:
    books = await books_of(rig)
    assert books.agree, [str(row) for row in books.differences]
    stats = rig.client.stream_stats()
    assert stats["position_differences"] == 0
    assert stats["inferred_fills"] == 0


def test_a_contract_that_expires_leaves_no_position(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(send(rig, OrderSide.BUY, 2, "5.10", CALL), FILLED)
            await rig.until(lambda: net(rig, CALL) == 2)
            book(rig, "OPEXP", SYMBOL, "-2")
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0, "no position")
            (position,) = rig.node.kernel.cache.positions_closed(instrument_id=CALL.id)
            assert position.strategy_id == rig.strategy.id
            assert position.realized_pnl.as_double() == pytest.approx(-1020.0)
            await rig.client.gaps.run()
            await agree(rig)

    play(scenario())


def test_what_ends_long_after_the_last_fill_ends_in_the_positions(play: Any, running: Any) -> None:
    """The newest fill that the venue names is older than what a look reads."""

    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(send(rig, OrderSide.BUY, 2, "5.10", CALL), FILLED)
            await rig.until(lambda: net(rig, CALL) == 2)
            rig.exchange.market.set_clock(rig.exchange.market.now_ns + 3_600 * 10**9)
            rig.client.venue_clock.observe(rig.exchange.market.now_ns)
            await rig.client.gaps.run()
            await rig.client.gaps.run()  # what it reads begins at the one before
            book(rig, "OPEXP", SYMBOL, "-2")
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0, "no position")
            await agree(rig)

    play(scenario())


def test_an_assignment_closes_the_contract_and_delivers_the_shares_at_the_strike(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(rig.market("buy", 100), FILLED)
            await rig.status(send(rig, OrderSide.SELL, 1, "5.00", CALL), FILLED)  # a covered call
            await rig.until(lambda: net(rig, CALL) == -1)
            book(rig, "OPASN", SYMBOL, "1")
            book(rig, "OPTRD", "IBM", "-100", "180", "18000")
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0 and rig.client.crossings.position("IBM") == 0, "no position")
            (shares,) = rig.node.kernel.cache.positions_closed(instrument_id=IBM)
            assert shares.avg_px_close == pytest.approx(180.0)
            await agree(rig)

    play(scenario())


@pytest.mark.parametrize(("change", "after", "price"), [("30", 40, 45.005), ("-5", 5, 360.04)])
def test_a_split_keeps_what_the_shares_have_cost(
    play: Any, running: Any, change: str, after: int, price: float
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            book(rig, "SPLIT", "IBM", change)
            await rig.client.gaps.run()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == after, "the shares after the split")
            (position,) = rig.node.kernel.cache.positions_open(instrument_id=IBM)
            assert position.avg_px_open == pytest.approx(price)
            assert rig.node.kernel.portfolio.realized_pnl(IBM).as_double() == 0
            await agree(rig)

    play(scenario())


def test_what_no_row_explains_is_an_error_as_before(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            move(rig, "IBM", Decimal(5))
            await rig.client.gaps.run()
            assert rig.client.stream_stats()["position_differences"] == 1

    play(scenario())


def test_a_fill_that_comes_while_reasons_are_read_is_no_difference(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            move(rig, "IBM", Decimal(5))
            ask, bac = rig.client.adjustments.reasons, InstrumentId.from_str("BAC.ALPACA")

            async def slowly(changes: Any) -> Any:
                await rig.status(rig.market("buy", 9, bac), FILLED)
                return await ask(changes)

            rig.client.adjustments.reasons = slowly
            await rig.client.gaps.run()
            assert rig.client.stream_stats()["position_differences"] == 1
            assert rig.client.crossings.positions == {"IBM": 15, "BAC": 9}

    play(scenario())


def test_a_contract_has_expired_from_its_day_on() -> None:
    noon = 1_773_997_200 * 10**9  # 2026-03-20
    assert has_expired(SYMBOL, noon)
    assert not has_expired(SYMBOL, noon - 86_400 * 10**9)
    assert not has_expired("IBM", noon)


NOON = 1_773_997_200 * 10**9  # 2026-03-20, the day of CALL and PUT
D = Decimal


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({SYMBOL: D(-2)}, {SYMBOL: ("EXPIRED", D(0))}),
        ({SYMBOL: D(-2), "IBM": D(200)}, {SYMBOL: ("DELIVERED", D(0)), "IBM": ("DELIVERED", D(180))}),
        ({SYMBOL: D(1), "IBM": D(-100)}, {SYMBOL: ("DELIVERED", D(0)), "IBM": ("DELIVERED", D(180))}),
        ({PUT_SYMBOL: D(1), "IBM": D(100)}, {PUT_SYMBOL: ("DELIVERED", D(0)), "IBM": ("DELIVERED", D(175))}),
        (
            {SYMBOL: D(-2), PUT_SYMBOL: D(1), "IBM": D(100)},
            {SYMBOL: ("EXPIRED", D(0)), PUT_SYMBOL: ("DELIVERED", D(0)), "IBM": ("DELIVERED", D(175))},
        ),
        ({SYMBOL: D(-1), "IBM": D(70)}, {SYMBOL: ("EXPIRED", D(0))}),
        ({"IBM": D(70)}, {}),
    ],
)
def test_what_positions_alone_say_of_contracts_that_ended(changes: Any, ended: Any) -> None:
    assert endings(changes, NOON) == ended
    before = endings(changes, NOON - 86_400 * 10**9)
    assert before == {symbol: how for symbol, how in ended.items() if how[0] != "EXPIRED"}


def test_an_assignment_whose_rows_come_a_day_later_is_seen_in_the_positions(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(rig.market("buy", 100), FILLED)
            await rig.status(send(rig, OrderSide.SELL, 1, "5.00", CALL), FILLED)  # a covered call
            await rig.until(lambda: net(rig, CALL) == -1)
            move(rig, SYMBOL, Decimal(1))
            move(rig, "IBM", Decimal(-100))
            rig.account.cash += 18_000
            await rig.client.gaps.run()
            await rig.until(lambda: net(rig, CALL) == 0 and not rig.node.kernel.cache.positions_open(), "no position")
            (shares,) = rig.node.kernel.cache.positions_closed(instrument_id=IBM)
            assert shares.avg_px_close == pytest.approx(180.0)
            books = await books_of(rig)
            assert books.agree is None
            assert SYMBOL in books.reason
            assert rig.client.stream_stats()["adjustments"] == 2
            assert rig.client.stream_stats()["position_differences"] == 0
            write(rig, "OPASN", SYMBOL, "1")  # the next morning
            write(rig, "OPTRD", "IBM", "-100", "180", "18000")
            await rig.client.gaps.run()
            await agree(rig)

    play(scenario())


def test_a_row_that_never_comes_is_a_difference_once_it_is_due(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(rig.market("buy", 100), FILLED)
            await rig.status(send(rig, OrderSide.SELL, 1, "5.00", CALL), FILLED)
            await rig.until(lambda: net(rig, CALL) == -1)
            move(rig, SYMBOL, Decimal(1))
            move(rig, "IBM", Decimal(-100))
            rig.account.cash += 18_000
            await rig.client.gaps.run()
            assert (await books_of(rig)).agree is None
            rig.client.adjustments.awaited = dict.fromkeys(rig.client.adjustments.awaited, 1)
            assert (await books_of(rig)).agree is False

    play(scenario())


def test_a_reduce_only_fill_against_anothers_shares_reduces_theirs_in_nautilus_too(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            body = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "16"}
            rig.exchange.broker.desk.submit(rig.account, body)
            await rig.until(lambda: rig.client.crossings.position("IBM") == 16, "somebody else's shares")
            order = rig.market("sell", 10, reduce_only=True)  # the broker nets: for it there is a position
            await rig.status(order, FILLED)
            await rig.agree()
            (position,) = rig.node.kernel.cache.positions_open()
            assert (position.strategy_id.value, position.signed_decimal_qty()) == ("EXTERNAL", 6)
            # What the strategy holds itself is reduced as ever, to the last share.
            await rig.status(rig.market("buy", 5), FILLED)
            await rig.status(rig.market("sell", 5, reduce_only=True), FILLED)
            await rig.agree()
            assert rig.client.adjustments.count == 1
            await agree(rig)

    play(scenario())
