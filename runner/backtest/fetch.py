"""Brings Alpaca's history into a catalog: what is missing of it, piece by piece, each kept as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import PriceType
from nautilus_trader.model.identifiers import InstrumentId

from runner._engine import EngineError, HttpError
from runner.alpaca.archive import Archive
from runner.alpaca.bars import bar_source
from runner.alpaca.config import AlpacaDataFeed
from runner.alpaca.history import DELAY_NS
from runner.alpaca.models import WireError
from runner.backtest.catalog import History
from runner.backtest.errors import DataError
from runner.backtest.feed import moment, needs
from runner.config.markets import market_of
from runner.node.exit_codes import ExitCode, NodeError
from runner.risk.limits import LimitsBook

_NEW_YORK = ZoneInfo("America/New_York")
_SECOND = 1_000_000_000
_HOUR = 3_600 * _SECOND
_DAY = 24 * _HOUR
_SATURDAY = 5
_SETTLED_NS = 60 * _SECOND
#: How far back a fetch without a start goes.
DEFAULT_SPAN_NS = 30 * _DAY
#: What is asked for and written at once: an hour of a busy stock's quotes is some hundred thousand.
_PIECES = {"quotes": _HOUR, "trades": 4 * _HOUR}
# Bars a piece, at most: a few pages of the endpoint.
_BARS = 20_000


@dataclass(frozen=True, slots=True)
class Want:
    """One series: bars of a bar type, or an instrument's quotes or trades."""

    kind: str
    identifier: str

    @property
    def instrument(self) -> str:
        return str(BarType.from_str(self.identifier).instrument_id) if self.kind == "bars" else self.identifier


@dataclass(slots=True)
class Fetched:
    """What became of one series: rows that came, and whether everything was there before."""

    want: Want
    rows: int = 0
    requests: int = 0
    complete: bool = False


Told = Callable[[Want, int, int, int], None]
"""(series, ns done, ns in all, rows)"""


def wanted_by(
    plans: Mapping[str, Any],
    limits: LimitsBook,
    markets: Mapping[str, str],
    others: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, list[Want]]:
    """What the components of a file need, by feed; `markets` are the feeds' (stocks, crypto, options).

    A series comes from the strategy's feed, or from another where that one is of another market: the bars that its
    parameters name; ticks for bars that are made of ticks, or where no bars are named; quotes where a limit is held
    against quotes. `others` are `Plans.others()`. Raises ValueError where the file has no feed of a market.
    """
    found: dict[str, dict[Want, None]] = {}
    every = [
        (f"strategy {name}", plan, [plan.spec.feed], bool(limits.rules(plan.spec.account, name).quoted))
        for name, plan in plans.items()
    ]
    every += [(who, plan, [], False) for who, plan in others.items()]
    for who, plan, own, quoted in every:
        for want in _wanted(who, plan, quoted=quoted):
            market = market_of(_symbol(want.instrument))
            feed = next((feed for feed in [*own, *markets] if markets.get(feed) == market), None)
            if feed is None:
                raise ValueError(f"{who} names {want.instrument}, and the file has no feed of {market}")
            found.setdefault(feed, {})[want] = None
    return {feed: list(wants) for feed, wants in found.items()}


def _wanted(who: str, plan: Any, *, quoted: bool) -> dict[Want, None]:
    """Of one component; `quoted` where its orders are held against quotes."""
    wants: dict[Want, None] = {}
    named = needs({who: plan})
    with_bars = {need.instrument for need in named if need.bar_type is not None}
    for need in named:
        if need.bar_type is not None:
            wants[Want("bars", need.bar_type)] = None
    for text in plan.bar_types:
        parsed = BarType.from_str(text)
        inner = parsed.composite() if parsed.is_composite() else parsed
        if inner.is_internally_aggregated():
            kind = "trades" if inner.spec.price_type == PriceType.LAST else "quotes"
            wants[Want(kind, str(inner.instrument_id))] = None
            with_bars.add(str(inner.instrument_id))
    for instrument in dict.fromkeys(need.instrument for need in named):
        if instrument not in with_bars:
            wants[Want("trades", instrument)] = None
        if (instrument not in with_bars or quoted) and market_of(_symbol(instrument)) != "options":
            wants[Want("quotes", instrument)] = None
    return wants


def wants_of(instruments: Iterable[str], bars: Sequence[str], *, quotes: bool, trades: bool) -> list[Want]:
    """Series of instruments that are named one by one. `bars` are such as `1-MINUTE`. Raises ValueError."""
    found: dict[Want, None] = {}
    for instrument in instruments:
        for spec in bars:
            text = f"{instrument}-{spec}-LAST-EXTERNAL"
            try:
                bar_source(BarType.from_str(text))
            except ValueError as error:
                raise ValueError(
                    f"--bars {spec}: Alpaca has 1 to 59 minutes, 1 to 23 hours, a day, a week, and 1, 2, 3, 4, 6 or 12 "
                    "months; write 5-MINUTE, 1-HOUR, 1-DAY"
                ) from error
            found[Want("bars", text)] = None
        if quotes:
            found[Want("quotes", instrument)] = None
        if trades:
            found[Want("trades", instrument)] = None
    return list(found)


