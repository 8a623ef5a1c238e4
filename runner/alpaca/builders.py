"""Nautilus's constructors, as the engine calls them for ticks of the stream and for rows of history."""

from __future__ import annotations

from typing import Any

from nautilus_trader.core.nautilus_pyo3 import FIXED_PRECISION
from nautilus_trader.model.data import Bar, CustomData, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId
from nautilus_trader.model.objects import Price

from runner._engine import Builders
from runner.alpaca.bars import BarSource
from runner.alpaca.custom import AlpacaPriceBand


def _revision(bar_type: Any, *args: Any) -> Bar:
    """A bar in place of one that came before; Nautilus's `from_raw` makes none."""
    made = Bar.from_raw(bar_type, *args)
    return Bar(
        bar_type, made.open, made.high, made.low, made.close, made.volume, made.ts_event, made.ts_init, is_revision=True
    )


def _band(
    instrument_id: Any, upper: int, lower: int, digits: int, indicator: str, tape: str, ts_event: int, ts_init: int
) -> CustomData:
    band = AlpacaPriceBand(
        ts_event=ts_event,
        ts_init=ts_init,
        instrument_id=instrument_id,
        limit_up_price=Price.from_raw(upper, digits),
        limit_down_price=Price.from_raw(lower, digits),
        indicator=indicator,
        tape=tape,
    )
    return CustomData(AlpacaPriceBand.of(instrument_id), band)


def nautilus_builders(bar: Any = Bar.from_raw) -> Builders:
    """All of them; `bar` instead of Nautilus's own for bars."""
    return Builders(
        scale=FIXED_PRECISION,
        quote=QuoteTick.from_raw,
        trade=TradeTick.from_raw,
        bar=bar,
        trade_id=TradeId,
        aggressors=(AggressorSide.NO_AGGRESSOR, AggressorSide.BUYER, AggressorSide.SELLER),
        revision=_revision,
        band=_band,
    )


def calendar_builders(source: BarSource, *, utc: bool) -> Builders:
    """For history of bars that the calendar cuts: the engine hands over their start, and they close when they close."""

    def bar(*args: Any) -> Bar:
        close_ns = source.close_ns(args[-2], utc=utc)
        return Bar.from_raw(*args[:-2], close_ns, close_ns)

    return nautilus_builders(bar)
