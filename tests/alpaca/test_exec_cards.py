"""The cards of Nautilus's execution testing specification, played by its own ExecTester.

One test a card, named by it. What Alpaca has no such thing of is denied before anything is sent. Cards that a strategy
of this kit can't bring about (ambiguous outcomes, reconciliation at start) name the tests that do in docs/testers.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from nautilus_trader.model.enums import OrderStatus, OrderType, TimeInForce, TrailingOffsetType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.test_kit.strategies.tester_exec import ExecTester, ExecTesterConfig

IBM = InstrumentId.from_str("IBM.ALPACA")
FILLED, CANCELED, ACCEPTED = OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.ACCEPTED
DENIED = OrderStatus.DENIED
NOTHING = {"enable_limit_buys": False, "enable_limit_sells": False}
BUY_ONLY, SELL_ONLY = {"enable_limit_sells": False}, {"enable_limit_buys": False}

type Check = Callable[["Card"], Awaitable[None]]


class Card:
    """A tester at work, and what it has ordered."""

    def __init__(self, rig: Any, tester: ExecTester, http: httpx.AsyncClient) -> None:
        self.rig = rig
        self.http = http
        self.tester = tester

    @property
    def orders(self) -> list[Any]:
        rows = self.rig.node.kernel.cache.orders(strategy_id=self.tester.id)
        return sorted(rows, key=lambda order: (order.ts_init, order.client_order_id.value))

    async def ordered(self, count: int = 1) -> list[Any]:
        """The market is quoted until the tester has sent this many orders."""
        for cents in range(1000):
            if len(self.orders) >= count:
                return self.orders
            await self.move("180.00", f"180.0{2 + cents % 2}")
        raise AssertionError(f"the tester sent {len(self.orders)} orders instead of {count}")

    async def are(self, status: OrderStatus, *orders: Any) -> None:
        for order in orders or self.orders:
            await self.rig.status(order, status)

    async def move(self, bid: str, ask: str) -> None:
        """A quote for everybody, and some turns of the loop for what it brings about."""
        exchange = self.rig.exchange
        exchange.market.set_clock(exchange.market.now_ns + 1_000_000)
        quote = {"T": "q", "S": "IBM", "bp": bid, "ap": ask, "bs": 100, "as": 100, "bx": "V", "ax": "V", "c": ["R"]}
        reply = await self.http.post(f"{exchange.url}/control/market", json=quote | {"z": "A"})
        assert reply.status_code == 200, reply.text
        await self.rig.until(lambda: self.rig.client.in_flight == 0, "commands under way")

    async def stop(self) -> None:
        self.tester.stop()
        await asyncio.sleep(0)

    async def ends(self, *, position: str = "0") -> None:
        """Nothing works, and the venue holds this."""
        await self.rig.until(lambda: all(order.is_closed for order in self.orders), "the end of all orders")
        await self.rig.until(lambda: self.rig.position("IBM") == Decimal(position), f"a position of {position}")
        await self.rig.agree()


@pytest.fixture
def card(play: Any, running: Any) -> Callable[..., None]:
    """Play a tester of these settings (10 shares, a dollar off the market), then check."""

    def go(check: Check, **settings: Any) -> None:
        config = {"order_qty": Decimal(10), "tob_offset_ticks": 100, "stop_offset_ticks": 100} | settings

        async def scenario() -> None:
            tester = ExecTester(
                ExecTesterConfig(
                    instrument_id=IBM, order_id_tag="777", log_data=False, subscribe_trades=False, **config
                )
            )
            async with (
                running(data=True, strategies=[tester], before=lambda exchange, _: exchange.pause()) as rig,
                httpx.AsyncClient(verify=False) as http,  # plain HTTP on loopback
            ):
                await check(Card(rig, tester, http))

        play(scenario())

    return go


def opens(card: Callable[..., None], qty: str, expected: str | None = None, **settings: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(FILLED)
        assert c.rig.position("IBM") == Decimal(expected or qty)
        await c.stop()
        await c.ends()
        assert order.order_type == OrderType.MARKET

    card(check, open_position_on_start_qty=Decimal(qty), **(NOTHING | settings))


def test_tc_e01_market_buy(card: Any) -> None:
    opens(card, "10")


def test_tc_e02_market_sell(card: Any) -> None:
    opens(card, "-10")


def test_tc_e03_market_ioc(card: Any) -> None:
    opens(card, "10", open_position_time_in_force=TimeInForce.IOC)


def test_tc_e04_market_fok(card: Any) -> None:
    opens(card, "10", open_position_time_in_force=TimeInForce.FOK)


def test_tc_e05_market_by_quote_quantity(card: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(FILLED)
        assert order.quantity == order.filled_qty
        assert not order.is_quote_quantity
        assert Decimal("5.5") < c.rig.position("IBM") < Decimal("5.6")  # a thousand dollars at 180.02
        await c.stop()
        await c.ends()

    card(
        check, open_position_on_start_qty=Decimal(1000), use_quote_quantity=True,
        open_position_time_in_force=TimeInForce.DAY, close_positions_time_in_force=TimeInForce.DAY, **NOTHING,
    )  # fmt: skip


def test_tc_e06_close_position_on_stop(card: Any) -> None:
    opens(card, "7", close_positions_time_in_force=TimeInForce.DAY)


def rests(card: Callable[..., None], count: int = 1, status: OrderStatus = ACCEPTED, **settings: Any) -> None:
    """Orders rest (or end as `status`), and are canceled when the tester stops."""

    async def check(c: Card) -> None:
        orders = (await c.ordered(count))[:count]
        await c.are(status, *orders)
        await c.stop()
        await c.ends()

    card(check, **settings)


def pair_rests(card: Callable[..., None], **settings: Any) -> None:
    """A buy and a sell beside a position: Alpaca takes no two orders that would open it both ways."""

    async def check(c: Card) -> None:
        await c.ordered()
        await c.are(FILLED, c.orders[0])
        buy, sell = (await c.ordered(3))[1:3]
        await c.are(ACCEPTED, buy, sell)
        await c.stop()
        await c.are(CANCELED, buy, sell)
        await c.ends()

    card(check, open_position_on_start_qty=Decimal(10), **settings)


def test_tc_e10_limit_buy_gtc(card: Any) -> None:
    rests(card, **BUY_ONLY)


def test_tc_e11_limit_sell_gtc(card: Any) -> None:
    rests(card, **SELL_ONLY)


def test_tc_e12_limit_pair(card: Any) -> None:
    pair_rests(card)


def marketable(card: Callable[..., None], tif: TimeInForce, status: OrderStatus, price: str) -> None:
    """One limit order at this price, by the tester's own factory."""

    async def check(c: Card) -> None:
        instrument = c.tester.instrument
        order = c.tester.order_factory.limit(
            IBM, 1, instrument.make_qty(10), instrument.make_price(Decimal(price)), time_in_force=tif
        )
        c.tester.submit_order(order)
        await c.are(status, order)
        await c.stop()
        await c.ends()

    card(check, **NOTHING)


