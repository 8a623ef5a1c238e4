"""What can be traded: an asset for every symbol that the market data mentions, a stock or a crypto pair."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

type AssetClass = Literal["us_equity", "crypto", "us_option"]

CRYPTO_SYMBOL: Final = re.compile(r"[A-Z0-9]{2,10}/[A-Z]{3,4}")
OPTION_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,5}\d{6}[CP]\d{8}")
QUOTE_CURRENCIES: Final = ("USDT", "USDC", "USD", "BTC")
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
# Name, smallest order, and the price step against dollars; steps against other currencies are finer.
_COINS: Final[dict[str, tuple[str, str, str]]] = {
    "AAVE": ("Aave", "0.0035", "0.001"),
    "AVAX": ("Avalanche", "0.025", "0.0005"),
    "BCH": ("Bitcoin Cash", "0.0021", "0.001"),
    "BTC": ("Bitcoin", "0.000012", "0.01"),
    "DOGE": ("Dogecoin", "3.1", "0.0000001"),
    "DOT": ("Polkadot", "0.15", "0.00005"),
    "ETH": ("Ethereum", "0.00034", "0.005"),
    "LINK": ("ChainLink Token", "0.05", "0.0005"),
    "LTC": ("Litecoin", "0.0094", "0.0005"),
    "SHIB": ("Shiba Inu", "46000", "0.000000001"),
    "SOL": ("Solana", "0.0043", "0.0005"),
    "UNI": ("Uniswap Protocol Token", "0.075", "0.0005"),
    "USDC": ("USD Coin", "1", "0.0001"),
    "USDT": ("USD Tether", "1", "0.0001"),
    "XRP": ("Ripple", "0.4", "0.00001"),
}
_CURRENCIES: Final = {"USD": "US Dollar", "USDT": "USD Tether", "USDC": "USD Coin", "BTC": "Bitcoin"}
CRYPTO_TRADE_INCREMENT: Final = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Asset:
    """A stock, a crypto pair or an option contract, as `/v2/assets` describes it.

    Margin requirements are percentages of market value. The increments and the smallest order are crypto's alone: units
    of the base currency, and of the quote currency for `price_increment`.
    """

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
    asset_class: AssetClass = "us_equity"
    maintenance_margin_requirement: Decimal = Decimal(30)
    margin_requirement_long: Decimal = Decimal(30)
    margin_requirement_short: Decimal = Decimal(100)
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None
    has_options: bool = False

    @property
    def tape(self) -> str:
        """Which consolidated tape reports it: A, B, C or O; crypto and options have none."""
        return _TAPES.get(self.exchange, "")

    def to_json(self) -> dict[str, Any]:
        """The body that Alpaca's spec calls `Assets`."""
        stock = self.asset_class == "us_equity"
        body: dict[str, Any] = {
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
            "fractionable": self.fractionable,
            "maintenance_margin_requirement": int(self.maintenance_margin_requirement),
            "margin_requirement_long": str(self.margin_requirement_long),
            "margin_requirement_short": str(self.margin_requirement_short),
            "attributes": [],
        }
        if stock:
            body["borrow_status"] = "easy_to_borrow" if self.easy_to_borrow else "hard_to_borrow"
            body["cusip"] = None
            options = ["has_options"] if self.has_options else []
            body["attributes"] = ["fractional_eh_enabled", *options, "overnight_tradable"]
        for name in ("min_order_size", "min_trade_increment", "price_increment"):
            value: Decimal | None = getattr(self, name)
            if value is not None:
                body[name] = f"{value:f}"
        return body


def asset_class_of(symbol: str) -> AssetClass:
    """The class that a symbol's form tells: `BTC/USD`, `GOOG160115C00750000`, or a stock."""
    if "/" in symbol:
        return "crypto"
    return "us_option" if OPTION_SYMBOL.fullmatch(symbol) else "us_equity"


def asset_id(symbol: str) -> str:
    """The id of an asset or an option contract: it depends on the symbol alone."""
    return str(uuid.uuid5(_NAMESPACE, symbol))


def make_asset(symbol: str) -> Asset:
    """The asset of a stock or a crypto pair. Raises ValueError for an option: those are contracts."""
    kind = asset_class_of(symbol)
    if kind == "crypto":
        return _crypto(symbol)
    if kind == "us_option":
        raise ValueError(f"{symbol} is an option contract, not an asset of its own")
    name, exchange = _KNOWN.get(symbol, (f"{symbol} Simulated Common Stock", "NASDAQ"))
    return Asset(symbol=symbol, id=asset_id(symbol), name=name, exchange=exchange)


def _crypto(symbol: str) -> Asset:
    if not CRYPTO_SYMBOL.fullmatch(symbol):
        raise ValueError(f"{symbol!r} is not a crypto pair: write it as BTC/USD")
    base, _, currency = symbol.partition("/")
    name, smallest, step = _COINS.get(base, (base, "0.01", "0.0001"))
    return Asset(
        symbol=symbol,
        id=asset_id(symbol),
        name=f"{name} / {_CURRENCIES.get(currency, currency)}",
        exchange="CRYPTO",
        marginable=False,
        shortable=False,
        easy_to_borrow=False,
        asset_class="crypto",
        maintenance_margin_requirement=Decimal(100),
        margin_requirement_long=Decimal(100),
        margin_requirement_short=Decimal(100),
        min_order_size=Decimal(smallest),
        min_trade_increment=CRYPTO_TRADE_INCREMENT,
        price_increment=CRYPTO_TRADE_INCREMENT if currency == "BTC" else Decimal(step),
    )
