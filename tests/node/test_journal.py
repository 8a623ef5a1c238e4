"""Where the journal is, and that an account is claimed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config.models import RunnerConfig
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.journal import lock_account, open_journal
from runner.node.lock import AccountLock
from runner.node.paths import journal_path


def config(environment: str = "paper", **state: str) -> RunnerConfig:
    keys = {"key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}}
    return RunnerConfig.model_validate(
        {
            "name": "n-1",
            "environment": environment,
            "feeds": {"stocks": {"market": "stocks"}},
            "accounts": {"main": {"broker": "alpaca", **keys}},
            "strategies": {"s": {"class": "m:C", "account": "main", "feed": "stocks"}},
            "state": state,
        }
    )


def test_it_is_by_name_and_environment_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert journal_path(config()) == tmp_path / "runner" / "n-1" / "paper.sqlite"
    assert journal_path(config("live")) == tmp_path / "runner" / "n-1" / "live.sqlite"
    assert journal_path(config(dir="/srv/state")) == Path("/srv/state/n-1/paper.sqlite")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # which the specification says to ignore
    monkeypatch.setenv("HOME", "/home/u")
    assert journal_path(config()) == Path("/home/u/.local/state/runner/n-1/paper.sqlite")


def test_one_that_cant_be_used_is_a_matter_of_configuration(tmp_path: Path) -> None:
    path = tmp_path / "n-1" / "paper.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"something else entirely" * 200)
    with pytest.raises(NodeError, match="is damaged") as caught:
        open_journal(config(dir=str(tmp_path)), lambda _name, _broker_id: None)
    assert caught.value.code == ExitCode.CONFIG


def test_two_keys_of_one_account_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    locks: list[AccountLock] = []
    claim = lock_account(locks)
    claim("one", "PA1")
    claim("two", "PA2")
    with pytest.raises(NodeError, match=r"accounts\.one and accounts\.three are one account"):
        claim("three", "PA1")
    # And so is another runner's, whatever key it has.
    with pytest.raises(NodeError, match="already traded by another runner"):
        lock_account([])("other", "PA2")
    for lock in locks:
        lock.release()
