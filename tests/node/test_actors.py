"""Actors in a node: they hear, fail, save and end beside the strategies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.identifiers import ComponentId

from runner.journal import Journal
from runner.metrics.registry import Metrics
from runner.node.build import NodePlan
from runner.node.guard import Fault
from runner.node.journal import JournalHook
from runner.node.node import BaseHook, Node
from runner.node.telemetry import TelemetryHook
from tests.node.fake_venue import IBM, Behaviour, FakePlan, Quiet, Run, make_plan, quote


class Listener(Actor):
    """Counts quotes and hears of every order, by a handler of its own on the message bus."""

    def __init__(self, config: ActorConfig) -> None:
        super().__init__(config)
        self.quotes = 0
        self.events: list[str] = []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(IBM)
        self.msgbus.subscribe("events.order.*", self.hear)

    def on_stop(self) -> None:
        self.msgbus.unsubscribe("events.order.*", self.hear)
        self.events.append("on_stop")

    def on_quote_tick(self, tick: Any) -> None:
        self.quotes += 1

    def hear(self, event: Any) -> None:
        self.events.append(type(event).__name__)


def with_actors(plan: NodePlan, **actors: type[Actor]) -> NodePlan:
    made = {
        name: FakePlan(name, cls, None, ActorConfig(component_id=ComponentId(name))) for name, cls in actors.items()
    }
    return dataclasses.replace(plan, actors=made)


def actor(run: Run, name: str) -> Any:
    return run.node.parts.actors[name].component


class Boom(Exception):
    """What the actors here raise."""


async def test_an_actor_hears_what_strategies_hear_and_all_that_becomes_of_their_orders(behaviour: Behaviour) -> None:
    async with Run(with_actors(make_plan({"s": Quiet}, on_stop="cancel"), ears=Listener), behaviour) as run:
        ears = actor(run, "ears")
        assert ears.id.value == "ears"
        run.adapter.data.send(quote())
        await run.until(lambda: ears.quotes == 1 and run.strategy("s").ticks == 1)
        order = run.strategy("s").limit()
        await run.until(lambda: order.is_open)
        await run.end()
        # It ends after the strategies: what their end brought about is not lost on it.
        assert ears.events[-2:] == ["OrderCanceled", "on_stop"]
        assert ears.is_disposed


@pytest.mark.parametrize("where", ["on_start", "on_quote_tick", "hear", "timer", "on_stop"])
async def test_a_fault_of_an_actor_stays_in_it(behaviour: Behaviour, where: str) -> None:
    def boom(self: Any, *_: Any) -> None:
        raise Boom(where)

    class Bad(Listener):
        def on_start(self) -> None:
            super().on_start()
            if where == "timer":
                self.clock.set_time_alert("t", self.clock.utc_now() + pd.Timedelta("1ms"), self.boom)

        def boom(self, event: Any) -> None:
            raise Boom(where)

    if where != "timer":
        setattr(Bad, where, boom)
    faults: list[Fault] = []

    class Heard(BaseHook):
        def faulted(self, node: Node, fault: Fault) -> None:
            faults.append(fault)

    telemetry = TelemetryHook(None, None, lambda: (True, ""))
    plan = with_actors(make_plan({"s": Quiet}), bad=Bad, good=Listener)
    async with Run(plan, behaviour, hooks=(telemetry, Heard())) as run:
        run.adapter.data.send(quote())
        await run.until(lambda: actor(run, "good").quotes == 1)
        order = run.strategy("s").market()
        await run.until(lambda: order.is_closed)
        if where == "timer":
            await run.until(lambda: bool(faults), turns=200_000)
        assert run.node.ready
        assert not run.node.parts.guards["s"].down
        if where != "on_stop":
            assert actor(run, "bad").is_stopped
            assert up(telemetry.metrics, "bad") == 0
            assert up(telemetry.metrics, "good") == 1
            run.adapter.data.send(quote(n=2))
            await run.until(lambda: actor(run, "good").quotes == 2)
        assert await run.end() == 0
    assert [(fault.kind.word, fault.name) for fault in faults] == [("actor", "bad")]
    assert "Boom" in faults[0].error
    assert run.node.books["main"].agree is True


def up(metrics: Metrics | None, name: str) -> float | None:
    assert metrics is not None
    return metrics.registry.get_sample_value("runner_component_up", {"kind": "actor", "component": name})


async def test_what_an_actor_subscribed_to_by_itself_can_be_given_back(behaviour: Behaviour) -> None:
    async with Run(with_actors(make_plan({"s": Quiet}), ears=Listener), behaviour) as run:
        bus = run.node.parts.kernel.msgbus
        topics = [each.topic for each in bus.subscriptions()]
        ears = actor(run, "ears")
        bus.unsubscribe("events.order.*", ears.hear)
        after = [each.topic for each in bus.subscriptions()]
        assert topics.count("events.order.*") - after.count("events.order.*") == 1
        order = run.strategy("s").limit()
        await run.until(lambda: order.is_open)
        assert ears.events == []


async def test_what_an_actor_saves_comes_back_and_is_not_that_of_a_strategy_of_its_name(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    class Saving(Listener):
        loaded: dict[str, bytes] | None = None

        def on_save(self) -> dict[str, bytes]:
            return {"of": b"the actor"}

        def on_load(self, state: dict[str, bytes]) -> None:
            self.loaded = state

    class Strategy(Quiet):
        loaded: dict[str, bytes] | None = None

        def on_save(self) -> dict[str, bytes]:
            return {"of": b"the strategy"}

        def on_load(self, state: dict[str, bytes]) -> None:
            self.loaded = state

    for life in range(2):
        journal = Journal(tmp_path / "j.sqlite")
        async with Run(with_actors(make_plan({"twin": Strategy}), twin=Saving), behaviour) as run:
            hook = JournalHook(journal)
            await hook.connected(run.node)
            states = run.strategy("twin").loaded, actor(run, "twin").loaded
            assert states == (({"of": b"the strategy"}, {"of": b"the actor"}) if life else (None, None))
            await hook.stopped(run.node)
        journal.close()
