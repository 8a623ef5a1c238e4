"""The exchange as a child: ready, dead, or never ready; and it never outlives the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.node.exit_codes import ExitCode, NodeError
from runner.node.simulation import Exchange, Ready, SimOptions, throwaway_keys

READY = (
    "import sys, time\n"
    "print('noise')\n"
    'print(\'{"ready": true, "port": 5, "url": "http://127.0.0.1:5/", "synthetic": true, '
    '"symbols": ["IBM"], "date": "2026-01-12"}\', flush=True)\n'
)


def child(tmp_path: Path, code: str) -> Exchange:
    script = tmp_path / "exchange.py"
    script.write_text(code)
    exchange = Exchange(SimOptions(), command=[sys.executable, str(script)])
    exchange.start()
    return exchange


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_the_command_line_says_everything_that_was_asked_for() -> None:
    options = SimOptions((Path("a.jsonl.gz"),), "600", "10:30", 7, ("IBM", "BAC"), "0.005")
    assert options.arguments() == [
        "exchange", "--port", "0", "--wait", "--speed", "600", "--seed", "7",
        "--replay", "a.jsonl.gz", "--start", "10:30", "--fee-per-share", "0.005",
    ]  # fmt: skip
    assert SimOptions(symbols=("IBM", "BAC")).arguments()[-2:] == ["--symbols", "IBM,BAC"]
    adjusted = SimOptions(symbols=("IBM", "IBM1250117C00100000")).arguments()
    assert adjusted[-4:] == ["--symbols", "IBM,IBM1", "--options", "IBM1"]
    assert SimOptions(speed="max").lockstep


def test_the_ready_line_is_found_among_others(tmp_path: Path) -> None:
    exchange = child(tmp_path, READY + "time.sleep(60)")
    assert exchange.wait_ready(10) == Ready("http://127.0.0.1:5", True, ("IBM",), "2026-01-12")
    assert exchange.wait_ready(10).ws_url == "ws://127.0.0.1:5"
    exchange.stop()
    assert exchange.pid is not None
    assert gone(exchange.pid)


def test_one_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    exchange = child(tmp_path, "import sys\nsys.exit('no such file: day.jsonl')")
    with pytest.raises(NodeError, match="ended at once") as caught:
        exchange.wait_ready(10)
    assert caught.value.code == ExitCode.CONNECT


def test_one_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    exchange = child(tmp_path, "import time\ntime.sleep(60)")
    with pytest.raises(NodeError, match="was not ready within"):
        exchange.wait_ready(0.05)
    exchange.stop()


def test_one_that_dies_is_told_and_one_that_is_ended_is_not(tmp_path: Path) -> None:
    told, codes = threading.Event(), []
    exchange = child(tmp_path, READY + "sys.stdin = None\ntime.sleep(60)")
    exchange.wait_ready(10)
    exchange.on_exit(lambda code: (codes.append(code), told.set()))
    assert exchange.pid is not None
    os.kill(exchange.pid, signal.SIGKILL)
    assert told.wait(10)
    assert codes == [-signal.SIGKILL]


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(60)"
    exchange = child(tmp_path, code)
    exchange.wait_ready(10)
    exchange.stop(timeout_s=0.1)
    assert exchange.pid is not None
    assert gone(exchange.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_dies_with_a_node_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "exchange.py").write_text(READY + "time.sleep(60)")
    code = (
        "import sys\n"
        "from runner.node.simulation import Exchange, SimOptions\n"
        "exchange = Exchange(SimOptions(), command=[sys.executable, sys.argv[1]])\n"
        "exchange.start()\n"
        "exchange.wait_ready(10)\n"
        "print(exchange.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "exchange.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        node.kill()
        node.wait()
    for _ in range(10_000):
        if gone(pid):
            return
        os.sched_yield()
    raise AssertionError("the exchange outlived its node")


def test_keys_are_made_anew_each_time() -> None:
    assert throwaway_keys("main") != throwaway_keys("main")
    assert not throwaway_keys("bad")[0].startswith("BAD")
