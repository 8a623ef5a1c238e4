"""The gate, while positions are changed step by step: what waits there, in a backtest of Nautilus's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nautilus_trader.model.enums import OrderStatus

from runner.risk import hold
from runner.risk.limits import Limits
from tests.risk.conftest import BUY
from tests.risk.test_modifications import Rig

Step = Callable[[Any], None]


def answering(strategy: Any, answers: dict[Any, Step]) -> None:
    """Do this when the order of that id is denied."""

    def heard() -> None:
        event = strategy.events[-1]
        if type(event).__name__ == "OrderDenied" and (answer := answers.get(event.client_order_id)) is not None:
            answer(strategy)

    strategy.on_each_event = heard


def test_a_cancel_in_answer_to_an_answer_does_not_overtake_its_order(bench) -> None:
    rig, working = Rig(), []

    def step(s: Any) -> None:
        first, second, third = s.made(BUY, 999), s.made(BUY, 998), s.made(BUY, 997)
        resting = s.made(BUY, 1, "50.00")
        answers = {
            first.client_order_id: lambda s: s.submit_order(third),
            second.client_order_id: lambda s: s.submit_order(resting),
            third.client_order_id: lambda s: s.cancel_order(resting),
        }
        answering(s, answers)
        with rig.gate.held():
            s.submit_order(first)
            s.submit_order(second)
        working.append(resting)

    _, gate, _ = bench.run(step, lambda s: None, lambda s: None, limits=Limits(max_order_qty=5), prepare=rig.prepare)
    assert working[0].status is OrderStatus.CANCELED
    assert gate.errors == 0


def test_orders_that_answer_one_another_without_end_are_denied_in_words_and_cancels_pass(bench, monkeypatch) -> None:
    monkeypatch.setattr(hold, "MOST_ANSWERS", 3)
    rig, sent = Rig(), []

    def step(s: Any) -> None:
        resting, first = s.made(BUY, 1, "50.00"), s.made(BUY, 999)
        sent.append(resting)

        def many(s: Any) -> None:
            s.submit_order(resting)
            for _ in range(3):
                s.submit_order(s.made(BUY, 1, "50.00"))
            s.cancel_order(resting)

        answering(s, {first.client_order_id: many})
        with rig.gate.held():
            s.submit_order(first)

    ours, gate, _ = bench.run(step, lambda s: None, lambda s: None, limits=Limits(max_order_qty=5), prepare=rig.prepare)
    assert ours.codes() == ["MAX_ORDER_QTY", "GATE_ERROR"]
    assert "answers each denial with another order" in ours.denials()[1]
    assert sent[0].status is OrderStatus.CANCELED
    assert gate.errors == 0


def test_what_waits_when_the_gate_is_taken_out_goes_where_it_would_have_gone(bench) -> None:
    rig, sent = Rig(), []

    def step(s: Any) -> None:
        first = s.limit(BUY, 1, "50.00")
        with rig.gate.held():
            sent.extend([s.limit(BUY, 1, "60.00"), s.limit(BUY, 999, "60.00")])
            s.cancel_order(first)
            rig.gate.uninstall()
        sent.append(first)

    ours, _, _ = bench.run(step, lambda s: None, lambda s: None, limits=Limits(max_order_qty=5), prepare=rig.prepare)
    assert [each.status for each in sent] == [OrderStatus.ACCEPTED, OrderStatus.DENIED, OrderStatus.CANCELED]
    assert ours.codes() == ["MAX_ORDER_QTY"]
