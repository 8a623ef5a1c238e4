"""Crypto pairs, option contracts and spreads as Nautilus instruments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from nautilus_trader.model.enums import AssetClass, CurrencyType, OptionKind
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CurrencyPair, OptionContract, OptionSpread
from nautilus_trader.model.objects import Currency, Price, Quantity

from runner.alpaca import symbols
from runner.alpaca.constants import NANOS, USD
from runner.alpaca.models import Asset, OptionContractRow

_NEW_YORK = ZoneInfo("America/New_York")
#: Coins have nine decimals at Alpaca, whatever the asset's own increments are.
COIN_DIGITS = 9
#: Nautilus's bounds on a currency's code, beyond which its constructor ends the process.
_MOST_LETTERS = 12
_CLOSE_HOUR = 16


def pair(asset: Asset, *, ts_ns: int = 0) -> CurrencyPair:
    """A crypto pair. Increments are the asset's own, in coins and in the quote currency."""
    instrument_id = symbols.instrument_id(asset.symbol)
    base, _, quote = asset.symbol.partition("/")
    increment = asset.price_increment or Decimal("0.01")
    digits = _digits(increment)
    size = asset.min_trade_increment or Decimal(1).scaleb(-COIN_DIGITS)
    size_digits = max(_digits(size), COIN_DIGITS)
    info = {
        "asset_id": asset.id,
        "name": asset.name,
        "exchange": asset.exchange,
        "status": asset.status,
        "tradable": asset.tradable,
        "marginable": asset.marginable,
        "shortable": asset.shortable,
        "fractionable": asset.fractionable,
        "min_order_size": None if asset.min_order_size is None else f"{asset.min_order_size:f}",
    }
    return CurrencyPair(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        base_currency=_coin(base),
        quote_currency=USD if quote == "USD" else _coin(quote),
        price_precision=digits,
        size_precision=size_digits,
        price_increment=Price(increment, digits),
        size_increment=Quantity(size, size_digits),
        margin_init=Decimal(1),
        margin_maint=Decimal(1),
        ts_event=ts_ns,
        ts_init=ts_ns,
        info=info,
    )


def contract(row: OptionContractRow, *, ts_ns: int = 0) -> OptionContract:
    """An option contract: prices in cents a share, quantities in contracts, which are for `multiplier` shares."""
    instrument_id = symbols.instrument_id(row.symbol)
    strike = row.strike_price
    return OptionContract(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        asset_class=AssetClass.EQUITY,
        currency=USD,
        price_precision=2,
        price_increment=Price(Decimal("0.01"), 2),
        multiplier=Quantity.from_int(int(row.multiplier)),
        lot_size=Quantity.from_int(1),
        underlying=row.underlying_symbol,
        option_kind=OptionKind.CALL if row.type == "call" else OptionKind.PUT,
        strike_price=Price(strike, max(_digits(strike), 2)),
        activation_ns=0,
        expiration_ns=expiry_ns(row.expiration_date),
        ts_event=ts_ns,
        ts_init=ts_ns,
        info={
            "asset_id": row.id,
            "name": row.name,
            "status": row.status,
            "tradable": row.tradable,
            "style": row.style,
            "root_symbol": row.root_symbol,
            "size": f"{row.size:f}",
            "open_interest": None if row.open_interest is None else f"{row.open_interest:f}",
        },
    )


def spread(instrument_id: InstrumentId, legs: Sequence[tuple[OptionContract, int]], *, ts_ns: int = 0) -> OptionSpread:
    """A spread of contracts with their signed ratios, made up here: Alpaca has orders of several legs, no such asset.

    It lives as long as its shortest leg. Raises ValueError for legs of several underlyings.
    """
    underlyings = {leg.underlying for leg, _ in legs}
    if len(underlyings) != 1:
        raise ValueError(f"{instrument_id} has legs of several underlyings: {', '.join(sorted(underlyings))}")
    return OptionSpread(
        instrument_id=instrument_id,
        raw_symbol=Symbol(instrument_id.symbol.value),
        asset_class=AssetClass.EQUITY,
        currency=USD,
        price_precision=2,
        price_increment=Price(Decimal("0.01"), 2),
        multiplier=legs[0][0].multiplier,
        lot_size=Quantity.from_int(1),
        underlying=underlyings.pop(),
        strategy_type="MLEG",
        activation_ns=0,
        expiration_ns=min(leg.expiration_ns for leg, _ in legs),
        ts_event=ts_ns,
        ts_init=ts_ns,
    )


def expiry_ns(day: str) -> int:
    """The close of a contract's last day (16:00 in New York), UNIX ns. Short days are not looked up."""
    last = date.fromisoformat(day)
    close = datetime(last.year, last.month, last.day, _CLOSE_HOUR, tzinfo=_NEW_YORK)
    return int(close.astimezone(UTC).timestamp()) * NANOS


def _coin(code: str) -> Currency:
    """A coin that Nautilus knows, or one made up for it. Raises ValueError for what can't be a code."""
    if not (code.isascii() and code.isalnum() and len(code) <= _MOST_LETTERS):
        raise ValueError(f"{code!r} can't be a currency")
    known = Currency.from_internal_map(code)
    if known is not None:
        return known
    made = Currency(code, COIN_DIGITS, 0, code, CurrencyType.CRYPTO)
    Currency.register(made)
    return made


def _digits(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(-int(exponent), 0)
