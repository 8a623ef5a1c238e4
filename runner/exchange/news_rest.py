"""`GET /v1beta1/news`: the articles so far.

Source: Alpaca's market-data OpenAPI spec. The newest comes first unless asked otherwise; the text itself is left out
unless asked for.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.exchange.broker.quota import Quota
from runner.exchange.history import History
from runner.exchange.market import Market
from runner.exchange.paging import (
    bad_request,
    descending,
    limit_of,
    list_json,
    reply,
    text_json,
    time_of,
    token_of,
    untoken,
)
from runner.exchange.venue_rest import with_quota
from runner.exchange.wire import dumps, fields_of


class NewsRest:
    """The path."""

    def __init__(self, market: Market, history: History, quota: Quota) -> None:
        self._market = market
        self._history = history
        self._quota = quota

    def routes(self) -> list[Route]:
        """Routes for the app."""
        return [Route("/v1beta1/news", with_quota(self._quota, self._page, coded=False), methods=["GET"])]

    async def _page(self, request: Request) -> Response:
        params = request.query_params
        symbols = {name.strip() for name in params.get("symbols", "").split(",") if name.strip()}
        first = time_of(params.get("start"), "start") or 0
        last = time_of(params.get("end"), "end")
        limit = limit_of(params, 10, 50)
        with_content = _flag(request, "include_content")
        only_with_content = _flag(request, "exclude_contentless")
        newest_first = descending(params, "desc")
        rows = [
            (number, article)
            for number, (ts_ns, raw) in enumerate(self._history.news)
            if first <= ts_ns <= (self._market.now_ns if last is None else last)
            and _fits(article := fields_of(raw), symbols)
            and (article.get("content") or not only_with_content)
        ]
        if newest_first:
            rows.reverse()
        if token := params.get("page_token"):
            after = untoken(token)[1]
            rows = [row for row in rows if (row[0] < after if newest_first else row[0] > after)]
        shown = [_shown(article, with_content=with_content) for _, article in rows[:limit]]
        following = token_of("", rows[limit - 1][0]) if len(rows) > limit else None
        return reply({"news": list_json(shown), "next_page_token": text_json(following)})


def _fits(article: dict[str, Any], symbols: set[str]) -> bool:
    return not symbols or not symbols.isdisjoint(article["symbols"])


def _shown(article: dict[str, Any], *, with_content: bool) -> bytes:
    body = {"images": [], **article}
    body.pop("T", None)
    if not with_content:
        body["content"] = ""
    return dumps(body).encode()


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "").lower()
    if value not in ("", "true", "false"):
        raise bad_request(f"invalid {name}: {value} is neither true nor false")
    return value == "true"
