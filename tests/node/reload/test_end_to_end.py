"""A reload as a user does it: a node of its own process, an edited file, and the simulated exchange on the wire."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import time as day_time
from pathlib import Path

import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.node.process import LIMIT_S, ROOT, config, hear_signals, running, sent_ids
from tests.node.remote.test_end_to_end import Cli

pytestmark = pytest.mark.slow
SYMBOLS = {"one": "IBM", "two": "BAC", "three": "KO"}
KEYS = {"TEST_KEY": "PKRELOADTEST00000001", "TEST_SECRET": "s3cret-s3cret-s3cret"}
RECORDER = '''
from pathlib import Path

from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig


class RecorderConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    folder: str
    size: int = 1


class Recorder(Strategy):
    """Writes every trade down, buys once a life, and keeps an order far below the market."""

    def __init__(self, config: RecorderConfig) -> None:
        super().__init__(config)
        self.lives = 0
        self.bought = False

    def on_start(self) -> None:
        self.lives += 1
        self.file = (Path(self.config.folder) / f"{self.id.get_tag()}.ticks").open("a", buffering=1)
        held = sum(int(p.signed_decimal_qty()) for p in self.cache.positions_open(strategy_id=self.id))
        orders = [order.client_order_id.value for order in self.cache.orders_open(strategy_id=self.id)]
        with (Path(self.config.folder) / f"{self.id.get_tag()}.lives").open("a") as lives:
            lives.write(f"{self.lives} {self.config.size} {held} {len(orders)}\\n")
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_save(self) -> dict[str, bytes]:
        return {"lives": str(self.lives).encode()}

    def on_load(self, state: dict[str, bytes]) -> None:
        self.lives = int(state["lives"])

    def on_trade_tick(self, tick) -> None:
        self.file.write(f"{tick.ts_event} {tick.trade_id}\\n")
        make, day = self.order_factory, TimeInForce.DAY
        instrument = self.cache.instrument(self.config.instrument_id)
        working = [order for order in self.cache.orders(strategy_id=self.id) if not order.is_closed]
        if not working:
            self.submit_order(
                make.limit(tick.instrument_id, OrderSide.BUY, instrument.make_qty(1), instrument.make_price(1),
                           time_in_force=day)
            )
        elif not self.bought and working[0].is_open:
            self.bought = True
            qty = instrument.make_qty(self.config.size)
            self.submit_order(make.market(tick.instrument_id, OrderSide.BUY, qty, time_in_force=day))
'''


def write(folder: Path, url: str, ws_url: str) -> Path:
    (folder / "recorder.py").write_text(RECORDER)
    stocks = f'{{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}'
    lines = [
        "name: test",
        "environment: paper",
        f"feeds: {{stocks: {stocks}}}",
        f'accounts: {{main: {{broker: alpaca, key: {{env: TEST_KEY}}, secret: {{env: TEST_SECRET}}, url: "{url}"}}}}',
        "metrics: {listen: '127.0.0.1:0'}",
        f'state: {{dir: "{folder / "state"}"}}',
        "strategies:",
    ]
    for name, symbol in SYMBOLS.items():
        params = f'{{instrument_id: {symbol}.ALPACA, folder: "{folder}", size: 1}}'
        lines.append(
            f"  {name}: {{class: recorder:Recorder, account: main, feed: stocks, on_stop: keep, params: {params}}}"
        )
    path = folder / "test.yaml"
    path.write_text("\n".join([*lines, ""]))
    return path


async def test_one_of_three_is_changed_over_the_wire_and_a_kill_restores_by_the_new_file(tmp_path: Path) -> None:
    settings = Settings(symbols=tuple(SYMBOLS.values()), start=day_time(10, 0), speed=30)
    async with ExchangeServer(settings) as exchange:
        sent = sent_ids(exchange)
        await asyncio.to_thread(_edit_reload_and_kill, tmp_path, exchange.url, exchange.ws_url)
    assert max(sent.values()) == 1


def _edit_reload_and_kill(folder: Path, url: str, ws_url: str) -> None:
    path, cli = write(folder, url, ws_url), Cli(folder)
    with running(path, XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        for _ in SYMBOLS:
            node.until(" buys ")
        assert "nothing to do" in cli.run("plan")
        text = path.read_text()
        two = text.splitlines()[-2]
        path.write_text(text.replace(two, two.replace("size: 1", "size: 7")))
        planned = cli.run("plan", str(path), code=3)
        assert "strategies.two.params.size: 1 → 7" in planned
        assert "1 working orders are kept; 1 BAC kept" in planned
        assert "unchanged: one, three" in planned

        node.signal(signal.SIGHUP)
        node.until("SIGHUP: reload its files (a signal): replaced two")
        node.until(" two buys 7 BAC ")
        seen = cli.status()
        assert {name: row["orders"] for name, row in seen["strategies"].items()} == dict.fromkeys(SYMBOLS, 1)
        assert seen["file"]["last_reload"]["result"] == "applied"

        whole = path.read_text()
        path.write_text(whole[:-30])
        assert "everything is as it was" in cli.run("reload", code=1)
        assert "the last reload was not done" in cli.run("status")
        path.write_text(whole)
        _settled(folder)
        node.process.kill()
        node.end()
    assert _lives(folder) == {"one": ["1 1 0 0"], "two": ["1 1 0 0", "2 7 1 1"], "three": ["1 1 0 0"]}
    for name in ("one", "three"):
        _no_tick_is_missing(url, folder, name)

    with running(path, XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        node.until(" two buys 7 BAC ")
        node.signal()
        code, out, err = node.end()
    assert code == 0, err
    # What was saved when it was replaced is there, and so is all that it traded under both.
    assert _lives(folder)["two"][-1] == "2 7 8 1"
    assert "agree with the broker" in out


def _lives(folder: Path) -> dict[str, list[str]]:
    return {name: (folder / f"{name}.lives").read_text().splitlines() for name in SYMBOLS}


def _settled(folder: Path) -> None:
    """Wait until the untouched have heard some more."""
    sizes = {name: (folder / f"{name}.ticks").stat().st_size for name in ("one", "three")}
    deadline = time.monotonic() + LIMIT_S
    while any((folder / f"{name}.ticks").stat().st_size == size for name, size in sizes.items()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _no_tick_is_missing(url: str, folder: Path, name: str) -> None:
    """Between its first and its last trade it has heard every one that the exchange has."""
    heard = [line.split() for line in (folder / f"{name}.ticks").read_text().splitlines()]
    first, last = int(heard[0][0]), int(heard[-1][0])
    query = f"{url}/v2/stocks/trades?symbols={SYMBOLS[name]}&limit=10000&feed=iex&start={_rfc(first)}&end={_rfc(last)}"
    request = urllib.request.Request(
        query, headers={"APCA-API-KEY-ID": KEYS["TEST_KEY"], "APCA-API-SECRET-KEY": KEYS["TEST_SECRET"]}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        trades = json.load(reply)["trades"][SYMBOLS[name]]
    assert len(heard) > 10
    assert [id_ for _, id_ in heard] == [str(trade["i"]) for trade in trades]


def _rfc(ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"


# A terminal with the node in it, until standard input ends.
TERMINAL = """
import os, pty, sys
log, *words = sys.argv[1:]
pid, master = pty.fork()
if pid == 0:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
    os.execv(words[0], words)
sys.stdin.read()
os.close(master)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_terminal_that_closes_ends_the_node(tmp_path: Path) -> None:
    path, log = config(tmp_path, {"one": "Trader"}), tmp_path / "log"
    words = [sys.executable, "-m", "runner.cli", "run", str(path), "--sim", "--speed", "60", "--start", "12:00"]
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, str(log), *words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=hear_signals,
    ) as terminal:  # fmt: skip
        deadline = time.monotonic() + LIMIT_S
        while not (log.exists() and " one buys " in log.read_text()):
            assert time.monotonic() < deadline
            assert terminal.poll() is None, log.read_text()
            time.sleep(0.05)
        assert terminal.stdin is not None
        terminal.stdin.close()
        assert terminal.wait(LIMIT_S) == 0, log.read_text()
    assert "SIGHUP: stopping" in log.read_text()
    assert "Error" not in log.read_text()
