"""What the broker says: clock, keys, account, data plan, streams. It is only asked; nothing is changed there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgpack
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from runner import http
from runner.config.hosts import (
    LIVE_HOST,
    LIVE_TRADING_URL,
    PAPER_HOST,
    PAPER_TRADING_URL,
    STREAM_URL,
    as_ws,
    market_stream,
    orders_stream,
)
from runner.config.models import PLANS, RunnerConfig, SecretRef
from runner.config.secrets import redact
from runner.node.doctor.row import Row, fail, ok, warn

#: A clock that is further off makes quotes look old (or new), and windows of requests wrong.
SKEWED_S, WRONG_S = 0.5, 5.0
#: A Date has whole seconds, and servers make it once a second.
_DATE_S = 1.5
_KEY, _SECRET = "APCA-API-KEY-ID", "APCA-API-SECRET-KEY"
_BLOCKS = ("account_blocked", "trading_blocked", "trade_suspended_by_user")
_STREAM_ERRORS = {
    402: ("the keys are refused", "see the account's row"),
    406: (
        "another program is connected with these keys, and the plan allows one connection",
        "end that one; a connection that was just closed is free again after some seconds",
    ),
    409: (
        "the plan does not have this feed",
        "take the free feed of the market, or subscribe to the plan at the broker",
    ),
    411: ("the keys may not read market data", "make keys with that scope"),
}


@dataclass
class Broker:
    """Asks for one file. `now` is UNIX time in seconds; `transport` is for tests."""

    config: RunnerConfig
    timeout_s: float = 10.0
    now: Callable[[], float] = time.time
    transport: httpx.BaseTransport | None = None
    ids: dict[str, str] = field(default_factory=dict)
    """The broker's own id of each account that answered."""

    def rows(self, *, symbols: int, streams: bool = True) -> Iterator[Row]:
        """Everything, accounts first. `symbols`: how many the strategies name."""
        clocked = False
        for name in self.config.accounts:
            with self._client(name) as client:
                if not clocked:
                    yield from self._clock(client)
                    clocked = True
                yield from self._account(name, client)
            if streams and name in self.ids:
                yield self._orders_stream(name)
        yield from self._twins()
        for name in self.config.feeds:
            yield from self._symbols(name, symbols)
            if streams:
                yield self._market_stream(name)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _trading_url(self, account: str) -> str:
        paper = self.config.environment != "live"
        return str(self.config.accounts[account].url or (PAPER_TRADING_URL if paper else LIVE_TRADING_URL)).rstrip("/")

    def _client(self, account: str, base: str | None = None) -> httpx.Client:
        keys = self.config.accounts[account]
        headers = {_KEY: keys.key.value.get_secret_value(), _SECRET: keys.secret.value.get_secret_value()}
        return http.client(
            self.timeout_s,
            base_url=base or self._trading_url(account),
            headers=headers,
            follow_redirects=False,
            transport=self.transport,
        )

    def _clock(self, client: httpx.Client) -> Iterator[Row]:
        """`/v2/clock`, or the reply's own Date where the keys are refused."""
        try:
            before = self.now()
            reply = client.get("/v2/clock")
            after = self.now()
        except httpx.HTTPError:
            return  # the account's row says so
        if reply.status_code == httpx.codes.OK:
            with suppress(ValueError, KeyError, TypeError):
                yield _skew(datetime.fromisoformat(str(reply.json()["timestamp"])).timestamp(), before, after, 0.0)
                return
        with suppress(ValueError, KeyError, TypeError):
            yield _skew(parsedate_to_datetime(reply.headers["date"]).timestamp() + 0.5, before, after, _DATE_S)

    def _account(self, name: str, client: httpx.Client) -> Iterator[Row]:
        check = f"accounts.{name}"
        try:
            reply = client.get("/v2/account")
        except httpx.TimeoutException:
            yield fail(check, f"{client.base_url.host} does not answer within {self.timeout_s:g} s", _NETWORK)
            return
        except httpx.HTTPError as error:
            yield fail(check, f"{client.base_url.host} can't be reached: {_what(error)}", _NETWORK)
            return
        status = reply.status_code
        if status in (401, 403):
            yield self._refused(name, check, status)
            return
        if status == httpx.codes.TOO_MANY_REQUESTS:
            message = "the broker's limit of requests is used up (429)"
            yield warn(check, message, "another program uses the same keys: end it, or wait a minute; then ask again")
            return
        try:
            body = reply.json() if status == httpx.codes.OK else None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            remedy = "see the broker's status page, ask again later; is accounts.NAME.url the trading API's?"
            yield fail(check, f"{client.base_url.host} answers {status}, and not as Alpaca's account", remedy)
            return
        if isinstance(body.get("id"), str):
            self.ids[name] = body["id"]
        yield from self._status(check, name, body)

    def _refused(self, name: str, check: str, status: int) -> Row:
        """Wrong keys, or right ones at the wrong host: the other host knows."""
        base = self._trading_url(name)
        other = {PAPER_TRADING_URL: LIVE_TRADING_URL, LIVE_TRADING_URL: PAPER_TRADING_URL}.get(base)
        remedy = "copy key and secret anew, both of the same pair; keys that were made anew end the old ones"
        if other is not None:
            with suppress(httpx.HTTPError), self._client(name, other) as client:
                if client.get("/v2/account").status_code == httpx.codes.OK:
                    kinds = {PAPER_HOST: "paper", LIVE_HOST: "live"}
                    theirs, ours = kinds[httpx.URL(other).host], kinds[httpx.URL(base).host]
                    message = f"the keys are a {theirs} account's, and the file says `environment: {ours}`"
                    return fail(check, message, f"use the {ours} account's keys, or write environment: {theirs}")
        return fail(check, f"{httpx.URL(base).host} refuses the keys ({status})", remedy)

    def _status(self, check: str, name: str, body: dict[str, Any]) -> Iterator[Row]:
        good = True
        status = str(body.get("status"))
        if status != "ACTIVE":
            good = False
            yield fail(check, f"the account's status is {status}, not ACTIVE", "see the broker's dashboard")
        for flag in _BLOCKS:
            if body.get(flag) is True:
                good = False
                yield fail(check, f"the broker says {flag}: orders are refused", "see the broker's dashboard")
        if body.get("transfers_blocked") is True:
            yield warn(check, "the broker says transfers_blocked", "see the broker's dashboard")
        if body.get("pattern_day_trader") is True:
            remedy = "with less than 25,000 USD of equity day trades are refused: see max_orders, and the broker's page"
            yield warn(check, "the account is flagged as a pattern day trader's", remedy)
        if body.get("shorting_enabled") is False:
            yield warn(
                check, "the account can't sell short", "strategies that do are refused; 2,000 USD of equity allow it"
            )
        yield from self._markets(check, name, body)
        if good:
            yield ok(check, f"{httpx.URL(self._trading_url(name)).host} takes the keys, the account is ACTIVE")

    def _markets(self, check: str, name: str, body: dict[str, Any]) -> Iterator[Row]:
        """What the strategies of this account need beyond stocks."""
        feeds = {each.feed for each in self.config.strategies.values() if each.account == name}
        markets = {self.config.feeds[each].market for each in feeds if each in self.config.feeds}
        if "crypto" in markets and (status := str(body.get("crypto_status", "ACTIVE"))) != "ACTIVE":
            yield fail(check, f"crypto is {status} on this account", "accept the crypto agreement at the broker")
        level = body.get("options_trading_level")
        if "options" in markets and isinstance(level, int):
            said = f"options level {level} of 3"
            if level == 0:
                yield fail(check, f"{said}: no option can be traded", "ask the broker for a higher level")
            elif level < 3:
                missing = "spreads are refused" if level == 2 else "only covered calls and cash-secured puts are taken"
                yield warn(check, f"{said}: {missing}", "ask the broker for a higher level")
            else:
                yield ok(check, said)

    def _twins(self) -> Iterator[Row]:
        seen: dict[str, str] = {}
        for name, broker_id in self.ids.items():
            other = seen.setdefault(broker_id, name)
            if other != name:
                message = f"accounts.{other} and accounts.{name} are one account, opened by two keys"
                yield fail(
                    f"accounts.{name}", message, "remove one of them: each would take the other's orders for strangers'"
                )

    # -- streams ------------------------------------------------------------------------------------------------------

    def _orders_stream(self, name: str) -> Row:
        check = f"accounts.{name}"
        keys = self.config.accounts[name]
        auth = _auth(keys.key, keys.secret)
        try:
            with self._connect(orders_stream(self._trading_url(name))) as socket:
                socket.send(json.dumps(auth))
                said = json.loads(socket.recv(self.timeout_s))
                if said.get("data", {}).get("status") == "authorized":
                    return ok(check, "the stream of trade updates takes the keys")
                return fail(check, "the stream of trade updates refuses the keys", "copy key and secret anew")
        except (OSError, WebSocketException, ValueError, AttributeError) as error:
            return _no_stream(check, "the stream of trade updates", error)

    def _market_stream(self, name: str) -> Row:
        check, feed = f"feeds.{name}", self.config.feeds[name]
        key, secret = self.config.feed_credentials(name)
        base = feed.stream_url or (as_ws(feed.data_url) if feed.data_url else STREAM_URL)
        packed = feed.market == "options"
        auth = _auth(key, secret)
        what = f"the stream of {feed.market} ({feed.feed})"
        try:
            headers = {"Content-Type": "application/msgpack"} if packed else {}
            with self._connect(market_stream(base, feed.market, feed.feed), headers) as socket:
                _said(socket.recv(self.timeout_s), packed)
                socket.send(msgpack.packb(auth) if packed else json.dumps(auth))
                said = _said(socket.recv(self.timeout_s), packed)
        except (OSError, WebSocketException, ValueError) as error:
            return _no_stream(check, what, error)
        if said.get("T") == "success":
            return ok(check, f"{what} takes the keys")
        code = said.get("code")
        message, remedy = _STREAM_ERRORS.get(code or 0, (f"it says {code}", "see the broker's status page"))
        if code == 409:
            free = {"sip": "iex", "delayed_sip": "iex", "opra": "indicative"}.get(feed.feed)
            remedy = f"write `feed: {free}`, which is free, or subscribe to the plan at the broker" if free else remedy
        return (warn if code == 406 else fail)(check, f"{what}: {message}", remedy)

    def _connect(self, url: str, headers: dict[str, str] | None = None) -> Any:
        return connect(
            url, additional_headers=headers, open_timeout=self.timeout_s, close_timeout=2.0, max_size=1 << 20
        )

    def _symbols(self, name: str, symbols: int) -> Iterator[Row]:
        feed = self.config.feeds[name]
        limit = feed.max_symbols if feed.max_symbols is not None else PLANS.get(feed.feed, 0)
        if limit and symbols > limit:
            message = f"the strategies name {symbols} symbols, and {feed.feed} streams quotes and trades of {limit}"
            yield warn(f"feeds.{name}", message, "bars are not counted; name fewer, or take a plan that has more")


