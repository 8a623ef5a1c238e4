"""The journal's file: durable before it says so, and clear words whenever it can't be used."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.journal import JournalError
from runner.journal.intents import Intents
from runner.journal.schema import APPLICATION_ID, inspect
from runner.journal.store import Store

RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?)"


def records(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as connection:
        found = dict(connection.execute("SELECT key, value FROM records"))
    connection.close()
    return found


def test_nobody_else_may_read_the_file_or_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.sqlite"
    store = Store(path).open()
    store.write_now([(RECORD, ("k", "v"))])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_was_written_through_is_there_for_another_reader(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = Store(path).open()
    store.start()
    store.write([(RECORD, ("first", "1"))])
    await store.write_through([(RECORD, ("second", "2"))])
    assert records(path) == {"first": "1", "second": "2"}
    store.close()


async def test_what_was_written_ahead_needs_no_turn_of_the_loop(tmp_path: Path) -> None:
    store = Store(tmp_path / "j.sqlite").open()
    store.start()
    with pytest.raises(StopIteration):
        store.write_ahead([(RECORD, ("k", "v"))]).send(None)
    assert store._intents is not None
    assert store._intents.last == 1
    await store.write_through([(RECORD, ("later", ""))])
    assert records(store.path) == {"k": "v", "later": ""}
    store.close()


@pytest.mark.parametrize("why", ["full", "crowded", "lagging"])
async def test_the_loop_goes_on_where_it_would_have_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    store = Store(tmp_path / "j.sqlite", "full" if why == "full" else "normal").open()
    store.start()
    let_go = threading.Event()
    if why == "lagging":
        monkeypatch.setattr("runner.journal.store.LAG_S", -1.0)
        monkeypatch.setattr(os, "fdatasync", lambda _fd: let_go.wait())
        await store.write_ahead([(RECORD, ("first", ""))])
    elif why == "crowded":
        monkeypatch.setattr(Intents, "append", lambda _self, _statements: None)
    writing = asyncio.ensure_future(store.write_ahead([(RECORD, ("k", "v"))]))
    await asyncio.sleep(0)
    assert not writing.done()
    let_go.set()
    await writing
    assert records(store.path)["k"] == "v"
    store.close()


def test_what_was_written_ahead_outlives_the_process(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from runner.journal.store import Store\n"
        "os.fdatasync = lambda fd: None\n"
        "async def main():\n"
        "    store = Store(pathlib.Path(sys.argv[1])).open()\n"
        "    store.start()\n"
        f"    await store.write_ahead([({RECORD!r}, ('k', 'v'))])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "j.sqlite"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    Store(path).open().close()
    assert records(path) == {"k": "v"}
    assert not path.with_name("j.sqlite-intents").exists()


async def test_what_was_written_ahead_is_brought_to_the_disk_and_the_log_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.journal.store._CHECKPOINT", 2)
    synced = threading.Semaphore(0)
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (real(fd), synced.release()))
    store = Store(tmp_path / "j.sqlite").open()
    store.start()
    empty = store.path.stat().st_size
    for n in range(50):
        await store.write_ahead([(RECORD, (str(n), "x" * 1000))])
    await asyncio.to_thread(synced.acquire, timeout=10)
    await store.write_through([(RECORD, ("last", ""))])
    assert store._intents is not None
    assert store._synced == store._intents.last == store._intents.committed == 50
    store.write_now([(RECORD, ("more", ""))])  # what the thread moves after a commit, it has moved by the next one
    assert store.path.stat().st_size > empty + 40_000
    assert len(records(store.path)) == 52
    store.close()


async def test_an_order_for_a_disk_that_hangs_is_given_up_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.journal.store.HANG_S", 0.01)
    monkeypatch.setattr("runner.journal.store.LAG_S", -1.0)
    store = Store(tmp_path / "j.sqlite").open()
    store.start()
    let_go, hangs = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _fd: (hangs.set(), let_go.wait()))
    await store.write_ahead([(RECORD, ("before", ""))])
    await asyncio.to_thread(hangs.wait, 10)
    store.write([(RECORD, ("event", ""))])
    with pytest.raises(JournalError, match="see whether its disk hangs"):
        await store.write_ahead([(RECORD, ("order", ""))])
    let_go.set()
    store.close()
    assert set(records(store.path)) == {"before", "event"}


async def test_writes_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    store = Store(tmp_path / "j.sqlite").open()
    jobs = [asyncio.ensure_future(store.write_through([(RECORD, (str(n), ""))])) for n in range(50)]
    await asyncio.sleep(0)  # all of them are in the queue, and nobody takes them yet
    store.start()
    before = store.commits
    await asyncio.gather(*jobs)
    assert store.commits == before + 1
    store.close()


def full(folder: Path) -> tuple[Store, int]:
    """A store whose file can't grow any more, and its pages."""
    store = Store(folder / "j.sqlite").open()
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    store.start()
    return store, pages


async def test_a_full_disk_refuses_orders_keeps_events_and_recovers(tmp_path: Path) -> None:
    store, pages = full(tmp_path)
    assert store._connection is not None
    with pytest.raises(JournalError, match="the disk is full; free some space"):
        await store.write_through([(RECORD, ("order", "x" * 9000))])
    assert store.problem is not None
    store.write([(RECORD, ("event", "y" * 9000))])
    with pytest.raises(JournalError):
        await store.write_through([(RECORD, ("order", "x" * 9000))])
    # The pragma is the connection's; nothing uses it while the thread waits for its next try.
    store._connection.execute(f"PRAGMA max_page_count = {pages + 100}")
    await store.write_through([(RECORD, ("later", "z"))])
    assert store.problem is None
    store.close()
    assert set(records(store.path)) == {"event", "later"}  # the refused order is never written after all


