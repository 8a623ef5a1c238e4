"""Loading what Alpaca lists, from the simulated exchange: time, memory, and how long the loop stands still for it.

`python -m benches.instruments serve` is the exchange, with as many stocks as Alpaca has and the chain of a large stock;
with its address instead it loads them, in a process of its own, and prints what that took as a JSON line.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import string
import sys
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.common.component import LiveClock
from nautilus_trader.model.identifiers import InstrumentId

from benches.processes import line, process, resident_mb
from runner._engine import AlpacaHttpClient
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.exchange.contracts import option_symbol
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import DEFAULT_DAY, Settings

STOCKS = 12_500
#: 40 weekly expirations of 300 strikes, calls and puts: three pages.
WEEKS, STRIKES = 40, 300
CHAIN = {"asset_class": "us_option", "underlying_symbols": "IBM", "expiration_date_lte": "2029-01-01"}
WANTED: dict[str, dict[str, Any]] = {"assets": {}, "contracts": CHAIN}


async def serve() -> None:
    """The exchange, until its input closes."""
    letters = itertools.islice(itertools.product(string.ascii_uppercase, repeat=3), STOCKS)
    days = [DEFAULT_DAY + timedelta(days=4 + 7 * week) for week in range(WEEKS)]
    async with ExchangeServer(Settings(symbols=("IBM",), activity=0.001, wait=True)) as exchange:
        exchange.market.add_symbols(map("".join, letters))
        exchange.market.add_symbols(
            option_symbol("IBM", day, kind, Decimal(50 + strike))
            for day in days for strike in range(STRIKES) for kind in ("call", "put")
        )  # fmt: skip
        print(json.dumps({"url": exchange.url}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def load(url: str) -> dict[str, dict[str, float]]:
    """Seconds, megabytes and the loop's longest turn (seconds of CPU) for each of WANTED, and for one by its name."""
    http = AlpacaHttpClient(
        "PKBENCH", "secret", trading_url=url, data_url=url, timeout_s=60.0, connect_timeout_s=5.0,
        trading_per_min=100_000, data_per_min=100_000, read_retries=0, retry_delay_s=1.0, serial=False,
    )  # fmt: skip
    http.attach(asyncio.get_running_loop())
    provider = AlpacaInstrumentProvider(lambda: http, LiveClock())
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    beating = asyncio.create_task(beat())
    took = {}
    began = time.perf_counter()
    await provider.load_ids_async([InstrumentId.from_str("IBM.ALPACA")])
    took["one"] = {"count": 1, "seconds": time.perf_counter() - began, "mb": 0.0, "stood": longest}
    for name, filters in WANTED.items():
        longest, resident, began = 0.0, resident_mb(), time.perf_counter()
        count = len(await provider.load_matching(filters))
        took[name] = {
            "count": count, "seconds": time.perf_counter() - began, "mb": resident_mb() - resident, "stood": longest,
        }  # fmt: skip
    beating.cancel()
    http.detach()
    http.close()
    return took


def measure() -> dict[str, dict[str, float]]:
    """What `load` says, measured in a process that has nothing else in its memory."""
    with (
        process("-m", "benches.instruments", "serve") as exchange,
        process("-m", "benches.instruments", line(exchange)["url"]) as child,
    ):
        return line(child)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        print(json.dumps(asyncio.run(load(sys.argv[1]))), flush=True)
