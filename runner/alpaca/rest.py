"""The trading endpoints as typed calls, with their paging."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from runner._engine import HttpError
from runner.alpaca.constants import ACTIVITIES_PAGE, NANOS, ORDERS_PAGE
from runner.alpaca.models import Account, Activity, CalendarDay, Clock, Order, Position, decode, timestamp_ns
from runner.alpaca.paging import Query, pages
from runner.alpaca.symbols import pair_symbol

if TYPE_CHECKING:
    from runner._engine import AlpacaHttpClient

NOT_FOUND = 404


def rfc3339(ts_ns: int) -> str:
    """UNIX nanoseconds as Alpaca writes times, exact."""
    seconds, nanos = divmod(max(ts_ns, 0), NANOS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


class TradingRest:
    """Reads of one account. Each raises HttpError (refused), Unavailable (no answer) or WireError (not readable)."""

    def __init__(self, http: Callable[[], AlpacaHttpClient]) -> None:
        self._http = http

    async def account(self) -> tuple[Account, bytes]:
        """The account, and the reply it was read from."""
        body = await self._http().get("/v2/account")
        return decode(Account, body, "the account"), body

    async def clock_ns(self) -> int:
        """The venue's time, UNIX nanoseconds."""
        return timestamp_ns((await self._clock()).timestamp)

    async def next_open_ns(self) -> int:
        """When the core session opens next, UNIX nanoseconds; a day from now where the venue does not say."""
        clock = await self._clock()
        if clock.next_open is None:
            return timestamp_ns(clock.timestamp) + 86_400 * NANOS
        return timestamp_ns(clock.next_open)

    async def after_night_ns(self) -> int:
        """When a night after today's close is over for certain, UNIX nanoseconds: at the next opening while the core
        session is open, and else a day after that.
        """
        clock = await self._clock()
        if clock.next_open is None:
            return timestamp_ns(clock.timestamp) + 2 * 86_400 * NANOS
        return timestamp_ns(clock.next_open) + (0 if clock.is_open else 86_400 * NANOS)

    async def _clock(self) -> Clock:
        return decode(Clock, await self._http().get("/v2/clock"), "the clock")

    async def calendar(self, first: date, last: date) -> list[CalendarDay]:
        """The trading days from `first` to `last`."""
        params = [("start", first.isoformat()), ("end", last.isoformat())]
        return decode(list[CalendarDay], await self._http().get("/v2/calendar", params), "the calendar")

    async def positions(self) -> list[Position]:
        """All open positions."""
        rows = decode(list[Position], await self._http().get("/v2/positions"), "the positions")
        return [msgspec.structs.replace(row, symbol=pair_symbol(row.symbol, row.asset_class)) for row in rows]

    async def order(self, order_id: str) -> Order | None:
        """One order by the venue's id; None where there is none."""
        return await self._one(f"/v2/orders/{quote(order_id, safe='')}", [("nested", "true")])

    async def order_by_client_id(self, client_order_id: str) -> Order | None:
        """One order by the client's id; None where there is none."""
        found = await self._one("/v2/orders:by_client_order_id", [("client_order_id", client_order_id)])
        if found is None or found.legs or found.order_class in ("", "simple"):
            return found
        return await self.order(found.id) or found  # That look-up does not nest.

    async def _one(self, path: str, params: list[tuple[str, str]]) -> Order | None:
        try:
            body = await self._http().get(path, params)
        except HttpError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return decode(Order, body, "an order")

    async def orders(self, status: str, *, after_ns: int | None = None) -> list[Order]:
        """Orders, nested ones unfolded, oldest first. `status` is open, closed or all; `after_ns` on submission."""
        found: dict[str, Order] = {}
        until: str | None = None
        while True:
            params = [("status", status), ("nested", "true"), ("limit", str(ORDERS_PAGE)), ("direction", "desc")]
            if after_ns is not None:
                params.append(("after", rfc3339(after_ns)))
            if until is not None:
                params.append(("until", until))
            page = decode(list[Order], await self._http().get("/v2/orders", params), "the orders")
            fresh = [order for order in page if order.id not in found]
            for order in fresh:
                found[order.id] = order
                found.update({leg.id: leg for leg in order.legs or ()})
            if len(page) < ORDERS_PAGE or not fresh:
                break
            # `until` excludes its own instant: a nanosecond later keeps orders that share the page's last one.
            until = rfc3339(min(order.submitted_ns for order in page) + 1)
        return sorted(found.values(), key=lambda order: order.submitted_ns)

    async def fills(self, *, after_ns: int | None = None, order_id: str | None = None) -> list[Activity]:
        """FILL activities to the last page, oldest first."""
        return await self.activities("FILL", after_ns=after_ns, order_id=order_id)

    async def activities(
        self, kind: str | None = None, *, after_ns: int | None = None, order_id: str | None = None
    ) -> list[Activity]:
        """Account activities of one type, or all that are no trades, to the last page, oldest first."""
        params = [("direction", "asc"), ("page_size", str(ACTIVITIES_PAGE))]
        params.append(("category", "non_trade_activity") if kind is None else ("activity_types", kind))
        if after_ns is not None:
            params.append(("after", rfc3339(after_ns)))
        if order_id is not None:
            params.append(("order_id", order_id))

        async def read(query: Query) -> tuple[list[Activity], str | None]:
            body = await self._http().get("/v2/account/activities", [*params, *query])
            page = decode(list[Activity], body, "the activities")
            return page, page[-1].id if len(page) >= ACTIVITIES_PAGE else None

        found = [row async for page in pages(read, "the activities' last page") for row in page]
        # The filter by order is young; a venue without it answers with all.
        return [
            row if row.symbol is None else msgspec.structs.replace(row, symbol=pair_symbol(row.symbol))
            for row in found
            if order_id is None or row.order_id == order_id
        ]

    async def last_fill_id(self) -> str | None:
        """Id of the newest FILL activity, None where there never was one."""
        params = [("activity_types", "FILL"), ("direction", "desc"), ("page_size", "1")]
        page = decode(list[Activity], await self._http().get("/v2/account/activities", params), "the activities")
        return page[0].id if page else None
