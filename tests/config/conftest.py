"""Fixtures of the config's tests."""

from __future__ import annotations

import sys

import pytest

from runner.config import secrets


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the secrets or the import path of another, or the RUNNER__ variables of whoever runs it."""
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
