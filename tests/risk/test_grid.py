"""Every limit on an order's size, in every way that an order can come: at its bound it passes, one share past it is
denied with its code. IBM is at 100.00, and each limit is set so that 100 shares may be bought by an account that holds
nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.objects import Price, Quantity

from runner.config.risk import Portion
from runner.risk.limits import Limits, LimitsBook, Rate
from tests.risk.conftest import IBM, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
D = Decimal
LIMITS = {
    "MAX_ORDER_QTY": Limits(max_order_qty=D(100)),
    "MAX_ORDER_NOTIONAL": Limits(max_order_notional=D(10_000)),
    "MAX_POSITION_NOTIONAL": Limits(max_position_notional=D(10_000)),
    "MAX_GROSS_EXPOSURE": Limits(max_gross_exposure=Portion(fraction=D("0.01"))),
    "MARGIN_INSUFFICIENT": Limits(headroom=D("0.995")),  # of 2,000,000
}
LEVELS = {
    "top": lambda limits: LimitsBook(top=limits),
    "account": lambda limits: LimitsBook(accounts={"ALPACA": limits}),
    "strategy": lambda limits: LimitsBook(strategies={"main": limits}),
}
WAYS = {
    "market": lambda s, qty: s.market(BUY, qty),
    "limit": lambda s, qty: s.limit(BUY, qty, "100.00"),
    "money": lambda s, qty: s.market(BUY, qty * 100, quote_quantity=True),
    "list": lambda s, qty: s.bracket(BUY, qty, "100.00", "90.00", "100.00"),
    "emulated": lambda s, qty: s.limit(BUY, qty, "100.00", emulation_trigger=TriggerType.BID_ASK),
}
#: Of the limits on one order each member of a list comes to the bound by itself, of all others together. The second
#: quantity is the one that grows.
OF_ONE = {"MAX_ORDER_QTY", "MAX_ORDER_NOTIONAL"}
EVERY_WAY = WAYS | {"independent": lambda s, qty: several(s, BUY, qty, qty)}
# How many may be sold by who holds 100: what opens a short is judged by where it ends, or by what it costs.
THROUGH_ZERO = {
    "MAX_ORDER_QTY": 100,
    "MAX_ORDER_NOTIONAL": 100,
    "MAX_POSITION_NOTIONAL": 200,
    "MAX_GROSS_EXPOSURE": 200,
    "MARGIN_INSUFFICIENT": 100,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", LIMITS)
def test_the_bound_passes_and_one_share_more_is_denied(bench, code, way, level):
    book = LEVELS[level](LIMITS[code])
    ours, gate, _ = bench.run(lambda s: WAYS[way](s, 100), limits=book)
    assert (ours.denials(), gate.errors) == ([], 0)
    ours, gate, engine = bench.run(lambda s: WAYS[way](s, 101), limits=book)
    assert (set(ours.codes()), gate.errors) == ({code}, 0)
    assert engine.cache.positions() == []


def several(s: Any, side: Any, *sizes: int, turned: bool = False) -> None:
    """A list of independent orders at the market."""
    s.several(*((side, size) for size in (reversed(sizes) if turned else sizes)))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("code", LIMITS)
def test_a_list_of_independent_orders_comes_to_the_bound_and_is_denied_whole_past_it(bench, code, level, turned):
    first, most = (1, 100) if code in OF_ONE else (60, 40)
    book = LEVELS[level](LIMITS[code])
    ours, gate, engine = bench.run(lambda s: several(s, BUY, first, most, turned=turned), limits=book)
    assert (ours.denials(), gate.errors) == ([], 0)
    assert engine.portfolio.net_position(IBM) == first + most
    ours, gate, engine = bench.run(lambda s: several(s, BUY, first, most + 1, turned=turned), limits=book)
    assert (ours.codes(), gate.errors) == ([code] * 2, 0)
    assert engine.cache.positions() == []


@pytest.mark.parametrize("code", LIMITS)
def test_a_modification_may_come_to_the_bound_and_not_past_it(bench, code):
    orders: list[Any] = []

    def to(qty: int) -> Any:
        return lambda s: s.modify_order(orders[0], Quantity.from_int(qty), Price.from_str("100.00"))

    _, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 50, "99.00")),
        to(101),
        to(100),
        limits=LIMITS[code],
        quotes=[quote("101.00", "101.00", second) for second in range(1, 6)],
    )
    assert (gate.denied, gate.errors) == ({code: 1}, 0)
    assert orders[0].quantity == Quantity.from_int(100)


@pytest.mark.parametrize("code", LIMITS)
def test_a_reversal_through_zero_is_judged_by_what_it_opens(bench, code):
    most = THROUGH_ZERO[code]
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: s.market(SELL, most + 1),
        lambda s: s.market(SELL, most),
        limits=LIMITS[code],
    )
    assert (ours.codes(), gate.errors) == ([code], 0)
    assert engine.portfolio.net_position(ours.cache.positions()[0].instrument_id) == 100 - most


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("code", LIMITS)
def test_sales_of_one_list_close_what_is_held_but_once(bench, code, turned):
    most = THROUGH_ZERO[code]
    first, rest = (100, most) if code in OF_ONE else (60, most - 60)
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: several(s, SELL, first, rest + 1, turned=turned),
        lambda s: several(s, SELL, first, rest, turned=turned),
        limits=LIMITS[code],
    )
    assert (ours.codes(), gate.errors) == ([code] * 2, 0)
    assert engine.portfolio.net_position(IBM) == 100 - first - rest


@pytest.mark.parametrize("code", LIMITS)
@pytest.mark.parametrize("way", ["market", "list", "emulated", "independent"])
def test_of_an_unknown_account_nothing_is_opened(bench, code, way):
    ours, gate, _ = bench.run(lambda s: EVERY_WAY[way](s, 1), limits=LIMITS[code], account_of=lambda _command: None)
    assert (set(ours.codes()), gate.errors) == ({"NO_ACCOUNT"}, 0)


BROKEN = ["may_not_open", "_illegal", "_may_not_trade", "_breaks", "_candidate", "_reducing"]


@pytest.mark.parametrize("part", BROKEN)
@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_fault_anywhere_in_the_judgement_denies_and_goes_no_further(bench, part, way):
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("a bug")

    ours, gate, engine = bench.run(
        lambda s: EVERY_WAY[way](s, 1), prepare=lambda _engine, gate: setattr(gate.judge, part, broken)
    )
    assert set(ours.codes()) == {"GATE_ERROR"}
    assert gate.errors >= 1
    assert gate.passed == 0
    assert engine.cache.positions() == []


@pytest.mark.parametrize("part", ["reservations.reserve", "margin.whole", "working.add", "book.take", "ledger.mark"])
def test_a_fault_while_room_is_reserved_or_prices_are_looked_at_lets_nothing_out_unseen(bench, part):
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("a bug")

    def prepare(_engine: Any, gate: Any) -> None:
        owner, name = part.split(".")
        setattr(getattr(gate, owner), name, broken)

    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 1), lambda s: None, limits=LIMITS["MARGIN_INSUFFICIENT"], prepare=prepare
    )
    assert gate.errors >= 1
    assert ours.codes() == ["GATE_ERROR"]
    assert len(gate.reservations) == 0


def broken(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("a bug")


STEPS = [
    "_owners.subject",
    "judge.candidate",
    "judge.submit",
    "judge._uncovers",
    "judge.may_not_open",
    "judge._illegal",
    "judge._may_not_trade",
    "judge._breaks",
    "judge._shorts",
    "judge._cover.check",
    "judge._margin.refused",
    "judge._reducing.all",
    "judge._states.severest",
    "_follower.fresh",
    "_follower.take",
    "book.rows",
    "book.look",
    "book.take",
    "margin.tell",
    "margin.whole",
    "reservations.reserve",
    "ledger.mark",
    "ledger.attos",
]
EVERYTHING = Limits(headroom=Decimal(0), max_order_qty=D(1_000), max_gross_exposure=Portion(amount=D(10**9)))


def break_at(step: str, gate: Any) -> None:
    """From now on that step of the gate raises, if it is made at all."""
    *path, name = step.split(".")
    owner: Any = gate
    for each in path:
        owner = getattr(owner, each)
    assert hasattr(owner, name), step
    try:
        setattr(owner, name, broken)
    except AttributeError:  # slots
        pytest.fail(f"{step} can't be replaced")


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_any_step_denies_and_a_cancel_passes_all_the_same(bench, step):
    gates: list[Any] = []
    orders: list[Any] = []

    of_sales = ("judge._cover.check", "judge._margin.refused", "judge._shorts")
    side = SELL if step in of_sales else BUY  # no purchase takes cover away

    def fail(s: Any) -> None:
        break_at(step, gates[0])
        s.market(side, 1)
        s.modify_order(orders[0], Quantity.from_int(2))
        s.cancel_order(orders[0])

    ours, gate, engine = bench.run(
        lambda s: orders.append(s.limit(BUY, 1, "90.00")),
        fail,
        lambda s: s.cancel_all_orders(IBM),
        limits=EVERYTHING,
        prepare=lambda _engine, gate: gates.append(gate),
        quotes=[quote("100.00", "100.00", second) for second in range(1, 6)],
    )
    assert ours.codes() == ["GATE_ERROR"]
    assert gate.errors >= 1
    assert gate.denied["GATE_ERROR"] >= 1
    assert engine.cache.positions() == []
    assert orders[0].status_string() == "CANCELED"


@pytest.mark.parametrize("part", ["_owners.subject", "_runaway.cancels", "_follower.on_order"])
def test_a_fault_about_a_cancel_lets_it_pass_and_is_counted(bench, part):
    gates: list[Any] = []
    orders: list[Any] = []

    def fail(s: Any) -> None:
        break_at(part, gates[0])
        s.cancel_order(orders[0])

    _, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 1, "90.00")),
        fail,
        limits=Limits(max_cancels=Rate(5, 10**9)),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert orders[0].status_string() == "CANCELED"
    assert gate.errors == (0 if part == "_follower.on_order" else 1)  # that one is bound to the bus already


def test_what_closes_passes_while_positions_can_not_be_valued(bench):
    def fail(s: Any) -> None:
        gates[0].ledger.mark = lambda: 1 / 0
        s.market(BUY, 1)
        s.market(SELL, 10)

    gates: list[Any] = []
    ours, _, engine = bench.run(lambda s: s.market(BUY, 10), fail, prepare=lambda _engine, gate: gates.append(gate))
    assert ours.codes() == ["GATE_ERROR"]
    assert engine.portfolio.net_position(IBM) == 0
