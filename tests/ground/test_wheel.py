"""One abi3 wheel that holds `runner` alone, installs, and runs outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    maturin = Path(sys.executable).with_name("maturin")
    built = subprocess.run(
        [
            str(maturin),
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--interpreter",
            sys.executable,
            "--out",
            str(out),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_holds_runner_alone_and_is_abi3(wheel: Path) -> None:
    assert "-cp312-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        assert "runner/py.typed" in archive.namelist()
        assert "runner/_engine.pyi" in archive.namelist()
    assert {top for top in tops if not top.endswith((".dist-info", ".libs"))} == {"runner"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_installs_and_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin" / "python"
    site = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # The dependencies come from the environment of this test; its own link to the checkout is not followed from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)

    where = subprocess.run(
        [str(python), "-c", "import runner, runner._engine as e; print(runner.__file__, e.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert where.count(str(home)) == 2
    helped = subprocess.run(
        [str(home / "bin" / "runner"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "check" in helped.stdout
