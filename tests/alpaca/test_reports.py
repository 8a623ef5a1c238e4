"""What the client reports when Nautilus asks, and orders that others made."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import (
    GenerateFillReports,
    GenerateOrderStatusReport,
    GenerateOrderStatusReports,
    GeneratePositionStatusReports,
    QueryAccount,
)
from nautilus_trader.model.enums import OrderStatus, PositionSide
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, VenueOrderId
from nautilus_trader.model.objects import Price

IBM = InstrumentId.from_str("IBM.ALPACA")
BAC = InstrumentId.from_str("BAC.ALPACA")
FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
BODY = {"symbol": "IBM", "time_in_force": "day"}
MARKET = BODY | {"side": "buy", "type": "market", "qty": "7"}
RESTING = BODY | {"side": "buy", "type": "limit", "limit_price": "170", "qty": "5"}


def ask(kind: Any, **members: Any) -> Any:
    return kind(command_id=UUID4(), ts_init=0, **members)


def outsider(rig: Any, body: dict[str, Any], name: str) -> Any:
    """An order that somebody else sends; the venue's own record of it."""
    rig.exchange.broker.desk.submit(rig.account, body | {"client_order_id": name})
    return rig.account.by_client_id[name]


async def external(rig: Any, name: str) -> Any:
    cache = rig.node.kernel.cache
    await rig.until(lambda: cache.order(ClientOrderId(name)) is not None, f"{name} in the cache")
    return cache.order(ClientOrderId(name))


