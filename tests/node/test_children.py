"""A child that a strategy forks does its own work, and nothing of the node's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A process with a node's loop. `told` is what the parent saw: exit codes of children, results of their work.
NODE = """
import asyncio, json, multiprocessing, os, signal, subprocess, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from runner.node import children
from runner.node.loop import NodeLoop

warnings.simplefilter("ignore")
told, parent = [], os.getpid()

def ours(call):
    call()
    if os.getpid() != parent:
        os.write(1, b"the child went on")

children.calls_others(ours)

def wait(pid):
    told.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def work(queue):
    queue.put(sum(range(10)))

def rest(queue):
    queue.put("up")
    signal.pause()

def of(method):
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    told.append(queue.get())
    process.join()
    told.append(process.exitcode)

def terminated():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=rest, args=(queue,))
    process.start()
    queue.get()
    process.terminate()
    process.join()
    told.append(process.exitcode)

def pool():
    with ProcessPoolExecutor(1) as pool:
        told.append(list(pool.map(abs, [-1])))

def forked(child=lambda: None):
    pid = os.fork()
    if pid == 0:
        return child()
    wait(pid)

def boom():
    raise ValueError("in the child")

async def main():
    loop = asyncio.get_running_loop()
    loop.call_later(60, os._exit, 3)
    HOW
    print(json.dumps(told))

if __name__ == "__main__":
    def on_signal(*_): os.write(1, b"the node's handler ran in the child")
    old = {signal.SIGTERM: signal.signal(signal.SIGTERM, on_signal)}
    children.guard(old)
    NodeLoop().run(main())
"""


@pytest.mark.parametrize(
    ("how", "told", "says"),
    [
        ("ours(forked)", [70], "came back to the node, and is ended"),
        ("ours(lambda: forked(boom))", [1], "ValueError: in the child"),
        ("ours(lambda: forked(lambda: sys.exit(7)))", [7], ""),
        ("ours(lambda: forked(lambda: sys.exit('why')))", [1], "why"),
        ("ours(lambda: forked(lambda: os._exit(0)))", [0], ""),
        ("loop.call_soon(forked); await asyncio.sleep(0.01)", [70], "came back"),
        ("pid = os.fork(); await asyncio.sleep(0 if pid else 0.01); wait(pid)", [1], "no running event loop"),
        ("pid = os.fork(); await loop.create_future() if not pid else wait(pid)", [70], "came back"),
        ("await loop.run_in_executor(None, forked)", [70], "came back"),
        ("t = threading.Thread(target=forked); t.start(); t.join()", [0], ""),
        ("ours(terminated)", [-15], ""),
        ("ours(pool)", [[1]], ""),
        ("ours(lambda: told.append(subprocess.run(['true'], preexec_fn=int).returncode))", [0], ""),
        *((f"ours(lambda: of('{method}'))", [45, 0], "") for method in ("fork", "spawn", "forkserver")),
    ],
)
def test_a_child_does_what_it_was_made_for_and_ends(how: str, told: object, says: str, tmp_path: Path) -> None:
    script = tmp_path / "node.py"  # spawn imports it
    script.write_text(NODE.replace("HOW", how))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == told, done.stderr
    assert says in done.stderr
    assert (done.stderr == "") is (says == ""), done.stderr
