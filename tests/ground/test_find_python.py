"""`tools/find-python` finds a Python that is new enough wherever a machine keeps it, or says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "find-python"
TOO_OLD = "#!/bin/sh\nexit 1\n"
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def find(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sh", "uname"):
        if not (tools / name).exists() and (found := shutil.which(name)):
            (tools / name).symlink_to(found)
    clean = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{tools}"}
    return subprocess.run([str(SCRIPT)], env=clean | env, capture_output=True, text=True, check=False)


def place(path: Path, text: str | None = None) -> Path:
    """An executable at `path`: the interpreter that runs this test, or a script of that text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        path.write_text(f'#!/bin/sh\nexec "{BASE_PYTHON}" "$@"\n')
    else:
        path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["python3", "python3.12", "python3.13"])
def test_finds_one_on_the_path_under_any_of_its_names(tmp_path: Path, name: str) -> None:
    expected = place(tmp_path / "bin" / name)
    assert find(tmp_path).stdout.strip() == str(expected)


def test_passes_over_an_old_python3_for_a_pyenv_version_that_is_not_the_default(tmp_path: Path) -> None:
    place(tmp_path / "bin" / "python3", TOO_OLD)
    place(tmp_path / "bin" / "python3.12", TOO_OLD)  # the shim that pyenv leaves for a version not switched on
    expected = place(tmp_path / ".pyenv" / "versions" / "3.12.9" / "bin" / "python3")
    assert find(tmp_path).stdout.strip() == str(expected)


def test_finds_the_one_that_uv_keeps(tmp_path: Path) -> None:
    kept = place(tmp_path / "somewhere" / "python3.12")
    place(tmp_path / "bin" / "uv", f"#!/bin/sh\necho {kept}\n")
    assert find(tmp_path).stdout.strip() == str(kept)


def test_finds_what_uv_installed_where_uv_itself_is_not_on_the_path(tmp_path: Path) -> None:
    kept = place(tmp_path / ".local/share/uv/python/cpython-3.13.1-linux-x86_64-gnu/bin/python3")
    assert find(tmp_path).stdout.strip() == str(kept)


def test_the_one_that_is_named_wins(tmp_path: Path) -> None:
    place(tmp_path / "bin" / "python3")
    named = place(tmp_path / "mine" / "python")
    assert find(tmp_path, PYTHON=str(named)).stdout.strip() == str(named)


def test_says_in_one_line_what_to_install_where_there_is_none(tmp_path: Path) -> None:
    place(tmp_path / "bin" / "python3", TOO_OLD)
    result = find(tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "python3.12" in result.stderr
    assert os.sep in result.stderr
