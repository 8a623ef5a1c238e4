"""A file's splits and dividends reach the accounts on their ex-dates, once, and stand in the list once."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from runner.exchange.calendar import NS
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.exchange.wire import parse_ns

type Config = Callable[..., Settings]
DAYS = {"process_date": "2013-10-08", "ex_date": "2013-10-08"}
ACTIONS = {
    "forward_splits": [
        {"symbol": "IBM", "new_rate": 2, "old_rate": 1, **DAYS},
        {"symbol": "IBM", "new_rate": 9, "old_rate": 1, **DAYS, "ex_date": "2013-10-07"},
        {"symbol": "GE", "new_rate": 3, "old_rate": 1, **DAYS},
    ],
    "cash_dividends": [
        {"symbol": "IBM", "rate": 0.5, "special": False, "foreign": False, **DAYS, "ex_date": "2013-10-09"}
    ],
}
SPAN = {"start": "2013-10-01", "end": "2013-12-31"}


async def test_positions_and_cash_follow_on_the_day(
    settings: Config, keys: dict[str, str], tmp_path: Path, write: Any, trade: Any, quote: Any
) -> None:
    path = tmp_path / "actions.json"
    path.write_text(json.dumps(ACTIONS))
    days = write(
        "days.jsonl",
        quote("IBM", "14:00:00Z", 99, 100),
        trade("IBM", "14:30:00Z", 100, 100),
        *(trade("IBM", "14:00:00Z", 50, 100).replace("10-07", f"10-{day:02}") for day in (8, 9, 10)),
    )
    config = settings(replay=(days,), symbols=(), corporate_actions=path)
    async with (
        ExchangeServer(config) as ex,
        httpx.AsyncClient(base_url=ex.url, headers=keys, verify=False) as client,
    ):

        async def figures() -> tuple[Decimal, Decimal, list[str]]:
            account = (await client.get("/v2/account")).json()
            rows = (await client.get("/v2/positions")).json()
            activities = (await client.get("/v2/account/activities?category=non_trade_activity")).json()
            qty = sum((Decimal(row["qty"]) for row in rows), Decimal(0))
            return qty, Decimal(account["cash"]), sorted(row["activity_type"] for row in activities)

        await ex.step_until(parse_ns("2013-10-07T14:00:01Z"))
        order = {"symbol": "IBM", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
        assert (await client.post("/v2/orders", json=order)).status_code == 200
        assert await figures() == (10, 99_000, [])
        midnight = parse_ns("2013-10-08T04:00:00Z")
        await ex.step_until(midnight - NS)
        assert (await figures())[0] == 10
        await ex.step_until(midnight)
        assert await figures() == (20, 99_000, ["SPLIT"])
        await ex.step_until(1 << 62)
        assert await figures() == (20, 99_010, ["DIV", "SPLIT"])
        listed = (await client.get("/v1/corporate-actions", params=SPAN)).json()["corporate_actions"]
        assert {kind: len(rows) for kind, rows in listed.items()} == {"forward_splits": 3, "cash_dividends": 1}
