"""A scrape of a running node, held against what is declared: nothing is missing, nothing is more, nothing failed."""

from __future__ import annotations

import asyncio
import re
from datetime import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.metrics.declarations import DECLARATIONS
from tests.node.process import config, running

pytestmark = pytest.mark.slow
MORE = """
risk: {max_order_notional: 1_000_000, max_orders: {count: 1, per: 1d}}
metrics: {listen: '127.0.0.1:0'}
exec_algorithms: {TWAP: {class: 'nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm'}}
"""


async def test_a_running_node_has_every_declared_metric_and_no_other(tmp_path: Path) -> None:
    async with ExchangeServer(Settings(wait=True, symbols=("IBM", "BAC"), start=time(10, 0), speed=60)) as exchange:
        path = config(tmp_path, {"one": "Trader", "two": "Trader"}, text=MORE, url=exchange.url)
        feed = f"{{market: stocks, data_url: '{exchange.url}', stream_url: '{exchange.ws_url}'}}"
        path.write_text(path.read_text().replace("{market: stocks}", feed))
        keys = {"TEST_KEY": "PKSCRAPE000000000001", "TEST_SECRET": "s3cret-s3cret-s3cret"}
        text = await asyncio.to_thread(_scrape, path, str(tmp_path), keys)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    declared = {declaration.family for declaration in DECLARATIONS}
    assert {name for name in families if not name.startswith("process_")} == declared
    # Each has a series: every counter that is declared is really counted somewhere.
    assert [name for name in declared if not families[name].samples] == []
    for name in ("runner_scrape_errors", "runner_sample_errors", "runner_gate_errors"):
        assert [sample.value for sample in families[name].samples] == [0], name
    assert families["runner_journal_writable"].samples[0].value == 1
    assert families["runner_journal_commits"].samples[0].value > 0


def _scrape(path: Path, folder: str, keys: dict[str, str]) -> str:
    with running(path, XDG_RUNTIME_DIR=folder, **keys) as node:
        found = re.search(r"http://\S+/metrics", node.until("metrics at "))
        assert found is not None
        node.until(" buys ")
        with httpx.Client(trust_env=False, timeout=10) as client:
            # Positions and limits come with the sampler's next turn.
            while "runner_position_quantity{" not in (text := client.get(found[0]).text):
                pass
        node.signal()
        node.end()
    return text
