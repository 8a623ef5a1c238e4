"""Ticks and orders, ours and the peer's in turns, so that what else the machine does falls on both alike."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass

from benches.processes import ask, line, node, process, venue

TICKS = 18_000
ROUNDS = 7
# Nautilus takes no more than 100 orders a second; a pause follows each burst.
BURST, BURSTS = 60, 5
COLD = 5


@dataclass
class Pair:
    """Figures of each round, ours and the peer's."""

    ours: list[float]
    peer: list[float]


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if percent != 50 else statistics.median(values)


def ticks(per_frame: int) -> tuple[Pair, list[float]]:
    """Quotes a second at the handler, and those of a plain loop in the same node."""
    pair, plain = Pair([], []), []
    with (
        venue() as our_venue,
        venue() as their_venue,
        node(our_venue, "Counter", wanted=TICKS, conflate_above=2 * TICKS) as ours,
        process("-m", "benches.peer", their_venue, "ticks", str(TICKS)) as peer,
    ):
        line(peer)
        for _ in range(ROUNDS + 1):
            ask(f"{our_venue}/bench/blast?messages={TICKS}&per_frame={per_frame}")
            report = ours.report()
            pair.ours.append(TICKS / float(report["seconds"]))
            plain.append(TICKS / float(report["plain"]))
            ask(f"{their_venue}/bench/blast?messages={TICKS}&per_frame={per_frame}")
            pair.peer.append(TICKS / float(line(peer)["seconds"]))
    # The first round of each finds everything cold.
    return Pair(pair.ours[1:], pair.peer[1:]), plain[1:]


def quote_to_order() -> Pair:
    """Nanoseconds from a quote's leaving the venue to its order's arrival there, gate on."""
    pair = Pair([], [])
    with (
        venue() as our_venue,
        venue() as their_venue,
        node(our_venue, "Reactor", piped=False),
        process("-m", "benches.peer", their_venue, "orders") as peer,
    ):
        line(peer)
        for _ in range(BURSTS):
            for url, took in ((our_venue, pair.ours), (their_venue, pair.peer)):
                # The first of a burst find connections and caches cold; a market that moves keeps them warm.
                took += [float(ask(f"{url}/bench/ping")["ns"]) for _ in range(BURST + COLD)][COLD:]
            time.sleep(1)
    return pair


def post() -> Pair:
    """Nanoseconds of one POST and its reply."""
    import uvloop

    pair = Pair([], [])
    with venue() as our_venue, venue() as their_venue, process("-m", "benches.peer", their_venue, "post") as peer:
        line(peer)
        assert peer.stdin is not None
        for _ in range(BURSTS):
            pair.ours += uvloop.run(post_orders(our_venue))
            peer.stdin.write(f"{BURST + COLD}\n")
            peer.stdin.flush()
            pair.peer += [float(ns) for ns in line(peer)["ns"]][COLD:]
    return pair


async def post_orders(url: str) -> list[float]:
    from runner.alpaca import AlpacaHttpClient

    client = AlpacaHttpClient("PKBENCH", "secret", trading_url=url, data_url=url, trading_per_min=10_000_000)
    client.attach(asyncio.get_running_loop())
    body = json.dumps({"symbol": "IBM", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}).encode()
    took = []
    for _ in range(BURST + COLD):
        began = time.perf_counter_ns()
        await client.post("/v2/orders", body)
        took.append(float(time.perf_counter_ns() - began))
    client.close()
    return took[COLD:]


@dataclass
class Burst:
    """One burst: what was asked for and sent, and what came of it."""

    rate: float
    p50_ms: float
    p99_ms: float
    wait_p99_ms: float
    quotes: int
    lost_trades: int
    uncounted: int
    newest_came: bool
    grown_mb: float


def burst(rate: int = 1_000_000, seconds: float = 2.0, rounds: int = 3) -> list[Burst]:
    """A flood at the socket, with the mark at which quotes conflate as the file has it by default."""
    results = []
    with venue() as url, node(url, "Aged") as ours:
        for _ in range(rounds + 1):
            sent = ask(f"{url}/bench/burst?rate={rate}&seconds={seconds}&per_frame=100")
            got = ours.report()
            results.append(
                Burst(
                    rate=(sent["quotes"] + sent["trades"]) / sent["seconds"],
                    p50_ms=got["p50_ns"] / 1e6,
                    p99_ms=got["p99_ns"] / 1e6,
                    wait_p99_ms=got["wait_p99_ns"] / 1e6,
                    quotes=got["quotes"],
                    lost_trades=sent["trades"] - got["trades"],
                    uncounted=sent["quotes"] - got["quotes"] - got["conflated"],
                    newest_came=got["newest_ns"] == sent["newest_ns"],
                    grown_mb=got["grown_kb"] / 1024,
                )
            )
    return results[1:]
