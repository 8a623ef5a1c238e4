"""What is latched can be lifted where no node runs: in the journal, under its locks, and a line says by whom."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runner.cli.command import Scope as Given
from runner.cli.command import resume
from runner.config.models import RunnerConfig
from runner.journal import Journal
from runner.node.exit_codes import NodeError
from runner.node.lock import AccountLock
from runner.node.paths import journal_path
from runner.node.remote.offline import resume_journal
from runner.risk.state import NODE, Scope, State, States

MAIN = Scope("account", "main")
FILE = """
name: n-1
environment: paper
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: A_KEY}, secret: {env: A_SECRET}}}
strategies: {s: {class: m:C, account: main, feed: stocks}}
"""


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def config(folder: Path, **risk: str) -> RunnerConfig:
    keys = {"key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}}
    return RunnerConfig.model_validate(
        {
            "name": "n-1",
            "environment": "paper",
            "feeds": {"stocks": {"market": "stocks"}},
            "accounts": {"main": {"broker": "alpaca", **keys}},
            "strategies": {"s": {"class": "m:C", "account": "main", "feed": "stocks"}},
            "state": {"dir": str(folder)},
            "risk": risk,
        }
    )


def latched(folder: Path, *scopes: Scope) -> Path:
    """A journal whose account was opened, and whose scopes are latched."""
    path = journal_path(config(folder))
    journal = Journal(path)
    journal.account("main").open_account("PA1")
    states = States(lambda: 1, store=journal)
    for scope in scopes:
        states.set(State.REDUCING, scope=scope, why="lost 1,001", by="breach", cause="MAX_DAILY_LOSS")
        kind, name = scope
        journal.save(f"loss/{kind}/{name}", json.dumps({"day": "d", "lost": "1001", "below": "0", "forgiven": "0"}))
    journal.close()
    return path


def after(path: Path) -> tuple[dict[Scope, State], dict[str, str]]:
    """What the next start finds, and the records."""
    journal = Journal(path)
    states = States(lambda: 1, store=journal)
    states.restore()
    records = dict(journal.load())
    journal.close()
    return {each.scope: each.state for each in states.all()}, records


def test_a_latch_is_lifted_with_its_loss_and_the_others_stand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = latched(tmp_path, NODE, MAIN)
    answer = resume_journal(config(tmp_path), account="main", strategy=None, why="seen")
    assert answer["outcome"] == "account main was reducing (lost 1,001), and is active at the next start"
    assert answer["states"] == [{"kind": "node", "name": "", "state": "reducing", "why": "lost 1,001"}]
    states, records = after(path)
    assert states == {NODE: State.REDUCING}
    assert json.loads(records["loss/account/main"])["resumed"] is True
    assert "resumed" not in json.loads(records["loss/node/"])
    assert json.loads(records["state/account/main"])["why"] == (
        f"seen (uid {os.getuid()}, process {os.getpid()}, while no node runs)"
    )
    assert "resume account main (seen): account main was reducing" in caplog.text


def test_it_waits_for_no_lock_but_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = latched(tmp_path, NODE)
    with AccountLock("main", "account PA1"), pytest.raises(NodeError, match="already traded by another runner"):
        resume_journal(config(tmp_path), account=None, strategy=None, why="x")
    journal = Journal(path)
    with pytest.raises(NodeError, match="used by another runner"):
        resume_journal(config(tmp_path), account=None, strategy=None, why="x")
    journal.close()
    assert after(path)[0] == {NODE: State.REDUCING}
    assert caplog.text.count("refused: ") == 2


def test_a_state_that_the_file_sets_is_said(tmp_path: Path) -> None:
    latched(tmp_path, NODE)
    answer = resume_journal(config(tmp_path, state="reducing"), account=None, strategy=None, why="x")
    assert answer["outcome"].endswith("but the file says `state: reducing`, change it there")


def test_what_the_file_does_not_have_is_refused_unless_it_is_latched(tmp_path: Path) -> None:
    gone = Scope("strategy", "gone")
    with pytest.raises(NodeError, match="there is no strategy gone"):
        resume_journal(config(tmp_path), account=None, strategy="gone", why="x")
    path = latched(tmp_path, gone)
    with pytest.raises(NodeError, match="there is no account other") as error:
        resume_journal(config(tmp_path), account="other", strategy=None, why="x")
    assert error.value.hint == "the file has main"
    resume_journal(config(tmp_path), account=None, strategy="gone", why="x")
    assert after(path)[0] == {}


def test_a_node_that_never_ran_has_nothing_to_lift_and_gets_no_journal(tmp_path: Path) -> None:
    assert "has never run" in resume_journal(config(tmp_path), account=None, strategy=None, why="x")["outcome"]
    assert list(tmp_path.iterdir()) == []


def test_the_command_does_it_for_a_file_and_says_how_for_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = latched(tmp_path / "state", NODE)
    file = tmp_path / "my.yaml"
    file.write_text(f'{FILE}state: {{dir: "{tmp_path / "state"}"}}\n')
    assert resume("n-1") == 69
    assert "name the node's file to lift it there" in capsys.readouterr().err
    assert resume(str(file), scope=Given(account="nobody")) == 1
    assert "there is no account nobody\n  the file has main\n" in capsys.readouterr().err
    assert resume(str(file), scope=Given(why="looked at it")) == 0
    shown = capsys.readouterr()
    assert shown.out == "the node was reducing (lost 1,001), and is active at the next start\n"
    assert "resume the node (looked at it): the node was reducing" in shown.err
    assert after(path)[0] == {}
    file.write_text("name: n-1\nenvironment: nowhere\n")
    assert resume(str(file)) == 78
