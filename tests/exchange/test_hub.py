"""What waits for which socket, and what happens to a client that does not read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runner.exchange.feeds import FEEDS
from runner.exchange.hub import DataSocket, Hub
from runner.exchange.settings import Settings
from runner.exchange.wire import Message


class StuckWebSocket:
    """A client that takes one frame and then reads no more until it is told to."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.frames: list[list[dict[str, Any]]] = []
        self.reads = asyncio.Event()

    async def send_text(self, text: str) -> None:
        if self.frames:
            await self.reads.wait()
        self.frames.append(json.loads(text))


def message(number: int) -> Message:
    return Message(number, "q", "IBM", b'{"T":"q","S":"IBM","n":%d}' % number)


async def test_a_client_that_does_not_read_is_told_407_and_let_go() -> None:
    hub = Hub(Settings(slow_client_messages=10, frame_messages=4, slow_client_grace_s=0.01))
    websocket = StuckWebSocket()
    socket = DataSocket(websocket, FEEDS[0])  # type: ignore[arg-type]
    socket.channels = {"quotes": {"*"}}
    hub.add(socket)
    hub.changed()
    writer = asyncio.create_task(socket.write())
    for number in range(30):
        hub.publish(message(number))
        hub.flush()
        await asyncio.sleep(0)
    assert socket.channels == {}
    await asyncio.wait_for(socket.closing.wait(), 5)
    websocket.reads.set()
    while len(websocket.frames) < 3:
        await asyncio.sleep(0)
    assert websocket.frames[-1] == [{"T": "error", "code": 407, "msg": "slow client"}]
    assert hub.messages_sent == len([m for frame in websocket.frames for m in frame if m["T"] == "q"])
    hub.remove(socket)
    writer.cancel()


async def test_messages_lost_with_their_socket_do_not_count_as_sent() -> None:
    hub = Hub(Settings(frame_messages=2))
    websocket = StuckWebSocket()
    socket = DataSocket(websocket, FEEDS[0])  # type: ignore[arg-type]
    socket.channels = {"quotes": {"IBM"}}
    hub.add(socket)
    hub.changed()
    for number in range(6):
        hub.publish(message(number))
    hub.flush()
    assert hub.messages_sent == 6
    hub.remove(socket)
    assert hub.messages_sent == 0
