"""The files of a recording: readable whenever the process ends, and what is missing says so."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from runner.exchange.tape import Tape
from runner.recording import files
from runner.recording.files import Recording, RecordingError

DAY = date(2026, 1, 12)
LATER = date(2026, 1, 13)


def line(number: int) -> bytes:
    return f'{{"T":"t","S":"IBM","i":{number},"p":180.0850,"s":1,"t":"2026-01-12T14:30:00.{number:09d}Z"}}'.encode()


def made(tmp_path: Path, **more: int) -> Recording:
    return Recording(tmp_path / "ibm.jsonl.gz", now=lambda: datetime(2026, 1, 12, 15, tzinfo=UTC), **more)


def read(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def numbers(path: Path) -> list[int]:
    return [json.loads(message.raw)["i"] for message in Tape([path]).messages()]


def test_each_flush_leaves_a_whole_file(tmp_path: Path) -> None:
    recording = made(tmp_path)
    for number in range(3):
        recording.write("t", line(number), DAY)
        recording.flush()
        assert read(tmp_path / "ibm-2026-01-12.jsonl.gz") == [line(n) for n in range(number + 1)]
    recording.close()
    assert recording.kinds == {"t": 3}


def test_a_day_has_its_own_file_and_a_late_message_stays_where_it_came(tmp_path: Path) -> None:
    recording = made(tmp_path)
    for number, day in enumerate((DAY, LATER, DAY)):
        recording.write("t", line(number), day)
    recording.close()
    assert read(tmp_path / "ibm-2026-01-12.jsonl.gz") == [line(0)]
    assert read(tmp_path / "ibm-2026-01-13.jsonl.gz") == [line(1), line(2)]
    assert set(recording.files) == {recording.path(DAY), recording.path(LATER)}


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_file_that_was_cut_off_is_read_to_there_and_can_be_gone_on_with(tmp_path: Path, cut: int) -> None:
    recording = made(tmp_path)
    path = recording.path(DAY)
    for number in range(3):
        recording.write("t", line(number), DAY)
        recording.flush()
    recording.close()
    path.write_bytes(path.read_bytes()[:-cut])
    os.utime(path, (1_768_229_000, 1_768_229_000))
    assert numbers(path)[:2] == [0, 1]
    again = made(tmp_path)
    again.write("t", line(7), DAY)
    again.close()
    lines = read(path)
    assert lines[:2] == [line(0), line(1)]
    assert json.loads(lines[-2]) == {
        "T": "gap",
        "from": "2026-01-12T14:43:20.000Z",
        "to": "2026-01-12T15:00:00.000Z",
        "why": "not recording",
    }
    assert lines[-1] == line(7)
    assert (again.gaps, again.gap_s) == (1, 1000.0)
    assert numbers(path) == [0, 1, 7]


def test_a_full_disk_loses_nothing_once_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recording = made(tmp_path)
    path, write = recording.path(DAY), os.pwrite
    recording.write("t", line(0), DAY)
    recording.flush()

    def full(fd: int, data: bytes, at: int) -> int:
        write(fd, data[:10], at)  # a part may get there
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "pwrite", full)
    for number in (1, 2):
        recording.write("t", line(number), DAY)
        recording.flush()
        assert recording.problem == "No space left on device"
        assert read(path) == [line(0)]
    monkeypatch.setattr(files.os, "pwrite", write)
    recording.flush()
    assert recording.problem is None
    assert read(path) == [line(0), line(1), line(2)]
    assert caplog.text.count("can't be written") == 1
    monkeypatch.setattr(files.os, "pwrite", full)
    recording.write("t", line(3), DAY)
    with pytest.raises(RecordingError, match="bytes not written: No space left on device"):
        recording.close()


def test_what_is_too_much_to_wait_is_counted_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = made(tmp_path, most_waiting=len(line(0)) * 2 + 10)
    write = os.pwrite

    def none(_fd: int, _data: bytes, _at: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "pwrite", none)
    for number in range(4):
        recording.write("t", line(number), DAY)
        recording.flush()
    assert (recording.dropped, recording.messages) == (2, 2)
    monkeypatch.setattr(files.os, "pwrite", write)
    recording.close()
    *kept, mark = read(recording.path(DAY))
    assert kept == [line(0), line(1)]
    assert json.loads(mark)["why"] == "what waited for the disk was too much"
    assert recording.gaps == 1


def test_two_recorders_and_other_files_are_kept_apart(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    first.write("t", line(0), DAY)
    first.flush()
    second.write("t", line(1), DAY)
    with pytest.raises(RecordingError, match="written by another program"):
        second.flush()
    first.close()
    other = made(tmp_path)
    other.path(LATER).write_text("notes of mine\n")
    other.write("t", line(0), LATER)
    with pytest.raises(RecordingError, match="is no recording"):
        other.flush()
    assert other.path(LATER).read_text() == "notes of mine\n"


def test_a_name_or_folder_that_cant_be_is_refused_before_anything_connects(tmp_path: Path) -> None:
    for name in ("ibm.json", "ibm.jsonl", ".jsonl.gz", "none/ibm.jsonl.gz"):
        with pytest.raises(RecordingError):
            Recording(tmp_path / name)
