"""`runner doctor [FILE…]`: whether all is well before trading, and what to do where it is not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_COLORS = {"ok": "32", "warn": "33", "fail": "1;31"}


def doctor(
    *files: Path,
    offline: Annotated[bool, Parameter(negative=())] = False,
    streams: bool = True,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Look at this machine, at FILES (each laid over the one before), and at what their keys open. Changes nothing.

    Rows are ok, warn or fail, each of the last two with its remedy. Without files only the machine is looked at. Exit
    codes: 0 nothing fails, 1 something does.

    Parameters
    ----------
    offline
        Ask nothing of the network.
    streams
        Whether to open each stream for a moment. The broker allows one market-data connection a market: where a
        program uses it, ours is refused, and that one stays.
    json_
        Print one JSON object on stdout.
    """
    from runner.node.doctor.examine import Asked, examine, worst

    rows = []
    for row in examine(Asked(files, os.environ, offline=offline, streams=streams)):
        rows.append(row)
        if not json_:
            _print(row.check, row.state, row.message, row.remedy)
    counts = {state: sum(row.state == state for row in rows) for state in _COLORS}
    if json_:
        print(json.dumps({"rows": [row.as_dict() for row in rows], **counts}, indent=2))
    else:
        print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return worst(rows)


def _print(check: str, state: str, message: str, remedy: str) -> None:
    word = f"{state:<5}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        word = f"\x1b[{_COLORS[state]}m{word}\x1b[0m"
    print(f"{word} {check:<16} {message}", flush=True)
    if remedy:
        print(f"{'':22} → {remedy}", flush=True)
