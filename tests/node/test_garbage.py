"""The collector is out of the way while the node runs, and as it was after it."""

from __future__ import annotations

import gc

from runner.node.garbage import Collector


def test_what_is_made_is_not_looked_through_and_all_is_put_back() -> None:
    before = gc.get_threshold()
    collector = Collector()
    collector.restore()
    assert gc.get_threshold() == before
    kept = [[] for _ in range(100)]
    collector.calm()
    try:
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_threshold()[1:] == before[1:]
        assert gc.get_freeze_count() > len(kept)
    finally:
        collector.restore()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
