"""`runner show`: what it prints reads back as the same config, and holds no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.config.load import load

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.name.endswith(".tests.yaml"))


def show(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER__", "ALPACA_"))}
    command = [sys.executable, "-m", "runner.cli", "show", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environ}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_what_is_shown_reads_back_as_the_same(path: Path, tmp_path: Path) -> None:
    done = show(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(done.stdout)
    before = load([path], environ={}, need_secrets=False).config
    assert load([again], environ={}, need_secrets=False).config.model_dump() == before.model_dump()


def test_overrides_and_defaults_are_filled_in() -> None:
    done = show("configs/paper.yaml", "--json", RUNNER__RISK__MAX_ORDER_QTY="7")
    shown = json.loads(done.stdout)
    assert shown["risk"]["max_order_qty"] == "7"
    assert shown["node"]["connect_timeout"] == "30s"
    assert shown["strategies"]["ema_ibm"]["class"] == "strategies.ema_cross:EMACross"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_shown_by_their_place(form: list[str]) -> None:
    given = {
        "ALPACA_API_KEY": "PKHUSHHUSH",
        "RUNNER__STRATEGIES__EMA_IBM__PARAMS__TOKEN": "hushhush",
        "RUNNER__ACTORS__EARS__CLASS": "mine:Ears",
        "RUNNER__ACTORS__EARS__PARAMS__API_KEY": "hushhush",
    }
    done = show("configs/paper.yaml", *form, **given)
    assert done.returncode == 0
    assert "hush" not in done.stdout.lower()
    assert "ALPACA_API_KEY" in done.stdout
    assert "mine:Ears" in done.stdout
    if not form:
        assert "# accounts.main.key: environment variable ALPACA_API_KEY: ********** (set)\n" in done.stdout
        assert "# accounts.main.secret: environment variable ALPACA_API_SECRET: not set\n" in done.stdout


def test_a_bad_file_ends_with_78() -> None:
    done = show("configs/paper.yaml", "--json", RUNNER__NAME="no name")
    assert (done.returncode, done.stderr) == (78, "")
    assert [error["path"] for error in json.loads(done.stdout)["errors"]] == ["RUNNER__NAME"]
