"""The order in which commands leave: one at a time an instrument, or one at a time altogether."""

from __future__ import annotations

import asyncio


class Lanes:
    """A first-come-first-served lock for each symbol; one for all of them where `serial`."""

    def __init__(self, *, serial: bool) -> None:
        self._serial = serial
        self._locks: dict[str, asyncio.Lock] = {}

    def lane(self, symbol: str) -> asyncio.Lock:
        """The lock that a command of this symbol holds from before it leaves until its reply is here."""
        key = "" if self._serial else symbol
        if (lock := self._locks.get(key)) is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
