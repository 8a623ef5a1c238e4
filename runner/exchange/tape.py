"""Files of Alpaca stream messages, merged by time."""

from __future__ import annotations

import gzip
import heapq
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from runner.exchange.assets import asset_class_of
from runner.exchange.contracts import OptionContract, contract_of
from runner.exchange.wire import NS, Message, canonical, head, loads, parse_ns

log = logging.getLogger(__name__)

MINUTE_NS: Final = 60 * NS
DATA_KINDS: Final = frozenset("tqbudslcxion")
#: What a recording may hold besides data; `gap` marks where some is missing.
_CONTROL: Final = frozenset({"success", "error", "subscription", "gap"})
_GAP: Final = b'{"T":"gap"'
_STAMP_KEY: Final = b'"t":"'
# Of an article: when this version of it appeared, which the stream sends at that time.
_NEWS_STAMP: Final = "updated_at"
_NEWS_STAMP_KEY: Final = b'"updated_at":"'


class TapeError(Exception):
    """A file that can't be replayed. The text names the file and the line."""


@dataclass(frozen=True, slots=True)
class TapeInfo:
    """What a first pass over the data found. Times are UNIX ns."""

    start_ns: int
    end_ns: int
    total: int
    symbols: tuple[str, ...]
    with_bars: frozenset[str]
    """Symbols whose minute bars come with the data and are not built from trades."""
    with_days: frozenset[str] = frozenset()
    """Symbols whose daily bars come with the data."""
    with_bands: frozenset[str] = frozenset()
    """Symbols whose price bands come with the data and are not computed from trades."""


class Tape:
    """Messages in the order they are sent. It can be read more than once; each reading is a stream."""

    def __init__(self, paths: Sequence[Path], symbols: Iterable[str] = ()) -> None:
        """Read nothing yet; `symbols` limits what is replayed (none: all of them).

        Raises TapeError at once for a file that is not there.
        """
        self._paths = tuple(paths)
        self._only = frozenset(symbols)
        self._wanted: dict[str, bool] = {}
        for path in self._paths:
            if not path.is_file():
                raise TapeError(f"{path}: no such file; a replay file has one Alpaca stream message a line")

    @property
    def contracts(self) -> Sequence[OptionContract]:
        """None: files of messages know contracts by their symbols only."""
        return ()

    def scan(self) -> TapeInfo:
        """Go over all the files once. Raises TapeError for what can't be read, or has no messages."""
        total, start_ns, end_ns = 0, 0, 0
        kinds: set[tuple[str, str]] = set()
        for path in self._paths:
            first: bytes | None = None
            last = b""
            gaps = 0
            for number, line in _lines(path):
                found = head(line)
                if found is None:
                    message = _parse(path, number, line)
                    if message is None:
                        gaps += line.startswith(_GAP)
                        continue
                    found = message[0], message[1]
                if found[0] not in DATA_KINDS or not self._wants(found[1]):
                    continue
                kinds.add(found)
                total += 1
                first = first or line
                last = line
            if gaps:
                log.warning("%s has %d gap%s, which the recorder marked", path, gaps, "" if gaps == 1 else "s")
            if first is not None:
                begins, ends = (loads(line) for line in (first, last))
                begin_ns = _due(path, begins)
                start_ns = begin_ns if start_ns == 0 else min(start_ns, begin_ns)
                end_ns = max(end_ns, _due(path, ends))
        if not total:
            names = ", ".join(map(str, self._paths))
            which = f" of {', '.join(sorted(self._only))}" if self._only else ""
            raise TapeError(f"{names}: no market-data messages{which}")
        return TapeInfo(
            start_ns=start_ns,
            end_ns=end_ns,
            total=total,
            symbols=tuple(sorted({symbol for _, symbol in kinds if symbol})),
            with_bars=frozenset(symbol for kind, symbol in kinds if kind == "b"),
            with_days=frozenset(symbol for kind, symbol in kinds if kind == "d"),
            with_bands=frozenset(symbol for kind, symbol in kinds if kind == "l"),
        )

    def messages(self) -> Iterator[Message]:
        """Every message, in time order; files later in the list come later where times are equal."""
        readers = [self._read(path) for path in self._paths]
        return readers[0] if len(readers) == 1 else heapq.merge(*readers, key=_time)

    def _wants(self, symbol: str) -> bool:
        """Whether it is to be replayed: an option is where its underlying is, and news is always."""
        if not self._only or not symbol:
            return True
        found = self._wanted.get(symbol)
        if found is None:
            found = symbol in self._only
            if not found and asset_class_of(symbol) == "us_option":
                found = contract_of(symbol).underlying_symbol in self._only
            self._wanted[symbol] = found
        return found

    def _read(self, path: Path) -> Iterator[Message]:
        now_ns, late = 0, 0
        held: list[tuple[int, int, Message]] = []  # minute bars, stamped with their start, wait for their end
        for number, line in _lines(path):
            found = head(line)
            raw = line
            if found is None:
                parsed = _parse(path, number, line)
                if parsed is None:
                    continue
                kind, symbol, raw = parsed
            else:
                kind, symbol = found
            if kind not in DATA_KINDS or not self._wants(symbol):
                continue
            ts_ns = _stamp_of(path, number, raw, _STAMP_KEY if kind != "n" else _NEWS_STAMP_KEY)
            if kind == "b":
                heapq.heappush(held, (ts_ns + MINUTE_NS, number, Message(ts_ns + MINUTE_NS, kind, symbol, raw)))
                continue
            if kind not in "ud" and ts_ns < now_ns:
                late += 1
            due_ns = max(now_ns, ts_ns) if kind not in "ud" else now_ns
            while held and held[0][0] <= due_ns:
                bar = heapq.heappop(held)[2]
                now_ns = max(now_ns, bar.ts_ns)
                yield bar._replace(ts_ns=now_ns)
            now_ns = max(now_ns, due_ns)
            yield Message(now_ns, kind, symbol, raw)
        while held:
            bar = heapq.heappop(held)[2]
            now_ns = max(now_ns, bar.ts_ns)
            yield bar._replace(ts_ns=now_ns)
        if late:
            log.warning("%s: %d messages were out of time order and are sent where they stand", path, late)


