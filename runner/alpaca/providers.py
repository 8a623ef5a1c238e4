"""Loads stocks from `/v2/assets` as Nautilus instruments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId

from runner._engine import AlpacaHttpClient, EngineError, HttpError
from runner.alpaca import symbols
from runner.alpaca.instruments import equity
from runner.alpaca.models import Asset, WireError, decode

#: Latest prices are asked for this many symbols at once: the address of a request must not grow without end.
PRICE_CHUNK = 200


class AlpacaInstrumentProvider(InstrumentProvider):
    """US equities. `http` is asked for late, so that a client made anew after a disconnect is used."""

    def __init__(
        self,
        http: Callable[[], AlpacaHttpClient],
        clock: Any,
        config: InstrumentProviderConfig | None = None,
    ) -> None:
        super().__init__(config=config)
        self._http = http
        self._clock = clock

    async def load_all_async(self, filters: dict[str, Any] | None = None) -> None:
        """Load every active stock. Raises HttpError or Unavailable. Their prices are not asked for: increment 0.01."""
        params = [("status", "active"), ("asset_class", "us_equity")]
        params += [(str(name), str(value)) for name, value in (filters or {}).items()]
        rows = decode(list[Asset], await self._http().get("/v2/assets", params), "the list of assets")
        self._add(rows, {})

    async def load_ids_async(self, instrument_ids: list[InstrumentId], filters: dict[str, Any] | None = None) -> None:
        """Load these instruments; a symbol that Alpaca does not know is logged and left out.

        Raises HttpError or Unavailable where the venue can't be asked, ValueError for another venue's id.
        """
        wanted = [symbols.symbol_of(instrument_id) for instrument_id in instrument_ids]
        assets = [asset for asset in await asyncio.gather(*map(self._asset, wanted)) if asset is not None]
        self._add(assets, await self._last_prices([asset.symbol for asset in assets]))

    async def load_async(self, instrument_id: InstrumentId, filters: dict[str, Any] | None = None) -> None:
        """Load one instrument, again if it is there already."""
        await self.load_ids_async([instrument_id], filters)

    async def ensure(self, wanted: Iterable[str]) -> None:
        """Load what is missing of these symbols."""
        ids = [symbols.instrument_id(symbol) for symbol in wanted if symbols.valid_symbol(symbol)]
        missing = [instrument_id for instrument_id in ids if self.find(instrument_id) is None]
        if missing:
            await self.load_ids_async(missing)

    async def _asset(self, symbol: str) -> Asset | None:
        try:
            body = await self._http().get(f"/v2/assets/{quote(symbol, safe='')}")
        except HttpError as error:
            if error.status != 404:
                raise
            self._log.error(f"Alpaca has no asset {symbol}: {error.message}")
            return None
        return decode(Asset, body, f"the asset {symbol}")

    async def _last_prices(self, wanted: Sequence[str]) -> dict[str, Decimal]:
        prices: dict[str, Decimal] = {}
        for start in range(0, len(wanted), PRICE_CHUNK):
            chunk = ",".join(wanted[start : start + PRICE_CHUNK])
            try:
                body = await self._http().get("/v2/stocks/trades/latest", [("symbols", chunk)], data=True)
                rows = decode(dict[str, Any], body, "the latest trades").get("trades") or {}
                prices |= {symbol: Decimal(str(row["p"])) for symbol, row in rows.items() if row and "p" in row}
            except (EngineError, WireError, ArithmeticError, TypeError) as error:
                # Only stocks under a dollar need it; an increment of a cent is right for all others.
                self._log.warning(f"No latest prices, increments stay at 0.01: {error}")
        return prices

    def _add(self, assets: Iterable[Asset], prices: dict[str, Decimal]) -> None:
        now_ns = self._clock.timestamp_ns()
        for asset in assets:
            if symbols.valid_symbol(asset.symbol):
                self.add(equity(asset, last_price=prices.get(asset.symbol), ts_ns=now_ns))
            else:
                self._log.warning(f"Skipped an asset whose symbol can't be named here: {asset.symbol!r}")
