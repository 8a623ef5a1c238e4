"""Waiting always ends, even for what refuses to."""

from __future__ import annotations

import asyncio

import pytest

from runner.node.stages import Condition, Interrupted, StageTimeout, bounded
from tests.node.fake_venue import Stubborn, act


async def test_a_result_comes_through() -> None:
    assert await bounded(asyncio.sleep(0, "done"), 1) == "done"


async def test_an_error_comes_through() -> None:
    with pytest.raises(ValueError, match="no"):
        await bounded(act(ValueError("no")), 1)


async def test_what_ignores_cancellation_is_left_behind(stubborn: Stubborn) -> None:
    with pytest.raises(StageTimeout):
        await bounded(act(stubborn), 0.01)


async def test_a_stop_interrupts_at_once(stubborn: Stubborn) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    with pytest.raises(Interrupted):
        await bounded(act(stubborn), 60, stop=stop)


async def test_a_condition_is_seen_when_it_is_announced() -> None:
    condition, values = Condition(period_s=60), []

    def announce() -> None:
        values.append(1)
        condition.poke()

    asyncio.get_running_loop().call_soon(announce)
    assert await condition.until(lambda: bool(values), 5)


async def test_a_condition_that_nobody_announces_is_seen_too() -> None:
    values: list[int] = []
    asyncio.get_running_loop().call_later(0.005, values.append, 1)
    assert await Condition(period_s=0.001).until(lambda: bool(values), 5)


async def test_a_condition_that_never_holds_is_given_up() -> None:
    assert not await Condition(period_s=0.001).until(lambda: False, 0.01)
