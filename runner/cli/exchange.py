"""`runner exchange`: the simulated Alpaca on its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import sys
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from runner.exchange.server import ExchangeServer

_USAGE = 2
_FAILED = 1


def exchange(
    *,
    port: int = 0,
    replay: Annotated[list[Path] | None, Parameter(negative="")] = None,
    speed: str = "1",
    start: str | None = None,
    seed: int = 0,
    symbols: str = "",
    options: str = "",
    day: str | None = None,
    core_only: Annotated[bool, Parameter(negative="")] = False,
    contracts: Annotated[list[Path] | None, Parameter(negative="")] = None,
    corporate_actions: Path | None = None,
    fee_per_share: str = "0",
    plan: Literal["basic", "plus"] = "plus",
    wait: Annotated[bool, Parameter(negative="")] = False,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> int:
    """Serve a simulated Alpaca on 127.0.0.1: REST, trade updates and market data, on one port.

    Any key id and secret are good, and each key id has its own account. Once it is ready it prints one line of JSON to
    stdout, and it goes on serving until it is interrupted.

    Parameters
    ----------
    port
        TCP port; 0 takes a free one, which the line on stdout names.
    replay
        File of Alpaca stream messages, one a line (.jsonl or .jsonl.gz). May be given several times: files are merged
        by time. Without it a synthetic day is made up.
    speed
        How many times faster than the day was: a number, or max for as fast as clients read.
    start
        HH:MM in New York at which streaming begins; what came before is served as history.
    seed
        Seed of the synthetic day and of everything else that is random.
    symbols
        Comma-separated symbols to generate, or to pick out of the files: IBM, or BTC/USD for a crypto pair.
    options
        Comma-separated stocks to generate together with an option chain.
    day
        YYYY-MM-DD, the day to generate: a trading day, unless all symbols are crypto pairs.
    core_only
        Generate 09:30 to 16:00 only.
    contracts
        File of option contracts, a JSON list of what Alpaca's API shows. Contracts that only the market data names are
        taken to be standard ones. May be given several times.
    corporate_actions
        File of corporate actions as Alpaca's API shows them (JSON).
    fee_per_share
        Dollars that each executed share costs.
    plan
        Data plan: basic has the iex feed alone, with 30 symbols.
    wait
        Let the replay begin with the first market-data subscription.
    log_level
        What goes to stderr.
    """
    # Late, so that `runner --help` does not load a web server.
    from runner.exchange.server import ExchangeServer
    from runner.exchange.settings import DEFAULT_DAY, Settings, parse_speed
    from runner.exchange.tape import TapeError

    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    try:
        settings = Settings(
            port=port,
            replay=tuple(replay or ()),
            speed=parse_speed(speed),
            start=_parsed("start", start, time.fromisoformat, "09:30") if start else None,
            wait=wait,
            seed=seed,
            symbols=tuple(name.strip() for name in symbols.split(",") if name.strip()),
            options=tuple(name.strip() for name in options.split(",") if name.strip()),
            day=_parsed("day", day, date.fromisoformat, "2026-01-12") if day else DEFAULT_DAY,
            extended_hours=not core_only,
            contracts=tuple(contracts or ()),
            corporate_actions=corporate_actions,
            fee_per_share=_parsed("fee-per-share", fee_per_share, Decimal, "0.005"),
            plan=plan,
        )
    except ValueError as error:
        print(f"runner exchange: {error}", file=sys.stderr)
        return _USAGE
    try:
        # A day is a hundred thousand objects that all stay: collecting among them only costs time.
        gc.disable()
        server = ExchangeServer(settings)
        gc.freeze()
        gc.enable()
    except (TapeError, ValueError) as error:
        print(f"runner exchange: {error}", file=sys.stderr)
        return _FAILED
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(server), loop_factory=_loop_factory())
    return 0


async def _serve(server: ExchangeServer) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with server:
            print(json.dumps(_ready(server)), flush=True)
            await stop.wait()
    except OSError as error:
        where = f"{server.settings.host}:{server.settings.port}"
        print(f"runner exchange: {where} can't be served: {error}. --port 0 takes a free port", file=sys.stderr)
        return _FAILED
    return 0


def _ready(server: ExchangeServer) -> dict[str, Any]:
    from runner.exchange.calendar import new_york

    return {
        "ready": True,
        "port": server.port,
        "url": server.url,
        "synthetic": server.synthetic,
        "symbols": server.market.symbols(),
        "date": new_york(server.market.now_ns).date().isoformat(),
    }


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it can be had: it halves the time that a message takes through the sockets."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return]


def _parsed[T](name: str, text: str, parse: Callable[[str], T], example: str) -> T:
    try:
        return parse(text)
    except (ValueError, InvalidOperation):
        raise ValueError(f"--{name} {text!r} can't be read: write it like {example}") from None
