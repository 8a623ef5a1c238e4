"""What a user sets for the Alpaca clients; also usable in a plain `TradingNode`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from nautilus_trader.config import LiveDataClientConfig, LiveExecClientConfig

from runner.config.hosts import (
    DATA_URL,
    LIVE_TRADING_URL,
    PAPER_TRADING_URL,
    STREAM_URL,
    as_ws,
    market_stream,
    orders_stream,
)
from runner.config.markets import Market

KEY_VARIABLE = "ALPACA_API_KEY"
SECRET_VARIABLE = "ALPACA_API_SECRET"  # noqa: S105 (the variable's name)


class AlpacaDataFeed(StrEnum):
    """Feeds, by market.

    Stocks: iex is free, sip is paid, delayed_sip is 15 minutes late, test has FAKEPACA only. Crypto: locations, us is
    Alpaca's own. Options: indicative is free, opra is paid. News have one.
    """

    IEX = "iex"
    SIP = "sip"
    DELAYED_SIP = "delayed_sip"
    TEST = "test"
    US = "us"
    US_1 = "us-1"
    US_2 = "us-2"
    EU_1 = "eu-1"
    BS_1 = "bs-1"
    INDICATIVE = "indicative"
    OPRA = "opra"
    NEWS = "news"

    @property
    def limited(self) -> tuple[str, ...]:
        """Channels whose symbols count against the plan, once in each. Source: Alpaca's pages on real-time data."""
        return ("quotes",) if self.market == "options" else ("trades", "quotes")

    @property
    def market(self) -> Market:
        """What it is a feed of."""
        if self in (AlpacaDataFeed.INDICATIVE, AlpacaDataFeed.OPRA):
            return "options"
        if self is AlpacaDataFeed.NEWS:
            return "news"
        stocks = (AlpacaDataFeed.IEX, AlpacaDataFeed.SIP, AlpacaDataFeed.DELAYED_SIP, AlpacaDataFeed.TEST)
        return "stocks" if self in stocks else "crypto"


class MissingKeysError(ValueError):
    """The configuration names no keys and the environment has none."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base URLs without a trailing slash. `stream` is the market-data host; orders stream from `orders_stream`."""

    trading: str
    data: str
    stream: str

    @property
    def orders_stream(self) -> str:
        """Address of the trade-updates stream: the trading host, `/stream`."""
        return orders_stream(self.trading)

    def market_stream(self, feed: AlpacaDataFeed) -> str:
        """Address of one feed's stream."""
        return market_stream(self.stream, feed.market, feed.value)


