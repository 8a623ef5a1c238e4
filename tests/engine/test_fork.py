"""What a forked child finds: none of the engine's threads. It is told so, can start anew, and can end."""

from __future__ import annotations

import subprocess
import sys

FORK = """
import asyncio, os, sys, warnings
from runner._engine import AlpacaHttpClient, AlpacaWebSocketClient, LoopWatchdog
warnings.simplefilter("ignore")
URL = "http://127.0.0.1:1"

def clients():
    http = AlpacaHttpClient("k", "s", trading_url=URL, data_url=URL, read_retries=0)
    ws = AlpacaWebSocketClient("ws://127.0.0.1:1/x", "k", "s", protocol="market")
    dog = LoopWatchdog(unhealthy_s=9.0, limit_s=99.0, exit_code=72)
    return http, ws, dog

async def refused(http):
    http.attach(asyncio.get_running_loop())
    try:
        await http.get("/x")
    except Exception as error:
        return type(error).__name__

http, ws, dog = clients()
ws.start(); dog.start(); dog.beat()
assert asyncio.run(refused(http)) == "Unavailable"
http.close()
http, _, _ = clients()
child = os.fork()
if child == 0:
    for use in (ws.start, lambda: ws.drain(None, print, print), lambda: http.attach(None)):
        try:
            use()
        except RuntimeError as error:
            assert "before a fork" in str(error), error
        else:
            raise AssertionError(use)
    ws.stop(); dog.stop(); http.close()
    own_http, own_ws, own_dog = clients()
    own_ws.start(); own_dog.start()
    assert asyncio.run(refused(own_http)) == "Unavailable"
    own_http.close(); own_ws.stop(); own_dog.stop()
    sys.exit(7)
_, status = os.waitpid(child, 0)
http.close(); ws.stop(); dog.stop()
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_is_told_starts_anew_and_ends() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, timeout=30, check=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")
