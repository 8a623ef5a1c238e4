"""The same order twice within a short time: a double click, a handler that ran twice, a loop gone wild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.risk.codes import Code, Denial, seconds
from runner.risk.limits import Bound

_FEW = 256


class Duplicates:
    """Remembers what passed: by strategy, instrument, side, type, quantity and prices. Denied orders don't count."""

    def __init__(self) -> None:
        self._passed: dict[tuple[Any, ...], int] = {}
        self._tidy_at = _FEW
        self._last: tuple[Any, tuple[Any, ...]] = (None, ())  # the order that was asked about, and its key

    def check(self, order: Any, bound: Bound, window_ns: int, now_ns: int) -> Denial | None:
        key = _key(order)
        self._last = order, key
        before = self._passed.get(key)
        if before is None or (age := now_ns - before) >= window_ns:
            return None
        return Denial(
            Code.DUPLICATE_ORDER,
            f"the same order ({order.info()}) passed {seconds(max(age, 0))} ago, "
            f"within the {seconds(window_ns)} of {bound.where}",
        )

    def passed(self, orders: Sequence[Any], window_ns: int, now_ns: int) -> None:
        if len(self._passed) > self._tidy_at:
            self._passed = {key: at for key, at in self._passed.items() if now_ns - at < window_ns}
            self._tidy_at = max(2 * len(self._passed), _FEW)
        for order in orders:
            self._passed[self._last[1] if self._last[0] is order else _key(order)] = now_ns


def _key(order: Any) -> tuple[Any, ...]:
    return (
        order.strategy_id,
        order.instrument_id,
        order.side,
        order.order_type,
        order.quantity.raw,
        order.price.raw if order.has_price else None,
        order.trigger_price.raw if order.has_trigger_price else None,
    )
