"""Schedules in a process of its own against the simulated exchange, in lock-step: by the replayed day's time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from datetime import time, timedelta
from pathlib import Path

import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.backtest.conftest import OPEN, write_recording
from tests.node.process import config, running

pytestmark = pytest.mark.slow
HOLDER = '''

class Holder(Trader):
    """Buys on each bar while it has less than 30; then it lets an exit and another entry rest."""

    def on_bar(self, bar):
        id_, day = self.config.instrument_id, TimeInForce.DAY
        make = self.cache.instrument(id_)
        if self.portfolio.net_position(id_) < 30:
            self.submit_order(self.order_factory.market(id_, OrderSide.BUY, make.make_qty(10), time_in_force=day))
        elif not self.cache.orders_open(strategy_id=self.id):
            for side, price in ((OrderSide.SELL, 1.2), (OrderSide.BUY, 0.8)):
                at = make.make_price(round(bar.close.as_double() * price, 2))
                self.submit_order(self.order_factory.limit(id_, side, make.make_qty(10), at, time_in_force=day))
'''


def test_the_start_the_stop_and_the_close_of_a_replayed_day(tmp_path: Path) -> None:
    """From 15:30 to 16:10; the trader buys and sells in turn, the holder holds until it is made to be flat."""
    lines = []
    for symbol in ("IBM", "BAC"):
        write_recording(tmp_path / symbol, 40, start=OPEN + timedelta(hours=6), symbol=symbol)
        lines += (tmp_path / symbol).read_text().splitlines(keepends=True)
    day = tmp_path / "day.jsonl"
    day.write_text("".join(sorted(lines, key=lambda line: json.loads(line)["t"])))
    path = config(tmp_path, {"trader": "Trader", "holder": "Holder"})
    (tmp_path / "own_traders.py").write_text((tmp_path / "own_traders.py").read_text() + HOLDER)
    text = path.read_text().replace("on_stop: flatten", "on_stop: keep")
    text = text.replace("  trader:\n", "  trader:\n    schedule: {days: [mon, fri], start: 15:35, stop: 15:45}\n")
    text = text.replace("  holder:\n", "  holder:\n    schedule: {stop: 15:50, flat_before_close: 5m}\n")
    path.write_text(text)
    runs = []
    for _ in range(2):
        with running(path, "--sim", "--speed", "max", "--replay", day, "--json") as node:
            code, summary, err = node.summary()
        assert code == 0, err
        assert summary["books_agree"] is True, err
        assert summary["positions"] == [], err
        runs.append((node.fills(), summary["orders"], summary["denials"]))
    assert runs[0] == runs[1], "a flatten is waited for in lock-step"
    fills, orders, denials = runs[0]
    trader = [line.split()[0] for line in fills if " trader " in line]
    assert trader[0].startswith("15:35:0")
    assert trader[-1].startswith("15:44:0")
    assert len(trader) == 10
    holder = [re.sub(r" at .*", "", line) for line in fills if " holder " in line]
    assert holder == [*(f"15:3{n}:01 holder buys 10 BAC" for n in (1, 2, 3)), "15:55:01 holder sells 30 BAC"]
    assert orders["canceled"] == 2, "the entry at 15:50, the exit at 15:55"
    assert orders["rejected"] == 0
    assert set(denials) == {"SCHEDULE_CLOSED"}
    assert denials["SCHEDULE_CLOSED"] == orders["denied"]
    # It says once that a strategy goes on trying.
    assert sum("trader: order" in line for line in node.lines) == 2


async def test_a_node_that_is_killed_and_started_within_the_time_before_the_close_is_flat(tmp_path: Path) -> None:
    """The position is of an earlier life, from the journal; the time before the close began while nothing ran."""
    settings = Settings(symbols=("IBM", "BAC"), start=time(14, 0), speed=20, activity=0.3)
    async with ExchangeServer(settings) as exchange:
        await asyncio.to_thread(_kill_and_start, tmp_path, exchange.url, exchange.ws_url)
        account = exchange.broker.desk.account(KEYS["TEST_KEY"])
        assert not [position for position in account.positions.values() if position.qty]
        assert not [order for order in account.orders.values() if order.open]
        assert [order.qty for order in account.orders.values() if order.side == "sell" and order.filled_qty] == [30]


KEYS = {"TEST_KEY": "PKSCHEDULE0000000001", "TEST_SECRET": "s3cret-s3cret-s3cret"}


def _kill_and_start(folder: Path, url: str, ws_url: str) -> None:
    path = config(folder, {"holder": "Holder"}, url=url, text=f'state: {{dir: "{folder / "state"}"}}')
    (folder / "own_traders.py").write_text((folder / "own_traders.py").read_text() + HOLDER)
    stocks = f'{{market: stocks, data_url: "{url}", stream_url: "{ws_url}"}}'
    text = path.read_text().replace("{market: stocks}", stocks).replace("on_stop: flatten", "on_stop: keep")
    path.write_text(text)
    with running(path, XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        for _ in range(3):
            node.until(" holder buys ")
        node.signal(signal.SIGKILL)
        node.end()
    path.write_text(text.replace("  holder:\n", "  holder:\n    schedule: {flat_before_close: 3h}\n"))
    with running(path, "--json", XDG_RUNTIME_DIR=str(folder), **KEYS) as node:
        node.until("strategy holder may only close positions")
        node.until(" holder sells 30 ")
        node.signal()
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True, err
