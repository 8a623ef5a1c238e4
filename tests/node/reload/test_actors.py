"""Actors in a reload: added, replaced, removed, with what they saved; algorithms need a restart."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ExecAlgorithmId
from nautilus_trader.model.objects import Quantity

from runner.node.telemetry import TelemetryHook
from tests.node.fake_venue import IBM, Behaviour, quote
from tests.node.reload.conftest import Editable, start


def actor(at: Editable, name: str) -> Any:
    return at.run.node.parts.actors[name].component


async def test_actors_are_added_replaced_and_removed_and_strategies_notice_nothing(
    folder: Editable, behaviour: Behaviour
) -> None:
    telemetry = TelemetryHook(None, None, lambda: (True, ""))

    def up(name: str) -> float | None:
        assert telemetry.metrics is not None
        labels = {"kind": "actor", "component": name}
        return telemetry.metrics.registry.get_sample_value("runner_component_up", labels)

    folder.actors = {"one": "Ears", "two": "Ears"}
    folder.write()
    async with start(folder, behaviour, telemetry=telemetry) as run:
        folder.run = run
        before = {name: actor(folder, name) for name in ("one", "two")}
        strategies = dict(run.node.parts.strategies)
        run.adapter.data.send(quote())
        await run.until(lambda: all(each.quotes == 1 for each in before.values()))

        folder.actors = {"two": "Ears", "three": "Ears"}
        folder.write()
        plan = await folder.do("plan")
        assert plan["outcome"] == "add actor three; remove actor one"
        answer = await folder.reload()
        assert answer["result"] == "applied"
        assert answer["changes"]["actors"]["unchanged"] == ["two"]
        assert set(run.node.parts.actors) == {"two", "three"}
        assert actor(folder, "two") is before["two"]
        assert run.node.parts.strategies == strategies
        assert (up("one"), up("two"), up("three")) == (None, 1, 1)
        run.adapter.data.send(quote(n=2))
        await run.until(lambda: actor(folder, "three").quotes == 1)
        assert (before["one"].quotes, before["two"].quotes) == (1, 2)

        # It comes back with what it had saved when it left; changed code replaces all that have it.
        folder.actors["one"] = "Ears"
        folder.write()
        await folder.reload()
        assert actor(folder, "one").quotes == 1
        folder.code.write_text(folder.code.read_text().replace("Hears quotes;", "Hears all quotes;"))
        answer = await folder.reload()
        assert [(row["name"], row["code"]) for row in answer["changes"]["actors"]["change"]] == [
            ("two", True),
            ("three", True),
            ("one", True),
        ]
        assert actor(folder, "two") is not before["two"]
        assert actor(folder, "two").quotes == 2


@pytest.mark.parametrize("where", ["load", "start"])
async def test_an_actor_that_fails_is_found_before_or_is_down_alone(
    folder: Editable, behaviour: Behaviour, where: str
) -> None:
    folder.actors = {"one": "Ears"}
    folder.write()
    async with start(folder, behaviour) as run:
        folder.run = run
        old = actor(folder, "one")
        folder.actors = {"one": f"Ears', params: {{fails_on: {where}}}}} #"}
        folder.write()
        answer = await folder.reload()
        if where == "load":
            assert answer["result"] == "failed"
            assert "actor one can't be given the state" in answer["outcome"]
            assert actor(folder, "one") is old
            assert old.is_running
        else:
            assert answer["result"] == "incomplete"
            assert answer["problems"] == ["actor one is down: ValueError: no start in on_start"]
            assert not any(guard.down for guard in run.node.parts.guards.values())
            folder.actors = {"one": "Ears"}
            folder.write()
            answer = await folder.reload()
            assert answer["result"] == "applied"
            assert answer["changes"]["actors"]["change"][0]["failed"]
            assert actor(folder, "one").is_running


async def test_an_algorithm_needs_a_restart_and_nothing_else_is_changed_either(
    folder: Editable, behaviour: Behaviour
) -> None:
    folder.algorithms = {"slices": "Slices"}
    folder.write()
    async with start(folder, behaviour) as run:
        folder.run = run
        before = dict(run.node.parts.strategies)
        folder.algorithms = {"slices": "Slices", "more": "Slices"}
        folder.edit("a", params="{period: 20}")
        answer = await folder.reload()
        assert (answer["result"], answer["outcome"]) == ("refused", "a restart is needed for what has changed")
        assert answer["problems"] == [f"exec_algorithms.more: (none) → {{class: {folder.module}:Slices, params: {{}}}}"]
        folder.algorithms = {"slices": "Slices"}
        folder.write()
        folder.code.write_text(folder.code.read_text() + "\n\nAGAIN = 1\n")
        answer = await folder.reload()
        assert (answer["result"], answer["problems"]) == ("refused", ["exec_algorithms.slices"])
        assert run.node.parts.strategies == before


async def test_what_an_algorithm_holds_goes_to_the_heir_and_ends_with_a_strategy_that_leaves(
    folder: Editable, behaviour: Behaviour
) -> None:
    folder.algorithms = {"slices": "Slices"}
    folder.strategies["c"] = {"on_stop": "cancel"}
    folder.write()
    async with start(folder, behaviour) as run:
        folder.run = run

        def through(name: str) -> Any:
            strategy = run.strategy(name)
            order = strategy.order_factory.market(
                IBM, OrderSide.BUY, Quantity.from_int(5), exec_algorithm_id=ExecAlgorithmId("slices")
            )
            strategy.submit_order(order)
            return order

        orders = {name: through(name) for name in "abc"}
        for name in "ac":
            folder.edit(name, params="{period: 20}")
        folder.remove("b")
        plan = await folder.do("plan")
        assert [(row["name"], row["orders"]) for row in plan["changes"]["change"]] == [("a", 1), ("c", 1)]
        answer = await folder.reload()
        assert answer["result"] == "applied"
        assert {name: order.status_string() for name, order in orders.items()} == {
            "a": "INITIALIZED",  # its on_stop keeps orders, and another strategy took its place
            "b": "CANCELED",  # the same, but nobody did
            "c": "CANCELED",
        }
