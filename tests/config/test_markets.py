"""Words that the file and the adapter share."""

from __future__ import annotations

import pytest

from runner.config.markets import adjustment, market_of


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("IBM", "stocks"),
        ("BRK.B", "stocks"),
        ("BTC/USD", "crypto"),
        ("IBM260116C00225000", "options"),
        ("(1)IBM260116C00225000___((1))IBM260116C00230000", "options"),
    ],
)
def test_a_symbols_form_tells_its_market(symbol: str, market: str) -> None:
    assert market_of(symbol) == market


def test_adjustments_are_alpacas() -> None:
    assert adjustment("raw") == "raw"
    assert adjustment(" split, dividend ") == "split,dividend"
    for wrong in ("splits", "", "split,,all"):
        with pytest.raises(ValueError, match="none of raw, split, dividend, spin-off, all"):
            adjustment(wrong)
