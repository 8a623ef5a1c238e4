"""`runner backtest FILE…`: the same file over history."""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import TypeAdapter, ValidationError

from runner.cli._files import report as report_errors
from runner.config.errors import ConfigErrors
from runner.config.fields import Duration

_USAGE = 2


def backtest(
    *files: Annotated[Path, Parameter(required=True)],
    data: Path,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    account: str | None = None,
    cash: str = "100000",
    seed: int = 0,
    slippage: str = "0",
    latency: str = "0ms",
    fee_per_share: str = "0",
    report: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run the strategies of FILES, with the same gate and limits, over history that `runner fetch` brought.

    Exit codes: 0 fine, 1 failed, 2 usage, 66 no data, 70 every strategy failed, 78 mistakes in the files.

    Parameters
    ----------
    data
        The folder that `runner fetch --data` filled, or any Nautilus ParquetDataCatalog of venue ALPACA.
    from_
        First day (2024-03-01) or time (2024-03-01T09:30), New York's; by default the first there is.
    to
        Last day or time, included; by default the last there is.
    account
        Of a file with several accounts, the one to simulate.
    cash
        What the account starts with, in USD.
    seed
        Of what is random: slips, and Python's `random` in a strategy.
    slippage
        The chance, 0 to 1, that a fill is a tick worse than the price.
    latency
        How long an order takes to reach the venue: 50ms, 1s.
    fee_per_share
        A fee in USD for each share executed. Pairs pay Alpaca's fees of tier 1.
    report
        Write an HTML page here: equity, drawdown, trades on the prices, statistics.
    json_
        Print the summary as one JSON object on stdout, and nothing else there.
    """
    try:
        from runner.backtest.engine import Terms
        from runner.backtest.run import Options, run
        from runner.backtest.window import window

        start_ns, end_ns = window(from_, to)
        chance = _number("--slippage", slippage)
        if chance > 1:
            raise ValueError(f"--slippage is a chance from 0 to 1, not {slippage}")
        money = _number("--cash", cash)
        if not money:
            raise ValueError("--cash is an amount above 0")
        terms = Terms(money, seed, _number("--fee-per-share", fee_per_share), chance, _duration("--latency", latency))
        if report is not None and not report.resolve().parent.is_dir():
            raise ValueError(f"--report: there is no folder {report.resolve().parent}")
    except ValueError as error:
        print(f"runner backtest: {error}", file=sys.stderr)
        return _USAGE
    try:
        return run(Options(files, data, start_ns, end_ns, account, terms, report, json_))
    except ConfigErrors as errors:
        return report_errors(errors, as_json=json_)


def _duration(name: str, text: str) -> timedelta:
    if text.strip("0") in ("", "s", "ms"):
        return timedelta()
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise ValueError(f"{name}: {error.errors()[0]['msg']}") from error


def _number(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise ValueError(f"{name} is a number from 0 up, not {text}")
    return value
