"""Alpaca's pages, one after the other, to the last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from runner.alpaca.models import WireError

type Query = list[tuple[str, str]]


async def pages[T](read: Callable[[Query], Awaitable[tuple[T, str | None]]], what: str) -> AsyncIterator[T]:
    """What each page holds. `read` gets the query for a page and gives what it holds, with the token of the next.

    Without a token it was the last one. Raises what `read` raises, or WireError for a token that leads to itself, with
    `what` for the page that so never comes.
    """
    token: str | None = None
    while True:
        found, following = await read([] if token is None else [("page_token", token)])
        yield found
        if not following:
            return
        if following == token:
            raise WireError(f"{what} never comes: {token} leads to itself")
        token = following
