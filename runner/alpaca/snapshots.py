"""Option snapshots: implied volatility and greeks as Alpaca computes them by Black-Scholes.

Source: Alpaca's market-data OpenAPI specification, `/v1beta1/options/snapshots` and `…/{underlying_symbol}`. Units are
Alpaca's own: delta and gamma per dollar of the underlying, vega and rho per percentage point, theta per calendar day,
volatility as a part of one a year.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import msgspec
from nautilus_trader.model.data import OptionGreeks
from nautilus_trader.model.identifiers import InstrumentId

from runner._engine import AlpacaHttpClient
from runner.alpaca.models import StockSnapshot, decode, timestamp_ns
from runner.alpaca.paging import Query, pages

#: Most symbols of one request, and the widest page.
MOST_SYMBOLS: Final = 100
PAGE: Final = 1_000
#: What a chain can be narrowed by.
CHAIN_FILTERS: Final = (
    "type",
    "strike_price_gte",
    "strike_price_lte",
    "expiration_date",
    "expiration_date_gte",
    "expiration_date_lte",
    "root_symbol",
    "updated_since",
)


class Greeks(msgspec.Struct, frozen=True, kw_only=True):
    """Sensitivities of the price of one share's worth of a contract."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


class Stamped(msgspec.Struct, frozen=True, kw_only=True):
    """When a quote or a trade was."""

    t: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of one contract. Greeks and volatility are absent where nothing trades, and on the last day."""

    latest_quote: Stamped | None = None
    latest_trade: Stamped | None = None
    implied_volatility: float | None = None
    greeks: Greeks | None = None

    @property
    def ts_ns(self) -> int:
        """UNIX nanoseconds of the newest thing in it, 0 where there is none."""
        return max(timestamp_ns(each.t) if each else 0 for each in (self.latest_quote, self.latest_trade))


class SnapshotPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of either path."""

    snapshots: dict[str, Snapshot] | None = None
    next_page_token: str | None = None


class SnapshotRest:
    """Reads of snapshots. Each raises HttpError (refused), Unavailable (no answer) or WireError (not readable)."""

    def __init__(self, http: Callable[[], AlpacaHttpClient], feed: str) -> None:
        self._http = http
        self._feed = feed

    async def of(self, symbols: Iterable[str]) -> dict[str, Snapshot]:
        """Snapshots of these contracts, in as many requests as it takes; what has shown nothing is left out."""
        wanted = sorted(set(symbols))
        found: dict[str, Snapshot] = {}
        for start in range(0, len(wanted), MOST_SYMBOLS):
            some = ",".join(wanted[start : start + MOST_SYMBOLS])
            found |= await self._pages("/v1beta1/options/snapshots", [("symbols", some)])
        return found

    async def chain(self, underlying: str, filters: Mapping[str, str]) -> dict[str, Snapshot]:
        """Snapshots of an underlying's contracts; see CHAIN_FILTERS."""
        return await self._pages(f"/v1beta1/options/snapshots/{quote(underlying, safe='')}", list(filters.items()))

    async def prices(self, stocks: Iterable[str]) -> dict[str, Decimal]:
        """What these underlyings are worth, USD a share; what has no price is left out."""
        query = [("symbols", ",".join(sorted(stocks)))]
        body = await self._http().get("/v2/stocks/snapshots", query, data=True)
        rows = decode(dict[str, StockSnapshot | None], body, "snapshots of the underlyings")
        priced = {symbol: row.price for symbol, row in rows.items() if row is not None}
        return {symbol: price for symbol, price in priced.items() if price is not None}

    async def _pages(self, path: str, params: list[tuple[str, str]]) -> dict[str, Snapshot]:
        async def read(query: Query) -> tuple[dict[str, Snapshot], str | None]:
            asked = [*params, ("feed", self._feed), ("limit", str(PAGE)), *query]
            page = decode(SnapshotPage, await self._http().get(path, asked, data=True), "a page of option snapshots")
            return page.snapshots or {}, page.next_page_token

        found: dict[str, Snapshot] = {}
        async for some in pages(read, "the last page of option snapshots"):
            found |= some
        return found


def option_greeks(
    instrument_id: InstrumentId,
    snapshot: Snapshot,
    *,
    underlying_price: Decimal | None,
    open_interest: Any = None,
    ts_event: int,
    ts_init: int,
) -> OptionGreeks | None:
    """A snapshot as Nautilus has it; None for one without greeks. Alpaca gives one volatility, at the middle."""
    if snapshot.greeks is None:
        return None
    return OptionGreeks(
        instrument_id,
        snapshot.greeks.delta,
        snapshot.greeks.gamma,
        snapshot.greeks.vega,
        snapshot.greeks.theta,
        snapshot.greeks.rho,
        snapshot.implied_volatility,
        None,
        None,
        None if underlying_price is None else float(underlying_price),
        None if open_interest is None else float(open_interest),
        ts_event,
        ts_init,
    )
