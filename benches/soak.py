"""`make soak`: a node that trades generated days, nights and a weekend, many times faster than real; its memory and its
latencies must stay flat.

The exchange and the node are processes of their own, as in real life, and every few minutes all their connections are
cut. What is measured comes from the node's own /metrics, so that the metrics are tested too. Prints a table, a window
of the run in each row; `--out FILE` writes it as a page. Exit code 1 says what was not flat, or not right.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import heapq
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benches.processes import line, process, resident_mb
from runner.exchange.calendar import Calendar
from runner.exchange.generator import SyntheticDay
from runner.exchange.wire import Message

STOCKS = ("AAPL", "BAC", "IBM", "SPY")
PAIRS = ("BTC/USD",)
STEPS = ("tick_to_decision", "decision_to_ack")
FILE = Path(__file__).with_name("soak.yaml")
#: What may grow after the first third of the run before it counts as a leak, and what a latency may.
MEMORY_GROWTH = 1.03
LATENCY_GROWTH = 2.0


def generated(first: date, days: int, seed: int) -> Iterator[Message]:
    """Every day's messages: pairs each day, stocks on trading days."""
    calendar = Calendar()
    for number in range(days):
        day = first + timedelta(days=number)
        parts = [SyntheticDay(PAIRS, day, seed=seed).messages()]
        if calendar.is_trading_day(day):
            parts.append(SyntheticDay(STOCKS, day, seed=seed).messages())
        yield from heapq.merge(*parts, key=attrgetter("ts_ns"))


def write_tape(path: Path, first: date, days: int, seed: int) -> int:
    """A file that the exchange replays; returns how many messages it has."""
    count = 0
    with gzip.open(path, "wb", compresslevel=1) as tape:
        for message in generated(first, days, seed):
            tape.write(message.raw + b"\n")
            count += 1
    return count


@dataclass(slots=True)
class Sample:
    """One scrape. `buckets` are cumulative counts by step and bound, seconds."""

    at_s: float
    rss_mb: float
    exchange_mb: float
    lag_ms: float
    blocks: float
    """What the node's Python objects hold."""
    counters: dict[str, float]
    buckets: dict[str, dict[float, float]]


SUMS = {
    "runner_stream_messages_total": "messages",
    "runner_fills_total": "fills",
    "runner_stream_reconnects_total": "reconnects",
    "runner_strategy_faults_total": "faults",
    "runner_gate_errors_total": "gate errors",
    "runner_fills_lost_total": "fills lost",
    "runner_scrape_errors_total": "scrape errors",
    "runner_sample_errors_total": "sample errors",
    "runner_stream_handler_errors_total": "handler errors",
    "runner_stream_parse_errors_total": "parse errors",
}
#: Counters that must stay at 0.
ERRORS = ("faults", "gate errors", "fills lost", "scrape errors", "sample errors", "handler errors", "parse errors")


def scrape(url: str, pid: int, exchange_pid: int, began: float) -> Sample:
    with urllib.request.urlopen(url, timeout=30) as reply:
        text = reply.read().decode()
    counters = dict.fromkeys(SUMS.values(), 0.0) | {"orders": 0.0, "denied": 0.0}
    buckets: dict[str, dict[float, float]] = {step: {} for step in STEPS}
    lag = blocks = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if name := SUMS.get(sample.name):
                counters[name] += sample.value
            elif sample.name == "runner_orders_total" and sample.labels["state"] in ("submitted", "denied"):
                counters["orders" if sample.labels["state"] == "submitted" else "denied"] += sample.value
            elif sample.name == "runner_order_latency_seconds_bucket" and sample.labels["step"] in STEPS:
                buckets[sample.labels["step"]][float(sample.labels["le"])] = sample.value
            elif sample.name == "runner_loop_lag_seconds":
                lag = sample.value
            elif sample.name == "runner_python_blocks":
                blocks = sample.value
    node, exchange = resident_mb(pid), resident_mb(exchange_pid)
    return Sample(time.monotonic() - began, node, exchange, lag * 1e3, blocks, counters, buckets)


