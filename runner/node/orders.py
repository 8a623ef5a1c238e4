"""What a person, or the end of a node, does with orders and positions: halt, cancel, flatten, by strategy or account.

A strategy's are its own. An account's, and the node's, are all that is there: what was placed elsewhere (Alpaca's own
pages, another program) and what a strategy left that is not in the file any more, too.
"""

from __future__ import annotations

import asyncio
from typing import Any

from runner.node.build import NodePlan, Parts
from runner.node.closer import Closer, Left, Owner
from runner.risk.gate import RiskGate
from runner.risk.state import Scope, State


def strategies_of(plan: NodePlan, scope: Scope) -> list[str]:
    """The strategies that a scope holds: all of the node's, those of an account, or one. Raises KeyError."""
    if scope.kind == "strategy" and scope.name not in plan.strategies:
        raise KeyError(scope.name)
    if scope.kind == "strategy":
        return [scope.name]
    if scope.kind == "account" and scope.name not in plan.config.accounts:
        raise KeyError(scope.name)
    return [name for name, each in plan.strategies.items() if scope.kind == "node" or each.spec.account == scope.name]


def others_of(plan: NodePlan, parts: Parts, scope: Scope) -> list[Owner]:
    """Who else has positions on the accounts of a scope; nobody where it is a strategy's."""
    cache, found = parts.kernel.cache, dict[tuple[str, str], Owner]()
    for client in clients_of(parts, scope).values():
        for position in cache.positions_open(account_id=client.account_id):
            owner = position.strategy_id
            if owner.value not in parts.names:
                found[owner.value, client.id.value] = Owner(owner.value, owner, client.account_id, client.id)
    return list(found.values())


def clients_of(parts: Parts, scope: Scope) -> dict[str, Any]:
    """The execution clients of a scope's accounts; none where it is a strategy's."""
    if scope.kind == "strategy":
        return {}
    return {name: each for name, each in parts.exec_clients.items() if scope.kind == "node" or name == scope.name}


async def halt(
    plan: NodePlan, parts: Parts, gate: RiskGate, scope: Scope, *, why: str, cancel: bool, timeout_s: float
) -> Left:
    """Let nothing open any more in a scope until it is resumed; with `cancel`, take back what works."""
    gate.set_state(State.HALTED, scope=scope, why=why)
    return await _cancel(plan, parts, scope, timeout_s, again=True) if cancel else Left()


async def cancel(plan: NodePlan, parts: Parts, scope: Scope, *, timeout_s: float) -> Left:
    """Take back what works now in a scope. Its strategies trade on."""
    return await _cancel(plan, parts, scope, timeout_s, again=False)


async def flatten(plan: NodePlan, parts: Parts, gate: RiskGate, scope: Scope, *, why: str, timeout_s: float) -> Left:
    """Let nothing open any more in a scope, cancel what works, and close all positions."""
    gate.set_state(State.REDUCING, scope=scope, why=why)
    left = await _cancel(plan, parts, scope, timeout_s / 3, again=True)
    with Closer(parts) as closer:
        names, others = strategies_of(plan, scope), others_of(plan, parts, scope)
        results = await closer.close(names, timeout_s * 2 / 3, others=others)
    closed = tuple(each for each in results if each.result == "closed")
    return Left(left.orders, tuple(each for each in results if each not in closed), closed, left.elsewhere)


async def _cancel(plan: NodePlan, parts: Parts, scope: Scope, timeout_s: float, *, again: bool) -> Left:
    """`again`: what strategies send meanwhile is taken back as well."""
    names = strategies_of(plan, scope)
    with Closer(parts, everything=True) as closer:
        own = closer.cancel(names, timeout_s) if again else closer.cancel_once(names, timeout_s)
        left, *others = await asyncio.gather(
            own,
            *(client.cancel_others(parts.names, timeout_s) for client in clients_of(parts, scope).values()),
        )
    orders = [*left, *(each for _, kept in others for each in kept)]
    return Left(tuple(orders), elsewhere=sum(count for count, _ in others))
