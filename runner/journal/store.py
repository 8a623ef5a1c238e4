"""The journal's file: one SQLite connection in write-ahead mode.

Before its request leaves, an order is written to a file of its own (`Intents`), by the loop itself, in some
microseconds: what is written outlives the process, however it ends. A thread brings it to the disk (fsync) within some
20 ms, and commits it, and what happens to the order afterwards, which the venue can tell again. Whenever the loop would
have to wait (the disk lags behind, or the file is set to `full`), or the journal could not be written lately, the order
waits for the thread's commit and fsync instead, and the loop goes on; orders that wait at the same time share one.
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
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from runner.config.forks import close, keep_from_children
from runner.journal.intents import Intents, Statement, left
from runner.journal.schema import begin, cut_short, damaged, has_log, log_alone, log_of, recognize

log = logging.getLogger("runner.journal")

#: How long a write waits for another program that has the file locked.
BUSY_S = 2.0
#: How often a journal that can't be written is tried again.
RETRY_S = 0.5
#: How long an order waits for a disk that hangs, before it is given up.
HANG_S = 5.0
#: How far the disk may lag behind: with orders that are not on it for longer, the next ones wait for it.
LAG_S = 0.25
#: How long orders that have left and events wait for one another, to share an fsync and a commit.
_LINGER_S = 0.02
#: Commits after which what is in the write-ahead log is moved to the file itself.
_CHECKPOINT = 200
_BUSY_STEP_S = 0.01
_BATCH = 256
#: Events that wait while the file can't be written. Beyond it the oldest go: the venue can tell them again.
MOST_WAITING = 100_000


class Reader(Protocol):
    """Asks for rows."""

    def __call__(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]: ...


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
    given_up: bool = False
    """Whoever waited for it waits no more: it must not be written any more."""
    intent: int = 0
    """The number under which it is in `Intents` already."""

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
    """An open journal. Reading is for the time before `start`; from then on the connection is the thread's."""

    path: Path
    synchronous: Literal["normal", "full"] = "normal"
    """As SQLite has it: whether an order is on the disk before its request leaves (full), or soon after."""
    commits: int = 0
    dropped: int = 0
    """Events that were given up because the file could not be written for too long."""
    _connection: sqlite3.Connection | None = None
    _lock_fd: int | None = None
    _queue: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _waiting: list[_Job] = field(default_factory=list)
    _problem: str | None = None
    _intents: Intents | None = None
    _ahead: deque[_Job] = field(default_factory=deque)
    """Of orders that are leaving: not in the queue yet, as that would wake the thread."""
    _urgent: threading.Event = field(default_factory=threading.Event)
    """Somebody waits for the thread: it must not wait for more events."""
    _level: str = ""
    _wal_fd: int | None = None
    _side: sqlite3.Connection | None = None
    _synced: int = 0
    """The newest intent that is on the disk."""
    _moved: int = 0
    _lag_since: float = 0.0

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
        except JournalError:
            raise
        except OSError as error:
            raise JournalError(self._closed(error)) from error
        try:
            reason = self._begin()
        except OSError as error:
            reason = self._closed(error)
        except sqlite3.Error as error:
            reason = self._reason(error)
        if reason is None:
            reason = self._use()
        if reason is not None:
            self._release()
            raise JournalError(reason)
        return self

    def _closed(self, error: OSError) -> str:
        return f"the journal {self.path} can't be opened: {error.strerror}; see state.dir"

    def _begin(self) -> str | None:
        """See to it that there is a file. A text says why it can't be used. Raises OSError, sqlite3.Error."""
        if self.path.exists():
            self.path.chmod(0o600)
            return cut_short(self.path)
        if has_log(self.path):
            return log_alone(self.path)
        begin(self.path)
        return None

    def _use(self) -> str | None:
        """Open it. A text says why it can't be used."""
        try:
            connection = self._connection = self._connect()
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
            connection.execute("PRAGMA synchronous = FULL")
            reason = recognize(connection, self.path)
            if reason is None:
                connection.execute("PRAGMA journal_mode = WAL")
                # The thread waits by itself for what has the file locked, and moves the log to the file.
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                if rest := left(self._intents_path, connection):
                    self._commit(rest, durable=True, wait_s=BUSY_S)
                self._intents_path.unlink(missing_ok=True)
        except sqlite3.Error as error:
            reason = self._reason(error)
        except JournalError as error:
            reason = str(error)
        except OSError as error:
            reason = f"the journal's file {self._intents_path} can't be read: {error.strerror}; see state.dir"
        except UnicodeDecodeError:  # of SQLite's own message, which quotes what it can't read
            reason = damaged(self.path, "its tables can't be read")
        return reason

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False, autocommit=True)

    def start(self) -> None:
        """From now on write on a thread. Raises JournalError."""
        try:
            self._side = self._connect()
            if self.synchronous == "normal":
                self._intents = Intents(self._intents_path)
                self._commit([self._intents.done(0)], durable=True, wait_s=BUSY_S)
        except sqlite3.Error as error:
            raise JournalError(self._reason(error)) from error
        except JournalError:
            raise
        except OSError as error:
            raise JournalError(f"the journal {self._intents_path} can't be made: {error.strerror}") from error
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

    @contextlib.contextmanager
    def aside(self) -> Iterator[Reader]:
        """For a look at what has been written, at any time, by a connection of its own. Raises JournalError."""
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            ) as connection:
                yield lambda sql, parameters=(): connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise JournalError(self._reason(error)) from error

    def write(self, statements: Sequence[Statement]) -> None:
        """Write soon. Never fails: what can't be written waits until it can."""
        self._enqueue(_Job(statements))

    async def write_ahead(self, statements: Sequence[Statement]) -> None:
        """Write what must outlive the process from when this returns. Raises JournalError; it is not written then."""
        if not self._write_directly(statements):
            await self.write_through(statements)

    def write_whole(self, statements: Sequence[Statement]) -> None:
        """Write all of it or nothing, whatever happens. Never fails.

        At once where that keeps nobody waiting; else soon, as `write` does: where the file is set to `full`, the disk
        lags behind, there is no room for it in `Intents`, it could not be written lately, or no loop is running.
        """
        if not self._write_directly(statements):
            self.write(statements)

    def _write_directly(self, statements: Sequence[Statement]) -> bool:
        """False where that would keep the loop waiting, or can't be done."""
        intents = self._intents
        if intents is None or self._thread is None or self._problem is not None:
            return False
        try:  # before anything is kept
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        lagging = intents.last != self._synced
        if lagging and time.monotonic() - self._lag_since > LAG_S:
            return False
        try:
            number = intents.append(statements)
        except OSError as error:
            log.error("orders wait for the journal's thread from now on: %s", error)  # noqa: TRY400
            return False
        if number is None:
            return False
        if not lagging:
            self._lag_since = time.monotonic()
        self._ahead.append(_Job(statements, intent=number))
        # Not before the request has left, and not at once: whoever is woken up wants the interpreter, as the reply and
        # the next quote do.
        loop.call_soon(self._enqueue, _Job(()))
        return True

    async def write_through(self, statements: Sequence[Statement], timeout_s: float | None = None) -> None:
        """Write, with everything that was given before; on the disk when it returns.

        Raises JournalError: it is not written then, save where the disk hung until `timeout_s` in the middle of it.
        """
        timeout_s = HANG_S if timeout_s is None else timeout_s
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        job = _Job(statements, durable=True, future=future, loop=loop)
        self._put(job)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            job.given_up = True
            raise JournalError(
                f"the journal {self.path} was not written within {timeout_s:g} s; see whether its disk hangs"
            ) from None

    def _enqueue(self, job: _Job | None) -> None:
        """Behind the orders that were written ahead of it."""
        while self._ahead:
            self._queue.put(self._ahead.popleft())
        self._queue.put(job)

    def _put(self, job: _Job | None) -> None:
        """Without delay."""
        self._enqueue(job)
        self._urgent.set()

    def write_now(self, statements: Sequence[Statement], timeout_s: float = BUSY_S + 1) -> None:
        """The same, but blocking: for what is rare and decides something. Raises JournalError."""
        if self._thread is None:
            self._commit(statements, durable=True, wait_s=BUSY_S)
            return
        job = _Job(statements, durable=True, done=threading.Event())
        self._put(job)
        assert job.done is not None
        if not job.done.wait(timeout_s):
            raise JournalError(f"the journal {self.path} was not written within {timeout_s:g} s")
        if job.error is not None:
            raise job.error

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._thread is not None:
            self._put(None)
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
            self._urgent.wait(_LINGER_S)
            self._urgent.clear()
            with contextlib.suppress(queue.Empty):
                while len(jobs) < _BATCH:
                    jobs.append(self._queue.get_nowait())
            last = None in jobs
            self._sync()
            self._write_all([job for job in jobs if job is not None and not job.given_up])
            if last:
                return

    def _sync(self) -> None:
        """Bring to the disk what the loop has written ahead. Nobody is kept from writing meanwhile."""
        intents = self._intents
        if intents is None or (written := intents.last) == self._synced:
            return
        began = time.monotonic()
        try:
            os.fdatasync(intents.fd)
        except OSError as error:
            self._note(f"the journal {self.path} can't be brought to the disk: {error.strerror}")
            return
        self._synced = written
        self._lag_since = began

    def _write_all(self, jobs: list[_Job]) -> None:
        jobs = [*self._waiting, *jobs]
        statements = [statement for job in jobs for statement in job.statements]
        durable = any(job.durable for job in jobs)
        if not statements and not durable and self._problem is None:
            return
        intent = max((job.intent for job in jobs), default=0)
        if intent and self._intents is not None:
            statements.append(self._intents.done(intent))
        try:
            self._commit(
                statements or [("INSERT OR REPLACE INTO meta VALUES ('probe', '')", ())],
                durable=durable or self._problem is not None,
                wait_s=BUSY_S,
            )
        except JournalError as error:
            self._note(str(error))
            # An order that is not written is not sent, so it must not get there later either.
            self._waiting = self._newest([job for job in jobs if not job.durable])
            for job in jobs:
                job.finish(error if job.durable else None)
            return
        self._waiting = []
        self._note(None)
        for job in jobs:
            job.finish(None)
        if intent and self._intents is not None:
            self._intents.committed = intent
        self._checkpoint()

    def _newest(self, jobs: list[_Job]) -> list[_Job]:
        """No more than may wait; orders stay."""
        over = sum(len(job.statements) for job in jobs) - MOST_WAITING
        kept = []
        for job in jobs:
            if over > 0 and not job.intent:
                over -= len(job.statements)
                self.dropped += len(job.statements)
            elif job.statements:
                kept.append(job)
        return kept

    def _checkpoint(self) -> None:
        """Move the log to the file now and then, by a connection of its own: readers go on meanwhile."""
        self._settle()
        if self._side is None or self.commits - self._moved < _CHECKPOINT:
            return
        self._moved = self.commits
        with contextlib.suppress(sqlite3.Error):  # it is tried again, and the log keeps everything until then
            self._side.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _settle(self) -> None:
        """Bring to the disk what is committed, so that the next orders may be written over those that it holds."""
        if self._intents is None or not self._intents.is_filling:
            return
        try:
            if self._wal_fd is None:
                # SQLite's locks are on the other two files: closing this descriptor takes none of them away.
                self._wal_fd = os.open(log_of(self.path), os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._wal_fd)
        except OSError as error:
            self._note(f"the journal {self.path} can't be brought to the disk: {error.strerror}")
            return
        self._intents.settle()

    def _commit(self, statements: Sequence[Statement], *, durable: bool, wait_s: float) -> None:
        """Raises JournalError, also where another program had the file for longer than `wait_s`."""
        connection = self._connection
        if connection is None:
            raise JournalError(f"the journal {self.path} is closed")
        level = "FULL" if durable else "NORMAL"
        deadline = time.monotonic() + wait_s
        try:
            if level != self._level:
                connection.execute(f"PRAGMA synchronous = {level}")
                self._level = level
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError:
                    if time.monotonic() >= deadline:
                        raise
                time.sleep(_BUSY_STEP_S)
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
        keep_from_children(fd)
        self._lock_fd = fd

    @property
    def _intents_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-intents")

    def _release(self) -> None:
        for connection in (self._side, self._connection):
            if connection is not None:
                connection.close()
        self._side = self._connection = None
        if self._wal_fd is not None:
            os.close(self._wal_fd)
            self._wal_fd = None
        if self._intents is not None:
            # After SQLite has brought to the disk what was committed.
            self._intents.close(keep=self._intents.committed != self._intents.last)
            self._intents = None
        if self._lock_fd is not None:
            close(self._lock_fd)
            self._lock_fd = None