def quantile(earlier: dict[float, float], later: dict[float, float], share: float) -> float | None:
    """Of what came between two scrapes, in milliseconds, as Prometheus's histogram_quantile has it; None: nothing."""
    counts = [(bound, later[bound] - earlier.get(bound, 0.0)) for bound in sorted(later)]
    if not counts or not counts[-1][1]:
        return None
    wanted, low, below = counts[-1][1] * share, 0.0, 0.0
    for bound, cumulated in counts:
        if cumulated >= wanted:
            if bound == float("inf"):
                return low * 1e3
            return (low + (bound - low) * (wanted - below) / max(cumulated - below, 1e-9)) * 1e3
        low, below = bound, cumulated
    return low * 1e3


@dataclass(slots=True)
class Window:
    """A stretch of the run."""

    minute: float
    rss_mb: float
    exchange_mb: float
    lag_ms: float
    blocks: float
    counts: dict[str, float]
    latency_ms: dict[tuple[str, int], float | None] = field(default_factory=dict)


def windows(samples: Sequence[Sample], width_s: float) -> list[Window]:
    """Cut the samples into stretches of that width; the last may be shorter."""
    made: list[Window] = []
    first = 0
    while first < len(samples) - 1:
        last = first + 1
        while last < len(samples) - 1 and samples[last].at_s - samples[first].at_s < width_s:
            last += 1
        start, end, inside = samples[first], samples[last], samples[first + 1 : last + 1]
        window = Window(
            end.at_s / 60,
            statistics.median(each.rss_mb for each in inside),
            end.exchange_mb,
            max(each.lag_ms for each in inside),
            statistics.median(each.blocks for each in inside),
            {name: value - start.counters[name] for name, value in end.counters.items()},
        )
        for step in STEPS:
            for percent in (50, 99):
                window.latency_ms[step, percent] = quantile(start.buckets[step], end.buckets[step], percent / 100)
        made.append(window)
        first = last
    return made


HEAD = (
    "to minute", "node MB", "objects k", "exchange MB", "loop lag max ms", "messages", "orders", "denied", "fills",
    "reconnects", "tick → order p50 ms", "p99", "order → answer p50 ms", "p99",
)  # fmt: skip


def rows(made: Sequence[Window]) -> list[list[str]]:
    counted = ("messages", "orders", "denied", "fills", "reconnects")
    return [
        [
            f"{w.minute:.0f}", f"{w.rss_mb:.1f}", f"{w.blocks / 1e3:.0f}", f"{w.exchange_mb:.0f}", f"{w.lag_ms:.1f}",
            *(f"{w.counts[name]:,.0f}" for name in counted),
            *("-" if value is None else f"{value:.2f}" for value in w.latency_ms.values()),
        ]
        for w in made
    ]  # fmt: skip


