"""The dashboard in deploy/: fresh, of metrics that exist; each panel has data from a real Prometheus and a node."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.metrics.declarations import DECLARATIONS
from tests.node.process import config, running
from tools import dashboards

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
PANELS: list[dict[str, Any]] = [
    panel for panel in json.loads(dashboards.TARGET.read_text())["panels"] if panel["type"] != "row"
]
DEADLINE_S = 90
TWAP = "nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm"


def test_the_committed_dashboard_is_what_the_tool_makes() -> None:
    assert dashboards.build() == dashboards.TARGET.read_text()


def test_every_metric_in_it_exists() -> None:
    known = {declaration.name for declaration in DECLARATIONS}
    named = {name for panel in PANELS for row in panel["targets"] for name in re.findall(r"runner_\w+", row["expr"])}
    assert {name.removesuffix("_bucket") for name in named} <= known


def test_every_panel_has_data_from_a_real_prometheus_that_scrapes_a_node(promtool: Path, tmp_path: Path) -> None:
    server = promtool.with_name("prometheus")
    assert server.exists(), f"Debian's package has both, but there is no {server}"
    queries = {
        row["expr"].replace("$account", ".*").replace("$strategy", ".*") for panel in PANELS for row in panel["targets"]
    }
    more = f"metrics: {{listen: '127.0.0.1:0'}}\nexec_algorithms: {{TWAP: {{class: '{TWAP}'}}}}"
    path = config(tmp_path, {"one": "Trader", "two": "Trader"}, text=more)
    path.write_text(path.read_text() + "risk: {max_order_notional: 1_000_000, max_orders: {count: 1, per: 1d}}\n")
    with running(path, "--sim", "--speed", "60", "--start", "15:00") as node:
        found = re.search(r"http://([^/]+)/metrics", node.until("metrics at "))
        assert found is not None
        node.until(" buys ")
        with _prometheus(server, tmp_path, found[1]) as api:
            missing = queries
            deadline = time.monotonic() + DEADLINE_S
            while missing and time.monotonic() < deadline:
                missing = {query for query in missing if not _has_data(api, query)}
                time.sleep(0.2)  # a scrape is due every second; no event tells of one
        node.signal()
    assert not missing


def _has_data(api: httpx.Client, query: str) -> bool:
    try:
        reply = api.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return False  # it is still starting
    if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return False  # it answers before it has read its storage
    body = reply.json()
    assert body["status"] == "success", f"{query}: {body}"
    return bool(body["data"]["result"])


class _prometheus:  # a context manager, used as a function
    def __init__(self, server: Path, folder: Path, target: str) -> None:
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: runner, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._command = [
            str(server),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]

    def __enter__(self) -> httpx.Client:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", trust_env=False, timeout=10)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(10)
