"""Stocks as Nautilus instruments; fractional ones where the asset allows it. Pairs and options: see `derived`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import AssetClass, InstrumentClass
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.instruments.base import Instrument
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.serialization.base import register_serializable_type

from runner.alpaca import symbols
from runner.alpaca.constants import USD
from runner.alpaca.models import Asset

#: Alpaca takes quantities of up to nine decimals for assets that can be split.
FRACTION_DIGITS = 9
REG_T_INITIAL = Decimal("0.5")
#: The floor that brokers keep for long stock; used where the asset names none.
MAINTENANCE_FLOOR = Decimal("0.3")
DOLLAR = Decimal(1)


class AlpacaEquity(Equity):
    """A stock that trades in fractions: `Equity` with nine decimals of size.

    `Equity` fixes its size precision at whole shares, so its base's constructor is called instead.
    """

    def __init__(
        self,
        instrument_id: InstrumentId,
        raw_symbol: Symbol,
        price_precision: int,
        price_increment: Price,
        *,
        size_precision: int = FRACTION_DIGITS,
        margin_init: Decimal = REG_T_INITIAL,
        margin_maint: Decimal = MAINTENANCE_FLOOR,
        ts_event: int = 0,
        ts_init: int = 0,
        info: dict[str, Any] | None = None,
    ) -> None:
        Instrument.__init__(
            self,
            instrument_id=instrument_id,
            raw_symbol=raw_symbol,
            asset_class=AssetClass.EQUITY,
            instrument_class=InstrumentClass.SPOT,
            quote_currency=USD,
            is_inverse=False,
            price_precision=price_precision,
            size_precision=size_precision,
            price_increment=price_increment,
            size_increment=Quantity(Decimal(1).scaleb(-size_precision), size_precision),
            multiplier=Quantity.from_int(1),
            lot_size=Quantity.from_int(1),
            margin_init=margin_init,
            margin_maint=margin_maint,
            maker_fee=Decimal(0),
            taker_fee=Decimal(0),
            ts_event=ts_event,
            ts_init=ts_init,
            info=info,
        )

    @staticmethod
    def to_dict(obj: AlpacaEquity) -> dict[str, Any]:
        """The instrument as JSON-compatible values."""
        return {
            "type": "AlpacaEquity",
            "id": obj.id.value,
            "raw_symbol": obj.raw_symbol.value,
            "price_precision": obj.price_precision,
            "price_increment": str(obj.price_increment),
            "size_precision": obj.size_precision,
            "margin_init": str(obj.margin_init),
            "margin_maint": str(obj.margin_maint),
            "ts_event": obj.ts_event,
            "ts_init": obj.ts_init,
            "info": obj.info,
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> AlpacaEquity:
        """The inverse of `to_dict`."""
        return AlpacaEquity(
            InstrumentId.from_str(values["id"]),
            Symbol(values["raw_symbol"]),
            values["price_precision"],
            Price.from_str(values["price_increment"]),
            size_precision=values["size_precision"],
            margin_init=Decimal(values["margin_init"]),
            margin_maint=Decimal(values["margin_maint"]),
            ts_event=values["ts_event"],
            ts_init=values["ts_init"],
            info=values["info"],
        )


register_serializable_type(AlpacaEquity, AlpacaEquity.to_dict, AlpacaEquity.from_dict)


def price_digits(last_price: Decimal | None) -> int:
    """Decimals that Alpaca takes in a price: two from a dollar up, four below (Rule 612). Unknown prices get two."""
    return 4 if last_price is not None and 0 < last_price < DOLLAR else 2


def equity(
    asset: Asset, *, last_price: Decimal | None = None, price_decimals: int | None = None, ts_ns: int = 0
) -> Equity:
    """The instrument of a stock. `last_price` (USD) decides the price increment, unless `price_decimals` says it."""
    digits = price_digits(last_price) if price_decimals is None else price_decimals
    increment = Price(Decimal(1).scaleb(-digits), digits)
    maintenance = _per_cent(asset.margin_requirement_long or asset.maintenance_margin_requirement)
    margin_maint = maintenance if asset.marginable else Decimal(1)
    margin_init = max(REG_T_INITIAL, margin_maint)
    info = {
        "asset_id": asset.id,
        "name": asset.name,
        "exchange": asset.exchange,
        "status": asset.status,
        "tradable": asset.tradable,
        "marginable": asset.marginable,
        "shortable": asset.shortable,
        "easy_to_borrow": asset.easy_to_borrow,
        "fractionable": asset.fractionable,
        "attributes": asset.attributes or [],
    }
    instrument_id = symbols.instrument_id(asset.symbol)
    if asset.fractionable:
        return AlpacaEquity(
            instrument_id,
            instrument_id.symbol,
            digits,
            increment,
            margin_init=margin_init,
            margin_maint=margin_maint,
            ts_event=ts_ns,
            ts_init=ts_ns,
            info=info,
        )
    return Equity(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        currency=USD,
        price_precision=digits,
        price_increment=increment,
        lot_size=Quantity.from_int(1),
        margin_init=margin_init,
        margin_maint=margin_maint,
        ts_event=ts_ns,
        ts_init=ts_ns,
        info=info,
    )


def _per_cent(value: Decimal | None) -> Decimal:
    return MAINTENANCE_FLOOR if value is None else value / 100
