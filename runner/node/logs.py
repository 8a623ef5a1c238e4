"""Log lines that a person can read, all on one path: our own, Nautilus's, and what a strategy prints.

Nautilus writes its log to standard output, which here belongs to the summary, and errors to standard error. So both
are swapped for a pipe at the start; a thread reads Nautilus's lines from it, gives each its level, masks secrets and
hands it to Python's logging. It runs on while the event loop is stuck, which is when the lines matter most.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO, Any, TextIO

from runner.config.secrets import RedactFilter, redact
from runner.node.exit_codes import ExitCode, NodeError

log = logging.getLogger("runner")
_NAUTILUS = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(\w+)\] [^. ]+\.([^:]+): (.*)", re.DOTALL)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}
# What Nautilus itself says in a strategy's name; the fills have their own line, the rest is for debugging.
_CHATTER = re.compile(
    r"<--|-->|\[(CMD|EVT|REQ|RES|DOC|RPT)\]|self\.config\.|Set ClientOrderIdGenerator|Registered Indicator"
    r"|Canceled Timer|Canceling executor|Received <|(READY|STARTING|RUNNING|STOPPING|STOPPED|DISPOSED|INITIALIZED)$"
    # Ticks that an example prints for debugging, thousands a day.
    r"|(QuoteTick|TradeTick|Bar)\(|No user state|Subscribed |Unsubscribed |Saved state|Loaded state"
)
# Nautilus warns about these in the normal course of this node's life, which handles each of them itself.
_EXPECTED = re.compile(
    r"already stopped$|Received <.*with no |Residual "
    r"|when not overridden|No clients to disconnect|Reconciliation deactivated"
)
# An exception that a guard or the lifecycle reports in its own words.
_NAUTILUS_LEVEL = {"debug": "INFO", "info": "INFO", "warning": "WARNING", "error": "ERROR"}


def nautilus_level(level: str) -> str:
    """The level Nautilus must log at for `level` of the file; what is too much is sorted out on this side."""
    return _NAUTILUS_LEVEL[level]


class LineFormatter(logging.Formatter):
    """`12:34:56 warning  ema_ibm: text`; the time is the node's, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"{when} {level}{record.getMessage()}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return f"{text}\n{record.exc_text}" if record.exc_text else text


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["traceback"] = record.exc_text
        return json.dumps(entry, ensure_ascii=False)


class TerminalHandler(logging.Handler):
    """Writes lines to standard error through `write`, so that they land above a progress bar."""

    def __init__(self) -> None:
        super().__init__()
        self.write = _to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record), record.levelno)
        except Exception:  # a log line must never end the node
            self.handleError(record)


class LogFileHandler(WatchedFileHandler):
    """A log file that may be moved away (logrotate) and whose disk may be full.

    What can't be written is lost there, and said once on the terminal, until writing works again.
    """

    def __init__(self, path: Path, terminal: logging.Handler) -> None:
        super().__init__(path, encoding="utf-8")
        self._terminal = terminal
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        before = self._lost
        try:
            super().emit(record)
        except OSError:  # from closing the old file, after it was moved away
            self.handleError(record)
        if self._lost and self._lost == before:
            self._say(logging.INFO, f"the log file {self.baseFilename} is written again, {before} lines are missing")
            self._lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1
        why = sys.exc_info()[1]
        # What could not be written stays in the stream's buffer, and would be tried first for ever: open it anew.
        with contextlib.suppress(OSError):
            if self.stream is not None:
                self.stream.close()
        self.stream = None
        if self._lost == 1:
            reason = why.strerror if isinstance(why, OSError) and why.strerror else repr(why)
            self._say(
                logging.ERROR,
                f"the log file {self.baseFilename} can't be written ({reason}): make room, or lines go on being lost "
                "there; they all stand here",
            )

    def _say(self, level: int, text: str) -> None:
        # Not through a logger: that would come back here.
        self._terminal.handle(logging.LogRecord(log.name, level, __file__, 0, text, None, None))


