"""What modifications are let through, and what is kept of them: under way, confirmed and refused."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from nautilus_trader.model.objects import Price, Quantity

from runner.risk.limits import Limits
from tests.risk.conftest import BUY, SELL, quote

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
