"""How much of each limit is used, as a fraction: worked out when somebody asks, never with an order.

Limits that an order either meets or not (a collar, a double, a self-match, the universe) have no such figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.risk.codes import Code
from runner.risk.exposure import ZERO, decimal, usd
from runner.risk.limits import Limits
from runner.risk.state import NODE, Scope

if TYPE_CHECKING:
    from runner.risk.gate import RiskGate


class Used(NamedTuple):
    """`limit` is its key in the file, `scope` the level that it stands on; 1 is all of it."""

    limit: str
    scope: Scope
    fraction: Decimal


def used(gate: RiskGate, now_ns: int) -> Iterator[Used]:
    """Of every level's limits, those that can be told now. Raises what looking at prices raises."""
    for scope, limits in gate.limits.scopes():
        yield from _counts(gate, scope, limits, now_ns)
        yield from _orders(gate, scope, limits)
        yield from _exposure(gate, scope, limits)
    for scope, name, fraction in gate.losses.used():
        yield Used(name, scope, fraction)
    if gate.margin.enabled:
        for account_id, fraction in gate.margin.used():
            yield Used("margin", Scope("account", gate.account_name(account_id)), fraction)


def _counts(gate: RiskGate, scope: Scope, limits: Limits, now_ns: int) -> Iterator[Used]:
    for name, held in (
        ("max_orders", gate.book.engine.passed),
        ("max_cancels", gate.rates[Code.MAX_CANCELS].held),
        ("max_fills", gate.rates[Code.MAX_FILLS].held),
    ):
        rate = getattr(limits, name)
        if rate is not None:
            yield Used(name, scope, Decimal(held(scope.section, rate.window_ns, now_ns)) / rate.count)
    if limits.max_open_orders is not None:
        working = sum(gate.book.count(*whose) for whose in _whose(gate, scope, node_as_one=True))
        yield Used("max_open_orders", scope, Decimal(working) / limits.max_open_orders)


def _orders(gate: RiskGate, scope: Scope, limits: Limits) -> Iterator[Used]:
    """The largest order that passed."""
    for name, scaled in (("max_order_qty", decimal), ("max_order_notional", usd)):
        if limit := getattr(limits, name):
            yield Used(name, scope, scaled(gate.book.engine.largest_order(f"{scope.section}.{name}")) / limit)


def _exposure(gate: RiskGate, scope: Scope, limits: Limits) -> Iterator[Used]:
    if limits.max_position_notional:
        parts = [gate.book.largest(*whose) for whose in _whose(gate, scope)]
        yield Used("max_position_notional", scope, max(parts, default=ZERO) / limits.max_position_notional)
    if (limit := limits.max_gross_exposure) is not None:
        owners = list(_whose(gate, scope))
        total = sum((gate.book.total(*whose) for whose in owners), ZERO)
        most = limit.amount
        if limit.fraction is not None:
            equity = gate.ledger.equities(account_id for account_id, _ in owners)
            most = None if equity is None else equity * limit.fraction
        if most:
            yield Used("max_gross_exposure", scope, total / most)


def _whose(gate: RiskGate, scope: Scope, *, node_as_one: bool = False) -> Iterator[tuple[Any, Any]]:
    """Account and strategy ids that a level is measured on."""
    if scope == NODE and node_as_one:
        yield None, None
        return
    for account_id in gate.account_ids():
        if scope.kind == "account" and gate.account_name(account_id) != scope.name:
            continue
        if scope.kind != "strategy":
            yield account_id, None
        elif (strategy_id := gate.strategy_ids.get(scope.name)) is not None:
            yield account_id, strategy_id
