"""What can be traded: an asset for every symbol that the market data mentions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

_NAMESPACE: Final = uuid.UUID("3b1b5b0e-6f0b-5c53-9a2d-5a1c5d7b5f10")

# Enough names that a page of assets reads well; any other symbol gets a made-up name on NASDAQ.
_KNOWN: Final[dict[str, tuple[str, str]]] = {
    "AAPL": ("Apple Inc. Common Stock", "NASDAQ"),
    "AMD": ("Advanced Micro Devices, Inc. Common Stock", "NASDAQ"),
    "AMZN": ("Amazon.com, Inc. Common Stock", "NASDAQ"),
    "BAC": ("Bank of America Corporation", "NYSE"),
    "F": ("Ford Motor Company", "NYSE"),
    "GE": ("GE Aerospace", "NYSE"),
    "GOOG": ("Alphabet Inc. Class C Capital Stock", "NASDAQ"),
    "GOOGL": ("Alphabet Inc. Class A Common Stock", "NASDAQ"),
    "IBM": ("International Business Machines Corporation", "NYSE"),
    "INTC": ("Intel Corporation Common Stock", "NASDAQ"),
    "JPM": ("JPMorgan Chase & Co.", "NYSE"),
    "META": ("Meta Platforms, Inc. Class A Common Stock", "NASDAQ"),
    "MSFT": ("Microsoft Corporation Common Stock", "NASDAQ"),
    "NVDA": ("NVIDIA Corporation Common Stock", "NASDAQ"),
    "QQQ": ("Invesco QQQ Trust, Series 1", "NASDAQ"),
    "SPY": ("SPDR S&P 500 ETF Trust", "ARCA"),
    "T": ("AT&T Inc.", "NYSE"),
    "TSLA": ("Tesla, Inc. Common Stock", "NASDAQ"),
}
_TAPES: Final = {"NYSE": "A", "ARCA": "B", "AMEX": "B", "BATS": "B", "NYSEARCA": "B", "NASDAQ": "C", "OTC": "O"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A stock as `/v2/assets` describes it. Margin requirements are percentages of market value."""

    symbol: str
    id: str
    name: str
    exchange: str
    tradable: bool = True
    marginable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True
    status: str = "active"
    asset_class: str = "us_equity"
    maintenance_margin_requirement: Decimal = Decimal(30)
    margin_requirement_long: Decimal = Decimal(30)
    margin_requirement_short: Decimal = Decimal(100)

    @property
    def tape(self) -> str:
        """Which consolidated tape reports it: A, B, C or O."""
        return _TAPES[self.exchange]

    def to_json(self) -> dict[str, Any]:
        """The body that Alpaca's spec calls `Assets`."""
        requirement = self.maintenance_margin_requirement
        return {
            "id": self.id,
            "class": self.asset_class,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "name": self.name,
            "status": self.status,
            "tradable": self.tradable,
            "marginable": self.marginable,
            "shortable": self.shortable,
            "easy_to_borrow": self.easy_to_borrow,
            "borrow_status": "easy_to_borrow" if self.easy_to_borrow else "hard_to_borrow",
            "fractionable": self.fractionable,
            "cusip": None,
            "maintenance_margin_requirement": int(requirement),
            "margin_requirement_long": str(self.margin_requirement_long),
            "margin_requirement_short": str(self.margin_requirement_short),
            "attributes": ["fractional_eh_enabled", "has_options", "overnight_tradable"],
        }


def make_asset(symbol: str) -> Asset:
    """The asset of `symbol`; its id depends on the symbol alone."""
    name, exchange = _KNOWN.get(symbol, (f"{symbol} Simulated Common Stock", "NASDAQ"))
    return Asset(symbol=symbol, id=str(uuid.uuid5(_NAMESPACE, symbol)), name=name, exchange=exchange)
