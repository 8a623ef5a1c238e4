"""Which history a backtest needs, and how it reaches the venue and the strategies.

Nautilus's simulated venue has one price a side, and every kind of data moves it: a trade would overwrite the quote that
an order is to be filled at. So of each instrument only the finest kind there is moves the venue (quotes, else trades,
else bars); the others go to the strategies past it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_trader.core.data import Data
from nautilus_trader.model.data import BarType, CustomData, DataType

from runner.backtest.catalog import History, Span
from runner.backtest.errors import DataError

_NEW_YORK = ZoneInfo("America/New_York")
DAY_NS = 86_400 * 1_000_000_000
#: From the finest on: what moves the venue.
FINEST = ("quotes", "trades", "bars")


@dataclass(frozen=True, slots=True)
class Need:
    """What a component (`strategy NAME`) names: an instrument, and a bar type of it (text) or None."""

    who: str
    instrument: str
    bar_type: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One series of the catalog that is played. `moves` says whether the venue fills by it."""

    kind: str
    identifier: str
    instrument: str
    moves: bool


def needs(plans: Mapping[str, Any]) -> list[Need]:
    """What parameters name, of what only history can bring; `plans` by whose they are, as in `strategy NAME`."""
    found: dict[Need, None] = {}
    for who, plan in plans.items():
        named = [Need(who, str(BarType.from_str(text).instrument_id), source_of(text)) for text in plan.bar_types]
        found |= dict.fromkeys(named)
        others = set(plan.instruments) - {need.instrument for need in named}
        # Spreads are made of their legs.
        found |= {Need(who, each): None for each in plan.instruments if each in others and not each.startswith("(")}
    return list(found)


def source_of(bar_type: str) -> str | None:
    """The bars that come from outside for a bar type; None where it is aggregated from ticks."""
    parsed = BarType.from_str(bar_type)
    if parsed.is_composite():
        parsed = parsed.composite()
        return str(parsed) if parsed.is_externally_aggregated() else None
    return str(parsed) if parsed.is_externally_aggregated() else None


def sources(
    history: History,
    plans: Mapping[str, Any],
    start_ns: int,
    end_ns: int,
    *,
    others: Mapping[str, Any] = MappingProxyType({}),
    chains: bool = False,
) -> list[Source]:
    """The series to play between two times; with `chains` those of option contracts of what is named, too.

    `plans` are those of strategies by name; `others` are `Plans.others()`.

    Raises DataError where a strategy would see nothing.
    """
    spans = history.spans()
    wanted = needs({f"strategy {name}": plan for name, plan in plans.items()} | dict(others))
    complaints = []
    for need in wanted:
        there = [each for each in spans if each.instrument == need.instrument]
        fits = [each for each in there if need.bar_type is None or each.identifier == need.bar_type]
        what = f"{need.who} needs {need.bar_type or need.instrument}"
        if not fits:
            also = f"; of {need.instrument} there are {_listed(there)}" if there else ""
            complaints.append(f"{what}, and {history.folder} has none{also}")
        elif not any(each.start_ns <= end_ns and start_ns <= each.end_ns for each in fits):
            complaints.append(f"{what}, and {history.folder} has {_listed(fits)} only")
    if complaints:
        what = "" if spans else f"{history.folder} is empty"
        hint = f"`runner fetch FILE --data {history.folder} --from DAY --to DAY` brings what the file's strategies need"
        raise DataError("\n".join(filter(None, [what, *complaints])), hint)
    instruments = dict.fromkeys(need.instrument for need in wanted)
    bar_types = {need.bar_type for need in wanted if need.bar_type}
    if chains:
        underlyings = {instrument.removesuffix(".ALPACA") for instrument in instruments}
        instruments |= dict.fromkeys(history.contracts_of(underlyings))
    by_instrument: dict[str, list[Span]] = {}
    for each in spans:
        played = each.kind != "bars" or each.identifier in bar_types or not bar_types
        if played and each.start_ns <= end_ns and start_ns <= each.end_ns:
            by_instrument.setdefault(each.instrument, []).append(each)
    found = []
    for instrument in instruments:
        there = by_instrument.get(instrument, [])
        if not there:  # a contract that did not trade
            continue
        finest = next(kind for kind in FINEST if any(each.kind == kind for each in there))
        found += [
            Source(each.kind, each.identifier, instrument, moves=each.kind == finest)
            # Of things that happen at once a bar comes first: it tells of the minute before.
            for each in sorted(there, key=lambda each: (each.kind != "bars", each.kind, each.identifier))
        ]
    return sorted(found, key=lambda each: each.kind != "bars")


def _listed(spans: Sequence[Span]) -> str:
    return ", ".join(
        f"{'' if each.kind == 'bars' else f'{each.kind} of '}{each.identifier} from {moment(each.start_ns)} "
        f"to {moment(each.end_ns)}"
        for each in spans
    )


def moment(ts_ns: int) -> str:
    """`2013-10-07 04:00`, in New York."""
    at = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).astimezone(_NEW_YORK)
    return at.strftime("%Y-%m-%d %H:%M")


def covered(history: History, played: Sequence[Source]) -> tuple[int, int]:
    """From the first to the last of what there is of these series (UNIX ns)."""
    names = {(each.kind, each.identifier) for each in played}
    spans = [each for each in history.spans() if (each.kind, each.identifier) in names]
    return min(each.start_ns for each in spans), max(each.end_ns for each in spans)


class _Past(Data):
    """A row that goes past the venue."""

    def __init__(self, row: Any) -> None:
        self.row = row

    @property
    def ts_event(self) -> int:
        return self.row.ts_event  # type: ignore[no-any-return]

    @property
    def ts_init(self) -> int:
        return self.row.ts_init  # type: ignore[no-any-return]


_PAST = DataType(_Past)


class Feed:
    """Reads the series day by day, so that a year of ticks needs the memory of a day."""

    def __init__(self, history: History, played: Sequence[Source], start_ns: int, end_ns: int) -> None:
        first, last = covered(history, played)
        self.start_ns, self.end_ns = max(start_ns, first), min(end_ns, last)
        self.counts = {"quotes": 0, "trades": 0, "bars": 0}
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._history = history
        self.played = tuple(played)

    def days(self) -> Iterator[list[Any]]:
        """The rows of each UTC day that has any, in time order."""
        at_ns = self.start_ns - self.start_ns % DAY_NS
        while at_ns <= self.end_ns:
            rows = self._rows(max(at_ns, self.start_ns), min(at_ns + DAY_NS - 1, self.end_ns))
            at_ns += DAY_NS
            if rows:
                if self.first_ns is None:
                    self.first_ns = rows[0].ts_init
                self.last_ns = rows[-1].ts_init
                yield rows

    def _rows(self, start_ns: int, end_ns: int) -> list[Any]:
        rows: list[Any] = []
        for each in self.played:
            found = self._history.read(each.kind, each.identifier, start_ns, end_ns)
            self.counts[each.kind] += len(found)
            rows += found if each.moves else [CustomData(_PAST, _Past(row)) for row in found]
        rows.sort(key=lambda row: row.ts_init)  # stable: bars stay first
        return rows

    def join(self, msgbus: Any, process: Callable[[Any], None]) -> None:
        """Hand on to the data engine what does not move the venue."""
        msgbus.subscribe(f"data.{_PAST.topic}", lambda past: process(past.row))
