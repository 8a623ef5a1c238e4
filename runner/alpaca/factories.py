"""What a `TradingNode` calls to make the clients. Clients of the same keys and addresses share one HTTP client."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory

from runner.alpaca.config import AlpacaDataClientConfig, AlpacaExecClientConfig
from runner.alpaca.constants import ALPACA
from runner.alpaca.data import AlpacaDataClient
from runner.alpaca.execution import AlpacaExecutionClient
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.alpaca.shared import SharedHttp, shared_http


def _provider(shared: SharedHttp, clock: Any, config: Any) -> AlpacaInstrumentProvider:
    return AlpacaInstrumentProvider(lambda: shared.client, clock, config.instrument_provider)


class AlpacaLiveDataClientFactory(LiveDataClientFactory):
    """Makes data clients. Raises MissingKeysError where there are no keys."""

    @staticmethod
    def create(
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        config: AlpacaDataClientConfig,
        msgbus: Any,
        cache: Any,
        clock: Any,
    ) -> AlpacaDataClient:
        """One data client, named `name` (default ALPACA)."""
        shared = shared_http(loop, config)
        return AlpacaDataClient(
            loop=loop,
            name=name or ALPACA,
            config=config,
            shared=shared,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            provider=_provider(shared, clock, config),
        )


class AlpacaLiveExecClientFactory(LiveExecClientFactory):
    """Makes execution clients. Raises MissingKeysError where there are no keys."""

    @staticmethod
    def create(
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        config: AlpacaExecClientConfig,
        msgbus: Any,
        cache: Any,
        clock: Any,
    ) -> AlpacaExecutionClient:
        """One execution client, named `name` (default ALPACA)."""
        shared = shared_http(loop, config)
        return AlpacaExecutionClient(
            loop=loop,
            name=name or ALPACA,
            config=config,
            shared=shared,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            provider=_provider(shared, clock, config),
        )