def test_tc_e13_limit_ioc_aggressive(card: Any) -> None:
    marketable(card, TimeInForce.IOC, FILLED, "181.00")


def test_tc_e14_limit_ioc_passive(card: Any) -> None:
    marketable(card, TimeInForce.IOC, CANCELED, "170.00")


def test_tc_e15_limit_fok_fills(card: Any) -> None:
    marketable(card, TimeInForce.FOK, FILLED, "181.00")


def test_tc_e16_limit_fok_does_not_fill(card: Any) -> None:
    marketable(card, TimeInForce.FOK, CANCELED, "170.00")


def denied(card: Callable[..., None], code: str, **settings: Any) -> None:
    """Denied with a reason, and nothing sent."""

    async def check(c: Card) -> None:
        order = (await c.ordered())[0]
        await c.are(DENIED, order)
        assert order.last_event.reason.startswith(code), order.last_event.reason
        assert not c.rig.account.orders
        await c.stop()

    card(check, **settings)


def test_tc_e17_limit_gtd(card: Any) -> None:
    denied(card, "UNSUPPORTED_TIME_IN_FORCE", order_expire_time_delta_mins=5, **BUY_ONLY)


def test_tc_e18_limit_gtd_expiry(card: Any) -> None:
    denied(card, "UNSUPPORTED_TIME_IN_FORCE", order_expire_time_delta_mins=1, **SELL_ONLY)


def test_tc_e19_limit_day(card: Any) -> None:
    rests(card, limit_time_in_force=TimeInForce.DAY, **BUY_ONLY)