async def fetch(
    archive: Archive, history: History, wants: Sequence[Want], start_ns: int | None, end_ns: int, told: Told
) -> list[Fetched]:
    """Fetch what is missing between two times (UNIX ns, both included); the venue's present bounds them.

    What was written stays when this raises: NodeError where Alpaca refuses or can't be reached, or has no such thing.
    """
    now_ns = archive.venue_clock.now_ns()
    # What is that fresh may be reported late, or not be for this plan yet: it is not there to be noted as fetched.
    late_ns = DELAY_NS if archive.config.feed == AlpacaDataFeed.DELAYED_SIP else 0
    end_ns = min(end_ns, now_ns - late_ns - _SETTLED_NS)
    start_ns = end_ns - DEFAULT_SPAN_NS if start_ns is None else start_ns
    if start_ns > end_ns:
        raise DataError(
            f"{moment(start_ns)} is in the future: it is {moment(now_ns)} at the venue", "give another --from"
        )
    results = []
    for want in wants:
        try:
            results.append(await _series(archive, history, want, start_ns, end_ns, told))
        except HttpError as error:
            keys = error.status in (401, 403)
            hint = "check the keys, and whether the plan has this feed" if keys else "what came before is kept"
            raise NodeError(
                ExitCode.CONNECT if keys else ExitCode.FAILED,
                f"{want.identifier}: Alpaca refused: {error.message}",
                hint,
            ) from error
        except (EngineError, WireError, TimeoutError) as error:
            raise NodeError(
                ExitCode.CONNECT,
                f"{want.identifier}: {str(error) or 'no answer in time'}",
                "what came before is kept: run it again to go on from there",
            ) from error
        except ValueError as error:
            raise DataError(f"{want.identifier}: {error}", "") from error
    return results


async def _series(archive: Archive, history: History, want: Want, start_ns: int, end_ns: int, told: Told) -> Fetched:
    result = Fetched(want)
    gaps = history.missing(want.kind, want.identifier, start_ns, end_ns)
    total = sum(end - start + 1 for start, end in gaps)
    if not gaps:
        result.complete = True
        return result
    instrument = await archive.instrument(InstrumentId.from_str(want.instrument))
    history.put_instrument(instrument)
    done = 0
    for gap_start, gap_end in gaps:
        # What turned out empty is part of the next file, whose name says that it was looked at.
        empty_from = gap_start
        for piece_start, piece_end in _pieces(want, gap_start, gap_end):
            rows: list[Any] = []
            if not _closed(want, piece_start, piece_end):
                rows = await _rows(archive, want, piece_start, piece_end)
                result.requests += 1
            if rows:
                await asyncio.to_thread(
                    history.put, want.kind, want.identifier, rows, instrument, empty_from, piece_end
                )
                empty_from = piece_end + 1
            result.rows += len(rows)
            done += piece_end - piece_start + 1
            told(want, done, total, result.rows)
        if empty_from <= gap_end:
            history.extend(want.kind, want.identifier, empty_from, gap_end)
    return result


async def _rows(archive: Archive, want: Want, start_ns: int, end_ns: int) -> list[Any]:
    if want.kind == "quotes":
        rows = await archive.history_quotes(InstrumentId.from_str(want.identifier), start_ns, end_ns)
    elif want.kind == "trades":
        rows = await archive.history_trades(InstrumentId.from_str(want.identifier), start_ns, end_ns)
    else:
        bar_type = BarType.from_str(want.identifier)
        # Bars belong to the moment they close at, and are asked for by the one they begin at.
        rows = await archive.history_bars(bar_type, start_ns - bar_source(bar_type).length_ns, end_ns)
    return [row for row in rows if start_ns <= row.ts_init <= end_ns]


def _pieces(want: Want, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """A span in pieces that lie on a grid of their length."""
    if want.kind == "bars":
        length = bar_source(BarType.from_str(want.identifier)).length_ns * _BARS
    else:
        length = _PIECES[want.kind]
    at = start_ns
    while at <= end_ns:
        last = min(at - at % length + length - 1, end_ns)
        yield at, last
        at = last + 1


def _closed(want: Want, start_ns: int, end_ns: int) -> bool:
    """Whether it is a Saturday in New York throughout, or the Sunday before its evening session: nothing trades."""
    if market_of(_symbol(want.instrument)) == "crypto" or end_ns - start_ns > _DAY:
        return False
    ends = [datetime.fromtimestamp(ns / _SECOND, UTC).astimezone(_NEW_YORK) for ns in (start_ns, end_ns)]
    return all(each.weekday() == _SATURDAY or (each.weekday() == _SATURDAY + 1 and each.hour < 18) for each in ends)


def _symbol(instrument: str) -> str:
    return instrument.removesuffix(".ALPACA")
