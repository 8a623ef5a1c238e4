"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path | None:
    """The folder with real market data and Alpaca's specs, or None in a clone that stands elsewhere.

    A test that can use it says what it uses instead when it is None; it never skips.
    """
    folder = Path(os.environ.get("RUNNER_SHARED") or ROOT.parent / "shared")
    return folder if (folder / "market-data").is_dir() else None
