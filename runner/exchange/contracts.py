"""Option contracts: their symbols, their terms, and the filters of `/v2/options/contracts`.

Source: OCC's Options Symbology Initiative (root, yymmdd, C or P, strike in thousandths), as Alpaca writes it: unpadded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

from runner.exchange.assets import Asset, asset_id

type OptionType = Literal["call", "put"]
type OptionStyle = Literal["american", "european"]
type Status = Literal["active", "inactive"]

STANDARD_SIZE: Final = 100
_OCC: Final = re.compile(r"([A-Z][A-Z0-9]{0,5}?)(\d{6})([CP])(\d{8})")


class ContractsError(ValueError):
    """A file of contracts that can't be used. The text names the file and the contract."""


@dataclass(frozen=True, slots=True)
class OptionContract:
    """One series. `strike` and `close_price` are dollars a share; `multiplier` turns a premium into dollars, and `size`
    is the number of shares that an exercise delivers.
    """

    symbol: str
    id: str
    name: str
    root_symbol: str
    underlying_symbol: str
    expiration_date: date
    type: OptionType
    strike: Decimal
    style: OptionStyle = "american"
    multiplier: int = STANDARD_SIZE
    size: int = STANDARD_SIZE
    open_interest: int | None = None
    open_interest_date: date | None = None
    close_price: Decimal | None = None
    close_price_date: date | None = None
    status: Status = "active"
    tradable: bool = True
    penny_program: bool = False
    """Whether it is quoted in cents below 3 dollars and in nickels above (`ppind`)."""

    @property
    def underlying_asset_id(self) -> str:
        """The id of the underlying's asset."""
        return asset_id(self.underlying_symbol)

    def intrinsic(self, underlying: Decimal) -> Decimal:
        """What exercising it is worth, dollars a share, with the underlying at that price."""
        gain = underlying - self.strike if self.type == "call" else self.strike - underlying
        return max(gain, Decimal(0))

    def asset(self) -> Asset:
        """It as an asset: what orders and positions carry."""
        return Asset(
            symbol=self.symbol,
            id=self.id,
            name=self.name,
            exchange="",
            tradable=self.tradable,
            marginable=False,
            shortable=True,
            easy_to_borrow=False,
            fractionable=False,
            status=self.status,
            asset_class="us_option",
            maintenance_margin_requirement=Decimal(100),
            margin_requirement_long=Decimal(100),
        )

    def to_json(self, *, deliverables: bool = False) -> dict[str, Any]:
        """The body that Alpaca's spec calls `OptionContract`."""
        body: dict[str, Any] = {
            "id": self.id,
            "symbol": self.symbol,
            "name": self.name,
            "status": self.status,
            "tradable": self.tradable,
            "expiration_date": self.expiration_date.isoformat(),
            "root_symbol": self.root_symbol,
            "underlying_symbol": self.underlying_symbol,
            "underlying_asset_id": self.underlying_asset_id,
            "type": self.type,
            "style": self.style,
            "strike_price": _plain(self.strike),
            "multiplier": str(self.multiplier),
            "size": str(self.size),
            "ppind": self.penny_program,
        }
        if self.open_interest is not None:
            body["open_interest"] = str(self.open_interest)
        if self.open_interest_date is not None:
            body["open_interest_date"] = self.open_interest_date.isoformat()
        if self.close_price is not None:
            body["close_price"] = _plain(self.close_price)
        if self.close_price_date is not None:
            body["close_price_date"] = self.close_price_date.isoformat()
        if deliverables:
            body["deliverables"] = [
                {
                    "type": "equity",
                    "symbol": self.underlying_symbol,
                    "asset_id": self.underlying_asset_id,
                    "amount": str(self.size),
                    "allocation_percentage": "100",
                    "settlement_type": "T+1",
                    "settlement_method": "CCC",
                    "delayed_settlement": False,
                }
            ]
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFilter:
    """What to look for; a member that is None (or empty) lets everything through. Bounds are included."""

    underlyings: frozenset[str] = frozenset()
    status: Status | None = None
    expiration_date: date | None = None
    expiration_date_gte: date | None = None
    expiration_date_lte: date | None = None
    root_symbol: str | None = None
    type: OptionType | None = None
    style: OptionStyle | None = None
    strike_gte: Decimal | None = None
    strike_lte: Decimal | None = None
    penny_program: bool | None = None

    def fits(self, contract: OptionContract) -> bool:
        """Whether it lets this contract through."""
        expires = contract.expiration_date
        return (
            (not self.underlyings or contract.underlying_symbol in self.underlyings)
            and self.status in (None, contract.status)
            and self.expiration_date in (None, expires)
            and (self.expiration_date_gte is None or expires >= self.expiration_date_gte)
            and (self.expiration_date_lte is None or expires <= self.expiration_date_lte)
            and self.root_symbol in (None, contract.root_symbol)
            and self.type in (None, contract.type)
            and self.style in (None, contract.style)
            and (self.strike_gte is None or contract.strike >= self.strike_gte)
            and (self.strike_lte is None or contract.strike <= self.strike_lte)
            and self.penny_program in (None, contract.penny_program)
        )


