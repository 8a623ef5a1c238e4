"""What an account has made, from its own fills."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.objects import Money, Price, Quantity

from runner.risk.ledger import Ledger
from tests.alpaca.scripted import pair

BTC = pair()
COIN = BTC.base_currency


def fill(side: str, qty: str, price: str, commission: Money) -> Any:
    return SimpleNamespace(
        instrument_id=BTC.id, account_id="a", strategy_id="s", is_buy=side == "buy", currency=USD,
        last_qty=Quantity.from_str(qty), last_px=Price.from_str(price), commission=commission,
    )  # fmt: skip


@pytest.fixture
def ledger() -> Ledger:
    cache = SimpleNamespace(instrument=lambda _id: BTC)
    return Ledger(cache, SimpleNamespace(middle=lambda _id: Decimal(30_000)))  # type: ignore[arg-type]


def test_a_fee_in_coins_is_lost_as_one_in_dollars_is(ledger: Ledger) -> None:
    ledger.on_fill(fill("buy", "1.000000000", "30000.00", Money(Decimal("0.0025"), COIN)))
    assert ledger.value() == -75
    ledger.on_fill(fill("sell", "0.997500000", "30000.00", Money(75, USD)))
    assert ledger.value() == -150
