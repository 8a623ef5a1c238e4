"""Margin of options in Python's own types, over the engine's exact integers. Imports neither Nautilus nor pydantic."""

from __future__ import annotations

from runner.margin.options import (
    AlpacaOptionsMarginCalculator,
    CostBasis,
    ExpiryLoss,
    OptionLeg,
    OptionPosition,
    OptionsMargin,
    UncoveredError,
)

__all__ = [
    "AlpacaOptionsMarginCalculator",
    "CostBasis",
    "ExpiryLoss",
    "OptionLeg",
    "OptionPosition",
    "OptionsMargin",
    "UncoveredError",
]
