"""Execution algorithms in a node: what stands between a strategy's order and the algorithm that is to carry it out.

Nautilus hands an order that names an algorithm straight to it, past its risk engine: router and gate see what the
algorithm makes of it, part by part, as they see any order of the strategy's. Until then the order (the *primary*, in
Nautilus's words) is nowhere but in the algorithm's memory: it takes no room, and it ends with whatever carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nautilus_trader.common.enums import ComponentState
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.execution.messages import CancelOrder, ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.model.events import (
    OrderDenied,
    OrderInitialized,
    OrderModifyRejected,
    OrderRejected,
)

from runner.node.guard import Guard
from runner.risk.answers import PROCESS, order_canceled, order_denied

_TIDY_AT = 1024


class Algorithms:
    """All of a node. `guards` are those of its file by name; more are denied."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._sent: set[Any] = set()
        self._params: dict[Any, Mapping[str, Any]] = {}
        self.guards: dict[str, Guard] = {}
        # It is told of each order before the order is sent.
        kernel.msgbus.subscribe("events.order.*", self._watch)

    def add(self, guard: Guard) -> None:
        """Take the seat before an algorithm that is guarded, and add it to the trader."""
        self.guards[guard.name] = guard
        _Seat(self, guard, self._kernel).take()
        self._kernel.trader.add_exec_algorithm(guard.component)

    def given(self, order: Any, params: Mapping[str, Any] | None) -> None:
        """An order has come to an algorithm, with these params."""
        if params:
            if len(self._params) >= _TIDY_AT:
                self._params = {each: it for each, it in self._params.items() if self._is_open(each)}
            self._params[order.client_order_id] = params

    def _is_open(self, client_order_id: Any) -> bool:
        order = self._kernel.cache.order(client_order_id)
        return order is not None and not order.is_closed

    def passes(self, command: Any, orders: Sequence[Any]) -> Any:
        """The command that goes on to the gate for orders of algorithms; None where they were denied."""
        if (reason := next(filter(None, map(self._objection, orders)), None)) is not None:
            for order in orders:
                deny(self._kernel, order, reason)
            return None
        # Only the venue can end them from now on.
        if len(self._sent) >= _TIDY_AT:
            self._sent = {each for each in self._sent if self._is_open(each)}
        self._sent.update(order.client_order_id for order in orders if order.exec_algorithm_id is not None)
        return self._complete(command) if isinstance(command, SubmitOrder) else command

    def _complete(self, command: SubmitOrder) -> SubmitOrder:
        """The command of a part with the params that the strategy gave with the whole: Nautilus's parts have none."""
        params = self._params.get(command.order.exec_spawn_id)
        if not params or command.params:
            return command
        return SubmitOrder(
            trader_id=command.trader_id,
            strategy_id=command.strategy_id,
            order=command.order,
            command_id=command.id,
            ts_init=command.ts_init,
            position_id=command.position_id,
            client_id=command.client_id,
            params=dict(params),
            correlation_id=command.correlation_id,
        )

    def holds(self, order: Any) -> bool:
        """Whether an order is at an algorithm, and nowhere else."""
        return bool(
            order.exec_algorithm_id is not None
            and order.is_active_local
            and not order.is_emulated
            and order.client_order_id not in self._sent
        )

    def held(self, strategy_id: Any = None) -> list[Any]:
        """Orders that are at an algorithm and nowhere else; of one strategy, or of all."""
        cache = self._kernel.cache
        return [
            order
            for algorithm_id in cache.exec_algorithm_ids()
            for order in cache.orders_for_exec_algorithm(algorithm_id, strategy_id=strategy_id)
            if self.holds(order)
        ]

    def working(self, name: str) -> list[Any]:
        """What an algorithm has made of orders, and has not ended; orders that it holds among them."""
        algorithm_id = self.guards[name].component.id
        return [each for each in self._kernel.cache.orders_for_exec_algorithm(algorithm_id) if not each.is_closed]

    def _objection(self, order: Any) -> str | None:
        """Why an order that an algorithm sends must not leave; None for any other."""
        if order.exec_algorithm_id is None:
            return None
        guard = self.guards.get(order.exec_algorithm_id.value)
        if guard is not None and guard.fault is not None:
            return f"ORDER_ILLEGAL: {_ended(guard)}"
        if not order.is_spawned:
            return None
        primary = self._kernel.cache.order(order.exec_spawn_id)
        if primary is not None and self.holds(primary):
            return None
        # Nautilus takes the part off the primary's quantity. Once that is at the venue, it would be so here alone.
        what = "is not known" if primary is None else f"is {primary.status_string().lower()}"
        what = "has been sent itself" if primary is not None and primary.is_active_local else what
        return f"ORDER_ILLEGAL: {order.exec_spawn_id}, which it is a part of, {what}"

    def cancel(self, order: Any) -> None:
        """End an order that an algorithm holds. No venue knows it, so that nobody needs to be asked."""
        event = order_canceled(order, self._kernel.clock.timestamp_ns())
        order.apply(event)
        self._kernel.cache.update_order(order)
        self._kernel.msgbus.publish(f"events.order.{order.strategy_id}", event)

    def modified(self, command: ModifyOrder) -> bool:
        """Refuse to modify what an algorithm holds, which is the algorithm's to do; whether it was that."""
        order = self._kernel.cache.order(command.client_order_id)
        if order is None or not self.holds(order):
            return False
        now_ns = self._kernel.clock.timestamp_ns()
        reason = f"ORDER_ILLEGAL: it is at {order.exec_algorithm_id} and not sent yet: cancel it and send another"
        ids = (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id)
        rejected = OrderModifyRejected(*ids, order.venue_order_id, order.account_id, reason, UUID4(), now_ns, now_ns)
        self._kernel.msgbus.send(PROCESS, rejected)
        return True

    def _watch(self, event: Any) -> None:
        """Nautilus only logs that nobody is there, and the order would stay as it was made for ever."""
        if isinstance(event, OrderInitialized) and event.exec_algorithm_id is not None:
            endpoint = f"{event.exec_algorithm_id}.execute"
            if endpoint not in self._kernel.msgbus.endpoints():
                reason = f"no execution algorithm {event.exec_algorithm_id} runs in this node, leave it out"
                self._kernel.msgbus.register(endpoint, lambda command: self.refuse(command, reason))

    def refuse(self, command: Any, reason: str) -> None:
        """Deny what an algorithm that is not there was to carry out."""
        if isinstance(command, SubmitOrder | SubmitOrderList):
            for order in orders_of(command):
                deny(self._kernel, order, f"ORDER_ILLEGAL: {reason}")


