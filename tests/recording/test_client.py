"""A recording of the simulated exchange, replayed, is the day that was recorded."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from runner.config.hosts import market_stream
from runner.exchange.app import source_of
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.recording.client import CHANNELS, FeedError, Recorder, Source
from runner.recording.files import Recording

DAY: dict[str, Any] = {
    "symbols": ("IBM", "BAC"),
    "day": date(2026, 1, 12),
    "extended_hours": False,
    "activity": 0.02,
    "speed": float("inf"),
    "wait": True,
    "seed": 7,
}
PATIENCE_S = 30


def source(url: str, market: str = "stocks", feed: str = "iex", **more: Any) -> Source:
    given: dict[str, Any] = {
        "symbols": ("IBM", "BAC"),
        "channels": CHANNELS[market],
        "key": "PKREC",
        "secret": "secret",
    }
    return Source(url=market_stream(url, market, feed), market=market, **{**given, **more})


def lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def by_channel(path: Path) -> dict[tuple[str, str], list[bytes]]:
    """Lines in their order, by T and S: only within these is there one."""
    found = defaultdict(list)
    for line in lines(path):
        head = json.loads(line)
        found[head["T"], head.get("S", "")].append(line)
    return dict(found)


async def recorded(settings: Settings, out: Path, **more: Any) -> Recording:
    """All that the exchange plays."""
    recording = Recording(out)
    async with ExchangeServer(settings) as exchange:
        stop = asyncio.Event()
        task = asyncio.create_task(Recorder(source(exchange.ws_url, **more), recording, flush_s=0.02).run(stop))
        async with asyncio.timeout(PATIENCE_S):
            await exchange.ended()
            while recording.messages < exchange.parts.hub.messages_sent:
                await asyncio.sleep(0.01)
        stop.set()
        await task
    return recording


async def test_a_recording_is_replayed_as_the_same_ticks(tmp_path: Path) -> None:
    first = await recorded(Settings(**DAY), tmp_path / "one.jsonl.gz")
    (one,) = first.files
    assert one.name == "one-2026-01-12.jsonl.gz"
    assert (first.gaps, first.dropped) == (0, 0)
    assert {"q", "t", "b"} <= first.kinds.keys()
    second = await recorded(Settings(replay=(one,), speed=float("inf"), wait=True), tmp_path / "two.jsonl.gz")
    (two,) = second.files
    assert by_channel(two) == by_channel(one)


async def test_options_come_as_msgpack_and_are_kept_as_json(tmp_path: Path) -> None:
    settings = Settings(**{**DAY, "symbols": (), "options": ("IBM",), "activity": 0.005})
    contracts = tuple(each.symbol for each in source_of(settings)[0].contracts)[:5]
    first = await recorded(settings, tmp_path / "o.jsonl.gz", market="options", feed="indicative", symbols=contracts)
    (one,) = first.files
    assert {symbol for _, symbol in by_channel(one)} <= set(contracts)
    assert first.messages > 0
    assert json.loads(lines(one)[0])["t"].endswith("Z")
    second = await recorded(
        Settings(replay=(one,), speed=float("inf"), wait=True),
        tmp_path / "p.jsonl.gz",
        market="options",
        feed="indicative",
        symbols=contracts,
    )
    (two,) = second.files
    assert by_channel(two) == by_channel(one)


async def test_a_cut_becomes_one_gap_and_recording_goes_on(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "x.jsonl.gz")
    async with ExchangeServer(Settings(**{**DAY, "speed": 600.0, "activity": 1.0})) as exchange:
        ready: asyncio.Queue[None] = asyncio.Queue()
        stop = asyncio.Event()
        recorder = Recorder(
            source(exchange.ws_url),
            recording,
            flush_s=0.02,
            backoff_s=(0.02, 0.1),
            on_ready=lambda: ready.put_nowait(None),
        )
        task = asyncio.create_task(recorder.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            await ready.get()
            while not recording.messages:
                await asyncio.sleep(0.01)
            exchange.parts.faults.arm({"refuse": {"data": 2}})
            exchange.cut_sockets("data")
            await ready.get()
            before = recording.messages
            while recording.messages == before:
                await asyncio.sleep(0.01)
        stop.set()
        await task
    assert recording.gaps == 1
    assert recorder.reconnects == 3
    (path,) = recording.files
    marks = [json.loads(line) for line in lines(path) if line.startswith(b'{"T":"gap"')]
    assert [mark["why"] for mark in marks] == ["the stream was lost"]
    assert marks[0]["from"] < marks[0]["to"]


async def test_an_end_without_a_stream_leaves_a_gap_where_there_ever_was_one(tmp_path: Path) -> None:
    for once in (True, False):
        recording = Recording(tmp_path / "x.jsonl.gz")
        async with ExchangeServer(Settings(**DAY)) as exchange:
            if not once:
                exchange.parts.faults.arm({"refuse": {"data": 99}})
            stop, ready = asyncio.Event(), asyncio.Event()
            recorder = Recorder(source(exchange.ws_url), recording, backoff_s=(0.01, 0.01), on_ready=ready.set)
            task = asyncio.create_task(recorder.run(stop))
            async with asyncio.timeout(PATIENCE_S):
                if once:
                    await ready.wait()
                    exchange.parts.faults.arm({"refuse": {"data": 99}})
                    exchange.cut_sockets("data")
                while recorder.reconnects < 2:
                    await asyncio.sleep(0.01)
            stop.set()
            await task
        assert recording.gaps == int(once)
        assert recorder.ready is once
        assert "429" in recorder.problem


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({}, {"key": "BADKEY"}, "the keys are refused"),
        ({"plan": "basic"}, {"feed": "sip"}, "the plan does not have this feed"),
        ({"symbol_limit": 1}, {}, "more symbols than the plan streams"),
        ({}, {"channels": ("lulds",)}, "does not have one of the channels"),
    ],
)
async def test_what_can_never_be_had_ends_it(
    tmp_path: Path, settings: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    async with ExchangeServer(Settings(**{**DAY, **settings})) as exchange:
        recorder = Recorder(source(exchange.ws_url, **more), Recording(tmp_path / "x.jsonl.gz"))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(FeedError, match=message):
                await recorder.run(asyncio.Event())
    assert list(tmp_path.iterdir()) == []