def test_the_mass_status_has_orders_fills_and_positions(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            resting = rig.limit("buy", 5, "170")
            await rig.status(resting, ACCEPTED)
            status = await rig.client.generate_mass_status(60)
            assert len(status.order_reports) == 2
            assert sum(len(rows) for rows in status.fill_reports.values()) == 1
            (positions,) = status.position_reports.values()
            assert [(row.instrument_id, row.quantity.as_decimal()) for row in positions] == [(IBM, Decimal(10))]
            report = status.order_reports[resting.venue_order_id]
            assert (report.order_status, str(report.price)) == (ACCEPTED, "170.00")

    play(scenario())


def test_order_reports_are_of_what_was_asked_for(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            done, resting = rig.market("buy", 10), rig.limit("buy", 5, "13", BAC)
            await rig.status(done, FILLED)
            await rig.status(resting, ACCEPTED)

            async def reports(**members: Any) -> set[Any]:
                common = {"instrument_id": None, "start": None, "end": None, "open_only": False} | members
                rows = await rig.client.generate_order_status_reports(ask(GenerateOrderStatusReports, **common))
                return {row.client_order_id for row in rows}

            assert await reports() == {done.client_order_id, resting.client_order_id}
            assert await reports(open_only=True) == {resting.client_order_id}
            assert await reports(instrument_id=IBM) == {done.client_order_id}

            async def report(**members: Any) -> Any:
                common = {"instrument_id": IBM, "client_order_id": None, "venue_order_id": None} | members
                return await rig.client.generate_order_status_report(ask(GenerateOrderStatusReport, **common))

            by_id = await report(venue_order_id=done.venue_order_id)
            assert (by_id.order_status, by_id.filled_qty.as_decimal()) == (FILLED, Decimal(10))
            assert (await report(client_order_id=done.client_order_id)).venue_order_id == done.venue_order_id
            assert await report(client_order_id=ClientOrderId("nobody")) is None

    play(scenario())


def test_a_modified_order_is_reported_as_one_under_its_own_name(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 5, "170")
            await rig.status(order, ACCEPTED)
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: "Updated" in rig.strategy.names(order), "OrderUpdated")
            status = await rig.client.generate_mass_status(60)
            assert [(row.client_order_id, row.venue_order_id) for row in status.order_reports.values()] == [
                (order.client_order_id, order.venue_order_id)
            ]

    play(scenario())


def test_fill_reports_have_the_trade_ids_of_the_fills_that_were_streamed(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", 10)
            await rig.status(order, FILLED)
            common = {"instrument_id": None, "venue_order_id": None, "start": None, "end": None}
            (report,) = await rig.client.generate_fill_reports(ask(GenerateFillReports, **common))
            assert report.trade_id == order.trade_ids[0]
            assert (report.client_order_id, report.last_qty.as_decimal()) == (order.client_order_id, Decimal(10))
            other = await rig.client.generate_fill_reports(
                ask(GenerateFillReports, **(common | {"venue_order_id": VenueOrderId("none")}))
            )
            assert other == []

    play(scenario())


def test_position_reports_are_signed_and_flat_where_asked_for(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("sell", 10), FILLED)

            async def reports(instrument_id: Any) -> list[Any]:
                members = {"instrument_id": instrument_id, "start": None, "end": None}
                return [
                    (row.position_side, row.quantity.as_decimal())
                    for row in await rig.client.generate_position_status_reports(
                        ask(GeneratePositionStatusReports, **members)
                    )
                ]

            assert await reports(None) == [(PositionSide.SHORT, Decimal(10))]
            assert await reports(BAC) == [(PositionSide.FLAT, Decimal(0))]

    play(scenario())


@pytest.mark.parametrize("path", ["/v2/orders", "/v2/positions", "/v2/account/activities"])
def test_a_venue_that_cannot_be_asked_has_no_empty_reports(play: Any, running: Any, path: str) -> None:
    async def scenario() -> None:
        async with running(exec_config={"read_retries": 0}) as rig:
            rig.faults.arm({"next": [{"method": "GET", "path": path, "status": 500, "count": 3}]})
            assert await rig.client.generate_mass_status(60) is None

    play(scenario())


def test_a_query_of_an_order_brings_it_up_to_date(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", 5, "170")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"mute": "trading"})
            rig.quote("IBM", "169.90", "170.00")
            rig.strategy.query_order(order)
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_a_query_of_the_account_tells_its_state(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            account = rig.node.kernel.cache.accounts()[0]
            events = len(account.events)
            account_id, trader_id = rig.client.account_id, rig.node.trader_id
            rig.client.query_account(ask(QueryAccount, trader_id=trader_id, account_id=account_id))
            await rig.until(lambda: len(account.events) > events, "the account's state")

    play(scenario())


def test_an_external_order_is_adopted_by_a_command_and_followed(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            outsider(rig, RESTING, "by-hand")
            order = await external(rig, "by-hand")
            await rig.status(order, ACCEPTED)
            assert order.strategy_id.value == "EXTERNAL"
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            assert not any(row.open for row in rig.account.orders.values())

    play(scenario())


def test_an_external_order_with_fills_is_modified_and_booked_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.of = lambda order: min(order.leaves, Decimal(2))
            outsider(rig, RESTING, "by-hand")
            order = await external(rig, "by-hand")
            rig.quote("IBM", "169.90", "170.00")
            await rig.until(lambda: order.filled_qty.as_decimal() == 2, "the first fill")
            rig.strategy.modify_order(order, price=Price.from_str("169.00"))
            await rig.until(lambda: str(order.price) == "169.00", "the modification")
            for _ in range(2):
                rig.quote("IBM", "168.90", "169.00")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_what_an_external_order_was_replaced_by_takes_its_place(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            row = outsider(rig, RESTING, "by-hand")
            order = await external(rig, "by-hand")
            await rig.status(order, ACCEPTED)
            rig.exchange.broker.desk.replace(rig.account, row, {"limit_price": "169", "client_order_id": "anew"})
            newer = await external(rig, "anew")
            await rig.status(newer, ACCEPTED)
            await rig.status(order, CANCELED)
            rig.quote("IBM", "168.90", "169.00")
            await rig.status(newer, FILLED)
            await rig.agree()

    play(scenario())


def test_an_external_fill_that_comes_late_and_out_of_order_reaches_nautilus(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.of = lambda order: min(order.leaves, Decimal(2))
            outsider(rig, RESTING, "by-hand")
            order = await external(rig, "by-hand")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"updates": {"drop": 1}})
            for _ in range(3):
                rig.quote("IBM", "169.90", "170.00")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_an_external_order_that_ends_before_its_fill_is_told_has_that_fill_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.of = lambda order: min(order.leaves, Decimal(2))
            row = outsider(rig, RESTING, "by-hand")
            order = await external(rig, "by-hand")
            await rig.status(order, ACCEPTED)
            rig.faults.arm({"updates": {"drop": 1}})
            rig.quote("IBM", "169.90", "170.00")
            rig.exchange.broker.desk.cancel(rig.account, row)
            await rig.status(order, CANCELED)
            assert order.filled_qty.as_decimal() == 2
            await rig.agree()

    play(scenario())


def test_an_external_order_that_only_rest_shows_is_told_with_its_fills(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.faults.arm({"mute": "trading"})
            outsider(rig, MARKET, "by-hand")
            await rig.client.gaps.run()
            order = await external(rig, "by-hand")
            await rig.status(order, FILLED)
            assert rig.client.stream_stats()["inferred_fills"] == 0
            assert [event.last_qty.as_decimal() for event in order.events if hasattr(event, "last_qty")] == [Decimal(7)]
            await rig.agree()

    play(scenario())
