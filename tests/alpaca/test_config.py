"""Configuration: addresses, keys that never show, venue time."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from runner.alpaca import AlpacaDataClientConfig, AlpacaExecClientConfig, MissingKeysError
from runner.alpaca.config import AlpacaDataFeed, endpoints, resolve_keys
from runner.alpaca.shared import shared_http
from runner.alpaca.venue_clock import VenueClock

SECRET = "vERY-sECRET"
NANOS = 1_000_000_000


def test_paper_and_live_have_their_own_hosts() -> None:
    assert endpoints(AlpacaExecClientConfig()).orders_stream == "wss://paper-api.alpaca.markets/stream"
    assert endpoints(AlpacaExecClientConfig(paper=False)).trading == "https://api.alpaca.markets"
    assert (
        endpoints(AlpacaDataClientConfig()).market_stream(AlpacaDataFeed.IEX)
        == "wss://stream.data.alpaca.markets/v2/iex"
    )


def test_an_override_moves_the_streams_too() -> None:
    urls = endpoints(AlpacaDataClientConfig(trading_url="http://127.0.0.1:1/", data_url="http://127.0.0.1:1"))
    assert urls.orders_stream == "ws://127.0.0.1:1/stream"
    assert urls.market_stream(AlpacaDataFeed.SIP) == "ws://127.0.0.1:1/v2/sip"
    assert urls.market_stream(AlpacaDataFeed.US) == "ws://127.0.0.1:1/v1beta3/crypto/us"
    assert urls.market_stream(AlpacaDataFeed.OPRA) == "ws://127.0.0.1:1/v1beta1/opra"


def test_missing_keys_are_named_and_only_the_missing_ones() -> None:
    with pytest.raises(MissingKeysError, match="ALPACA_API_SECRET") as raised:
        resolve_keys(AlpacaDataClientConfig(api_key="PK"), {})
    assert "ALPACA_API_KEY" not in str(raised.value)
    assert resolve_keys(AlpacaDataClientConfig(), {"ALPACA_API_KEY": "a", "ALPACA_API_SECRET": "b"}).key == "a"


@pytest.mark.parametrize("kind", [AlpacaDataClientConfig, AlpacaExecClientConfig])
def test_a_secret_shows_nowhere(kind: type) -> None:
    config = kind(api_key="PK1", api_secret=SECRET)
    loop = asyncio.new_event_loop()
    try:
        shared = shared_http(loop, config)
        shown = [repr(config), str(config), f"{config}", repr(shared), repr(shared.keys), repr(shared.client)]
        try:
            raise ValueError(config, shared.keys, shared)
        except ValueError:
            shown.append(traceback.format_exc())
        assert not any(SECRET in text for text in shown)
        assert shared_http(loop, config) is shared
        shared.client.close()
    finally:
        loop.close()


def test_live_venue_time_is_the_local_clock_corrected() -> None:
    clock = VenueClock(lambda: 1000 * NANOS)
    clock.set_from_clock(1002 * NANOS)
    clock.observe(500 * NANOS)
    assert (clock.is_replay, clock.now_ns(), clock.offset_ns) == (False, 1002 * NANOS, 2 * NANOS)
    assert clock.to_venue_ns(900 * NANOS) == 900 * NANOS


def test_in_a_replay_venue_time_is_the_newest_stamp_and_windows_move_with_it() -> None:
    now = 10_000_000 * NANOS
    clock = VenueClock(lambda: now)
    clock.set_from_clock(1000 * NANOS)
    clock.observe(1500 * NANOS)
    clock.observe(1400 * NANOS)
    assert (clock.is_replay, clock.now_ns()) == (True, 1500 * NANOS)
    assert clock.to_venue_ns(now - 60 * NANOS) == 1440 * NANOS
    assert clock.to_venue_ns(200 * NANOS) == 200 * NANOS


@pytest.mark.parametrize(
    ("asked", "answered", "says", "offset"),
    [
        (1000, 1003, 1000, 0),  # three seconds on its way back: the local clock may well be right
        (1000, 1003, 1003, 0),
        (1000, 1002, 999, -2),  # the local clock is ahead by 1 to 3
        (1000, 1002, 1005, 4),
        (1003, 1000, 1001, 1),  # the local clock was put right in between
    ],
)
async def test_an_answer_that_takes_long_does_not_make_venue_time_late(asked, answered, says, offset):
    local = [asked * NANOS, answered * NANOS]
    clock = VenueClock(lambda: local[0])

    async def clock_ns() -> int:
        local.pop(0)
        return int(says * NANOS)

    assert await clock.ask(clock_ns) == says * NANOS
    assert clock.offset_ns == offset * NANOS
