"""Nautilus's constructors, as the engine calls them for ticks of the stream and for rows of history."""

from __future__ import annotations

from typing import Any

from nautilus_trader.core.nautilus_pyo3 import FIXED_PRECISION
from nautilus_trader.model.data import Bar, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId

from runner._engine import Builders
from runner.alpaca.bars import BarSource


def nautilus_builders(bar: Any = Bar.from_raw) -> Builders:
    """All of them; `bar` instead of Nautilus's own for bars."""
    return Builders(
        scale=FIXED_PRECISION,
        quote=QuoteTick.from_raw,
        trade=TradeTick.from_raw,
        bar=bar,
        trade_id=TradeId,
        aggressors=(AggressorSide.NO_AGGRESSOR, AggressorSide.BUYER, AggressorSide.SELLER),
    )


def calendar_builders(source: BarSource, *, utc: bool) -> Builders:
    """For history of bars that the calendar cuts: the engine hands over their start, and they close when they close."""

    def bar(*args: Any) -> Bar:
        close_ns = source.close_ns(args[-2], utc=utc)
        return Bar.from_raw(*args[:-2], close_ns, close_ns)

    return nautilus_builders(bar)
