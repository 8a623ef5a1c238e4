"""A reply that drips, or never ends, is no reason to wait for ever."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from runner.http import MOST_BYTES, client


class Endless(httpx.SyncByteStream):
    def __init__(self, part: bytes, parts: int = 1_000_000) -> None:
        self.part, self.parts, self.closed = part, parts, False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.parts):
            yield self.part

    def close(self) -> None:
        self.closed = True


def ask(stream: Endless, total_s: float) -> httpx.Response:
    inner = httpx.MockTransport(lambda request: httpx.Response(200, stream=stream))
    with client(total_s, transport=inner) as ours:
        return ours.get("http://node/v1/status")


def test_a_reply_that_drips_is_a_time_out() -> None:
    stream = Endless(b" ")
    with pytest.raises(httpx.ReadTimeout):
        ask(stream, 0.0)
    assert stream.closed


def test_a_reply_without_end_is_given_up() -> None:
    stream = Endless(b"x" * 1_000_000)
    with pytest.raises(httpx.ReadError, match="has no end"):
        ask(stream, 60.0)
    assert stream.closed
    assert len(ask(Endless(b"x" * 1000, MOST_BYTES // 1000), 60.0).content) <= MOST_BYTES
