"""Signals end a node, whatever its strategies' code makes of them."""

from __future__ import annotations

import logging
import signal

import pytest

from runner.node.run import _Ending


def test_signals_that_a_strategy_took_are_taken_back_and_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.node.run.put_back", lambda: False)
    caplog.set_level(logging.WARNING)
    ending = _Ending(1.0)
    before = signal.getsignal(signal.SIGTERM)
    ending.install()
    try:
        ending.hold()
        assert not caplog.records
        for _ in range(2):
            signal.signal(signal.SIGTERM, lambda *_: None)
            ending.hold()
            assert signal.getsignal(signal.SIGTERM) == ending._on_signal
        (record,) = caplog.records
        assert "SIGTERM had been taken by a strategy's code" in record.getMessage()
    finally:
        ending.uninstall()
    assert signal.getsignal(signal.SIGTERM) == before
