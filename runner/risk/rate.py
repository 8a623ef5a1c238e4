"""How many orders, cancels or fills there were in the last so many seconds of venue time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from runner.risk.limits import Rate
from runner.risk.state import Scope


class Rates:
    """A sliding window for each scope that has a rate."""

    def __init__(self) -> None:
        self._counted: dict[Scope, deque[int]] = {}
        self._now_ns = 0

    def exceeded(self, rates: Iterable[tuple[Scope, Rate]], more: int, now_ns: int) -> tuple[Scope, Rate, int] | None:
        """The first rate that `more` would exceed, with how many its window holds; None if none."""
        for scope, rate in rates:
            # As many as were ever counted are not too many, so nothing needs to be tidied up to say so.
            counted = self._counted.get(scope)
            if (0 if counted is None else len(counted)) + more <= rate.count:
                continue
            held = self.held(scope, rate, now_ns)
            if held + more > rate.count:
                return scope, rate, held
        return None

    def count(self, rates: Iterable[tuple[Scope, Rate]], more: int, now_ns: int) -> None:
        """Remember that so many happened now."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        for scope, rate in rates:
            counted = self._counted.get(scope)
            if counted is None:
                counted = self._counted[scope] = deque()
            elif len(counted) > 2 * rate.count:
                self.held(scope, rate, now_ns)  # nothing was near the rate for long, so nobody has tidied up
            if more == 1:
                counted.append(self._now_ns)
            else:
                counted.extend([self._now_ns] * more)

    def held(self, scope: Scope, rate: Rate, now_ns: int) -> int:
        """How many the scope's window holds."""
        # Venue time is made of stamps from several streams and may step back a little; the window never does.
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        counted = self._counted.get(scope)
        if not counted:
            return 0
        oldest = self._now_ns - rate.per_ns
        while counted and counted[0] <= oldest:
            counted.popleft()
        return len(counted)