def _time(message: Message) -> int:
    return message.ts_ns


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if text:
                    yield number, text
    except EOFError:
        # Whoever wrote it was ended in the middle: what is there is good, save a line that was cut off.
        log.warning("%s ends in the middle, after line %d: what was cut off is missing", path, number)
    except (OSError, zlib.error) as error:
        raise TapeError(f"{path}: {error}") from error


def _parse(path: Path, number: int, line: bytes) -> tuple[str, str, bytes] | None:
    """A line that is not in canonical form: `T`, `S` and its text put into that form; None for a control message."""
    try:
        fields = loads(line)
    except ValueError as error:
        raise TapeError(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("T"), str):
        raise TapeError(f"{path}:{number}: not an Alpaca stream message: an object with T is wanted")
    if fields["T"] in _CONTROL:
        return None
    if fields["T"] == "n":
        symbols = fields.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise TapeError(f"{path}:{number}: news without a list of symbols")
        return "n", "", canonical("n", "", fields)
    if not isinstance(fields.get("S"), str) or not fields["S"]:
        raise TapeError(f"{path}:{number}: a message of type {fields['T']!r} without a symbol S")
    return fields["T"], fields["S"], canonical(fields["T"], fields["S"], fields)


def _stamp_of(path: Path, number: int, raw: bytes, key: bytes) -> int:
    at = raw.rfind(key)
    start = at + len(key)
    end = raw.find(b'"', start)
    try:
        if at < 0 or end < 0:
            raise ValueError("the message has no time t")
        return parse_ns(raw[start:end].decode())
    except ValueError as error:
        raise TapeError(f"{path}:{number}: {error}") from error


def _due(path: Path, fields: dict[str, Any]) -> int:
    try:
        ts_ns = parse_ns(fields[_NEWS_STAMP if fields["T"] == "n" else "t"])
    except (KeyError, TypeError, ValueError) as error:
        raise TapeError(f"{path}: the first or last message has no usable time t: {error}") from error
    return ts_ns + MINUTE_NS if fields["T"] == "b" else ts_ns
