"""How long commands take to end, or to start a strategy; and a node's memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benches.processes import KEYS, config, line, process

FILE = "configs/paper.yaml"


def command(*args: str, times: int = 5, anew: bool = False) -> tuple[float, float]:
    """Median seconds of wall time and of CPU that one command takes; `anew`: with nothing kept of the time before."""
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"XDG_CACHE_HOME": cache}
        if not anew:
            subprocess.run([sys.executable, *args], capture_output=True, check=True, env=env)
        for number in range(times):
            wall, cpu = _once(args, env | {"XDG_CACHE_HOME": f"{cache}/{number}"} if anew else env)
            walls.append(wall)
            cpus.append(cpu)
    return statistics.median(walls), statistics.median(cpus)


def _once(args: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(args)}: exit {child.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def exchange_ready(times: int = 3) -> float:
    """Seconds until the simulated exchange has made its day and listens."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        with process("-m", "runner.cli", "exchange", "--port", "0", "--wait") as child:
            line(child)
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def file_to_trading(*, simulated: bool, times: int = 3) -> float:
    """Seconds from `runner FILE` to its strategy's start: against an exchange that runs already, or with --sim."""
    took = []
    with process("-m", "runner.cli", "exchange", "--port", "0", "--wait") as exchange:
        url = line(exchange)["url"]
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                path, pipe = Path(folder) / "bench.yaml", Path(folder) / "report"
                os.mkfifo(pipe)
                path.write_text(json.dumps(config(url, "Starter", Path(folder), report=str(pipe))))
                began = time.perf_counter()
                with process("-m", "runner.cli", "run", str(path), *(["--sim"] if simulated else [])):
                    pipe.read_text()
                    took.append(time.perf_counter() - began)
    return statistics.median(took)


def memory() -> dict[str, Any]:
    """A node's resident megabytes at the end of a made-up day, and how many ticks it has seen."""
    args = [sys.executable, "-m", "runner.cli", "run", FILE, "--sim", "--speed", "max", "--json"]
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | KEYS)
    status, resident = Path(f"/proc/{child.pid}/status"), 0
    began = time.perf_counter()
    while child.poll() is None:
        rows = dict(row.split(":", 1) for row in status.read_text().splitlines() if ":" in row)
        resident = max(resident, int(rows.get("VmHWM", "0 kB").split()[0]))
        time.sleep(0.2)
    assert child.stdout is not None
    summary = json.loads(child.stdout.read())
    took = time.perf_counter() - began
    return {"mb": resident / 1024, "ticks": summary["ticks"], "seconds": took, "books": summary["books_agree"]}
