"""Made-up corporate actions: each stock of a synthetic day has paid a dividend this quarter and announced the next."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from runner.exchange.assets import asset_class_of
from runner.exchange.calendar import Calendar

_QUARTER: Final = timedelta(days=91)
_PAYABLE: Final = timedelta(days=15)


def dividends(symbols: Sequence[str], day: date, seed: int, calendar: Calendar) -> Iterator[dict[str, Any]]:
    """The last and the next cash dividend of each stock, as members of Alpaca's rows. None is effective on `day`."""
    for symbol in symbols:
        if asset_class_of(symbol) != "us_equity":
            continue
        # Seeded by text: the same on every machine and with any hash seed.
        rnd = random.Random(f"{seed}/dividends/{symbol}")  # noqa: S311  # reproducible, not secret
        rate = Decimal(rnd.randrange(10, 200)) / 100
        last = day - timedelta(days=rnd.randrange(20, 60))
        for ex_day in (_trading(last, calendar), _trading(last + _QUARTER, calendar)):
            paid = _trading(ex_day + _PAYABLE, calendar)
            yield {
                "symbol": symbol,
                "rate": rate,
                "special": False,
                "foreign": False,
                "ex_date": ex_day.isoformat(),
                "record_date": ex_day.isoformat(),
                "payable_date": paid.isoformat(),
                "process_date": paid.isoformat(),
            }


def _trading(day: date, calendar: Calendar) -> date:
    while not calendar.is_trading_day(day):
        day += timedelta(days=1)
    return day
