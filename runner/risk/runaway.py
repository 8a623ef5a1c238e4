"""Cancels and fills are never held back; where there are too many of them, their scope becomes reducing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nautilus_trader.execution.messages import BatchCancelOrders, CancelAllOrders, CancelOrder
from nautilus_trader.model.enums import OrderSide

from runner._engine import RateWindows
from runner.risk.codes import Code, seconds
from runner.risk.limits import Rate, rate_limits
from runner.risk.state import Scope, State, States

CANCELS = (CancelOrder, BatchCancelOrders, CancelAllOrders)


class Runaway:
    """Counts them in venue time."""

    def __init__(self, states: States, now_ns: Callable[[], int]) -> None:
        self._states = states
        self._now_ns = now_ns
        self.rates = {Code.MAX_CANCELS: RateWindows(), Code.MAX_FILLS: RateWindows()}

    def cancels(self, rates: Sequence[tuple[Scope, Rate]], cancels: int) -> None:
        self._count(Code.MAX_CANCELS, "cancels", rates, cancels)

    def fills(self, rates: Sequence[tuple[Scope, Rate]], fills: int) -> None:
        self._count(Code.MAX_FILLS, "fills", rates, fills)

    def _count(self, code: Code, what: str, rates: Sequence[tuple[Scope, Rate]], more: int) -> None:
        """Count, and make every scope whose rate this exceeds reducing."""
        if not rates or not more:
            return
        now_ns = self._now_ns()
        windows = self.rates[code]
        for scope, rate in rates:
            exceeded = windows.exceeded(rate_limits([(scope, rate)]), more, now_ns)
            if exceeded is not None:
                _, held = exceeded
                why = (
                    f"{code}: {held + more} {what} within {seconds(rate.per_ns)}, "
                    f"more than the {rate.count} of {scope.section}.{code.lower()}"
                )
                self._states.set(State.REDUCING, scope=scope, why=why, by="breach", cause=str(code))
        windows.count(rate_limits(rates), more, now_ns)


def cancelled_by(command: Any, cache: Any) -> int:
    """How many orders a command asks to cancel."""
    if isinstance(command, CancelOrder):
        return 1
    if isinstance(command, BatchCancelOrders):
        return len(command.cancels)
    side = command.order_side
    return sum(
        side in (OrderSide.NO_ORDER_SIDE, order.side)
        for order in cache.orders_open(instrument_id=command.instrument_id, strategy_id=command.strategy_id)
    )
