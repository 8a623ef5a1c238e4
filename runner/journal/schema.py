"""The journal's tables, how a file is begun, and how it is recognized as one of ours and whole.

A journal is made under another name, and bears its own once its tables are on the disk. So one that is there without
them is never a new one: it was cut short, and what it knew of orders is lost.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

#: "RUNJ": an SQLite file without it is somebody else's.
APPLICATION_ID = 0x52554E4A
VERSION = 1
# An SQLite file's header, by its documentation ("Database File Format"): how it begins, how long it is, and where it
# tells the size of a page (1: 65,536) and how many there are.
_MAGIC, _HEADER, _PAGE, _PAGES = b"SQLite format 3\0", 100, slice(16, 18), slice(28, 32)

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- The broker's own id of each account of the file, so that another account's key is noticed.
CREATE TABLE accounts (name TEXT PRIMARY KEY, broker_id TEXT NOT NULL, since_ns INTEGER NOT NULL) WITHOUT ROWID;
-- Written before the order's first request leaves. `init` is Nautilus's OrderInitialized as JSON.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    instrument_id TEXT NOT NULL,
    init TEXT NOT NULL,
    params TEXT NOT NULL,
    closed_ns INTEGER
) WITHOUT ROWID;
-- One row a request: a submit (of an order whole, or of its second half), or a replacement.
CREATE TABLE sends (
    client_order_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('submit', 'replace')),
    qty TEXT NOT NULL,
    family TEXT,
    ts_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sends_of_order ON sends (order_id);
-- Nautilus's order events as they were applied, oldest first.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_of_order ON events (client_order_id);
-- Which part of an order at the venue has been told, as intervals of its cumulative quantity.
CREATE TABLE booked (
    venue_order_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    spans TEXT NOT NULL,
    notional TEXT NOT NULL,
    carried TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX booked_of_order ON booked (order_id);
CREATE TABLE records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE strategies (name TEXT PRIMARY KEY, state BLOB NOT NULL, ts_ns INTEGER NOT NULL) WITHOUT ROWID;
"""


def begin(path: Path) -> None:
    """Make an empty journal, the user's alone. Raises OSError, sqlite3.Error."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # of a start that did not get further
    # SQLite would give it the mode that the umask allows.
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log, which is a part of the journal as long as it is there."""
    return path.with_name(f"{path.name}-wal")


def has_log(path: Path) -> bool:
    """Whether something is in the log that may not be in the file."""
    log_file = log_of(path)
    return log_file.is_file() and log_file.stat().st_size > 0


def cut_short(path: Path) -> str | None:
    """Why a file can't be whole, and what to do about it: of what SQLite itself takes for a new one, or for whole.

    Raises OSError.
    """
    size = path.stat().st_size
    if size == 0:
        return damaged(path, "it is empty: something has emptied it, as it never is by itself")
    with path.open("rb") as file:
        header = file.read(_HEADER)
    page, pages = int.from_bytes(header[_PAGE]), int.from_bytes(header[_PAGES])
    short = len(header) < _HEADER
    if header.startswith(_MAGIC) and not has_log(path):  # with a log, the file may be behind it
        short |= size < (65_536 if page == 1 else page) * pages
    return damaged(path, f"it is cut short, {size} bytes are left") if short else None


def inspect(path: Path) -> str | None:
    """Why a journal can't be used, and what to do about it; looks only, also while a node uses it."""
    try:
        if (reason := cut_short(path)) is not None:
            return reason
        mode = "mode=ro" if has_log(path) else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            return recognize(connection, path)
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}; see state.dir"
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return damaged(path, str(error))


def recognize(connection: sqlite3.Connection, path: Path) -> str | None:
    """A text says why the file can't be used, and what to do about it. Raises sqlite3.Error, UnicodeDecodeError."""
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0 and owner in (0, APPLICATION_ID):
        return damaged(path, "its tables are gone")
    if owner != APPLICATION_ID:
        return f"{path} is an SQLite file of something else; choose another folder with state.dir"
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        return f"{path} was written by a newer version of runner (schema {version}, this one knows {VERSION}); upgrade"
    if version < VERSION:
        return (
            f"{path} was written by an older version of runner (schema {version}, this one needs {VERSION}); end it "
            "with that version, flat and without open orders, then move the file away"
        )
    (fine,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if fine == "ok" else damaged(path, str(fine))


def damaged(path: Path, why: str) -> str:
    """What to tell of a file that can't be read."""
    return (
        f"the journal {path} is damaged ({why}); put a copy of it in its place, or move it away and start again: open "
        f"orders and positions are then read from the broker, but belong to no strategy any more"
    )


def log_alone(path: Path) -> str:
    """What to tell where a journal's file is gone, and its log is not."""
    return (
        f"the journal {path} is gone, but what was written to it last is in {log_of(path).name} beside it; put the "
        "file back, or move that away, too, and start again: open orders and positions are then read from the "
        "broker, but belong to no strategy any more"
    )
