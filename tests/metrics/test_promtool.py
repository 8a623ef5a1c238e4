"""What Prometheus's own checker says of a scrape."""

from __future__ import annotations

import subprocess
from decimal import Decimal

import pytest

from tests.metrics.conftest import counts

# The first run downloads a package.
pytestmark = pytest.mark.timeout(900)


def test_promtool_finds_nothing_to_complain_of(promtool, metrics, serve, get):
    metrics.set_up(True)
    metrics.attach_stream("stocks", "market", counts({"quotes": 1, "last_event_ns": 0, "state": 3}))
    metrics.attach_stream("main", "trading", counts({"inferred_fills": 1}))
    metrics.attach_http("main", counts({"requests": 7}))
    metrics.set_account("main", cash=Decimal("100000.00"), equity=Decimal("100000.00"))
    metrics.set_position("main", "IBM.ALPACA", Decimal(-10), None)
    metrics.observe_latency("tick_to_decision", 0.0001)
    scrape = get(f"{serve(metrics).url}/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.decode() + done.stderr.decode()) == (0, "")
