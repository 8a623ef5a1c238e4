"""The engine's spread rule and the simulated exchange's, which share no code, on random positions and beside shares."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest

from runner import _engine
from runner.exchange.broker.margin import Held, option_margin, uncovered, without_covered_calls
from runner.exchange.contracts import contract_of

DAYS = (250117, 250124, 250131)
STRIKES = (90, 95, 100, 105, 110)
type Position = dict[tuple[str, int, int], int]


def positions(seed: int, count: int) -> list[Position]:
    """Up to five series over one, two or three expirations, one or two contracts long or short of each."""
    chosen = random.Random(seed)  # reproducible, not secret
    return [
        {
            (chosen.choice("CP"), chosen.choice(STRIKES), chosen.choice(days)): chosen.choice((-2, -1, 1, 2))
            for _ in range(chosen.randint(1, 5))
        }
        for days in (DAYS[: 1 + number % 3] for number in range(count))
    ]


def engines(position: Position, *, later: bool, shares: int = 0) -> Decimal | None:
    legs = [(kind == "C", strike * 1_000, day, qty) for (kind, strike, day), qty in position.items()]
    try:
        nanos = _engine.option_margin(legs, shares, "from_date" if later else "per_date")
    except _engine.UncoveredError:
        return None
    return Decimal(nanos) / 10**9


@pytest.mark.parametrize("later", [False, True])
def test_both_say_the_same(later: bool) -> None:
    seen: Counter[str] = Counter()
    for position in positions(3, 3_000):
        held = [
            Held(contract_of(f"X{day}{kind}{strike * 1_000:08d}"), Decimal(qty))
            for (kind, strike, day), qty in position.items()
        ]
        own = option_margin(held, later=later)
        assert engines(position, later=later) == own, position
        assert (own is None) == (uncovered(held, "call") > 0)
        seen["uncovered" if own is None else "some" if own else "none"] += 1
    assert min(seen["uncovered"], seen["some"], seen["none"]) > 100, seen


@pytest.mark.parametrize("later", [False, True])
def test_both_say_the_same_beside_shares(later: bool) -> None:
    for number, position in enumerate(positions(4, 2_000)):
        shares = number % 5 * 75
        held = [
            Held(contract_of(f"X{day}{kind}{strike * 1_000:08d}"), Decimal(qty))
            for (kind, strike, day), qty in position.items()
        ]
        rest, _ = without_covered_calls(held, Decimal(shares))
        assert engines(position, later=later, shares=shares) == option_margin(rest, later=later), (position, shares)