def test_a_file_whose_tables_are_garbled_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Store(path).open().close()
    # SQLite quotes what it can't read, and its own message is no UTF-8 then.
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREAT\xb1 \xffABLE"))
    with pytest.raises(JournalError, match="is damaged"):
        Store(path).open()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def test_a_full_disk_loses_nothing_that_was_written_ahead_and_refuses_the_next(tmp_path: Path) -> None:
    store, _ = full(tmp_path)
    await store.write_ahead([(RECORD, ("left", "x" * 9000))])  # it has its room already, and is kept
    await until(lambda: store.problem is not None)
    with pytest.raises(JournalError, match="the disk is full; free some space"):
        await store.write_ahead([(RECORD, ("refused", ""))])
    for n in range(3):
        store.write([(RECORD, (f"event-{n}", ""))])
    store.close()
    assert records(store.path) == {}
    store.open()
    assert records(store.path) == {"left": "x" * 9000}
    store.close()


async def test_where_no_more_may_wait_it_is_events_that_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.journal.store.MOST_WAITING", 2)
    store, pages = full(tmp_path)
    assert store._connection is not None
    await store.write_ahead([(RECORD, ("left", "x" * 9000))])
    await until(lambda: store.problem is not None)
    for n in range(3):
        store.write([(RECORD, (f"event-{n}", ""))])
    with pytest.raises(JournalError):
        await store.write_through([(RECORD, ("refused", ""))])
    store._connection.execute(f"PRAGMA max_page_count = {pages + 100}")
    await store.write_through([(RECORD, ("later", ""))])
    store.close()
    assert set(records(store.path)) == {"left", "event-2", "later"}
    assert store.dropped == 2


async def test_a_file_that_another_program_locks_refuses_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.journal.store.BUSY_S", 0.01)
    store = Store(tmp_path / "j.sqlite").open()
    store.start()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await store.write_ahead([(RECORD, ("first", ""))])
    await until(lambda: store.problem is not None)
    for way in (store.write_through, store.write_ahead):
        with pytest.raises(JournalError, match="locked by another program"):
            await way([(RECORD, ("k", "v"))])
    other.execute("ROLLBACK")
    other.close()
    await store.write_through([(RECORD, ("k", "v"))])
    store.close()
    assert records(store.path) == {"first": "", "k": "v"}


def test_a_second_runner_is_refused_and_a_dead_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    code = (
        "import sys, pathlib\n"
        "from runner.journal.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1])).open()\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(JournalError, match="used by another runner"):
            Store(path).open()
        holder.kill()
    Store(path).open().close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "is damaged"),
        (lambda path: execute(path, "PRAGMA user_version = 99"), "newer version of runner"),
        (lambda path: execute(path, "PRAGMA user_version = 0"), "older version of runner"),
        (lambda path: execute(path, "PRAGMA application_id = 5"), "of something else"),
    ],
    ids=["damaged", "newer", "older", "foreign"],
)
def test_a_file_that_is_no_journal_of_ours_is_refused_and_left_alone(tmp_path: Path, change: object, says: str) -> None:
    path = tmp_path / "j.sqlite"
    Store(path).open().close()
    change(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(JournalError, match=says):
        Store(path).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("left", [0, 1, 60, 4096, 40_960, -1])
def test_a_file_that_is_cut_short_is_never_taken_for_a_new_one(tmp_path: Path, left: int) -> None:
    """What it knew of orders is lost: that must be told, and nothing may be sent as if none had been."""
    path = tmp_path / "j.sqlite"
    store = Store(path).open()
    store.write_now([(RECORD, (f"k{n}", "v" * 300)) for n in range(200)])
    store.close()
    assert inspect(path) is None
    os.truncate(path, left % path.stat().st_size)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"is damaged .*it is (empty|cut short).*put a copy of it in its place, or"):
        Store(path).open()
    assert path.read_bytes() == before
    assert "is damaged" in (inspect(path) or "")


def broken(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_start_that_ended_while_it_made_the_file_is_followed_by_one_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", broken)
        with pytest.raises(JournalError, match="Input/output error"):
            Store(path).open()
    assert not path.exists()
    assert path.with_name("j.sqlite.new").exists()
    Store(path).open().close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j.sqlite", "j.sqlite.lock"]


def test_a_log_whose_file_is_gone_is_told(tmp_path: Path) -> None:
    """SQLite would delete it, or play it into the new file."""
    path = tmp_path / "j.sqlite"
    store = Store(path).open()
    store.write_now([(RECORD, ("k", "v"))])
    (tmp_path / "kept").write_bytes(path.with_name("j.sqlite-wal").read_bytes())
    store.close()
    path.unlink()
    (tmp_path / "kept").rename(tmp_path / "j.sqlite-wal")
    with pytest.raises(JournalError, match=r"is gone, but what was written to it last is in j\.sqlite-wal"):
        Store(path).open()
    assert not path.exists()


def test_looking_at_a_journal_changes_nothing_while_a_node_uses_it_or_not(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = Store(path).open()
    store.write_now([(RECORD, ("k", "v"))])
    assert inspect(path) is None
    store.close()
    assert inspect(path) is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j.sqlite", "j.sqlite.lock"]
    assert records(path) == {"k": "v"}


def execute(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(sql)
    connection.commit()
    connection.close()


def test_a_folder_that_cant_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"can't be opened: .*state\.dir"):
        Store(tmp_path / "file" / "j.sqlite").open()


def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Store(path).open().close()
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")  # where `file` looks


def test_what_is_written_whole_without_a_loop_is_written_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "j.sqlite").open()
    store.start()
    store.write_whole([(RECORD, ("first", "1")), (RECORD, ("second", "2"))])
    store.write_now([])
    assert records(store.path) == {"first": "1", "second": "2"}
    store.close()
