"""Strategies' saved state in Redis, so that another machine can take a node over. Nothing about orders is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: The longest that a start or a stop waits for one answer.
TIMEOUT_S = 2.0
OLDEST = (6, 2)


class SharedStates:
    """One hash a strategy, `runner:OWNER:strategy:NAME`, with fields `ts_ns` and `state` (MessagePack).

    Every call blocks for at most a few seconds and raises OSError, without the password, where Redis doesn't answer.
    """

    def __init__(
        self, owner: str, *, host: str, port: int, username: str | None, password: str | None, tls: bool
    ) -> None:
        self._owner = owner
        self._place = f"{host}:{port}"
        self._redis: Any = redis.Redis(
            host=host,
            port=port,
            username=username,
            password=password,
            ssl=tls,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # by default it tries for many seconds, and somebody waits
        )

    def check(self) -> None:
        """Whether it is there, lets us in, and is new enough for streams."""
        try:
            version = str(self._redis.info("server")["redis_version"])
        except redis.RedisError as error:
            raise self._trouble(error) from None
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            raise OSError(f"Redis at {self._place} is version {version}; 6.2 or newer is needed")

    def save(self, strategy: str, ts_ns: int, state: Mapping[str, bytes]) -> None:
        """Replace what is kept of a strategy."""
        try:
            row = {"ts_ns": ts_ns, "state": msgspec.msgpack.encode(dict(state))}
            self._redis.hset(self._key(strategy), mapping=row)
        except redis.RedisError as error:
            raise self._trouble(error) from None

    def load(self, strategy: str) -> tuple[int, dict[str, bytes]] | None:
        """When it was saved (UNIX ns), and what; None where nothing was."""
        try:
            ts_ns, packed = self._redis.hmget(self._key(strategy), "ts_ns", "state")
        except redis.RedisError as error:
            raise self._trouble(error) from None
        if ts_ns is None or packed is None:
            return None
        try:
            return int(ts_ns), msgspec.msgpack.decode(packed, type=dict[str, bytes])
        except (ValueError, msgspec.DecodeError) as error:
            raise OSError(f"Redis at {self._place}: {self._key(strategy)} is no state of a strategy: {error}") from None

    def _key(self, strategy: str) -> str:
        return f"runner:{self._owner}:strategy:{strategy}"

    def _trouble(self, error: Exception) -> OSError:
        return OSError(f"Redis at {self._place} can't be used: {error}")
