"""`/stream`: both auth shapes, the full-set listen, frames, and the faults of trade updates."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgpack
import pytest
import websockets

ORDER = {"symbol": "IBM", "side": "buy", "type": "market", "time_in_force": "day", "qty": "10"}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
NEW_SHAPE = {"action": "auth", "key": "PK1", "secret": "s"}
OLD_SHAPE = {"action": "authenticate", "data": {"key_id": "PK1", "secret_key": "s"}}
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}


class Client:
    """A bare client of the stream."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def say(self, message: Any) -> Any:
        await self.socket.send(json.dumps(message))
        return await self.hear()

    async def hear(self) -> Any:
        async with asyncio.timeout(5):
            return json.loads(await self.socket.recv())

    async def events(self, count: int) -> list[Any]:
        return [(await self.hear())["data"] for _ in range(count)]


@contextlib.asynccontextmanager
async def connected(house: Any) -> AsyncIterator[Client]:
    async with websockets.connect(house.ws_url) as socket:
        yield Client(socket)


@contextlib.asynccontextmanager
async def listening(house: Any) -> AsyncIterator[Client]:
    async with connected(house) as client:
        await client.say(NEW_SHAPE)
        await client.say(LISTEN)
        yield client


@pytest.mark.parametrize("shape", [NEW_SHAPE, OLD_SHAPE])
async def test_both_shapes_of_authentication(house: Any, shape: Any) -> None:
    async with connected(house) as client:
        assert await client.say(shape) == AUTHORIZED
        assert await client.say(LISTEN) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


async def test_a_bad_key_and_a_listen_before_authentication_are_unauthorized(house: Any) -> None:
    async with connected(house) as client:
        answer = await client.say(LISTEN)
        assert answer == {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}
        answer = await client.say({**NEW_SHAPE, "key": "BAD"})
        assert answer["data"]["status"] == "unauthorized"
        assert await client.say(NEW_SHAPE) == AUTHORIZED


async def test_listen_is_the_whole_set_and_unknown_streams_are_dropped(house: Any) -> None:
    async with listening(house) as client:
        answer = await client.say({"action": "listen", "data": {"streams": ["trade_updates", "account_updates"]}})
        assert answer["data"]["streams"] == ["trade_updates"]
        answer = await client.say({"action": "listen", "data": {"streams": []}})
        assert answer["data"]["streams"] == []
        assert house.broker.stream.listeners == 0


async def test_the_paper_host_sends_json_in_binary_frames_and_the_live_one_in_text(
    make_house: Callable[..., Any],
) -> None:
    for binary, kind in ((True, bytes), (False, str)):
        async with make_house(binary=binary) as house, websockets.connect(house.ws_url) as socket:
            await socket.send(json.dumps(NEW_SHAPE).encode())  # a client may send binary too
            assert isinstance(await socket.recv(), kind)


async def test_msgpack_both_ways_on_request(house: Any) -> None:
    headers = {"Content-Type": "application/msgpack"}
    async with websockets.connect(house.ws_url, additional_headers=headers) as socket:
        await socket.send(msgpack.packb(NEW_SHAPE))
        assert msgpack.unpackb(await socket.recv()) == AUTHORIZED


async def test_nonsense_gets_an_error_and_the_end(house: Any) -> None:
    async with connected(house) as client:
        answer = await client.say({"action": "dance"})
        assert answer == {"action": "error", "data": {"error_message": "invalid message"}}
        with pytest.raises(websockets.ConnectionClosed):
            await client.hear()


async def test_a_market_order_is_pending_new_then_new_then_filled(house: Any) -> None:
    async with listening(house) as client, house.client() as http:
        posted = (await http.post("/v2/orders", json=ORDER)).json()
        pending, new, fill = await client.events(3)

    assert [pending["event"], new["event"], fill["event"]] == ["pending_new", "new", "fill"]
    assert pending["execution_id"] is None
    assert new["execution_id"]
    assert set(fill) == {
        "event",
        "event_id",
        "at",
        "execution_id",
        "timestamp",
        "price",
        "qty",
        "position_qty",
        "order",
    }
    assert (fill["price"], fill["qty"], fill["position_qty"]) == ("100.01", "10", "10")
    assert fill["order"]["id"] == posted["id"]
    assert set(fill["order"]) == set(posted)
    assert fill["timestamp"].startswith("2013-10-07T14:00:00.0000000")


async def test_only_the_own_account_hears(house: Any) -> None:
    async with listening(house) as client, house.client("PK2") as other, house.client("PK1") as mine:
        await other.post("/v2/orders", json=ORDER)
        await mine.post("/v2/orders", json={**ORDER, "client_order_id": "mine"})
        (first,) = await client.events(1)
    assert first["order"]["client_order_id"] == "mine"


async def test_messages_sent_counts_every_listening_socket(house: Any) -> None:
    async with listening(house) as one, listening(house) as two, house.client() as http:
        await http.post("/v2/orders", json=ORDER)
        await one.events(3)
        await two.events(3)
        assert house.broker.trading_messages_sent == 6


async def test_updates_may_come_before_the_reply(house: Any) -> None:
    house.broker.faults.arm({"events_first": True})
    async with listening(house) as client, house.client() as http:
        order = asyncio.create_task(http.post("/v2/orders", json=ORDER))
        await client.events(3)
        assert (await order).json()["status"] == "pending_new"


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        ({"duplicate": 1}, ["pending_new", "pending_new", "new", "fill"]),
        ({"drop": 2}, ["fill"]),
        ({"swap": 1}, ["new", "pending_new", "fill"]),
    ],
)
async def test_updates_are_duplicated_lost_and_swapped_on_demand(house: Any, fault: Any, events: list[str]) -> None:
    house.broker.faults.arm({"updates": fault})
    async with listening(house) as client, house.client() as http:
        await http.post("/v2/orders", json=ORDER)
        assert [u["event"] for u in await client.events(len(events))] == events
        assert house.broker.trading_messages_sent == len(events)


async def test_a_cut_closes_the_socket_and_a_mute_one_stays_open(house: Any) -> None:
    async with listening(house) as client, house.client() as http:
        await http.post("/control/faults", json={"mute": "trading"})
        await http.post("/v2/orders", json=ORDER)
        assert house.broker.trading_messages_sent == 0
        await http.post("/control/faults", json={"mute": None})
        await http.post("/v2/orders", json=ORDER)
        assert (await client.events(1))[0]["event"] == "pending_new"
        await http.post("/control/faults", json={"cut": "trading"})
        with pytest.raises(websockets.ConnectionClosed):
            await client.events(10**6)


async def test_an_upgrade_can_be_refused_with_429(house: Any) -> None:
    house.broker.faults.arm({"refuse": {"trading": 1}})
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await websockets.connect(house.ws_url)
    assert refusal.value.response.status_code == 429
    async with connected(house) as client:
        assert await client.say(NEW_SHAPE) == AUTHORIZED
