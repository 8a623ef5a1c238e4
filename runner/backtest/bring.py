"""`runner fetch`: from a file, or symbols, or recordings, to a folder of history, with progress and an exit code."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from runner._engine import EngineError, HttpError
from runner.alpaca.archive import Archive
from runner.alpaca.config import AlpacaDataClientConfig, AlpacaDataFeed, MissingKeysError
from runner.alpaca.models import WireError
from runner.alpaca.symbols import instrument_id
from runner.backtest.catalog import History
from runner.backtest.fetch import Fetched, Want, fetch, wanted_by, wants_of
from runner.backtest.recording import import_recording
from runner.backtest.window import FOREVER_NS
from runner.config.load import Loaded, load
from runner.config.markets import market_of
from runner.config.models import FEEDS
from runner.config.strategies import resolve
from runner.node.build import Endpoint
from runner.node.endpoints import real
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.gate import limits_book
from runner.node.logs import set_up

log = logging.getLogger("runner.fetch")
# One request may read many pages, each of which waits for its turn in the quota.
# The simulated exchange opens an account for whatever key it is shown.
_SIMULATED = ("SIMFETCH", "fetch")
_INTERRUPTED = 130  # 128 + SIGINT
_SERIES_TIMEOUT_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. Times are UNIX ns; a start of None is 30 days before the end."""

    data: Path
    files: tuple[Path, ...] = ()
    symbols: tuple[str, ...] = ()
    recordings: tuple[Path, ...] = ()
    contracts: tuple[Path, ...] = ()
    start_ns: int | None = None
    end_ns: int = FOREVER_NS
    bars: tuple[str, ...] = ()
    quotes: bool = False
    trades: bool = False
    feed: str | None = None
    url: str | None = None
    quota_per_min: int = 200
    json: bool = False


def run(options: Options, environ: Mapping[str, str] | None = None) -> int:
    """Fetch. Raises ConfigErrors for mistakes in the files, ValueError for wrong usage; else an exit code."""
    env = dict(os.environ if environ is None else environ)
    set_up("info", None, "text", "fetch")
    told = _Told()
    try:
        jobs = [] if options.recordings else _jobs(options, env)
        with History(options.data).writing() as history:
            if options.recordings:
                rows = _recordings(options, history, told)
            else:
                rows = asyncio.run(_fetch_all(jobs, history, options, told))
    except NodeError as error:
        told.stop()
        log.error("%s", error.text())  # noqa: TRY400 (no traceback: it is an answer, not a fault)
        return int(error.code)
    except KeyboardInterrupt:
        told.stop()
        log.error("stopped: what came is kept, run it again to go on from there")  # noqa: TRY400
        return _INTERRUPTED
    finally:
        told.stop()
    _say(rows, options)
    return int(ExitCode.OK)


