"""The second phase of a reload: from the first step on there is no way back, only forward.

What goes wrong here ends in one strategy or actor: it is taken down as by a fault of its own (a strategy's orders are
cancelled, it is halted, its `runner_strategy_up` is 0), and the rest is carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from runner.node.build import Parts
from runner.node.guard import Guard
from runner.node.node import Node
from runner.node.reload.prepare import Prepared, held
from runner.node.winddown import WindDown
from runner.risk.state import Scope

log = logging.getLogger("runner.node")


class LeftOver(RuntimeError):
    """Orders or positions were to be gone before the strategy is replaced, and are not."""


async def apply(node: Node, prepared: Prepared) -> list[str]:
    """Carry it out; what went wrong, in words. Raises nothing but what cancels it."""
    parts, steps, plan = node.parts, prepared.steps, prepared.plan
    assert parts is not None
    prepared.code.keep()
    if node.gate is not None:
        node.gate.set_limits(prepared.limits)
    leaving = {name: steps.policies[name] for name in (*steps.change, *steps.remove)}
    left = await _wind_down(node, parts, prepared, leaving) if leaving else {}
    states = {name: await _last_state(node, parts.guards[name], prepared.states) for name in leaving}
    actors = steps.actors
    for name in actors.leaving:
        if parts.actors[name].component.is_running:
            parts.actors[name].component.stop()
    actor_states = {name: await _last_state(node, parts.actors[name], prepared.actor_states) for name in actors.leaving}
    if node.ending:
        return ["the node ends, and nothing is started any more"]
    # From here to the start of the new ones without a turn of the loop: what both subscribe to is never given back.
    for name in leaving:
        parts.remove_strategy(name)
    for name in actors.leaving:
        parts.remove_actor(name)
    node.replan(plan)
    if parts.quotes is not None:
        parts.quotes.watch(prepared.quotes)
    problems = [f"strategy {name} is removed, but {left[name]}" for name in steps.remove if name in left]
    for name in actors.new:
        state = actor_states.get(name) or prepared.actor_states.get(name)
        problems += _begin_actor(node, parts, name, prepared.actors[name], state)
    for name in (*steps.change, *steps.add):
        state = states.get(name) or prepared.states.get(name)
        problems += _begin(node, parts, prepared, name, state, left.get(name))
    return problems


async def _wind_down(node: Node, parts: Parts, prepared: Prepared, leaving: Mapping[str, str]) -> dict[str, str]:
    """Stop those that leave, while the others trade on; what is left of each that was to be gone."""
    old, new = node.plan, prepared.plan
    try:
        left = await WindDown(old, parts, leaving, heirs=prepared.steps.change).run(
            new.config.node.stop_timeout.total_seconds()
        )
    except Exception as error:
        log.exception("strategies could not be stopped in order")
        left = dict.fromkeys(leaving, f"it could not be stopped in order: {type(error).__name__}: {error}")
    for name in prepared.steps.change:
        before = old.strategies[name].spec.account
        if before != new.strategies[name].spec.account and (has := str(held(parts, name))):
            left.setdefault(name, f"{has} came to be on account {before} meanwhile")
    return left


async def _last_state(node: Node, guard: Guard, before: Mapping[str, dict[str, bytes]]) -> dict[str, bytes]:
    """What a component saves after it has stopped; where that fails, what it saved during the checks."""
    kind, name = guard.kind, guard.name
    if guard.down:
        return before.get(name, {})
    try:
        state = guard.saved()
    except Exception as error:
        log.error(  # noqa: TRY400 (its own mistake)
            "%s %s saved nothing when it had stopped (%s); what it saved just before is taken", kind.word, name, error
        )
        state = before.get(name, {})
    try:
        await node.keep_state(kind.state_key(name), state)
    except Exception as error:
        log.error(  # noqa: TRY400
            "the state of %s %s is handed over, but could not be kept: %s", kind.word, name, error
        )
    return state


def _begin_actor(node: Node, parts: Parts, name: str, actor: Any, state: dict[str, bytes] | None) -> list[str]:
    """The same of an actor, which has nothing of its own at the venue."""
    try:
        parts.add_actor(name, actor, node.on_fault)
    except Exception as error:
        parts.actors[name].fail("reload", error)
    guard = parts.actors[name]
    if not guard.down and state:
        actor.load(state)
    if not guard.down:
        actor.start()
    return [] if guard.fault is None else [f"actor {name} is down: {guard.fault.error} in {guard.fault.where}"]


def _begin(
    node: Node,
    parts: Parts,
    prepared: Prepared,
    name: str,
    state: dict[str, bytes] | None,
    left: str | None,
) -> list[str]:
    """Add and start one. What it raises is its fault."""
    strategy = prepared.objects[name]
    if node.gate is not None:
        node.gate.states.clear_fault(scope=Scope("strategy", name), why="it was replaced by a reload")
    try:
        parts.add_strategy(prepared.plan, name, strategy, node.on_fault)
    except Exception as error:
        parts.guards[name].fail("reload", error)
    guard = parts.guards[name]
    if guard.down:
        pass
    elif left is not None:
        guard.fail("reload", LeftOver(f"it was to leave nothing behind, and {left}"))
    else:
        if state:
            strategy.load(state)
        if not guard.down:
            strategy.start()
    if guard.fault is not None:
        return [f"strategy {name} is down: {guard.fault.error} in {guard.fault.where}"]
    return []