def faults_of(made: Sequence[Window], summary: dict[str, Any], code: int) -> list[str]:
    """What is not as it must be, in words."""
    found = []
    if code:
        found.append(f"the node ended with exit code {code}")
    totals = {name: sum(window.counts[name] for window in made) for name in ERRORS}
    found += [f"{count:.0f} {name}" for name, count in totals.items() if count]
    for name, books in summary.get("books", {}).items():
        if books["agree"] is not True:
            found.append(f"books of {name} agree: {books['agree']} {books['reason'] or books['differences']}")
    third = max(1, len(made) // 3)
    early, late = made[third : 2 * third] or made[:1], made[-third:]
    for what, of in (("memory", attrgetter("rss_mb")), ("what the objects hold", attrgetter("blocks"))):
        before, after = (statistics.median(map(of, part)) for part in (early, late))
        if after > before * MEMORY_GROWTH:
            found.append(f"{what} grew from {before:.1f} to {after:.1f} after the first third")
    for step in STEPS:
        medians = [
            [value for each in part if (value := each.latency_ms[step, 50]) is not None] for part in (early, late)
        ]
        if all(medians) and statistics.median(medians[1]) > statistics.median(medians[0]) * LATENCY_GROWTH:
            found.append(
                f"{step} p50 grew from {statistics.median(medians[0]):.2f} to {statistics.median(medians[1]):.2f} ms"
            )
    return found


def page(arguments: argparse.Namespace, made: Sequence[Window], summary: dict[str, Any], found: Sequence[str]) -> str:
    """The result as Markdown."""
    table = [HEAD, ["---:"] * len(HEAD), *rows(made)]
    agree = {name: books["agree"] for name, books in summary.get("books", {}).items()}
    today = datetime.now(UTC).date()
    what = (
        f"`make soak` on {today}, {os.cpu_count()} cores, Python {platform.python_version()}: "
        f"{arguments.minutes:g} minutes at {arguments.speed:g} times real speed from {arguments.day} "
        f"{arguments.start} New York time on, which is {arguments.minutes * arguments.speed / 60:.0f} hours of market. "
        "Six strategies, two accounts, stocks and a pair (benches/soak.yaml), one of which trades without rest; all "
        "connections cut every "
        f"{arguments.cut_every:g} minutes."
    )
    how = (
        "Each row is a stretch of the run: memory is the median of its scrapes, latencies are those of its own orders, "
        "read off the node's histograms as Prometheus would. `objects` are thousands of blocks of memory that Python's "
        "objects hold (`runner_python_blocks`): what the node keeps, which comes and goes with the orders that are not "
        "let go of yet. Its resident memory has besides what the allocator keeps of its peaks. The exchange keeps all "
        "that it has played as history, so its memory grows; the node's must not."
    )
    verdict = "Nothing was wrong." if not found else "Not right: " + "; ".join(found) + "."
    lines = ["# Soak", "", "<!-- Written by `make soak`. Don't edit. -->", "", what, "", how, ""]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    lines += ["", f"Books agree: {json.dumps(agree)}. {verdict}", ""]
    return "\n".join(lines)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def node(url: str, port: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    stream = url.replace("http", "ws")
    overrides = {f"RUNNER__ACCOUNTS__{name}__URL": url for name in ("FIRST", "SECOND")}
    for feed in ("STOCKS", "COINS"):
        overrides |= {f"RUNNER__FEEDS__{feed}__DATA_URL": url, f"RUNNER__FEEDS__{feed}__STREAM_URL": stream}
    overrides |= {
        "RUNNER__METRICS__LISTEN": f"127.0.0.1:{port}", "RUNNER__STATE__DIR": str(folder / "state"),
        "BENCH_KEY": "PKSOAK0001", "BENCH_KEY_2": "PKSOAK0002", "BENCH_SECRET": "secret-of-the-soak",
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "run", str(FILE), "--json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=os.environ | overrides,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def cut(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/control/faults", json.dumps({"cut": "all"}).encode(), {"content-type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def run(arguments: argparse.Namespace, folder: Path) -> tuple[list[Sample], dict[str, Any], int]:
    tape = folder / "days.jsonl.gz"
    days = int(arguments.minutes * arguments.speed / 60 / 24) + 2
    count = write_tape(tape, arguments.day, days, arguments.seed)
    print(f"{count:,} messages over {days} days", file=sys.stderr)
    exchange = (
        "-m", "runner.cli", "exchange", "--replay", str(tape), "--speed", str(arguments.speed),
        "--start", arguments.start, "--wait", "--seed", str(arguments.seed), "--log-level", "warning",
    )  # fmt: skip
    samples: list[Sample] = []
    with process(*exchange) as venue:
        url = str(line(venue)["url"]).rstrip("/")
        port = free_port()
        with node(url, port, folder) as child:
            began = time.monotonic()
            cuts = 1
            while child.poll() is None and time.monotonic() - began < arguments.minutes * 60:
                time.sleep(arguments.every)
                with contextlib.suppress(OSError):  # it is starting, or has just ended
                    samples.append(scrape(f"http://127.0.0.1:{port}/metrics", child.pid, venue.pid, began))
                if time.monotonic() - began > cuts * arguments.cut_every * 60:
                    cuts += 1
                    cut(url)
            child.send_signal(signal.SIGTERM)
            assert child.stdout is not None
            said = child.stdout.read()
            code = child.wait(60)
    summary: dict[str, Any] = json.loads(said) if said.strip() else {}
    return samples, summary, code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="of the wall clock")
    parser.add_argument("--speed", type=float, default=50)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2026, 1, 8), help="the first day")
    parser.add_argument("--start", default="12:00", help="New York time of the first day")
    parser.add_argument("--every", type=float, default=5, help="seconds between two scrapes")
    parser.add_argument("--cut-every", type=float, default=7, help="minutes between two cuts of all connections")
    parser.add_argument("--windows", type=int, default=12, help="rows of the table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the result there as Markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        samples, summary, code = run(arguments, Path(folder))
    made = windows(samples, arguments.minutes * 60 / arguments.windows)
    found = faults_of(made, summary, code) if len(made) > 2 else [f"only {len(samples)} scrapes, exit code {code}"]
    text = page(arguments, made, summary, found)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
