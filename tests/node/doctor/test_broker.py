"""What the doctor finds at the broker: the simulated one, with its faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from runner.config.load import load
from runner.config.models import RunnerConfig
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.node.doctor.broker import Broker
from runner.node.doctor.row import Row

SECRET = "s3cret-s3cret-s3cret-s3cret"
FILE = """
name: n-1
environment: paper
feeds:
  stocks: {{market: stocks, feed: {feed}, stream_url: "{ws}"}}
  options: {{market: options, feed: {options}, stream_url: "{ws}"}}
accounts:
  main: {{broker: alpaca, url: "{url}", key: {{env: D_KEY}}, secret: {{env: D_SECRET}}}}
strategies:
  s: {{class: "m:C", account: main, feed: options}}
"""


class Place:
    """The exchange, and how the doctor is sent to it."""

    def __init__(self, exchange: ExchangeServer, folder: Path) -> None:
        self.exchange = exchange
        self._file = folder / "n.yaml"

    @property
    def now(self) -> float:
        return self.exchange.parts.market.now_ns / 1e9

    def config(self, *, key: str = "PKDOCTOR", feed: str = "iex", options: str = "indicative") -> RunnerConfig:
        url, ws = self.exchange.url, self.exchange.ws_url
        self._file.write_text(FILE.format(url=url, ws=ws, feed=feed, options=options))
        return load([self._file], environ={"D_KEY": key, "D_SECRET": SECRET}).config

    async def rows(self, *, symbols: int = 2, **more: Any) -> list[Row]:
        """All rows; the secret is in none of them."""
        offset = more.pop("offset", 0.0)
        streams = more.pop("streams", True)
        broker = Broker(self.config(**more), timeout_s=2.0, now=lambda: self.now + offset)
        found = await asyncio.to_thread(lambda: list(broker.rows(symbols=symbols, streams=streams)))
        assert SECRET not in repr(found)
        return found


def bad(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.check, row.state, row.message) for row in rows if row.state != "ok"]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts exchanges whose clock stands still."""
    servers: list[ExchangeServer] = []

    async def make(**more: Any) -> Place:
        server = ExchangeServer(Settings(symbols=("IBM",), activity=0.02, wait=True, **more))
        await server.__aenter__()
        servers.append(server)
        return Place(server, tmp_path)

    yield make
    for server in servers:
        await server.__aexit__(None, None, None)


async def test_a_fit_account_has_no_complaint(start: Callable[..., Any]) -> None:
    place = await start()
    rows = await place.rows()
    assert bad(rows) == []
    assert {"clock", "accounts.main", "feeds.stocks", "feeds.options"} == {row.check for row in rows}


@pytest.mark.parametrize(("offset", "state"), [(3.0, "warn"), (-3.0, "warn"), (60.0, "fail"), (-60.0, "fail")])
async def test_a_clock_that_is_off_is_told_with_its_direction(
    start: Callable[..., Any], offset: float, state: str
) -> None:
    ((check, found, message),) = bad(await (await start()).rows(offset=offset, streams=False))
    assert (check, found) == ("clock", state)
    assert ("ahead of" if offset > 0 else "behind") in message


async def test_wrong_keys_are_refused_everywhere(start: Callable[..., Any]) -> None:
    rows = bad(await (await start()).rows(key="BADKEY"))
    assert ("accounts.main", "fail", "127.0.0.1 refuses the keys (401)") in rows
    assert ("feeds.stocks", "fail", "the stream of stocks (iex): the keys are refused") in rows


async def test_without_a_network_each_address_is_told_once(start: Callable[..., Any]) -> None:
    place = await start()
    config = place.config()
    await place.exchange.__aexit__(None, None, None)
    rows = await asyncio.to_thread(lambda: list(Broker(config, timeout_s=2.0).rows(symbols=1)))
    assert [row.check for row in rows] == ["accounts.main", "feeds.stocks", "feeds.options"]
    assert all(row.state == "fail" and "Connection refused" in row.message and row.remedy for row in rows)


async def test_a_used_up_quota_is_a_warning(start: Callable[..., Any]) -> None:
    place = await start()
    place.exchange.parts.faults.arm({"next": [{"path": "/v2/account", "status": 429, "count": 9}]})
    rows = await place.rows(streams=False)
    assert ("accounts.main", "warn", "the broker's limit of requests is used up (429)") in bad(rows)


