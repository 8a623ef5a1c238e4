"""What every test may ask for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs inside a test sets logging up for its process; the next test must not hear it."""
    root, ours = logging.getLogger(), logging.getLogger("runner")
    levels = root.level, ours.level
    yield
    for handler in list(root.handlers):
        if type(handler).__module__ == "runner.node.logs":
            root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
