"""Corporate actions as Alpaca sends them: every kind, page after page, and what can't be read."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from runner.alpaca.corporate_actions import KINDS, history
from runner.alpaca.custom import AlpacaCorporateAction
from runner.alpaca.models import WireError

FROM, TO = date(2026, 1, 1), date(2026, 12, 31)
#: 05:00 UTC is midnight in New York's winter.
JANUARY_12 = 1_768_194_000_000_000_000


class Pages:
    """Answers as the HTTP client does, with one page after the other; keeps the queries."""

    def __init__(self, *pages: Any) -> None:
        self._pages = list(pages)
        self.queries: list[dict[str, str]] = []

    async def __call__(self, _path: str, params: list[tuple[str, str]], *, data: bool) -> bytes:
        assert data
        self.queries.append(dict(params))
        page = self._pages.pop(0)
        return page if isinstance(page, bytes) else json.dumps(page).encode()


def page(token: str | None = None, **groups: Any) -> dict[str, Any]:
    return {"corporate_actions": groups, "next_page_token": token}


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"a{number}", "symbol": "IBM", "process_date": "2026-01-12", **more}


async def test_pages_are_read_to_the_last_and_come_by_date() -> None:
    later = row(1, process_date="2026-03-02")
    pages = Pages(page("t1", cash_dividends=[later]), page("t2"), page(forward_splits=[row(2)]))
    found = await history(pages, "IBM,BAC", "", FROM, TO)
    assert [action.id for action in found] == ["a2", "a1"]
    assert [query.get("page_token") for query in pages.queries] == [None, "t1", "t2"]
    assert pages.queries[0] == {
        "start": "2026-01-01", "end": "2026-12-31", "sort": "asc", "limit": "1000", "symbols": "IBM,BAC",
    }  # fmt: skip


async def test_a_limit_takes_the_newest() -> None:
    pages = Pages(page("t1", cash_dividends=[row(3), row(2)]), page(cash_dividends=[row(1)]))
    assert len(await history(pages, "", "cash_dividend", FROM, TO, limit=3)) == 3
    assert [(query["sort"], query["limit"]) for query in pages.queries] == [("desc", "3"), ("desc", "1")]


@pytest.mark.parametrize(
    ("key", "members", "symbol"),
    [
        ("cash_dividends", {"symbol": "IBM", "rate": 1.125, "ex_date": "2026-01-09"}, "IBM"),
        ("reverse_splits", {"symbol": "IBM", "new_rate": 1, "old_rate": 5, "ex_date": "2026-01-12"}, "IBM"),
        ("name_changes", {"old_symbol": "FB", "new_symbol": "META"}, "FB"),
        ("stock_mergers", {"acquirer_symbol": "A", "acquiree_symbol": "B", "acquirer_rate": 0.5}, "B"),
        ("spin_offs", {"source_symbol": "GE", "new_symbol": "GEHC", "new_rate": 1, "source_rate": 3}, "GE"),
        ("rights_distributions", {"source_symbol": "X", "new_symbol": "X.RT", "rate": 1}, "X"),
        ("gifts", {"symbol": "IBM"}, "IBM"),
    ],
)
async def test_each_kind_keeps_its_members(key: str, members: dict[str, Any], symbol: str) -> None:
    sent = {"id": "x", "process_date": "2026-01-12", **members}
    (found,) = await history(Pages(page(**{key: [sent]})), "", "", FROM, TO)
    assert (found.kind, found.symbol, found.ts_event) == (KINDS.get(key, key), symbol, JANUARY_12)
    assert {name: str(value) for name, value in found.details.items()} == {k: str(v) for k, v in sent.items()}
    again = AlpacaCorporateAction.from_bytes(found.to_bytes())
    (stored,) = AlpacaCorporateAction.from_arrow(found.to_arrow())
    for other in (again, stored):
        assert (other.details, other.ts_event, other.kind) == (found.details, found.ts_event, found.kind)


async def test_numbers_are_exact() -> None:
    text = json.dumps(page(cash_dividends=[row(1, rate="RATE", ex_date="2026-01-09")]))
    dividend = text.replace('"RATE"', "0.1000000001").encode()
    (found,) = await history(Pages(dividend), "", "", FROM, TO)
    assert (found.rate, found.ex_date, found.ratio) == (Decimal("0.1000000001"), date(2026, 1, 9), None)
    split = row(1, new_rate=3, old_rate=2)
    (found,) = await history(Pages(page(forward_splits=[split])), "", "", FROM, TO)
    assert (found.ratio, found.rate, found.ex_date) == (Decimal("1.5"), None, None)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"no", b'{"next_page_token":null}', page(cash_dividends=[{"id": "x"}]), page(cash_dividends=[3]),
     page(cash_dividends=[row(1, process_date="soon")])],
)  # fmt: skip
async def test_what_cannot_be_read_is_said(body: Any) -> None:
    with pytest.raises(WireError, match="corporate actions can't be read"):
        await history(Pages(body), "", "", FROM, TO)


async def test_a_page_that_leads_to_itself_ends_it() -> None:
    with pytest.raises(WireError, match="leads to itself"):
        await history(Pages(page("t"), page("t")), "", "", FROM, TO)


def test_of_takes_symbols_and_ids_and_nothing_that_is_none() -> None:
    assert AlpacaCorporateAction.of("BAC", "IBM.ALPACA", kinds=("spin_off",)).metadata == {
        "symbols": "BAC,IBM",
        "types": "spin_off",
    }
    assert AlpacaCorporateAction.of().metadata == {}
    for wrong in ("", "A,B", "*", "A B"):
        with pytest.raises(ValueError, match="is no symbol"):
            AlpacaCorporateAction.of(wrong)
