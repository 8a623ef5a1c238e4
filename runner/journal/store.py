"""The journal's file: one SQLite connection, in write-ahead mode, whose commits are made on a thread of its own.

An order's row is on the disk (fsync of the write-ahead log) before its request leaves; what happens to it afterwards
is committed without one, as the venue can tell it again. So a killed process loses nothing that was committed, and a
power cut no order that was sent. Orders that wait at the same time share one commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.journal.schema import damaged, recognize

log = logging.getLogger("runner.journal")
type Statement = tuple[str, tuple[Any, ...]]

#: How long a write waits for another program that has the file locked.
BUSY_S = 2.0
#: How often a journal that can't be written is tried again.
RETRY_S = 0.5
_BATCH = 256
#: Events that wait while the file can't be written. Beyond it the oldest go: the venue can tell them again.
MOST_WAITING = 100_000


class JournalError(OSError):
    """The journal can't be read or written: what, where, and what to do."""


@dataclass(slots=True)
class _Job:
    statements: Sequence[Statement]
    durable: bool = False
    done: threading.Event | None = None
    future: asyncio.Future[None] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    error: JournalError | None = None

    def finish(self, error: JournalError | None) -> None:
        self.error = error
        if self.done is not None:
            self.done.set()
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self.future is None or self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self.error)


@dataclass
class Store:
    """An open journal. Reading is for the time before `start`; from then on the thread alone has the connection."""

    path: Path
    commits: int = 0
    dropped: int = 0
    """Events that were given up because the file could not be written for too long."""
    _connection: sqlite3.Connection | None = None
    _lock_fd: int | None = None
    _queue: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _waiting: list[Statement] = field(default_factory=list)
    _problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing can be written at the moment; None while all is well."""
        return self._problem

    def stats(self) -> dict[str, int]:
        """Counters, and whether it can be written now; may be asked from any thread."""
        return {"writable": int(self._problem is None), "commits": self.commits, "dropped": self.dropped}

    def open(self) -> Store:
        """Raises JournalError: locked, damaged, of another version, not ours, or not to be written."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            # Created here, as SQLite would give it the mode that the umask allows.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.path.chmod(0o600)
        except JournalError:
            raise
        except OSError as error:
            raise JournalError(f"the journal {self.path} can't be opened: {error.strerror}; see state.dir") from error
        try:
            connection = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, autocommit=True
            )
            self._connection = connection
            connection.execute("PRAGMA synchronous = FULL")
            reason = recognize(connection, self.path)
            if reason is None:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            reason = self._reason(error)
        except UnicodeDecodeError:  # of SQLite's own message, which quotes what it can't read
            reason = damaged(self.path, "its tables can't be read")
        if reason is not None:
            self._release()
            raise JournalError(reason)
        return self

    def start(self) -> None:
        """From now on write on a thread."""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows, before `start`. Raises JournalError."""
        assert self._connection is not None
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise JournalError(self._reason(error)) from error
        except UnicodeDecodeError as error:
            raise JournalError(damaged(self.path, str(error))) from error

    def write(self, statements: Sequence[Statement]) -> None:
        """Write soon. Never fails: what can't be written waits until it can."""
        self._queue.put(_Job(statements))

    async def write_through(self, statements: Sequence[Statement]) -> None:
        """Write, with everything that was given before; on the disk when it returns. Raises JournalError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Job(statements, durable=True, future=future, loop=loop))
        await future

    def write_now(self, statements: Sequence[Statement], timeout_s: float = BUSY_S + 1) -> None:
        """The same, but blocking: for what is rare and decides something. Raises JournalError."""
        if self._thread is None:
            self._commit(statements, durable=True)
            return
        job = _Job(statements, durable=True, done=threading.Event())
        self._queue.put(job)
        assert job.done is not None
        if not job.done.wait(timeout_s):
            raise JournalError(f"the journal {self.path} was not written within {timeout_s:g} s")
        if job.error is not None:
            raise job.error

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(BUSY_S * 2)
            self._thread = None
        self._release()

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                jobs = [self._queue.get(timeout=RETRY_S if self._problem else None)]
            except queue.Empty:
                jobs = []  # see whether it can be written again
            with contextlib.suppress(queue.Empty):
                while len(jobs) < _BATCH:
                    jobs.append(self._queue.get_nowait())
            last = None in jobs
            self._write_all([job for job in jobs if job is not None])
            if last:
                return

    def _write_all(self, jobs: list[_Job]) -> None:
        statements = [*self._waiting, *(statement for job in jobs for statement in job.statements)]
        durable = any(job.durable for job in jobs)
        try:
            self._commit(statements or [("INSERT OR REPLACE INTO meta VALUES ('probe', '')", ())], durable=durable)
        except JournalError as error:
            self._note(str(error))
            # An order that is not on the disk is not sent, so it must not get there later either.
            self._waiting += [statement for job in jobs if not job.durable for statement in job.statements]
            over = len(self._waiting) - MOST_WAITING
            if over > 0:
                del self._waiting[:over]
                self.dropped += over
            for job in jobs:
                job.finish(error if job.durable else None)
            return
        self._waiting = []
        self._note(None)
        for job in jobs:
            job.finish(None)

    def _commit(self, statements: Sequence[Statement], *, durable: bool) -> None:
        connection = self._connection
        if connection is None:
            raise JournalError(f"the journal {self.path} is closed")
        try:
            connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                connection.execute(sql, parameters)
            connection.execute("COMMIT")
            self.commits += 1
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise JournalError(self._reason(error)) from error

    def _note(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            log.error("%s; orders are denied until it can be written again, cancels go on", problem)
        elif problem is None and self._problem is not None:
            log.warning("the journal %s is written again", self.path)
        self._problem = problem

    def _reason(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return f"the journal {self.path} can't be written: the disk is full; free some space"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"the journal {self.path} is locked by another program; close what has it open"
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return damaged(self.path, str(error))
        return f"the journal {self.path} can't be used: {error}"

    def _take_lock(self) -> None:
        fd = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise JournalError(
                f"the journal {self.path} is used by another runner; end that one, or give this file another name"
            ) from None
        self._lock_fd = fd

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
