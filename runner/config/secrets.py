"""Secrets: named in the file, read from outside, and kept out of everything that is printed."""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

MASK = "**********"
# Shorter texts would turn up inside ordinary words; no broker's key is that short.
_SHORTEST = 6
_known: set[str] = set()
_lock = threading.Lock()


def looks_like_secret(text: str) -> bool:
    """A name of a variable has its words apart; a key is one long run of letters and digits."""
    return len(text) >= 16 and "_" not in text


def is_variable(text: str) -> bool:
    """Whether `text` can be shown as the name of an environment variable."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None and not looks_like_secret(text)


def remember(values: Iterable[SecretStr]) -> None:
    """Have `redact` mask these from now on, for as long as the process lives."""
    with _lock:
        _known.update(text for value in values if len(text := value.get_secret_value()) >= _SHORTEST)


def redact(text: str) -> str:
    """`text` with every secret value that was loaded replaced by a mask."""
    with _lock:
        values = sorted(_known, key=len, reverse=True)
    for value in values:
        text = text.replace(value, MASK)
    return text


class RedactFilter(logging.Filter):
    """A filter for handlers: masks secrets in the message, its arguments and the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and record.exc_text is None:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def install_excepthook() -> None:
    """Mask secrets in the tracebacks that Python prints itself, those of threads included."""

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    def thread_hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or issubclass(args.exc_type, SystemExit):
            return
        if not logging.getLogger().handlers:
            excepthook(args.exc_type, args.exc_value, args.exc_traceback)
            return
        what = (args.exc_type, args.exc_value, args.exc_traceback)
        name = args.thread.name if args.thread is not None else "?"
        logging.getLogger("runner").error("the thread %s ended with an exception", name, exc_info=what)

    sys.excepthook = excepthook
    threading.excepthook = thread_hook
