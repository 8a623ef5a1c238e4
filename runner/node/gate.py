"""Puts the risk gate in its seat, with the limits of the file and the router in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nautilus_trader.execution.engine import ExecutionEngine

from runner.config.models import RunnerConfig
from runner.node.build import NodePlan, Parts, direct
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook


def install_gate(plan: NodePlan, parts: Parts) -> RiskGate:
    """Every command goes router → gate → Nautilus's execution engine; the clients refuse what went around it."""
    config, kernel = plan.config, parts.kernel
    # An account id's issuer is its client's name; limits go by the names of the file.
    names = {client.id.value: name for name, client in parts.exec_clients.items()}
    first = next(iter(parts.exec_clients.values()))

    def account_name(account_id: Any) -> str:
        issuer = str(account_id.get_issuer())
        return names.get(issuer, issuer)

    gate = RiskGate(
        msgbus=kernel.msgbus,
        cache=kernel.cache,
        clock=kernel.clock,
        limits=LimitsBook(
            top=Limits.of(config.risk),
            accounts={name: Limits.of(account.limits) for name, account in config.accounts.items()},
            strategies={name: Limits.of(strategy.limits) for name, strategy in config.strategies.items()},
        ),
        outage=lambda account, strategy: outage(config, parts.exec_clients, parts.data_clients, account, strategy),
        venue_now_ns=first.venue_clock.now_ns,
        route=parts.router.route,
        account_name=account_name,
        strategy_name=lambda strategy_id: parts.names.get(strategy_id.value, strategy_id.value),
    )
    gate.install(kernel.exec_engine, direct(kernel.exec_engine, ExecutionEngine))
    for client in parts.exec_clients.values():
        client.set_gate_check(gate.approved)
    return gate


def outage(
    config: RunnerConfig,
    exec_clients: Mapping[str, Any],
    data_clients: Mapping[str, Any],
    account: str,
    strategy: str,
) -> str | None:
    """What keeps a strategy of the file from opening anything on an account now, in words."""
    if config.accounts[account].on_stream_down == "wait":
        return None
    if not exec_clients[account].ready:
        return f"the trade updates of account {account} are not arriving"
    feed = config.strategies[strategy].feed if strategy in config.strategies else None
    if feed is not None and data_clients[feed].gapped:
        return f"feed {feed} has lost trades or bars that are not read again yet"
    return None
