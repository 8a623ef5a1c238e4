"""What Alpaca has and Nautilus has no type for: news, corporate actions, price bands, as Nautilus custom data.

Each type's `of` makes the `DataType` to subscribe to or to request; fields are named as Alpaca names them.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from nautilus_trader.core.data import Data
from nautilus_trader.model.custom import customdataclass
from nautilus_trader.model.data import DataType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price

from runner.alpaca.constants import NANOS

_NEW_YORK = ZoneInfo("America/New_York")
_TIMES: dict[str, Any] = {"type": pa.string(), "ts_event": pa.int64(), "ts_init": pa.int64()}
#: Members that name a stock, the one that the action is about first.
_SYMBOLS = ("symbol", "source_symbol", "old_symbol", "acquiree_symbol", "acquirer_symbol", "new_symbol")
type Named = str | InstrumentId


def symbol_name(named: Named) -> str:
    """A symbol as news and corporate actions write it: `BTC/USD.ALPACA` is `BTCUSD`."""
    text = named.symbol.value if isinstance(named, InstrumentId) else named.removesuffix(".ALPACA")
    if not text or not text.isprintable() or set(text) & set("*?|, "):
        raise ValueError(f"{named!r} is no symbol")
    return text.replace("/", "")


@customdataclass
class AlpacaNews(Data):
    """An article, or a new version of one (the same `id`, a later `updated_at`). `ts_event` is `updated_at`.

    `content` may be HTML and may be empty. `symbols` are as Alpaca writes them there: pairs without their slash.
    """

    id: int
    headline: str
    summary: str
    author: str
    created_at: str
    updated_at: str
    url: str
    content: str
    symbols: list[str]
    source: str
    images: list[dict[str, str]]

    _schema = pa.schema(
        {
            "id": pa.int64(),
            **{name: pa.string() for name in ("headline", "summary", "author", "created_at", "updated_at", "url")},
            "content": pa.string(),
            "symbols": pa.list_(pa.string()),
            "source": pa.string(),
            "images": pa.list_(pa.struct({"size": pa.string(), "url": pa.string()})),
            **_TIMES,
        }
    )

    @staticmethod
    def of(*symbols: Named) -> DataType:
        """News that name any of these stocks or pairs; without one, all news. Each comes once, however many it names.

        The metadata is a pattern, for an article has one topic, which names every subscription that it is for.
        """
        if not symbols:
            return DataType(AlpacaNews)
        return DataType(AlpacaNews, metadata={"symbols": f"*|{','.join(sorted(set(map(symbol_name, symbols))))}|*"})


@customdataclass
class AlpacaCorporateAction(Data):
    """A split, dividend, merger, … `ts_event` is the beginning of its `process_date` in New York.

    `kind` is Alpaca's type (`cash_dividend`, `forward_split`, …), `symbol` the stock it is about (of a change of names
    the old one, of a merger the acquired one). `details` has every member that Alpaca sends, fractions as text.
    """

    id: str
    kind: str
    symbol: str
    process_date: str
    details: dict[str, Any]

    @staticmethod
    def of(*symbols: Named, kinds: tuple[str, ...] = ()) -> DataType:
        """Actions of these kinds on these stocks, to be requested; without kinds or stocks, of all of them."""
        metadata = {"symbols": ",".join(sorted(set(map(symbol_name, symbols)))), "types": ",".join(kinds)}
        return DataType(AlpacaCorporateAction, metadata={name: text for name, text in metadata.items() if text})

    @classmethod
    def from_row(cls, kind: str, row: dict[str, Any]) -> "AlpacaCorporateAction":
        """A row of Alpaca's reply, numbers as Decimal. Raises KeyError or ValueError for one that is none."""
        day = date.fromisoformat(row["process_date"])
        ts_ns = int(datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).timestamp()) * NANOS
        symbol = next((str(row[name]) for name in _SYMBOLS if row.get(name)), "")
        return cls(
            ts_event=ts_ns,
            ts_init=ts_ns,
            id=str(row["id"]),
            kind=kind,
            symbol=symbol,
            process_date=row["process_date"],
            details=json.loads(json.dumps(row, default=str)),
        )

    @property
    def ex_date(self) -> date | None:
        """The first day without the right, where the type has one."""
        text = self.details.get("ex_date")
        return date.fromisoformat(text) if text else None

    @property
    def rate(self) -> Decimal | None:
        """Of a dividend: dollars (or shares) a share."""
        return self._number("rate")

    @property
    def ratio(self) -> Decimal | None:
        """Of a split: new shares for each old one."""
        new, old = self._number("new_rate"), self._number("old_rate")
        return new / old if new is not None and old else None

    def _number(self, name: str) -> Decimal | None:
        text = self.details.get(name)
        return None if text is None else Decimal(str(text))


@customdataclass
class AlpacaPriceBand(Data):
    """Between which prices a stock may trade (limit up, limit down), from the consolidated tape."""

    instrument_id: InstrumentId
    limit_up_price: Price
    limit_down_price: Price
    indicator: str
    tape: str

    _schema = pa.schema(
        {
            "instrument_id": pa.string(),
            "limit_up_price": pa.string(),
            "limit_down_price": pa.string(),
            "indicator": pa.string(),
            "tape": pa.string(),
            **_TIMES,
        }
    )

    @staticmethod
    def of(instrument_id: Named) -> DataType:
        """The price bands of one stock."""
        if isinstance(instrument_id, str):
            instrument_id = InstrumentId.from_str(f"{instrument_id.removesuffix('.ALPACA')}.ALPACA")
        return DataType(AlpacaPriceBand, metadata={"instrument_id": instrument_id})

    def to_dict(self) -> dict[str, Any]:
        """Prices and ids as text."""
        return {
            "type": type(self).__name__,
            "instrument_id": self.instrument_id.value,
            "limit_up_price": str(self.limit_up_price),
            "limit_down_price": str(self.limit_down_price),
            "indicator": self.indicator,
            "tape": self.tape,
            "ts_event": self.ts_event,
            "ts_init": self.ts_init,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "AlpacaPriceBand":
        """The inverse of `to_dict`."""
        return cls(
            ts_event=values["ts_event"],
            ts_init=values["ts_init"],
            instrument_id=InstrumentId.from_str(values["instrument_id"]),
            limit_up_price=Price.from_str(values["limit_up_price"]),
            limit_down_price=Price.from_str(values["limit_down_price"]),
            indicator=values["indicator"],
            tape=values["tape"],
        )


#: All of them. Each can be written to a catalog, and sent to Redis where that is not filtered.
CUSTOM_TYPES = (AlpacaNews, AlpacaCorporateAction, AlpacaPriceBand)
