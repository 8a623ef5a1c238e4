"""A folder of history: Nautilus's Parquet catalog, with stocks that trade in fractions.

Files are written whole or not at all, and their names say what span of time they cover, so that a fetch which was
interrupted goes on where it stopped. A backtest's venue wants the precision of the instrument in every price; what is
finer (a print of 180.0850) is rounded to the instrument's increment when it is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from nautilus_trader.core.nautilus_pyo3 import FIXED_PRECISION
from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, Equity, OptionContract
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.persistence.catalog.parquet import _parse_filename_timestamps
from nautilus_trader.serialization.arrow.serializer import register_arrow

from runner.alpaca.instruments import AlpacaEquity
from runner.backtest.errors import DataError
from runner.node.exit_codes import ExitCode, NodeError

#: The kinds of history, by the word for them.
KINDS: dict[str, type] = {"bars": Bar, "quotes": QuoteTick, "trades": TradeTick}
_INSTRUMENTS: tuple[type, ...] = (AlpacaEquity, Equity, CurrencyPair, OptionContract)
_PARTIAL = ".partial"
_SCHEMA = pa.schema({"id": pa.string(), "json": pa.string(), "ts_event": pa.uint64(), "ts_init": pa.uint64()})


def _encode(instrument: AlpacaEquity) -> pa.RecordBatch:
    row = {
        "id": instrument.id.value,
        "json": json.dumps(AlpacaEquity.to_dict(instrument)),
        "ts_event": instrument.ts_event,
        "ts_init": instrument.ts_init,
    }
    return pa.RecordBatch.from_pylist([row], schema=_SCHEMA)


def _decode(table: pa.Table) -> list[AlpacaEquity]:
    return [AlpacaEquity.from_dict(json.loads(text)) for text in table.column("json").to_pylist()]


register_arrow(AlpacaEquity, _SCHEMA, encoder=_encode, decoder=_decode)


@dataclass(frozen=True, slots=True)
class Span:
    """What there is of one kind for one instrument (bars: of one bar type); UNIX ns, both ends included."""

    kind: str
    identifier: str
    start_ns: int
    end_ns: int

    @property
    def instrument(self) -> str:
        return self.identifier if self.kind != "bars" else str(BarType.from_str(self.identifier).instrument_id)


class History:
    """The catalog in a folder. Writing takes the folder's lock (`writing`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = ParquetDataCatalog(str(folder.resolve()))

    @classmethod
    def open(cls, folder: Path) -> History:
        """One to read. Raises DataError for a folder without history."""
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}", "`runner fetch FILE --data DIR` makes one and fills it")
        if not (folder / "data").is_dir():
            raise DataError(
                f"{folder} is no catalog: it has no folder `data`",
                "name the folder that was given to `runner fetch --data`, or a Nautilus ParquetDataCatalog",
            )
        return cls(folder)

    @contextlib.contextmanager
    def writing(self) -> Iterator[History]:
        """Hold the folder for one writer. Raises NodeError where another writes, or nothing can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise NodeError(
                ExitCode.FAILED, f"{self.folder} can't be written to: {error.strerror}", "name another --data"
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NodeError(
                    ExitCode.FAILED, f"another `runner fetch` writes to {self.folder}", "wait for it, or end it"
                ) from None
            shutil.rmtree(self.folder / _PARTIAL, ignore_errors=True)
            yield self
        finally:
            os.close(lock)

    # -- what there is -----------------------------------------------------------------------------------------------

    def instrument(self, instrument_id: str) -> Any:
        """The newest definition of an instrument; None where there is none."""
        for cls in _INSTRUMENTS:
            found = self._read(cls, identifiers=[instrument_id])
            exact = [each for each in found if each.id.value == instrument_id]
            if exact:
                return exact[-1]
        return None

    def instruments(self) -> list[Any]:
        """All instruments, each once."""
        found = {each.id.value: each for cls in _INSTRUMENTS for each in self._read(cls)}
        return [found[key] for key in sorted(found)]

    def _read(self, cls: type, **which: Any) -> list[Any]:
        try:
            found: list[Any] = self.catalog.query(cls, **which)
        except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            where = Path(self.catalog._make_path(cls)).relative_to(self.folder.resolve())
            raise DataError(
                f"a file of {self.folder} is damaged: {where}: {' '.join(str(error).split())}",
                "remove that file, and `runner fetch` what it had anew",
            ) from error
        return found

    def files(self, kind: str, identifier: str) -> list[tuple[Path, int, int]]:
        """Of one series: each file, and what its name says that it covers (UNIX ns, both ends included); oldest first.

        Raises DataError for a file whose name says nothing.
        """
        return _files(Path(self.catalog._make_path(KINDS[kind], identifier)))

    def spans(self) -> list[Span]:
        """Everything that there is, by instrument and kind; the whole span of each, gaps not told."""
        found = []
        names = self._names()
        for kind, cls in KINDS.items():
            root = Path(self.catalog._make_path(cls))
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                # A pair's folder lacks its slash.
                if files := _files(folder):
                    name = names.get(folder.name, folder.name)
                    found.append(Span(kind, name, files[0][1], max(end_ns for _, _, end_ns in files)))
        return found

    def contracts_of(self, underlyings: Collection[str]) -> list[str]:
        """Ids of the option contracts of these symbols."""
        found = self._read(OptionContract)
        return sorted({each.id.value for each in found if each.underlying in underlyings})

    def _names(self) -> dict[str, str]:
        """Names of folders to identifiers, where they differ."""
        names: dict[str, str] = {}
        for pair in self._read(CurrencyPair):
            names[pair.id.value.replace("/", "")] = pair.id.value
        root = Path(self.catalog._make_path(Bar))
        for folder in root.iterdir() if root.is_dir() else ():
            for short, whole in list(names.items()):
                if folder.name.startswith(f"{short}-"):
                    names[folder.name] = whole + folder.name.removeprefix(short)
        return names

    def missing(self, kind: str, identifier: str, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """The parts of a span that no file covers; UNIX ns, both ends included."""
        found: list[tuple[int, int]] = self.catalog.get_missing_intervals_for_request(
            start_ns, end_ns, KINDS[kind], identifier
        )
        return found

    def read(self, kind: str, identifier: str, start_ns: int, end_ns: int) -> list[Any]:
        """The rows of a span, oldest first."""
        rows = self.catalog.query(KINDS[kind], identifiers=[identifier], start=start_ns, end=end_ns)
        return list(rows)

    # -- writing -----------------------------------------------------------------------------------------------------

    def put_instrument(self, instrument: Any) -> None:
        """Keep an instrument, in place of what was known of it."""
        known = self.instrument(instrument.id.value)
        if known is not None and _facts(known) == _facts(instrument):
            return
        for cls in _INSTRUMENTS:
            shutil.rmtree(self.catalog._make_path(cls, instrument.id.value), ignore_errors=True)
        self._place(type(instrument), instrument.id.value, [instrument], None, None)

    def put(self, kind: str, identifier: str, rows: Sequence[Any], instrument: Any, start_ns: int, end_ns: int) -> None:
        """Write rows (oldest first, within the span) as the whole of a span that nothing covers yet."""
        fitted = [fit(row, instrument) for row in rows]
        self._place(KINDS[kind], identifier, fitted, start_ns, end_ns)

    def extend(self, kind: str, identifier: str, start_ns: int, end_ns: int) -> None:
        """Note that a span has no rows, where a file ends right before it or begins right after it."""
        with contextlib.suppress(FileNotFoundError):
            self.catalog.extend_file_name(KINDS[kind], identifier, start_ns, end_ns)

    def _place(self, cls: type, identifier: str, rows: list[Any], start_ns: int | None, end_ns: int | None) -> None:
        """Write beside, then move: a file under its own name is whole."""
        partial = self.folder / _PARTIAL
        staging = ParquetDataCatalog(str(partial.resolve()))
        staging.write_data(rows, start=start_ns, end=end_ns)
        target = Path(self.catalog._make_path(cls, identifier))
        target.mkdir(parents=True, exist_ok=True)
        for file in Path(staging._make_path(cls, identifier)).glob("*.parquet"):
            file.replace(target / file.name)


def _files(folder: Path) -> list[tuple[Path, int, int]]:
    found = []
    for path in folder.glob("*.parquet"):
        try:
            span = _parse_filename_timestamps(path.name)
        except (ValueError, IndexError):
            span = None
        if span is None:
            raise DataError(
                f"{path}: the name of a catalog's file says what time it covers, and this one's does not",
                "give it its name back, or remove it and `runner fetch` what it had anew",
            )
        found.append((path, *span))
    return sorted(found, key=lambda each: each[1:])


def _facts(instrument: Any) -> dict[str, Any]:
    values: dict[str, Any] = type(instrument).to_dict(instrument)
    return {key: value for key, value in values.items() if key not in ("ts_event", "ts_init")}


def fit(row: Any, instrument: Any) -> Any:
    """A tick or bar with the instrument's own precision; a side of a quote without a price has no size either."""
    digits, size_digits = instrument.price_precision, instrument.size_precision
    if isinstance(row, QuoteTick):
        bid, ask = row.bid_price, row.ask_price
        bid_size = row.bid_size.raw if bid.raw > 0 else 0
        ask_size = row.ask_size.raw if ask.raw > 0 else 0
        return QuoteTick.from_raw(
            row.instrument_id,
            _round(bid.raw, digits),
            _round(ask.raw, digits),
            digits,
            digits,
            _round(bid_size, size_digits),
            _round(ask_size, size_digits),
            size_digits,
            size_digits,
            row.ts_event,
            row.ts_init,
        )
    if isinstance(row, TradeTick):
        return TradeTick.from_raw(
            row.instrument_id,
            _round(row.price.raw, digits),
            digits,
            # Less than the smallest quantity traded: the print stays, with that.
            _round(row.size.raw, size_digits) or _unit(size_digits),
            size_digits,
            row.aggressor_side,
            row.trade_id,
            row.ts_event,
            row.ts_init,
        )
    return Bar.from_raw(
        row.bar_type,
        *(_round(price.raw, digits) for price in (row.open, row.high, row.low, row.close)),
        digits,
        _round(row.volume.raw, size_digits),
        size_digits,
        row.ts_event,
        row.ts_init,
    )


def _unit(digits: int) -> int:
    return int(10 ** (FIXED_PRECISION - digits))


def _round(raw: int, digits: int) -> int:
    """Half to even, in Nautilus's fixed point."""
    unit = _unit(digits)
    whole, rest = divmod(raw, unit)
    if rest * 2 > unit or (rest * 2 == unit and whole % 2):
        whole += 1
    return whole * unit


def raw(value: Decimal) -> int:
    """A number in Nautilus's fixed point; what is finer is cut off."""
    return int(value.scaleb(FIXED_PRECISION))


def instrument_of(identifier: str, kind: str) -> str:
    """The instrument id (text) of a catalog's identifier."""
    return str(BarType.from_str(identifier).instrument_id) if kind == "bars" else str(InstrumentId.from_str(identifier))
