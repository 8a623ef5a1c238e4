"""kill -9 at any moment: after the restart both accounts are as the broker has them, and nothing was sent twice.

In every second run (that of an odd seed) the node lets go of orders as soon as they have ended.

Two strategies send orders of every shape: single ones, brackets, OCO, OTO, trailing stops, pairs, spreads as one order
and as a list of legs, and orders that an execution algorithm sends in parts. RUNNER_CHAOS_KILLS sets how often the node
is killed (4), RUNNER_CHAOS_SEEDS how many runs there are (2), RUNNER_CHAOS_SEED the first one's seed (0).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.node.process import sent_ids

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("RUNNER_CHAOS_KILLS", "4"))
SEED = int(os.environ.get("RUNNER_CHAOS_SEED", "0"))
SEEDS = int(os.environ.get("RUNNER_CHAOS_SEEDS", "2"))
START_S = 60.0
#: The market stands still: so long a node on a busy machine may take to hear of the last updates.
CALM_S = 15.0
#: Two accounts, on each of which a strategy trades the same instruments.
KEYS = {"one": "PKKILLTEST0000000001", "two": "PKKILLTEST0000000002"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + KILLS * 60)]


def spread_of(exchange: ExchangeServer) -> str:
    """A call spread on IBM that nothing ends today: both strikes beside the money."""
    calls = [row for row in exchange.market.contracts() if row.underlying_symbol == "IBM" and row.type == "call"]
    expiry = sorted({row.expiration_date for row in calls})[2]
    strikes = sorted((row for row in calls if row.expiration_date == expiry), key=lambda row: row.strike)
    low, high = strikes[len(strikes) // 2], strikes[len(strikes) // 2 + 1]
    return f"(1){low.symbol}___((1)){high.symbol}.ALPACA"


def write_file(folder: Path, exchange: ExchangeServer, redis: str = "") -> Path:
    path, host = folder / "kill.yaml", f'data_url: "{exchange.url}", stream_url: "{exchange.ws_url}"'
    ids = f'stocks: [IBM.ALPACA, BAC.ALPACA], pair: BTC/USD.ALPACA, spread: "{spread_of(exchange)}"'
    params = f'{{{ids}, folder: "{folder}"}}'
    path.write_text(
        f"""
name: kill
environment: paper
paths: ["{Path(__file__).parent}"]
feeds:
  stocks: {{market: stocks, {host}}}
  coins: {{market: crypto, {host}}}
  options: {{market: options, {host}}}
accounts:
  one: {{broker: alpaca, key: {{env: KEY_ONE}}, secret: {{env: TEST_SECRET}}, url: "{exchange.url}"}}
  two: {{broker: alpaca, key: {{env: KEY_TWO}}, secret: {{env: TEST_SECRET}}, url: "{exchange.url}"}}
strategies:
  one:
    class: frantic:Frantic
    account: one
    feed: stocks
    params: {params}
    on_stop: keep
  two:
    class: frantic:Frantic
    account: two
    feed: stocks
    params: {params}
    on_stop: keep
exec_algorithms:
  TWAP: {{class: "nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm"}}
