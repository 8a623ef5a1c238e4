"""Corporate actions by REST, to the last page. Source: Alpaca's market-data OpenAPI specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from runner.alpaca.custom import AlpacaCorporateAction
from runner.alpaca.models import WireError
from runner.alpaca.paging import Query, pages

PATH = "/v1/corporate-actions"
PAGE = 1_000
#: Alpaca's name of a type in a request, by the key of its rows in the reply.
KINDS = {
    f"{kind}s": kind
    for kind in (
        "reverse_split",
        "forward_split",
        "unit_split",
        "cash_dividend",
        "stock_dividend",
        "spin_off",
        "cash_merger",
        "stock_merger",
        "stock_and_cash_merger",
        "redemption",
        "name_change",
        "worthless_removal",
        "rights_distribution",
        "partial_call",
        "reorganization",
    )
}


async def history(
    get: Callable[..., Any], symbols: str, types: str, start: date, end: date, limit: int = 0
) -> list[AlpacaCorporateAction]:
    """Actions whose process date is in a range (both ends included), by that date; the newest `limit` (0: all).

    `symbols` and `types` are lists with commas; empty: all. `get` is the HTTP client's. Raises ValueError for a type
    that Alpaca has not, HttpError, Unavailable or WireError.
    """
    unknown = set(filter(None, types.split(","))) - set(KINDS.values())
    if unknown:
        raise ValueError(f"Alpaca has no corporate actions of type {min(unknown)}; it has {', '.join(KINDS.values())}")
    rows: list[AlpacaCorporateAction] = []

    async def read(query: Query) -> tuple[list[AlpacaCorporateAction], str | None]:
        params = [
            ("start", start.isoformat()),
            ("end", end.isoformat()),
            ("sort", "desc" if limit else "asc"),
            ("limit", str(min(PAGE, limit - len(rows)) if limit else PAGE)),
            *([("symbols", symbols)] if symbols else []),
            *([("types", types)] if types else []),
            *query,
        ]
        found, following = _page(await get(PATH, params, data=True))
        return found, None if limit and len(rows) + len(found) >= limit else following

    async for found in pages(read, "the corporate actions' last page"):
        rows += found
    return sorted(rows, key=lambda row: row.ts_event)


def _page(body: bytes) -> tuple[list[AlpacaCorporateAction], str | None]:
    """A page's rows, and the token of the next. A type that is new to this version is kept under its own name."""
    try:
        document = json.loads(body, parse_float=Decimal)
        groups = document["corporate_actions"] or {}
        rows = [
            AlpacaCorporateAction.from_row(KINDS.get(key, key), row) for key, group in groups.items() for row in group
        ]
        return rows, document.get("next_page_token")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError(f"the corporate actions can't be read ({error!r}): {body[:200]!r}") from error
