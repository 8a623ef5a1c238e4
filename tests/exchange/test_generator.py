"""The synthetic day: the same every time, and like a day."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from statistics import mean
from typing import Any

import pytest

from runner.exchange.calendar import Calendar, new_york
from runner.exchange.generator import SyntheticDay

DAY = date(2026, 1, 12)


@pytest.fixture(scope="module")
def day() -> list[dict[str, Any]]:
    """Quotes and prints, without the news."""
    return [
        {**json.loads(m.raw), "ns": m.ts_ns} for m in SyntheticDay(["IBM", "BAC"], DAY, seed=3).messages() if m.symbol
    ]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    def texts(seed: int) -> list[bytes]:
        made = SyntheticDay(["IBM"], DAY, seed=seed, extended_hours=False, activity=0.1)
        return [message.raw for message in made.messages()]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_a_symbol_s_day_does_not_depend_on_its_company() -> None:
    def of_ibm(*symbols: str) -> list[bytes]:
        made = SyntheticDay(symbols, DAY, extended_hours=False, activity=0.1)
        return [message.raw for message in made.messages() if message.symbol == "IBM"]

    assert of_ibm("IBM") == of_ibm("AAPL", "IBM", "ZZZ")


def test_messages_are_in_time_order_from_four_to_eight(day: list[dict[str, Any]]) -> None:
    times = [message["ns"] for message in day]
    assert times == sorted(times)
    calendar = Calendar()
    assert calendar.session_open(DAY) <= times[0]
    assert times[-1] < calendar.session_close(DAY)
    assert 50_000 <= len(day) <= 150_000


def test_trades_print_at_the_quote_or_inside_it(day: list[dict[str, Any]]) -> None:
    quotes: dict[str, dict[str, Any]] = {}
    where: Counter[str] = Counter()
    for message in day:
        if message["T"] == "q":
            assert 0 < message["bp"] < message["ap"]
            assert message["bs"] > 0
            assert message["as"] > 0
            quotes[message["S"]] = message
        elif quotes.get(message["S"]):
            at = quotes[message["S"]]
            inside = at["bp"] <= message["p"] <= at["ap"]
            where["inside" if inside else "outside"] += 1
            where["touch"] += message["p"] in (at["bp"], at["ap"])
    assert where["outside"] < 0.01 * where["inside"]
    assert where["touch"] > 0.5 * where["inside"]


def test_volume_is_u_shaped_and_thin_out_of_hours(day: list[dict[str, Any]]) -> None:
    by_hour: Counter[int] = Counter(new_york(m["ns"]).hour for m in day if m["T"] == "t")
    assert by_hour[10] > 1.2 * by_hour[12]
    assert by_hour[15] > 1.2 * by_hour[12]
    assert by_hour[8] < 0.3 * by_hour[12]
    assert by_hour[18] < 0.3 * by_hour[12]


def test_spreads_are_wide_before_the_opening_and_narrow_at_noon(day: list[dict[str, Any]]) -> None:
    def spread(hour: int) -> float:
        rows = [m for m in day if m["T"] == "q" and m["S"] == "IBM" and new_york(m["ns"]).hour == hour]
        return mean(m["ap"] - m["bp"] for m in rows)

    assert spread(8) > 2 * spread(12)


def test_the_day_moves_by_percents_not_by_multiples(day: list[dict[str, Any]]) -> None:
    for symbol in ("IBM", "BAC"):
        prices = [m["p"] for m in day if m["T"] == "t" and m["S"] == symbol]
        assert 0.002 < max(prices) / min(prices) - 1 < 0.15


def test_a_half_day_ends_at_one() -> None:
    made = SyntheticDay(["IBM"], date(2025, 11, 28), extended_hours=False, activity=0.05)
    assert new_york(made.scan().end_ns).hour == 12


def test_no_symbols_and_no_trading_day_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one symbol"):
        SyntheticDay([], DAY)
    with pytest.raises(ValueError, match="no trading day"):
        SyntheticDay(["IBM"], date(2026, 1, 11))
