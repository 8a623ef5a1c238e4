"""The market-data stream: authentication, subscriptions, exact ticks in both codecs, and what comes besides ticks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgpack
import pytest

from runner._engine import AlpacaWebSocketClient

UNIT = 10**16
TS = 1_614_009_105_335_689_322
QUOTE = {
    "T": "q", "S": "AMD", "bx": "U", "bp": 87.66, "bs": 1, "ax": "Q", "ap": 87.685, "as": 4,
    "t": "2021-02-22T15:51:45.335689322Z", "c": ["R"], "z": "C",
}  # fmt: skip
TRADE = {
    "T": "t", "S": "AMD", "i": 96921, "x": "D", "p": 126.55, "s": 1, "t": "2021-02-22T15:51:45.335689322Z", "c": ["@"],
}  # fmt: skip
BAR = {
    "T": "b",
    "S": "AMD",
    "o": 388.985,
    "h": 389.13,
    "l": 388.975,
    "c": 389.12,
    "v": 49378,
    "t": "2021-02-22T19:15:00Z",
}


def amd(client: AlpacaWebSocketClient) -> None:
    client.map_symbol("AMD", "AMD.X", 2, 0)
    client.map_bar("bars", "AMD", "AMD-1-MINUTE", 2, 0, 60_000_000_000)
    client.subscribe("quotes", ["AMD"])


async def test_it_authenticates_subscribes_and_is_ready(stream_venue: Any, open_stream: Any, keys: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    assert reader.names() == ["connecting", "authenticated", "ready"]
    assert stream_venue.received[0] == {"action": "auth", "key": keys.key, "secret": keys.secret}
    assert stream_venue.received[1] == {"action": "subscribe", "quotes": ["AMD"]}
    assert reader.client.subscriptions() == {"quotes": ["AMD"]}
    assert reader.client.state == "ready"
    assert reader.client.stats()["state"] == 3
    assert stream_venue.upgrades[0]["content-type"] == "application/json"
    assert keys.secret not in repr(reader.client)


async def test_with_nothing_wanted_it_is_ready_at_once_and_deltas_follow(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream()
    await reader.state("ready")
    reader.client.subscribe("quotes", ["A", "B"])
    reader.client.subscribe("trades", ["A"])
    reader.client.unsubscribe("quotes", ["B"])
    async with asyncio.timeout(10):
        while reader.client.subscriptions() != {"quotes": ["A"], "trades": ["A"]}:
            await asyncio.sleep(0)


async def test_keys_can_go_in_the_headers(stream_venue: Any, open_stream: Any, keys: Any) -> None:
    async def script(socket: Any) -> None:
        await socket.send('[{"T":"success","msg":"connected"}]')
        await socket.send('[{"T":"success","msg":"authenticated"}]')
        await socket.wait_closed()

    stream_venue.script = script
    reader = open_stream(header_auth=True)
    await reader.state("ready")
    assert stream_venue.upgrades[0]["apca-api-secret-key"] == keys.secret
    assert stream_venue.received == []


async def test_ticks_are_exact(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    await stream_venue.sockets[0].send(json.dumps([QUOTE, TRADE, BAR]).replace("126.55", "126.5500"))
    await reader.until(lambda: len(reader.ticks) == 3)
    quote, trade, bar = reader.ticks
    ts_init = quote[-1]
    assert ts_init > 1_700_000_000_000_000_000
    bid, ask = 8766 * UNIT // 100, 87685 * UNIT // 1000
    assert quote == ("quote", "AMD.X", bid, ask, 3, 3, UNIT, 4 * UNIT, 0, 0, TS, ts_init)
    assert trade == ("trade", "AMD.X", 12655 * UNIT // 100, 4, UNIT, 0, "none", "id:96921", TS, ts_init)
    start = 1_614_021_300_000_000_000
    prices = tuple(price * UNIT // 1000 for price in (388985, 389130, 388975, 389120))
    assert bar == ("bar", "AMD-1-MINUTE", *prices, 3, 49378 * UNIT, 0, start + 60_000_000_000, ts_init)
    stats = reader.client.stats()
    assert (stats["quotes"], stats["trades"], stats["bars"], stats["delivered"]) == (1, 1, 1, 6)
    assert stats["last_event_ns"] == start


async def test_messagepack_says_the_same(stream_venue: Any, open_stream: Any) -> None:
    stream_venue.script = lambda socket: stream_venue.market(socket, pack=True)
    reader = open_stream(codec="msgpack", prepare=amd)
    await reader.state("ready")
    assert stream_venue.upgrades[0]["content-type"] == "application/msgpack"
    stamp = msgpack.Timestamp(TS // 10**9, TS % 10**9)
    status = {"T": "s", "S": "AMD", "sc": "H", "t": stamp}
    messages = [{**QUOTE, "t": stamp}, {**TRADE, "t": stamp, "p": 0.0001234}, {**TRADE, "p": 0.1 + 0.2}, status]
    await stream_venue.sockets[0].send(msgpack.packb(messages))
    await reader.until(lambda: len(reader.messages) == 2)
    quote, trade = reader.ticks
    assert quote[:11] == ("quote", "AMD.X", 8766 * UNIT // 100, 87685 * UNIT // 1000, 3, 3, UNIT, 4 * UNIT, 0, 0, TS)
    assert trade[:9] == ("trade", "AMD.X", 1234 * UNIT // 10**7, 7, UNIT, 0, "none", "id:96921", TS)
    # One float has more digits than 16 decimals hold: it is not rounded, and not lost.
    inexact, status_text = reader.messages
    assert (inexact[0], json.loads(inexact[1])["p"]) == ("t", 0.1 + 0.2)
    assert json.loads(status_text[1]) == {"T": "s", "S": "AMD", "sc": "H", "t": "2021-02-22T15:51:45.335689322Z"}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_price_bands_and_revised_bars_are_exact(stream_venue: Any, open_stream: Any, codec: str) -> None:
    def prepare(client: AlpacaWebSocketClient) -> None:
        amd(client)
        client.map_bar("updatedBars", "AMD", "AMD-1-MINUTE", 2, 0, 60_000_000_000)

    packed = codec == "msgpack"
    stream_venue.script = lambda socket: stream_venue.market(socket, pack=packed)
    reader = open_stream(codec=codec, prepare=prepare)
    await reader.state("ready")
    stamp = msgpack.Timestamp(TS // 10**9, TS % 10**9) if packed else QUOTE["t"]
    band = {"T": "l", "S": "AMD", "u": 92.125, "d": 83.3, "i": "B", "t": stamp, "z": "C"}
    bare = {"T": "l", "S": "AMD", "u": 92, "d": 83, "t": stamp}
    broken, other = {**band, "d": "low"}, {**band, "S": "IBM"}
    messages = [band, bare, {**BAR, "T": "u"}, broken, other]
    await stream_venue.sockets[0].send(msgpack.packb(messages) if packed else json.dumps(messages))
    await reader.until(lambda: reader.messages and len(reader.ticks) == 3)
    first, second, bar = reader.ticks
    assert first[:-1] == ("band", "AMD.X", 92125 * UNIT // 1000, 833 * UNIT // 10, 3, "B", "C", TS)
    assert second[:-1] == ("band", "AMD.X", 92 * UNIT, 83 * UNIT, 2, "", "", TS)
    assert (bar[0], bar[1], bar[-2]) == ("revision", "AMD-1-MINUTE", 1_614_021_360_000_000_000)
    assert reader.messages[0][0] == "l"
    stats = reader.client.stats()
    assert (stats["parse_errors"], stats["unmapped"], stats["bars"]) == (1, 1, 1)


async def test_unmapped_symbols_and_unknown_types_are_counted_and_survive(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    unknown = {"T": "zz", "S": "AMD", "x": {"y": [1, "]"]}}
    await stream_venue.sockets[0].send(json.dumps([{**QUOTE, "S": "IBM"}, unknown, {**BAR, "T": "d"}, TRADE]))
    await reader.until(lambda: reader.ticks)
    assert [(kind, json.loads(body)) for kind, body in reader.messages] == [("zz", unknown)]
    stats = reader.client.stats()
    assert (stats["unmapped"], stats["other"], stats["parse_errors"]) == (2, 1, 0)


async def test_a_tick_that_cannot_be_read_comes_as_a_message(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    empty, odd = {**TRADE, "s": 0}, {**QUOTE, "t": "yesterday"}
    await stream_venue.sockets[0].send(json.dumps([empty, odd, QUOTE]))
    await reader.until(lambda: reader.ticks)
    assert [kind for kind, _ in reader.messages] == ["t", "q"]
    assert reader.client.stats()["parse_errors"] == 2


async def test_a_malformed_frame_says_that_something_is_missing_and_the_stream_goes_on(
    stream_venue: Any, open_stream: Any
) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    whole = json.dumps([QUOTE, QUOTE])
    for frame in (whole[:-30], "nonsense", b"\x92\x81", whole):
        await stream_venue.sockets[0].send(frame)
    await reader.until(lambda: len(reader.ticks) == 3)
    assert [state for state in reader.states if state[0] == "gapped"] == [("gapped", "*")] * 3
    assert reader.client.stats()["parse_errors"] == 3


async def test_a_symbol_the_plan_refuses_costs_no_other_its_subscription(stream_venue: Any, open_stream: Any) -> None:
    async def script(socket: Any) -> None:
        await socket.send('[{"T":"success","msg":"connected"}]')
        await stream_venue.receive(socket)
        await socket.send('[{"T":"success","msg":"authenticated"}]')
        have: list[str] = []
        while True:
            asked = (await stream_venue.receive(socket))["quotes"]
            if len(have) + len(asked) > 3:
                await socket.send('[{"T":"error","code":405,"msg":"symbol limit exceeded"}]')
            else:
                have += asked
                await socket.send(json.dumps([{"T": "subscription", "quotes": have}]))

    stream_venue.script = script
    reader = open_stream(prepare=lambda client: client.subscribe("quotes", list("ABCDE")))
    await reader.state("ready")
    assert len(reader.client.subscriptions()["quotes"]) == 3
    refused = [json.loads(body) for kind, body in reader.messages if kind == "error"]
    assert len(refused) == 2
    assert {error["code"] for error in refused} == {405}
    assert {error["symbol"] for error in refused} | set(reader.client.subscriptions()["quotes"]) == set("ABCDE")


async def test_conflation_keeps_the_newest_quotes_and_every_trade(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd, conflate_above=100)
    await reader.state("ready")
    reader.paused = True
    count = 5000
    for n in range(0, count, 50):
        frame = [{**QUOTE, "bp": k} if k % 10 else {**TRADE, "i": k} for k in range(n + 1, n + 51)]
        await stream_venue.sockets[0].send(json.dumps(frame))
    async with asyncio.timeout(10):
        while reader.client.stats()["messages"] < count + 3:
            await asyncio.sleep(0)
    reader.paused = False
    reader.drain()
    await reader.until(lambda: reader.client.stats()["backlog"] == 0)
    trades = [tick[7] for tick in reader.ticks if tick[0] == "trade"]
    assert trades == [f"id:{k}" for k in range(10, count + 1, 10)]
    quotes = [tick for tick in reader.ticks if tick[0] == "quote"]
    assert quotes[-1][2] == (count - 1) * UNIT
    stats = reader.client.stats()
    assert stats["conflated"] == stats["quotes"] - len(quotes) > 4000


async def test_beyond_the_second_bound_trades_are_dropped_and_the_symbol_is_gapped(
    stream_venue: Any, open_stream: Any
) -> None:
    reader = open_stream(prepare=amd, spill_above=10)
    await reader.state("ready")
    await stream_venue.sockets[0].send(json.dumps([TRADE] * 25))
    await reader.state("gapped")
    assert ("gapped", "AMD") in reader.states
    assert len(reader.ticks) == 10
    assert (reader.client.stats()["dropped"], reader.client.stats()["gaps"]) == (15, 1)


async def test_a_drain_is_bounded_and_the_rest_comes_next(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd, limit=7)
    await reader.state("ready")
    await stream_venue.sockets[0].send(json.dumps([QUOTE] * 100))
    await reader.until(lambda: len(reader.ticks) == 100)


async def test_an_exception_from_the_sink_loses_one_item_only(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    reader.paused = True
    await stream_venue.sockets[0].send(json.dumps([{**QUOTE, "bp": n} for n in range(1, 5)]))
    async with asyncio.timeout(10):
        while reader.client.stats()["backlog"] < 4:
            await asyncio.sleep(0)

    def sink(tick: Any) -> None:
        if tick[2] == 2 * UNIT:
            raise RuntimeError("strategy")
        reader.ticks.append(tick)

    keep = lambda *_: None  # noqa: E731
    with pytest.raises(RuntimeError, match="strategy"):
        reader.client.drain(sink, keep, keep)
    assert reader.client.drain(sink, keep, keep) == 2
    assert [tick[2] // UNIT for tick in reader.ticks] == [1, 3, 4]


async def test_a_drain_inside_a_callback_keeps_the_order(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    reader.paused = True
    await stream_venue.sockets[0].send(json.dumps([{**QUOTE, "bp": n} for n in range(1, 7)]))
    async with asyncio.timeout(10):
        while reader.client.stats()["backlog"] < 6:
            await asyncio.sleep(0)
    seen: list[int] = []
    keep = lambda *_: None  # noqa: E731

    def sink(tick: Any) -> None:
        seen.append(tick[2] // UNIT)
        if len(seen) == 2:
            reader.client.drain(sink, keep, keep, 3)

    assert reader.client.drain(sink, keep, keep) == 3
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_without_a_sink_ticks_are_passed_over(stream_venue: Any, open_stream: Any) -> None:
    reader = open_stream(prepare=amd)
    await reader.state("ready")
    reader.paused = True
    await stream_venue.sockets[0].send(json.dumps([QUOTE, {"T": "zz"}]))
    async with asyncio.timeout(10):
        while reader.client.stats()["backlog"] < 2:
            await asyncio.sleep(0)
    kinds: list[str] = []
    assert reader.client.drain(None, lambda kind, body: kinds.append(kind), lambda *_: None) == 2
    assert kinds == ["zz"]


def test_bad_settings_are_refused_without_showing_the_secret(keys: Any) -> None:
    for url, settings, message in [
        ("http://x", {"protocol": "market"}, "neither ws nor wss"),
        ("ws://", {"protocol": "market"}, "URL|host"),
        ("ws://x", {"protocol": "news"}, "protocol"),
        ("ws://x", {"protocol": "market", "codec": "xml"}, "codec"),
        ("ws://x", {"protocol": "market", "backoff_min_s": -1.0}, "backoff_min_s"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            AlpacaWebSocketClient(url, keys.key, keys.secret, **settings)  # type: ignore[arg-type]
        assert keys.secret not in str(caught.value)
    client = AlpacaWebSocketClient("ws://x", "k", "s", protocol="market")
    with pytest.raises(ValueError, match="channel"):
        client.map_bar("quotes", "A", "x", 2, 0, 0)
    with pytest.raises(ValueError, match="price_precision"):
        client.map_symbol("A", "x", 40, 0)
