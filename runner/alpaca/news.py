"""News: who wants which, the stream's messages, and history to the last page.

Sources: Alpaca's pages on real-time news and historical news (sorted by `updated_at`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from nautilus_trader.model.data import CustomData, DataType

from runner.alpaca.custom import AlpacaNews
from runner.alpaca.models import decode, timestamp_ns
from runner.alpaca.paging import Query, pages
from runner.alpaca.rest import rfc3339

PATH = "/v1beta1/news"
PAGE = 50
ALL = "*"
#: Articles that are remembered, so that one that comes again after a reconnect is told apart.
REMEMBERED = 1_000


class NewsImage(msgspec.Struct, frozen=True):
    """A picture of an article."""

    size: str = ""
    url: str = ""


class NewsRow(msgspec.Struct, frozen=True):
    """An article as the stream and REST send it; what it may lack is empty."""

    id: int
    created_at: str
    updated_at: str | None = None
    headline: str = ""
    summary: str = ""
    author: str = ""
    url: str | None = None
    content: str = ""
    symbols: list[str] = []
    source: str = ""
    images: list[NewsImage] | None = None

    @property
    def ts_event(self) -> int:
        """When this version of it appeared (UNIX ns). Raises WireError."""
        return timestamp_ns(self.updated_at or self.created_at)

    def data(self, ts_init: int) -> AlpacaNews:
        """As Nautilus custom data."""
        return AlpacaNews(
            ts_event=self.ts_event,
            ts_init=ts_init,
            id=self.id,
            headline=self.headline,
            summary=self.summary,
            author=self.author,
            created_at=self.created_at,
            updated_at=self.updated_at or self.created_at,
            url=self.url or "",
            content=self.content,
            symbols=self.symbols,
            source=self.source,
            images=[{"size": image.size, "url": image.url} for image in self.images or ()],
        )


class NewsPage(msgspec.Struct, frozen=True):
    """A page of history."""

    news: list[NewsRow] | None = None
    next_page_token: str | None = None


def wanted_symbols(data_type: DataType) -> frozenset[str]:
    """The symbols of a data type that `AlpacaNews.of` made; none: all news. Raises ValueError for another."""
    metadata = data_type.metadata
    if not metadata:
        return frozenset()
    text = str(metadata.get("symbols", ""))
    if set(metadata) != {"symbols"} or not (text.startswith("*|") and text.endswith("|*") and len(text) > len("*||*")):
        raise ValueError(f"{data_type} is no subscription to news: make it with AlpacaNews.of(symbols, …)")
    return frozenset(text[2:-2].split(","))


class Newsstand:
    """What is subscribed to, and the news that come for it."""

    def __init__(self) -> None:
        self._wanted: dict[frozenset[str], str] = {}
        self._recent: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)
        self._seen: set[tuple[int, str]] = set()
        #: The newest stamp that has come (UNIX ns).
        self.newest_ns = 0

    @property
    def symbols(self) -> set[str]:
        """What to ask the stream for."""
        return {symbol for symbols in self._wanted for symbol in symbols or (ALL,)}

    @property
    def symbols_by_name(self) -> set[str]:
        """What to ask history for; nothing stands for all."""
        return set() if ALL in self.symbols else self.symbols

    def add(self, data_type: DataType) -> set[str]:
        """One more subscription; returns the symbols that are new. Raises ValueError."""
        before, symbols = self.symbols, wanted_symbols(data_type)
        self._wanted[symbols] = ",".join(sorted(symbols))
        return self.symbols - before

    def remove(self, data_type: DataType) -> set[str]:
        """One less; returns the symbols that nobody wants any more. Raises ValueError."""
        before = self.symbols
        self._wanted.pop(wanted_symbols(data_type), None)
        return before - self.symbols

    def take(self, row: NewsRow, ts_init: int) -> CustomData | None:
        """An article that has come, under the topic of those who want it. None: nobody does, or it has come before."""
        version = (row.id, row.updated_at or row.created_at)
        keys = [key for symbols, key in self._wanted.items() if symbols and not symbols.isdisjoint(row.symbols)]
        if version in self._seen or not (keys or frozenset() in self._wanted):
            return None
        if len(self._recent) == REMEMBERED:
            self._seen.discard(self._recent[0])
        self._recent.append(version)
        self._seen.add(version)
        self.newest_ns = max(self.newest_ns, row.ts_event)
        # One topic for all of them, so that who wants all news gets it once too.
        metadata = {"symbols": "".join(f"|{key}|" for key in sorted(keys))} if keys else None
        return CustomData(DataType(AlpacaNews, metadata=metadata), row.data(ts_init))


async def history(
    get: Callable[..., Any], symbols: set[str] | frozenset[str], start_ns: int, end_ns: int, limit: int = 0
) -> list[NewsRow]:
    """Articles of a window (UNIX ns, both ends included), oldest first; the newest `limit` of them (0: all).

    `get` is the HTTP client's. Raises HttpError, Unavailable or WireError.
    """
    rows: list[NewsRow] = []

    async def read(query: Query) -> tuple[list[NewsRow], str | None]:
        params = [
            ("start", rfc3339(start_ns)),
            ("end", rfc3339(end_ns)),
            ("sort", "desc" if limit else "asc"),
            ("limit", str(min(PAGE, limit - len(rows)) if limit else PAGE)),
            ("include_content", "true"),
            *([("symbols", ",".join(sorted(symbols)))] if symbols else []),
            *query,
        ]
        page = decode(NewsPage, await get(PATH, params, data=True), "the news")
        found = page.news or []
        return found, None if limit and len(rows) + len(found) >= limit else page.next_page_token

    async for found in pages(read, "the news' last page"):
        rows += found
    return rows[:limit][::-1] if limit else rows
