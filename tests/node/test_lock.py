"""Two runners never trade one account."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.journal.store import Store
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.lock import AccountLock, lock_folder


def test_a_second_one_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from runner.node.lock import AccountLock\n"
        "AccountLock('main', 'KEY', pathlib.Path(sys.argv[1])).acquire()\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(NodeError, match=f"process {holder.pid}") as caught:
            AccountLock("main", "KEY", tmp_path).acquire()
        holder.kill()
    assert caught.value.code == ExitCode.CONFIG
    with AccountLock("main", "KEY", tmp_path):
        pass


def test_another_runtime_folder_is_no_way_around_it(tmp_path: Path) -> None:
    venue, one, other = f"http://{tmp_path.name}", tmp_path / "user", tmp_path / "cron"
    with AccountLock("main", "KEY", one, venue=venue):
        with pytest.raises(NodeError, match="another runtime folder") as caught:
            AccountLock("main", "KEY", other, venue=venue).acquire()
        assert caught.value.code == ExitCode.CONFIG
        AccountLock("main", "KEY", other, venue="http://elsewhere").acquire().release()
    AccountLock("main", "KEY", other, venue=venue).acquire().release()


def test_a_child_that_outlives_its_runner_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        "from runner.journal.store import Store\n"
        "from runner.node.lock import AccountLock\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "AccountLock('main', 'KEY', folder, venue=sys.argv[1]).acquire()\n"
        "store = Store(folder / 'j.sqlite').open()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.write(1, b'forked\\n')\n"  # in one piece: an unbuffered print is two writes, and both print at once
        "    signal.pause()\n"
        "os.write(1, b'%d\\n' % child)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        child = 0
        try:
            lines = {holder.stdout.readline().strip(), holder.stdout.readline().strip()}
            (child,) = (int(line) for line in lines - {"forked"})
            with pytest.raises(NodeError):
                AccountLock("main", "KEY", tmp_path, venue=str(tmp_path)).acquire()
            holder.kill()
            holder.wait()
            with AccountLock("main", "KEY", tmp_path, venue=str(tmp_path)):
                Store(tmp_path / "j.sqlite").open().close()
        finally:
            holder.kill()
            if child:
                os.kill(child, signal.SIGKILL)


def test_other_accounts_and_later_runs_are_free(tmp_path: Path) -> None:
    with AccountLock("main", "KEY", tmp_path), AccountLock("main", "OTHER", tmp_path):
        pass
    with AccountLock("main", "KEY", tmp_path):
        pass


def test_the_key_is_not_in_the_files_name(tmp_path: Path) -> None:
    with AccountLock("main", "PKSECRETKEY", tmp_path):
        assert not [p for p in tmp_path.iterdir() if "PKSECRETKEY" in p.name]


def test_the_folder_is_the_users_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert lock_folder() == tmp_path / "runner"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert lock_folder().name.startswith("runner-")
