"""A scrape to look at, and Debian's promtool to judge it by."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.metrics.registry import Metrics
from runner.metrics.server import MetricsServer

_TIMEOUT_S = 300


def stream_stats(**more: int) -> dict[str, int]:
    return {"quotes": 5, "trades": 4, "bars": 3, "other": 2, "frames": 14, "state": 3, **more}


def counts(known: dict[str, int] | None = None) -> Callable[[], defaultdict[str, int]]:
    """Statistics of which only some matter: the rest is 0."""
    known = known if known is not None else {}

    def read() -> defaultdict[str, int]:
        return defaultdict(int, known)

    return read


@pytest.fixture
def metrics() -> Metrics:
    return Metrics({"ema_ibm": "main", "revert": "spare"}, accounts=["main", "spare"])


@pytest.fixture
def serve() -> Iterator[Callable[..., MetricsServer]]:
    servers: list[MetricsServer] = []

    def start(metrics: Metrics, healthy: Any = None, ready: Any = None, port: int = 0) -> MetricsServer:
        fine = lambda: (True, "")  # noqa: E731
        server = MetricsServer("127.0.0.1", port, metrics, healthy or fine, ready or fine)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def get() -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client.get


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Debian's promtool: the installed one, or one unpacked from the package, so that no daemon is ever started."""
    found = shutil.which("promtool")
    if found:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runner-tests" / "prometheus"
    tool = cache / "usr" / "bin" / "promtool"
    if not tool.exists():
        _unpack(cache)
    if not tool.exists():
        pytest.fail(f"the package prometheus has no {tool.relative_to(cache)}")
    return tool


def _unpack(cache: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.fail(
            "promtool is needed: put it on the PATH (it comes with Prometheus); there is no apt-get here to get it"
        )
    with tempfile.TemporaryDirectory() as folder:
        # apt drops root's rights for a download and must be able to write here all the same.
        Path(folder).chmod(0o777)
        # Only root may refresh the lists of packages, and only a stale list needs it.
        if os.geteuid() == 0:
            _run("apt-get", "update", "-qq", cwd=folder)
        _run("apt-get", "download", "-qq", "prometheus", cwd=folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        # Unpacked beside its place and moved there, so that two test processes can't see half of it.
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as unpacked:
            _run("dpkg", "-x", str(package), unpacked + "/package", cwd=folder)
            try:
                (Path(unpacked) / "package").rename(cache)
            except OSError:
                if not cache.exists():
                    raise


def _run(*command: str, cwd: str) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail(
            f"promtool is needed, and `{' '.join(command)}` took more than {_TIMEOUT_S} s: put promtool on the PATH"
        )
    if done.returncode != 0:
        pytest.fail(
            f"promtool is needed, and `{' '.join(command)}` ended with {done.returncode}: put promtool on the PATH\n"
            f"{done.stdout}{done.stderr}"
        )
