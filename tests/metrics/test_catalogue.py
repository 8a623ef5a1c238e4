"""The written catalogue is what the code declares."""

from __future__ import annotations

from pathlib import Path

from runner.metrics.catalogue import catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_page_is_fresh():
    assert PAGE.read_text() == catalogue(), "run: .venv/bin/python -m runner.metrics.catalogue > docs/metrics.md"
