"""The journal's tables, and how a file is recognized as one of ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

#: "RUNJ": an SQLite file without it is somebody else's.
APPLICATION_ID = 0x52554E4A
VERSION = 1

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


def recognize(connection: sqlite3.Connection, path: Path) -> str | None:
    """Create the tables in an empty file. A text says why the file can't be used, and what to do about it."""
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner == 0 and tables == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        return None
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
        f"the journal {path} is damaged ({why}); move it away and start again: open orders and positions are then "
        "read from the broker, but belong to no strategy any more"
    )
