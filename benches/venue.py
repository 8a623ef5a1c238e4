"""A venue that costs nothing: ready-made frames and replies, written by hand-made sockets in a process of its own.

Run as `python -m benches.venue`; prints its port. It is no simulator: it never judges an order, so that what a bench
measures is the client. One port serves REST (one fixed reply a path), `/stream` and `/v2/iex`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import struct
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SYMBOL = "IBM"
CHUNK = 1 << 18
BEGAN = time.time()
# Of today: a venue whose clock is far from ours is taken for a replay, and treated as one.
NOW = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGAN)) + ".123456789Z"
END_SIZE = 999_999
STAMP = b"2000-01-01T00:00:00.000000000Z"


def rfc3339(ns: int) -> str:
    """UNIX nanoseconds as Alpaca writes them."""
    seconds, nanos = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}Z"


ASSET = {
    "id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415", "class": "us_equity", "exchange": "NYSE", "symbol": SYMBOL,
    "name": "International Business Machines", "status": "active", "tradable": True, "marginable": True,
    "shortable": True, "easy_to_borrow": True, "fractionable": False, "maintenance_margin_requirement": 30,
    "margin_requirement_long": "30", "margin_requirement_short": "100", "attributes": [],
}  # fmt: skip
ACCOUNT = {
    "id": "1d9eed04-0000-4000-8000-000000000000", "account_number": "PA3XYZ", "status": "ACTIVE", "currency": "USD",
    "crypto_status": "ACTIVE", "cash": "100000", "equity": "100000", "last_equity": "100000",
    "portfolio_value": "100000",
    "buying_power": "200000", "regt_buying_power": "200000", "non_marginable_buying_power": "100000",
    "initial_margin": "0", "maintenance_margin": "0", "last_maintenance_margin": "0", "long_market_value": "0",
    "short_market_value": "0", "multiplier": "2", "shorting_enabled": True, "trading_blocked": False,
    "transfers_blocked": False, "account_blocked": False, "trade_suspended_by_user": False,
    "options_approved_level": 3, "options_trading_level": 3, "created_at": NOW, "accrued_fees": "0",
}  # fmt: skip
CLOCK = {
    "timestamp": NOW, "is_open": True, "next_open": rfc3339(time.time_ns() + 86_400 * 10**9),
    "next_close": rfc3339(time.time_ns() + 3_600 * 10**9),
}  # fmt: skip


def quote(n: int, stamp: str = NOW) -> dict[str, Any]:
    """The n-th quote."""
    moved = (n % 100) / 100
    return {
        "T": "q", "S": SYMBOL, "bx": "U", "bp": round(180.01 + moved, 2), "bs": 100 + n % 7, "ax": "Q",
        "ap": round(180.05 + moved, 2), "as": 100, "c": ["R"], "z": "A", "t": stamp,
    }  # fmt: skip


def trade(n: int, stamp: str = NOW) -> dict[str, Any]:
    """The n-th trade."""
    return {
        "T": "t", "S": SYMBOL, "i": n, "x": "D", "p": 180.03, "s": 1, "c": ["@"], "z": "A", "t": stamp,
    }  # fmt: skip


def encode(messages: list[dict[str, Any]], *, packed: bool) -> bytes:
    """One websocket frame with these messages."""
    if packed:
        ready = [m | {"t": msgpack.Timestamp(int(BEGAN), 123456789)} if "t" in m else m for m in messages]
        payload, opcode = msgpack.packb(ready), 0x82
    else:
        payload, opcode = json.dumps(messages, separators=(",", ":")).encode(), 0x81
    size = len(payload)
    if size < 126:
        return bytes([opcode, size]) + payload
    if size < 1 << 16:
        return bytes([opcode, 126]) + struct.pack(">H", size) + payload
    return bytes([opcode, 127]) + struct.pack(">Q", size) + payload


def fill(order: dict[str, Any]) -> bytes:
    """The trade update that says an order is filled."""
    price, qty = "180.05", order["qty"]
    filled = order | {"status": "filled", "filled_qty": qty, "filled_avg_price": price, "filled_at": NOW}
    number = order["id"][-12:]
    data = {"event": "fill", "execution_id": f"00000000-0000-4000-9000-{number}", "timestamp": NOW, "price": price,
            "qty": qty, "position_qty": str(int(number)), "order": filled}  # fmt: skip
    payload = json.dumps({"stream": "trade_updates", "data": data}).encode()
    return b"\x82\x7e" + struct.pack(">H", len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One client frame, unmasked; fragments are put together."""
    whole, opcode = b"", 0
    while True:
        first, second = await reader.readexactly(2)
        opcode = opcode or first & 0x0F
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await reader.readexactly(8))
        mask = await reader.readexactly(4)
        data = await reader.readexactly(size)
        whole += bytes(b ^ m for b, m in zip(data, itertools.cycle(mask), strict=False))
        if first & 0x80:
            return opcode, whole


