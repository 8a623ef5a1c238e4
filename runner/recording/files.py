"""The files of a recording: one message a line, gzip in members that each end whole, a file a day.

A member is written in one piece, so a process that is killed leaves a file that reads to its end. What a power cut left
half written is cut off when the file is opened again, and the time in between is marked as a gap.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

log = logging.getLogger("runner.record")
SUFFIX = ".jsonl.gz"
MEMBER_BYTES = 1 << 18
#: Of lines that wait while nothing can be written. Beyond it they are lost, which is counted and marked.
MOST_WAITING = 64 << 20
_CHUNK = 1 << 20


class RecordingError(Exception):
    """A recording can't be made there: what, and what to do."""


@dataclass
class Recording:
    """Lines go in by `write`, and are on the disk after `flush`. `out` is NAME.jsonl.gz, a file NAME-DAY.jsonl.gz."""

    out: Path
    most_waiting: int = MOST_WAITING
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    kinds: Counter[str] = field(default_factory=Counter)
    """Messages by their T; what was dropped is not among them."""
    gaps: int = 0
    gap_s: float = 0.0
    dropped: int = 0
    files: dict[Path, int] = field(default_factory=dict)
    """Bytes of each file that was written to."""
    problem: str | None = None
    """Why nothing can be written at the moment."""
    _waiting: dict[date, bytearray] = field(default_factory=dict)
    _size: int = 0
    _file: _File | None = None
    _day: date | None = None
    _lost_since: datetime | None = None

    def __post_init__(self) -> None:
        """Raises RecordingError for a name that is none of a recording, or a folder that can't be written to."""
        if not self.out.name.endswith(SUFFIX) or self.out.name == SUFFIX:
            raise RecordingError(f"{self.out} is no name of a recording, write NAME{SUFFIX}")
        folder = self.out.parent
        if not folder.is_dir():
            raise RecordingError(f"there is no folder {folder}, make it first")
        if not os.access(folder, os.W_OK):
            raise RecordingError(f"{folder} can't be written to, name another folder")

    def path(self, day: date) -> Path:
        """The file of a day."""
        return self.out.with_name(f"{self.out.name.removesuffix(SUFFIX)}-{day.isoformat()}{SUFFIX}")

    @property
    def messages(self) -> int:
        return self.kinds.total()

    @property
    def full(self) -> bool:
        """Whether so much waits that it is time to flush."""
        return self._size >= MEMBER_BYTES

    def write(self, kind: str, line: bytes, day: date) -> None:
        """Take one message of that trading day. A day before the last one counts to the last."""
        if self._day is None or day > self._day:
            self._day = day
        if self._size + len(line) >= self.most_waiting:
            self.dropped += 1
            self._lost_since = self._lost_since or self.now()
            return
        self.kinds[kind] += 1
        self._put(line)

    def gap(self, since: datetime, until: datetime, why: str) -> None:
        """Mark that messages are missing."""
        self.gaps += 1
        self.gap_s += max((until - since).total_seconds(), 0.0)
        if self._day is None:
            self._day = until.date()
        mark = {"T": "gap", "from": _stamp(since), "to": _stamp(until), "why": why}
        self._put(json.dumps(mark, separators=(",", ":")).encode())

    def flush(self) -> None:
        """Write all that waits. What can't be written waits on; `problem` then says why. Raises RecordingError."""
        try:
            for day in list(self._waiting):
                self._open(day).append(bytes(self._waiting[day]))
                self._size -= len(self._waiting.pop(day))
        except OSError as error:
            if self.problem is None:
                log.error("%s can't be written: %s; it waits in memory", error.filename or self.out, error.strerror)  # noqa: TRY400
            self.problem = error.strerror or str(error)
            return
        if self.problem is not None:
            log.warning("%s is written again", self.out)
            self.problem = None
        if self._lost_since is not None:
            since, self._lost_since = self._lost_since, None
            self.gap(since, self.now(), "what waited for the disk was too much")
            self.flush()

    def close(self) -> None:
        """Write what waits, and let go of the file. Raises RecordingError where something is left."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.problem is not None:
            raise RecordingError(
                f"{self.out}: {self.messages} messages, the last {self._size} bytes not written: {self.problem}"
            )

    def _put(self, line: bytes) -> None:
        assert self._day is not None
        waiting = self._waiting.setdefault(self._day, bytearray())
        waiting += line
        waiting += b"\n"
        self._size += len(line) + 1

    def _open(self, day: date) -> _File:
        path = self.path(day)
        if self._file is None or self._file.path != path:
            if self._file is not None:
                self._file.close()
                self._file = None
            opened = _File(path, self.files)
            self._file = opened
            if opened.last_write is not None:
                # Not by `gap`: it stands before what waits.
                since, until = opened.last_write, self.now()
                mark = {"T": "gap", "from": _stamp(since), "to": _stamp(until), "why": "not recording"}
                opened.append(json.dumps(mark, separators=(",", ":")).encode() + b"\n")
                self.gaps += 1
                self.gap_s += max((until - since).total_seconds(), 0.0)
        return self._file


class _File:
    """One day's file, locked; it grows by whole members."""

    def __init__(self, path: Path, sizes: dict[Path, int]) -> None:
        """Raises OSError, or RecordingError where another program records there, or it is something else."""
        self.path = path
        self._sizes = sizes
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen = os.fstat(self._fd)
            self.last_write = datetime.fromtimestamp(seen.st_mtime, UTC) if seen.st_size else None
            self._end = _whole(path)
            if self._end < seen.st_size:
                log.warning("%s ended in the middle: its last %d bytes are cut off", path, seen.st_size - self._end)
                os.ftruncate(self._fd, self._end)
        except BlockingIOError:
            os.close(self._fd)
            raise RecordingError(
                f"{path} is being written by another program: end that one, or name another file"
            ) from None
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, text: bytes) -> None:
        """Add one member, whole and on the disk, or nothing. Raises OSError."""
        member = memoryview(gzip.compress(text, 6, mtime=0))
        try:
            done = 0
            while done < len(member):
                done += os.pwrite(self._fd, member[done:], self._end + done)
            os.fsync(self._fd)
        except OSError as error:
            error.filename = str(self.path)
            os.ftruncate(self._fd, self._end)
            raise
        self._end += len(member)
        self._sizes[self.path] = self._end

    def close(self) -> None:
        os.close(self._fd)


def _whole(path: Path) -> int:
    """Bytes of the members that are whole. Raises RecordingError for a file that is no gzip at all."""
    whole = at = 0
    inflate = zlib.decompressobj(31)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            while chunk:
                try:
                    inflate.decompress(chunk)
                except zlib.error:
                    if not whole:
                        raise RecordingError(f"{path} exists and is no recording, name another file") from None
                    return whole
                used = len(chunk) - len(inflate.unused_data)
                at += used
                if not inflate.eof:
                    break
                whole, chunk = at, inflate.unused_data
                inflate = zlib.decompressobj(31)
    return whole


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
