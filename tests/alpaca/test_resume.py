"""Orders with legs come back from the journal as they were linked, with what had been told of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from nautilus_trader.cache.cache import Cache
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.fills import FillLedger
from runner.alpaca.resume import Resume
from runner.alpaca.tracking import Part, Tracker
from runner.journal import Journal
from tests.alpaca.conftest import IBM
from tests.alpaca.scripted import Venue, pair
from tests.alpaca.test_adjust import CALL as COVERED
from tests.alpaca.test_adjust import SYMBOL, arrange, book
from tests.alpaca.test_adjust import send as buy
from tests.alpaca.test_multi_leg import CALL, CALL2, HIGH, LOW, VERTICAL, send


def keep(rig: Any, path: Path) -> Journal:
    """Give a running node a journal."""
    journal = Journal(path)
    account = journal.account("main")
    account.open_account("PA1")
    journal.start(rig.node.kernel.cache)
    rig.node.kernel.msgbus.subscribe("events.order.*", journal.on_order_event)
    rig.client.set_journal(account)
    return journal


async def reborn(rig: Any, path: Path) -> Any:
    """What another life makes of the journal: a client's parts, over an empty cache."""
    again = Journal(path)
    cache, ledger = Cache(), FillLedger()
    for instrument in rig.node.kernel.cache.instruments():
        cache.add_instrument(instrument)
    log = SimpleNamespace(info=lambda _text: None)
    client = SimpleNamespace(_cache=cache, fills=ledger, tracker=Tracker(ledger), log=log)
    again.start(cache)
    resume: Any = Resume(client)  # type: ignore[arg-type]
    await resume._take_up(again.account("main"))
    client.resume = resume
    again.close()
    return client


def bracket(rig: Any, entry_price: str | None = None) -> Any:
    """Sent: five shares of IBM bought, with two exits of the day."""
    day, more = TimeInForce.DAY, {}
    if entry_price is not None:
        more = {"entry_order_type": OrderType.LIMIT, "entry_price": Price.from_str(entry_price)}
    made = rig.strategy.order_factory.bracket(
        IBM, OrderSide.BUY, Quantity.from_int(5), tp_price=Price.from_str("190.00"),
        sl_trigger_price=Price.from_str("170.00"), time_in_force=day, tp_time_in_force=day,
        sl_time_in_force=day, tp_post_only=False, **more,
    )  # fmt: skip
    rig.strategy.submit_order_list(made)
    return made.orders


def test_a_spread_comes_back_with_its_legs(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2, VERTICAL)
            journal = keep(rig, tmp_path / "j.sqlite")
            order = send(rig, OrderSide.BUY, 3, "3.00")
            await rig.status(order, OrderStatus.ACCEPTED)
            venue.fill_units(venue.last(), 1, "2.90", ["5.00", "2.10"])
            await rig.status(order, OrderStatus.PARTIALLY_FILLED)
            await rig.until(lambda: len(rig.node.kernel.cache.positions_open()) == 2)
            journal.close()
            before = rig.client.tracker.get(order.client_order_id.value)
            client = await reborn(rig, tmp_path / "j.sqlite")
            head = client.tracker.get(order.client_order_id.value)
            assert head.group.body(head.part) == before.group.body(before.part)
            assert head.filled == 1
            assert [member.id for member in head.group.members] == [member.id for member in before.group.members]
            assert len(client._cache.positions_open()) == 2  # of the legs, none of the spread
            for symbol, qty in ((LOW, 1), (HIGH, -1)):
                (position,) = [p for p in client._cache.positions_open() if p.instrument_id.symbol.value == symbol]
                assert position.signed_decimal_qty() == qty
            for member, row in zip(head.group.members, before.group.members, strict=True):
                assert client.fills.booked_qty(row.part.order_id) == 1
                assert (member.symbol, member.side, member.qty) == (row.symbol, row.side, row.qty)
            assert head.part.sent
            assert head.part.order_ids == before.part.order_ids

    play(scenario())


