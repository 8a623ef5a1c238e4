"""Rates of cancels and fills, open orders, the same order twice, our own order on the other side."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity

from runner.node.closer import NODE_TAG
from runner.risk.limits import Limits, LimitsBook, Rate
from runner.risk.reducing import ClosingOrders
from runner.risk.state import NODE, Scope, State
from tests.risk.conftest import IBM, SECOND, equity, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
MINUTE = 60 * SECOND
FINE = InstrumentId.from_str("FINE.ALPACA")


# -- cancels and fills -------------------------------------------------------------------------------------------------


def rest(s: Any, orders: list[Any], count: int) -> None:
    orders.extend(s.limit(BUY, 1, f"{90 + i}.00") for i in range(count))


@pytest.mark.parametrize("how", ["each", "batch", "all"])
@pytest.mark.parametrize(("count", "state"), [(2, State.ACTIVE), (3, State.REDUCING)])
def test_cancels_always_pass_and_too_many_make_the_scope_reducing(bench, how, count, state):
    orders: list[Any] = []

    def cancel(s: Any) -> None:
        if how == "each":
            for order in orders:
                s.cancel_order(order)
        elif how == "batch":
            s.cancel_orders(orders)
        else:
            s.cancel_all_orders(IBM)

    ours, gate, _ = bench.run(
        lambda s: rest(s, orders, count),
        cancel,
        lambda s: s.market(BUY, 1),
        limits=Limits(max_cancels=Rate(2, MINUTE)),
    )
    assert [order.status for order in orders] == [OrderStatus.CANCELED] * count
    standing = gate.states.get(NODE)
    assert standing.state is state
    assert ours.codes() == ([] if state is State.ACTIVE else ["STATE_REDUCING"])
    if state is State.REDUCING:
        assert standing.by == "breach"
        assert standing.why == "MAX_CANCELS: 3 cancels within 60 s, more than the 2 of risk.max_cancels"


@pytest.mark.parametrize("orders", [2, 3])
@pytest.mark.parametrize("scope", [NODE, Scope("account", "ALPACA"), Scope("strategy", "main")])
def test_too_many_fills_make_their_scope_reducing(bench, scope, orders):
    fills = Limits(max_fills=Rate(2, MINUTE))
    book = {
        "node": LimitsBook(top=fills),
        "account": LimitsBook(accounts={"ALPACA": fills}),
        "strategy": LimitsBook(strategies={"main": fills}),
    }[scope.kind]
    ours, gate, engine = bench.run(
        *[lambda s: s.market(BUY, 1)] * orders, lambda s: s.market(BUY, 1), lambda s: s.market(SELL, 2), limits=book
    )
    # The third fill is the one over; what reduces passes after it all the same.
    assert gate.states.get(scope).state is State.REDUCING
    assert len(ours.denials()) == orders - 2
    assert engine.portfolio.net_position(IBM) == 1


def test_a_fault_while_a_cancel_is_counted_lets_the_cancel_through(bench):
    orders: list[Any] = []

    def break_it(s: Any) -> None:
        gates[0]._owners.subject = lambda _command, _limits: 1 / 0
        s.cancel_order(orders[0])

    gates: list[Any] = []
    _, gate, _ = bench.run(
        lambda s: rest(s, orders, 1),
        break_it,
        limits=Limits(max_cancels=Rate(2, MINUTE)),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert orders[0].status == OrderStatus.CANCELED
    assert gate.errors == 1


CLOCKS = [10, 3_600, 20, 21, 22]  # it is ahead for a moment


@pytest.mark.parametrize(
    "limits", [Limits(max_orders=Rate(1, SECOND)), Limits(duplicate_window_ns=SECOND)], ids=["rate", "duplicates"]
)
def test_a_clock_that_was_ahead_for_a_moment_holds_no_orders_back_until_it_comes_there_again(bench, limits):
    now: list[int] = []
    steps = [lambda s, at=at: (now.append(at * SECOND), s.limit(BUY, 1, "90.00")) for at in CLOCKS]
    ours, gate, _ = bench.run(*steps, limits=limits, venue_now_ns=lambda: now[-1] if now else 0)
    # What passed while it was ahead counts from when it is put right.
    assert (len(ours.denials()), gate.passed) == ((1, 4) if limits.max_orders else (0, 5))


def test_fills_while_a_clock_was_ahead_make_nothing_reducing_afterwards(bench):
    now: list[int] = []
    steps = [lambda s, at=at: (now.append(at * SECOND), s.market(BUY, 1)) for at in CLOCKS]
    _, gate, _ = bench.run(*steps, limits=Limits(max_fills=Rate(2, SECOND)), venue_now_ns=lambda: now[-1] if now else 0)
    assert gate.states.get(NODE).state is State.ACTIVE


# -- open orders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["top", "accounts", "strategies"])
def test_so_many_orders_may_work_and_no_more(bench, where):
    limit = Limits(max_open_orders=3)
    book = {
        "top": LimitsBook(top=limit),
        "accounts": LimitsBook(accounts={"ALPACA": limit}),
        "strategies": LimitsBook(strategies={"main": limit}),
    }[where]
    orders: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: rest(s, orders, 3),
        lambda s: s.limit(BUY, 1, "80.00"),
        lambda s: s.cancel_order(orders[0]),
        lambda s: s.limit(BUY, 1, "80.00"),
        limits=book,
    )
    assert ours.codes() == ["MAX_OPEN_ORDERS"]
    assert "1 more beside 3 that work is over the 3 of" in ours.denials()[0]


def test_a_list_needs_room_for_all_its_orders(bench):
    ours, _, _ = bench.run(lambda s: s.bracket(BUY, 1, "99.00", "90.00", "110.00"), limits=Limits(max_open_orders=2))
    assert ours.codes() == ["MAX_OPEN_ORDERS"] * 3


@pytest.mark.parametrize(("most", "passes"), [(2, True), (1, False)])
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (lambda most: Limits(max_open_orders=most), "MAX_OPEN_ORDERS"),
        (lambda most: Limits(max_orders=Rate(most, MINUTE)), "MAX_ORDERS"),
    ],
)
def test_independent_orders_of_a_list_count_each(bench, limits, code, most, passes):
    ours, gate, _ = bench.run(lambda s: s.several((BUY, 1, "80.00"), (BUY, 1, "81.00")), limits=limits(most))
    assert (ours.codes(), gate.errors) == ([] if passes else [code] * 2, 0)


def test_what_reduces_needs_no_room(bench):
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 10),
        lambda s: s.limit(BUY, 1, "80.00"),
        lambda s: s.market(SELL, 10),
        limits=Limits(max_open_orders=1),
    )
    assert ours.denials() == []
    assert engine.portfolio.net_position(IBM) == 0


# -- the same order twice ----------------------------------------------------------------------------------------------


def test_the_same_order_within_the_window_is_denied_and_at_its_end_passes(bench):
    ours, _, _ = bench.run(
        lambda s: s.limit(BUY, 1, "90.00"),
        lambda s: s.limit(BUY, 1, "90.00"),
        lambda s: s.limit(BUY, 1, "90.00"),
        limits=Limits(duplicate_window_ns=2 * SECOND),
    )
    assert ours.codes() == ["DUPLICATE_ORDER"]
    assert "passed 1 s ago, within the 2 s of risk.duplicate_window" in ours.denials()[0]


def test_trailing_stops_are_doubles_at_the_same_distance_only(bench):
    def trail(distance: str) -> Any:
        def step(s: Any) -> None:
            order = s.order_factory.trailing_stop_market(IBM, SELL, Quantity.from_int(1), Decimal(distance))
            s.submit_order(order)

        return step

    ours, gate, _ = bench.run(
        trail("1.00"), trail("2.00"), trail("1.00"), limits=Limits(duplicate_window_ns=10 * SECOND)
    )
    assert (ours.codes(), gate.errors) == (["DUPLICATE_ORDER"], 0)


@pytest.mark.parametrize(
    "other",
    [
        lambda s: s.limit(BUY, 2, "90.00"),
        lambda s: s.limit(BUY, 1, "90.01"),
        lambda s: s.limit(SELL, 1, "110.00"),
        lambda s: s.market(BUY, 1),
    ],
)
def test_another_order_is_no_double(bench, other):
    ours, _, _ = bench.run(lambda s: s.limit(BUY, 1, "90.00"), other, limits=Limits(duplicate_window_ns=MINUTE))
    assert ours.denials() == []


def test_a_double_is_denied_when_it_reduces_too(bench):
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 10),
        lambda s: s.market(SELL, 4),
        lambda s: s.market(SELL, 4),
        limits=Limits(duplicate_window_ns=MINUTE),
    )
    assert ours.codes() == ["DUPLICATE_ORDER"]
    assert engine.portfolio.net_position(IBM) == 6


def test_the_nodes_own_closing_order_is_no_double_and_of_any_size_as_long_as_it_reduces(bench):
    own = ClosingOrders()

    def close(s: Any, side: Any, qty: int) -> None:
        order = s.made(side, qty)
        own.add(order)
        s.submit_order(order)

    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 4),
        lambda s: s.market(BUY, 5),
        lambda s: s.market(SELL, 4),
        lambda s: close(s, SELL, 4),
        lambda s: close(s, SELL, 4),  # more than the 1 that is left
        lambda s: s.market(BUY, 6),
        lambda s: s.market(SELL, 1),
        limits=Limits(duplicate_window_ns=MINUTE, max_order_qty=5),
        closing=own,
    )
    assert ours.codes() == ["DUPLICATE_ORDER", "MAX_ORDER_QTY"]
    assert engine.portfolio.net_position(IBM) == 0
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 3),
        lambda s: s.market(BUY, 4),
        lambda s: s.market(SELL, 7),
        lambda s: close(s, SELL, 7),
        limits=Limits(max_order_qty=5, max_order_notional=500),
        closing=own,
    )
    assert ours.codes() == ["MAX_ORDER_QTY"]
    assert engine.portfolio.net_position(IBM) == 0


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(duplicate_window_ns=MINUTE), "DUPLICATE_ORDER"),
        (Limits(max_order_qty=3), "MAX_ORDER_QTY"),
        (Limits(max_order_notional=300), "MAX_ORDER_NOTIONAL"),
    ],
)
def test_the_nodes_tag_takes_a_strategys_own_exit_past_no_limit(bench, limits, code):
    size = 2 if code == "DUPLICATE_ORDER" else 4
    ours, _, engine = bench.run(
        *(lambda s, qty=qty: s.market(BUY, qty) for qty in (1, 3, 2)),
        lambda s: s.market(SELL, size, tags=[NODE_TAG]),
        lambda s: s.market(SELL, size, tags=[NODE_TAG]),
        limits=limits,
    )
    assert set(ours.codes()) == {code}
    assert engine.portfolio.net_position(IBM) == (4 if code == "DUPLICATE_ORDER" else 6)


def test_a_closing_order_is_known_until_it_is_closed(bench):
    own, orders = ClosingOrders(), []

    def close(s: Any) -> None:
        orders.append(s.made(SELL, 1))
        own.add(orders[-1])
        assert orders[-1].client_order_id in own
        s.submit_order(orders[-1])

    bench.run(lambda s: s.market(BUY, 2), close, close)
    assert all(order.is_closed for order in orders)
    assert not any(order.client_order_id in own for order in orders)
    assert len(own) == 1, "what is closed is let go of with the next"


def test_an_order_that_was_denied_does_not_count_as_sent(bench):
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 3),
        lambda s: s.market(BUY, 3),
        limits=LimitsBook(Limits(duplicate_window_ns=MINUTE, max_order_qty=2)),
    )
    assert ours.codes() == ["MAX_ORDER_QTY"] * 2


# -- our own order on the other side -----------------------------------------------------------------------------------

DENY = Limits(self_match=True)


@pytest.mark.parametrize(
    ("first", "second", "denied"),
    [
        (lambda s: s.limit(SELL, 1, "101.00"), lambda s: s.limit(BUY, 1, "100.99"), False),
        (lambda s: s.limit(SELL, 1, "101.00"), lambda s: s.limit(BUY, 1, "101.00"), True),
        (lambda s: s.limit(SELL, 1, "101.00"), lambda s: s.market(BUY, 1), True),
        (lambda s: s.limit(BUY, 1, "99.00"), lambda s: s.limit(SELL, 1, "99.01"), False),
        (lambda s: s.limit(BUY, 1, "99.00"), lambda s: s.limit(SELL, 1, "99.00"), True),
        (lambda s: s.limit(BUY, 1, "99.00"), lambda s: s.limit(BUY, 1, "99.00"), False),
        # Part of a list: the venue takes it as one order.
        (lambda s: s.limit(SELL, 1, "101.00"), lambda s: s.bracket(BUY, 1, "101.00", "90.00", "110.00"), False),
    ],
)
def test_an_order_that_could_trade_with_our_own_is_denied(bench, first, second, denied):
    ours, gate, _ = bench.run(first, second, limits=DENY)
    assert ours.codes() == (["SELF_MATCH"] if denied else [])
    assert gate.errors == 0


@pytest.mark.parametrize(
    ("first", "second", "denied"),
    [
        ((BUY, 1, "99.00"), (SELL, 1, "99.01"), False),
        ((BUY, 1, "99.00"), (SELL, 1, "99.00"), True),
        ((SELL, 1, "101.00"), (BUY, 1, None), True),
        ((BUY, 1, "99.00"), (BUY, 1, None), False),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_orders_of_one_list_could_trade_with_each_other_too(bench, first, second, denied, turned):
    ours, gate, _ = bench.run(lambda s: s.several(*((second, first) if turned else (first, second))), limits=DENY)
    assert (ours.codes(), gate.errors) == (["SELF_MATCH"] * 2 if denied else [], 0)


@pytest.mark.parametrize("sides", [(BUY, SELL), (SELL, BUY)])
def test_prices_finer_than_a_nano_dollar_meet_where_they_are_the_same(bench, sides):
    told = {**Equity.to_dict(equity(FINE)), "price_precision": 14, "price_increment": "0.00000000000001"}

    def send(side: Any) -> Any:
        size, price = Quantity.from_int(1), Price.from_str("0.00000000050000")
        return lambda s: s.submit_order(s.order_factory.limit(FINE, side, size, price))

    ours, _, _ = bench.run(*map(send, sides), limits=DENY, instruments=[Equity.from_dict(told)])
    assert ours.codes() == ["SELF_MATCH"]


def test_it_names_what_to_cancel_and_also_holds_for_what_reduces(bench):
    orders: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 10),
        lambda s: orders.append(s.limit(BUY, 1, "99.00")),
        lambda s: s.market(SELL, 10),
        limits=DENY,
    )
    (reason,) = ours.denials()
    assert reason == (
        f"SELF_MATCH: it could trade with our own order {orders[0].client_order_id} to buy at 99: "
        "cancel that first (risk.self_match)"
    )


def test_another_strategys_order_on_the_account_is_our_own(bench):
    ours, _, _ = bench.run(
        lambda s: None,
        lambda s: s.market(BUY, 1),
        limits=DENY,
        others={"other": [lambda s: s.limit(SELL, 1, "101.00")]},
    )
    assert ours.codes() == ["SELF_MATCH"]


def test_a_modification_may_not_come_to_meet_our_own_order(bench):
    orders: list[Any] = []
    _, gate, _ = bench.run(
        lambda s: s.limit(SELL, 1, "101.00"),
        lambda s: orders.append(s.limit(BUY, 1, "99.00")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(1), Price.from_str("101.00")),
        limits=DENY,
    )
    assert gate.denied == {"SELF_MATCH": 1}


def test_what_passes_while_no_clock_tells_the_time_empties_no_window(bench):
    """An exit passes, counted at the last time that was told."""
    rig: dict[str, Any] = {}

    def now_ns() -> int:
        if rig.get("broken"):
            raise RuntimeError("no clock")
        return rig["engine"].kernel.clock.timestamp_ns()  # type: ignore[no-any-return]

    def breaks(is_broken: bool) -> Any:
        return lambda s: rig.update(broken=is_broken)

    ours, gate, _ = bench.run(
        lambda s: (s.market(BUY, 2), s.limit(BUY, 1, "90.00")),
        breaks(True),
        lambda s: (s.market(SELL, 1), s.market(BUY, 1)),
        breaks(False),
        lambda s: s.market(BUY, 1),
        limits=Limits(max_orders=Rate(3, 3600 * SECOND)),
        quotes=[quote("100.00", "100.00", 36_000 + second) for second in range(7)],
        prepare=lambda engine, gate: (rig.update(engine=engine), gate.begin()),
        venue_now_ns=now_ns,
    )
    assert ours.codes() == ["GATE_ERROR", "MAX_ORDERS"]
    assert gate.book.engine.passed("risk", 3600 * SECOND, 36_007 * SECOND) == 3
