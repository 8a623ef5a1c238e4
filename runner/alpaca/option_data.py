"""Greeks and chains of options: what Nautilus asks of a data client for them.

A chain is Nautilus's own: its data engine asks for the underlying's price, subscribes to quotes and greeks of the
contracts around it, and makes slices of what comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.data import CustomData, OptionGreeks
from nautilus_trader.model.instruments import OptionContract

from runner._engine import EngineError
from runner.alpaca.constants import NANOS
from runner.alpaca.models import WireError
from runner.alpaca.snapshots import CHAIN_FILTERS, Snapshot, SnapshotRest, option_greeks
from runner.alpaca.symbols import instrument_id, symbol_of

if TYPE_CHECKING:
    from runner.alpaca.greeks import GreeksPoller

#: How far ahead contracts are looked for where a chain is subscribed to before any of them was loaded.
CHAIN_DAYS: Final = 3 * 366


class OptionDataMixin:
    """The coroutines of AlpacaDataClient for greeks and chains. The base class logs one that fails."""

    config: Any
    provider: Any
    venue_clock: Any
    http: Any
    greeks: GreeksPoller
    _cache: Any
    _clock: Any
    _log: Any
    _sink: Any

    async def _subscribe_option_greeks(self, command: Any) -> None:
        await self._for(command.instrument_id).poll_greeks(command.instrument_id)  # type: ignore[attr-defined]

    async def _unsubscribe_option_greeks(self, command: Any) -> None:
        self._for(command.instrument_id).greeks.remove(command.instrument_id)  # type: ignore[attr-defined]

    async def poll_greeks(self, instrument_id: Any) -> None:
        """Poll the greeks of a contract. Raises ValueError for what is none."""
        if self.config.feed.market != "options":
            raise ValueError(f"only option contracts have greeks, not {instrument_id}")
        await self._loaded(instrument_id)  # type: ignore[attr-defined]
        self.greeks.add(instrument_id)

    def deliver(self, data: Any) -> None:
        """Hand something to the data engine, the way that ticks go."""
        self._sink(data)

    async def greeks_of(self, symbols: list[str]) -> list[OptionGreeks]:
        """Greeks of these contracts as Alpaca has them now; those without any are left out.

        Raises HttpError, Unavailable or WireError.
        """
        return await self._as_greeks(await self._snapshots.of(symbols))

    @property
    def _snapshots(self) -> SnapshotRest:
        return SnapshotRest(lambda: self.http, self.config.feed.value)

    async def _as_greeks(self, rows: dict[str, Snapshot], underlying: str | None = None) -> list[OptionGreeks]:
        contracts = {symbol: self.provider.find(instrument_id(symbol)) for symbol in rows}
        names = {symbol: underlying or getattr(found, "underlying", None) for symbol, found in contracts.items()}
        prices = await self._underlying_prices({name for name in names.values() if name})
        now_ns, ts_init = self.venue_clock.now_ns(), self._clock.timestamp_ns()
        found = []
        for symbol, row in sorted(rows.items()):
            greeks = option_greeks(
                instrument_id(symbol),
                row,
                underlying_price=prices.get(names[symbol] or ""),
                open_interest=(getattr(contracts[symbol], "info", None) or {}).get("open_interest"),
                ts_event=row.ts_ns or now_ns,
                ts_init=ts_init,
            )
            if greeks is not None:
                found.append(greeks)
        return found

    async def _underlying_prices(self, names: set[str]) -> dict[str, Decimal]:
        """Prices of the underlyings; none where they can't be had, as greeks are of use without them."""
        if not names:
            return {}
        try:
            return await self._snapshots.prices(names)
        except (EngineError, WireError) as error:
            self._log.warning(f"Greeks come without the price of {', '.join(sorted(names))}: {error}")
            return {}

    # -- chains ---------------------------------------------------------------------------------------

    async def _request_forward_prices(self, request: Any) -> None:
        """The underlying's price, with which Nautilus finds a chain's strikes. It waits for an answer: one comes."""
        found: list[Any] = []
        try:
            client = self._options()
            found = await client.forward_price(request.underlying, request.sample_instrument_id)
        except (EngineError, WireError, TimeoutError, ValueError) as error:
            self._log.error(
                f"The price of {request.underlying} can't be had, its option chain starts without it: {error}"
            )
        self._handle_forward_prices(found, request.id, request.params or {})  # type: ignore[attr-defined]

    async def forward_price(self, underlying: str, sample: Any) -> list[Any]:
        """The underlying's price, under the name of the sample, or of all contracts where none is loaded yet."""
        async with asyncio.timeout(self.config.request_timeout_s):
            ids = [sample] if sample is not None else await self._load_chain(underlying)
            price = (await self._snapshots.prices([underlying])).get(underlying)
        if price is None:
            raise ValueError("Alpaca has neither a trade nor a quote of it")
        now_ns, ts_init = self.venue_clock.now_ns(), self._clock.timestamp_ns()
        return [
            nautilus_pyo3.ForwardPrice(  # type: ignore[attr-defined]  # its stubs lack it
                nautilus_pyo3.InstrumentId.from_str(str(each)), f"{price:f}", underlying, now_ns, ts_init
            )
            for each in ids
        ]

    async def _load_chain(self, underlying: str) -> list[Any]:
        today = datetime.fromtimestamp(self.venue_clock.now_ns() // NANOS, UTC).date()
        filters = {
            "asset_class": "us_option",
            "underlying_symbols": underlying,
            "expiration_date_gte": today.isoformat(),
            "expiration_date_lte": (today + timedelta(days=CHAIN_DAYS)).isoformat(),
        }
        found = await self.provider.load_matching(filters)
        for each in found:
            # Straight into the cache: through the engine's queue they would come after the chain that needs them.
            self._cache.add_instrument(each)
            self._map(each)  # type: ignore[attr-defined]
        return [each.id for each in found if isinstance(each, OptionContract)]

    # -- requests -------------------------------------------------------------------------------------

    async def _request(self, request: Any) -> None:
        """Greeks of one contract (`instrument_id`), or of a chain (the data type's metadata: see `_chain_of`)."""
        if request.data_type.type is not OptionGreeks:
            raise NotImplementedError(f"Alpaca has no {request.data_type.type.__name__} to ask for")
        client = self._options()
        if request.instrument_id is not None:
            symbol = symbol_of(request.instrument_id)
            found = await client.greeks_of([symbol])
            if not found:
                self._log.warning(f"Alpaca has no greeks of {symbol} now")
        else:
            found = await client.chain_greeks(_chain_of(request.data_type.metadata))
        rows = [CustomData(request.data_type, each) for each in found[: request.limit or None]]
        self._handle_data_response(  # type: ignore[attr-defined]
            request.data_type, rows, request.id, request.start, request.end, request.params
        )

    async def chain_greeks(self, filters: dict[str, str]) -> list[OptionGreeks]:
        """Greeks of a chain: its `underlying`, and what narrows it. Raises HttpError, Unavailable or WireError."""
        underlying = filters.pop("underlying")
        async with asyncio.timeout(self.config.request_timeout_s):
            return await self._as_greeks(await self._snapshots.chain(underlying, filters), underlying)

    def _options(self) -> Any:
        return self._of_market("options", "option data")  # type: ignore[attr-defined]


def _chain_of(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """What a request's metadata says of a chain, as text. Raises ValueError for what Alpaca can't narrow it by."""
    given = {name: _text(value) for name, value in (metadata or {}).items()}
    unknown = given.keys() - {"underlying", *CHAIN_FILTERS}
    if unknown or not given.get("underlying"):
        raise ValueError(
            f"a request for a chain's greeks names its underlying, and may narrow it by {', '.join(CHAIN_FILTERS)}; "
            f"this one has {', '.join(sorted(given)) or 'nothing'}"
        )
    return given


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
