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


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `check` keeps of the tests' files is no part of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
