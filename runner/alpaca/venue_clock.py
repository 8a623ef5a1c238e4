"""Venue time: what the venue's own stamps say it is. In a replay that is another day, at another pace."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from runner.alpaca.constants import NANOS

#: A local clock further from the venue's than this is not off: the venue is a replay.
REPLAY_OFFSET_NS = 60 * NANOS


class VenueClock:
    """Made of the stamps on the wire and of `/v2/clock`. All times are UNIX nanoseconds.

    Live, it is the local clock corrected by `offset_ns`. In a replay, whose pace is unknown, it is the newest stamp.
    """

    def __init__(self, local_now_ns: Callable[[], int] = time.time_ns) -> None:
        self._local_now_ns = local_now_ns
        self._newest_ns = 0
        self._offset_ns = 0
        self._is_replay = False
        self._calls: dict[object, tuple[int, Callable[[], object]]] = {}

    def observe(self, ts_ns: int) -> None:
        """A stamp of the venue's was seen. Older ones than the newest change nothing."""
        if ts_ns > self._newest_ns:
            self._newest_ns = ts_ns
            if self._is_replay:
                self._offset_ns = ts_ns - self._local_now_ns()
            if self._calls:
                self._call_due()

    def call_at(self, ts_ns: int, owner: object, callback: Callable[[], object]) -> None:
        """Call back once a stamp of at least `ts_ns` is seen: a replay's timer. An owner has one only."""
        self._calls[owner] = (ts_ns, callback)

    def cancel(self, owner: object) -> None:
        """Forget the owner's call."""
        self._calls.pop(owner, None)

    def _call_due(self) -> None:
        for owner in [owner for owner, (at_ns, _) in self._calls.items() if at_ns <= self._newest_ns]:
            _, callback = self._calls.pop(owner)
            callback()

    async def ask(self, clock_ns: Callable[[], Awaitable[int]]) -> int:
        """Have the venue say what time it is (`clock_ns`), which this returns. Raises what that does."""
        asked_ns = self._local_now_ns()
        ts_ns = await clock_ns()
        self.set_from_clock(ts_ns, asked_ns)
        return ts_ns

    def set_from_clock(self, ts_ns: int, asked_ns: int | None = None) -> None:
        """The venue said that it is `ts_ns`: tells a replay from live. `asked_ns`: when it was asked, by local time.

        It was so at some time between question and answer. A local clock that agrees with that, however late the answer
        came, is taken to be right: an answer that took a second would leave venue time a second behind, and quotes
        ahead of it.
        """
        now_ns = self._local_now_ns()
        least, most = ts_ns - now_ns, ts_ns - (now_ns if asked_ns is None else min(asked_ns, now_ns))
        offset_ns = 0 if least <= 0 <= most else (least + most) // 2
        self._is_replay = abs(offset_ns) > REPLAY_OFFSET_NS
        self._newest_ns = max(self._newest_ns, ts_ns) if self._is_replay else ts_ns
        self._offset_ns = offset_ns

    def now_ns(self) -> int:
        """Venue time."""
        if self._is_replay:
            return self._newest_ns
        return self._local_now_ns() + self._offset_ns

    @property
    def offset_ns(self) -> int:
        """Venue time less local time, at the last stamp that said so."""
        return self._offset_ns

    @property
    def is_replay(self) -> bool:
        """Whether the venue lives on another day than this machine."""
        return self._is_replay

    def to_venue_ns(self, node_ns: int) -> int:
        """A node-clock time as venue time: moved by the offset in a replay, else unchanged.

        A time that is already in the venue's past is taken as one of the venue's own.
        """
        if not self._is_replay or node_ns <= self.now_ns():
            return node_ns
        return node_ns - self._local_now_ns() + self.now_ns()
