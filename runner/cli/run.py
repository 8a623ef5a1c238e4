"""`runner FILE…`: run the node that the files declare."""

from __future__ import annotations

import logging
import os
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runner.cli._files import report as report_errors
from runner.config.errors import ConfigErrors

_USAGE = 2


def run(
    *files: Annotated[Path, Parameter(required=True)],
    sim: Annotated[bool, Parameter(negative=())] = False,
    live: Annotated[bool, Parameter(negative=())] = False,
    replay: Annotated[list[Path] | None, Parameter(negative=())] = None,
    speed: str = "1",
    start: str | None = None,
    seed: int = 0,
    fee_per_share: str = "0",
    report: Path | None = None,
    watch: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run the node that FILES declare, each laid over the one before, until it is told to stop or the replay ends.

    Exit codes: 0 fine, 1 failed, 2 usage, 69 no connection, 70 every strategy failed, 71 not reconciled, 72 hung,
    73 halted, 78 mistakes in the files; a second signal ends with 128 + its number.

    Parameters
    ----------
    sim
        Trade against the simulated exchange on this machine: needs no keys and no network.
    live
        Allow live trading; the file must say `environment: live` too.
    replay
        With --sim: files of recorded market data; without one a made-up day is traded.
    speed
        With --sim: how many times faster than real, or `max` for as fast as the node works, the same fills each time.
    start
        With --sim: begin at this time of the day in New York (HH:MM); what came before is history.
    seed
        With --sim: of the made-up day.
    fee_per_share
        With --sim: a fee in USD for each share executed.
    report
        Write an HTML page here at the end: equity, drawdown, trades on the prices, statistics.
    watch
        Reload when one of FILES is saved, as `reload: {watch: true}` in the file does.
    json_
        Print the summary as one JSON object on stdout, and nothing else there.
    """
    problem = _usage(sim, live, replay, speed, start, seed, fee_per_share)
    if problem is None and report is not None and not report.resolve().parent.is_dir():
        problem = f"--report: there is no folder {report.resolve().parent}"
    if problem:
        print(f"runner run: {problem}", file=sys.stderr)
        return _USAGE
    from runner.node.run import RunOptions, lingering
    from runner.node.run import run as run_node
    from runner.node.simulation import SimOptions

    options = RunOptions(
        files=files,
        sim=SimOptions(tuple(replay or ()), speed, start, seed, fee_per_share=fee_per_share) if sim else None,
        live=live,
        json=json_,
        report=report,
        watch=watch,
    )
    try:
        code = run_node(options)
    except ConfigErrors as errors:
        # stdout stays empty: with --json it is for the summary of a run, and there was none.
        return report_errors(errors, as_json=False)
    if lingering():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _usage(
    sim: bool,
    live: bool,
    replay: list[Path] | None,
    speed: str,
    start: str | None,
    seed: int,
    fee_per_share: str,
) -> str | None:
    """What is wrong with the options, as a sentence; None where nothing is."""
    if sim and live:
        return "--sim and --live exclude each other"
    given = {"--replay": bool(replay), "--speed": speed != "1", "--start": start is not None, "--seed": seed != 0}
    given["--fee-per-share"] = fee_per_share != "0"
    if not sim and (alone := [name for name, is_given in given.items() if is_given]):
        return f"{', '.join(alone)} {'is' if len(alone) == 1 else 'are'} for --sim, which is not given"
    if speed != "max" and not _is_positive(speed):
        return f"--speed is a number above 0 or max, not {speed}"
    if fee_per_share != "0" and not _is_positive(fee_per_share):
        return f"--fee-per-share is an amount in USD, not {fee_per_share}"
    for path in replay or ():
        if not path.is_file():
            return f"--replay: there is no file {path}"
    return None


def _is_positive(text: str) -> bool:
    try:
        return Decimal(text).is_finite() and Decimal(text) > 0
    except InvalidOperation:
        return False
