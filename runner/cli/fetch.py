"""`runner fetch`: history from Alpaca, or from a recording, into a folder that `backtest` reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runner.cli._files import report
from runner.config.errors import ConfigErrors

_USAGE = 2


def fetch(
    *what: str,
    data: Path,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    bars: Annotated[list[str] | None, Parameter(negative=())] = None,
    quotes: Annotated[bool, Parameter(negative=())] = False,
    trades: Annotated[bool, Parameter(negative=())] = False,
    feed: str | None = None,
    recording: Annotated[list[Path] | None, Parameter(negative=())] = None,
    contracts: Annotated[list[Path] | None, Parameter(negative=())] = None,
    url: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Bring history into a folder: of the instruments that the strategies of a FILE name, or of SYMBOLS.

    Only what is missing is fetched: run it again to go on after an interruption, or to bring the folder up to date.
    Exit codes: 0 fine, 1 failed, 2 usage, 66 no such data, 69 no connection, 78 mistakes in the files or no keys.

    Parameters
    ----------
    what
        A file (or several, laid over one another), or symbols: IBM, BTC/USD, IBM260116C00225000.
    data
        The folder, a Nautilus ParquetDataCatalog; it is made where there is none.
    from_
        First day (2024-03-01) or time (2024-03-01T09:30), New York's; by default 30 days before the end.
    to
        Last day or time, included; by default now.
    bars
        Such as 1-MINUTE, 5-MINUTE, 1-HOUR, 1-DAY; for a file, besides the bars that it names. Symbols: 1-MINUTE.
    quotes
        Quotes too: a backtest fills by them. Alpaca has no history of options' quotes.
    trades
        Trades too.
    feed
        For symbols: iex (default), sip, us, indicative, …; for a file it is the file's.
    recording
        Instead of Alpaca: files of recorded messages, as `runner record` writes them. Needs no keys.
    contracts
        With --recording: files of option contracts, for more than their symbols say.
    url
        Instead of Alpaca's hosts: a simulated exchange (`runner exchange`). Needs no keys for symbols.
    json_
        Print what was fetched as one JSON object on stdout.
    """
    try:
        from runner.backtest.bring import Options, run
        from runner.backtest.window import window

        start_ns, end_ns = window(from_, to)
        options = Options(
            data=data,
            files=tuple(Path(each) for each in what if _is_file(each)),
            symbols=tuple(each for each in what if not _is_file(each)),
            recordings=tuple(recording or ()),
            contracts=tuple(contracts or ()),
            start_ns=None if from_ is None else start_ns,
            end_ns=end_ns,
            bars=tuple(spec for each in bars or () for spec in each.upper().split(",")),
            quotes=quotes,
            trades=trades,
            feed=feed,
            url=url,
            json=json_,
        )
        if problem := _usage(options.files, options.symbols, recording, feed, contracts):
            raise ValueError(problem)
        return run(options)
    except ConfigErrors as errors:
        return report(errors, as_json=json_)
    except ValueError as error:
        print(f"runner fetch: {error}", file=sys.stderr)
        return _USAGE


def _usage(
    files: tuple[Path, ...],
    symbols: tuple[str, ...],
    recording: list[Path] | None,
    feed: str | None,
    contracts: list[Path] | None,
) -> str | None:
    given = [
        name for name, is_given in (("a file", files), ("symbols", symbols), ("--recording", recording)) if is_given
    ]
    if not given:
        return "say what to fetch: a file, symbols, or --recording FILE"
    if len(given) > 1:
        return f"{' and '.join(given)} are given: one at a time"
    if feed is not None and not symbols:
        return "--feed is for symbols; a file says its own, a recording has none"
    if contracts and not recording:
        return "--contracts is for --recording"
    return None


def _is_file(word: str) -> bool:
    return word.endswith((".yaml", ".yml")) or Path(word).is_file()
