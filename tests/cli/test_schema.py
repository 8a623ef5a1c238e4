"""`runner schema`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMITTED = (ROOT / "configs" / "runner.schema.json").read_text(encoding="utf-8")


def schema(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner.cli", "schema", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_it_is_printed() -> None:
    assert schema().stdout == COMMITTED
    assert json.loads(schema("--json").stdout)["properties"].keys() >= {"strategies", "risk"}


def test_it_is_written_to_a_file(tmp_path: Path) -> None:
    done = schema("--out", str(tmp_path / "s.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == COMMITTED
