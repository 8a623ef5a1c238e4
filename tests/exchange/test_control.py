"""Lock-step and progress over `/control`, and the pace of a replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
Client = Any


async def recv(control: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of that kind; progress in between is passed over."""
    while True:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(control.recv(), 10))
        if message["type"] == kind or message["type"] not in ("progress", kind):
            assert message["type"] == kind, message
            return message


async def say(control: ClientConnection, **message: Any) -> None:
    await control.send(json.dumps(message))


async def engage(control: ClientConnection, data: Client) -> None:
    """A client in lock-step, logged in for market data and subscribed to nothing yet."""
    await recv(control, "hello")
    await say(control, type="lockstep")
    await data.login()


async def begin(ex: ExchangeServer, control: ClientConnection) -> None:
    """Start in lock-step: the first step is offered before time moves, for what the client has to do at its start."""
    await say(control, type="start")
    message = await recv(control, "step")
    assert (message["step"], message["data"], message["venue_ns"]) == (1, 0, ex.parts.replay.start_ns)
    await say(control, type="idle", step=1, trading=0, requests=0)


@pytest.fixture
def three_seconds(write: Callable[..., Path], quote: Any) -> Path:
    """Quotes in three different seconds, two of them in the last."""
    stamps = ("13:30:00.1Z", "13:30:05Z", "13:30:09.2Z", "13:30:09.9Z")
    return write("day.jsonl", *(quote("IBM", stamp) for stamp in stamps))


async def test_hello_says_what_there_is(settings: Config) -> None:
    async with ExchangeServer(settings()) as ex, connect(ex.ws_url + "/control") as control:
        info = ex.parts.replay.player.info
        assert await recv(control, "hello") == {
            "type": "hello",
            "lockstep_possible": True,
            "speed": "max",
            "start_ns": info.start_ns,
            "end_ns": info.end_ns,
            "total": info.total,
            "synthetic": True,
            "symbols": ["BAC", "IBM"],
            "venue_ns": info.start_ns,
        }


async def test_a_client_starts_the_replay_and_hears_of_its_end(settings: Config, three_seconds: Path) -> None:
    config = settings(replay=(three_seconds,), progress_interval_s=0.01)
    async with ExchangeServer(config) as ex, connect(ex.ws_url + "/control") as control:
        await recv(control, "hello")
        assert not ex.parts.replay.started
        await say(control, type="start")
        progress = await recv(control, "progress")
        assert (progress["sent"], progress["total"]) == (4, 4)
        end = await recv(control, "end")
        assert end["venue_ns"] == ex.market.now_ns
        async with connect(ex.ws_url + "/control") as late:
            assert (await recv(late, "hello"))["venue_ns"] == end["venue_ns"]
            await recv(late, "end")


async def test_a_subscription_does_not_start_a_replay_in_lock_step(
    settings: Config, three_seconds: Path, client: Client
) -> None:
    async with (
        ExchangeServer(settings(replay=(three_seconds,))) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
    ):
        await engage(control, data)
        await data.subscribe(quotes=["BAC"])
        await data.subscribe(quotes=["IBM"])
        assert not ex.parts.replay.started  # the client may have more to subscribe to
        await begin(ex, control)
        assert (await recv(control, "step"))["data"] == 1


async def test_lock_step_moves_on_only_when_the_client_is_idle(
    settings: Config, three_seconds: Path, client: Client
) -> None:
    async with (
        ExchangeServer(settings(replay=(three_seconds,))) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
    ):
        await engage(control, data)
        await data.subscribe(quotes=["IBM"])
        await begin(ex, control)
        seen = []
        for step, total in ((2, 1), (3, 2), (4, 4)):
            message = await recv(control, "step")
            seen.append(message["venue_ns"])
            assert (message["step"], message["data"], message["trading"]) == (step, total, 0)
            await data.until(lambda got, total=total: len(got) >= total)
            assert len(data.messages) == total
            await say(control, type="idle", step=step, trading=0, requests=0)
        await recv(control, "end")
        assert seen == sorted(seen)


async def test_the_step_is_offered_again_while_the_client_is_behind(
    settings: Config, three_seconds: Path, client: Client, keys: dict[str, str]
) -> None:
    async with (
        ExchangeServer(settings(replay=(three_seconds,))) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
        httpx.AsyncClient(base_url=ex.url, headers=keys) as http,
    ):
        await engage(control, data)
        await data.subscribe(quotes=["IBM"])
        await say(control, type="start")
        assert (await recv(control, "step"))["step"] == 1
        await http.get("/v2/clock")
        await say(control, type="idle", step=1, trading=0, requests=0)
        assert (await recv(control, "step"))["step"] == 1
        await say(control, type="idle", step=1, trading=0, requests=1)
        assert (await recv(control, "step"))["step"] == 2


