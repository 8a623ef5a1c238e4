"""Orders that are about to leave: kept by one write, and found by the next life whatever ended this one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.journal import intents
from runner.journal.intents import Intents, Statement, left
from runner.journal.store import Store

RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?)"


def order(number: int) -> list[Statement]:
    return [(RECORD, (f"order-{number}", "x" * 1000)), (RECORD, ("newest", number))]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "j.sqlite"
    Store(path).open().close()
    opened = sqlite3.connect(path, autocommit=True)
    yield opened
    opened.close()


@pytest.fixture
def kept(tmp_path: Path, connection: sqlite3.Connection) -> Intents:
    made = Intents(tmp_path / "i")
    connection.execute(*made.done(0))
    return made


def test_what_is_not_committed_is_left_in_its_order(
    tmp_path: Path, connection: sqlite3.Connection, kept: Intents
) -> None:
    for number in range(1, 6):
        assert kept.append(order(number)) == number
    connection.execute(*kept.done(3))
    assert left(tmp_path / "i", connection) == [*order(4), kept.done(4), *order(5), kept.done(5)]


def test_the_first_are_written_over_once_all_are_committed_and_on_the_disk(
    tmp_path: Path, connection: sqlite3.Connection, kept: Intents
) -> None:
    taken = 0
    while (number := kept.append(order(taken + 1))) is not None:
        taken = number
    assert taken > 200
    kept.committed = taken
    connection.execute(*kept.done(taken))
    assert kept.append(order(taken + 1)) is None  # a power cut may take what the journal has by now
    assert kept.is_filling
    kept.settle()
    for number in range(taken + 1, taken + 4):
        assert kept.append(order(number)) == number
    assert left(tmp_path / "i", connection)[:2] == order(taken + 1)
    assert len(left(tmp_path / "i", connection)) == 9  # and none of those that lie behind them
    assert (tmp_path / "i").stat().st_size == intents.SIZE


def test_a_record_that_is_torn_ends_what_is_left(tmp_path: Path, connection: sqlite3.Connection, kept: Intents) -> None:
    for number in (1, 2):
        kept.append(order(number))
    os.pwrite(kept.fd, b"?", kept._at - 10)
    assert left(tmp_path / "i", connection) == [*order(1), kept.done(1)]


@pytest.mark.parametrize("what", ["absent", "another journal's", "no such file's", "empty"])
def test_a_file_that_is_not_this_journal_s_is_not_taken_up(
    tmp_path: Path, connection: sqlite3.Connection, kept: Intents, what: str
) -> None:
    kept.append(order(1))
    if what == "absent":
        (tmp_path / "i").unlink()
    elif what == "another journal's":
        connection.execute(*Intents(tmp_path / "other").done(0))
    else:
        (tmp_path / "i").write_bytes(b"" if what == "empty" else b"something else" * 100)
    assert left(tmp_path / "i", connection) == []


def test_after_a_write_that_failed_it_takes_nothing(kept: Intents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda _fd, data, _at: len(data) - 1)
    with pytest.raises(OSError, match="bytes"):
        kept.append(order(1))
    monkeypatch.undo()
    assert kept.append(order(1)) is None


def test_an_order_that_is_larger_than_the_file_has_no_room(kept: Intents) -> None:
    assert kept.append([(RECORD, ("large", "x" * intents.SIZE))]) is None
    assert kept.append(order(1)) == 1
