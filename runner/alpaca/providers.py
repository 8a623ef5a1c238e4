"""Loads stocks, crypto pairs and option contracts as Nautilus instruments, and makes spreads of contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId, generic_spread_id_to_list
from nautilus_trader.model.instruments import OptionContract

from runner._engine import AlpacaHttpClient, EngineError, HttpError
from runner.alpaca import symbols
from runner.alpaca.derived import contract, pair, spread
from runner.alpaca.instruments import equity
from runner.alpaca.models import Asset, LatestTrades, OptionContractPage, OptionContractRow, WireError, decode
from runner.alpaca.paging import Query, pages
from runner.config.markets import is_spread, market_of

#: Latest prices are asked for this many symbols at once: the address of a request must not grow without end.
PRICE_CHUNK = 200
#: Beyond so many assets the whole list is quicker.
ONE_BY_ONE = 30
#: Widest page of `/v2/options/contracts`.
CONTRACT_PAGE = 10_000
#: So many instruments are made before the loop may turn: thousands in one go would hold up quotes and orders.
MADE_AT_ONCE = 100
#: What the lists of assets and of contracts can be narrowed by. Source: Alpaca's trading OpenAPI specification.
ASSET_FILTERS = frozenset({"status", "exchange", "attributes"})
CONTRACT_FILTERS = frozenset({
    "underlying_symbols", "show_deliverables", "status", "expiration_date", "expiration_date_gte",
    "expiration_date_lte", "root_symbol", "type", "style", "strike_price_gte", "strike_price_lte", "ppind",
})  # fmt: skip
#: Params that Nautilus adds to a request: none of Alpaca's business.
_NAUTILUS_PARAMS = frozenset({"update_catalog", "force_instrument_update", "join_request", "only_last"})


class AlpacaInstrumentProvider(InstrumentProvider):
    """US stocks, crypto pairs, option contracts and spreads of them.

    `http` is asked for late, so that a client made anew after a disconnect is used.
    """

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
        """See `load_matching`."""
        await self.load_matching(filters)

    async def load_matching(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """Load every active stock and crypto pair, or with filters what they say. Returns the instruments.

        `asset_class` us_equity or crypto narrows it; us_option loads contracts, by the filters that Alpaca's endpoint
        takes (`underlying_symbols`, `expiration_date_gte`, `strike_price_lte`, `type`, …; without dates only those that
        expire by the next weekend). Prices of stocks are not asked for: their increment is 0.01.

        Raises HttpError, Unavailable or WireError; ValueError for a filter that Alpaca does not have.
        """
        given = {name: value for name, value in (filters or {}).items() if name not in _NAUTILUS_PARAMS}
        wanted = given.pop("asset_class", None)
        known = CONTRACT_FILTERS if wanted == "us_option" else ASSET_FILTERS
        if unknown := given.keys() - known:
            raise ValueError(
                f"can't narrow {wanted or 'assets'} by {', '.join(sorted(unknown))}; "
                f"there are asset_class, {', '.join(sorted(known))}"
            )
        params = {str(name): str(value) for name, value in given.items()}
        if wanted == "us_option":
            return await self._load_contracts(list(params.items()))
        found: list[Any] = []
        for asset_class in ("us_equity", "crypto") if wanted is None else (str(wanted),):
            query = {"status": "active", "asset_class": asset_class} | params
            body = await self._http().get("/v2/assets", list(query.items()))
            found += await self._make(decode(list[msgspec.Raw], body, "the list of assets"), _listed_asset)
        return found

    async def load_ids_async(self, instrument_ids: list[InstrumentId], filters: dict[str, Any] | None = None) -> None:
        """Load these instruments; a symbol that Alpaca does not know is logged and left out.

        Raises HttpError or Unavailable where the venue can't be asked, ValueError for another venue's id.
        """
        by_market: dict[str, list[str]] = {"stocks": [], "crypto": [], "options": []}
        for instrument_id in instrument_ids:
            symbol = symbols.symbol_of(instrument_id)
            if not is_spread(symbol):
                by_market[market_of(symbol)].append(symbol)
        spreads = [each for each in instrument_ids if is_spread(each.symbol.value)]
        for each in spreads:
            by_market["options"] += [symbols.symbol_of(leg) for leg, _ in generic_spread_id_to_list(each)]
        wanted = [*by_market["stocks"], *by_market["crypto"]]
        assets = [asset for asset in await asyncio.gather(*map(self._asset, wanted)) if asset is not None]
        stocks = [asset.symbol for asset in assets if asset.asset_class == "us_equity"]
        prices = await self._last_prices(stocks)
        await self._make(assets, lambda asset, now_ns: _instrument(asset, now_ns, prices.get(asset.symbol)))
        await asyncio.gather(*map(self._contract, dict.fromkeys(by_market["options"])))
        for each in spreads:
            self._add_spread(each)

    async def load_async(self, instrument_id: InstrumentId, filters: dict[str, Any] | None = None) -> None:
        """Load one instrument, again if it is there already."""
        await self.load_ids_async([instrument_id], filters)

    async def ensure(self, wanted: Iterable[str]) -> None:
        """Load what is missing of these symbols."""
        ids = [symbols.instrument_id(symbol) for symbol in wanted if symbols.valid_symbol(symbol)]
        missing = [instrument_id for instrument_id in ids if self.find(instrument_id) is None]
        if missing:
            await self.load_ids_async(missing)

    async def assets(self, wanted: Sequence[str]) -> dict[str, Asset]:
        """Stocks and pairs as Alpaca lists them now; one that it does not list is absent.

        A few are asked for one by one, many as the whole list. Raises HttpError, Unavailable or WireError.
        """
        if len(wanted) <= ONE_BY_ONE:
            found = await asyncio.gather(*map(self._asset, wanted))
            return {asset.symbol: asset for asset in found if asset is not None}
        listed: dict[str, Asset] = {}
        for asset_class in ("us_equity", "crypto"):
            query = [("status", "active"), ("asset_class", asset_class)]
            rows = decode(list[Asset], await self._http().get("/v2/assets", query), "the list of assets")
            listed |= {asset.symbol: asset for asset in rows}
        return {symbol: listed[symbol] for symbol in wanted if symbol in listed}

    async def _asset(self, symbol: str) -> Asset | None:
        try:
            body = await self._http().get(f"/v2/assets/{quote(symbol, safe='')}")
        except HttpError as error:
            if error.status != 404:
                raise
            self._log.error(f"Alpaca has no asset {symbol}: {error.message}")
            return None
        return decode(Asset, body, f"the asset {symbol}")

    async def _contract(self, symbol: str) -> None:
        try:
            body = await self._http().get(f"/v2/options/contracts/{quote(symbol, safe='')}")
        except HttpError as error:
            if error.status != 404:
                raise
            self._log.error(f"Alpaca has no option contract {symbol}: {error.message}")
            return
        await self._make([decode(OptionContractRow, body, f"the contract {symbol}")], _contract)

    async def _load_contracts(self, params: list[tuple[str, str]]) -> list[Any]:
        async def read(query: Query) -> tuple[list[Any], str | None]:
            body = await self._http().get("/v2/options/contracts", [*params, ("limit", str(CONTRACT_PAGE)), *query])
            page = decode(OptionContractPage, body, "a page of option contracts")
            return await self._make(page.option_contracts, _listed_contract), page.next_page_token

        return [each async for page in pages(read, "the last page of option contracts") for each in page]

    async def _make(self, rows: Sequence[Any], one: Callable[[Any, int], Any]) -> list[Any]:
        """Instruments of these rows, added; one that can't be made is told and left out. The loop turns meanwhile."""
        now_ns, made = self._clock.timestamp_ns(), []
        for number, row in enumerate(rows, 1):
            try:
                made.append(one(row, now_ns))
            except (ValueError, OverflowError) as error:
                self._log.warning(f"Skipped what can't be an instrument here: {row!r:.200}: {error}")
            if number % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        self.add_bulk(made)
        return made

    def _add_spread(self, instrument_id: InstrumentId) -> None:
        legs = []
        for leg_id, ratio in generic_spread_id_to_list(instrument_id):
            leg = self.find(leg_id)
            if not isinstance(leg, OptionContract):
                self._log.error(f"{instrument_id} can't be made: Alpaca has no option contract {leg_id}")
                return
            legs.append((leg, ratio))
        try:
            self.add(spread(instrument_id, legs, ts_ns=self._clock.timestamp_ns()))
        except ValueError as error:
            self._log.error(str(error))

    async def _last_prices(self, wanted: Sequence[str]) -> dict[str, Decimal]:
        prices: dict[str, Decimal] = {}
        for start in range(0, len(wanted), PRICE_CHUNK):
            chunk = ",".join(wanted[start : start + PRICE_CHUNK])
            try:
                body = await self._http().get("/v2/stocks/trades/latest", [("symbols", chunk)], data=True)
                rows = decode(LatestTrades, body, "the latest trades").trades or {}
                prices |= {symbol: row.p for symbol, row in rows.items() if row is not None}
            except (EngineError, WireError) as error:
                # Only stocks under a dollar need it; an increment of a cent is right for all others.
                self._log.warning(f"No latest prices, increments stay at 0.01: {error}")
        return prices


def _instrument(asset: Asset, now_ns: int, last_price: Decimal | None = None) -> Any:
    if asset.asset_class == "crypto":
        return pair(asset, ts_ns=now_ns)
    return equity(asset, last_price=last_price, ts_ns=now_ns)


def _contract(row: OptionContractRow, now_ns: int) -> Any:
    return contract(row, ts_ns=now_ns)


def _listed_asset(row: msgspec.Raw, now_ns: int) -> Any:
    return _instrument(decode(Asset, bytes(row), "an asset"), now_ns)


def _listed_contract(row: msgspec.Raw, now_ns: int) -> Any:
    return _contract(decode(OptionContractRow, bytes(row), "an option contract"), now_ns)
