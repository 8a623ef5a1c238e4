"""How a stream lives through cut, silent, busy and refusing servers; and the trading stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

FILL = {
    "event": "fill", "execution_id": "2f63ea93", "timestamp": "2026-10-12T14:31:25.695569506Z", "price": "174.780",
    "qty": "40", "order": {"id": "7b08df51", "client_order_id": "O-1"},
}  # fmt: skip


async def test_after_a_cut_it_comes_back_with_its_subscriptions(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=lambda client: client.subscribe("quotes", ["A", "B"]))
    await reader.state("ready")
    reader.client.subscribe("trades", ["A"])
    for times in (2, 3):
        stream_venue.sockets[0].transport.abort()
        await reader.state("ready", times)
    assert reader.names()[3:7] == ["disconnected", "connecting", "authenticated", "ready"]
    assert stream_venue.received[-1] == {"action": "subscribe", "quotes": ["A", "B"], "trades": ["A"]}
    assert reader.client.stats()["reconnects"] == 2


async def test_a_close_is_reported_with_its_reason(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream()
    await reader.state("ready")
    await stream_venue.sockets[0].close(1012, "restart")
    await reader.state("disconnected")
    detail = dict(reader.states)["disconnected"]
    assert "1012" in detail
    assert "restart" in detail


async def test_silence_of_every_kind_ends_the_connection(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(ping_interval_s=0.05, silence_timeout_s=0.2)
    await reader.state("ready")
    # A socket that is open and says nothing, not even to a ping.
    stream_venue.sockets[0].transport.pause_reading()
    await reader.state("ready", 2)
    assert ("disconnected", "no frame of any kind") in [(name, detail[:20]) for name, detail in reader.states]


async def test_a_flood_does_not_hold_up_what_is_asked_meanwhile(stream_venue: Any, open_stream: Any) -> None:
    tick = {"T": "q", "S": "A", "bp": 1, "bs": 1, "ap": 2, "as": 1, "t": "2021-02-22T15:51:45Z"}
    frame = json.dumps([tick] * 500)

    async def script(socket: Any) -> None:
        async def flood() -> None:
            while True:
                await socket.send(frame)

        serving = asyncio.create_task(stream_venue.market(socket))
        await stream_venue.live.wait()
        flooding = asyncio.create_task(flood())
        try:
            await serving
        finally:
            flooding.cancel()

    stream_venue.script = script
    reader = open_stream(prepare=lambda client: client.map_symbol("A", "A.X", 2, 0), conflate_above=100)
    await reader.state("ready")
    reader.client.subscribe("trades", ["B"])
    async with asyncio.timeout(10):
        while reader.client.subscriptions() != {"trades": ["B"]}:
            await asyncio.sleep(0.001)
    stream_venue.sockets[0].transport.abort()
    await reader.state("disconnected")
    stats = reader.client.stats()
    assert stats["quotes"] == stats["conflated"] + len(reader.ticks) > 0


async def test_quiet_markets_are_no_silence(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(ping_interval_s=0.02, silence_timeout_s=0.2)
    await reader.state("ready")
    frame_before = reader.client.stats()["last_frame_ns"]
    async with asyncio.timeout(10):
        while reader.client.stats()["last_frame_ns"] < frame_before + 600_000_000:
            await asyncio.sleep(0.01)
    assert reader.names() == ["connecting", "authenticated", "ready"]


@pytest.mark.parametrize(
    ("code", "message"), [(406, "connection limit exceeded"), (404, "auth timeout"), (500, "internal")]
)
async def test_a_busy_venue_is_tried_again(stream_venue: Any, open_stream: Any, code: int, message: str) -> None:
    async def script(socket: Any) -> None:
        if stream_venue.connections > 1:
            await stream_venue.market(socket)
            return
        await socket.send('[{"T":"success","msg":"connected"}]')
        await stream_venue.receive(socket)
        await socket.send(json.dumps([{"T": "error", "code": code, "msg": message}]))
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream()
    await reader.state("ready")
    assert ("disconnected", f"{code} {message}") in reader.states
    assert [kind for kind, _ in reader.messages] == ["error"]


@pytest.mark.parametrize("code", [402, 409, 412])
async def test_keys_and_plans_are_refusals(stream_venue: Any, open_stream: Any, code: int) -> None:
    async def script(socket: Any) -> None:
        await socket.send('[{"T":"success","msg":"connected"}]')
        await stream_venue.receive(socket)
        await socket.send(json.dumps([{"T": "error", "code": code, "msg": "no"}]))
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream(backoff_max_s=60.0)
    await reader.state("refused")
    assert reader.states[-1] == ("refused", f"{code} no")
    assert reader.client.state == "refused"
    assert stream_venue.connections == 1


@pytest.mark.parametrize(
    ("status", "state"), [(429, "disconnected"), (406, "disconnected"), (401, "refused"), (503, "disconnected")]
)
async def test_a_refused_upgrade_says_why_and_is_tried_again(
    stream_venue: Any, open_stream: Any, status: int, state: str
) -> None:
    stream_venue.refuse_upgrade = [status]
    reader = open_stream()
    await reader.state("ready")
    assert reader.states[1] == (state, f"HTTP {status} instead of a stream")


async def test_a_server_that_never_answers_is_left(stream_venue: Any, open_stream: Any) -> None:
    async def script(socket: Any) -> None:
        if stream_venue.connections > 1:
            await stream_venue.market(socket)
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream(connect_timeout_s=0.2)
    await reader.state("ready")
    assert reader.states[1][1].startswith("no greeting within")


async def test_stopping_closes_in_form_and_it_can_start_again(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream()
    await reader.state("ready")
    reader.client.start()
    reader.client.stop()
    reader.client.stop()
    await reader.state("stopped")
    reader.client.start()
    await reader.state("ready", 2)
    assert stream_venue.connections == 2
    assert reader.names().count("stopped") == 1


async def test_trade_updates_come_from_binary_frames_of_json(stream_venue: Any, open_stream: Any) -> None:
    stream_venue.script = stream_venue.trading
    reader = open_stream(protocol="trading")
    await reader.state("ready")
    assert reader.names() == ["connecting", "authenticated", "ready"]
    update = {"stream": "trade_updates", "data": FILL}
    socket = stream_venue.sockets[0]
    await socket.send(json.dumps(update).encode())
    await socket.send(json.dumps(update))
    await socket.send('{"stream":"trade_updates","data":null}')
    await socket.send('{"stream":"something_new","data":{"a":1}}')
    await reader.until(lambda: len(reader.messages) == 4)
    assert [(kind, json.loads(body)) for kind, body in reader.messages] == [
        ("trade_updates", FILL),
        ("trade_updates", FILL),
        ("trade_updates", None),
        ("something_new", {"a": 1}),
    ]
    assert reader.client.stats()["last_event_ns"] == 1_791_815_485_695_569_506


async def test_an_unreadable_trade_update_is_handed_on_as_it_came(stream_venue: Any, open_stream: Any) -> None:
    stream_venue.script = stream_venue.trading
    reader = open_stream(protocol="trading")
    await reader.state("ready")
    await stream_venue.sockets[0].send(b'{"stream":"trade_updates","data":{"event":')
    await reader.until(lambda: reader.messages)
    assert reader.messages == [("trade_updates", b'{"stream":"trade_updates","data":{"event":')]
    assert reader.client.stats()["parse_errors"] == 1


async def test_trading_events_have_no_bound(stream_venue: Any, open_stream: Any) -> None:
    stream_venue.script = stream_venue.trading
    reader = open_stream(protocol="trading", spill_above=10, conflate_above=1)
    await reader.state("ready")
    reader.paused = True
    for n in range(200):
        await stream_venue.sockets[0].send(json.dumps({"stream": "trade_updates", "data": {"n": n}}))
    async with asyncio.timeout(10):
        while reader.client.stats()["backlog"] < 200:
            await asyncio.sleep(0)
    reader.paused = False
    reader.drain()
    assert [json.loads(body)["n"] for _, body in reader.messages] == list(range(200))


async def test_refused_keys_on_the_trading_stream(stream_venue: Any, open_stream: Any) -> None:
    async def script(socket: Any) -> None:
        await stream_venue.receive(socket)
        await socket.send('{"stream":"authorization","data":{"status":"unauthorized","action":"authenticate"}}')
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream(protocol="trading", backoff_max_s=60.0)
    await reader.state("refused")
    assert reader.states[-1][1] == "authorization: unauthorized"


async def test_a_trading_stream_with_header_auth_listens_at_once(
    stream_venue: Any, open_stream: Any, keys: Any
) -> None:
    async def script(socket: Any) -> None:
        assert (await stream_venue.receive(socket))["action"] == "listen"
        await socket.send('{"stream":"listening","data":{"streams":["trade_updates"]}}')
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream(protocol="trading", header_auth=True)
    await reader.state("ready")
    assert stream_venue.upgrades[0]["apca-api-key-id"] == keys.key
    assert reader.names() == ["connecting", "authenticated", "ready"]


async def test_the_servers_pings_are_answered(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(ping_interval_s=60.0)
    await reader.state("ready")
    async with asyncio.timeout(10):
        await (await stream_venue.sockets[0].ping())


async def test_a_venue_that_accepts_and_closes_is_not_hammered(stream_venue: Any, open_stream: Any) -> None:
    async def script(socket: Any) -> None:
        await socket.send('[{"T":"success","msg":"connected"}]')
        await stream_venue.receive(socket)
        await socket.send('[{"T":"success","msg":"authenticated"}]')
        await socket.close()

    stream_venue.script = script
    loop = asyncio.get_running_loop()
    started = loop.time()
    reader = open_stream(backoff_min_s=0.02, backoff_max_s=10.0)
    await reader.state("disconnected", 5)
    # 0.02 + 0.04 + 0.08 + 0.16 between the five: the wait grows although each time it got as far as ready.
    assert loop.time() - started >= 0.3
