"""A node that is up for long lets go of orders and of states of the account; what it has counted stays."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TriggerType
from nautilus_trader.model.objects import Price, Quantity

from runner.node import retention
from runner.node.retention import RetentionHook
from tests.node.fake_venue import IBM, Behaviour, Quiet, Run, make_plan


class Seller(Quiet):
    """Sends lists, and what the risk engine denies."""

    def bracket(self) -> Any:
        made = self.order_factory.bracket(
            IBM, OrderSide.BUY, Quantity.from_int(10), sl_trigger_price=Price.from_str("80.00"),
            tp_price=Price.from_str("120.00"), tp_post_only=False,
        )  # fmt: skip
        self.cache.add_order_list(made)
        for order in made.orders:
            self.submit_order(order)
        return made

    def emulated(self) -> Any:
        order = self.order_factory.limit(
            IBM, OrderSide.BUY, Quantity.from_int(1), Price.from_str("90.00"), emulation_trigger=TriggerType.BID_ASK
        )
        self.submit_order(order)
        return order

    def denied(self) -> Any:
        order = self.order_factory.market(IBM, OrderSide.BUY, Quantity.from_str("0.5"))
        self.submit_order(order)
        return order


def let_go_of_all(run: Run) -> None:
    """The account's client gives every order that is over."""
    cache = run.node.parts.kernel.cache
    run.exec.retention = SimpleNamespace(sweep=lambda _keep, _most: [o.client_order_id for o in cache.orders_closed()])


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 3600.0)


def sized(run: Run) -> tuple[int, int]:
    """How much Nautilus holds: orders and lists."""
    cache = run.node.parts.kernel.cache
    return len(cache.orders()), len(cache.order_lists())


async def test_what_is_over_goes_with_its_list_and_is_counted_still(behaviour: Behaviour) -> None:
    hook = RetentionHook()
    async with Run(make_plan({"one": Seller}), behaviour, hooks=(hook,)) as run:
        let_go_of_all(run)
        strategy = run.strategy("one")
        made = strategy.bracket()
        other = strategy.bracket()
        await run.until(lambda: all(order.is_open for order in (*made.orders[1:], *other.orders[1:])))
        for order in made.orders[1:]:
            strategy.cancel_order(order)
        await run.until(lambda: all(order.is_closed for order in made.orders))
        before, counts = run.node.tally.orders(), dict(run.node.tally.strategies["one"])
        hook.sweep()
        assert sized(run) == (2, 1)  # the exits of the other, whose list stays
        for order in other.orders[1:]:
            strategy.cancel_order(order)
        await run.until(lambda: all(order.is_closed for order in other.orders))
        hook.sweep()
        assert sized(run) == (0, 0)
        after = run.node.tally.orders()
        assert after == before | {"canceled": before["canceled"] + 2}
        assert counts["filled"] == run.node.tally.strategies["one"]["filled"] == 2
        assert not any(run.node.tally.seen.values())


async def test_an_order_that_was_never_sent_goes_after_the_time_of_the_file(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = RetentionHook()
    async with Run(make_plan({"one": Seller}), behaviour, hooks=(hook,)) as run:
        order = run.strategy("one").denied()
        await run.until(lambda: order.status == OrderStatus.DENIED)
        emulated = run.strategy("one").emulated()
        await run.until(lambda: emulated.status == OrderStatus.EMULATED)
        run.strategy("one").cancel_order(emulated)
        await run.until(lambda: emulated.is_closed)
        hook.sweep()
        assert len(run.node.parts.kernel.cache.orders()) == 2
        monkeypatch.setattr(retention, "MOST_ORDERS", 0)
        hook.sweep()
        assert not run.node.parts.kernel.cache.orders()
        assert run.node.tally.orders()["denied"] == 1


async def test_an_order_that_is_taken_back_is_counted_once(behaviour: Behaviour) -> None:
    hook = RetentionHook()
    async with Run(make_plan({"one": Seller}), behaviour, hooks=(hook,)) as run:
        let_go_of_all(run)
        order = run.strategy("one").limit()
        await run.until(lambda: order.is_open)
        run.strategy("one").cancel_order(order)
        await run.until(lambda: order.is_closed)
        before = run.node.tally.orders()
        hook.sweep()
        hook._on_taken_back(order)
        for event in order.events:
            run.node.tally.order_event(event, "one")
        assert run.node.tally.orders() == before


async def test_states_of_the_account_go_but_for_the_newest(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = RetentionHook()
    async with Run(make_plan({"one": Quiet}), behaviour, hooks=(hook,)) as run:
        account = run.node.parts.kernel.cache.account(run.exec.account_id)
        for _ in range(50):
            run.exec.generate_account_state(
                balances=list(account.last_event.balances), margins=[], reported=True, ts_event=1
            )
        await run.until(lambda: account.event_count > 50)
        last = account.last_event
        monkeypatch.setattr(retention, "ACCOUNT_EVENTS_S", 0)
        hook.sweep()
        assert account.events == [last]


async def test_fills_that_nautilus_has_seen_are_not_remembered_for_ever(behaviour: Behaviour) -> None:
    hook = RetentionHook()
    async with Run(make_plan({"one": Quiet}), behaviour, hooks=(hook,)) as run:
        order = run.strategy("one").market()
        await run.until(lambda: order.is_closed)
        seen = run.node.parts.kernel.exec_engine._recent_fills_cache
        assert len(seen) == 1
        seen.update(dict.fromkeys(seen, 0))  # long ago
        hook.sweep()
        assert not seen


async def test_what_fails_is_said_once(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.0)
    hook = RetentionHook()
    with caplog.at_level(logging.ERROR, "runner.node"):
        async with Run(make_plan({"one": Quiet}), behaviour, hooks=(hook,)) as run:
            run.exec.retention = SimpleNamespace(sweep=None)
            await run.until(lambda: hook.errors > 3)
    assert sum("nothing can be let go of" in row.getMessage() for row in caplog.records) == 1


async def test_the_journal_forgets_too(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.0)
    monkeypatch.setattr(retention, "PRUNE_S", 0.0)
    hook, pruned = RetentionHook(), asyncio.Event()
    async with Run(make_plan({"one": Quiet}), behaviour, hooks=(hook,)) as run:
        assert hook._journal is run.node.plan.journal
        hook._journal = SimpleNamespace(prune=pruned.set)
        await asyncio.wait_for(pruned.wait(), 10)
