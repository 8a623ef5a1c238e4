"""The loop's watchdog: its own process is the patient."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from runner._engine import LoopWatchdog

STUCK = """
import faulthandler, signal, sys, time
from runner._engine import LoopWatchdog
cancel = ("DELETE", sys.argv[1] + "/v2/orders", [("APCA-API-SECRET-KEY", "top-secret-value")])
faulthandler.register(signal.SIGUSR1)
dog = LoopWatchdog(
    unhealthy_s=0.05, limit_s=0.3, exit_code=72, deadline_s=5.0, cancel_requests=[cancel], trace_signal=signal.SIGUSR1
)
dog.start()
dog.beat()
time.sleep(60)
"""


async def test_a_stuck_process_cancels_its_orders_and_ends_with_its_code(venue: Any, reply: Any) -> None:
    venue.replies = [reply(status=207, body=b"[]")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STUCK, venue.url, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, stderr = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 72
    (request,) = venue.requests
    assert (request.method, request.path) == ("DELETE", "/v2/orders")
    assert request.headers["apca-api-secret-key"] == "top-secret-value"
    assert b"ending the process with code 72" in stderr
    assert b"top-secret-value" not in stderr


BUSY = """
import faulthandler, os, signal, sys
from runner._engine import LoopWatchdog
real = os.dup(2)
reading, writing = os.pipe()
os.dup2(writing, 2)  # read by a thread of the same process, which the GIL keeps from it
faulthandler.register(signal.SIGUSR1, file=real)
dog = LoopWatchdog(unhealthy_s=0.05, limit_s=0.3, exit_code=72, stderr_fd=real, trace_signal=signal.SIGUSR1)
dog.start()
def on_quote_tick():
    while True:
        pass
on_quote_tick()
"""


async def test_a_busy_process_says_where_it_stands_before_it_is_ended() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BUSY, stderr=asyncio.subprocess.PIPE)
    _, stderr = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 72
    assert b"in on_quote_tick" in stderr
    assert b"ending the process with code 72" in stderr


@pytest.mark.parametrize("closed", [True, False])
async def test_a_stderr_that_takes_nothing_does_not_keep_a_stuck_process_alive(
    venue: Any, reply: Any, closed: bool
) -> None:
    """A terminal that is gone, and a pipe that is full and nobody reads."""
    venue.replies = [reply(status=207, body=b"[]")]
    reading, writing = os.pipe()
    if closed:
        os.close(reading)
    else:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STUCK, venue.url, stderr=writing)
    os.close(writing)
    assert await asyncio.wait_for(process.wait(), 30) == 72
    assert len(venue.requests) == 1
    if not closed:
        os.close(reading)


async def test_beats_keep_it_healthy_and_their_absence_does_not() -> None:
    dog = LoopWatchdog(unhealthy_s=0.05, limit_s=3600.0, exit_code=72)
    assert dog.healthy
    dog.start()
    async with asyncio.timeout(10):
        while dog.healthy:
            await asyncio.sleep(0.005)
    assert dog.late_s > 0.05
    dog.beat()
    assert dog.healthy
    dog.stop()
    dog.stop()


async def test_health_is_served_without_the_loop() -> None:
    dog = LoopWatchdog(unhealthy_s=0.05, limit_s=3600.0, exit_code=72)
    url = f"http://127.0.0.1:{dog.serve_health(0)}/-/healthy"
    with urllib.request.urlopen(url) as answer:  # the loop is held here, on purpose
        assert (answer.status, answer.read()) == (200, b"healthy\n")
    dog.start()
    async with asyncio.timeout(10):
        while dog.healthy:
            await asyncio.sleep(0.005)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(url)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url.replace("healthy", "other"))
    dog.stop()


def test_a_forgotten_client_does_not_hold_up_the_end_of_the_interpreter() -> None:
    code = """
import asyncio
from runner._engine import *
async def main():
    http = AlpacaHttpClient("k", "s", trading_url="http://127.0.0.1:1", data_url="http://127.0.0.1:1", read_retries=99)
    http.attach(asyncio.get_running_loop())
    http.get("/x")
    ws = AlpacaWebSocketClient("ws://127.0.0.1:1/x", "k", "s", protocol="market")
    ws.start()
    dog = LoopWatchdog(unhealthy_s=9.0, limit_s=99.0, exit_code=72)
    dog.start()
asyncio.run(main())
print("end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=True)
    assert done.stdout == b"end\n"
