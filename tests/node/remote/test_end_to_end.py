"""A running node is commanded as a person does it: by `runner status`, `halt`, `resume`, `flatten`, `cancel`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.node.process import ROOT, config, running

pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef0123456789abcdef"
RESTING = """
from decimal import Decimal

from nautilus_trader.model.enums import OrderSide, TimeInForce
from own_traders import Trader


class Resting(Trader):
    \"\"\"Buys at each bar, and keeps an order far below the market.\"\"\"

    def on_bar(self, bar):
        instrument = self.cache.instrument(self.config.instrument_id)
        if not self.cache.orders_open(strategy_id=self.id) and not self.cache.orders_inflight(strategy_id=self.id):
            self.submit_order(
                self.order_factory.limit(
                    self.config.instrument_id, OrderSide.BUY, instrument.make_qty(1), instrument.make_price(1),
                    time_in_force=TimeInForce.DAY,
                )
            )
        self.submit_order(
            self.order_factory.market(
                self.config.instrument_id, OrderSide.BUY, instrument.make_qty(1), time_in_force=TimeInForce.DAY
            )
        )
"""


class Cli:
    """`runner` with a node's runtime folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        """Its output, of the stream that the exit code `code` writes to."""
        done = subprocess.run(
            [sys.executable, "-m", "runner.cli", *words],
            cwd=ROOT,
            env=os.environ | {"XDG_RUNTIME_DIR": str(self.folder)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status", *words, "--json"))
        return answer


def write(folder: Path, text: str = "", **account: str) -> Path:
    (folder / "resting.py").write_text(RESTING)
    path = config(folder, {"one": "Trader", "two": "Trader"}, text=text, **account)
    path.write_text(path.read_text().replace("own_traders:Trader", "resting:Resting"))
    return path


def test_a_node_is_watched_halted_flattened_and_resumed(tmp_path: Path) -> None:
    text = "control: {listen: '127.0.0.1:0', token: {env: TEST_TOKEN}}\nrisk: {max_open_orders: 40}"
    path, cli = write(tmp_path, text), Cli(tmp_path)
    words = (path, "--sim", "--speed", "30", "--start", "12:00", "--json")
    with running(*words, XDG_RUNTIME_DIR=str(tmp_path), TEST_TOKEN=TOKEN) as node:
        url = node.until("control at ").split("control at ")[1].split(",")[0]
        node.until(" two buys ")
        node.until(" two buys ")

        seen = cli.status()
        assert (seen["name"], seen["environment"], seen["ready"], seen["state"]) == ("test", "sim", True, "active")
        assert seen["feeds"]["stocks"]["connected"] is True
        assert seen["accounts"]["main"]["trade_updates"] is True
        assert set(seen["strategies"]) == {"one", "two"}
        assert seen["strategies"]["two"]["running"] is True
        assert next(row for row in seen["limits"] if row["limit"] == "max_open_orders")["kind"] == "node"
        shown = cli.run("status", str(path))
        assert "trading" in shown
        assert "max_open_orders" in shown

        cli.run("halt", "test", "--strategy", "one", "--why", "it looks odd", "--cancel")
        node.until("two buys")
        seen = cli.status("test")
        one = seen["strategies"]["one"]
        assert (one["state"], one["by"], one["orders"]) == ("halted", "command", 0)
        assert one["why"].startswith("it looks odd (uid ")
        assert "strategy one is halted since" in cli.run("status")
        assert "runner resume --strategy one" in cli.run("resume")
        cli.run("resume", "--strategy", "one")
        node.until(" one buys ")

        assert "canceled" in cli.run("cancel", "--account", "main")
        assert "there is no account mian" in cli.run("cancel", "--account", "mian", code=1)
        assert "not both" in cli.run("cancel", "--account", "main", "--strategy", "one", code=2)

        cli.run("flatten", "--why", "going home", "--url", url, RUNNER_CONTROL_TOKEN=TOKEN)
        seen = cli.status()
        assert seen["state"] == "reducing"
        assert seen["positions"]["total"] == seen["orders"]["total"] == 0
        assert "token is needed" in cli.run("status", "--url", url, code=1, RUNNER_CONTROL_TOKEN="wrong" * 8)
        cli.run("resume", str(path))
        node.until(" one buys ")
        node.signal()
        code, _, err = node.end()
    assert code == 0, err
    assert "halt strategy one (it looks odd): strategy one is halted, its orders are canceled" in err
    assert "flatten the node (going home): the node is flat" in err
    assert "token, 127.0.0.1" in err
    assert TOKEN not in err
    assert list((tmp_path / "runner").glob("*.sock")) == []
    assert "no node of yours runs" in cli.run("status", code=69)
    assert "name the node's file" in cli.run("resume", "test", code=69)


async def test_what_was_latched_by_a_loss_stands_after_a_restart_until_it_is_resumed(tmp_path: Path) -> None:
    settings = Settings(symbols=("IBM", "BAC"), start=time(10, 0), speed=60, activity=0.3)
    async with ExchangeServer(settings) as exchange:
        await asyncio.to_thread(_lose_and_resume, tmp_path, exchange.url, exchange.ws_url)


def _lose_and_resume(folder: Path, url: str, ws_url: str) -> None:
    text = f'state: {{dir: "{folder / "state"}"}}\nrisk: {{max_drawdown: "1"}}'
    path, cli = write(folder, text, url=url), Cli(folder)
    stocks = f'{{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}'
    path.write_text(path.read_text().replace("{market: stocks}", stocks))
    keys = {"TEST_KEY": "PKCONTROLTEST0000001", "TEST_SECRET": "s3cret-s3cret-s3cret"}
    with running(path, XDG_RUNTIME_DIR=str(folder), **keys) as node:
        node.until("the node is reducing, by breach: MAX_DRAWDOWN")
    with running(path, XDG_RUNTIME_DIR=str(folder), **keys) as node:
        node.until("the node is reducing, by breach: MAX_DRAWDOWN")
        node.until(lambda line: "MAX_DRAWDOWN" in line and "denied" in line)
        seen = cli.status()
        assert (seen["state"], seen["by"]) == ("reducing", "breach")
        cli.run("resume", "--why", "it was a test")
        node.until("the node is active, by command: it was a test")
        node.until(" one buys ")
        node.signal()
        code, _, err = node.end()
    assert code == 0, err


async def test_an_account_is_flattened_with_what_was_placed_elsewhere(tmp_path: Path) -> None:
    settings = Settings(symbols=("IBM", "BAC", "BTC/USD"), start=time(10, 0), speed=60, activity=0.3)
    async with ExchangeServer(settings) as exchange:
        await asyncio.to_thread(_flatten_all, tmp_path, exchange.url, exchange.ws_url)
        account = exchange.broker.desk.account(KEYS["TEST_KEY"])
        assert not [order for order in account.orders.values() if order.open]
        assert not [position for position in account.positions.values() if position.qty]


KEYS = {"TEST_KEY": "PKCONTROLTEST0000002", "TEST_SECRET": "s3cret-s3cret-s3cret"}


def _place(url: str, symbol: str, qty: str, **more: str) -> None:
    """An order of another program's."""
    body = {"symbol": symbol, "qty": qty, "side": "buy", "type": "market", "time_in_force": "gtc"} | more
    headers = {"APCA-API-KEY-ID": KEYS["TEST_KEY"], "APCA-API-SECRET-KEY": KEYS["TEST_SECRET"]}
    assert httpx.post(f"{url}/v2/orders", json=body, headers=headers).status_code == 200


def _flatten_all(folder: Path, url: str, ws_url: str) -> None:
    path, cli = write(folder, f'state: {{dir: "{folder / "state"}"}}', url=url), Cli(folder)
    stocks = f'{{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}'
    path.write_text(path.read_text().replace("{market: stocks}", stocks))
    _place(url, "BTC/USD", "0.01")
    _place(url, "BAC", "7", type="limit", limit_price="1")
    with running(path, XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        node.until(" one buys ")
        _place(url, "BTC/USD", "0.02", type="limit", limit_price="1000")
        kept = json.loads(cli.run("flatten", "--strategy", "one", "--json"))
        assert {row["strategy"] for row in kept["closed"]} == {"one"}
        answer = json.loads(cli.run("flatten", "--account", "main", "--json"))
        rows = {(row["strategy"], row["symbol"], row["result"]) for row in answer["closed"]}
        assert ("EXTERNAL", "BTC/USD", "closed") in rows, answer
        assert answer["left"] == {}
        node.signal()
        code, _, err = node.end()
    assert code == 0, err
    # What others held is the broker's alone to tell: nothing of it comes back from the journal.
    with running(path, "--json", XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        node.until("denied")
        node.signal()
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["positions"] == [], summary["positions"]
    assert summary["books_agree"] is True, summary["books"]
