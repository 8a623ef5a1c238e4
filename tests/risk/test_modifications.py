"""What modifications are let through, and what is kept of them: under way, confirmed and refused."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.limits import Limits
from runner.risk.state import Scope
from tests.risk.conftest import BUY, IBM, SELL, quote

D = Decimal


def to(s: Any, order: Any, qty: int | None = None, price: str | None = None, trigger: str | None = None) -> None:
    s.modify_order(
        order,
        None if qty is None else Quantity.from_int(qty),
        None if price is None else Price.from_str(price),
        None if trigger is None else Price.from_str(trigger),
    )


def refusals(strategy: Any) -> list[str]:
    reasons = [event.reason for event in strategy.events if type(event).__name__ == "OrderModifyRejected"]
    return [reason.split(":")[0] for reason in reasons]


class Rig:
    """The gate of a backtest that is to be run, for its steps to look at, and an order of it."""

    gate: Any
    order: Any

    def prepare(self, _engine: Any, gate: Any) -> None:
        self.gate = gate

    @property
    def kept(self) -> tuple[Decimal, Decimal | None]:
        leg = self.gate.reservations.get(self.order.client_order_id).leg()
        return leg.qty, leg.price

    @property
    def reserved(self) -> Decimal:
        return self.gate.margin.reserved(self.order.account_id)  # type: ignore[no-any-return]

    def stops(self, side: Any, qty: int, trigger: str) -> Any:
        def send(s: Any) -> None:
            self.order = s.order_factory.stop_market(IBM, side, Quantity.from_int(qty), Price.from_str(trigger))
            s.submit_order(self.order)

        return send

    def to(self, *wishes: Any, **more: Any) -> Any:
        return lambda s: to(s, self.order, *wishes, **more)

    def buys(self, qty: int, price: str) -> Any:
        return lambda s: setattr(self, "order", s.limit(BUY, qty, price))


def test_a_quantity_is_judged_at_the_price_that_is_under_way(bench):
    """A venue may take both: 150 at 99.00 are more than 10,000."""
    rig, kept = Rig(), []

    def both(s: Any) -> None:
        to(s, rig.order, price="99.00")
        to(s, rig.order, 150)
        to(s, rig.order, 101)
        kept.append(rig.kept)

    ours, gate, _ = bench.run(
        rig.buys(100, "10.00"),
        both,
        lambda s: kept.append(rig.kept),
        limits=Limits(max_position_notional=D(10_000)),
        prepare=rig.prepare,
    )
    assert (refusals(ours), gate.errors) == (["MAX_POSITION_NOTIONAL"], 0)
    assert kept == [(101, 99), (101, 99)]


def test_what_is_kept_is_what_the_order_is_once_all_is_answered(bench):
    rig, rng = Rig(), random.Random(1)

    def some(s: Any) -> None:
        if rig.order.filled_qty == 0:
            assert rig.kept == (rig.order.quantity.as_decimal(), rig.order.price.as_decimal())
        for _ in range(rng.randint(0, 3)):
            qty, price = rng.choice((None, rng.randint(1, 300))), rng.choice((None, f"{rng.randint(50, 99)}.00"))
            if qty not in (None, rig.order.quantity) or price not in (None, str(rig.order.price)):
                to(s, rig.order, qty, price)

    steps = [some] * 200
    ours, gate, _ = bench.run(
        rig.buys(100, "90.00"), *steps, limits=Limits(max_order_notional=D(20_000)), prepare=rig.prepare
    )
    assert gate.errors == 0
    assert {"MAX_ORDER_NOTIONAL"} == set(refusals(ours))
    assert len([event for event in ours.events if type(event).__name__ == "OrderUpdated"]) > 100


def test_an_order_that_is_on_its_way_to_another_price_can_be_met_there(bench):
    rig = Rig()

    def towards(s: Any) -> None:
        to(s, rig.order, price="99.50")
        to(s, rig.order, price="98.00")
        s.limit(SELL, 1, "99.50")

    def after(s: Any) -> None:
        s.limit(SELL, 1, "99.50")
        s.limit(SELL, 1, "98.00")

    ours, _, _ = bench.run(
        rig.buys(1, "90.00"),
        towards,
        after,
        limits=Limits(self_match=True),
        prepare=rig.prepare,
        quotes=[quote("97.00", "100.50", second) for second in range(1, 7)],
    )
    assert ours.codes() == ["SELF_MATCH"] * 2


def unvalued(monkeypatch: Any, rig: Rig, *wishes: tuple[Any, ...]) -> Any:
    """A step that modifies the order while positions can't be valued."""

    def broken() -> None:
        raise ValueError("a figure that is no number")

    def step(s: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(rig.gate.ledger, "mark", broken)
            for each in wishes:
                to(s, rig.order, *each)

    return step


def test_a_modification_that_only_takes_away_passes_where_the_gate_has_failed(bench, monkeypatch):
    rig = Rig()
    ours, _, _ = bench.run(
        rig.buys(100, "90.00"),
        unvalued(monkeypatch, rig, (50,), (50, "95.00"), (101,)),
        lambda s: None,
        prepare=rig.prepare,
    )
    assert refusals(ours) == ["GATE_ERROR"] * 2
    assert rig.kept == (50, 90)


def test_an_exit_that_surely_reduces_as_modified_passes_where_the_gate_has_failed(bench, monkeypatch):
    rig = Rig()
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: setattr(rig, "order", s.limit(SELL, 50, "110.00")),
        unvalued(monkeypatch, rig, (100, "112.00"), (101, "112.00")),
        lambda s: None,
        prepare=rig.prepare,
    )
    assert refusals(ours) == ["GATE_ERROR"]
    assert rig.kept == (100, 112)


