"""Taking orders back and closing positions, for one strategy or many: at the end, on a fault, and by command.

The order matters. Resting orders are cancelled first and waited for, as they hold the shares that are to be sold. Then
short options are bought back, since what is held beside them (longs of the spread, shares) is their cover; the rest is
closed after that, and where a short could not be bought back, its cover is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.model.enums import InstrumentClass, OrderStatus, TimeInForce

from runner.node.build import NODE_TAG, NodePlan, Parts
from runner.node.stages import Condition
from runner.risk.gate import RiskGate
from runner.risk.state import Scope, State

log = logging.getLogger("runner.node")
# A closing order that was denied or rejected (a double within its window, a share still held) is sent again.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be brought to its end in time: client order ids, and positions as (strategy, quantity, symbol)."""

    orders: tuple[str, ...] = ()
    positions: tuple[tuple[str, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.orders or self.positions)


def strategies_of(plan: NodePlan, scope: Scope) -> list[str]:
    """The strategies that a scope holds: all of the node's, those of an account, or one. Raises KeyError."""
    if scope.kind == "strategy" and scope.name not in plan.strategies:
        raise KeyError(scope.name)
    if scope.kind == "strategy":
        return [scope.name]
    if scope.kind == "account" and scope.name not in plan.config.accounts:
        raise KeyError(scope.name)
    return [name for name, each in plan.strategies.items() if scope.kind == "node" or each.spec.account == scope.name]


def cancel_orders(
    parts: Parts, name: str, *, sent: set[str] | None = None, spare: Collection[str] = frozenset()
) -> int:
    """Ask for the cancellation of all that a strategy has working, except what the node itself sent; how many it asked.

    `sent` are client order ids that were asked for before, and aren't again; `spare` ones are left alone.
    """
    strategy = parts.strategies[name]
    asked = 0
    for order in parts.kernel.cache.orders(strategy_id=strategy.id):
        key = order.client_order_id.value
        if order.is_closed or order.is_pending_cancel or key in spare or (sent is not None and key in sent):
            continue
        # An order that has not left the risk engine's queue yet can't be cancelled; it is seen again when it has.
        if order.status == OrderStatus.INITIALIZED or NODE_TAG in (order.tags or ()):
            continue
        try:
            strategy.cancel_order(order)
        except Exception:  # the other orders must still be cancelled
            log.exception("%s: order %s could not be cancelled", name, key)
        asked += 1
        if sent is not None:
            sent.add(key)
    return asked


@dataclass
class _Attempt:
    tries: int = 0
    failed: bool = False


@dataclass
class Closer:
    """Cancels and closes for some strategies of a node. Use it as a context manager: it listens while it is open."""

    parts: Parts
    _changed: Condition = field(default_factory=Condition)
    _attempts: dict[str, _Attempt] = field(default_factory=dict)

    def __enter__(self) -> Closer:
        bus = self.parts.kernel.msgbus
        bus.subscribe("events.order.*", self._changed.poke)
        bus.subscribe("events.position.*", self._changed.poke)
        return self

    def __exit__(self, *_: object) -> None:
        bus = self.parts.kernel.msgbus
        bus.unsubscribe("events.order.*", self._changed.poke)
        bus.unsubscribe("events.position.*", self._changed.poke)

    def working(self, name: str, spare: Collection[str] = frozenset()) -> list[str]:
        """Client order ids of what a strategy has working, except what the node itself sent."""
        orders = self.parts.kernel.cache.orders(strategy_id=self.parts.strategies[name].id)
        return [
            order.client_order_id.value
            for order in orders
            if not order.is_closed and NODE_TAG not in (order.tags or ()) and order.client_order_id.value not in spare
        ]

    async def cancel(self, names: Iterable[str], timeout_s: float, spare: Collection[str] = frozenset()) -> list[str]:
        """Cancel all that works and wait until the venue has confirmed it; what is left after `timeout_s`."""
        names, sent = list(names), set[str]()

        def gone() -> bool:
            for name in names:
                cancel_orders(self.parts, name, sent=sent, spare=spare)
            return not any(self.working(name, spare) for name in names)

        await self._changed.until(gone, timeout_s)
        return [each for name in names for each in self.working(name, spare)]

    async def cancel_once(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """Cancel what works now and wait for that; what is sent meanwhile works on. What is left after `timeout_s`."""
        names = list(names)
        wanted = {each for name in names for each in self.working(name)}
        sent = set[str]()

        def left() -> list[str]:
            return [each for name in names for each in self.working(name) if each in wanted]

        def gone() -> bool:
            for name in names:
                newer = set(self.working(name)) - wanted
                cancel_orders(self.parts, name, sent=sent, spare=newer)
            return not left()

        await self._changed.until(gone, timeout_s)
        return left()

    async def finish(self, name: str, timeout_s: float) -> None:
        """Let what works come to its own end."""
        await self._changed.until(lambda: not self.working(name), timeout_s)

    async def close(self, names: Iterable[str], timeout_s: float) -> list[tuple[str, str, str]]:
        """Close all positions, what needs no cover first; what is left after `timeout_s`."""
        names = list(names)
        self._attempts.clear()
        await self._changed.until(lambda: self.step(names, shorts_first=True), timeout_s / 2)
        await self._changed.until(lambda: self.step(names, shorts_first=False), timeout_s / 2)
        left = [
            (name, str(position.signed_decimal_qty()), position.instrument_id.symbol.value)
            for name, position in self._positions(names)
        ]
        for name, qty, symbol in left:
            log.error(
                "%s: the position of %s %s could not be closed in time; its closing order may still work",
                name,
                qty,
                symbol,
            )
        return left

    def step(self, names: Sequence[str], *, shorts_first: bool) -> bool:
        """Send what is still to be sent; whether nothing is left to wait for."""
        open_ = self._positions(names)
        shorts = [each for each in open_ if self._is_short_option(each[1])]
        uncovered = {self._root(position) for _, position in shorts}
        for name, position in shorts:
            self._send(name, position)
        if shorts_first:
            return not shorts
        rest = [each for each in open_ if each not in shorts and self._root(each[1]) not in uncovered]
        for name, position in rest:
            self._send(name, position)
        return not open_

    def _send(self, name: str, position: Any) -> None:
        attempt = self._attempts.setdefault(position.id.value, _Attempt())
        if attempt.tries >= TRIES or attempt.failed or self._closing(name, position):
            return
        attempt.tries += 1
        try:
            self.parts.strategies[name].close_position(
                position, tags=[NODE_TAG], time_in_force=TimeInForce.DAY, reduce_only=False
            )
        except Exception:  # the other positions must still be closed
            attempt.failed = True
            log.exception("%s: %s could not be closed", name, position.instrument_id.symbol)

    def _closing(self, name: str, position: Any) -> bool:
        """Whether a closing order of ours is under way."""
        orders = self.parts.kernel.cache.orders(
            instrument_id=position.instrument_id, strategy_id=self.parts.strategies[name].id
        )
        return any(not order.is_closed and NODE_TAG in (order.tags or ()) for order in orders)

    def _positions(self, names: Sequence[str]) -> list[tuple[str, Any]]:
        cache = self.parts.kernel.cache
        return [
            (name, position)
            for name in names
            for position in cache.positions_open(strategy_id=self.parts.strategies[name].id)
        ]

    def _is_short_option(self, position: Any) -> bool:
        instrument = self.parts.kernel.cache.instrument(position.instrument_id)
        return position.is_short and instrument is not None and instrument.instrument_class == InstrumentClass.OPTION

    def _root(self, position: Any) -> str:
        instrument = self.parts.kernel.cache.instrument(position.instrument_id)
        underlying = getattr(instrument, "underlying", None)
        return str(underlying or position.instrument_id.symbol.value)


async def halt(
    plan: NodePlan, parts: Parts, gate: RiskGate, scope: Scope, *, why: str, cancel: bool, timeout_s: float
) -> Left:
    """Let nothing open any more in a scope until it is resumed; with `cancel`, take back what works."""
    names = strategies_of(plan, scope)
    gate.set_state(State.HALTED, scope=scope, why=why)
    if not cancel:
        return Left()
    with Closer(parts) as closer:
        return Left(orders=tuple(await closer.cancel(names, timeout_s)))


async def cancel(plan: NodePlan, parts: Parts, scope: Scope, *, timeout_s: float) -> Left:
    """Take back what works now in a scope. Its strategies trade on."""
    with Closer(parts) as closer:
        return Left(orders=tuple(await closer.cancel_once(strategies_of(plan, scope), timeout_s)))


async def flatten(plan: NodePlan, parts: Parts, gate: RiskGate, scope: Scope, *, why: str, timeout_s: float) -> Left:
    """Let nothing open any more in a scope, cancel what works, and close all positions of its strategies."""
    names = strategies_of(plan, scope)
    gate.set_state(State.REDUCING, scope=scope, why=why)
    with Closer(parts) as closer:
        orders = await closer.cancel(names, timeout_s / 3)
        return Left(tuple(orders), tuple(await closer.close(names, timeout_s * 2 / 3)))