async def test_requests_of_others_do_not_stop_the_client_for_ever(
    settings: Config, three_seconds: Path, client: Client, keys: dict[str, str]
) -> None:
    config = settings(replay=(three_seconds,), step_retries=3, step_retry_s=0.001)
    async with (
        ExchangeServer(config) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
        httpx.AsyncClient(base_url=ex.url, headers=keys) as http,
    ):
        await http.get("/v2/clock")
        await ex.parts.traffic.quiet()  # the reply is here before its request counts as done
        await engage(control, data)
        await data.subscribe(quotes=["IBM"])
        await say(control, type="start")
        offers: list[int] = []
        while offers[-1:] != [4]:
            message = await recv(control, "step")
            offers.append(message["step"])
            await say(control, type="idle", step=message["step"], trading=0, requests=0)
        assert offers.count(1) == 4  # the first offer, and as often again as the setting says
        assert offers.count(2) == 1
        await recv(control, "end")


async def test_the_replay_goes_on_without_a_client_that_vanished(
    settings: Config, three_seconds: Path, client: Client
) -> None:
    async with ExchangeServer(settings(replay=(three_seconds,))) as ex, client(ex.ws_url + "/v2/iex") as data:
        async with connect(ex.ws_url + "/control") as control:
            await engage(control, data)
            await data.subscribe(quotes=["IBM"])
            await say(control, type="start")
            await recv(control, "step")
        await asyncio.wait_for(ex.ended(), 10)
        await data.until(lambda got: len(got) >= 4)


async def test_slices_that_say_nothing_to_the_client_are_no_steps(
    settings: Config, client: Client, write: Callable[..., Path], quote: Any
) -> None:
    path = write("day.jsonl", quote("BAC", "13:30:00Z"), quote("BAC", "13:30:01Z"), quote("IBM", "13:30:02Z"))
    async with (
        ExchangeServer(settings(replay=(path,))) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
    ):
        await engage(control, data)
        await data.subscribe(quotes=["IBM"])
        await begin(ex, control)
        message = await recv(control, "step")
        assert (message["step"], message["data"]) == (2, 1)


async def test_what_a_client_subscribes_to_at_its_start_it_gets_from_the_first_message_on(
    settings: Config, three_seconds: Path, client: Client
) -> None:
    async with (
        ExchangeServer(settings(replay=(three_seconds,))) as ex,
        connect(ex.ws_url + "/control") as control,
        client(ex.ws_url + "/v2/iex") as data,
    ):
        await engage(control, data)
        await say(control, type="start")
        await recv(control, "step")
        await data.subscribe(quotes=["IBM"])  # it had to ask for something before
        await say(control, type="idle", step=1, trading=0, requests=0)
        assert (await recv(control, "step"))["data"] == 1


async def test_what_is_no_json_object_ends_the_connection(settings: Config) -> None:
    async with ExchangeServer(settings()) as ex, connect(ex.ws_url + "/control") as control:
        await recv(control, "hello")
        await control.send("nonsense")
        await asyncio.wait_for(control.wait_closed(), 10)
        assert control.close_code == 1003


async def test_a_paced_replay_takes_its_time(settings: Config, write: Callable[..., Path], quote: Any) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("IBM", "13:30:30Z"))
    async with ExchangeServer(settings(replay=(path,), speed=100.0)) as ex:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ex.start_replay()
        await asyncio.wait_for(ex.ended(), 10)
        assert 0.29 <= loop.time() - began < 5


async def test_venue_time_stands_while_paused(settings: Config) -> None:
    async with ExchangeServer(settings(speed=1_000.0)) as ex:
        ex.pause()
        ex.start_replay()
        before = ex.market.now_ns
        await ex.step_until(before + 1_000_000_000)
        assert ex.market.now_ns == before + 1_000_000_000
        ex.resume()
        moved = asyncio.Event()
        ex.market.on_clock(lambda _: moved.set())
        await asyncio.wait_for(moved.wait(), 10)


async def test_a_day_that_can_not_be_read_to_its_end_says_so(
    settings: Config, write: Callable[..., Path], quote: Any
) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("IBM", "late"), quote("IBM", "13:31:00Z"))
    async with ExchangeServer(settings(replay=(path,))) as ex, connect(ex.ws_url + "/control") as control:
        await recv(control, "hello")
        await say(control, type="start")
        assert "day.jsonl:2" in (await recv(control, "end"))["error"]
