"""How many orders were sent in the last so many seconds of venue time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from runner.risk.limits import Rate
from runner.risk.state import Scope


class OrderRates:
    """A sliding window for each scope that has a rate. Denied orders are not counted: they were not sent."""

    def __init__(self) -> None:
        self._sent: dict[Scope, deque[int]] = {}
        self._now_ns = 0

    def exceeded(self, rates: Iterable[tuple[Scope, Rate]], orders: int, now_ns: int) -> tuple[Scope, Rate, int] | None:
        """The first rate that `orders` more would exceed, with how many its window holds; None if none."""
        for scope, rate in rates:
            held = self.held(scope, rate, now_ns)
            if held + orders > rate.count:
                return scope, rate, held
        return None

    def count(self, rates: Iterable[tuple[Scope, Rate]], orders: int, now_ns: int) -> None:
        """Remember that `orders` were sent now."""
        for scope, rate in rates:
            self.held(scope, rate, now_ns)
            self._sent.setdefault(scope, deque()).extend([self._now_ns] * orders)

    def held(self, scope: Scope, rate: Rate, now_ns: int) -> int:
        """How many orders the scope's window holds."""
        # Venue time is made of stamps from several streams and may step back a little; the window never does.
        self._now_ns = max(self._now_ns, now_ns)
        sent = self._sent.get(scope)
        if not sent:
            return 0
        while sent and sent[0] <= self._now_ns - rate.per_ns:
            sent.popleft()
        return len(sent)