def _to_stderr(text: str, level: int) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def set_up(level: str, folder: Path | None, file_format: str, name: str) -> TerminalHandler:
    """Log to the terminal, and to `folder`/`name`.log (.jsonl) if there is a folder. Replaces earlier handlers.

    Raises NodeError (configuration) where that folder can't be written to.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    terminal = TerminalHandler()
    terminal.setFormatter(LineFormatter())
    handlers: list[logging.Handler] = [terminal]
    if folder is not None:
        suffix = "jsonl" if file_format == "json" else "log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            to_file = LogFileHandler(folder / f"{name}.{suffix}", terminal)
        except OSError as error:
            raise NodeError(
                ExitCode.CONFIG,
                f"log.file: no log can be written in {folder}: {error.strerror or error}",
                "name a folder that can be written to, or leave log.file out",
            ) from error
        to_file.setFormatter(JsonFormatter() if file_format == "json" else LineFormatter())
        handlers.append(to_file)
    _ours[:] = handlers
    for handler in handlers:
        handler.addFilter(FloodFilter())
        handler.addFilter(RedactFilter())
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    return terminal


class FloodFilter(logging.Filter):
    """Of warnings and errors that differ by numbers alone, `MOST` pass in `PERIOD_S`; the next tells how many did not.

    A strategy that sends orders in a loop would fill the disk with denials, and the journal stands on the same one.
    """

    MOST = 40
    PERIOD_S = 10.0
    _KEYS = 1000

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, list[float]] = {}  # since when, how many passed, how many did not

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        if record.levelno < logging.WARNING or record.name == "runner.audit":
            return True
        key = f"{record.name} {record.levelno} {_NUMBERS.sub('#', record.getMessage()[:200])}"
        if len(self._seen) > self._KEYS:
            self._seen.clear()
        seen = self._seen.setdefault(key, [record.created, 0, 0])
        if not 0 <= record.created - seen[0] < self.PERIOD_S:
            held, seen[:] = int(seen[2]), [record.created, 0, 0]
            if held:
                seen[1] = 1
                told = copy(record)
                told.msg, told.args = f"{record.getMessage()} (and {held} more like it, which are not shown)", ()
                return told
        seen[1] += 1
        if seen[1] <= self.MOST:
            return True
        seen[2] += 1
        return False


_NUMBERS = re.compile(r"\d+")

#: The handlers that `set_up` made last.
_ours: list[logging.Handler] = []


def put_back() -> bool:
    """Undo what a strategy's library did to the node's log, by `dictConfig` say. Whether there was anything.

    What it added for itself stays.
    """
    root = logging.getLogger()
    missing = [handler for handler in _ours if handler not in root.handlers]
    for handler in missing:
        root.addHandler(handler)
    silenced = [
        each
        for name, each in root.manager.loggerDict.items()
        if isinstance(each, logging.Logger) and each.disabled and name.split(".")[0] == log.name
    ]
    for each in silenced:
        each.disabled = False
    disabled = root.manager.disable > logging.NOTSET
    if disabled:
        logging.disable(logging.NOTSET)
    return bool(missing or silenced or disabled)


class _Masked(io.TextIOBase):
    """The real standard error for Python's own writers, with secrets masked in what they write at a time."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(redact(text))
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()


def _standard(fd: int) -> TextIO:
    return open(fd, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


def log_names(plan: Any) -> set[str]:
    """What Nautilus's log calls the components of a plan that has strategies, exec_algorithms and actors."""
    by_class = (*plan.strategies.values(), *plan.exec_algorithms.values())
    return {each.cls.__name__ for each in by_class} | set(plan.actors)


class OutputTap:
    """Takes over file descriptors 1 and 2. `out` is the real standard output, for the one thing that belongs there.

    Nautilus writes errors to descriptor 2, everything else to 1, both from Rust. What Python writes to `sys.stderr`
    goes to the real one at once. A process that is aborted may lose what Rust said last; Python's own account of where
    it was (`faulthandler`) comes out all the same.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        self.own = set(own)
        """Names of what the file names by class, as Nautilus logs them (`log_names`)."""
        self.out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._err: TextIO = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
        self._stderr = sys.stderr
        sys.stdout.flush()
        sys.stderr.flush()
        read, write = os.pipe()
        for fd in (1, 2):
            os.dup2(write, fd)
        self._write = write
        sys.stderr = _Masked(self._err)
        faulthandler.enable(self._err)
        self._reader = os.fdopen(read, "r", encoding="utf-8", errors="replace")
        # print() of a strategy must come out at once, not at the end.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
        self._thread = threading.Thread(target=self._run, name="log-tap", daemon=True)
        self._thread.start()

    def hold(self) -> list[str]:
        """Open anew what a strategy's code has closed; what that was, in words."""
        found = []
        for fd in (1, 2):
            try:
                os.fstat(fd)
            except OSError:
                os.dup2(self._write, fd)
                found.append(f"standard {'output' if fd == 1 else 'error'}")
        if getattr(sys.stdout, "closed", False):
            sys.stdout = _standard(1)
            found.append("sys.stdout")
        return found

    def close(self) -> None:
        """Let go, once everything written so far is through.

        Both descriptors are standard error then: Nautilus's logging thread may write on, and whoever reads a summary
        from standard output must find nothing after it.
        """
        self.hold()
        with contextlib.suppress(Exception):  # it may be anything that a strategy's code has put there
            sys.stdout.flush()
        for fd in (1, 2):
            os.dup2(self._err.fileno(), fd)
        os.close(self._write)
        self._thread.join(timeout=2)
        sys.stderr = _standard(2) if self._stderr.closed else self._stderr
        faulthandler.disable()

    def _run(self) -> None:
        record: tuple[int, str, str] | None = None
        for line in self._reader:
            text = _ANSI.sub("", line.rstrip("\n"))
            match = _NAUTILUS.match(text)
            if match:
                self.emit(*(_LEVELS.get(match[1], logging.INFO), match[2], match[3]))
                record = (_LEVELS.get(match[1], logging.INFO), match[2], "")
            elif record is not None and record[0] >= logging.WARNING:
                self.emit(record[0], record[1], text, continued=True)
            else:
                log.getChild("print").info("%s", text)

    def emit(self, level: int, component: str, text: str, *, continued: bool = False) -> None:
        """One line of Nautilus: a strategy's own words at their level, the machinery's are for debugging."""
        own = component in self.own
        if level >= logging.WARNING:
            quiet = _EXPECTED.search(text) is not None or text.startswith("<--")
        else:
            quiet = not own or _CHATTER.match(text) is not None
        if quiet:
            level = logging.DEBUG
        name = log.getChild("strategy" if own else "nautilus")
        if continued:
            name.log(level, "  %s", text)
        else:
            name.log(level, "%s: %s", component, text)
