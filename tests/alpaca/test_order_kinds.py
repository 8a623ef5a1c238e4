"""Kinds of orders beyond market, limit and stop: by dollars, in fractions, outside of the core session, trailing."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce, TrailingOffsetType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

IBM = InstrumentId.from_str("IBM.ALPACA")
FILLED, CANCELED, ACCEPTED, DENIED = (
    OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED, OrderStatus.DENIED,
)  # fmt: skip
DAY = TimeInForce.DAY
NEW_YORK = ZoneInfo("America/New_York")


def ns(hour: int, minute: int) -> int:
    return int(datetime(2026, 1, 12, hour, minute, tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


def by_dollars(rig: Any, side: OrderSide, dollars: str) -> Any:
    order = rig.strategy.order_factory.market(
        IBM, side, Quantity.from_str(dollars), time_in_force=DAY, quote_quantity=True
    )
    rig.strategy.submit_order(order)
    return order


def test_an_order_by_dollars_ends_with_the_shares_that_it_bought(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = by_dollars(rig, OrderSide.BUY, "100.50")
            await rig.status(order, FILLED)
            assert not order.is_quote_quantity
            assert order.quantity == order.filled_qty
            assert order.quantity.as_decimal() == rig.position("IBM")
            await rig.agree()
            sold = by_dollars(rig, OrderSide.SELL, "50.00")
            await rig.status(sold, FILLED)
            await rig.agree()

    play(scenario())


def test_an_order_by_dollars_that_fills_in_parts_knows_its_size_with_the_last(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.exchange.broker.desk.book._portions.rate = 1.0
            order = by_dollars(rig, OrderSide.BUY, "5000.00")
            await rig.until(lambda: order.filled_qty > 0)
            rig.exchange.broker.desk.book._portions.rate = 0.0
            rig.quote("IBM", "181.00", "181.02")
            await rig.status(order, FILLED)
            assert order.quantity == order.filled_qty
            await rig.agree()

    play(scenario())


def test_dollars_are_denied_where_alpaca_takes_none(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            for order, code in (
                (by_dollars(rig, OrderSide.SELL, "100.00"), "FRACTIONAL_ORDER"),
                (by_dollars(rig, OrderSide.BUY, "0.50"), "NOTIONAL"),
                (by_dollars(rig, OrderSide.BUY, "100.505"), "NOTIONAL"),
            ):
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith(code), order.last_event.reason

    play(scenario())


def test_a_limit_order_trades_before_the_open_if_it_asks_to(play: Any, running: Any) -> None:
    async def scenario() -> None:
        def early(exchange: Any, _key: str) -> None:
            exchange.market.set_clock(ns(8, 0))

        async with running(settings={"activity": 0.001}, before=early) as rig:
            rig.exchange.market.set_clock(ns(8, 0))
            rig.quote("IBM", "180.00", "180.02")
            plain = rig.limit("buy", 10, "181.00", time_in_force=DAY)
            early_order = rig.limit("buy", 10, "181.00", time_in_force=DAY, params={"extended_hours": True})
            await rig.status(early_order, FILLED)
            assert plain.status == ACCEPTED
            market = rig.market("buy", 10, time_in_force=DAY, params={"extended_hours": True})
            await rig.status(market, DENIED)
            assert market.last_event.reason.startswith("UNSUPPORTED_EXTENDED_HOURS")

    play(scenario())


def test_a_param_that_nobody_knows_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", 1, params={"extendedHours": True})
            await rig.status(order, DENIED)
            assert order.last_event.reason.startswith("UNKNOWN_PARAMS: extendedHours")

    play(scenario())


def test_a_modification_of_an_order_by_dollars_or_of_a_fraction_is_refused_here(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.limit("buy", "0.5", "170.00", time_in_force=DAY)
            await rig.status(order, ACCEPTED)
            rig.strategy.modify_order(order, quantity=Quantity.from_str("0.700000000"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(order))
            rig.strategy.modify_order(order, price=Price.from_str("171.00"))
            await rig.until(lambda: order.price == Price.from_str("171.00"))
            assert order.quantity.as_decimal() == Decimal("0.5")

    play(scenario())


def test_a_trailing_stop_follows_the_market_and_sells(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            order = rig.send(
                "trailing_stop_market", "sell", 10, trailing_offset=Decimal("1.00"),
                trailing_offset_type=TrailingOffsetType.PRICE,
            )  # fmt: skip
            await rig.status(order, ACCEPTED)
            rig.quote("IBM", "182.00", "182.02")
            rig.quote("IBM", "181.20", "181.22")
            assert order.status == ACCEPTED
            rig.strategy.modify_order(order, quantity=Quantity.from_str("8.000000000"), params={"trail": "0.50"})
            await rig.until(lambda: str(order.quantity) == "8.000000000", "the modification")
            rig.quote("IBM", "181.00", "181.02")
            await rig.status(order, FILLED)
            await rig.agree()

    play(scenario())


def test_a_trailing_stop_by_per_cent_is_sent_as_alpaca_has_it(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            await rig.status(rig.market("buy", 10), FILLED)
            order = rig.send(
                "trailing_stop_market", "sell", 10, trailing_offset=Decimal(150),
                trailing_offset_type=TrailingOffsetType.BASIS_POINTS,
            )  # fmt: skip
            await rig.status(order, ACCEPTED)
            row = next(row for row in rig.account.orders.values() if row.type == "trailing_stop")
            assert row.trail_percent == Decimal("1.5")
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            await rig.agree()

    play(scenario())


def test_an_order_for_the_close_is_taken_until_ten_to_four(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            order = rig.market("buy", 10, time_in_force=TimeInForce.AT_THE_CLOSE)
            await rig.status(order, ACCEPTED)
            opening = rig.market("buy", 10, time_in_force=TimeInForce.AT_THE_OPEN)
            await rig.status(opening, DENIED)
            assert opening.last_event.reason.startswith("SESSION")
            rig.strategy.cancel_order(order)
            await rig.status(order, CANCELED)
            await rig.agree()

    play(scenario())