def test_room_that_can_not_be_reserved_refuses_a_modification(bench, monkeypatch):
    rig = Rig()

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    def fail(s: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(rig.gate.book, "modified", broken)
            to(s, rig.order, 200)

    ours, gate, _ = bench.run(rig.buys(100, "90.00"), fail, lambda s: None, prepare=rig.prepare)
    assert (refusals(ours), gate.errors) == (["GATE_ERROR"], 1)
    assert (rig.kept, rig.order.quantity) == ((100, 90), 100)


def test_an_exit_that_is_larger_than_what_is_held_is_made_smaller_and_moved_in_one_step(bench):
    """While only what reduces passes: moved alone it could still open, and nearer to the market."""
    rig = Rig()
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 100),
        rig.stops(SELL, 100, "90.00"),
        lambda s: s.market(SELL, 50),
        lambda s: rig.gate.set_state("reducing", why="a test"),
        rig.to(trigger="95.00"),
        rig.to(51, trigger="95.00"),
        rig.to(50, trigger="95.00"),
        rig.to(trigger="96.00"),
        lambda s: None,
        prepare=rig.prepare,
    )
    assert refusals(ours) == ["STATE_REDUCING"] * 2
    assert (rig.order.quantity, rig.order.trigger_price) == (50, Price.from_str("96.00"))


def test_a_stop_that_was_moved_costs_what_it_costs_where_it_is(bench):
    """A purchase is paid for up to 2.5 % above the stop; the dearer of both is, until the modification is confirmed."""
    rig, reserved = Rig(), []

    def look(_: Any) -> None:
        reserved.append(rig.reserved)

    bench.run(
        rig.stops(BUY, 100, "200.00"),
        lambda s: (look(s), to(s, rig.order, trigger="110.00"), look(s)),
        lambda s: (look(s), to(s, rig.order, trigger="300.00"), to(s, rig.order, 50, trigger="120.00"), look(s)),
        look,
        limits=Limits(headroom=D(0)),
        prepare=rig.prepare,
    )
    assert reserved == [20_500, 20_500, 11_275, 30_750, 6_150]


def test_a_modification_that_was_refused_leaves_what_the_order_cost(bench):
    """Of a stop that would be in the market the backtest's venue wants to know nothing."""
    rig, reserved = Rig(), []

    def look(_: Any) -> None:
        reserved.append(rig.reserved)

    ours, gate, _ = bench.run(
        rig.stops(BUY, 100, "110.00"),
        lambda s: (to(s, rig.order, trigger="200.00"), to(s, rig.order, 100, trigger="99.00"), look(s)),
        lambda s: (look(s), to(s, rig.order, 200, trigger="99.00"), look(s)),
        look,
        limits=Limits(headroom=D(0)),
        prepare=rig.prepare,
    )
    assert (len(refusals(ours)), gate.denied) == (2, {})
    assert reserved == [20_500, 20_500, 41_000, 20_500]


def test_an_exit_that_is_enlarged_to_what_is_held_costs_nothing(bench):
    """And one that is made larger than that costs what it opens: a share sold short at its limit."""
    rig, reserved = Rig(), []

    def look(_: Any) -> None:
        reserved.append(rig.reserved)

    bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: setattr(rig, "order", s.limit(SELL, 50, "110.00")),
        lambda s: (look(s), to(s, rig.order, 100), look(s)),
        lambda s: (look(s), to(s, rig.order, 101), look(s)),
        lambda s: (look(s), to(s, rig.order, 60), look(s)),
        look,
        limits=Limits(headroom=D(0)),
        prepare=rig.prepare,
    )
    assert reserved == [0, 0, 0, 110, 110, 110, 0]


@pytest.mark.parametrize(("qty", "passes"), [(6, True), (7, False)])
@pytest.mark.parametrize("scope", [Scope("strategy", "main"), Scope("node")])
def test_an_exit_is_made_smaller_and_moved_in_one_step_in_its_strategys_own_state_too(bench, scope, qty, passes):
    """As after a part of the position was sold. Another strategy holds 100."""
    rig = Rig()
    held: list[Any] = []
    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 10),
        rig.stops(SELL, 10, "80.00"),
        lambda s: s.market(SELL, 4),
        lambda s: rig.gate.set_state("reducing", scope=scope, why="a test"),
        rig.to(qty, None, "85.00"),
        lambda s: held.append((rig.order.quantity.as_decimal(), rig.order.trigger_price.as_decimal())),
        others={"other": [lambda s: s.market(BUY, 100)]} if scope.kind == "strategy" else None,
        limits=Limits(),
        prepare=rig.prepare,
    )
    assert held == [(qty, 85) if passes else (10, 80)]
    assert (len(refusals(ours)), gate.errors) == (0 if passes else 1, 0)