_NETWORK = "see whether this machine is online, its DNS, proxy and firewall; and the address, if the file names one"


def _skew(server_s: float, before: float, after: float, fuzz_s: float) -> Row:
    """The server's time lies between the two of ours, give or take what it was rounded by."""
    late, early = server_s - after - fuzz_s, before - server_s - fuzz_s
    off = max(late, early, 0.0)
    if off < SKEWED_S:
        return ok("clock", f"agrees with the broker's, within {max(after - before + fuzz_s, 0.01):.2f} s")
    said = f"this machine's clock is {off:.1f} s {'behind' if late > 0 else 'ahead of'} the broker's"
    return (fail if off > WRONG_S else warn)(
        "clock", said, "set the clock by NTP: timedatectl set-ntp true, or chronyd"
    )


def _auth(key: SecretRef, secret: SecretRef) -> dict[str, str]:
    return {"action": "auth", "key": key.value.get_secret_value(), "secret": secret.value.get_secret_value()}


def _no_stream(check: str, what: str, error: Exception) -> Row:
    if isinstance(error, InvalidStatus) and error.response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return warn(check, f"{what}: too many connections lately (429)", "wait a minute, then ask again")
    return fail(check, f"{what} can't be opened: {_what(error)}", _NETWORK)


def _what(error: Exception) -> str:
    return redact(" ".join(str(error).split()) or type(error).__name__)


def _said(frame: str | bytes, packed: bool) -> dict[str, Any]:
    """The one control message of a frame. Raises ValueError."""
    try:
        said = msgpack.unpackb(frame) if packed else json.loads(frame)
    except msgpack.UnpackException as error:
        raise ValueError("not msgpack") from error
    if not isinstance(said, list) or not said or not isinstance(said[0], dict):
        raise ValueError("an answer that is not Alpaca's")
    return said[0]