def stops(card: Callable[..., None], side: str, kind: OrderType, **more: Any) -> None:
    rests(card, **NOTHING, **{f"enable_stop_{side}": True}, stop_order_type=kind, **more)


def test_tc_e20_stop_market_buy(card: Any) -> None:
    stops(card, "buys", OrderType.STOP_MARKET)


def test_tc_e21_stop_market_sell(card: Any) -> None:
    stops(card, "sells", OrderType.STOP_MARKET)


def test_tc_e22_stop_limit_buy(card: Any) -> None:
    stops(card, "buys", OrderType.STOP_LIMIT, stop_limit_offset_ticks=10)


def test_tc_e23_stop_limit_sell(card: Any) -> None:
    stops(card, "sells", OrderType.STOP_LIMIT, stop_limit_offset_ticks=10)


@pytest.mark.parametrize("side", ["buys", "sells"])
@pytest.mark.parametrize("kind", [OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED])
def test_tc_e24_to_e27_if_touched(card: Any, side: str, kind: OrderType) -> None:
    denied(card, "UNSUPPORTED_ORDER_TYPE", stop_order_type=kind, **NOTHING, **{f"enable_stop_{side}": True})


def follows(card: Callable[..., None], how: str, name: str, bid: str, ask: str, **settings: Any) -> None:
    """The order stands anew at the moved market, modified or by another one."""

    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(ACCEPTED, order)
        before = getattr(order, name)
        await c.move(bid, ask)
        if how == "modify":
            await c.rig.until(lambda: getattr(order, name) != before, "the modification")
            assert len(c.orders) == 1
        else:
            await c.are(CANCELED, order)
            await c.rig.until(lambda: len(c.orders) == 2 and c.orders[1].status == ACCEPTED, "the order in its place")
            assert getattr(c.orders[1], name) != before
        await c.stop()
        await c.ends()

    card(check, **settings)


def test_tc_e30_modify_limit_buy(card: Any) -> None:
    follows(card, "modify", "price", "180.50", "180.52", modify_orders_to_maintain_tob_offset=True, **BUY_ONLY)


def test_tc_e31_modify_limit_sell(card: Any) -> None:
    follows(card, "modify", "price", "179.50", "179.52", modify_orders_to_maintain_tob_offset=True, **SELL_ONLY)


def test_tc_e32_cancel_replace_limit_buy(card: Any) -> None:
    follows(card, "cancel", "price", "180.50", "180.52", cancel_replace_orders_to_maintain_tob_offset=True, **BUY_ONLY)


def test_tc_e33_cancel_replace_limit_sell(card: Any) -> None:
    follows(card, "cancel", "price", "179.50", "179.52", cancel_replace_orders_to_maintain_tob_offset=True, **SELL_ONLY)


def test_tc_e34_modify_stop_trigger(card: Any) -> None:
    settings = {"enable_stop_buys": True, "modify_stop_orders_to_maintain_offset": True} | NOTHING
    follows(card, "modify", "trigger_price", "180.50", "180.52", **settings)


def test_tc_e35_cancel_replace_stop(card: Any) -> None:
    settings = {"enable_stop_buys": True, "cancel_replace_stop_orders_to_maintain_offset": True} | NOTHING
    follows(card, "cancel", "trigger_price", "180.50", "180.52", **settings)


