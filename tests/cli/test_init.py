"""`runner init`: what it writes can be checked, tested and run as it is, and nothing of the user's is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli._folder import TEMPLATES, folder_files, write_files
from runner.cli.check import check
from runner.cli.init import init
from runner.cli.test import test as judge

ROOT = Path(__file__).parents[2]
# As the installed script is: the current folder is not on the path, and this checkout is the only one.
SCRIPT = f"""
import os, sys
sys.path[:] = [p for p in sys.path if p and (p == {str(ROOT)!r} or not os.path.exists(p + "/pyproject.toml"))]
from runner.cli import main
main()
"""


def runner(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER__", "ALPACA_"))}
    env = {**kept, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(cwd), "RUNNER__METRICS__LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-c", SCRIPT, *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_is_packed_is_what_the_project_ships(template: str) -> None:
    made = folder_files(template, "1 not a name")
    for name, text in made.items():
        if name.startswith(("configs/", "strategies/")) and name != "strategies/__init__.py":
            assert text == (ROOT / name).read_text(encoding="utf-8"), name
            # A link to a file is packed as a file; a linked folder would be left out of the wheel.
            assert (ROOT / "runner" / "templates" / name).is_symlink()
            assert not (ROOT / "runner" / "templates" / name).parent.is_symlink()


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_passes_its_check_and_its_tests(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "desk", template=template) == 0  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = Path(f"configs/{TEMPLATES[template]}.yaml")
    assert check(file, sim=True) == 0
    assert judge(file) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_folder_runs_with_its_own_strategy(tmp_path: Path) -> None:
    assert init(tmp_path / "desk", template="brackets") == 0
    own = tmp_path / "desk" / "strategies" / "bracket_breakout.py"
    mark = "\n    def on_start(self) -> None:\n"
    assert mark in own.read_text()
    own.write_text(own.read_text().replace(mark, f'{mark}        print("this is my own")\n'))
    done = runner(
        "configs/brackets.yaml", "--sim", "--start", "15:40", "--speed", "max", "--json", cwd=tmp_path / "desk"
    )
    assert done.returncode == 0, done.stderr
    assert "this is my own" in done.stderr
    assert json.loads(done.stdout)["orders"]


def test_nothing_is_overwritten_and_what_exists_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "strategies").mkdir()
    mine = tmp_path / "strategies" / "ema_cross.py"
    mine.write_text("mine")
    (tmp_path / "README.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    assert init(tmp_path) == 0
    shown = capsys.readouterr().out
    assert f"exists  {mine}, left as it is" in shown
    assert f"exists  {tmp_path / 'README.md'}, left as it is" in shown
    assert "add a line `.env` to it" in shown
    assert mine.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert init(tmp_path, template="crypto", json_=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["written"] == ["configs/crypto.yaml", "configs/crypto.tests.yaml"]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_no_secret_is_in_it_and_git_sees_none(tmp_path: Path) -> None:
    made = folder_files("accounts", "desk")
    assert made[".env.example"].endswith(
        "ALPACA_TREND_KEY=\nALPACA_TREND_SECRET=\nALPACA_REVERSION_KEY=\nALPACA_REVERSION_SECRET=\n"
    )
    assert {".env", "logs/", "state/"} <= set(made[".gitignore"].splitlines())


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("desk", "desk-ema"),
        ("my_desk", "my_desk-ema"),
        ("1desk", "paper-ema"),
        ("dösk", "paper-ema"),
        ("d" * 40, "paper-ema"),
    ],
)
def test_the_node_is_named_after_the_folder_where_it_can_be(folder: str, name: str) -> None:
    assert f"\nname: {name}\n" in folder_files("equity", folder)["configs/paper.yaml"]


def test_what_cant_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert init(tmp_path / "file") == 1
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err


def test_half_a_file_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        _write_to_a_full_disk(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _write_to_a_full_disk(folder: Path) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **more: str) -> object:
        opened(path, mode, **more).close()  # type: ignore[call-overload]
        return opened(Path("/dev/full"), "w", **more)  # type: ignore[call-overload]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        write_files(folder, {"a.txt": "x"})