state: {{dir: "{folder / "state"}"{redis}}}
node: {{unknown_order_timeout: 500ms, stop_timeout: 10s}}
log: {{level: warning}}
"""
    )
    return path


class Life:
    """One life of the node."""

    def __init__(self, folder: Path, path: Path, number: int, seed: int = 0) -> None:
        self.folder, self.path, self.number, self.seed = folder, path, number, seed
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        for name in KEYS:
            for old in (f"{name}.started", f"{name}.json"):
                (self.folder / old).unlink(missing_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ALPACA_", "RUNNER__"))}
        env |= {f"KEY_{name.upper()}": key for name, key in KEYS.items()}
        env |= {"TEST_SECRET": "s3cret-s3cret-s3cret", "XDG_RUNTIME_DIR": str(self.folder)}
        if self.seed % 2:
            env |= {"FRANTIC_LETS_GO": str(self.folder), "RUNNER__STATE__RETENTION": "1ms"}
        env["FRANTIC_SEED"] = "quiet" if self.number == KILLS else f"{self.seed}-{self.number}"
        with (self.folder / f"life-{self.number}.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "runner.cli", "run", str(self.path), "--json",
                cwd=ROOT, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.folder / f"life-{self.number}.log").read_text()

    async def until_trading(self) -> None:
        assert self.process is not None
        try:
            async with asyncio.timeout(START_S):
                while not all((self.folder / f"{name}.started").exists() for name in KEYS):
                    assert self.process.returncode is None, self.log
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never started: {self.log}") from None

    async def kill(self, number: int = signal.SIGKILL) -> bytes:
        assert self.process is not None
        self.process.send_signal(number)
        out, _ = await self.process.communicate()
        return out


def working_of(account: Any, believes: dict[str, Any]) -> dict[str, Decimal]:
    """The broker's open orders as a strategy knows them: of several legs the whole, or each where it sent a list."""
    working = {}
    for order in account.orders.values():
        if not order.open or order.client_order_id == "by-hand":
            continue
        is_list = order.several and order.id not in believes["open"]
        is_leg = order.parent is not None and order.parent.several and order.parent.id in believes["open"]
        if not is_list and not is_leg:
            working[order.id] = order.filled_qty
    return working


def held_of(account: Any) -> dict[str, Decimal]:
    return {symbol: position.qty for symbol, position in account.positions.items() if position.qty}


def agrees(account: Any, path: Path) -> bool:
    """Whether a strategy believes to hold and to have working what the broker says."""
    if not path.exists():
        return False
    believes = json.loads(path.read_text())
    held = {symbol: Decimal(qty) for symbol, qty in believes["positions"].items()}
    opened = {order_id: Decimal(qty) for order_id, qty in believes["open"].items()}
    return held == held_of(account) and opened == working_of(account, believes)


def trouble(rng: random.Random) -> list[dict[str, Any]]:
    """So that it dies with requests under way, and with outcomes that it does not know."""
    orders = {"path": "/v2/orders"}
    return [
        {**orders, "method": "POST", "delay_s": rng.uniform(0.02, 0.2), "count": rng.randint(1, 4)},
        {**orders, "method": "POST", "status": 500, "after": rng.random() < 0.7, "count": rng.randint(1, 3)},
        {**orders, "method": "PATCH", "status": 500, "after": rng.random() < 0.7, "count": rng.randint(1, 2)},
        {**orders, "method": "DELETE", "status": 500, "after": rng.random() < 0.7, "count": 1},
    ]