class Venue:
    """State of one bench: how many messages a frame holds, how many are wanted, and when orders arrived."""

    def __init__(self) -> None:
        self.orders: asyncio.Queue[int] = asyncio.Queue()
        self.ids = itertools.count(1)
        self.feeds: list[tuple[asyncio.StreamWriter, bool]] = []
        self.subscribed = asyncio.Event()
        self.trading: asyncio.StreamWriter | None = None
        self.held = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: REST with keep-alive, or a socket once it asks for an upgrade."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *rest = head.decode("latin-1").split("\r\n")
                method, target, _ = line.split(" ", 2)
                headers = {k.lower(): v.strip() for k, _, v in (row.partition(":") for row in rest) if k}
                if headers.get("upgrade", "").lower() == "websocket":
                    await self.socket(reader, writer, target, headers)
                    return
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                arrived = time.monotonic_ns()
                reply = await self.reply(method, target, body, arrived)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-RateLimit-Limit: 100000000\r\n"
                    b"X-RateLimit-Remaining: 99999999\r\nContent-Length: %d\r\n\r\n%b" % (len(reply), reply)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def reply(self, method: str, target: str, body: bytes, arrived: int) -> bytes:
        url = urlsplit(target)
        if method == "POST" and url.path == "/v2/orders":
            asked = json.loads(body)
            self.orders.put_nowait(arrived)
            order = self.order(asked)
            if self.trading is not None:
                # So that the node's books hold what a day's would: a position, and no heap of working orders.
                asyncio.get_running_loop().call_later(0.001, self.fill, fill(order))
            return json.dumps(order).encode()
        if url.path == "/bench/blast":
            query = {k: v[0] for k, v in parse_qs(url.query).items()}
            return await self.blast(int(query["messages"]), int(query["per_frame"]))
        if url.path == "/bench/burst":
            query = {k: v[0] for k, v in parse_qs(url.query).items()}
            return await self.burst(int(query["rate"]), float(query["seconds"]), int(query["per_frame"]))
        if url.path == "/bench/ping":
            return await self.ping()
        if url.path.startswith("/v2/assets/"):
            return json.dumps(ASSET).encode()
        if url.path == "/v2/account":
            return json.dumps(ACCOUNT | {"cash": f"{100_000 - self.held * 180.05:.2f}"}).encode()
        if url.path == "/v2/positions" and self.held:
            row = {"symbol": SYMBOL, "asset_id": ASSET["id"], "side": "long", "qty": str(self.held)}
            return json.dumps([row | {"avg_entry_price": "180.05", "current_price": "180.05"}]).encode()
        if url.path == "/v2/clock":
            return json.dumps(CLOCK).encode()
        if url.path.startswith("/v2/stocks/"):
            return b'{"trades": {}, "bars": {}, "quotes": {}, "next_page_token": null}'
        return b"[]"

    def fill(self, update: bytes) -> None:
        """One share is bought: the node compares its books with the venue's."""
        assert self.trading is not None
        self.held += 1
        self.trading.write(update)

    def order(self, asked: dict[str, Any]) -> dict[str, Any]:
        number = next(self.ids)
        return {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "client_order_id": asked.get("client_order_id") or f"c{number}",
            "created_at": NOW, "updated_at": NOW, "submitted_at": NOW, "filled_at": None, "expired_at": None,
            "canceled_at": None, "failed_at": None, "replaced_at": None, "replaced_by": None, "replaces": None,
            "asset_id": ASSET["id"], "symbol": SYMBOL, "asset_class": "us_equity", "notional": None,
            "qty": str(asked.get("qty", 1)), "filled_qty": "0", "filled_avg_price": None, "order_class": "",
            "order_type": asked["type"], "type": asked["type"], "side": asked["side"],
            "time_in_force": asked["time_in_force"],
            "limit_price": asked.get("limit_price"), "stop_price": None, "status": "new", "extended_hours": False,
            "legs": None, "trail_percent": None, "trail_price": None, "hwm": None,
        }  # fmt: skip

    async def socket(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, headers: dict[str, str]
    ) -> None:
        accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + MAGIC).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        packed = "msgpack" in headers.get("content-type", "")
        trading = target.startswith("/stream")
        if not trading:
            writer.write(encode([{"T": "success", "msg": "connected"}], packed=packed))
        while True:
            opcode, data = await read_frame(reader)
            if opcode == 8:
                return
            if opcode == 9:
                writer.write(bytes([0x8A, len(data)]) + data)
            if opcode not in (1, 2):
                continue
            asked = msgpack.unpackb(data) if packed else json.loads(data)
            if trading:
                writer.write(self.trading_reply(asked))
                if asked["action"] == "listen":
                    self.trading = writer
            elif asked["action"] == "auth":
                writer.write(encode([{"T": "success", "msg": "authenticated"}], packed=packed))
            else:
                channels = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
                state = {name: asked.get(name) or [] for name in channels}
                writer.write(encode([{"T": "subscription", **state}], packed=packed))
                self.feeds = [(writer, packed)]
                self.subscribed.set()

    @staticmethod
    def trading_reply(asked: dict[str, Any]) -> bytes:
        if asked["action"] == "listen":
            data: dict[str, Any] = {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        else:
            data = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        payload = json.dumps(data).encode()
        return bytes([0x82, len(payload)]) + payload

    async def blast(self, messages: int, per_frame: int) -> bytes:
        """Write that many quotes as fast as the reader takes them."""
        await asyncio.wait_for(self.subscribed.wait(), 30)
        writer, packed = self.feeds[-1]
        frames = max(1, 2000 // per_frame)
        block = b"".join(
            encode([quote(f * per_frame + i) for i in range(per_frame)], packed=packed) for f in range(frames)
        )
        for _ in range(messages // (frames * per_frame)):
            writer.write(block)
            await writer.drain()
        sent = messages // (frames * per_frame) * frames * per_frame
        return json.dumps({"sent": sent}).encode()

    async def burst(self, rate: int, seconds: float, per_frame: int) -> bytes:
        """Write so many messages a second, stamped with the time they leave, as far as the socket takes them.

        Every 100th is a trade. The last quote's stamp is answered, so that its arrival can be told.
        """
        await asyncio.wait_for(self.subscribed.wait(), 30)
        writer, _ = self.feeds[-1]
        stamp = STAMP.decode()
        trades = [n % 100 == 99 for n in range(per_frame)] if per_frame >= 100 else [False] * per_frame
        frame = encode([trade(n, stamp) if is_trade else quote(n, stamp) for n, is_trade in enumerate(trades)],
                       packed=False)  # fmt: skip
        began, frames, newest = time.perf_counter(), 0, 0
        while (passed := time.perf_counter() - began) < seconds:
            due = int(passed * rate / per_frame)
            if frames >= due:
                await asyncio.sleep(0)
                continue
            # The stamp is as long as the one it replaces: a frame is made once.
            newest = time.time_ns()
            writer.write(frame.replace(STAMP, rfc3339(newest).encode()))
            frames += 1
            await writer.drain()
        took = time.perf_counter() - began
        # Trades are never lost and keep their order: this one says that nothing follows.
        writer.write(encode([trade(0) | {"s": END_SIZE}], packed=False))
        sent = {"quotes": frames * trades.count(False), "trades": frames * trades.count(True)}
        return json.dumps(sent | {"seconds": took, "newest_ns": newest}).encode()

    async def ping(self) -> bytes:
        """Send one quote; return how long it took until an order arrived, in nanoseconds."""
        await asyncio.wait_for(self.subscribed.wait(), 30)
        writer, packed = self.feeds[-1]
        while not self.orders.empty():
            self.orders.get_nowait()
        number = next(self.ids)
        frame = encode([quote(number)], packed=packed)
        sent = time.monotonic_ns()
        writer.write(frame)
        arrived = await asyncio.wait_for(self.orders.get(), 10)
        return json.dumps({"ns": arrived - sent}).encode()


async def main() -> None:
    """Serve until the input closes, so that the bench's end is this process's too."""
    venue = Venue()
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, limit=CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
