"""What a running node is and does, as one object. Money and quantities are decimal text, times RFC 3339 in UTC."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from runner.node.guard import Guard
from runner.node.node import Node
from runner.risk.state import NODE, Scope, Standing, State

#: More orders and positions than this are counted, not listed.
MOST_ROWS = 200


def status(node: Node, environment: str, started_ns: int) -> dict[str, Any]:
    """The answer of `/v1/status`."""
    parts, config, gate = node.parts, node.plan.config, node.gate
    assert parts is not None
    cache = parts.kernel.cache
    # What an execution algorithm holds works nowhere yet, and is on its way all the same.
    working = (*cache.orders_open(), *cache.orders_inflight(), *parts.algorithms.held())
    orders = [_order(node, order) for order in working]
    positions = [_position(node, each) for each in cache.positions_open()]
    return {
        "name": config.name,
        "environment": environment,
        "pid": os.getpid(),
        "stage": node.stage,
        "ready": node.ready and all(getattr(client, "ready", True) for client in parts.exec_clients.values()),
        "started": _time(started_ns),
        **_standing(gate, NODE),
        "feeds": {
            name: {
                "market": feed.market,
                "feed": feed.feed,
                "connected": bool(parts.data_clients[name].is_connected),
                "gap": bool(getattr(parts.data_clients[name], "gapped", False)),
            }
            for name, feed in config.feeds.items()
        },
        "accounts": {name: _account(node, name) for name in config.accounts},
        "strategies": {name: _strategy(node, name) for name in node.plan.strategies},
        "actors": {name: _component(guard) for name, guard in parts.actors.items()},
        "exec_algorithms": {
            name: _component(guard) | {"orders": len(parts.algorithms.working(name))}
            for name, guard in parts.algorithms.guards.items()
        },
        "limits": [
            {"limit": each.limit, "kind": each.scope.kind, "name": each.scope.name, "used": f"{each.fraction:.4f}"}
            for each in gate.used()
        ]
        if node.stage in ("start", "trade", "stop")
        else [],
        "orders": {"total": len(orders), "rows": orders[:MOST_ROWS]},
        "positions": {"total": len(positions), "rows": positions[:MOST_ROWS]},
        "file": _file(node),
        "fills": node.tally.fills,
        "denied": sum(node.tally.denials.values()),
    }


def _file(node: Node) -> dict[str, Any] | None:
    """Of what is in force: a fingerprint, and what came of the last reload."""
    if node.reloader is None:
        return None
    last = node.reloader.last
    return {
        "files": [str(path) for path in node.reloader.origin.files],
        "hash": node.reloader.hash,
        "last_reload": None
        if last is None
        else {"result": last["result"], "outcome": last["outcome"], "at": _time(int(last["at"] * 1e9))},
    }


def _standing(gate: Any, scope: Scope) -> dict[str, Any]:
    standing: Standing = gate.states.get(scope)
    if standing.state is State.ACTIVE:
        return {"state": "active"}
    return {
        "state": str(standing.state),
        "why": standing.why,
        "by": standing.by,
        "since": _time(standing.since_ns),
    }


def _account(node: Node, name: str) -> dict[str, Any]:
    assert node.parts is not None
    client = node.parts.exec_clients[name]
    account = node.parts.kernel.cache.account(client.account_id) if client.account_id is not None else None
    info = (account.last_event.info or {}) if account is not None else {}
    return {
        "connected": bool(client.is_connected),
        "trade_updates": bool(getattr(client, "ready", True)),
        "journal": journal.problem if (journal := getattr(client, "journal", None)) is not None else None,
        "equity": _text(info.get("equity")),
        "buying_power": _text(info.get("buying_power")),
        **_standing(node.gate, Scope("account", name)),
    }


def _strategy(node: Node, name: str) -> dict[str, Any]:
    assert node.parts is not None
    strategy, spec, cache = node.parts.strategies[name], node.plan.strategies[name].spec, node.parts.kernel.cache
    return {
        "account": spec.account,
        "feed": spec.feed,
        "running": bool(strategy.is_running) and not node.parts.guards[name].down,
        "failed": node.parts.guards[name].down,
        "schedule": _schedule(node, name),
        "orders": cache.orders_open_count(strategy_id=strategy.id)
        + cache.orders_inflight_count(strategy_id=strategy.id)
        + len(node.parts.algorithms.held(strategy.id)),
        "positions": cache.positions_open_count(strategy_id=strategy.id),
        **_standing(node.gate, Scope("strategy", name)),
    }


def _component(guard: Guard) -> dict[str, Any]:
    return {
        "class": type(guard.component).__name__,
        "running": bool(guard.component.is_running) and not guard.down,
        "failed": guard.down,
    }


def _schedule(node: Node, name: str) -> dict[str, Any] | None:
    """Whether its schedule lets it open positions, and until when; None where it has none."""
    assert node.parts is not None
    schedules = node.parts.schedules
    if schedules is None or (moment := schedules.moment(name)) is None:
        return None
    table, now_ns = schedules.tables[name], schedules.now_ns()
    until_ns = table.closes_ns(now_ns) if moment.open else table.opens_ns(now_ns)
    return {
        "open": moment.open,
        "flat": moment.flat,
        "until": None if until_ns is None else _time(until_ns),
        "left": schedules.left(name),
    }


def _order(node: Node, order: Any) -> dict[str, Any]:
    assert node.parts is not None
    price = order.price if order.has_price else None
    trigger = order.trigger_price if order.has_trigger_price else None
    return {
        "strategy": _name(node, order),
        "id": order.client_order_id.value,
        "symbol": order.instrument_id.symbol.value,
        "side": order.side_string().lower(),
        "type": order.type_string().lower(),
        "quantity": f"{order.quantity.as_decimal().normalize():f}",
        "filled": f"{order.filled_qty.as_decimal().normalize():f}",
        "price": _text(price),
        "trigger": _text(trigger),
        "status": f"at {order.exec_algorithm_id}"
        if node.parts.algorithms.holds(order)
        else order.status_string().lower(),
        "sent": _time(order.ts_init),
    }


def _position(node: Node, position: Any) -> dict[str, Any]:
    average = Decimal(position.avg_px_open).quantize(Decimal("1e-9")).normalize()  # a float in Nautilus
    return {
        "strategy": _name(node, position),
        "symbol": position.instrument_id.symbol.value,
        "quantity": f"{position.signed_decimal_qty().normalize():f}",
        "avg_price": f"{average:f}",
    }


def _name(node: Node, owned: Any) -> str:
    assert node.parts is not None
    return node.parts.names.get(owned.strategy_id.value, str(owned.strategy_id.value))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
