"""The watchdog is beaten while the loop turns, and knows what to cancel if it stops."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.node.watchdog import WatchdogHook, opening_orders, send_all
from tests.node.fake_venue import Behaviour, Quiet, Run, make_plan


class Recorder:
    """A watchdog that only remembers."""

    def __init__(self) -> None:
        self.beats = 0
        self.requests: list[Any] = []
        self.healthy = True
        self.stopped = False

    def start(self) -> None: ...

    def beat(self) -> None:
        self.beats += 1

    def set_cancel_requests(self, cancel_requests: Any) -> None:
        self.requests.append(list(cancel_requests))

    def stop(self) -> None:
        self.stopped = True


async def test_what_opens_is_taken_back_from_a_thread_save_what_is_to_be_kept(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("runner.node.watchdog.send_all", lambda requests: sent.extend(requests) or len(requests))
    hook = WatchdogHook(lambda client: "http://venue", lambda unhealthy_s, limit_s: Recorder())
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop={"a": "cancel", "b": "keep"})
    async with Run(plan, behaviour, hooks=(hook,)) as run:
        mine, kept = run.strategy("a").limit(), run.strategy("b").limit()
        await run.until(lambda: mine.is_open and kept.is_open)
        assert await asyncio.to_thread(hook.take_back) == 1
        assert [url for _, url, _ in sent] == [f"http://venue/v2/orders/{mine.venue_order_id}"]
    hook.stop()


async def test_a_venue_that_does_not_answer_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"DELETE /v2/orders/1 ")
        assert b"secret-value" in head
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        headers = (("APCA-API-SECRET-KEY", "secret-value"),)
        requests = [("DELETE", f"http://127.0.0.1:{each}/v2/orders/1", headers) for each in (port, 1)]
        assert await asyncio.to_thread(send_all, requests) == 1
    assert "http://127.0.0.1:1/v2/orders/1: <urlopen error" in caplog.text
    assert "secret-value" not in caplog.text


async def test_a_loop_that_stood_still_is_told(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = WatchdogHook(lambda client: "http://venue", lambda unhealthy_s, limit_s: Recorder())
    async with Run(make_plan({"a": Quiet}, unhealthy_after="20ms"), behaviour, hooks=(hook,)):
        caplog.clear()
        later = time.monotonic() + 7
        monkeypatch.setattr("runner.node.watchdog.time.monotonic", lambda: later)
        hook._beat()
        monkeypatch.undo()
    hook.stop()
    assert re.search(r"the event loop stood still for (6|7)\.\d s: a handler of a strategy took so long", caplog.text)


async def test_it_is_beaten_and_told_of_orders(behaviour: Behaviour) -> None:
    recorder, given = Recorder(), []

    def make(unhealthy_s: float, limit_s: float) -> Recorder:
        given.append((unhealthy_s, limit_s))
        return recorder

    hook = WatchdogHook(lambda client: "http://venue", make)
    plan = make_plan({"a": Quiet}, unhealthy_after="20ms", hang_limit="5s")
    async with Run(plan, behaviour, hooks=(hook,)) as run:
        order = run.strategy("a").limit()
        await run.until(lambda: order.is_open)
        await run.until(lambda: recorder.requests and recorder.requests[-1], turns=500_000)
        assert recorder.requests[-1] == [
            (
                "DELETE",
                f"http://venue/v2/orders/{order.venue_order_id}",
                (("APCA-API-KEY-ID", "key"), ("APCA-API-SECRET-KEY", "secret")),
            )
        ]
        assert hook.healthy()[0]
        recorder.healthy = False
        assert not hook.healthy()[0]
    assert given == [(0.02, 5.0)]
    assert recorder.beats >= 2
    assert not recorder.stopped
    hook.stop()
    assert recorder.stopped


async def test_an_order_that_closes_a_position_is_left_to_work(behaviour: Behaviour) -> None:
    async with Run(make_plan({"a": Quiet}), behaviour) as run:
        strategy = run.strategy("a")
        strategy.market()
        await run.until(lambda: run.node.parts.kernel.cache.positions_open())
        closing, opening = strategy.limit("110.00", OrderSide.SELL), strategy.limit("90.00")
        await run.until(lambda: closing.is_open and opening.is_open)
        urls = [url for _, url, _ in opening_orders(run.node, lambda client: "http://venue")]
        assert urls == [f"http://venue/v2/orders/{opening.venue_order_id}"]
