"""History without a node: the requests of the data client, on an HTTP client alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from nautilus_trader.common.component import LiveClock

from runner.alpaca.builders import nautilus_builders
from runner.alpaca.config import AlpacaDataClientConfig
from runner.alpaca.history import HistoryMixin
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.alpaca.rest import TradingRest
from runner.alpaca.shared import shared_http


class Archive(HistoryMixin):
    """Instruments, bars, quotes and trades of one market. Use it as an async context manager.

    Raises MissingKeysError where there are no keys; requests raise HttpError, Unavailable or TimeoutError.
    """

    def __init__(self, config: AlpacaDataClientConfig) -> None:
        self._shared = shared_http(asyncio.get_running_loop(), config)
        self._log = logging.getLogger("runner.alpaca")
        self.config = config
        self.builders = nautilus_builders()
        self.venue_clock = self._shared.venue_clock
        self.provider = AlpacaInstrumentProvider(lambda: self._shared.client, LiveClock())

    @property
    def http(self) -> Any:
        return self._shared.client

    async def __aenter__(self) -> Archive:
        self._shared.open(asyncio.get_running_loop())
        try:
            await self.venue_clock.ask(TradingRest(lambda: self.http).clock_ns)
        except BaseException:
            self._shared.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shared.close()

    async def instrument(self, instrument_id: Any) -> Any:
        """Its definition. Raises ValueError where Alpaca has no such instrument."""
        return await self._loaded(instrument_id)

    async def history_quotes(self, instrument_id: Any, start_ns: int, end_ns: int) -> list[Any]:
        """Quotes of a window of venue time (UNIX ns, both ends included). Options have none: ValueError."""
        return await self._tick_rows("quotes", instrument_id, start_ns, end_ns)

    def known(self, instrument_id: Any) -> Any:
        """An instrument that is loaded already; None where it is not."""
        return self.provider.find(instrument_id)

    def _for(self, _instrument_id: Any) -> Archive:
        return self