def test_the_exits_of_a_filled_entry_come_back_with_it(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            journal = keep(rig, tmp_path / "j.sqlite")
            entry, *exits = bracket(rig)
            await rig.status(entry, OrderStatus.FILLED)
            for order in exits:
                await rig.status(order, OrderStatus.ACCEPTED)
            journal.close()
            client = await reborn(rig, tmp_path / "j.sqlite")
            head = client.tracker.get(entry.client_order_id.value)
            assert head.closed
            assert head.part.done
            assert head.group.is_entered
            assert {tracked.id for tracked in head.group.exits} == {order.client_order_id.value for order in exits}
            for tracked in head.group.exits:
                assert tracked.part.sent
                assert not tracked.closed
                assert client.tracker.find("", tracked.venue_order_id.value) == (tracked, tracked.part)
            assert client.tracker.working("IBM", "sell") == 5  # of two that cancel each other one counts

    play(scenario())


def test_an_exit_that_was_modified_comes_back_with_its_replacements(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            journal = keep(rig, tmp_path / "j.sqlite")
            entry, _stop, profit = bracket(rig)
            await rig.status(entry, OrderStatus.FILLED)
            await rig.status(profit, OrderStatus.ACCEPTED)
            rig.strategy.modify_order(profit, price=Price.from_str("191.00"))
            await rig.until(lambda: profit.price == Price.from_str("191.00"), "the modification")
            journal.close()
            client = await reborn(rig, tmp_path / "j.sqlite")
            tracked = client.tracker.get(f"{profit.client_order_id}-r1")
            assert tracked is client.tracker.get(profit.client_order_id.value)
            assert tracked.part.replacements == 1  # an id that was used once is never used again
            assert len(tracked.part.order_ids) == 2

    play(scenario())


def test_exits_whose_ids_the_journal_lacks_are_found_by_their_filled_entry(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            entry, _stop, profit = bracket(rig)
            await rig.status(entry, OrderStatus.FILLED)
            await rig.status(profit, OrderStatus.ACCEPTED)
            tracker = rig.client.tracker
            head = tracker.get(entry.client_order_id.value)
            # The entry's end was written, and what its exits are called was not.
            for tracked in head.group.exits:
                part = tracked.part
                tracker._by_order_id.pop(part.order_id)
                tracker._by_client_id.pop(part.client_order_id)
                part.order_ids.clear()
                part.sent, part.client_order_id = False, tracked.id
            rig.client.resume._tracked = head.group.orders
            await rig.client.resume.catch_up()
            for tracked in head.group.exits:
                assert tracker.find("", tracked.venue_order_id.value) == (tracked, tracked.part)
            rig.quote("IBM", "190.50", "190.52")
            await rig.status(profit, OrderStatus.FILLED)
            await rig.agree()
            assert rig.node.kernel.cache.positions_open() == []

    play(scenario())


def test_exits_of_an_entry_that_had_been_refused_end_with_it(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            journal = keep(rig, tmp_path / "j.sqlite")
            entry, *exits = bracket(rig, "179.00")
            await rig.status(exits[1], OrderStatus.ACCEPTED)
            rig.node.kernel.msgbus.unsubscribe("events.order.*", journal.on_order_event)
            rig.strategy.cancel_order(entry)
            await rig.status(entry, OrderStatus.CANCELED)
            journal.on_order_event(entry.last_event)  # and then the node dies
            journal.close()
            client = await reborn(rig, tmp_path / "j.sqlite")
            head = client.tracker.get(entry.client_order_id.value)
            for tracked in head.group.exits:
                tracked.part.order_ids.clear()
            ended: list[Any] = []

            async def nothing(_id: str) -> None:
                return None

            client.rest = SimpleNamespace(order=nothing, order_by_client_id=nothing)
            client.updates = SimpleNamespace(end_members=lambda *args: ended.append(args[:2]))
            client.log = SimpleNamespace(error=lambda _text: None, warning=lambda _text: None)
            client.resume._client = client
            await client.resume.catch_up()
            assert ended == [(head, "canceled")]

    play(scenario())


def test_a_silent_head_and_its_legs_come_back(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, CALL, CALL2)
            journal = keep(rig, tmp_path / "j.sqlite")
            factory = rig.strategy.order_factory
            legs = [
                factory.limit(CALL.id, OrderSide.BUY, Quantity.from_int(2), Price.from_str("5.00"), TimeInForce.DAY),
                factory.limit(CALL2.id, OrderSide.SELL, Quantity.from_int(2), Price.from_str("2.00"), TimeInForce.DAY),
            ]
            made = factory.create_list(legs)
            rig.strategy.submit_order_list(made, params={"order_class": "mleg", "limit_price": "3.00"})
            for order in legs:
                await rig.status(order, OrderStatus.ACCEPTED)
            journal.close()
            before = rig.client.tracker.get(legs[0].client_order_id.value).group
            client = await reborn(rig, tmp_path / "j.sqlite")
            group = client.tracker.get(legs[0].client_order_id.value).group
            assert group.head.is_silent
            assert group.head.part.unknown  # it is looked up by its client order id
            assert msgspec.json.encode(group.body(group.head.part)) == msgspec.json.encode(
                before.body(before.head.part)
            )
            assert group.limit_price == Decimal("3.00")
            assert [member.part.order_ids for member in group.members] == [
                member.part.order_ids for member in before.members
            ]
            assert venue.posted[-1]["client_order_id"] == group.head.part.client_order_id

    play(scenario())


def test_what_ended_without_an_order_does_not_come_back(play: Any, running: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running() as rig:
            journal = keep(rig, tmp_path / "j.sqlite")
            arrange(rig)
            await rig.status(buy(rig, OrderSide.BUY, 2, "5.10", COVERED), OrderStatus.FILLED)
            await rig.status(rig.market("buy", 10), OrderStatus.FILLED)
            book(rig, "OPEXP", SYMBOL, "-2")
            book(rig, "SPLIT", "IBM", "30")
            await rig.client.gaps.run()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 40, "the split")
            journal.close()
            client = await reborn(rig, tmp_path / "j.sqlite")
            (position,) = client._cache.positions_open()
            assert (position.instrument_id, position.signed_decimal_qty()) == (IBM, 40)
            assert position.avg_px_open == rig.node.kernel.cache.positions_open()[0].avg_px_open

    play(scenario())


def test_what_ended_while_the_node_was_down_is_told_at_its_restart(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            arrange(rig)
            await rig.status(buy(rig, OrderSide.BUY, 2, "5.10", COVERED), OrderStatus.FILLED)
            await rig.status(rig.market("buy", 10), OrderStatus.FILLED)
            await rig.until(lambda: len(rig.node.kernel.cache.positions_open()) == 2)
            # As it is after a restart: the strategy holds what the journal knows, the broker what it has now.
            book(rig, "SPLIT", "IBM", "30")
            rig.client.resume.is_restart = True
            rig.client.crossings.positions = {"IBM": Decimal(40), SYMBOL: Decimal(2), "BAC": Decimal(7)}
            await rig.client.resume.explain()
            await rig.until(lambda: rig.node.kernel.portfolio.net_position(IBM) == 40, "the split")
            # The same row explains nothing twice, nor what it is not of; what nothing explains stays for Nautilus.
            rig.client.adjustments._used.clear()
            rig.client.crossings.positions["IBM"] = Decimal(45)
            await rig.client.resume.explain()
            assert rig.node.kernel.portfolio.net_position(IBM) == 40
            assert rig.client.adjustments.count == 1
            assert [position.strategy_id for position in rig.node.kernel.cache.positions_open()] == [
                rig.strategy.id
            ] * 2

    play(scenario())


def test_a_crossing_order_goes_on_after_a_restart_when_its_first_half_has_filled(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), OrderStatus.FILLED)
            rig.quote("IBM", "180.00", "180.02")
            order = rig.limit("sell", 15, "181.00")
            await rig.status(order, OrderStatus.ACCEPTED)
            tracked = rig.client.tracker.get(order.client_order_id.value)
            # As the journal has it where the node ended between the second half's POST and its reply.
            tracked.held = Decimal(0)
            second = Part(f"{tracked.id}-2", Decimal(5), sent=True, unknown=True)
            rig.client.tracker.add_part(tracked, second)
            rig.client.resume._tracked = [tracked]
            rig.quote("IBM", "181.00", "181.02")
            await rig.until(lambda: order.filled_qty == 10, "the first half")
            assert not tracked.closed
            body = {"symbol": "IBM", "side": "sell", "type": "limit", "limit_price": "182", "qty": "5"}
            body |= {"time_in_force": "gtc", "client_order_id": second.client_order_id}
            desk = rig.exchange.broker.desk
            desk.submit(rig.account, body)
            await rig.client.resume.catch_up()
            rig.quote("IBM", "182.00", "182.02")
            await rig.status(order, OrderStatus.FILLED)
            assert [type(fill).__name__ for fill in rig.strategy.events].count("OrderCanceled") == 0
            assert [position.strategy_id for position in rig.node.kernel.cache.positions_open()] == [rig.strategy.id]
            await rig.agree()

    play(scenario())


def test_a_fee_that_was_another_than_it_was_taken_for_is_put_right_at_the_restart(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            coins = pair()
            rig.node.kernel.cache.add_instrument(coins)
            rig.exchange.market.add_symbols(["BTC/USD"])
            rig.quote("BTC/USD", "30000", "30010")
            order = rig.strategy.order_factory.market(coins.id, OrderSide.BUY, coins.make_qty(1))
            rig.strategy.submit_order(order)
            await rig.status(order, OrderStatus.FILLED)
            held = Decimal("0.9975")  # a taker's
            await rig.until(lambda: Decimal(str(rig.node.kernel.portfolio.net_position(coins.id))) == held)
            rig.client.resume.is_restart = True
            for theirs, after in (("0.9985", "0.9985"), ("1.2", "0.9985")):  # a maker's; and more than fees are
                rig.client.crossings.positions = {"BTC/USD": Decimal(theirs)}
                await rig.client.resume.explain()
                net = rig.node.kernel.portfolio.net_position
                await rig.until(lambda after=after, net=net: Decimal(str(net(coins.id))) == Decimal(after), after)

    play(scenario())
