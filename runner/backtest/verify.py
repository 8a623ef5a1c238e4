"""Looks through a catalog's files before Nautilus reads them: there what is wrong ends the process, or is played.

The footers of all files of the instruments that are played are read, and the rows of those that lie in the time: the
schema and the identity that Nautilus writes, prices and sizes that a market can have, times in order and within what
the name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from nautilus_trader.core.nautilus_pyo3 import FIXED_PRECISION
from nautilus_trader.model.objects import PRICE_MAX, QUANTITY_MAX
from nautilus_trader.serialization.arrow.schema import NAUTILUS_ARROW_SCHEMA

from runner.backtest.catalog import KINDS, History
from runner.backtest.errors import DataError
from runner.backtest.feed import Source, moment

_PRICES = {"quotes": ("bid_price", "ask_price"), "trades": ("price",), "bars": ("open", "high", "low", "close")}
_SIZES = {"quotes": ("bid_size", "ask_size"), "trades": ("size",), "bars": ("volume",)}
#: Numbers are 128 bits of Nautilus's fixed point, little endian: Arrow's decimals.
_NUMBER = pa.decimal128(38, FIXED_PRECISION)
_SIDES = 2  # of an aggressor: none, buyer, seller
_LONGEST_ID = 36
_HINT = "remove that file, and `runner fetch` what it had anew"
_ELSEWHERE = "a catalog from elsewhere: it must be written by the Nautilus that runner is pinned to"


def verify(
    history: History, played: Iterable[Source], instruments: Mapping[str, Any], start_ns: int, end_ns: int
) -> None:
    """Raises DataError for the first file that can't be played between two times (UNIX ns): what is wrong, where.

    Of the same instruments' other series, which strategies may ask for, the footers are read.
    """
    played = list(played)
    names, ids = {each.instrument for each in played}, {(each.kind, each.identifier) for each in played}
    others = [
        Source(each.kind, each.identifier, each.instrument, moves=False)
        for each in history.spans()
        if each.instrument in names and (each.kind, each.identifier) not in ids
    ]
    _look(history, played, instruments, start_ns, end_ns)
    _look(history, others, instruments, 1, 0)


def _look(
    history: History, series: Iterable[Source], instruments: Mapping[str, Any], start_ns: int, end_ns: int
) -> None:
    for source in series:
        before = -1
        for path, first_ns, last_ns in history.files(source.kind, source.identifier):
            if first_ns <= before:
                raise DataError(f"{path} covers a time that the file before it covers, too", _HINT)
            before = last_ns
            file = _File(path, source, instruments[source.instrument], first_ns, last_ns)
            try:
                parquet = pq.ParquetFile(path)
                file.footer(parquet)
                if first_ns <= end_ns and start_ns <= last_ns:
                    file.rows(parquet)
            except (pa.ArrowException, OSError) as error:
                reason = " ".join(str(error).split()).rstrip(".")
                raise DataError(f"{path} is damaged: {reason}", _HINT) from error


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    source: Source
    instrument: Any
    first_ns: int
    last_ns: int

    def wrong(self, what: str, hint: str = _HINT) -> DataError:
        return DataError(f"{self.path}: {what}", hint)

    def footer(self, parquet: Any) -> None:
        """What the file says of itself."""
        kind, found = self.source.kind, parquet.schema_arrow
        wanted = NAUTILUS_ARROW_SCHEMA[KINDS[kind]]
        if _columns(found) != _columns(wanted):
            raise self.wrong(f"{kind} have {_columns(wanted)}, and it has {_columns(found)}", _ELSEWHERE)
        facts = {key.decode(): value.decode(errors="replace") for key, value in (found.metadata or {}).items()}
        name = "bar_type" if kind == "bars" else "instrument_id"
        if facts.get(name) != self.source.identifier:
            raise self.wrong(f"its {name} is {facts.get(name, 'missing')}, not {self.source.identifier}", _ELSEWHERE)
        for name in ("price_precision", "size_precision"):
            text, needed = facts.get(name, "missing"), getattr(self.instrument, name)
            if not text.isdecimal() or int(text) > FIXED_PRECISION or (self.source.moves and int(text) != needed):
                hint = "a catalog from elsewhere: its prices need the precision of their instrument"
                raise self.wrong(f"its {name} is {text}, and that of {self.source.instrument} is {needed}", hint)
        if not parquet.metadata.num_rows:
            raise self.wrong("it has no rows")

    def rows(self, parquet: Any) -> None:
        """What is in it."""
        digits = {
            key: int(parquet.schema_arrow.metadata[key.encode()]) for key in ("price_precision", "size_precision")
        }
        at, before_ns = 0, self.first_ns
        for batch in parquet.iter_batches():
            batch.validate(full=True)
            for column in batch.schema.names:
                if batch.column(column).null_count:
                    raise self.wrong(f"a {column} is missing")
            for column, bad, why in self._faults(batch, digits, before_ns):
                row = pc.index(bad, True).as_py()
                if row >= 0:
                    raise self.wrong(f"in row {at + row + 1} {column} is {_shown(batch.column(column), row)}, {why}")
            at, before_ns = at + len(batch), batch.column("ts_init")[len(batch) - 1].as_py()

    def _faults(self, batch: Any, digits: Mapping[str, int], before_ns: int) -> Iterator[tuple[str, Any, str]]:
        """A column, which of its rows can't be, and why."""
        kind, times = self.source.kind, batch.column("ts_init")
        span = f"and its name says {moment(self.first_ns)} to {moment(self.last_ns)}"
        outside = pc.or_(pc.less(times, _ns(self.first_ns)), pc.greater(times, _ns(self.last_ns)))
        yield "ts_init", outside, span
        earlier = pa.concat_arrays([pa.array([before_ns], pa.uint64()), times.slice(0, len(times) - 1)])
        yield "ts_init", pc.less(times, earlier), "before that of the row before it"
        numbers = {column: _decimals(batch.column(column)) for column in (*_PRICES[kind], *_SIZES[kind])}
        for columns, most, precision in (
            (_PRICES[kind], Decimal(int(PRICE_MAX)), digits["price_precision"]),
            (_SIZES[kind], Decimal(int(QUANTITY_MAX)), digits["size_precision"]),
        ):
            for column in columns:
                number = numbers[column]
                yield column, pc.less(number, Decimal(0)), "below 0"
                yield column, pc.greater(number, most), "more than Nautilus can hold"
                yield column, pc.not_equal(pc.round(number, precision), number), f"of more than {precision} digits"
        # A side of a quote may be missing, and a minute without trades have a bar.
        for column in {"trades": ("price", "size"), "bars": _PRICES["bars"]}.get(kind, ()):
            yield column, pc.equal(numbers[column], Decimal(0)), "and must be above"
        if kind == "bars":
            for column in ("open", "low", "close"):
                yield column, pc.greater(numbers[column], numbers["high"]), "above the bar's high"
                yield column, pc.less(numbers[column], numbers["low"]), "below the bar's low"
        if kind == "trades":
            yield "aggressor_side", pc.greater(batch.column("aggressor_side"), _SIDES), "no side"
            names = batch.column("trade_id")
            length = pc.binary_length(names)
            plain = pc.and_(
                pc.string_is_ascii(names), pc.and_(pc.greater(length, 0), pc.less_equal(length, _LONGEST_ID))
            )
            yield "trade_id", pc.invert(plain), f"not 1 to {_LONGEST_ID} ASCII characters"


def _columns(schema: Any) -> str:
    return ", ".join(f"{each.name} ({each.type})" for each in schema)


def _ns(ts_ns: int) -> Any:
    return pa.scalar(ts_ns, pa.uint64())


def _decimals(column: Any) -> Any:
    return pa.Array.from_buffers(_NUMBER, len(column), [None, column.buffers()[1]], offset=column.offset)


def _shown(column: Any, row: int) -> str:
    if column.type == pa.uint64():
        return f"{moment(column[row].as_py())} ({column[row].as_py()} ns)"
    if pa.types.is_fixed_size_binary(column.type):
        return f"{_decimals(column)[row].as_py().normalize():f}"
    return repr(column[row].as_py())
