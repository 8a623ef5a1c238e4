"""`make bench`: each speed beside alpaca-py's, taken alternately in one run, and the ratio of the two."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# A blast stays below the mark at which quotes conflate: every one of them must reach the strategy.
TICKS = 18_000
ROUNDS = 15
ORDERS = 300
BURST = 60
KEYS = {"BENCH_KEY": "PKBENCH", "BENCH_SECRET": "secret"}


@contextlib.contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[str]]:
    """A child that lives as long as the block; its errors go to ours."""
    child = subprocess.Popen(
        [sys.executable, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | KEYS
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def line(child: subprocess.Popen[str]) -> dict[str, Any]:
    """The next JSON line a child prints."""
    assert child.stdout is not None
    for text in child.stdout:
        if text.startswith("{"):
            value: dict[str, Any] = json.loads(text)
            return value
    raise RuntimeError(f"{child.args}: ended without a result, exit {child.wait()}")


@contextlib.contextmanager
def venue() -> Iterator[str]:
    with process("-m", "benches.venue") as child:
        assert child.stdout is not None
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"


def ask(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=120) as reply:
        value: dict[str, Any] = json.loads(reply.read())
        return value


@contextlib.contextmanager
def node(url: str, strategy: str, params: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The whole house as a user runs it, from a file that points at the bench's venue."""
    file = {
        "name": "bench",
        "environment": "paper",
        "feeds": {"stocks": {"source": "alpaca", "market": "stocks", "feed": "iex", "data_url": url,
                             "stream_url": url.replace("http", "ws")}},
        "accounts": {"main": {"broker": "alpaca", "key": {"env": "BENCH_KEY"}, "secret": {"env": "BENCH_SECRET"},
                              "url": url}},
        "strategies": {"bench": {"class": f"benches.strategies:{strategy}", "account": "main", "feed": "stocks",
                                 "params": {"instrument_id": "IBM.ALPACA", **params}, "on_stop": "keep"}},
        "risk": {"max_order_qty": "1000", "max_order_notional": "1000000", "max_position_notional": "1000000000"},
        "log": {"level": "warning"},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.yaml"
        path.write_text(json.dumps(file))
        with process("-m", "runner.cli", "run", str(path)) as child:
            yield child


def ticks(per_frame: int) -> tuple[float, float]:
    """Quotes a second at the handler: ours (in the node, all of it), the peer's; the medians of some blasts."""
    blast = f"bench/blast?messages={TICKS}&per_frame={per_frame}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        os.mkfifo(report)
        with venue() as url, node(url, "Counter", {"wanted": TICKS, "report": str(report)}):
            ours = []
            for _ in range(ROUNDS):
                ask(f"{url}/{blast}")
                ours.append(float(json.loads(report.read_text())["seconds"]))
    with venue() as url, process("-m", "benches.peer", url, "ticks", str(TICKS)) as child:
        line(child)
        peer = []
        for _ in range(ROUNDS):
            ask(f"{url}/{blast}")
            peer.append(float(line(child)["seconds"]))
    return TICKS / statistics.median(ours), TICKS / statistics.median(peer)


def reaction(url: str) -> list[float]:
    took = []
    for _ in range(ORDERS // BURST):
        # The first of a burst finds everything cold: connections, caches; a market that moves keeps them warm.
        took += [float(ask(f"{url}/bench/ping")["ns"]) for _ in range(BURST + 5)][5:]
        time.sleep(1)  # Nautilus takes no more than 100 orders a second
    return took


def quote_to_order() -> tuple[list[float], list[float]]:
    """Nanoseconds from a quote's leaving the venue to its order's arrival there, gate on."""
    with venue() as url, node(url, "Reactor", {}):
        ours = reaction(url)
    with venue() as url, process("-m", "benches.peer", url, "orders") as child:
        line(child)
        peer = reaction(url)
    return ours, peer


async def post_orders(url: str) -> list[float]:
    from runner.alpaca import AlpacaHttpClient

    client = AlpacaHttpClient("PKBENCH", "secret", trading_url=url, data_url=url, trading_per_min=10_000_000)
    client.attach(asyncio.get_running_loop())
    body = json.dumps({"symbol": "IBM", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}).encode()
    took = []
    for _ in range(ORDERS + 1):
        began = time.perf_counter_ns()
        await client.post("/v2/orders", body)
        took.append(float(time.perf_counter_ns() - began))
    client.detach()
    client.close()
    return took[1:]


def post() -> tuple[list[float], list[float]]:
    """Nanoseconds of one POST and its reply."""
    import uvloop

    with venue() as url:
        ours = uvloop.run(post_orders(url))
        with process("-m", "benches.peer", url, "post", str(ORDERS)) as child:
            peer = [float(ns) for ns in line(child)["ns"]]
    return ours, peer


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    table = Table("what", "runner", "alpaca-py", "ratio", "goal", title="medians of one run; only ratios mean anything")
    goals = {1: "≥ 3", 10: "≥ 1.5", 50: "-"}
    for per_frame, goal in goals.items():
        ours, peer = ticks(per_frame)
        name = f"socket → strategy, {per_frame} a frame (quotes/s)"
        table.add_row(name, f"{ours:,.0f}", f"{peer:,.0f}", f"{ours / peer:.2f}", goal)
    for name, (mine, theirs), rows in (
        ("quote → order leaves", quote_to_order(), ((50, "≤ 0.6"), (99, "≤ 0.6"))),
        ("POST an order", post(), ((50, "≤ 0.2"),)),
    ):
        for percent, goal in rows:
            ours, peer = percentile(mine, percent), percentile(theirs, percent)
            label = f"{name}, p{percent} (ms)"
            table.add_row(label, f"{ours / 1e6:.3f}", f"{peer / 1e6:.3f}", f"{ours / peer:.2f}", goal)
    Console().print(table)


if __name__ == "__main__":
    main()