def contract_of(symbol: str) -> OptionContract:
    """The standard contract that an OCC symbol names. Raises ValueError where it names none."""
    found = _OCC.fullmatch(symbol)
    if found is None:
        raise ValueError(f"{symbol!r} is not an option symbol such as GOOG160115C00750000")
    root, day, right, thousandths = found.groups()
    try:
        expires = datetime.strptime(day, "%y%m%d").date()  # noqa: DTZ007  # a date has no zone
    except ValueError:
        raise ValueError(f"{symbol!r} has no date of expiry: {day}") from None
    strike = Decimal(int(thousandths)) / 1_000
    underlying = root.rstrip("0123456789")  # AAPL1 is AAPL with an adjustment
    kind: OptionType = "call" if right == "C" else "put"
    return OptionContract(
        symbol=symbol,
        id=asset_id(symbol),
        name=f"{root} {expires:%b %d %Y} {_plain(strike)} {kind.title()}",
        root_symbol=root,
        underlying_symbol=underlying,
        expiration_date=expires,
        type=kind,
        strike=strike,
    )


def option_symbol(root: str, expires: date, kind: OptionType, strike: Decimal) -> str:
    """The OCC symbol of a series; a strike is dollars, exact to a thousandth."""
    return f"{root}{expires:%y%m%d}{kind[0].upper()}{int(strike * 1_000):08d}"


def read_contracts(path: Path) -> list[OptionContract]:
    """Contracts of a file: a JSON list of Alpaca's contracts, or a page of them. Raises ContractsError."""
    try:
        document = json.loads(path.read_text(), parse_float=Decimal)
    except OSError as error:
        raise ContractsError(f"{path}: {error.strerror}; a JSON list of option contracts is wanted") from error
    except ValueError as error:
        raise ContractsError(f"{path}: not JSON: {error}") from error
    rows = document.get("option_contracts") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise ContractsError(f"{path}: a JSON list of option contracts, or a page with option_contracts, is wanted")
    return list(_read(path, rows))


def _read(path: Path, rows: list[Any]) -> Iterator[OptionContract]:
    for number, row in enumerate(rows, 1):
        try:
            yield contract_from_json(row)
        except (ValueError, KeyError, TypeError, InvalidOperation) as error:
            raise ContractsError(f"{path}: contract {number}: {error}") from error


def contract_from_json(row: dict[str, Any]) -> OptionContract:
    """A contract in Alpaca's shape; what it leaves out is taken from its symbol. Raises ValueError, KeyError."""
    symbol = str(row["symbol"])
    known = contract_of(symbol)
    kind, style, status = row.get("type", known.type), row.get("style", "american"), row.get("status", "active")
    if kind not in ("call", "put") or style not in ("american", "european") or status not in ("active", "inactive"):
        raise ValueError(f"{symbol} has an unknown type, style or status: {kind}, {style}, {status}")
    return replace(
        known,
        id=str(row.get("id", known.id)),
        name=str(row.get("name", known.name)),
        root_symbol=str(row.get("root_symbol", known.root_symbol)),
        underlying_symbol=str(row.get("underlying_symbol", known.underlying_symbol)),
        expiration_date=_date(row.get("expiration_date")) or known.expiration_date,
        type=kind,
        style=style,
        strike=Decimal(str(row.get("strike_price", known.strike))),
        multiplier=int(row.get("multiplier", STANDARD_SIZE)),
        size=int(row.get("size", STANDARD_SIZE)),
        open_interest=None if row.get("open_interest") is None else int(row["open_interest"]),
        open_interest_date=_date(row.get("open_interest_date")),
        close_price=None if row.get("close_price") is None else Decimal(str(row["close_price"])),
        close_price_date=_date(row.get("close_price_date")),
        status=status,
        tradable=bool(row.get("tradable", True)),
        penny_program=bool(row.get("ppind", False)),
    )


def sorted_contracts(contracts: Iterable[OptionContract]) -> list[OptionContract]:
    """In the order of the venue's pages: by symbol."""
    return sorted(contracts, key=lambda contract: contract.symbol)


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _plain(number: Decimal) -> str:
    """Without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
