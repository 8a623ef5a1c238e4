"""Option margin from Python: the engine beside the best that plain Python does, one sorted sweep over whole numbers."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from benches.speeds import Pair
from runner._engine import option_margin

type Legs = list[tuple[bool, int, int, int]]

SIZES = (4, 100, 1000)
ROUNDS = 15


def portfolio(size: int, seed: int = 1) -> Legs:
    """So many legs of two expirations, every short call covered."""
    rng = random.Random(seed)
    legs: Legs = []
    for number in range(size // 2):
        call, expiry = number % 2 == 0, (250117, 250221)[number // 2 % 2]
        strike, qty = rng.randint(50, 300) * 1000, rng.randint(1, 5)
        legs += [(call, strike, expiry, -qty), (call, strike + rng.randint(-5, 5) * 1000, expiry, qty)]
    return legs


def sweep(legs: Legs) -> int:
    """The same rule in Python: date by date, latest first, with what later shorts leave over; mills times contracts."""
    dates: dict[int, Legs] = {}
    for leg in legs:
        dates.setdefault(leg[2], []).append(leg)
    worst = 0
    later: dict[bool, list[list[int]]] = {True: [], False: []}
    for expiry in sorted(dates, reverse=True):
        own = dates[expiry]
        bends = [(strike, qty) for _, strike, _, qty in own]
        value = sum(strike * qty for call, strike, _, qty in own if not call)
        slope = -sum(qty for call, _, _, qty in own if not call)
        for call, rows in later.items():
            for strike, qty in rows:
                bends.append((strike, qty))
                if not call:
                    value += strike * qty
                    slope -= qty
        least, at = min(value, 0), 0
        for strike, qty in sorted(bends):
            value += slope * (strike - at)
            at = strike
            slope += qty
            least = min(least, value)
        if slope < 0:
            raise ValueError("uncovered")
        worst = max(worst, -least)
        for call, rows in later.items():
            shorts = -sum(qty for c, _, _, qty in own if c == call and qty < 0)
            rows += [[strike, qty] for c, strike, _, qty in own if c == call and qty > 0]
            rows.sort(reverse=not call)
            for row in rows:
                used = min(shorts, row[1])
                row[1] -= used
                shorts -= used
            later[call] = [row for row in rows if row[1]]
    return worst


def margins(size: int) -> Pair:
    """Microseconds a call, in turns."""
    legs = portfolio(size)
    if option_margin(legs) != sweep(legs) * 100 * 10**6:
        raise AssertionError(f"the two differ on {size} legs")
    calls = max(20, 20_000 // size)
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours.append(_timed(option_margin, legs, calls))
        peer.append(_timed(sweep, legs, calls))
    return Pair([statistics.median(ours)], [statistics.median(peer)])


def _timed(work: Callable[[Legs], object], legs: Legs, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        work(legs)
    return (time.perf_counter() - started) / calls * 1e6
