"""`runner record`: a live feed, written to files that the simulated exchange replays."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runner.config.hosts import STREAM_URL, as_ws, market_stream

if TYPE_CHECKING:
    from runner.config.models import RunnerConfig
    from runner.recording.client import Source
    from runner.recording.files import Recording

_OK, _FAILED, _USAGE, _CONNECT = 0, 1, 2, 69
_KEY, _SECRET = "ALPACA_API_KEY", "ALPACA_API_SECRET"
_CONTRACT = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}")


class _UsageError(Exception):
    """What is wrong with the options, as a sentence."""


def record(
    *files: Path,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    feed: str | None = None,
    symbols: str = "",
    channels: str = "",
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    stream_url: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Write a feed to NAME-DAY.jsonl.gz, one message a line, until it is interrupted.

    What is there is readable at any moment, after a kill too. Where messages are missing a line says so ({"T":"gap"}),
    and the end counts them; recording on into the same files is possible. Replay with `runner FILE --sim --replay` or
    `runner exchange --replay`. The market-data connection is taken meanwhile: the broker allows one a market.

    Exit codes: 0 recorded, 1 it could not be written, 2 usage, 69 the feed can't be had, 78 mistakes in the file.

    Parameters
    ----------
    files
        Files whose feed, keys and strategies' symbols are taken; without one the keys are ALPACA_API_KEY and
        ALPACA_API_SECRET.
    out
        NAME.jsonl.gz: the day of trading in New York is put behind NAME.
    feed
        The feed's name in the file, where it has several; without a file iex, sip, us (crypto), indicative and so on.
    symbols
        Comma-separated: IBM,BAC or BTC/USD; those that the file's strategies name by default.
    channels
        Comma-separated: trades, quotes, bars, statuses and so on; what the market has by default.
    for_
        How long: 90s, 30m, 6h.
    stream_url
        Instead of the broker's wss address: ws://127.0.0.1:8080, say.
    json_
        Print the summary as one JSON object on stdout.
    """
    from runner.cli._files import report
    from runner.config.errors import ConfigErrors
    from runner.recording.client import FeedError
    from runner.recording.files import Recording, RecordingError

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    try:
        length = None if for_ is None else _length(for_)
        source = _source(files, feed, symbols, channels, stream_url, os.environ)
        recording = Recording(out)
    except ConfigErrors as errors:
        return report(errors, as_json=json_)
    except (_UsageError, RecordingError) as error:
        print(f"runner record: {error}", file=sys.stderr)
        return _USAGE
    code = _OK
    try:
        asyncio.run(_run(source, recording, length))
    except FeedError as error:
        print(f"runner record: {error}", file=sys.stderr)
        code = _CONNECT
    except (RecordingError, OSError) as error:
        print(f"runner record: {error}", file=sys.stderr)
        code = _FAILED
    _tell(recording, as_json=json_)
    return code or (_FAILED if recording.dropped else _OK)


async def _run(source: Source, recording: Recording, length: timedelta | None) -> None:
    from runner.recording.client import FeedError, Recorder

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if length is not None:
        loop.call_later(length.total_seconds(), stop.set)

    def ready() -> None:
        # To whoever waits for it: a person, or a test.
        logging.getLogger("runner.record").info(
            "recording %s of %s", ", ".join(source.channels), ", ".join(source.symbols)
        )

    recorder = Recorder(source, recording, on_ready=ready)
    await recorder.run(stop)
    if not recorder.ready:
        raise FeedError(f"the feed was never there: {recorder.problem or 'no answer yet'}")


def _length(text: str) -> timedelta:
    from runner.config.fields import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise _UsageError(f"--for: {error}") from None


def _source(
    files: tuple[Path, ...],
    feed: str | None,
    symbols: str,
    channels: str,
    stream_url: str | None,
    environ: Mapping[str, str],
) -> Source:
    """Raises ConfigErrors or _UsageError."""
    from runner.config.load import load
    from runner.recording.client import CHANNELS, Source

    if files:
        config = load(files, environ=environ).config
        name = _feed_of(config, feed)
        spec = config.feeds[name]
        market, wire_feed = str(spec.market), spec.feed
        key, secret = (each.value.get_secret_value() for each in config.feed_credentials(name))
        base = stream_url or spec.stream_url or (as_ws(spec.data_url) if spec.data_url else STREAM_URL)
        named = _symbols_of(config, market)
    else:
        market, wire_feed = _known(feed)
        missing = [each for each in (_KEY, _SECRET) if not environ.get(each)]
        if missing:
            raise _UsageError(f"set {' and '.join(missing)}, or name a file that says where the keys are")
        key, secret, base, named = environ[_KEY].strip(), environ[_SECRET].strip(), stream_url or STREAM_URL, ()
    chosen = _words(symbols) or named
    if not chosen:
        what = "contracts, which its strategies don't" if market == "options" and files else "symbols"
        raise _UsageError(f"name {what} with --symbols, comma-separated")
    return Source(
        market_stream(base, market, wire_feed), market, chosen, _words(channels) or CHANNELS[market], key, secret
    )


def _feed_of(config: RunnerConfig, feed: str | None) -> str:
    from runner.config.errors import instead

    if feed is None and len(config.feeds) == 1:
        return next(iter(config.feeds))
    if feed is None:
        raise _UsageError(f"the file has several feeds, choose one with --feed: {', '.join(config.feeds)}")
    if feed not in config.feeds:
        raise _UsageError(f"the file has no feed `{feed}`, {instead(feed, list(config.feeds))}")
    return feed


def _known(feed: str | None) -> tuple[str, str]:
    """Market and feed of Alpaca's own name for it."""
    from runner.config.errors import instead
    from runner.config.models import FEEDS

    every = [each for feeds in FEEDS.values() for each in feeds]
    if feed is None:
        raise _UsageError(f"name a file, or one of Alpaca's feeds with --feed: {', '.join(every)}")
    for market, feeds in FEEDS.items():
        if feed in feeds:
            return market, feed
    raise _UsageError(f"there is no feed `{feed}`, {instead(feed, every)}")


def _symbols_of(config: RunnerConfig, market: str) -> tuple[str, ...]:
    from runner.node.run import symbols_of

    def market_of(symbol: str) -> str:
        return "crypto" if "/" in symbol else "options" if _CONTRACT.fullmatch(symbol) else "stocks"

    return tuple(symbol for symbol in symbols_of(config) if market_of(symbol) == market)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _tell(recording: Recording, *, as_json: bool) -> None:
    summary: dict[str, Any] = {
        "messages": recording.messages,
        "kinds": dict(sorted(recording.kinds.items())),
        "gaps": recording.gaps,
        "gap_s": round(recording.gap_s, 3),
        "dropped": recording.dropped,
        "files": {str(path): size for path, size in recording.files.items()},
    }
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in summary["kinds"].items())
    print(f"{recording.messages} messages{f' ({kinds})' if kinds else ''}")
    if recording.gaps:
        print(f"{recording.gaps} gap{'s' if recording.gaps > 1 else ''}, {recording.gap_s:.1f} s in all")
    if recording.dropped:
        print(f"{recording.dropped} messages are lost: they could not be written, and too many waited")
    for path, size in recording.files.items():
        print(f"{path}  {size} bytes")
