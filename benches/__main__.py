"""`make bench`: each speed beside alpaca-py's where it has the like, in turns in one run; ratios, goals, and marks.

`python -m benches burst gate` runs only the parts that are named.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benches import instruments, speeds, startup
from benches import margin as margins
from benches.processes import line, process


@dataclass
class Row:
    """`value` is what the goal is about: a ratio where there is a peer. `limit` is its bound, from above or below."""

    what: str
    ours: str
    peer: str
    value: float
    shown: str
    limit: float
    at_least: bool = False

    @property
    def goal(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def ratio(what: str, ours: float, peer: float, limit: float, form: str, *, at_least: bool = False) -> Row:
    value = ours / peer
    return Row(what, form.format(ours), form.format(peer), value, f"{value:.2f} ×", limit, at_least)


def absolute(what: str, value: float, limit: float, form: str) -> Row:
    return Row(what, form.format(value), "-", value, "-", limit)


def ticks() -> Iterator[Row]:
    for per_frame, limit in ((1, 3.0), (10, 1.5), (50, 1.5)):
        pair, plain = speeds.ticks(per_frame)
        ours, peer, alone = (statistics.median(each) for each in (pair.ours, pair.peer, plain))
        name = f"socket → strategy, {per_frame} a frame (quotes/s)"
        yield ratio(name, ours, peer, limit, "{:,.0f}", at_least=True)
        yield Row("  share of ready-made ticks in a loop", f"{ours:,.0f}", f"{alone:,.0f} (loop)",
                  ours / alone, f"{ours / alone:.2f} ×", 0.8, at_least=True)  # fmt: skip


def burst() -> Iterator[Row]:
    rounds = speeds.burst()
    rate = statistics.median(each.rate for each in rounds)
    name = f"burst of {rate:,.0f} messages/s, conflating"
    yield absolute(f"{name}: quote's age p99 (ms)", statistics.median(each.p99_ms for each in rounds), 5, "{:.2f}")
    yield absolute(
        "  of that in the node p99 (ms)", statistics.median(each.wait_p99_ms for each in rounds), 5, "{:.2f}"
    )
    yield absolute("  trades lost", sum(each.lost_trades for each in rounds), 0, "{:.0f}")
    yield absolute("  quotes lost uncounted", sum(abs(each.uncounted) for each in rounds), 0, "{:.0f}")
    yield absolute("  bursts without their last quote", sum(not each.newest_came for each in rounds), 0, "{:.0f}")
    yield absolute("  memory grown after the first (MB)", rounds[-1].grown_mb, 1, "{:.1f}")


def reaction() -> Iterator[Row]:
    pair = speeds.quote_to_order()
    for percent in (50, 99):
        ours, peer = (speeds.percentile(each, percent) / 1e6 for each in (pair.ours, pair.peer))
        yield ratio(f"quote → order leaves, gate on, p{percent} (ms)", ours, peer, 0.6, "{:.3f}")


def post() -> Iterator[Row]:
    pair = speeds.post()
    ours, peer = (statistics.median(each) / 1e6 for each in (pair.ours, pair.peer))
    yield ratio("POST an order, p50 (ms)", ours, peer, 0.2, "{:.3f}")


def gate() -> Iterator[Row]:
    # A run is over in a second, and one stall of the machine in it would be all of its p99.
    runs = []
    for _ in range(3):
        with process("-m", "benches.gate") as child:
            runs.append(line(child))
    for name, where in (("spread", "on as many symbols"), ("one", "on one symbol")):
        for percent, limit in ((50, 20), (99, 50)):
            value = statistics.median(speeds.percentile(took[name], percent) for took in runs) / 1e3
            what = f"gate, 50 orders {where}, p{percent} (µs)"
            yield absolute(what, value, limit, "{:.1f}")


def margin() -> Iterator[Row]:
    for size, limit in zip(margins.SIZES, (3, 10, 10), strict=True):
        pair = margins.margins(size)
        ours, peer = pair.ours[0], pair.peer[0]
        name = f"option margin, {size} legs (µs); peer: a sweep in Python"
        yield Row(name, f"{ours:.2f}", f"{peer:.1f}", peer / ours, f"{peer / ours:.1f} ×", limit, at_least=True)


def start() -> Iterator[Row]:
    check = ["check", startup.FILE, "--sim"]
    for what, args, anew in (
        ("--help", ["--help"], False),
        ("check FILE, its classes unchanged", check, False),
        ("check FILE, the first time", check, True),
    ):
        wall, cpu = startup.command("-m", "runner.cli", *args, anew=anew)
        yield absolute(f"runner {what} (s)", wall, 0.3, "{:.2f}")
        yield absolute("  CPU (s)", cpu, 0.5, "{:.2f}")
    yield absolute("file → trading, exchange is up (s)", startup.file_to_trading(simulated=False), 3, "{:.2f}")
    yield absolute("file → trading with --sim (s)", startup.file_to_trading(simulated=True), 3, "{:.2f}")


def loading() -> Iterator[Row]:
    took = instruments.measure()
    yield absolute("load one stock by its name (s)", took["one"]["seconds"], 0.1, "{:.3f}")
    for name, seconds, mb in (("assets", 3, 80), ("contracts", 6, 80)):
        row = took[name]
        yield absolute(f"load {row['count']:,.0f} {name} (s)", row["seconds"], seconds, "{:.2f}")
        yield absolute("  memory (MB)", row["mb"], mb, "{:.0f}")
        yield absolute("  longest turn of the loop (ms of CPU)", row["stood"] * 1e3, 150, "{:.0f}")


def memory() -> Iterator[Row]:
    day = startup.memory()
    yield absolute("memory after a replayed day (MB)", day["mb"], 380, "{:.0f}")


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "ticks": ticks, "burst": burst, "reaction": reaction, "post": post, "gate": gate,
    "margin": margin, "start": start, "loading": loading, "memory": memory,
}  # fmt: skip


def main() -> int:
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    table = Table(title="medians of one run; only ratios mean much")
    for heading in ("what", "runner", "alpaca-py", "ratio", "goal", ""):
        table.add_column(heading, no_wrap=True)
    began = time.perf_counter()
    # As wide as the table needs, also where the output is a file.
    console = Console(width=None if sys.stdout.isatty() else 120)
    for name in names:
        with console.status(name):
            for row in PARTS[name]():
                mark = "[green]reached[/]" if row.reached else "[red]missed[/]"
                table.add_row(row.what, row.ours, row.peer, row.shown, row.goal, mark)
    console.print(table)
    console.print(f"{time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
