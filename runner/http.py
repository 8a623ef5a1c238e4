"""HTTP for commands, checks and alerts. The engine has its own, for everything that trades."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import httpx

MOST_BYTES = 16 * 1024 * 1024


def client(timeout_s: float, **options: Any) -> httpx.Client:
    """A client to which a reply that drips, or never ends, is a time-out too: httpx bounds each read alone.

    A body that is not whole `timeout_s` after its headers raises ReadTimeout, one of more than `MOST_BYTES` ReadError.
    `options` as for `httpx.Client`.
    """

    def bind(response: httpx.Response) -> None:
        inner = cast("httpx.SyncByteStream", response.stream)
        response.stream = _Whole(inner, time.monotonic() + timeout_s)

    return httpx.Client(timeout=timeout_s, event_hooks={"response": [bind]}, **options)


class _Whole(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, deadline_s: float) -> None:
        self._inner = inner
        self._deadline_s = deadline_s

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self._inner:
            read += len(part)
            if read > MOST_BYTES:
                raise httpx.ReadError("the reply has no end")
            if time.monotonic() > self._deadline_s:
                raise httpx.ReadTimeout("the reply is not whole yet")
            yield part

    def close(self) -> None:
        self._inner.close()
