"""`runner run` as a user starts it: a process of its own, with its lines as they come."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 100
TRADER = """
import asyncio
import os

from nautilus_trader.common.actor import Actor
from nautilus_trader.config import ActorConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig


class TraderConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Trader(Strategy):
    \"\"\"Buys on one bar, sells on the next, and so on.\"\"\"

    def __init__(self, config: TraderConfig):
        super().__init__(config)

    def on_start(self):
        self.bars = 0
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        self.bars += 1
        instrument = self.cache.instrument(self.config.instrument_id)
        side = OrderSide.BUY if self.bars % 2 else OrderSide.SELL
        if self.cache.orders_inflight(strategy_id=self.id) or self.cache.orders_open(strategy_id=self.id):
            return
        order = self.order_factory.market(
            self.config.instrument_id, side, instrument.make_qty(10), time_in_force=TimeInForce.DAY
        )
        self.submit_order(order)

    def on_stop(self):
        pass


class Sliced(Trader):
    def on_bar(self, bar):
        self.bars += 1
        if self.bars > 2:
            return
        side = OrderSide.BUY if self.bars == 1 else OrderSide.SELL
        instrument = self.cache.instrument(self.config.instrument_id)
        order = self.order_factory.market(
            self.config.instrument_id, side, instrument.make_qty(30), time_in_force=TimeInForce.DAY,
            exec_algorithm_id=ExecAlgorithmId("TWAP"),
            exec_algorithm_params={"horizon_secs": 0.35, "interval_secs": 0.1},
        )
        self.submit_order(order)


class EarsConfig(ActorConfig, frozen=True):
    bar_type: BarType
    fails_at: int = 0


class Ears(Actor):
    def __init__(self, config: EarsConfig):
        super().__init__(config)
        self.bars = 0

    def on_start(self):
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        self.bars += 1
        if self.bars == self.config.fails_at:
            raise ValueError("deaf")
        print(f"{self.id} heard {self.bars}", flush=True)


class Raising(Trader):
    def on_bar(self, bar):
        raise ValueError("boom")


class Ending(Trader):
    \"\"\"Ends the process by any means but a signal.\"\"\"

    def on_bar(self, bar):
        super().on_bar(bar)
        if self.bars == 1:
            os.fork()
        elif self.bars == 2:
            os.close(1)
            os.close(2)
        elif self.bars == 3:
            asyncio.get_running_loop().stop()


class Hanging(Trader):
    def on_bar(self, bar):
        print("hanging now", flush=True)
        while True:
            pass


class HangingStop(Trader):
    def on_stop(self):
        print("stopping for ever", flush=True)
        while True:
            pass
"""


def config(
    folder: Path,
    strategies: dict[str, str],
    *,
    symbols: tuple[str, ...] = ("IBM", "BAC"),
    text: str = "",
    **account: str,
) -> Path:
    """Write a file whose strategies (name to class) trade the symbols in turn; `text` is more of the file."""
    (folder / "own_traders.py").write_text(TRADER)
    lines = ["name: test", "environment: paper", "feeds: {stocks: {market: stocks}}", "accounts:"]
    url = f", url: {account['url']}" if "url" in account else ""
    lines += [f"  main: {{broker: alpaca, key: {{env: TEST_KEY}}, secret: {{env: TEST_SECRET}}{url}}}", "strategies:"]
    for n, (name, cls) in enumerate(strategies.items()):
        symbol = f"{symbols[n % len(symbols)]}.ALPACA"
        lines += [
            f"  {name}:",
            f"    class: own_traders:{cls}",
            "    account: main",
            "    feed: stocks",
            f"    params: {{instrument_id: {symbol}, bar_type: {symbol}-1-MINUTE-LAST-EXTERNAL}}",
            "    on_stop: flatten",
        ]
    path = folder / "test.yaml"
    path.write_text("\n".join([*lines, text, ""]))
    return path


class Running:
    """A started process; its standard error comes line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def until(self, wanted: Callable[[str], bool] | str) -> str:
        """The next line that holds the text (or satisfies the function)."""
        while True:
            line = self._queue.get(timeout=LIMIT_S)
            assert line is not None, "it ended before:\n" + "\n".join(self.lines)
            self.lines.append(line)
            if wanted in line if isinstance(wanted, str) else wanted(line):
                return line

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        while not self._queue.empty():
            line = self._queue.get()
            if line is not None:
                self.lines.append(line)
        return code, out, "\n".join(self.lines)

    def summary(self) -> tuple[int, dict[str, Any], str]:
        code, out, err = self.end()
        assert out.lstrip().startswith("{"), f"code {code}\n{err}\n{out}"
        return code, json.loads(out), err

    def fills(self) -> list[str]:
        """The lines of fills, without the wall clock's time."""
        return [line[9:] for line in self.lines if " buys " in line or " sells " in line]


def hear_signals() -> None:
    """For a child: signals as a terminal's own programs have them.

    Under nohup SIGHUP is ignored, and in the background of a script SIGINT, by the tests and by all that they start.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def running(*words: str | Path, **environment: str) -> Iterator[Running]:
    """Start `runner run` with these words; killed when the block is left."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ALPACA_", "RUNNER__"))}
    if "XDG_RUNTIME_DIR" in environment:
        environment.setdefault("XDG_STATE_HOME", environment["XDG_RUNTIME_DIR"])
    command = [sys.executable, "-m", "runner.cli", "run", *map(str, words)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def sent_ids(exchange: Any) -> Counter[str]:
    """How often each client order id was sent to an `ExchangeServer`, from now on."""
    sent: Counter[str] = Counter()
    floor = exchange.broker.desk.floor
    check = floor.check_client_order_id

    def counted(account: Any, client_order_id: str | None) -> None:
        sent[str(client_order_id)] += 1
        check(account, client_order_id)

    floor.check_client_order_id = counted
    return sent
