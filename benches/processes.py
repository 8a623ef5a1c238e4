"""The processes of a bench: the venue that costs nothing, the node as a user runs it, the peer."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYS = {"BENCH_KEY": "PKBENCH", "BENCH_SECRET": "secret"}


@contextlib.contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[str]]:
    """A child that lives as long as the block; its errors go to ours."""
    child = subprocess.Popen(
        [sys.executable, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | KEYS
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def line(child: subprocess.Popen[str]) -> dict[str, Any]:
    """The next JSON line a child prints."""
    assert child.stdout is not None
    for text in child.stdout:
        if text.startswith("{"):
            value: dict[str, Any] = json.loads(text)
            return value
    raise RuntimeError(f"{child.args}: ended without a result, exit {child.wait()}")


@contextlib.contextmanager
def venue() -> Iterator[str]:
    with process("-m", "benches.venue") as child:
        assert child.stdout is not None
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"


def ask(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=120) as reply:
        value: dict[str, Any] = json.loads(reply.read())
        return value


def config(url: str, strategy: str, folder: Path, **params: Any) -> dict[str, Any]:
    """A file as a user would write it, but for its addresses; its journal is in `folder`."""
    return {
        "name": "bench",
        "environment": "paper",
        "feeds": {"stocks": {"source": "alpaca", "market": "stocks", "feed": "iex", "data_url": url,
                             "stream_url": url.replace("http", "ws")}},
        "accounts": {"main": {"broker": "alpaca", "key": {"env": "BENCH_KEY"}, "secret": {"env": "BENCH_SECRET"},
                              "url": url}},
        "strategies": {"bench": {"class": f"benches.strategies:{strategy}", "account": "main", "feed": "stocks",
                                 "params": {"instrument_id": "IBM.ALPACA", **params}, "on_stop": "keep"}},
        "risk": {"max_order_qty": "1000", "max_order_notional": "1000000", "max_position_notional": "1000000000"},
        "state": {"dir": str(folder / "state")},
        "log": {"level": "warning"},
    }  # fmt: skip


@dataclass
class Node:
    """A running node, and the pipe that its strategy writes to."""

    child: subprocess.Popen[str]
    pipe: int

    def report(self, timeout_s: float = 60) -> dict[str, Any]:
        """The next line of the pipe."""
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([self.pipe], [], [], timeout_s)[0]:
                raise RuntimeError(f"the strategy reported nothing within {timeout_s:g} s, exit {self.child.poll()}")
            text += os.read(self.pipe, 4096)
        value: dict[str, Any] = json.loads(text)
        return value


@contextlib.contextmanager
def node(
    url: str, strategy: str, *, piped: bool = True, conflate_above: int | None = None, **params: Any
) -> Iterator[Node]:
    """The whole house from a file that points at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        path, pipe = Path(folder) / "bench.yaml", Path(folder) / "report"
        os.mkfifo(pipe)
        if piped:
            params["report"] = str(pipe)
        file = config(url, strategy, Path(folder), **params)
        if conflate_above is not None:
            file["feeds"]["stocks"]["conflate_above"] = conflate_above
        path.write_text(json.dumps(file))
        # Open for writing as well: so that it opens before the node does, and stays open between two reports.
        reading = os.open(pipe, os.O_RDWR)
        try:
            with process("-m", "runner.cli", "run", str(path)) as child:
                yield Node(child, reading)
        finally:
            os.close(reading)


def resident_mb(pid: int | None = None) -> float:
    """Resident megabytes of a process; None: of this one."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
