"""Settings that make no sense are refused, and those of the broker reach it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.app import build
from runner.exchange.settings import Settings

SWITCHES: dict[str, Any] = {
    "fee_per_share": Decimal("0.01"),
    "partial_fill_rate": 0.25,
    "opening_cash": Decimal(5_000),
    "options_level": 1,
    "replace_carries_fills": True,
    "margin_later": True,
    "netted_cost": False,
    "leg_intents_required": True,
    "leg_updates": True,
    "late_activities": True,
}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"partial_fill_rate": 1.5}, "partial_fill_rate is a probability"),
        ({"opening_cash": Decimal(0)}, "opening_cash must be above 0"),
        ({"options_level": 4}, "options_level must be 0, 1, 2 or 3"),
        ({"fee_per_share": Decimal(-1)}, "fee_per_share must not be negative"),
    ],
)
def test_what_makes_no_sense(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**more)


def test_the_switches_reach_the_broker() -> None:
    parts = build(Settings(symbols=("IBM",), extended_hours=False, activity=0.01, **SWITCHES))
    known = parts.broker.desk.floor.settings
    assert {name: getattr(known, name) for name in SWITCHES} == SWITCHES
    account = parts.broker.account("PK1")
    assert (account.cash, account.options_level) == (5_000, 1)
