"""What the gate answers: denials and rejections as Nautilus's events, and which commands have passed."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.events import OrderCanceled, OrderDenied, OrderModifyRejected

from runner.risk.candidate import Subject
from runner.risk.codes import Code, Denial

PROCESS = "ExecEngine.process"


class Answers:
    """Counts what it answers. Nothing here raises, save what the engine raises that hears of it.

    `failed` hears of each exception, with what was being done. `keep`: how many approvals are remembered.
    """

    def __init__(
        self,
        *,
        msgbus: Any,
        cache: Any,
        clock: Any,
        failed: Callable[[str, Exception], None],
        on_denied: Callable[[str, str, str], None] | None,
        keep: int,
    ) -> None:
        self._bus = msgbus
        self._cache = cache
        self._clock = clock
        self._failed = failed
        self._on_denied = on_denied
        self._keep = keep
        self._approved: OrderedDict[Any, None] = OrderedDict()
        self.denied: Counter[Code] = Counter()
        self.passed = 0

    def approve(self, command: Any, orders: int) -> None:
        self.passed += orders
        self._approved[command.id] = None
        while len(self._approved) > self._keep:
            self._approved.popitem(last=False)

    def approved(self, command: Any) -> bool:
        """Whether this command has passed the gate. True once: the second question is answered with False."""
        try:
            del self._approved[command.id]
        except KeyError:
            return False
        return True

    def deny(self, command: Any, orders: Sequence[Any], denied: tuple[Denial, Any], subject: Subject) -> None:
        """Deny all of a command's orders; `denied` holds the one that it is about."""
        denial, culprit = denied
        self._count(denial.code, subject, len(orders))
        for order in orders:
            reason = denial.reason
            if order is not culprit and len(orders) > 1:
                reason = f"{denial.code}: denied with its list, where {culprit.client_order_id}: {denial.sentence}"
            try:
                if not self._cache.order_exists(order.client_order_id):
                    self._cache.add_order(order, command.position_id, command.client_id)
                event = order_denied(order, reason, self._clock.timestamp_ns())
            except Exception as error:
                self._failed(f"denying {order.client_order_id}", error)
                continue
            self._bus.send(PROCESS, event)

    def reject_modification(self, command: Any, order: Any, denial: Denial, subject: Subject) -> None:
        """`order` is None where the cache does not know it."""
        self._count(denial.code, subject, 1)
        try:
            now = self._clock.timestamp_ns()
            event = OrderModifyRejected(
                command.trader_id,
                command.strategy_id,
                command.instrument_id,
                command.client_order_id,
                command.venue_order_id if order is None else order.venue_order_id,
                None if order is None else order.account_id,
                denial.reason,
                UUID4(),
                now,
                now,
            )
        except Exception as error:
            self._failed(f"rejecting the modification of {command.client_order_id}", error)
            return
        self._bus.send(PROCESS, event)

    def _count(self, code: Code, subject: Subject, orders: int) -> None:
        self.denied[code] += orders
        if self._on_denied is None:
            return
        try:
            for _ in range(orders):
                self._on_denied(str(code), subject.strategy, subject.account)
        except Exception as error:
            self._failed("telling of a denial", error)


def order_canceled(order: Any, ts_ns: int) -> OrderCanceled:
    """The event that ends an order which no venue has, or which a backtest's venue need not be asked about."""
    ids = (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id)
    return OrderCanceled(*ids, order.venue_order_id, order.account_id, UUID4(), ts_ns, ts_ns)


def order_denied(order: Any, reason: str, ts_ns: int) -> OrderDenied:
    """The event that ends an order before it leaves the node."""
    ids = (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id)
    return OrderDenied(*ids, reason, UUID4(), ts_ns)