def test_tc_e36_modify_is_rejected_where_it_has_ended(card: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(ACCEPTED, order)
        desk = c.rig.exchange.broker.desk
        (row,) = c.rig.account.orders.values()
        c.rig.faults.arm({"updates": {"drop": 1}})
        desk.cancel(c.rig.account, row)
        c.tester.modify_order(order, price=c.tester.instrument.make_price(Decimal("178.00")))
        await c.rig.until(lambda: order.is_closed, "the end that was not told")
        assert order.status == CANCELED
        await c.ends()

    card(check, **BUY_ONLY)


def test_tc_e40_cancel_one(card: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(ACCEPTED, order)
        c.tester.cancel_order(order)
        await c.are(CANCELED, order)
        await c.stop()
        await c.ends()

    card(check, **BUY_ONLY)


def test_tc_e41_cancel_all_on_stop(card: Any) -> None:
    pair_rests(card)


def test_tc_e42_individual_cancels_on_stop(card: Any) -> None:
    pair_rests(card, use_individual_cancels_on_stop=True)


def test_tc_e43_batch_cancel_on_stop(card: Any) -> None:
    pair_rests(card, use_batch_cancel_on_stop=True)


def test_tc_e44_cancel_of_what_is_canceled(card: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(ACCEPTED, order)
        c.tester.cancel_order(order)
        c.tester.cancel_order(order)
        await c.are(CANCELED, order)
        await c.stop()
        await c.ends()

    card(check, **BUY_ONLY)


BRACKETS = {"enable_brackets": True, "bracket_offset_ticks": 500}


def test_tc_e50_bracket_buy(card: Any) -> None:
    rests(card, 3, **BRACKETS, **BUY_ONLY)


def test_tc_e51_bracket_sell(card: Any) -> None:
    rests(card, 3, **BRACKETS, **SELL_ONLY)


def test_tc_e52_the_entry_activates_its_exits(card: Any) -> None:
    async def check(c: Card) -> None:
        entry, stop, profit = (await c.ordered(3))[:3]
        await c.are(ACCEPTED, entry, stop, profit)
        await c.move("178.90", "179.00")
        await c.are(FILLED, entry)
        assert (stop.status, profit.status) == (ACCEPTED, ACCEPTED)
        await c.stop()
        await c.ends()

    card(check, **BRACKETS, **BUY_ONLY)


def test_tc_e53_bracket_with_post_only_entry(card: Any) -> None:
    denied(card, "UNSUPPORTED_INSTRUCTION", use_post_only=True, **BRACKETS, **BUY_ONLY)


def test_tc_e60_post_only(card: Any) -> None:
    denied(card, "UNSUPPORTED_INSTRUCTION", use_post_only=True, **BUY_ONLY)


def test_tc_e61_reduce_only_close(card: Any) -> None:
    opens(card, "10", reduce_only_on_stop=True)


def test_tc_e62_display_quantity(card: Any) -> None:
    denied(card, "UNSUPPORTED_INSTRUCTION", order_display_qty=Decimal(1), **BUY_ONLY)


def test_tc_e63_custom_params(card: Any) -> None:
    async def check(c: Card) -> None:
        (order,) = await c.ordered()
        await c.are(ACCEPTED, order)
        (row,) = c.rig.account.orders.values()
        assert row.extended_hours
        await c.stop()
        await c.ends()

    card(check, order_params={"extended_hours": True}, limit_time_in_force=TimeInForce.DAY, **BUY_ONLY)


def test_tc_e70_a_post_only_order_that_would_trade(card: Any) -> None:
    denied(card, "UNSUPPORTED_INSTRUCTION", test_reject_post_only=True, **BUY_ONLY)


def test_tc_e71_a_reduce_only_order_that_would_open(card: Any) -> None:
    denied(card, "REDUCE_ONLY", test_reject_reduce_only=True, open_position_on_start_qty=Decimal(10), **NOTHING)


def test_tc_e72_unsupported_type(card: Any) -> None:
    denied(
        card, "UNSUPPORTED_ORDER_TYPE", stop_order_type=OrderType.MARKET_IF_TOUCHED, enable_stop_buys=True, **NOTHING
    )


def test_tc_e73_unsupported_time_in_force(card: Any) -> None:
    denied(card, "UNSUPPORTED_TIME_IN_FORCE", order_expire_time_delta_mins=5, **BUY_ONLY)


def test_trailing_stops_that_start_elsewhere_are_denied(card: Any) -> None:
    denied(
        card, "UNSUPPORTED_INSTRUCTION", stop_order_type=OrderType.TRAILING_STOP_MARKET, enable_stop_sells=True,
        trailing_offset=Decimal(100), trailing_offset_type=TrailingOffsetType.BASIS_POINTS, **NOTHING,
    )  # fmt: skip


def test_tc_e80_open_position_on_start(card: Any) -> None:
    opens(card, "5")


def test_tc_e81_cancel_orders_on_stop(card: Any) -> None:
    pair_rests(card)


def test_tc_e82_close_positions_on_stop(card: Any) -> None:
    opens(card, "-5")


def test_tc_e83_unsubscribe_on_stop(card: Any) -> None:
    async def check(c: Card) -> None:
        await c.ordered()
        await c.stop()
        await c.rig.until(lambda: not c.rig.data.subscribed_quote_ticks(), "the unsubscription")

    card(check, **BUY_ONLY)
