"""`runner check`, as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs" / "paper.yaml"


def runner(*words: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER__", "ALPACA_"))}
    command = [sys.executable, "-m", "runner.cli", *words]
    env = {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environ}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_a_good_file_is_fine() -> None:
    done = runner("check", "configs/paper.yaml", "--sim")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "configs/paper.yaml: fine (parse, schema, references, build)\n"


def test_missing_keys_name_the_variables_and_the_way_without() -> None:
    done = runner("check", "configs/paper.yaml")
    assert (done.returncode, done.stdout) == (78, "")
    for variable in ("ALPACA_API_KEY", "ALPACA_API_SECRET"):
        assert f"the environment variable {variable} is not set, set it (a run with --sim needs no keys)" in done.stderr
    assert done.stderr.endswith("2 errors\n")


def test_a_mistake_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    text = PAPER.read_text().replace("    params:", "    parms:", 1)
    (tmp_path / "paper.yaml").write_text(text)
    done = runner("check", "paper.yaml", "--sim", "--no-build", cwd=tmp_path)
    number = text.split("\n").index("    parms:") + 1
    assert done.returncode == 78
    assert done.stderr == (
        f"paper.yaml:{number}:5 strategies.ema_ibm.parms: unknown key, did you mean params?\n"
        f"   {number} |     parms:\n"
        "      |     ^^^^^\n"
        "1 error\n"
    )


def test_schema_and_build_mistakes_come_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text(
        PAPER.read_text().replace("level: info", "level: inf").replace("fast_period: 10", "fast_period: x", 1)
    )
    done = runner("check", "paper.yaml", "--sim", cwd=tmp_path)
    assert "log.level: `inf` is not possible, did you mean info?" in done.stderr
    assert "strategies.ema_ibm.params.fast_period: `x` is not a whole number" in done.stderr
    assert done.stderr.endswith("2 errors\n")


def test_json_is_one_object_on_stdout() -> None:
    good = runner("check", "configs/paper.yaml", "--sim", "--json")
    assert json.loads(good.stdout)["errors"] == []
    assert json.loads(good.stdout)["strategies"]["ema_ibm"] == "strategies.ema_cross:EMACross"
    bad = runner("check", "configs/paper.yaml", "--json", "--no-build", RUNNER__LOG__LEVEL="loud")
    assert (bad.returncode, bad.stderr) == (78, "")
    first, _, last = json.loads(bad.stdout)["errors"]
    assert first == {
        "stage": "references",
        "path": "configs/paper.yaml",
        "line": 13,
        "column": 16,
        "where": "accounts.main.key.env",
        "message": "the environment variable ALPACA_API_KEY is not set, set it (a run with --sim needs no keys)",
        "source": PAPER.read_text().split("\n")[12].partition(" #")[0].rstrip(),
    }
    assert (last["path"], last["line"], last["where"]) == ("RUNNER__LOG__LEVEL", None, "log.level")


def test_files_are_laid_over_one_another(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("strategies: {ema_bac: null}\n")
    done = runner("check", "configs/paper.yaml", str(tmp_path / "more.yaml"), "--sim", "--json")
    assert list(json.loads(done.stdout)["strategies"]) == ["ema_ibm"]


def test_a_file_that_is_away_is_said_to_be() -> None:
    done = runner("check", "away.yaml")
    assert (done.returncode, done.stderr) == (78, "away.yaml: no such file\n1 error\n")


def test_internal_bars_are_refused_at_another_speed(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text(PAPER.read_text().replace("LAST-EXTERNAL", "LAST-INTERNAL", 1))
    assert runner("check", "paper.yaml", "--sim", cwd=tmp_path).returncode == 0
    done = runner("check", "paper.yaml", "--sim", "--speed", "600", cwd=tmp_path)
    assert done.returncode == 78
    assert "use EXTERNAL bars or --speed 1" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["check", "--help"],
        ["check", "configs/paper.yaml", "--sim", "--no-build"],
        ["show", "configs/paper.yaml"],
        ["schema"],
    ],
    ids=" ".join,
)
def test_nothing_before_the_build_stage_imports_nautilus(words: list[str]) -> None:
    code = f"""
import sys
from runner.cli import main
try:
    main({words!r})
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in sys.modules if name.split(".")[0] in {{"nautilus_trader", "pandas", "numpy"}}]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