@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
async def test_a_killed_node_comes_back_with_everything_and_sends_nothing_twice(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    symbols = ("IBM", "BAC", "BTC/USD")
    settings = Settings(
        wait=True, symbols=symbols, options=("IBM",), start=time(10, 0), seed=seed, speed=20, activity=0.3
    )
    async with ExchangeServer(settings) as exchange:
        sent = sent_ids(exchange)
        path = write_file(tmp_path, exchange)
        by_hand = {"symbol": "BAC", "side": "buy", "qty": "1", "type": "limit", "limit_price": "1"}
        by_hand |= {"time_in_force": "gtc", "client_order_id": "by-hand"}
        desk = exchange.broker.desk
        desk.submit(desk.account(KEYS["two"]), by_hand)
        for number in range(KILLS):
            life = Life(tmp_path, path, number, seed)
            await life.start()
            if number and rng.random() < 0.25:
                await asyncio.sleep(rng.uniform(1.0, 4.0))  # perhaps in the middle of taking its orders up
            else:
                await life.until_trading()
                exchange.broker.faults.arm({"next": trouble(rng)})
                await asyncio.sleep(rng.uniform(0.0, 1.5))
                if seed % 2:  # so that lists show what was let go of
                    exchange.broker.faults.arm({"cut": "trading"})
                    await asyncio.sleep(rng.uniform(0.2, 1.5))
            await life.kill()
            exchange.broker.faults.arm({"reset": True})
        life = Life(tmp_path, path, KILLS, seed)
        await life.start()
        await life.until_trading()
        exchange.pause()
        accounts = {name: exchange.broker.desk.account(key) for name, key in KEYS.items()}
        with contextlib.suppress(TimeoutError):  # what it believes then is told below
            async with asyncio.timeout(CALM_S):
                while not all(agrees(account, tmp_path / f"{name}.json") for name, account in accounts.items()):
                    await asyncio.sleep(0.05)
        out = await life.kill(signal.SIGTERM)
        assert life.process is not None
        assert life.process.returncode == 0, life.log
        summary = json.loads(out)

    for number in range(KILLS + 1):
        print(f"life {number}\n{Life(tmp_path, path, number, seed).log}")
    assert max(sent.values()) == 1, [name for name, count in sent.items() if count > 1]
    assert summary["books_agree"] is True, summary["books"]
    assert set(summary["books"]) == set(KEYS)
    parts = 0
    for name, account in accounts.items():
        believes = json.loads((tmp_path / f"{name}.json").read_text())
        held = held_of(account)
        assert {symbol: Decimal(qty) for symbol, qty in believes["positions"].items()} == held
        assert {symbol: Decimal(qty) for symbol, qty in believes["portfolio"].items() if Decimal(qty)} == held
        assert believes["others"] == []
        assert believes["inflight"] == []
        assert believes["elsewhere"] == ["by-hand"]  # of two, known to the whole node
        opened = {order_id: Decimal(qty) for order_id, qty in believes["open"].items()}
        working = working_of(account, believes)
        odd = {each: (account.orders[each], believes["events"].get(each)) for each in opened.keys() ^ working.keys()}
        assert opened == working, odd
        mine = {order.client_order_id for order in account.orders.values() if order.client_order_id.startswith("O-")}
        assert {client_order_id.split("-")[4] for client_order_id in mine} == {name}
        parts += sum("-E" in order.client_order_id for order in account.orders.values())
        assert sum(order.filled_qty > 0 for order in account.orders.values()) > KILLS
    if seed % 2:
        assert (tmp_path / "let-go.txt").exists()
        print("taken back", (tmp_path / "taken-back.txt").exists())
    assert parts > 0, "of orders that an algorithm carries out"


async def test_an_order_that_a_power_cut_took_from_the_journal_is_found_and_not_sent_again(tmp_path: Path) -> None:
    settings = Settings(
        wait=True, symbols=("IBM", "BAC", "BTC/USD"), options=("IBM",), start=time(10, 0), speed=20, activity=0.3
    )
    async with ExchangeServer(settings) as exchange:
        sent = sent_ids(exchange)
        path = write_file(tmp_path, exchange)
        desk = exchange.broker.desk
        account = desk.account(KEYS["one"])
        life = Life(tmp_path, path, 0)
        await life.start()
        await life.until_trading()

        def lone() -> list[Any]:
            rows = [row for row in account.orders.values() if row.open and not (row.several or row.parent)]
            return [
                row
                for row in rows
                if row.client_order_id.startswith("O-")
                and "-E" not in row.client_order_id
                and row.order_class in ("", "simple")
            ]

        async with asyncio.timeout(START_S):
            while not lone():
                await asyncio.sleep(0.02)
        exchange.pause()
        await life.kill()
        # What a machine may have forgotten that lost its power: the newest rows, and what was about to be one.
        order = lone()[-1]
        (tmp_path / "state" / "kill" / "paper.sqlite-intents").unlink(missing_ok=True)
        with sqlite3.connect(tmp_path / "state" / "kill" / "paper.sqlite") as journal:
            name = order.client_order_id.partition("-r")[0]
            for table, column in (("orders", "client_order_id"), ("events", "client_order_id"), ("sends", "order_id")):
                journal.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))
        journal.close()
        life = Life(tmp_path, path, KILLS)
        await life.start()
        await life.until_trading()
        out = await life.kill(signal.SIGTERM)
    assert max(sent.values()) == 1
    assert account.orders[order.id].open
    assert order.client_order_id in json.loads((tmp_path / "one.json").read_text())["elsewhere"]
    assert f"{order.client_order_id} was an order of strategy one, and is not in the journal" in life.log
    assert json.loads(out)["books_agree"] is True
