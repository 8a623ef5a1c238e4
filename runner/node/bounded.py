"""HTTP for commands and checks: a reply that drips, or never ends, is a time-out too. httpx bounds each read alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import cast

import httpx

MOST_BYTES = 16 * 1024 * 1024


def bounded(total_s: float) -> dict[str, list[Callable[[httpx.Response], None]]]:
    """Event hooks of an httpx client, which raise ReadTimeout for a body that is not whole `total_s` after its headers.

    One of more than `MOST_BYTES` is a ReadError.
    """

    def bind(response: httpx.Response) -> None:
        inner = cast("httpx.SyncByteStream", response.stream)
        response.stream = _Bounded(inner, time.monotonic() + total_s)

    return {"response": [bind]}


class _Bounded(httpx.SyncByteStream):
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
