"""Orders are let go of without waiting: for tests of what becomes of them afterwards."""

from __future__ import annotations

import sys
from typing import Any

from runner.journal import Journal


def let_go_soon(rig: Any, journal: Journal) -> None:
    """What has ended may be let go of at once, also where the next list would show it again."""
    rig.journal = journal
    rig.client.retention._listed_ns = lambda: sys.maxsize
    rig.client.fills.fold = lambda _before_ns, _most: None  # so that fills can be compared one by one


def let_go(rig: Any) -> list[str]:
    """Let go of all orders that have ended, as a node does; their ids."""
    kernel = rig.node.kernel
    if kernel.exec_engine.evt_qsize():
        return []
    rig.journal.store.write_now([])
    names = rig.client.retention.sweep(0, 0)
    for client_order_id in names:
        kernel.cache.purge_order(client_order_id)
    return [each.value for each in names]
