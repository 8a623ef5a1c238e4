"""The HTTP client: what an outcome means, what is retried and what never, the quota, the pool."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner._engine import Accepted, AlpacaHttpClient, HttpError, Rejected, Unavailable, Unknown


async def test_a_read_carries_the_keys_and_gives_the_body(venue: Any, reply: Any, new_client: Any, keys: Any) -> None:
    venue.replies = [reply(body=b'{"cash": "1"}')]
    assert await new_client(venue.url).get("/v2/account", [("a", "b c"), ("d", "é")]) == b'{"cash": "1"}'
    (request,) = venue.requests
    assert (request.method, request.path, request.query) == ("GET", "/v2/account", "a=b+c&d=%C3%A9")
    assert request.headers["apca-api-key-id"] == keys.key
    assert request.headers["apca-api-secret-key"] == keys.secret


async def test_an_accepted_command_gives_the_reply(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(body=b'{"id":"x"}'), reply(body=b'{"id":"y"}'), reply(status=204, body=b"")]
    client = new_client(venue.url)
    posted = await client.post("/v2/orders", b'{"symbol":"IBM"}')
    assert isinstance(posted, Accepted)
    assert (posted.status, posted.body, posted.request_id) == (200, b'{"id":"x"}', "req-1")
    assert isinstance(await client.patch("/v2/orders/x", b"{}"), Accepted)
    deleted = await client.delete("/v2/orders/x")
    assert isinstance(deleted, Accepted)
    assert (deleted.status, deleted.body) == (204, b"")
    assert [request.method for request in venue.requests] == ["POST", "PATCH", "DELETE"]
    assert venue.requests[0].headers["content-type"] == "application/json"
    assert venue.connections == 1


async def test_a_refusal_carries_the_venues_code(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(status=403, body=b'{"code":40310000,"message":"insufficient buying power"}')]
    refused = await new_client(venue.url).post("/v2/orders", b"{}")
    assert isinstance(refused, Rejected)
    assert (refused.status, refused.code, refused.message) == (403, 40310000, "insufficient buying power")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 504])
async def test_a_busy_or_broken_venue_leaves_a_command_unknown_and_it_is_sent_once(
    venue: Any, reply: Any, new_client: Any, status: int
) -> None:
    venue.replies = [reply(status=status, body=b'{"message":"x"}')]
    unknown = await new_client(venue.url).post("/v2/orders", b"{}")
    assert isinstance(unknown, Unknown)
    assert (unknown.status, unknown.sent) == (status, True)
    assert len(venue.requests) == 1


@pytest.mark.parametrize(("cut", "body"), [(0, b"{}"), (20, b"{}"), (None, b'{"id":'), (None, b"")])
async def test_a_broken_reply_leaves_a_command_unknown_and_it_is_sent_once(
    venue: Any, reply: Any, new_client: Any, cut: int | None, body: bytes
) -> None:
    venue.handler = lambda request: reply(cut=cut, body=body)
    unknown = await new_client(venue.url).post("/v2/orders", b"{}")
    assert isinstance(unknown, Unknown)
    assert unknown.sent
    assert len(venue.requests) == 1


async def test_a_slow_reply_leaves_a_command_unknown(venue: Any, reply: Any, new_client: Any) -> None:
    hold = asyncio.Event()
    venue.handler = lambda request: reply(hold=hold)
    unknown = await new_client(venue.url, timeout_s=0.1).post("/v2/orders", b"{}")
    hold.set()
    assert isinstance(unknown, Unknown)
    assert unknown.reason.startswith("timeout")
    assert (unknown.status, unknown.sent) == (None, True)


async def test_without_a_connection_nothing_was_sent(venue: Any, new_client: Any) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    unknown = await new_client(url).post("/v2/orders", b"{}")
    assert isinstance(unknown, Unknown)
    assert not unknown.sent


async def test_a_connection_the_venue_closed_while_idle_does_not_send_a_command_twice(
    venue: Any, reply: Any, new_client: Any
) -> None:
    venue.handler = lambda request: reply(close=True)
    client = new_client(venue.url)
    for count in range(1, 6):
        outcome = await client.post("/v2/orders", b"{}")
        # Either the close was seen before, and a fresh connection was taken, or it is unknown: never twice.
        assert isinstance(outcome, Accepted | Unknown)
        assert len(venue.requests) <= count
        if isinstance(outcome, Accepted):
            assert outcome.body == b"{}"


async def test_reads_are_retried_until_there_is_an_answer(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(status=500), reply(cut=0), reply(body=b"<html>"), reply(body=b"[1]")]
    client = new_client(venue.url)
    assert await client.get("/v2/positions") == b"[1]"
    assert client.stats()["retries"] == 3


async def test_a_read_without_an_answer_is_unavailable(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply(status=503, body=b'{"message":"busy"}')
    with pytest.raises(Unavailable) as caught:
        await new_client(venue.url, read_retries=2).get("/v2/clock")
    assert caught.value.reason == "GET /v2/clock: HTTP 503: busy (3 tries)"
    assert len(venue.requests) == 3


async def test_a_refused_read_raises_at_once(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(status=404, body=b'{"code":40410000,"message":"order not found"}')]
    with pytest.raises(HttpError) as caught:
        await new_client(venue.url).get("/v2/orders/x")
    error = caught.value
    assert (error.status, error.code, error.message, error.request_id) == (404, 40410000, "order not found", "req-1")
    assert str(error) == "HTTP 404 (40410000): order not found"


async def test_an_event_before_the_reply_is_no_obstacle_to_others(venue: Any, reply: Any, new_client: Any) -> None:
    hold = asyncio.Event()
    venue.handler = lambda request: reply(hold=hold if request.path == "/slow" else None, body=b"{}")
    client = new_client(venue.url)
    slow = client.get("/slow")
    await venue.wait_for(1)
    assert await client.get("/fast") == b"{}"
    assert not slow.done()
    assert client.stats()["in_flight"] == 1
    hold.set()
    assert await slow == b"{}"


async def test_the_venues_headers_narrow_the_quota(venue: Any, reply: Any, new_client: Any) -> None:
    reset = str(int(time.time()) + 60)
    headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": reset}
    venue.handler = lambda request: reply(headers=headers)
    client = new_client(venue.url)
    await client.get("/v2/clock")
    stats = client.stats()
    assert (stats["rate_limit"], stats["rate_remaining"]) == (50, 7)


async def test_reads_leave_the_reserve_to_commands(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply()
    client = new_client(venue.url, trading_per_min=10, reserve=0.5)
    reads = [client.get("/v2/clock") for _ in range(8)]
    await asyncio.gather(*reads[:5])
    commands = [client.post("/v2/orders", b"{}") for _ in range(4)]
    assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*commands))
    assert not any(read.done() for read in reads[5:])


async def test_a_command_that_gets_no_quota_in_time_was_not_sent(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply()
    client = new_client(venue.url, trading_per_min=1, timeout_s=0.2)
    assert isinstance(await client.post("/v2/orders", b"{}"), Accepted)
    unknown = await client.post("/v2/orders", b"{}")
    assert isinstance(unknown, Unknown)
    assert not unknown.sent
    assert len(venue.requests) == 1


async def test_a_serial_client_sends_one_at_a_time_in_order(venue: Any, reply: Any, new_client: Any) -> None:
    busy = 0

    def handler(request: Any) -> Any:
        nonlocal busy
        busy = max(busy, client.stats()["in_flight"])
        return reply()

    venue.handler = handler
    client = new_client(venue.url, serial=True)
    await asyncio.gather(*(client.post("/v2/orders", str(n).encode()) for n in range(20)))
    assert [int(request.body) for request in venue.requests] == list(range(20))
    assert busy == 1


async def test_a_future_that_nobody_waits_for_is_passed_over(venue: Any, reply: Any, new_client: Any) -> None:
    hold = asyncio.Event()
    venue.handler = lambda request: reply(hold=hold)
    client = new_client(venue.url)
    cancelled = client.get("/v2/clock")
    await venue.wait_for(1)
    cancelled.cancel()
    hold.set()
    assert await client.get("/v2/clock") == b"{}"


async def test_closing_settles_what_is_in_flight(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply(hold=asyncio.Event())
    client = new_client(venue.url)
    read, command = client.get("/v2/clock"), client.post("/v2/orders", b"{}")
    await venue.wait_for(2)
    client.close()
    client.close()
    with pytest.raises(Unavailable, match="closed"):
        await read
    outcome = await command
    assert isinstance(outcome, Unknown)
    assert outcome.sent
    with pytest.raises(RuntimeError, match="closed"):
        client.get("/v2/clock")


async def test_unknown_is_not_said_of_commands_that_got_their_answer(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(), reply(status=500)]
    client = new_client(venue.url)
    await client.post("/v2/orders", b"{}")
    await client.post("/v2/orders", b"{}")
    stats = client.stats()
    assert (stats["requests"], stats["replies"], stats["unknown"], stats["in_flight"]) == (2, 2, 1, 0)
    assert stats["last_latency_ns"] > 0


def test_a_request_without_a_loop_says_what_to_do() -> None:
    client = AlpacaHttpClient("k", "s", trading_url="http://127.0.0.1:1", data_url="http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match=r"attach\(loop\)"):
        client.get("/v2/clock")


def test_bad_settings_are_refused_and_secrets_never_shown(keys: Any) -> None:
    for settings, message in [
        ({"trading_url": "nonsense"}, "not a URL"),
        ({"trading_url": "ftp://x"}, "neither http nor https"),
        ({"timeout_s": -1.0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
    ]:
        with pytest.raises(ValueError, match=message):
            AlpacaHttpClient(keys.key, keys.secret, **{"trading_url": "http://x", "data_url": "http://x", **settings})
    with pytest.raises(ValueError, match="characters") as caught:
        AlpacaHttpClient(keys.key, keys.secret + "\n", trading_url="http://x", data_url="http://x")
    assert keys.secret not in str(caught.value)
    assert keys.secret not in repr(AlpacaHttpClient(keys.key, keys.secret, trading_url="http://x", data_url="http://x"))


async def test_histories_follow_the_pages_to_the_end(venue: Any, reply: Any, new_client: Any, builders: Any) -> None:
    row = {"t": "2022-01-03T09:00:00.5-05:00", "bp": 177.92, "bs": 4, "ap": 178.805, "as": 5}
    pages = {
        "": {"quotes": {"AAPL": [row, row]}, "next_page_token": "p2"},
        "p2": {"quotes": {}, "next_page_token": "p3"},
        "p3": {"quotes": {"AAPL": [row]}, "next_page_token": None},
    }

    def handler(request: Any) -> Any:
        token = dict(part.split("=") for part in request.query.split("&")).get("page_token", "")
        return reply(body=json.dumps(pages[token]).encode())

    venue.handler = handler
    client = new_client(venue.url)
    quotes = await client.request_quotes("/v2/stocks/quotes", [("symbols", "AAPL")], "AAPL", "AAPL.X", 2, 0, builders)
    ts = 1_641_218_400_500_000_000
    unit = 10**16
    expected = ("quote", "AAPL.X", 17792 * unit // 100, 178805 * unit // 1000, 3, 3, 4 * unit, 5 * unit, 0, 0, ts, ts)
    assert quotes == [expected] * 3
    limited = await client.request_quotes(
        "/v2/stocks/quotes", [("symbols", "AAPL")], "AAPL", "AAPL.X", 2, 0, builders, limit=1
    )
    assert len(limited) == 1


async def test_a_history_is_oldest_first_also_when_the_newest_were_asked_for(
    venue: Any, reply: Any, new_client: Any, builders: Any
) -> None:
    rows = [{"t": f"2022-01-03T09:0{n}:00Z", "o": 1, "h": 2, "l": 0.5, "c": 1.25, "v": 10} for n in (2, 1, 0)]
    venue.handler = lambda request: reply(body=json.dumps({"bars": {"A": rows}, "next_page_token": None}).encode())
    bars = await new_client(venue.url).request_bars(
        "/v2/stocks/bars",
        [("symbols", "A"), ("sort", "desc")],
        "A",
        "A-1-MINUTE",
        2,
        0,
        60_000_000_000,
        builders,
        limit=2,
    )
    start = 1_641_200_400_000_000_000
    minute = 60_000_000_000
    assert [bar[9] for bar in bars] == [start + 2 * minute, start + 3 * minute]
    unit = 10**16
    assert bars[0][:8] == ("bar", "A-1-MINUTE", unit, 2 * unit, unit // 2, unit * 5 // 4, 2, 10 * unit)


async def test_trades_of_a_history_keep_their_id_and_side(
    venue: Any, reply: Any, new_client: Any, builders: Any
) -> None:
    rows = [{"t": "2022-01-03T09:00:00Z", "p": 29791, "s": 0.0016, "tks": "S", "i": 31455289}]
    venue.handler = lambda request: reply(body=json.dumps({"trades": {"BTC/USD": rows}}).encode())
    trades = await new_client(venue.url).request_trades("/x", [], "BTC/USD", "BTC/USD.X", 2, 4, builders)
    ts = 1_641_200_400_000_000_000
    assert trades == [("trade", "BTC/USD.X", 29791 * 10**16, 2, 16 * 10**12, 4, "seller", "id:31455289", ts, ts)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"quotes":{"A":[{"bp":1}]}}', "row 1 cannot be read"),
        (b'{"quotes":{"A":[]},"next_page_token":"again"}', "its next page is itself"),
    ],
)
async def test_a_history_that_cannot_be_read_whole_is_unavailable(
    venue: Any, reply: Any, new_client: Any, builders: Any, body: bytes, reason: str
) -> None:
    venue.handler = lambda request: reply(body=body)
    with pytest.raises(Unavailable, match=reason):
        await new_client(venue.url).request_quotes("/q", [], "A", "A.X", 2, 0, builders)


async def test_a_long_history_does_not_hold_up_the_loop(venue: Any, reply: Any, new_client: Any, builders: Any) -> None:
    rows = [{"t": "2022-01-03T09:00:00Z", "p": 1.5, "s": 1, "i": n} for n in range(1, 10_001)]
    venue.handler = lambda request: reply(body=json.dumps({"trades": {"A": rows}}).encode())
    client = new_client(venue.url)
    client.detach()
    client.attach(asyncio.get_running_loop())
    future = client.request_trades("/x", [], "A", "A.X", 2, 0, builders)
    asyncio.get_running_loop().remove_reader(client.fd)
    parts = 0
    async with asyncio.timeout(10):
        while not future.done():
            parts += bool(select.select([client.fd], [], [], 0)[0])
            client.dispatch()
            await asyncio.sleep(0)
    assert [trade[7] for trade in future.result()] == [f"id:{n}" for n in range(1, 10_001)]
    # The first may come between the look and the dispatch.
    assert parts in (2, 3)


async def test_commands_at_once_have_a_connection_each_and_it_is_used_again(
    venue: Any, reply: Any, new_client: Any
) -> None:
    hold = asyncio.Event()
    venue.handler = lambda request: reply(hold=hold)
    client = new_client(venue.url, pool_size=4)
    for round_ in (1, 2, 3):
        hold.clear()
        orders = [client.post("/v2/orders", b"%d" % n) for n in range(4)]
        await venue.wait_for(4 * round_)
        hold.set()
        assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*orders))
        assert venue.connections == 4
        assert sorted(int(request.body) for request in venue.requests[-4:]) == [0, 1, 2, 3]


async def test_no_more_connections_are_kept_than_the_pool_holds(venue: Any, reply: Any, new_client: Any) -> None:
    hold = asyncio.Event()
    venue.handler = lambda request: reply(hold=hold)
    client = new_client(venue.url, pool_size=1)
    orders = [client.post("/v2/orders", b"") for _ in range(3)]
    await venue.wait_for(3)
    hold.set()
    await asyncio.gather(*orders)
    for _ in range(3):
        assert isinstance(await client.post("/v2/orders", b""), Accepted)
    assert venue.connections == 3


@pytest.mark.parametrize("how", ["slow", "cut", "unreadable"])
async def test_a_command_that_leaves_by_an_open_connection_is_unknown_as_any_other(
    venue: Any, reply: Any, new_client: Any, how: str
) -> None:
    hold = asyncio.Event()
    bad = {"slow": reply(hold=hold), "cut": reply(cut=20), "unreadable": reply(body=b'{"id":')}[how]
    venue.replies = [reply(), bad, reply()]
    client = new_client(venue.url, timeout_s=0.2 if how == "slow" else 5.0)
    assert isinstance(await client.post("/v2/orders", b"1"), Accepted)
    unknown = await client.post("/v2/orders", b"2")
    assert isinstance(unknown, Unknown)
    assert unknown.sent
    assert (how == "slow") == unknown.reason.startswith("timeout")
    assert isinstance(await client.post("/v2/orders", b"3"), Accepted)
    hold.set()
    assert [request.body for request in venue.requests] == [b"1", b"2", b"3"]
    # What may still come by the connection of the second is no answer to the third.
    assert venue.connections == (1 if how == "unreadable" else 2)
    assert client.stats()["in_flight"] == 0


async def test_closing_settles_a_command_that_left_by_an_open_connection(
    venue: Any, reply: Any, new_client: Any
) -> None:
    venue.replies = [reply(), reply(hold=asyncio.Event())]
    client = new_client(venue.url)
    await client.post("/v2/orders", b"1")
    command = client.post("/v2/orders", b"2")
    await venue.wait_for(2)
    client.close()
    outcome = await command
    assert isinstance(outcome, Unknown)
    assert outcome.sent


async def test_a_url_with_a_path_and_a_query_are_kept(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply()
    client = new_client(f"{venue.url}/broker/")
    await client.post("/v2/orders", b"{}")
    await client.delete("/v2/positions/BTC%2FUSD", [("percentage", "12.5"), ("note", "a b")])
    first, second = venue.requests
    assert (first.path, first.query) == ("/broker/v2/orders", "")
    assert (second.path, second.query) == ("/broker/v2/positions/BTC%2FUSD", "percentage=12.5&note=a+b")
    assert first.headers["host"] == venue.url.removeprefix("http://")
    assert first.headers["content-length"] == "2"


CHILD = """
import asyncio, sys
from runner._engine import AlpacaHttpClient
async def main():
    client = AlpacaHttpClient("k", "s", trading_url=sys.argv[1], data_url=sys.argv[1])
    client.attach(asyncio.get_running_loop())
    for _ in range(3):
        print(type(await client.post("/v2/orders", b"{}")).__name__)
asyncio.run(main())
"""


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_a_certificate_must_be_trusted(venue: Any, reply: Any, tmp_path: Path, trusted: bool) -> None:
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl to make a certificate with")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    asked = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=DNS:localhost -addext"
    made = [openssl, *asked.split(), "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    venue.handler = lambda request: reply()
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    env = os.environ | ({"SSL_CERT_FILE": str(cert)} if trusted else {})
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    server.close()
    assert out.decode().split() == (["Accepted"] * 3 if trusted else ["Unknown"] * 3)
    assert (len(venue.requests), venue.connections) == ((3, 1) if trusted else (0, 0))


async def test_a_connection_stands_open_for_the_first_command(venue: Any, reply: Any, new_client: Any) -> None:
    venue.handler = lambda request: reply()
    client = new_client(venue.url)
    client.keep_open()
    client.keep_open()
    async with asyncio.timeout(10):
        while not venue.connections:
            await asyncio.sleep(0.001)
    async with asyncio.timeout(10):
        while not isinstance(await client.post("/v2/orders", b""), Accepted) or venue.requests[-1].connection != 1:
            pass
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.keep_open()
