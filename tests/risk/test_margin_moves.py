"""What working orders hold when they, or what they are judged by, move by something else than an answer of ours."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import ModifyOrder
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.events import OrderDenied, OrderUpdated
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.exposure import usd
from runner.risk.limits import LimitsBook
from tests.risk.conftest import IBM, quote
from tests.risk.test_initial_margin import ALL, asking, at
from tests.risk.test_margin_options import C100, CONTRACTS, P90, options, trade  # noqa: F401

BUY, SELL = OrderSide.BUY, OrderSide.SELL


class Rig:
    """What is held, as it is looked at; and modifications that are on their way for a while."""

    def __init__(self) -> None:
        self.held: list[Decimal] = []
        self.orders: list[Any] = []
        self._waiting: list[Any] = []

    def prepare(self, engine: Any, gate: Any) -> None:
        self.engine, self.gate, self._inner = engine, gate, gate._seat.inner

    def look(self, *_: Any) -> None:
        (account_id,) = self.gate.account_ids()
        self.held.append(self.gate.margin.reserved(account_id))

    def hold(self) -> None:
        def inner(command: Any) -> None:
            self._waiting.append(command) if isinstance(command, ModifyOrder) else self._inner(command)

        self.gate._seat.inner = inner

    def let_go(self, *_: Any) -> None:
        self.gate._seat.inner = self._inner
        for command in self._waiting:
            self._inner(command)

    def process(self, kind: Any, *what: Any) -> None:
        order = self.orders[0]
        ids = (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id)
        self.engine.kernel.exec_engine.process(kind(*ids, *what))

    def updated(self, qty: int, price: str) -> None:
        order = self.orders[0]
        what = (order.venue_order_id, order.account_id, Quantity.from_int(qty), Price.from_str(price), None)
        self.process(OrderUpdated, *what, UUID4(), 0, 0)


def test_a_dearer_trigger_that_is_under_way_is_held_whatever_else_is_filled(options):  # noqa: F811
    rig = Rig()

    def send(s: Any) -> None:
        size, day = Quantity.from_int(10), TimeInForce.DAY
        order = s.order_factory.stop_market(CONTRACTS[0].id, BUY, size, Price.from_str("9.00"), time_in_force=day)
        rig.orders.append(order)
        s.submit_order(order)

    def move(s: Any) -> None:
        rig.hold()
        s.modify_order(rig.orders[0], trigger_price=Price.from_str("15.00"))
        rig.look()

    _, gate, _ = options(
        send, move, lambda s: trade(s, P90, BUY, 1), rig.look, rig.let_go, rig.look, prepare=rig.prepare
    )
    assert (rig.held, gate.errors) == ([15_000] * 3, 0)


@pytest.mark.parametrize(("qty", "held"), [(20, [0, 87_500]), (4, [87_400, 34_960])])
def test_an_exit_that_somebody_else_changes_is_costed_anew(options, qty, held):  # noqa: F811
    """Made larger it opens a short; made smaller it leaves the position to the next exit."""
    rig = Rig()
    prices = ["2.50"] if qty > 10 else ["2.50", "2.60"]
    _, gate, _ = options(
        lambda s: trade(s, P90, BUY, 10),
        lambda s: rig.orders.extend(trade(s, P90, SELL, 10, price) for price in prices),
        lambda s: (rig.look(), rig.updated(qty, "2.50"), rig.look()),
        prepare=rig.prepare,
    )
    assert (rig.held, gate.errors) == (held, 0)


def test_shares_that_somebody_else_reprices_hold_what_their_position_takes(bench):
    rig = Rig()
    bench.run(
        lambda s: rig.orders.append(s.limit(BUY, 100_000, "0.90")),
        lambda s: (rig.look(), rig.updated(100_000, "1.20"), rig.look()),
        limits=ALL,
        quotes=at("1.50"),
        prepare=rig.prepare,
    )
    assert rig.held == [180_000, 240_000]


def test_an_exit_that_is_denied_behind_the_gate_leaves_the_position_to_the_next(options):  # noqa: F811
    """It has no account of its own yet."""
    rig = Rig()

    def send(s: Any) -> None:
        rig.gate._seat.inner = lambda _command: None
        rig.orders.append(trade(s, P90, SELL, 10, "2.50"))
        rig.gate._seat.inner = rig._inner
        trade(s, P90, SELL, 10, "2.60")
        rig.look()
        rig.process(OrderDenied, "a stream is down", UUID4(), 0)
        rig.look()

    _, gate, _ = options(lambda s: trade(s, P90, BUY, 10), send, lambda s: None, prepare=rig.prepare)
    assert (rig.held, gate.errors) == ([87_400, 0], 0)


def test_a_sale_that_is_moved_down_and_made_smaller_at_once_holds_what_it_became(bench):
    rig = Rig()

    def move(s: Any) -> None:
        rig.hold()
        s.modify_order(rig.orders[0], price=Price.from_str("110.00"))
        s.modify_order(rig.orders[0], quantity=Quantity.from_int(90))
        rig.look()

    bench.run(
        lambda s: rig.orders.append(s.limit(SELL, 100, "150.00")),
        move,
        rig.let_go,
        rig.look,
        limits=ALL,
        prepare=rig.prepare,
    )
    assert rig.held == [15_000, 9_900]


def test_a_limit_above_a_cheap_market_is_judged_as_cheap(bench):
    """Filled at 2.00 all of its value is asked for: 4.00 a share of 2,000,000."""
    for qty, codes in ((500_000, []), (500_001, ["MARGIN_INSUFFICIENT"])):
        ours, gate, _ = bench.run(lambda s, qty=qty: s.limit(BUY, qty, "2.60"), limits=ALL, quotes=at("2.00"))
        assert (ours.codes(), gate.errors) == (codes, 0)


def test_an_asset_that_asks_for_more_by_now_does_so_for_the_next_order(bench):
    rig = Rig()
    ours, _, _ = bench.run(
        lambda s: s.limit(BUY, 1, "90.00"),
        lambda s: s.cancel_all_orders(IBM),
        lambda _s: rig.engine.cache.add_instrument(asking("1")),
        lambda _s: None,
        lambda s: s.limit(BUY, 10_001, "100.00"),
        lambda s: s.limit(BUY, 10_000, "100.00"),
        limits=ALL,
        quotes=[quote("101.00", "101.00", second) for second in range(1, 9)],
        prepare=rig.prepare,
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]


def test_orders_of_a_strategy_that_asks_for_no_margin_hold_what_they_take_too(bench):
    rig = Rig()
    ours, _, _ = bench.run(
        lambda _s: None,
        lambda s: (rig.look(), s.limit(BUY, 111_112, "0.90")),  # 200,000 are left
        lambda s: s.limit(BUY, 111_111, "0.90"),
        others={"other": [lambda s: s.limit(BUY, 1_000_000, "0.90")]},
        limits=LimitsBook(strategies={"main": ALL}),
        quotes=at("1.00"),
        prepare=rig.prepare,
    )
    assert (rig.held, ours.codes()) == ([1_800_000], ["MARGIN_INSUFFICIENT"])


def test_an_order_that_is_made_larger_keeps_its_place_before_later_ones(options):  # noqa: F811
    """What the later purchase of puts would free is not there for it: it costs 7,000, and 1,300 are left."""
    rig = Rig()
    _, gate, _ = options(
        lambda s: s.market(BUY, 1_000),
        lambda s: trade(s, C100, SELL, 10),
        lambda s: trade(s, "IBM280121C00110000", BUY, 10),
        lambda s: trade(s, P90, SELL, 10),
        lambda s: s.market(SELL, 1_000),
        lambda s: trade(s, "IBM280121C00110000", BUY, 3_050),
        lambda s: rig.orders.append(trade(s, C100, BUY, 1, "7.00")),
        lambda s: trade(s, P90, BUY, 10, "1.50"),
        lambda s: s.modify_order(rig.orders[0], quantity=Quantity.from_int(10)),
        prepare=rig.prepare,
    )
    (account_id,) = gate.account_ids()
    power = gate.margin.power(account_id, "options")
    assert (rig.orders[0].quantity, gate.errors) == (1, 0)
    assert usd(power.own) >= 0
