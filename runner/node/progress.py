"""What a person watches while the node runs: a bar over the replay, and a line for each fill."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

log = logging.getLogger("runner.fills")
_NEW_YORK = ZoneInfo("America/New_York")
_STYLES = ((logging.ERROR, "bold red"), (logging.WARNING, "yellow"), (logging.INFO, ""), (0, "dim"))


def venue_time(ts_ns: int) -> str:
    """New York's wall time of a venue stamp (UNIX nanoseconds)."""
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).astimezone(_NEW_YORK).strftime("%H:%M:%S")


def fill_line(strategy: str, event: Any) -> str:
    """`10:31:00 ema_ibm buys 10 IBM at 184.31`; the time is the venue's, in New York."""
    verb = "buys" if event.is_buy else "sells"
    quantity = f"{event.last_qty.as_decimal().normalize():f}"
    return f"{venue_time(event.ts_event)} {strategy} {verb} {quantity} {event.instrument_id.symbol} at {event.last_px}"


class ReplayBar:
    """A progress bar on standard error where that is a terminal, else nothing at all."""

    def __init__(self, label: str, *, enabled: bool | None = None) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._on = self.console.is_terminal if enabled is None else enabled
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[clock]} New York"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=5,
        )
        self._label = label
        self._task: TaskID | None = None

    def start(self, total: int) -> None:
        if self._on and self._task is None:
            self._task = self._progress.add_task(self._label, total=max(total, 1), clock="--:--:--")
            self._progress.start()

    def update(self, venue_ns: int, done: int, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=max(total, 1), clock=venue_time(venue_ns))

    def stop(self) -> None:
        if self._task is not None:
            self._progress.stop()
            self._task = None

    def write(self, text: str, level: int) -> None:
        """A log line, above the bar where there is one."""
        if not self._on:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
            return
        style = next(style for at_least, style in _STYLES if level >= at_least)
        self.console.print(Text(text, style=style), soft_wrap=True)
