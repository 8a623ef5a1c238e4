"""How much of each limit is used, as a fraction: worked out when somebody asks, never with an order.

Limits that an order either meets or not (a collar, a double, a self-match, the universe) have no such figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.risk import Portion
from runner.risk.codes import Code
from runner.risk.exposure import ZERO, decimal, usd
from runner.risk.limits import Limits, Rate, share
from runner.risk.state import NODE, Scope

if TYPE_CHECKING:
    from runner.risk.gate import RiskGate


class Used(NamedTuple):
    """`limit` is its key in the file, `scope` the level that it stands on; 1 is all of it."""

    limit: str
    scope: Scope
    fraction: Decimal


Measure = Callable[[], Decimal | None]
"""How much is used of one limit; None where that can't be told yet."""


def used(gate: RiskGate, now_ns: int, failed: Callable[[str, Exception], None]) -> list[Used]:
    """Of every level's limits, those that can be told now: one whose price is missing leaves out itself alone, and of
    one that raises anything else `failed` hears.
    """
    found: list[Used] = []
    for scope, name, measure in _measures(gate, now_ns):
        try:
            fraction = measure()
        except LookupError:
            continue  # a price is missing
        except Exception as error:
            failed(f"telling how much of {scope.section}.{name} is used", error)
            continue
        if fraction is not None:
            found.append(Used(name, scope, fraction))
    try:
        found.extend(Used(name, scope, fraction) for scope, name, fraction in gate.losses.used())
    except Exception as error:
        failed("telling how much of the limits on losses is used", error)
    return found


def _measures(gate: RiskGate, now_ns: int) -> Iterator[tuple[Scope, str, Measure]]:
    for scope, limits in gate.limits.scopes():
        for name, measure in (
            *_counts(gate, scope, limits, now_ns),
            *_orders(gate, scope, limits),
            *_exposure(gate, scope, limits),
        ):
            yield scope, name, measure
    if gate.margin.enabled:
        for account_id in gate.collateral.known():
            yield Scope("account", gate.account_name(account_id)), "margin", partial(gate.margin.used, account_id)


def _counts(gate: RiskGate, scope: Scope, limits: Limits, now_ns: int) -> Iterator[tuple[str, Measure]]:
    for name, held in (
        ("max_orders", gate.book.engine.passed),
        ("max_cancels", gate.rates[Code.MAX_CANCELS].held),
        ("max_fills", gate.rates[Code.MAX_FILLS].held),
    ):
        if (rate := getattr(limits, name)) is not None:
            yield name, partial(_rate, held, scope, rate, now_ns)
    if (most := limits.max_open_orders) is not None:
        yield "max_open_orders", partial(_open_orders, gate, scope, most)


def _rate(held: Callable[[str, int, int], int], scope: Scope, rate: Rate, now_ns: int) -> Decimal:
    return share(Decimal(held(scope.section, rate.window_ns, now_ns)), Decimal(rate.count))


def _open_orders(gate: RiskGate, scope: Scope, most: int) -> Decimal:
    working = sum(gate.book.count(*whose) for whose in _whose(gate, scope, node_as_one=True))
    return share(Decimal(working), Decimal(most))


def _orders(gate: RiskGate, scope: Scope, limits: Limits) -> Iterator[tuple[str, Measure]]:
    """The largest order that passed."""
    for name, scaled in (("max_order_qty", decimal), ("max_order_notional", usd)):
        if (most := getattr(limits, name)) is not None:
            yield name, partial(_largest_order, gate, f"{scope.section}.{name}", scaled, most)


def _largest_order(gate: RiskGate, key: str, scaled: Callable[[int], Decimal], most: Decimal) -> Decimal:
    return share(scaled(gate.book.engine.largest_order(key)), most)


def _exposure(gate: RiskGate, scope: Scope, limits: Limits) -> Iterator[tuple[str, Measure]]:
    if (most := limits.max_position_notional) is not None:
        yield "max_position_notional", partial(_position, gate, scope, most)
    if (limit := limits.max_gross_exposure) is not None:
        yield "max_gross_exposure", partial(_gross, gate, scope, limit)


def _position(gate: RiskGate, scope: Scope, most: Decimal) -> Decimal:
    return share(max((gate.book.largest(*whose) for whose in _whose(gate, scope)), default=ZERO), most)


def _gross(gate: RiskGate, scope: Scope, limit: Portion) -> Decimal | None:
    owners = list(_whose(gate, scope))
    most = limit.amount
    if limit.fraction is not None:
        equity = gate.ledger.equities(account_id for account_id, _ in owners)
        most = None if equity is None else equity * limit.fraction
    if most is None:
        return None
    return share(sum((gate.book.total(*whose) for whose in owners), ZERO), most)


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
