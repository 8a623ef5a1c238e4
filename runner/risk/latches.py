"""What the gate must still know after a restart: states that nobody has resumed yet, and where its day began.

Each record is a text (JSON) under a key such as `state/account/main` or `loss/strategy/ema_ibm`. A record is small, is
replaced as a whole and never removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class LatchStore(Protocol):
    """Where the records are kept. Both calls are made on the node's loop; a breach is saved within a decision."""

    def load(self) -> Mapping[str, str]:
        """All records, by key. Called once, before the first order."""
        ...

    def save(self, key: str, value: str) -> None:
        """Keep a record, durable when this returns. May raise: the gate counts it, and holds the latch in memory."""
        ...


class MemoryLatches:
    """Forgets with the process: for backtests, and for a node without a journal."""

    def __init__(self, records: Mapping[str, str] | None = None) -> None:
        self.records = dict(records or {})

    def load(self) -> Mapping[str, str]:
        return dict(self.records)

    def save(self, key: str, value: str) -> None:
        self.records[key] = value
