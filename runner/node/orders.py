"""What a person, or the end of a node, does with orders and positions: halt, cancel, flatten, by strategy or account.

A strategy's are its own. An account's, and the node's, are all that is there: what was placed elsewhere (Alpaca's own
pages, another program) and what a strategy left that is not in the file any more, too.
"""

from __future__ import annotations

import asyncio
from typing import Any

from runner.config.secrets import redact
from runner.node.build import NodePlan, Parts
from runner.node.closer import Closer, Left, Owner
from runner.risk.gate import RiskGate
from runner.risk.state import Scope, State

#: Beyond a command's own time: how long the last look at an account may take.
_ANSWER_S = 1.0


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
    open_yet = tuple(each for each in results if each not in closed)
    return Left(left.orders, open_yet, closed, left.elsewhere, left.unread)


async def _cancel(plan: NodePlan, parts: Parts, scope: Scope, timeout_s: float, *, again: bool) -> Left:
    """`again`: what strategies send meanwhile is taken back as well."""
    names = strategies_of(plan, scope)
    with Closer(parts, everything=True) as closer:
        own = closer.cancel(names, timeout_s) if again else closer.cancel_once(names, timeout_s)
        elsewhere = asyncio.gather(
            *(_cancel_others(parts, name, client, timeout_s) for name, client in clients_of(parts, scope).items())
        )
        left, others = await asyncio.gather(own, elsewhere)
    orders = [*left, *(each for _, kept, _ in others for each in kept)]
    unread = tuple(why for _, _, why in others if why)
    return Left(tuple(orders), elsewhere=sum(count for count, _, _ in others), unread=unread)


async def _cancel_others(parts: Parts, name: str, client: Any, timeout_s: float) -> tuple[int, list[str], str]:
    """As the client's `cancel_others`, and why that failed: a broker that does not answer holds nothing else up."""
    try:
        async with asyncio.timeout(timeout_s + _ANSWER_S):
            count, kept = await client.cancel_others(parts.names, timeout_s)
    except TimeoutError:
        why = "the broker did not answer in time"
    except Exception as error:
        why = redact(str(error)) or type(error).__name__
    else:
        return count, kept, ""
    return 0, [], f"account {name}: orders placed elsewhere could not be read, and may still work: {why}"
