"""What the command line stands on: standard files that are closed, and readers that leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"exec {sys.executable} -m runner.cli"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_file_that_is_closed_is_no_reason_to_fail(closed: str) -> None:
    done = shell(f"{PROGRAM} schema {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_ends_it_as_a_signal_would() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "runner.cli", "schema"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_summary_that_can_t_be_written_is_said(tmp_path: Path) -> None:
    config = "configs/paper.yaml --sim --speed max --start 15:58 --json"
    done = shell(f"XDG_RUNTIME_DIR={tmp_path} RUNNER__METRICS__LISTEN=127.0.0.1:0 {PROGRAM} run {config} > /dev/full")
    assert done.returncode == 1
    assert "the summary could not be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
