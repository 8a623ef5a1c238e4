"""The loop runs until what it was given has ended, whoever wants to stop it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
import uvloop

from runner.node.loop import NodeLoop


@pytest.fixture
def loop() -> Iterator[NodeLoop]:
    loop = NodeLoop()
    yield loop
    loop.close()


def of_a_handler(loop: NodeLoop) -> None:
    loop.stop()


def of_a_callback(loop: NodeLoop) -> None:
    loop.call_soon(loop.stop)


def of_a_thread(loop: NodeLoop) -> None:
    thread = threading.Thread(target=lambda: loop.stop(), name="theirs")
    thread.start()
    thread.join()


def past_ours(loop: NodeLoop) -> None:
    uvloop.Loop.stop(loop)


@pytest.mark.parametrize(
    ("stop", "who"),
    [
        (of_a_handler, "test_loop.py:"),
        (of_a_callback, "a callback of the loop"),
        (of_a_thread, "thread theirs, "),
        (past_ours, "somebody"),
    ],
)
def test_a_stop_is_told_and_the_work_goes_on(loop: NodeLoop, stop: Callable[[NodeLoop], None], who: str) -> None:
    told: list[str] = []
    loop.on_stop = told.append

    async def work() -> str:
        stop(loop)
        async with asyncio.timeout(20):
            while not told:
                await asyncio.sleep(0)
        return "done"

    assert loop.run(work()) == "done"
    assert len(told) == 1
    assert who in told[0]


def test_it_runs_again_and_tells_what_the_work_raises(loop: NodeLoop) -> None:
    async def fail() -> None:
        raise RuntimeError("a test")

    with pytest.raises(RuntimeError, match="a test"):
        loop.run(fail())
    assert loop.run(asyncio.sleep(0, 5)) == 5
    assert loop.run_until_complete(asyncio.sleep(0, 6)) == 6
