"""The request quota of the trading host: so many a minute and account (200 at Alpaca, more when a replay runs
faster).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.exchange.errors import TOO_MANY, AlpacaError

MINUTE_S = 60


class Quota:
    """A fixed window of a minute of wall time for each key; a client sees it in the X-RateLimit headers of each
    reply.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.time) -> None:
        self._per_minute = per_minute
        self.clock = clock
        self._used: dict[str, tuple[int, int]] = {}

    def take(self, key: str) -> dict[str, str]:
        """Count one request and return the headers of its reply; AlpacaError 429 where the minute's quota is used
        up.
        """
        minute = int(self.clock() // MINUTE_S)
        last, used = self._used.get(key, (minute, 0))
        used = used + 1 if last == minute else 1
        self._used[key] = (minute, used)
        headers = {
            "X-RateLimit-Limit": str(self._per_minute),
            "X-RateLimit-Remaining": str(max(self._per_minute - used, 0)),
            "X-RateLimit-Reset": str((minute + 1) * MINUTE_S),
        }
        if used > self._per_minute:
            raise AlpacaError(429, TOO_MANY, "rate limit exceeded", headers=headers)
        return headers