def _recordings(options: Options, history: History, told: _Told) -> list[dict[str, Any]]:
    with told.task("reading the recording") as update:
        written = import_recording(history, options.recordings, contracts=options.contracts, told=update)
    return [{"kind": kind, "series": identifier, "rows": n} for (kind, identifier), n in written.items()]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is fetched from one feed."""

    config: AlpacaDataClientConfig
    wants: list[Want]


def _jobs(options: Options, env: Mapping[str, str]) -> list[_Job]:
    if options.files:
        loaded = load(options.files, environ=env, need_secrets=options.url is None)
        return _jobs_of_file(loaded, options)
    by_market: dict[str, list[str]] = {}
    for symbol in options.symbols:
        which = instrument_id(symbol.removesuffix(".ALPACA"))
        by_market.setdefault(market_of(which.symbol.value), []).append(which.value)
    if options.feed is not None and (len(by_market) > 1 or options.feed not in FEEDS[next(iter(by_market))]):
        known = "; ".join(f"{market}: {', '.join(FEEDS[market])}" for market in by_market)
        raise ValueError(f"--feed {options.feed} is none of these symbols' feeds ({known})")
    keys = _SIMULATED if options.url else (env.get("ALPACA_API_KEY"), env.get("ALPACA_API_SECRET"))
    jobs = []
    for market, instruments in by_market.items():
        bars = options.bars if options.bars or options.quotes or options.trades else ("1-MINUTE",)
        wants = wants_of(instruments, bars, quotes=options.quotes and market != "options", trades=options.trades)
        config = _client(options.feed or FEEDS[market][0], keys[0], keys[1], True, options)
        jobs.append(_Job(config, wants))
    return jobs


def _jobs_of_file(loaded: Loaded, options: Options) -> list[_Job]:
    config = loaded.config
    plans = resolve(loaded)
    if options.url is None:
        _, feeds = real(config, live=config.environment == "live")
    else:
        feeds = dict.fromkeys(config.feeds, Endpoint(*_SIMULATED))
    by_feed = wanted_by(
        plans.strategies,
        limits_book(config),
        {name: feed.market for name, feed in config.feeds.items()},
        plans.others(),
    )
    for feed in list(by_feed):
        instruments = dict.fromkeys(want.instrument for want in by_feed[feed])
        more = wants_of(instruments, options.bars, quotes=options.quotes, trades=options.trades)
        if config.feeds[feed].market == "options":
            more = [want for want in more if want.kind != "quotes"]
        by_feed[feed] = list(dict.fromkeys([*by_feed[feed], *more]))
    jobs = []
    for name, wants in by_feed.items():
        end: Endpoint = feeds[name]
        client = _client(config.feeds[name].feed, end.key, end.secret, end.paper, options, end)
        jobs.append(_Job(client, wants))
    if not jobs:
        raise ValueError(
            "the strategies of the file name no instruments: give symbols, with --bars, --quotes or --trades"
        )
    return jobs


def _client(
    feed: str, key: str | None, secret: str | None, paper: bool, options: Options, end: Endpoint | None = None
) -> AlpacaDataClientConfig:
    return AlpacaDataClientConfig(
        api_key=key,
        api_secret=secret,
        paper=paper,
        feed=AlpacaDataFeed(feed),
        trading_url=options.url or (None if end is None else end.trading_url),
        data_url=options.url or (None if end is None else end.data_url),
        request_timeout_s=_SERIES_TIMEOUT_S,
        data_per_min=options.quota_per_min,
        trading_per_min=options.quota_per_min,
    )


async def _fetch_all(jobs: Sequence[_Job], history: History, options: Options, told: _Told) -> list[dict[str, Any]]:
    results: list[Fetched] = []
    for job in jobs:
        try:
            archive = await Archive(job.config).__aenter__()
        except MissingKeysError as error:
            raise NodeError(ExitCode.CONFIG, str(error).partition(":")[0], _KEYS) from error
        except HttpError as error:
            raise NodeError(ExitCode.CONNECT, f"Alpaca refused the keys: {error.message}", _KEYS) from error
        except (EngineError, WireError, TimeoutError) as error:
            raise NodeError(ExitCode.CONNECT, f"Alpaca could not be reached: {error}", "check the network") from error
        try:
            results += await fetch(archive, history, job.wants, options.start_ns, options.end_ns, told.series)
        finally:
            await archive.__aexit__()
    return [
        {"kind": each.want.kind, "series": each.want.identifier, "rows": each.rows, "complete": each.complete}
        for each in results
    ]


_KEYS = (
    "set ALPACA_API_KEY and ALPACA_API_SECRET (a paper account's will do), or try without keys: "
    "`runner fetch --recording FILE`, or --url of a `runner exchange`"
)


class _Told:
    """Progress on standard error: a bar where that is a terminal, a line for each series where it is not."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._on = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rows]} rows"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[Want, Any] = {}

    def series(self, want: Want, done: int, total: int, rows: int) -> None:
        if not self._on:
            return
        if want not in self._tasks:
            self._progress.start()
            self._tasks[want] = self._progress.add_task(f"{want.kind} {want.identifier}", total=total, rows="0")
        self._progress.update(self._tasks[want], completed=done, rows=f"{rows:,}")

    def task(self, what: str) -> _Task:
        return _Task(self._progress if self._on else None, what)

    def stop(self) -> None:
        self._progress.stop()


class _Task:
    def __init__(self, progress: Progress | None, what: str) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(what, total=None, rows="0")

    def __enter__(self) -> Any:
        if self._progress is not None:
            self._progress.start()
        return self._update

    def _update(self, done: int, total: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, rows=f"{done:,}")

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


def _say(rows: list[dict[str, Any]], options: Options) -> None:
    if options.json:
        json.dump({"data": str(options.data), "series": rows}, sys.stdout, indent=2)
        print()
        return
    for row in rows:
        what = "was there already" if row.get("complete") else f"{row['rows']:,} rows"
        print(f"{row['kind']:<7} {row['series']}: {what}")
    if not rows:
        print("nothing was missing")
    if rows and not any(row["rows"] or row.get("complete") for row in rows):
        print("Alpaca has nothing there: were the markets open, and does the feed reach back so far?")
