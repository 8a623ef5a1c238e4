"""What the doctor finds on this machine, and that each finding comes with its remedy."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cli.doctor import doctor
from runner.config.load import load
from runner.config.models import RunnerConfig
from runner.journal.store import Store
from runner.node.doctor import machine
from runner.node.doctor.row import Row
from runner.node.lock import AccountLock
from runner.node.paths import journal_path
from runner.node.remote.place import Place, listen
from tests.cli.test_check import runner

FILE = """
name: n-1
environment: paper
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: D_KEY}, secret: {file: secret}}}
strategies: {s: {class: "nautilus_trader.examples.strategies.blank:MyStrategy", account: main, feed: stocks,
  params: {instrument_id: IBM.ALPACA}}}
"""


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("D_KEY", "PKDOCTOR")


def write(folder: Path, text: str = "", mode: int = 0o600) -> Path:
    (folder / "secret").write_text("s3cret-s3cret\n")
    (folder / "secret").chmod(mode)
    (folder / "n.yaml").write_text(f"{FILE}{text}\n")
    return folder / "n.yaml"


def config(folder: Path, text: str = "", **more: Any) -> RunnerConfig:
    return load([write(folder, text, **more)], environ=os.environ).config


def only(rows: Any) -> Row:
    (row,) = rows
    assert isinstance(row, Row)
    assert row.state == "ok" or row.remedy
    return row


def test_an_unknown_time_zone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.time_zone().state == "ok"

    def unknown(_name: str) -> None:
        raise machine.zoneinfo.ZoneInfoNotFoundError

    monkeypatch.setattr(machine.zoneinfo, "ZoneInfo", unknown)
    assert machine.time_zone().state == "fail"


@pytest.mark.parametrize(("soft", "state"), [(-1, "ok"), (4096, "ok"), (512, "warn"), (64, "fail")])
def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch, soft: int, state: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, 256))
    row = machine.open_files()
    assert row.state == state
    assert state == "ok" or "the hard limit is 256" in row.remedy


def test_another_nautilus_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_version", lambda _name: "2.0.0")
    row = {row.check: row for row in machine.versions()}["nautilus"]
    assert (row.state, row.remedy) == ("fail", "pip install nautilus_trader==1.231.0")


def test_a_secret_that_others_can_read_is_told(tmp_path: Path) -> None:
    assert only(machine.secret_files(config(tmp_path), tmp_path)).state == "ok"
    row = only(machine.secret_files(config(tmp_path, mode=0o644), tmp_path))
    assert (row.state, row.remedy) == ("warn", f"chmod 600 {tmp_path / 'secret'}")
    (tmp_path / ".env").write_text("D_KEY=x")
    assert len(list(machine.secret_files(config(tmp_path), tmp_path))) == 2


def test_a_disk_is_measured_where_the_journal_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    for free, state in ((200 << 20, "warn"), (1 << 20, "fail"), (5 << 30, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: usage._replace(free=free))
        assert only(machine.disks(made)).state == state
    monkeypatch.setattr(machine, "_file_system", lambda _path: "nfs4")
    assert "network share (nfs4)" in only(machine.disks(made)).message
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cant_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path, f'state: {{dir: "{tmp_path / "secret" / "x"}"}}')
    assert only(machine.disks(made)).message.endswith("is a file")

    def full(**_more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", full)
    assert "No space left on device" in only(machine.disks(config(tmp_path))).message


def test_a_port_in_use_is_told_unless_it_is_our_own_nodes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        made = config(tmp_path, f"metrics: {{listen: 127.0.0.1:{other.getsockname()[1]}}}")
        assert only(machine.ports(made)).state == "fail"
        own = Place("n-1", "paper", os.getpid(), tmp_path / "runner")
        listener = listen(own)
        assert only(machine.ports(made)).state == "ok"
        assert only(machine.nodes(made)).message == f"n-1 (paper) runs as process {os.getpid()}"
        listener.close()
    assert only(machine.ports(made)).state == "ok"


def test_an_account_that_another_runner_trades_is_told_by_its_key_and_by_its_id(tmp_path: Path) -> None:
    made = config(tmp_path)
    assert only(machine.locks(made, {})).state == "ok"
    for identity in ("PKDOCTOR", "account 17"):
        with AccountLock("main", identity):
            row = only(machine.locks(made, {"main": "17"}))
            assert row.state == "fail"
            assert f"process {os.getpid()}" in row.message
    # Looking took nothing.
    AccountLock("main", "PKDOCTOR").acquire().release()


def test_the_command_tells_rows_and_ends_with_1_where_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    assert doctor(file, offline=True, json_=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["fail"] == 0
    assert {row["check"] for row in answer["rows"]} >= {"python", "file", "keys", "journal", "lock", "strategies"}
    monkeypatch.delenv("D_KEY")
    (tmp_path / "secret").unlink()
    assert doctor(file, offline=True) == 1
    shown = capsys.readouterr().out
    assert "fail  keys             accounts.main.key.env: the environment variable D_KEY is not set" in shown
    assert "accounts.main.secret.file: there is no file" in shown
    monkeypatch.setenv("D_KEY", "AKLIVE")
    assert doctor(write(tmp_path), offline=True) == 1
    assert "a live key (it begins with AK) under `environment: paper`" in capsys.readouterr().out


def test_a_journal_that_lost_what_it_knew_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    path = journal_path(config(tmp_path))

    def says(code: int) -> str:
        assert doctor(file, offline=True, json_=True) == code
        rows = json.loads(capsys.readouterr().out)["rows"]
        return str([row["message"] for row in rows if row["check"] == "journal"][-1])

    assert "there is none yet" in says(0)
    assert not path.exists()
    Store(path).open().close()
    assert says(0) == f"{path} is whole"
    path.write_bytes(b"")
    assert f"the journal {path} is damaged (it is empty" in says(1)
    path.unlink()
    path.with_name(f"{path.name}-wal").write_bytes(b"x")
    assert f"the journal {path} is gone" in says(1)


def test_redis_that_does_not_answer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        file = write(tmp_path, f"state: {{redis: {{port: {free.getsockname()[1]}}}}}")
        assert doctor(file, offline=True) == 1
    assert "fail  redis" in capsys.readouterr().out


def test_mistakes_of_the_file_are_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(write(tmp_path, "nonsense: 1"), offline=True) == 1
    assert "nonsense: unknown key" in capsys.readouterr().out
    assert doctor(tmp_path / "none.yaml", offline=True) == 1


def test_it_starts_without_nautilus_and_without_files() -> None:
    done = runner("doctor")
    assert done.returncode == 0, done.stderr
    code = "import sys, runner.cli.doctor, runner.node.doctor.examine, runner.node.doctor.broker; "
    code += "sys.exit('nautilus_trader' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
