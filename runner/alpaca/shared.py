"""What the clients of one account share: one HTTP client, and the venue's clock."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from typing import Any

from runner._engine import AlpacaHttpClient
from runner.alpaca.config import Endpoints, Keys, endpoints, resolve_keys
from runner.alpaca.venue_clock import VenueClock


class SharedHttp:
    """One HTTP client, open while at least one of its users is connected."""

    def __init__(self, config: Any) -> None:
        self.keys: Keys = resolve_keys(config)
        self.urls: Endpoints = endpoints(config)
        self.venue_clock = VenueClock()
        self._config = config
        self._client: AlpacaHttpClient | None = None
        self._users = 0

    @property
    def client(self) -> AlpacaHttpClient:
        """The HTTP client, made at the first use."""
        if self._client is None:
            config = self._config
            self._client = AlpacaHttpClient(
                self.keys.key,
                self.keys.secret,
                trading_url=self.urls.trading,
                data_url=self.urls.data,
                timeout_s=config.http_timeout_s,
                connect_timeout_s=config.connect_timeout_s,
                trading_per_min=config.trading_per_min,
                data_per_min=config.data_per_min,
                read_retries=config.read_retries,
                retry_delay_s=config.retry_delay_s,
                serial=config.serial,
            )
        return self._client

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """One more user. Call on the loop."""
        self._users += 1
        if self._users == 1:
            self.client.attach(loop)

    def close(self) -> None:
        """One user less; the last one closes the client. Closing more often than opening changes nothing."""
        if self._users == 0:
            return
        self._users -= 1
        if self._users == 0 and self._client is not None:
            self._client.detach()
            self._client.close()
            self._client = None

    def __repr__(self) -> str:
        return f"SharedHttp({self.urls.trading})"


# By loop, so that nodes in one process do not share a client over two loops; weakly, so that it ends with its users.
_shared: weakref.WeakValueDictionary[tuple[int, str], SharedHttp] = weakref.WeakValueDictionary()


def shared_http(loop: asyncio.AbstractEventLoop, config: Any) -> SharedHttp:
    """The HTTP client of these keys and addresses on this loop. Raises MissingKeysError where there are no keys."""
    keys, urls = resolve_keys(config), endpoints(config)
    # A digest, so that no secret lives on in a key that something might print.
    parts = (keys.key, keys.secret, urls.trading, urls.data, str(config.serial))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    found = _shared.get((id(loop), digest))
    if found is None:
        found = _shared[(id(loop), digest)] = SharedHttp(config)
    return found
