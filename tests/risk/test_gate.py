"""The gate in front of Nautilus's execution engine, on a margin account (which Nautilus itself does not check)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TriggerType
from nautilus_trader.model.events import OrderDenied, OrderModifyRejected
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from runner.config.risk import Portion
from runner.risk.limits import Limits, LimitsBook, Rate
from runner.risk.state import Scope, State

IBM = InstrumentId.from_str("IBM.ALPACA")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
SECOND = 1_000_000_000
D = Decimal


def limits(**values: Any) -> Limits:
    return Limits(**{name: value if name == "state" else D(value) for name, value in values.items()})


# Each way to place an order of so many shares, worth 100.00 each.
SHAPES = {
    "market buy": lambda s, qty: s.market(BUY, qty),
    "market sell": lambda s, qty: s.market(SELL, qty),
    "limit sell": lambda s, qty: s.limit(SELL, qty, "100.00"),
    "limit buy": lambda s, qty: s.limit(BUY, qty, "100.00"),
    "bracket": lambda s, qty: s.bracket(BUY, qty, "100.00", "90.00", "100.00"),
    "emulated": lambda s, qty: s.limit(BUY, qty, "100.00", emulation_trigger=TriggerType.BID_ASK),
    "money": lambda s, qty: s.market(BUY, qty * 100, quote_quantity=True),
}
LIMITS = {
    "MAX_ORDER_QTY": limits(max_order_qty=100),
    "MAX_ORDER_NOTIONAL": limits(max_order_notional=10_000),
    "MAX_POSITION_NOTIONAL": limits(max_position_notional=10_000),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code", LIMITS)
def test_at_the_bound_an_order_passes_and_one_share_past_it_is_denied(bench, shape, code):
    ours, gate, _ = bench.run(lambda s: SHAPES[shape](s, 100), limits=LIMITS[code])
    assert ours.denials() == []
    assert gate.passed >= 1

    ours, gate, engine = bench.run(lambda s: SHAPES[shape](s, 101), limits=LIMITS[code])
    assert set(ours.codes()) == {code}
    assert gate.denied == {code: len(ours.denials())}
    assert gate.passed == 0
    assert all(order.status == OrderStatus.DENIED for order in engine.cache.orders())
    assert engine.cache.positions() == []


def test_the_reason_holds_the_code_the_numbers_and_the_place_in_the_file(bench):
    book = LimitsBook(top=limits(max_order_notional=50_000), strategies={"main": limits(max_order_notional=10_000)})
    ours, _, _ = bench.run(lambda s: s.market(BUY, 101), limits=book)
    (reason,) = ours.denials()
    assert reason == (
        "MAX_ORDER_NOTIONAL: to buy 101 IBM.ALPACA at 100 is 10,100, "
        "more than the 10,000 of strategies.main.limits.max_order_notional"
    )


@pytest.mark.parametrize("where", ["top", "accounts", "strategies"])
def test_the_tightest_of_the_levels_wins(bench, where):
    levels = {name: limits(max_order_qty=10 if name == where else 50) for name in ("top", "accounts", "strategies")}
    book = LimitsBook(levels["top"], {"ALPACA": levels["accounts"]}, {"main": levels["strategies"]})
    ours, _, _ = bench.run(lambda s: s.market(BUY, 10), lambda s: s.market(BUY, 11), limits=book)
    assert ours.codes() == ["MAX_ORDER_QTY"]


def test_another_strategys_limits_do_not_bind(bench):
    book = LimitsBook(strategies={"other": limits(max_order_qty=1)}, accounts={"ELSEWHERE": limits(max_order_qty=1)})
    ours, _, _ = bench.run(lambda s: s.market(BUY, 10), limits=book)
    assert ours.denials() == []


# -- room is taken at once ---------------------------------------------------------------------------------------------


def test_a_strategys_limits_bind_from_when_its_name_is_known(bench):
    """A reload brings a strategy back: its orders that still work are cancelled before it is added."""
    names: dict[str, str] = {}
    orders: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 1, "90.00")),
        lambda s: (s.cancel_order(orders[0]), names.update({s.id.value: "ema"})),
        lambda s: s.market(BUY, 2),
        limits=LimitsBook(Limits(max_cancels=Rate(9, SECOND)), strategies={"ema": Limits(max_order_qty=1)}),
        strategy_name=lambda strategy_id: names.get(strategy_id.value, strategy_id.value),
    )
    assert ours.codes() == ["MAX_ORDER_QTY"]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_orders=Rate(10**30, 10**30), max_cancels=Rate(10**30, 10**30)),
        Limits(max_open_orders=10**30),
        Limits(max_position_notional=Decimal(10) ** 30, max_gross_exposure=Portion(amount=Decimal(10) ** 30)),
        Limits(max_gross_exposure=Portion(fraction=Decimal(10) ** 30)),
        Limits(max_order_qty=Decimal(10) ** 30, max_order_notional=Decimal(10) ** 30),
    ],
)
def test_a_limit_beyond_all_numbers_lets_everything_pass(bench, limits):
    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: s.cancel_order(s.limit(BUY, 1, "90.00")),
        lambda s: s.market(SELL, 100),
        limits=limits,
    )
    assert all(each.fraction < 1 for each in gate.used())
    assert (ours.denials(), gate.errors) == ([], 0)


def test_two_orders_of_one_turn_can_not_use_the_same_room(bench):
    def step(s: Any) -> None:
        s.market(BUY, 60)
        s.market(BUY, 60)

    ours, _, engine = bench.run(step, limits=limits(max_position_notional=10_000))
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"]
    assert engine.portfolio.net_position(IBM) == 60


def test_resting_buys_and_sells_are_each_counted(bench):
    def step(s: Any) -> None:
        s.limit(BUY, 60, "99.00")
        s.limit(SELL, 60, "101.00")
        s.limit(BUY, 42, "99.00")
        s.limit(SELL, 41, "101.00")

    ours, _, _ = bench.run(step, limits=limits(max_position_notional=10_000))
    # 102 × 99 = 10,098; 101 × 101 = 10,201
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"] * 2


def test_a_canceled_order_gives_its_room_back(bench):
    orders = []
    ours, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 100, "99.00")),
        lambda s: s.limit(BUY, 100, "99.00"),
        lambda s: s.cancel_order(orders[0]),
        lambda s: s.limit(BUY, 100, "99.00"),
        limits=limits(max_position_notional=10_000),
    )
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"]
    assert len(gate.reservations) == 1


def test_a_filled_orders_room_becomes_position(bench):
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 60),
        lambda s: s.market(BUY, 41),
        lambda s: s.market(BUY, 40),
        limits=limits(max_position_notional=10_000),
    )
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"]
    assert engine.portfolio.net_position(IBM) == 100
    assert len(gate.reservations) == 0


def test_an_order_that_the_venue_rejects_gives_its_room_back(bench):
    def post_only(s: Any) -> None:
        s.limit(BUY, 100, "100.50", post_only=True)

    ours, gate, _ = bench.run(post_only, lambda s: s.market(BUY, 100), limits=limits(max_position_notional=10_050))
    assert "OrderRejected" in [type(event).__name__ for event in ours.events]
    assert ours.denials() == []
    assert len(gate.reservations) == 0


def test_a_reversal_through_zero_is_judged_by_where_it_ends(bench):
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: s.market(SELL, 201),
        lambda s: s.market(SELL, 200),
        limits=limits(max_position_notional=10_000),
    )
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"]
    assert engine.portfolio.net_position(IBM) == -100


def test_closing_and_reversing_in_one_turn_is_counted_together(bench):
    def reverse(s: Any) -> None:
        s.close_all_positions(IBM)
        s.market(SELL, 100)

    ours, _, engine = bench.run(lambda s: s.market(BUY, 100), reverse, limits=limits(max_position_notional=10_000))
    assert ours.denials() == []
    assert engine.portfolio.net_position(IBM) == -100


def test_the_account_nets_over_its_strategies_and_each_strategy_stands_for_its_own(bench):
    book = LimitsBook(
        accounts={"ALPACA": limits(max_position_notional=15_000)},
        strategies={"main": limits(max_position_notional=10_000), "other": limits(max_position_notional=10_000)},
    )
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: s.market(BUY, 1),
        limits=book,
        others={"other": [lambda s: None, lambda s: s.market(BUY, 51), lambda s: s.market(BUY, 50)]},
    )
    assert [reason for reason in ours.denials() if "strategies.main" in reason] == ours.denials() != []
    assert engine.portfolio.net_position(IBM) == 150


# -- lists and modifications -------------------------------------------------------------------------------------------


def test_a_denied_list_is_denied_whole_with_one_event_an_order(bench):
    ours, gate, engine = bench.run(
        lambda s: s.bracket(BUY, 50, "100.00", "90.00", "110.00"), limits=limits(max_order_notional=5_200)
    )
    denied = [event for event in ours.events if isinstance(event, OrderDenied)]
    assert len(denied) == 3
    assert len({event.client_order_id for event in denied}) == 3
    assert gate.denied == {"MAX_ORDER_NOTIONAL": 3}
    assert sum("denied with its list" in event.reason for event in denied) == 2
    assert {order.status for order in engine.cache.orders()} == {OrderStatus.DENIED}


def test_a_brackets_exits_take_no_room_beside_its_entry(bench):
    ours, _, engine = bench.run(
        lambda s: s.bracket(BUY, 100, "100.00", "90.00", "110.00"),
        lambda s: s.market(BUY, 1),
        limits=limits(max_position_notional=10_000),
    )
    assert ours.codes() == ["MAX_POSITION_NOTIONAL"]
    assert engine.portfolio.net_position(IBM) == 100


@pytest.mark.parametrize(("qty", "passes"), [(100, True), (101, False)])
def test_a_modification_is_judged_by_what_it_becomes(bench, qty, passes):
    orders = []
    ours, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 50, "99.00")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(qty), Price.from_str("99.00")),
        limits=limits(max_order_qty=100),
    )
    rejected = [event for event in ours.events if isinstance(event, OrderModifyRejected)]
    assert orders[0].status == OrderStatus.ACCEPTED
    if passes:
        assert rejected == []
        assert orders[0].quantity == Quantity.from_int(qty)
    else:
        assert [event.reason.split(":")[0] for event in rejected] == ["MAX_ORDER_QTY"]
        assert orders[0].quantity == Quantity.from_int(50)
        assert gate.denied == {"MAX_ORDER_QTY": 1}


def test_a_modification_takes_the_place_of_its_order_in_the_position(bench):
    orders = []
    ours, _, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 60, "99.00")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(101)),
        lambda s: s.modify_order(orders[0], Quantity.from_int(102)),
        limits=limits(max_position_notional=10_000),
    )
    assert orders[0].quantity == Quantity.from_int(101)
    assert [type(event).__name__ for event in ours.events].count("OrderModifyRejected") == 1


def test_a_modification_that_only_shrinks_passes_whatever_the_limits_say_now(bench):
    orders = []

    def tighten(s: Any) -> None:
        gates[0].set_limits(LimitsBook(top=limits(max_order_qty=10, max_position_notional=100, state="halted")))
        s.modify_order(orders[0], Quantity.from_int(50))

    gates: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 60, "99.00")), tighten, prepare=lambda _engine, gate: gates.append(gate)
    )
    assert orders[0].quantity == Quantity.from_int(50)
    assert ours.denials() == []


def test_an_emulated_order_is_judged_when_it_is_released(bench, quotes):
    gates: list[Any] = []
    ours, gate, engine = bench.run(
        lambda s: s.limit(BUY, 100, "99.00", emulation_trigger=TriggerType.BID_ASK),
        lambda s: gates[0].set_state("halted", why="a test"),
        quotes=quotes("100.00", "100.00", "98.00", "98.00"),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert "OrderReleased" in [type(event).__name__ for event in ours.events]
    assert ours.codes() == ["STATE_HALTED"]
    (order,) = engine.cache.orders()
    assert order.status == OrderStatus.DENIED
    assert gate.passed == 0


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["reducing", "halted"])
@pytest.mark.parametrize("scope", [Scope("node"), Scope("account", "ALPACA"), Scope("strategy", "main")])
def test_a_state_lets_only_reducing_orders_and_cancels_through(bench, state, scope):
    orders: list[Any] = []
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state(state, scope=scope, why="a test")
        s.market(BUY, 1)  # opens
        s.market(SELL, 101)  # would turn the position round
        s.cancel_order(orders[0])
        s.market(SELL, 60)
        s.market(SELL, 41)  # with the one before, more than the position
        s.market(SELL, 40)

    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: orders.append(s.limit(BUY, 5, "90.00")),
        halted,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == [f"STATE_{state.upper()}"] * 3
    assert orders[0].status == OrderStatus.CANCELED
    assert engine.portfolio.net_position(IBM) == 0


@pytest.mark.parametrize(
    ("scope", "codes", "net"),
    [(Scope("strategy", "main"), ["STATE_HALTED"], 100), (Scope("account", "ALPACA"), [], 60)],
)
def test_a_strategy_that_may_only_reduce_closes_what_it_holds_itself(bench, scope, codes, net):
    """The account holds 100 of another's. A state of the account asks about that one alone."""
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state("halted", scope=scope, why="a test")
        s.market(SELL, 40)

    ours, gate, engine = bench.run(
        lambda s: None,
        lambda s: s.market(BUY, 10),
        halted,
        lambda s: s.market(SELL, 10),
        others={"other": [lambda s: s.market(BUY, 100)]},
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (ours.codes(), gate.errors) == (codes, 0)
    assert engine.portfolio.net_position(IBM) == net


@pytest.mark.parametrize("node", [False, True])
@pytest.mark.parametrize("how", ["sale", "modification", "fault"])
def test_no_way_leads_around_that(bench, how, node):
    """Not another state beside its own, not an order that works already, and not a fault of the gate."""
    gates: list[Any] = []
    orders: list[Any] = []

    def halted(s: Any) -> None:
        gate = gates[0]
        gate.set_state("halted", scope=Scope("strategy", "main"), why="a test")
        if node:
            gate.set_state("halted", why="a test")
        if how == "modification":
            s.modify_order(orders[0], Quantity.from_int(90), Price.from_str("100.00"))
            return
        if how == "fault":
            gate.judge._illegal = lambda *_args: 1 / 0
        s.market(SELL, 90)

    ours, _, engine = bench.run(
        lambda s: None,
        lambda s: orders.append(s.limit(SELL, 10, "120.00")),
        halted,
        lambda s: None,
        others={"other": [lambda s: s.market(BUY, 100)]},
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert engine.portfolio.net_position(IBM) == 100
    assert [position.strategy_id for position in engine.cache.positions_open()] != [ours.id]


def test_a_state_is_latched_until_it_is_resumed(bench):
    _, gate, _ = bench.run(limits=Limits(state="halted"))
    assert gate.states.severest("a", "b").state is State.HALTED
    assert not gate.set_state("reducing", why="milder")
    assert gate.states.severest("a", "b").why == "risk.state"
    assert gate.resume(why="looked at")
    assert gate.states.severest("a", "b").state is State.ACTIVE


def test_a_short_position_is_reduced_by_buying(bench):
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        s.market(SELL, 1)
        s.market(BUY, 100)

    ours, _, engine = bench.run(lambda s: s.market(SELL, 100), halted, prepare=lambda _engine, gate: gates.append(gate))
    assert ours.codes() == ["STATE_HALTED"]
    assert engine.portfolio.net_position(IBM) == 0


def test_a_brackets_exits_count_as_one_when_they_reduce(bench):
    gates: list[Any] = []
    orders: list[Any] = []

    def halt_and_sell(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        s.market(SELL, 51)  # the bracket's exits close 100 of the 150, by whichever of the two
        s.market(SELL, 50)

    ours, _, engine = bench.run(
        lambda s: orders.append(s.bracket(BUY, 100, "100.00", "90.00", "110.00")),
        lambda s: s.market(BUY, 50),
        halt_and_sell,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["STATE_HALTED"]
    assert engine.portfolio.net_position(IBM) == 100


@pytest.mark.parametrize(("exits", "codes", "net"), [(100, [], 0), (101, [], -1), (201, ["MAX_POSITION_NOTIONAL"], 0)])
def test_an_exit_that_is_larger_than_its_entry_is_held_to_what_it_opens(bench, exits, codes, net):
    ours, gate, engine = bench.run(
        lambda s: s.entry_and_exit(100, exits, "100.00", "100.00"),
        lambda s: None,
        limits=limits(max_position_notional=10_000),
    )
    assert sorted(set(ours.codes())) == codes
    assert engine.portfolio.net_position(IBM) == net
    assert gate.errors == 0


@pytest.mark.parametrize("filled", [True, False])
def test_in_a_halt_no_exit_becomes_larger_than_its_entry(bench, filled):
    gates: list[Any] = []
    orders: list[Any] = []

    def enlarge(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        for exit_ in orders[0].orders[1:]:
            s.modify_order(exit_, Quantity.from_int(101))

    entry = "100.00" if filled else "95.00"
    ours, _, engine = bench.run(
        lambda s: orders.append(s.bracket(BUY, 100, entry, "90.00", "110.00")),
        enlarge,
        lambda s: None,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    rejected = [event.reason for event in ours.events if isinstance(event, OrderModifyRejected)]
    assert [reason.split(":")[0] for reason in rejected] == ["STATE_HALTED"] * 2
    assert engine.portfolio.net_position(IBM) == (100 if filled else 0)


# -- order rate --------------------------------------------------------------------------------------------------------


def test_orders_over_the_rate_are_denied_until_the_window_has_moved_on(bench):
    def five(s: Any) -> None:
        for _ in range(5):
            s.limit(BUY, 1, "90.00")

    ours, gate, _ = bench.run(five, five, lambda s: None, five, limits=Limits(max_orders=Rate(5, 2 * SECOND)))
    # A quote a second: the second five fall into the first's two seconds, the last do not.
    assert ours.codes() == ["MAX_ORDERS"] * 5
    assert gate.passed == 10
    assert "5 in 2 s that risk.max_orders allows" in ours.denials()[0]


def test_a_list_counts_all_its_orders(bench):
    ours, _, _ = bench.run(
        lambda s: s.bracket(BUY, 1, "100.00", "90.00", "110.00"), limits=Limits(max_orders=Rate(2, 60 * SECOND))
    )
    assert ours.codes() == ["MAX_ORDERS"] * 3


def test_a_reducing_order_passes_over_the_rate_and_is_counted(bench):
    def close_then_open(s: Any) -> None:
        s.market(SELL, 10)
        s.market(BUY, 1)

    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 10), close_then_open, limits=Limits(max_orders=Rate(1, 60 * SECOND))
    )
    assert ours.codes() == ["MAX_ORDERS"]
    assert engine.portfolio.net_position(IBM) == 0


# -- what can't be judged ----------------------------------------------------------------------------------------------


def test_without_a_price_an_order_that_opens_is_denied(bench):
    _, gate, _ = bench.run(at_start=lambda s: s.market(BUY, 1), limits=limits(max_order_notional=1_000))
    assert gate.denied == {"NO_PRICE": 1}


def test_where_no_limit_needs_a_price_none_is_asked_for(bench):
    _, gate, _ = bench.run(at_start=lambda s: s.market(BUY, 1), limits=limits(max_order_qty=1))
    assert gate.passed == 1


def test_an_account_whose_updates_do_not_arrive_opens_nothing_but_closes(bench):
    up = [True]

    def down(s: Any) -> None:
        up[0] = False
        s.market(BUY, 1)
        s.market(SELL, 100)

    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 100),
        down,
        outage=lambda account, strategy: None if up[0] else f"{account} hears nothing",
    )
    assert ours.denials() == ["STREAM_DOWN: ALPACA hears nothing, so nothing can be opened"]
    assert engine.portfolio.net_position(IBM) == 0


def test_an_order_without_an_account_is_denied(bench):
    ours, _, _ = bench.run(lambda s: s.market(BUY, 1), account_of=lambda _command: None)
    assert ours.codes() == ["NO_ACCOUNT"]


def test_a_fault_in_the_gate_denies_and_never_raises(bench):
    def broken(_account: str, _strategy: str) -> str | None:
        raise RuntimeError("a bug")

    ours, gate, _ = bench.run(lambda s: s.market(BUY, 1), outage=broken)
    assert ours.denials() == ["GATE_ERROR: the gate could not judge it (RuntimeError: a bug)"]
    assert gate.errors == 1


def test_a_fault_in_the_gate_still_lets_a_reducing_order_through(bench):
    def prepare(_engine: Any, gate: Any) -> None:
        whole = gate.judge._illegal

        def breaks(candidates: Any, params: Any) -> Any:
            if candidates[0].order.side == SELL:
                raise RuntimeError("a bug")
            return whole(candidates, params)

        gate.judge._illegal = breaks

    ours, gate, engine = bench.run(lambda s: s.market(BUY, 100), lambda s: s.market(SELL, 100), prepare=prepare)
    assert ours.denials() == []
    assert gate.errors == 1
    assert engine.portfolio.net_position(IBM) == 0


def test_a_fault_in_the_router_denies_orders_and_lets_cancels_through(bench):
    broken = [False]
    orders: list[Any] = []

    def route(command: Any) -> Any:
        if broken[0]:
            raise KeyError("no such strategy")
        return command

    def faulty(s: Any) -> None:
        broken[0] = True
        s.market(BUY, 1)
        s.cancel_order(orders[0])

    ours, gate, _ = bench.run(lambda s: orders.append(s.limit(BUY, 1, "90.00")), faulty, route=route)
    assert ours.codes() == ["GATE_ERROR"]
    assert orders[0].status == OrderStatus.CANCELED
    assert gate.errors == 2


def test_a_fault_in_a_listener_changes_nothing(bench):
    def listener(*_args: Any) -> None:
        raise RuntimeError("a bug")

    ours, gate, _ = bench.run(lambda s: s.market(BUY, 2), limits=limits(max_order_qty=1), on_denied=listener)
    assert ours.codes() == ["MAX_ORDER_QTY"]
    assert gate.errors == 1


# -- the second lock, and the seat -------------------------------------------------------------------------------------


def test_an_approval_is_given_by_command_and_used_up(bench):
    commands: list[Any] = []

    def route(command: Any) -> Any:
        commands.append(command)
        return command

    _, gate, _ = bench.run(
        lambda s: s.market(BUY, 2), lambda s: s.market(BUY, 1), limits=limits(max_order_qty=1), route=route
    )
    denied, passed = commands
    assert not gate.approved(denied)
    assert gate.approved(passed)
    assert not gate.approved(passed)


def test_approvals_that_nobody_asks_for_do_not_pile_up(bench):
    def many(s: Any) -> None:
        for _ in range(20):
            s.limit(BUY, 1, "90.00")

    _, gate, _ = bench.run(many, approvals=5)
    assert len(gate._answers._approved) == 5


def test_each_denial_is_told_with_its_code_strategy_and_account(bench):
    told: list[Any] = []
    bench.run(lambda s: s.market(BUY, 2), limits=limits(max_order_qty=1), on_denied=lambda *args: told.append(args))
    assert told == [("MAX_ORDER_QTY", "main", "ALPACA")]


def test_the_seat_can_be_given_back_and_taken_again(bench):
    _, gate, engine = bench.run(lambda s: s.market(BUY, 1))
    with pytest.raises(RuntimeError, match="installed already"):
        gate.install(engine.kernel.exec_engine)
    gate.uninstall()
    gate.uninstall()
    assert "ExecEngine.execute" in engine.kernel.msgbus.endpoints()
    gate.install(engine.kernel.exec_engine)


def test_orders_and_positions_that_come_back_without_an_event_are_counted_from_the_beginning_on(bench):
    """After a restart they are put into the cache when the gate has its seat already."""
    _, gate, engine = bench.run(lambda s: s.market(BUY, 50), lambda s: s.limit(BUY, 30, "99.00"))
    account = engine.cache.accounts()[0].id
    gate.uninstall()
    kernel, cache = engine.kernel, engine.cache
    late = [*cache.orders_open(), *cache.orders_inflight()]

    class Empty:
        """The cache before it was filled."""

        hidden = True

        def __getattr__(self, name: str) -> Any:
            if self.hidden and name in {"orders_open", "orders_inflight", "positions_open"}:
                return lambda **_: []
            return getattr(cache, name)

    before = Empty()
    again = type(gate)(
        msgbus=kernel.msgbus, cache=before, clock=kernel.clock, limits=LimitsBook(limits(max_position_notional=10_000))
    )
    again.install(kernel.exec_engine)
    assert again.positions.qty(IBM, account) == 0
    before.hidden = False
    again.begin()
    assert again.positions.qty(IBM, account) == 50
    assert [leg.order for leg in again.working.legs(IBM, account)] == late
    assert again.errors == 0


@pytest.mark.parametrize(("money", "codes"), [(750, []), (751, ["MAX_ORDER_QTY"])])
def test_an_order_in_money_is_of_what_it_buys_where_it_is_filled(bench, quotes, money, codes):
    """At the ask of 50, though its limit is 100."""

    def step(s: Any) -> None:
        size, price = Quantity.from_int(money), Price.from_str("100.00")
        s.submit_order(s.order_factory.limit(IBM, BUY, size, price, quote_quantity=True))

    told = quotes(*["50.00"] * 3)
    ours, gate, _ = bench.run(step, limits=Limits(max_order_qty=Decimal(15)), quotes=told)
    assert (ours.codes(), gate.errors) == (codes, 0)
    ours, gate, _ = bench.run(step, limits=Limits(max_order_notional=Decimal(750)), quotes=told)
    assert (ours.codes(), gate.errors) == (["MAX_ORDER_NOTIONAL"] if codes else [], 0)
