"""The control channel: lock-step says idle only when the node is, and the end is always told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from runner.node.control import Control, Progress

HELLO = {"type": "hello", "start_ns": 1, "end_ns": 9, "total": 3, "synthetic": True}


class Counts:
    """A node whose work the test does."""

    def __init__(self) -> None:
        self.data = self.trading = self.requests = 0
        self.working = False
        self.looks = 0

    def data_delivered(self) -> int:
        self.looks += 1
        return self.data

    def trading_delivered(self) -> int:
        return self.trading

    def requests_answered(self) -> int:
        return self.requests

    def busy(self) -> bool:
        return self.working


class End:
    """Where the end is told."""

    def __init__(self) -> None:
        self.told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def __call__(self, problem: str | None) -> None:
        self.told.set_result(problem)


@asynccontextmanager
async def venue(script: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> AsyncIterator[str]:
    async def handle(socket: ServerConnection) -> None:
        async def say(**message: Any) -> None:
            await socket.send(json.dumps(message))

        async def hear() -> Any:
            return json.loads(await socket.recv())

        await say(**HELLO)
        await script(say, hear)

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def run(script: Any, counts: Counts, *, lockstep: bool = True, **options: Any) -> tuple[str | None, Control]:
    async with venue(script) as url:
        end = End()
        control = Control(url, lockstep=lockstep, on_end=end, **options)
        await control.open()
        await control.start(counts)
        problem = await asyncio.wait_for(end.told, 10)
        await control.close()
        return problem, control


async def test_idle_waits_for_data_trade_updates_and_replies() -> None:
    counts, said = Counts(), []

    async def script(say: Any, hear: Any) -> None:
        said.append(await hear())
        said.append(await hear())
        await say(type="step", step=1, venue_ns=2, data=5, trading=2)
        answer = asyncio.ensure_future(hear())
        for change in ({"data": 5}, {"trading": 2}, {"working": True}, {"working": False, "requests": 4}):
            looks = counts.looks
            while counts.looks < looks + 3 and not answer.done():
                await asyncio.sleep(0)
            if change != {"data": 5} and not counts.working:
                assert not answer.done() or change.get("working") is not None
            for name, value in change.items():
                setattr(counts, name, value)
        said.append(await answer)
        await say(type="end", venue_ns=9)

    problem, control = await run(script, counts)
    assert problem is None
    assert said[:2] == [{"type": "lockstep"}, {"type": "start"}]
    assert said[2]["type"] == "idle"
    assert said[2]["step"] == 1
    assert control.steps == 1
    assert control.hello is not None
    assert control.hello.synthetic


@pytest.mark.parametrize("look", range(1, 8))
async def test_an_update_that_comes_late_is_not_confirmed_before_its_consequences(look: int) -> None:
    """It may start an order: confirmed at once, the venue would go on before that order is sent."""

    class Late(Counts):
        came_at = 0

        def data_delivered(self) -> int:
            delivered = super().data_delivered()
            if self.looks == look:
                asyncio.get_running_loop().call_soon(self.come)
            return delivered

        def come(self) -> None:
            self.trading, self.came_at = 3, self.looks

    counts, answers = Late(), []
    counts.trading = 2

    async def script(say: Any, hear: Any) -> None:
        await hear()
        await hear()
        await say(type="step", step=1, venue_ns=2, data=0, trading=2)
        answers.append(await hear())
        await say(type="end", venue_ns=9)

    problem, _ = await run(script, counts)
    assert problem is None
    confirmed = answers[0]["trading"]
    assert confirmed == 2 or counts.looks >= counts.came_at + 4


async def test_the_same_step_may_come_again() -> None:
    counts, answers = Counts(), []

    async def script(say: Any, hear: Any) -> None:
        await hear()
        await hear()
        for trading in (0, 1):
            counts.trading = trading
            await say(type="step", step=1, venue_ns=2, data=0, trading=trading)
            answers.append((await hear())["trading"])
        await say(type="end", venue_ns=9)

    assert (await run(script, counts))[0] is None
    assert answers == [0, 1]


async def test_progress_is_passed_on_and_without_lockstep_none_is_asked_for() -> None:
    seen: list[Progress] = []

    async def script(say: Any, hear: Any) -> None:
        assert await hear() == {"type": "start"}
        await say(type="progress", venue_ns=5, sent=2, total=3)
        await say(type="end", venue_ns=9)

    problem, _ = await run(script, Counts(), lockstep=False, on_progress=seen.append)
    assert problem is None
    assert seen == [Progress(5, 2, 3)]


async def test_a_node_that_never_gets_idle_is_told_and_not_waited_for_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(say: Any, hear: Any) -> None:
        await hear()
        await hear()
        await say(type="step", step=1, venue_ns=2, data=5, trading=0)
        await hear()
        await say(type="end", venue_ns=9)

    assert (await run(script, Counts(), patience_s=0.01))[0] is None
    assert "data 0 of 5" in caplog.text


async def test_a_channel_that_breaks_is_a_problem() -> None:
    async def script(say: Any, hear: Any) -> None:
        await hear()

    problem, _ = await run(script, Counts())
    assert problem is not None
    assert "before the replay's end" in problem


async def test_a_replay_that_fails_is_a_problem() -> None:
    async def script(say: Any, hear: Any) -> None:
        await hear()
        await say(type="end", venue_ns=9, error="line 7: not JSON")
        await hear()

    problem, _ = await run(script, Counts())
    assert problem == "the replay failed: line 7: not JSON"
