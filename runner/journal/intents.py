"""What is about to leave, in a file beside the journal's: one write of a kilobyte, which takes some microseconds.

A transaction of SQLite's takes ten times as long, and waits for the one that the thread is in. So the loop writes what
an order needs here, and the thread commits the same a moment later. What is written is with the operating system, so it
outlives the process however it ends; what had not been committed by then is committed when the journal is opened again.

The file has its whole size from the start: no write can fail for want of room on the disk, and no fsync has to wait for
more than the pages themselves. A record is its length, a checksum, its number, and statements as msgpack; the number of
the last one that is committed is in the journal's table `meta`, in the same transaction, with the file's own id. When
all are, and on the disk, the next one is written over the first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger("runner.journal")
type Statement = tuple[str, tuple[Any, ...]]

#: Some 250 orders.
SIZE = 256 * 1024
_MAGIC = b"RUNI\x00\x00\x00\x01"
_HEADER = len(_MAGIC) + 16
_RECORD = struct.Struct("<IIQ")
_DONE = "INSERT OR REPLACE INTO meta VALUES ('intents', ?)"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, tuple[Any, ...]]]).decode


class Intents:
    """A new file, of one life of the journal. `append` is the loop's, `settle` the thread's. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._id = os.urandom(16)
        self._path = path
        self._at = _HEADER
        self._settled = 0
        self._broken = False
        self.last = 0
        """The number of the newest record."""
        self.committed = 0
        """The newest one that the journal has, too."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(self.fd, (_MAGIC + self._id).ljust(SIZE, b"\0"), 0)
            os.fsync(self.fd)
        except OSError:
            self.close(keep=False)
            raise

    def append(self, statements: Sequence[Statement]) -> int | None:
        """Keep these; their number, or None where there is no room until more is committed.

        Raises OSError once, and takes nothing any more then.
        """
        if self._settled == self.last and self._at > SIZE // 2:
            self._at = _HEADER
        payload = _encode(statements)
        number = self.last + 1
        record = _RECORD.pack(len(payload), zlib.crc32(payload, number & 0xFFFFFFFF), number) + payload
        if self._broken or self._at + len(record) > SIZE:
            return None
        try:
            written = os.pwrite(self.fd, record, self._at)
        except OSError:
            self._broken = True
            raise
        if written != len(record):
            self._broken = True
            raise OSError(f"{self._path} took {written} of {len(record)} bytes")
        self._at += len(record)
        self.last = number
        return number

    def done(self, number: int) -> Statement:
        """What to write with the statements of all records up to `number`."""
        return (_DONE, (f"{self._id.hex()}:{number}",))

    @property
    def is_filling(self) -> bool:
        """Whether it is time to `settle`."""
        return self._at > SIZE // 2 and self._settled != self.committed

    def settle(self) -> None:
        """What is committed is on the disk as well: its place may be taken."""
        self._settled = self.committed

    def close(self, *, keep: bool) -> None:
        """`keep` it, for the next life to commit what is in it."""
        os.close(self.fd)
        if not keep:
            self._path.unlink(missing_ok=True)


def left(path: Path, connection: sqlite3.Connection) -> list[Statement]:
    """What a life that ended had written here and not committed yet, with the note that it is. Raises OSError.

    Nothing where there is no such file, or it is of another journal.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    row = connection.execute("SELECT value FROM meta WHERE key = 'intents'").fetchone()
    id_, _, done = str(row[0]).partition(":") if row is not None else ("", "", "")
    records = list(_records(data))
    if data[:_HEADER] != _MAGIC + bytes.fromhex(id_):
        if records:
            log.warning("%s is of another journal than the one beside it: what it holds is forgotten", path)
        return []
    found: list[Statement] = []
    for number, statements in records:
        if number > int(done):
            found += [*statements, (_DONE, (f"{id_}:{number}",))]
    return found


def _records(data: bytes) -> Iterator[tuple[int, list[Statement]]]:
    at = _HEADER
    while at + _RECORD.size <= len(data):
        length, checksum, number = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        payload = data[at : at + length]
        if not length or len(payload) != length or zlib.crc32(payload, number & 0xFFFFFFFF) != checksum:
            return
        with contextlib.suppress(msgspec.MsgspecError):
            yield number, _decode(payload)
        at += length