async def test_what_answers_like_another_server_is_told(start: Callable[..., Any]) -> None:
    place = await start()
    place.exchange.parts.faults.arm({"next": [{"path": "/v2/account", "status": 500}]})
    assert bad(await place.rows(streams=False))[0][2] == "127.0.0.1 answers 500, and not as Alpaca's account"


async def test_a_feed_beyond_the_plan_names_the_free_one(start: Callable[..., Any]) -> None:
    place = await start(plan="basic")
    rows = await place.rows(feed="sip", options="opra")
    assert bad(rows) == [
        ("feeds.stocks", "fail", "the stream of stocks (sip): the plan does not have this feed"),
        ("feeds.options", "fail", "the stream of options (opra): the plan does not have this feed"),
    ]
    assert "write `feed: iex`" in rows[-2].remedy


async def test_a_stream_in_use_is_a_warning_and_stays(start: Callable[..., Any]) -> None:
    place = await start()
    async with websockets.connect(f"{place.exchange.ws_url}/v2/iex") as socket:
        await socket.send(json.dumps({"action": "auth", "key": "PKDOCTOR", "secret": SECRET}))
        await socket.recv()
        assert json.loads(await socket.recv())[0]["msg"] == "authenticated"
        ((check, state, message),) = bad(await place.rows())
        assert (check, state) == ("feeds.stocks", "warn")
        assert "another program is connected" in message
        await socket.send(json.dumps({"action": "subscribe", "bars": ["IBM"]}))
        assert json.loads(await socket.recv())[0]["T"] == "subscription"


async def test_more_symbols_than_the_plan_streams_are_told(start: Callable[..., Any]) -> None:
    rows = bad(await (await start()).rows(symbols=31, streams=False))
    assert rows == [("feeds.stocks", "warn", "the strategies name 31 symbols, and iex streams quotes and trades of 30")]


async def test_too_low_a_level_of_options_is_told_where_the_file_trades_them(start: Callable[..., Any]) -> None:
    for level, state in ((0, "fail"), (2, "warn")):
        rows = bad(await (await start(options_level=level)).rows(streams=False))
        assert [row[:2] for row in rows] == [("accounts.main", state)], rows


def replying(config: RunnerConfig, **answers: Any) -> list[Row]:
    """What is made of a reply to `/v2/account`, by host."""

    def handle(request: httpx.Request) -> httpx.Response:
        body = answers.get(request.url.host.partition(".")[0].replace("-", "_"))
        if request.url.path != "/v2/account" or body is None:
            return httpx.Response(401, json={})
        return httpx.Response(200, json=body)

    return list(Broker(config, transport=httpx.MockTransport(handle)).rows(symbols=1, streams=False))


def alpaca(tmp_path: Path, environment: str) -> RunnerConfig:
    text = FILE.format(url="https://x", ws="wss://x", feed="iex", options="indicative")
    text = text.replace(' url: "https://x",', "").replace("paper", environment)
    (tmp_path / "n.yaml").write_text(text)
    return load([tmp_path / "n.yaml"], environ={"D_KEY": "CKDOCTOR", "D_SECRET": SECRET}).config


GOOD = {"id": "1", "status": "ACTIVE", "options_trading_level": 3}


@pytest.mark.parametrize(
    ("environment", "answers", "message"),
    [
        ("paper", {"api": GOOD}, "the keys are a live account's, and the file says `environment: paper`"),
        ("live", {"paper_api": GOOD}, "the keys are a paper account's, and the file says `environment: live`"),
        ("live", {}, "api.alpaca.markets refuses the keys (401)"),
        ("live", {"api": {**GOOD, "status": "ONBOARDING"}}, "the account's status is ONBOARDING, not ACTIVE"),
        ("live", {"api": {**GOOD, "trading_blocked": True}}, "the broker says trading_blocked: orders are refused"),
        ("paper", {"paper_api": {**GOOD, "pattern_day_trader": True}}, "flagged as a pattern day trader's"),
        ("paper", {"paper_api": {**GOOD, "shorting_enabled": False}}, "the account can't sell short"),
    ],
)
def test_what_is_wrong_with_an_account_is_told(
    tmp_path: Path, environment: str, answers: dict[str, Any], message: str
) -> None:
    (row,) = [row for row in replying(alpaca(tmp_path, environment), **answers) if row.state != "ok"]
    assert message in row.message
    assert row.remedy
