"""Pairs: two spellings, and fees that are taken from what is received."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.fees import Fees
from runner.alpaca.symbols import pair_symbol
from runner.node.books import compare
from tests.alpaca.scripted import Venue, pair

FILLED, ACCEPTED, DENIED = OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.DENIED
BTC = pair()


def order_of(rig: Any, side: OrderSide, qty: str, price: str | None = None, tif: TimeInForce = TimeInForce.GTC) -> Any:
    factory = rig.strategy.order_factory
    size = Quantity.from_str(f"{Decimal(qty):.9f}")
    if price is None:
        order = factory.market(BTC.id, side, size, time_in_force=tif)
    else:
        order = factory.limit(BTC.id, side, size, Price.from_str(price), time_in_force=tif)
    rig.strategy.submit_order(order)
    return order


def fill(venue: Venue, qty: str, price: str, position: str) -> None:
    row = venue.last() | {"status": "filled", "filled_qty": qty, "filled_avg_price": price}
    venue.say("fill", row, qty=qty, price=price, position_qty=position, execution_id=venue.fresh())


def net(rig: Any) -> Decimal:
    return Decimal(str(rig.node.kernel.portfolio.net_position(BTC.id)))


def test_a_fee_in_coins_makes_the_position_what_the_broker_says(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, BTC)
            order = order_of(rig, OrderSide.BUY, "1")
            await rig.status(order, ACCEPTED)
            assert venue.posted[-1]["symbol"] == "BTC/USD"
            fill(venue, "1", "30000", "0.997512345")
            await rig.status(order, FILLED)
            assert str(order.filled_qty) == "1.000000000"
            await rig.until(lambda: net(rig) == Decimal("0.997512345"), "the position less its fee")
            assert rig.client.crossings.position("BTC/USD") == Decimal("0.997512345")
            more = order_of(rig, OrderSide.SELL, "1")
            await rig.status(more, DENIED)
            assert more.last_event.reason.startswith("NOT_SHORTABLE")
            sold = order_of(rig, OrderSide.SELL, "0.997512345")
            await rig.status(sold, ACCEPTED)
            fill(venue, "0.997512345", "31000", "0")
            await rig.status(sold, FILLED)
            assert net(rig) == 0
            (bought, away) = rig.client.fills
            assert bought.fee_qty == Decimal("0.002487655")
            assert away.fee_usd == (away.qty * away.price * Decimal("0.0025")).quantize(Decimal("1e-9"))

    play(scenario())


def test_the_books_take_fees_off_once(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, BTC)
            order = order_of(rig, OrderSide.BUY, "2", "30000.00")
            await rig.until(lambda: venue.posted)
            fill(venue, "2", "30000", "1.995")
            await rig.status(order, FILLED)
            opening = rig.client.opening

            class Closing:
                cash = opening.cash - 60_000
                positions = {"BTC/USD": Decimal("1.995")}  # noqa: RUF012

            class Row:
                activity_type, net_amount, symbol, qty = "CFEE", Decimal(0), "BTC/USD", Decimal("-0.005")

            assert compare(opening, rig.client.fills, [Row()], Closing()).agree

    play(scenario())


def test_a_position_says_what_a_fee_really_was(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, BTC)
            order = order_of(rig, OrderSide.BUY, "1", "30000.00")
            await rig.until(lambda: venue.posted)
            row = venue.last() | {"status": "filled", "filled_qty": "1", "filled_avg_price": "30000"}
            venue.say("fill", row, qty="1", price="30000", execution_id=venue.fresh())  # without a position
            await rig.status(order, FILLED)
            fees: Fees = rig.client.fees
            ours = rig.client.crossings.position("BTC/USD")
            assert ours == Decimal("0.9975")
            assert fees.explains("BTC/USD", ours, Decimal("0.9985"))
            assert not fees.explains("BTC/USD", ours, Decimal("0.9"))
            rig.client.fills.correct_fee("BTC/USD", ours - Decimal("0.9985"), 0)
            assert rig.client.crossings.position("BTC/USD") == Decimal("0.9985")

    play(scenario())


def test_both_spellings_are_one_pair() -> None:
    assert pair_symbol("BTCUSD", "crypto") == pair_symbol("BTC/USD") == "BTC/USD"
    assert pair_symbol("BTCUSD") == "BTC/USD"  # named before
    assert pair_symbol("SHIBUSDT", "crypto") == "SHIB/USDT"
    assert pair_symbol("IBM") == pair_symbol("IBM", "us_equity") == "IBM"


def test_what_pairs_do_not_know_is_denied(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            venue = Venue(rig, BTC)
            day = order_of(rig, OrderSide.BUY, "1", "30000.00", TimeInForce.DAY)
            fok = order_of(rig, OrderSide.BUY, "1", "30000.00", TimeInForce.FOK)
            for order in (day, fok):
                await rig.status(order, DENIED)
                assert order.last_event.reason.startswith("UNSUPPORTED_TIME_IN_FORCE")
            assert not venue.posted

    play(scenario())