@dataclass(frozen=True, slots=True)
class Keys:
    """One account's key id and secret. Neither shows in its repr."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


class _Shared:
    """What both configurations do alike. Field values stay out of `repr` where they are secret."""

    def __repr__(self) -> str:
        shown = {
            name: "***" if name in ("api_key", "api_secret") and value is not None else value
            for name, value in ((name, getattr(self, name)) for name in self.__struct_fields__)  # type: ignore[attr-defined]
        }
        inner = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({inner})"

    __str__ = __repr__


class AlpacaDataClientConfig(_Shared, LiveDataClientConfig, frozen=True):  # type: ignore[call-arg]
    """Market data of one market. Times are seconds.

    `direct` hands ticks straight to the data engine once `use_direct_delivery` has named it; else they are queued.
    `silence_timeout_s` counts frames of any kind, answers to pings included. `codec` is for stocks and crypto; options
    stream as msgpack only. `max_symbols` bounds quotes plus trades, of options quotes alone (0: no bound), as plans do.
    `greeks_interval_s`: how often snapshots of options are asked for, in venue time (0: once, when subscribed to).
    `adjustment` is what historical bars of stocks are adjusted for, unless a request says it. `updated_bars` streams a
    minute's bar again, as a revision, when late or corrected trades have changed it.
    """

    api_key: str | None = None
    api_secret: str | None = None
    paper: bool = True
    feed: AlpacaDataFeed = AlpacaDataFeed.IEX
    trading_url: str | None = None
    data_url: str | None = None
    stream_url: str | None = None
    codec: Literal["json", "msgpack"] = "json"
    direct: bool = True
    serial: bool = False
    max_symbols: int = 0
    greeks_interval_s: float = 15.0
    adjustment: str = "raw"
    updated_bars: bool = False
    drain_limit: int = 512
    http_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    disconnect_timeout_s: float = 5.0
    request_timeout_s: float = 60.0
    ping_interval_s: float = 10.0
    silence_timeout_s: float = 30.0
    backoff_min_s: float = 0.5
    backoff_max_s: float = 30.0
    busy_backoff_s: float = 5.0
    read_retries: int = 3
    retry_delay_s: float = 0.5
    trading_per_min: int = 200
    data_per_min: int = 200
    conflate_above: int = 20_000
    spill_above: int = 1_000_000


class AlpacaExecClientConfig(_Shared, LiveExecClientConfig, frozen=True):  # type: ignore[call-arg]
    """Trading of one account. Times are seconds.

    `unknown_timeout_s`: how long an order must stay absent, with the stream listening, before it is rejected.
    `when_down`: what happens to an opening order while the trade-updates stream is down: it waits (at most
    `stream_wait_s`) or is denied. `check_interval_s`: when an order that should have moved is asked for though the
    stream is silent (0: never, nor in lock-step). `crypto_maker_fee`, `crypto_taker_fee`: what pairs pay, as parts of
    one (None: by the account's own tier). `assets_interval_s`: how often it is read what is tradable, shortable and
    marginable (0: at the start alone). `serial`: one command in flight at a time, over all instruments.
    """

    api_key: str | None = None
    api_secret: str | None = None
    paper: bool = True
    trading_url: str | None = None
    data_url: str | None = None
    stream_url: str | None = None
    serial: bool = False
    when_down: Literal["wait", "deny"] = "wait"
    stream_wait_s: float = 30.0
    unknown_timeout_s: float = 30.0
    check_interval_s: float = 5.0
    assets_interval_s: float = 3600.0
    lookup_delay_min_s: float = 0.25
    lookup_delay_max_s: float = 5.0
    account_refresh_s: float = 0.5
    lookback_s: float = 86_400.0
    overlap_s: float = 5.0
    crypto_maker_fee: float | None = None
    crypto_taker_fee: float | None = None
    drain_limit: int = 512
    http_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    disconnect_timeout_s: float = 5.0
    settle_timeout_s: float = 10.0
    report_timeout_s: float = 30.0
    ping_interval_s: float = 10.0
    silence_timeout_s: float = 30.0
    backoff_min_s: float = 0.5
    backoff_max_s: float = 30.0
    busy_backoff_s: float = 5.0
    read_retries: int = 3
    retry_delay_s: float = 0.5
    trading_per_min: int = 200
    data_per_min: int = 200


def endpoints(config: Any) -> Endpoints:
    """The URLs that `config` asks for, its overrides first."""
    trading = config.trading_url or (PAPER_TRADING_URL if config.paper else LIVE_TRADING_URL)
    data = config.data_url or DATA_URL
    stream = config.stream_url or (as_ws(config.data_url) if config.data_url else STREAM_URL)
    return Endpoints(trading.rstrip("/"), data.rstrip("/"), as_ws(stream.rstrip("/")))


def resolve_keys(config: Any, environ: Mapping[str, str] | None = None) -> Keys:
    """The keys of `config`, or those of the environment.

    Raises MissingKeysError that names what is missing.
    """
    variables = os.environ if environ is None else environ
    key = config.api_key or variables.get(KEY_VARIABLE)
    secret = config.api_secret or variables.get(SECRET_VARIABLE)
    missing = [name for name, value in ((KEY_VARIABLE, key), (SECRET_VARIABLE, secret)) if not value]
    if missing or key is None or secret is None:
        raise MissingKeysError(
            f"no Alpaca keys: set {' and '.join(missing)} in the environment, "
            "or api_key and api_secret in the configuration"
        )
    return Keys(key, secret)
