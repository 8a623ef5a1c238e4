"""A venue of Nautilus's own that fills what strategies order on made-up bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity

IBM = InstrumentId(Symbol("IBM"), Venue("ALPACA"))
BAR_TYPE = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-EXTERNAL")


def equity(instrument_id: InstrumentId = IBM) -> Equity:
    return Equity(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        lot_size=Quantity.from_int(1),
        margin_init=Decimal("0.5"),
        margin_maint=Decimal("0.25"),
        ts_event=0,
        ts_init=0,
    )


def minute_bars(closes: Sequence[str], *, start: str = "2013-10-07 09:31") -> list[Bar]:
    """One bar a minute, the first ending at `start` (New York)."""
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("America/New_York"))
    first_ns = int(first.timestamp()) * 1_000_000_000
    bars = []
    for index, close in enumerate(closes):
        price = Price.from_str(close)
        ts = first_ns + index * 60_000_000_000
        bars.append(Bar(BAR_TYPE, price, price, price, price, Quantity.from_int(10_000), ts, ts))
    return bars


Backtest = Callable[..., BacktestEngine]


@pytest.fixture
def backtest() -> Iterator[Backtest]:
    engines: list[BacktestEngine] = []

    def run(strategy: Any, bars: list[Bar], *, before_run: Callable[[Any], object] | None = None) -> Any:
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engines.append(engine)
        engine.add_venue(
            venue=Venue("ALPACA"),
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            starting_balances=[Money(100_000, USD)],
        )
        engine.add_instrument(equity())
        engine.add_data(bars)
        engine.add_strategy(strategy)
        if before_run is not None:
            before_run(engine)
        engine.run()
        return engine

    yield run
    for engine in engines:
        engine.dispose()


@pytest.fixture
def bars_of() -> Callable[..., list[Bar]]:
    return minute_bars


@pytest.fixture
def instrument() -> Equity:
    return equity()
