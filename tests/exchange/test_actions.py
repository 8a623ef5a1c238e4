"""Corporate actions, what they do to bars, and auctions."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.exchange.actions import ActionsError, CorporateActions
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
END = 1 << 62
SPLIT = {"symbol": "IBM", "new_rate": 2, "old_rate": 1, "ex_date": "2013-10-08", "process_date": "2013-10-08"}
DIVIDEND = {"symbol": "IBM", "rate": 0.5, "special": False, "foreign": False, "ex_date": "2013-10-09"}
ACTIONS = {
    "forward_splits": [SPLIT],
    "cash_dividends": [{**DIVIDEND, "process_date": "2013-10-10"}, {**DIVIDEND, "process_date": "2013-10-12"}],
}
# The second dividend is not effective yet when the data ends.
ACTIONS["cash_dividends"][1] |= {"ex_date": "2013-10-11", "id": "later"}


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    path = tmp_path / "actions.json"
    path.write_text(json.dumps({"corporate_actions": ACTIONS}))
    return path


@pytest.fixture
def days(write: Any, trade: Any) -> Path:
    """Three days of one trade each, with the first day's auctions."""
    messages = [
        trade("IBM", "13:30:01Z", 100, 5000, " ", "O"),
        trade("IBM", "13:30:01.5Z", 100, 5000, " ", "Q"),
        trade("IBM", "19:59:59Z", 100, 7000, " ", "6"),
        trade("IBM", "14:00:00Z", 52, 100).replace("10-07", "10-08"),
        trade("IBM", "14:00:00Z", 51, 100).replace("10-07", "10-09"),
    ]
    path: Path = write("days.jsonl", *messages)
    return path


async def ask(settings: Settings, keys: dict[str, str], *calls: tuple[str, dict[str, str], int]) -> list[Any]:
    async with (
        ExchangeServer(settings) as ex,
        httpx.AsyncClient(base_url=ex.url, headers=keys, verify=False) as client,
    ):
        await ex.step_until(END)
        found = []
        for path, params, status in calls:
            reply = await client.get(path, params=params)
            assert reply.status_code == status, reply.text
            found.append(reply.json())
        return found


async def test_actions_come_by_process_date_and_in_pages(
    settings: Config, keys: dict[str, str], days: Path, actions: Path
) -> None:
    path, span = "/v1/corporate-actions", {"start": "2013-10-01", "end": "2013-12-31"}
    config = settings(replay=(days,), corporate_actions=actions)
    whole, first, today, splits, others, by_id, *_ = await ask(
        config,
        keys,
        (path, span, 200),
        (path, {**span, "limit": "2"}, 200),
        (path, {}, 200),
        (path, {**span, "types": "forward_split,cash_merger"}, 200),
        (path, {**span, "symbols": "BAC"}, 200),
        (path, {"ids": "later"}, 200),
        (path, {**span, "types": "gift"}, 400),
        (path, {**span, "ids": "x"}, 400),
        (path, {"start": "yesterday"}, 400),
    )
    assert len(whole["corporate_actions"]["cash_dividends"]) == 2
    assert len(whole["corporate_actions"]["forward_splits"]) == 1
    assert sum(map(len, first["corporate_actions"].values())) == 2
    (second,) = await ask(config, keys, (path, {**span, "page_token": first["next_page_token"]}, 200))
    assert [row["id"] for row in second["corporate_actions"]["cash_dividends"]] == ["later"]
    assert second["next_page_token"] is None
    assert today["corporate_actions"] == others["corporate_actions"] == {}
    assert list(splits["corporate_actions"]) == ["forward_splits"]
    assert by_id["corporate_actions"]["cash_dividends"][0]["id"] == "later"


async def test_bars_are_adjusted_for_what_is_effective(
    settings: Config, keys: dict[str, str], days: Path, actions: Path
) -> None:
    bars = {"timeframe": "1Day", "start": "2013-10-01"}
    raw, split, dividend, everything, _ = await ask(
        settings(replay=(days,), corporate_actions=actions),
        keys,
        *(
            ("/v2/stocks/IBM/bars", {**bars, **({"adjustment": name} if name else {})}, 200)
            for name in ("", "split", "dividend,spin-off", "all")
        ),
        ("/v2/stocks/IBM/bars", {**bars, "adjustment": "none"}, 400),
    )

    def closes(reply: Any) -> list[Decimal]:
        return [Decimal(str(bar["c"])) for bar in reply["bars"]]

    assert closes(raw) == [100, 52, 51]
    assert closes(split) == [50, 52, 51]
    assert [bar["v"] for bar in split["bars"]] == [24_000, 100, 100]
    factor = 1 - Decimal("0.5") / 52
    assert closes(dividend) == [round(100 * factor, 4), 52 * factor, 51]
    assert closes(everything) == [round(50 * factor, 4), 52 * factor, 51]


async def test_auctions_are_the_prints_that_say_so(settings: Config, keys: dict[str, str], days: Path) -> None:
    many, single, refused = await ask(
        settings(replay=(days,)),
        keys,
        ("/v2/stocks/auctions", {"symbols": "IBM,BAC", "start": "2013-10-01"}, 200),
        ("/v2/stocks/IBM/auctions", {"start": "2013-10-01", "limit": "1"}, 200),
        ("/v2/stocks/IBM/auctions", {"feed": "iex"}, 400),
    )
    (day,) = many["auctions"]["IBM"]
    assert day["d"] == "2013-10-07"
    assert [(auction["c"], auction["p"], auction["s"]) for auction in day["o"]] == [("O", 100, 5000), ("Q", 100, 5000)]
    assert [(auction["c"], auction["s"]) for auction in day["c"]] == [("6", 7000)]
    assert single["auctions"] == [day]
    assert "auctions" in refused["message"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("[", "not JSON"),
        ("[]", "lists named"),
        ('{"presents":[]}', "lists named"),
        ('{"forward_splits":[1]}', "forward_splits 1: not an object"),
        ('{"forward_splits":[{"process_date":"2013-10-08","old_rate":0}]}', "forward_splits 1: .*above 0"),
        ('{"cash_dividends":[{"process_date":"soon"}]}', "cash_dividends 1: .*soon"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, document: str, what: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(document)
    with pytest.raises(ActionsError, match=f"bad.json: .*{what}"):
        CorporateActions(path)


async def test_stocks_of_a_made_up_day_have_paid_a_dividend_and_announced_one(
    settings: Config, keys: dict[str, str], actions: Path
) -> None:
    path, year = "/v1/corporate-actions", {"start": "2025-06-01", "end": "2026-12-31"}
    day = {"timeframe": "1Day", "start": "2026-01-12"}
    made = settings(symbols=("IBM", "BAC", "BTC/USD"))
    whole, again, raw, adjusted = await ask(
        made,
        keys,
        (path, year, 200),
        (path, year, 200),
        ("/v2/stocks/IBM/bars", day, 200),
        ("/v2/stocks/IBM/bars", {**day, "adjustment": "all"}, 200),
    )
    assert whole == again
    rows = whole["corporate_actions"]["cash_dividends"]
    today = made.day.isoformat()
    assert sorted((row["symbol"], row["ex_date"] < today) for row in rows) == [
        ("BAC", False), ("BAC", True), ("IBM", False), ("IBM", True),
    ]  # fmt: skip
    assert raw == adjusted, "none is effective on the day itself"
    (own,) = await ask(settings(corporate_actions=actions), keys, (path, year, 200))
    assert own["corporate_actions"] == {}, "a file says all that there is"