class _Seat:
    """The endpoint `ID.execute` of one algorithm."""

    def __init__(self, algorithms: Algorithms, guard: Guard, kernel: Any) -> None:
        self._algorithms = algorithms
        self._guard = guard
        self._kernel = kernel
        self._early: list[Any] = []
        self._heard: set[str] = set()
        self._inner: Callable[[Any], None]

    def take(self) -> None:
        """Before the algorithm is added to the trader, which registers its endpoint."""
        algorithm = self._guard.component
        self._inner = self._guard.guarded("execute", algorithm.execute)
        algorithm.execute = self.execute
        start, stop, cancel = algorithm.start, algorithm.stop, algorithm.cancel_order

        def cancel_order(order: Any, client_id: Any = None) -> None:
            # Nautilus asks the venue for it, which knows nothing of what is held here.
            if self._algorithms.holds(order):
                self._algorithms.cancel(order)
            else:
                cancel(order, client_id)

        def stopped() -> None:
            stop()
            for order in self._algorithms.working(self._guard.name):
                if self._algorithms.holds(order):
                    self._algorithms.cancel(order)

        def started() -> None:
            start()
            early, self._early = self._early, []
            for command in early:
                self.execute(command)

        algorithm.start, algorithm.stop, algorithm.cancel_order = started, stopped, cancel_order

    def execute(self, command: Any) -> None:
        guard, algorithm = self._guard, self._guard.component
        if isinstance(command, CancelOrder):
            self._cancel(command)
        elif guard.down:
            self._algorithms.refuse(command, _ended(guard))
        elif isinstance(command, SubmitOrderList) and not self._takes_lists():
            self._algorithms.refuse(command, f"execution algorithm {guard.name} takes no lists of orders")
        elif algorithm.is_running:
            self._carry_out(command)
        elif algorithm.state in (ComponentState.READY, ComponentState.STARTING):
            self._early.append(command)  # Nautilus starts algorithms last: a strategy's on_start comes before
        else:
            self._algorithms.refuse(command, f"execution algorithm {guard.name} does not run any more")

    def _takes_lists(self) -> bool:
        """One that does not would let them lie."""
        return type(self._guard.component).on_order_list is not ExecAlgorithm.on_order_list

    def _carry_out(self, command: Any) -> None:
        orders = [order for order in orders_of(command) if not order.is_closed]
        if not orders:  # canceled while it waited
            return
        for order in orders:
            self._algorithms.given(order, command.params)
        if command.strategy_id.value in self._heard:
            self._inner(command)
        else:
            self._carry_out_first(command)

    def _carry_out_first(self, command: Any) -> None:
        """The first order of a strategy: from then on the algorithm listens to it, by what can't be guarded on it.

        Nautilus subscribes it only after the order, and what has become of its first part by then would be lost on it.
        """
        bus, missed = self._kernel.msgbus, list[Any]()
        topics = [f"events.{what}.{command.strategy_id}" for what in ("order", "position")]
        before = {id(each) for each in bus.subscriptions()}
        for topic in topics:
            bus.subscribe(topic=topic, handler=missed.append)
        self._inner(command)
        for topic in topics:
            bus.unsubscribe(topic=topic, handler=missed.append)
        hear: Callable[[Any], None] | None = None
        for each in bus.subscriptions():
            if each.topic in topics and id(each) not in before:
                hear = self._guard.guarded("on_event", self._hear(each.handler))
                bus.unsubscribe(topic=each.topic, handler=each.handler)
                bus.subscribe(topic=each.topic, handler=hear)
                self._heard.add(command.strategy_id.value)
        if hear is not None:
            for event in missed:
                hear(event)

    def _hear(self, inner: Callable[[Any], None]) -> Callable[[Any], None]:
        """Nautilus gives the quantity of a part that failed back to the primary order, wherever that is.

        Where the primary has been sent, its quantity at the venue stays as it was, and so it must here.
        """

        def hear(event: Any) -> None:
            if isinstance(event, OrderDenied | OrderRejected):
                order = self._kernel.cache.order(event.client_order_id)
                algorithm = self._guard.component
                if order is not None and order.exec_algorithm_id == algorithm.id and order.is_spawned:
                    primary = self._kernel.cache.order(order.exec_spawn_id)
                    if primary is None or not self._algorithms.holds(primary):
                        tell = (
                            algorithm.on_order_denied if isinstance(event, OrderDenied) else algorithm.on_order_rejected
                        )
                        for handler in (tell, algorithm.on_order_event, algorithm.on_event):
                            handler(event)
                        return
            inner(event)

        return hear

    def _cancel(self, command: Any) -> None:
        order = self._kernel.cache.order(command.client_order_id)
        if order is None or order.is_closed:
            return
        if self._algorithms.holds(order):
            self._algorithms.cancel(order)
        else:
            self._kernel.msgbus.send(endpoint="ExecEngine.execute", msg=command)


def _ended(guard: Guard) -> str:
    assert guard.fault is not None
    return f"execution algorithm {guard.name} ended with {guard.fault.error}"


def orders_of(command: SubmitOrder | SubmitOrderList) -> list[Any]:
    """The orders that a command submits."""
    return [command.order] if isinstance(command, SubmitOrder) else list(command.order_list.orders)


def deny(kernel: Any, order: Any, reason: str) -> None:
    """An order that has not reached the gate ends here."""
    if not kernel.cache.order_exists(order.client_order_id):
        kernel.cache.add_order(order)
    kernel.msgbus.send(PROCESS, order_denied(order, reason, kernel.clock.timestamp_ns()))
