"""A command is sent at most once, whatever happens to connections, quota and client."""

from __future__ import annotations

import asyncio
from typing import Any

from runner._engine import Accepted, Unknown


async def test_a_command_lost_on_a_reused_connection_is_not_sent_again(venue: Any, reply: Any, new_client: Any) -> None:
    """Reading a request and closing is what a client's pool might take for a stale connection."""
    venue.replies = [reply(), reply(cut=0), reply(), reply(cut=20), reply()]
    client = new_client(venue.url)
    outcomes = [await client.post("/v2/orders", b'{"n":%d}' % n) for n in range(5)]
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Accepted, Unknown, Accepted]
    assert outcomes[1].sent
    assert outcomes[3].sent
    assert [request.body for request in venue.requests] == [b'{"n":%d}' % n for n in range(5)]
    # The lost ones were on connections that had served before.
    assert [request.connection for request in venue.requests] == [1, 1, 2, 2, 3]


async def test_commands_at_once_on_connections_that_die_are_sent_once_each(
    venue: Any, reply: Any, new_client: Any
) -> None:
    client = new_client(venue.url, pool_size=4)
    for lost in (False, True, False, True):
        venue.requests.clear()
        venue.handler = lambda _request, lost=lost: reply(cut=0) if lost else reply()
        outcomes = await asyncio.gather(*(client.post("/v2/orders", b'{"n":%d}' % n) for n in range(20)))
        assert {type(outcome) for outcome in outcomes} == {Unknown if lost else Accepted}
        assert sorted(request.body for request in venue.requests) == sorted(b'{"n":%d}' % n for n in range(20))


async def test_what_waits_for_quota_does_not_leave_after_the_client_is_closed(
    venue: Any, reply: Any, new_client: Any
) -> None:
    busy = reply(status=429, headers={"Retry-After": "1"})
    venue.replies = [busy, busy, reply(), reply()]
    client, witness = new_client(venue.url), new_client(venue.url)
    await client.post("/v2/orders", b"{}")
    waiting = client.post("/v2/orders", b'{"late":1}')
    client.close()
    assert isinstance(await waiting, Unknown)
    # The same pause passes for another client, whose next command leaves after it.
    await witness.post("/v2/orders", b"{}")
    assert isinstance(await witness.post("/v2/orders", b"{}"), Accepted)
    assert [request.body for request in venue.requests] == [b"{}"] * 3


async def test_a_redirected_command_is_not_followed(venue: Any, reply: Any, new_client: Any) -> None:
    venue.replies = [reply(status=307, headers={"Location": f"{venue.url}/elsewhere"}), reply()]
    outcome = await new_client(venue.url).post("/v2/orders", b"{}")
    assert isinstance(outcome, Unknown)
    assert (len(venue.requests), outcome.status) == (1, 307)
