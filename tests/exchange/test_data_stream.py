"""The data streams: hand-shake, subscriptions, codecs, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

type Config = Callable[..., Settings]
Client = Any


def error(code: int) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["T"] == "error" and message["code"] == code and bool(message["msg"])


def kinds(count: int, *wanted: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda messages: sum(m["T"] in wanted for m in messages) >= count


async def test_messages_need_authentication_first(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex") as ws:
        assert await ws.one() == {"T": "success", "msg": "connected"}
        await ws.say(action="subscribe", quotes=["IBM"])
        assert error(401)(await ws.one())
        await ws.say(action="auth", key="BADKEY", secret="x")
        assert await ws.one() == {"T": "error", "code": 402, "msg": "auth failed"}
        await ws.say(action="auth", key="PK", secret="x")
        assert await ws.one() == {"T": "success", "msg": "authenticated"}
        await ws.say(action="auth", key="PK", secret="x")
        assert error(403)(await ws.one())


async def test_headers_authenticate_too(settings: Config, client: Client, keys: dict[str, str]) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/sip", headers=keys) as ws:
        assert [await ws.one(), await ws.one()] == [
            {"T": "success", "msg": "connected"},
            {"T": "success", "msg": "authenticated"},
        ]


async def test_silence_before_authentication_ends_in_404(settings: Config, client: Client) -> None:
    config = settings(auth_timeout_s=0.05)
    async with ExchangeServer(config) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.one()
        assert await ws.one() == {"T": "error", "code": 404, "msg": "auth timeout"}
        with pytest.raises(ConnectionClosed):
            await ws.frame()


async def test_a_subscription_changes_by_deltas_and_is_acknowledged_whole(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        ex.pause()
        state = await ws.subscribe(trades=["IBM"], quotes=["BAC", "BAC"], bars=["*"])
        assert state == {
            "T": "subscription",
            "trades": ["IBM"],
            "quotes": ["BAC"],
            "bars": ["*"],
            "updatedBars": [],
            "dailyBars": [],
            "statuses": [],
            "lulds": [],
            "corrections": ["IBM"],
            "cancelErrors": ["IBM"],
        }
        state = await ws.subscribe(trades=["BAC"])
        assert (state["trades"], state["quotes"]) == (["BAC", "IBM"], ["BAC"])
        await ws.say(action="unsubscribe", trades=["IBM"], bars=["*"])
        state = await ws.one()
        assert (state["trades"], state["bars"], state["cancelErrors"]) == (["BAC"], [], ["BAC"])


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{", 400),
        ("[]", 400),
        ('{"action":"dance"}', 400),
        ('{"action":"subscribe"}', 400),
        ('{"action":"subscribe","quotes":[]}', 400),
        ('{"action":"subscribe","quotes":"IBM"}', 400),
        ('{"action":"subscribe","quotes":[1]}', 400),
        ('{"action":"subscribe","corrections":["IBM"]}', 400),
        ('{"action":"subscribe","lulds":["IBM"]}', 410),
        ('{"action":"subscribe","orderbooks":["IBM"]}', 410),
    ],
)
async def test_nonsense_is_refused_and_the_socket_lives(settings: Config, client: Client, said: str, code: int) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        ex.pause()
        await ws.ws.send(said)
        assert error(code)(await ws.one())
        assert (await ws.subscribe(quotes=["IBM"]))["quotes"] == ["IBM"]


async def test_one_connection_for_each_endpoint_and_key(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex:
        async with client(ex.ws_url + "/v2/iex") as first, client(ex.ws_url + "/v2/iex") as second:
            await first.login()
            await second.one()
            await second.say(action="auth", key="PKTEST", secret="x")
            assert await second.one() == {"T": "error", "code": 406, "msg": "connection limit exceeded"}
            await second.say(action="auth", key="PKOTHER", secret="x")
            assert (await second.one())["msg"] == "authenticated"
            async with client(ex.ws_url + "/v2/sip") as elsewhere:
                await elsewhere.login()
        async with client(ex.ws_url + "/v2/iex") as later:
            await later.login()


async def test_a_closed_connection_keeps_its_slot_until_it_is_reaped(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings(reap_delay_s=60)) as ex:
        async with client(ex.ws_url + "/v2/iex") as first:
            await first.login()
        async with client(ex.ws_url + "/v2/iex") as second:
            await second.one()
            await second.say(action="auth", key="PKTEST", secret="x")
            assert error(406)(await second.one())


async def test_the_basic_plan_has_thirty_symbols_of_iex(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings(plan="basic")) as ex:
        async with client(ex.ws_url + "/v2/sip") as ws:
            await ws.one()
            await ws.say(action="auth", key="PK", secret="x")
            assert error(409)(await ws.one())
        async with client(ex.ws_url + "/v2/iex") as ws:
            await ws.login()
            ex.pause()
            names = [f"A{n}" for n in range(30)]
            await ws.subscribe(trades=names[:15], quotes=names[15:], bars=["IBM"])
            await ws.say(action="subscribe", trades=["IBM"], bars=["BAC"])
            assert error(405)(await ws.one())
            state = await ws.subscribe(bars=["GOOG"])
            assert (len(state["trades"]), state["bars"]) == (15, ["GOOG", "IBM"])


@pytest.mark.parametrize("packed", [False, True])
async def test_only_what_was_asked_for_comes_and_all_of_it(settings: Config, client: Client, packed: bool) -> None:
    config = settings()
    async with ExchangeServer(config) as ex, client(ex.ws_url + "/v2/iex", packed=packed) as ws:
        await ws.login()
        await ws.subscribe(trades=["IBM"], bars=["*"])
        await asyncio.wait_for(ex.ended(), 10)
        total = ex.parts.hub.messages_sent
        messages = await ws.until(lambda got: len(got) >= total)
        assert {(m["T"], m["S"]) for m in messages} == {("t", "IBM"), ("b", "IBM"), ("b", "BAC")}
        assert len(messages) == total
        if packed:
            assert all(isinstance(m["t"], msgpack.Timestamp) for m in messages)


async def test_both_codecs_say_the_same(settings: Config, client: Client) -> None:
    async with (
        ExchangeServer(settings()) as ex,
        client(ex.ws_url + "/v2/iex") as plain,
        client(ex.ws_url + "/v2/sip", packed=True) as packed,
    ):
        await plain.login()
        await packed.login()
        ex.pause()
        await plain.subscribe(quotes=["IBM"])
        await packed.subscribe(quotes=["IBM"])
        await ex.step_until(ex.parts.replay.player.info.end_ns)
        count = ex.parts.hub.messages_sent // 2
        one = await plain.until(lambda got: len(got) >= count)
        two = await packed.until(lambda got: len(got) >= count)
        for left, right in zip(one, two, strict=True):
            stamp = right.pop("t")
            whole, _, fraction = left.pop("t").rstrip("Z").partition(".")
            assert stamp.nanoseconds == int((fraction or "0").ljust(9, "0"))
            assert stamp.to_datetime().isoformat()[:19] == whole
            assert left == right


async def test_prices_keep_their_digits_on_the_wire(settings: Config, client: Client, write: Any, trade: Any) -> None:
    path = write("day.jsonl", trade("IBM", "13:30:00Z", "180.0850"), trade("IBM", "13:30:01Z", "181.10"))
    async with ExchangeServer(settings(replay=(path,))) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        ex.pause()
        await ws.subscribe(trades=["IBM"])
        await ex.step_until(1 << 62)
        assert '"p":180.0850,' in await ws.ws.recv()


async def test_a_fragmented_client_message_is_put_together(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex", packed=True) as ws:
        await ws.login()
        ex.pause()
        names = [f"SYM{n}" for n in range(9_000)]
        data = msgpack.packb({"action": "subscribe", "bars": names})
        await ws.ws.send(data[at : at + 32_768] for at in range(0, len(data), 32_768))
        assert len((await ws.one())["bars"]) == 9_000


async def test_at_full_speed_a_slow_client_holds_the_replay_up(settings: Config, client: Client) -> None:
    config = settings(activity=0.5, backlog_messages=1_000, slow_client_messages=5_000)
    async with ExchangeServer(config) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        await ws.subscribe(trades=["*"], quotes=["*"])
        total = sum(message.kind in "tq" for message in ex.parts.replay.player.source.messages())
        messages = await ws.until(lambda got: len(got) >= total)
        assert len(messages) == total


async def test_the_delayed_feed_is_a_quarter_of_an_hour_behind(
    settings: Config, client: Client, write: Any, quote: Any
) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("IBM", "13:44:00Z"), quote("IBM", "13:45:00Z"))
    async with ExchangeServer(settings(replay=(path,))) as ex, client(ex.ws_url + "/v2/delayed_sip") as ws:
        await ws.login()
        ex.pause()
        await ws.subscribe(quotes=["IBM"])
        await ex.step_until(1 << 62)
        (message,) = await ws.frame()
        assert message["t"] == "2013-10-07T13:30:00Z"


async def test_the_test_feed_has_fakepaca_whatever_is_replayed(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings(test_interval_s=0.001)) as ex, client(ex.ws_url + "/v2/test") as ws:
        await ws.login()
        await ws.subscribe(quotes=["FAKEPACA"], trades=["*"])
        messages = await ws.until(kinds(3, "t"))
        assert {m["S"] for m in messages} == {"FAKEPACA"}
        assert not ex.parts.replay.started
        assert ex.parts.hub.messages_sent == 0


async def test_cut_sockets_are_gone_without_a_goodbye(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        ex.cut_sockets("trading")
        assert (await ws.subscribe(quotes=["XYZ"]))["quotes"] == ["XYZ"]
        ex.cut_sockets("data")
        with pytest.raises(ConnectionClosed) as closed:
            await ws.frame()
        assert closed.value.rcvd is None
        async with client(ex.ws_url + "/v2/iex") as again:
            await again.login()


async def test_a_muted_stream_stays_open_and_says_nothing(settings: Config, client: Client) -> None:
    async with ExchangeServer(settings()) as ex, client(ex.ws_url + "/v2/iex") as ws:
        await ws.login()
        ex.pause()
        await ws.subscribe(quotes=["*"])
        ex.parts.faults.arm({"mute": "data"})
        info = ex.parts.replay.player.info
        await ex.step_until((info.start_ns + info.end_ns) // 2)
        assert ex.parts.hub.messages_sent == 0
        ex.parts.faults.arm({"mute": None})
        await ex.step_until(info.end_ns)
        assert (await ws.frame())[0]["T"] == "q"
