"""What a file may say. Scalars arrive as their source text; see `load` for files, overrides and secrets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from runner.config.alerts import AlertsConfig
from runner.config.errors import instead
from runner.config.fields import (
    ClassPath,
    Duration,
    Flag,
    ListenAddress,
    Name,
    NodeName,
    Url,
    without_nulls,
    wrong,
)
from runner.config.markets import Market, adjustment
from runner.config.risk import RateLimit, RiskLimits, State
from runner.config.schedule import ScheduleConfig
from runner.config.secret_ref import SecretRef
from runner.config.section import Section
from runner.config.trials import Trial

Environment = Literal["sim", "paper", "live"]


#: Feeds by market, the default first.
FEEDS: dict[str, tuple[str, ...]] = {
    "stocks": ("iex", "sip", "delayed_sip", "test"),
    "crypto": ("us", "us-1", "us-2", "eu-1", "bs-1"),
    "options": ("indicative", "opra"),
    "news": ("news",),
}


GREEKS_INTERVAL = timedelta(seconds=15)
#: How many symbols of quotes plus trades (options: of quotes) the plans of these feeds stream.
PLANS = {"iex": 30, "indicative": 200, "opra": 1000}


class FeedConfig(Section):
    """Market data of one market."""

    source: Literal["alpaca"] = "alpaca"
    market: Market
    feed: str = Field(
        "",
        description="stocks: iex (default, free), sip, delayed_sip, test; crypto: us (default), us-1, us-2, eu-1, "
        "bs-1; options: indicative (default, free), opra; news: news.",
    )
    adjustment: str = Field(
        "raw",
        description="What historical bars of stocks are adjusted for, unless a request says it: raw, split, dividend, "
        "spin-off, all, or several with commas between them. Streamed bars are as they were traded.",
    )
    updated_bars: Flag = Field(
        False,
        description="Stream a minute's bar again, as a revision (`bar.is_revision`), when late or corrected trades "
        "have changed it.",
    )
    max_symbols: int | None = Field(
        None,
        ge=0,
        description="How many subscriptions to quotes and trades the plan has; more are refused before they are asked "
        "for. A symbol's quotes count one and its trades another; of options only quotes count, bars never do. "
        "Default: the plan's (iex 30, indicative 200, opra 1000, others no bound). 0: no bound.",
    )
    greeks_interval: Duration | None = Field(
        None,
        description="Of a feed of options: how often greeks and volatilities of what strategies subscribe to are asked "
        "for, in the venue's time: a request for each hundred contracts. Default: 15s. 0s: once, when they are "
        "subscribed to.",
    )
    key: SecretRef | None = Field(None, description="Default: the first account's key.")
    secret: SecretRef | None = Field(None, description="Default: the first account's secret.")
    data_url: Url | None = Field(None, description="Instead of Alpaca's https address for historical data.")
    stream_url: Url | None = Field(None, description="Instead of Alpaca's wss address for live data.")
    conflate_above: int = Field(
        256,
        ge=1,
        description="When more than this many ticks wait for the strategies, of the waiting quotes only the newest of "
        "each symbol is kept; the others are counted. Replays faster than real time keep all.",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_feed(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("market") in FEEDS and value.get("feed") is None:
            return {**value, "feed": FEEDS[value["market"]][0]}
        return value

    @field_validator("greeks_interval")
    @classmethod
    def _only_options_have_greeks(cls, value: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if value is not None and info.data.get("market") not in (None, "options"):
            raise wrong(f"only options have greeks: leave it out of a feed of {info.data['market']}")
        return value

    @field_validator("feed")
    @classmethod
    def _known_feed(cls, value: str, info: ValidationInfo) -> str:
        known = FEEDS.get(info.data.get("market", ""))
        if known is not None and value not in known:
            raise wrong(f"`{value}` is not possible, {instead(value, known, 'possible')}")
        return value

    @field_validator("adjustment")
    @classmethod
    def _known_adjustment(cls, value: str, info: ValidationInfo) -> str:
        try:
            adjusted = adjustment(value)
        except ValueError as error:
            raise wrong(str(error).removeprefix("adjustment ")) from None
        if adjusted != "raw" and info.data.get("market", "stocks") != "stocks":
            raise wrong("only bars of stocks are adjusted, remove it")
        return adjusted

    @field_validator("updated_bars")
    @classmethod
    def _has_bars(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("market", "stocks") not in ("stocks", "crypto"):
            raise wrong("Alpaca streams bars of stocks and crypto pairs only, remove it")
        return value

    @model_validator(mode="after")
    def _pair(self) -> FeedConfig:
        if (self.key is None) != (self.secret is None):
            raise wrong("key and secret belong together, write both or neither")
        return self


class AccountConfig(Section):
    """One account at a broker."""

    broker: Literal["alpaca"]
    key: SecretRef
    secret: SecretRef
    url: Url | None = Field(None, description="Instead of the broker's address for the environment.")
    on_stream_down: Literal["deny", "wait"] = Field(
        "deny",
        description="An order that opens while trade updates do not arrive, or market data has a gap: deny it, "
        "or let it wait for the trade updates. What closes, and cancels, always go out.",
    )
    limits: RiskLimits | None = None


class StrategyConfig(Section):
    """One strategy: any Nautilus `Strategy`, by its import path."""

    class_: ClassPath = Field(alias="class", description="package.module:ClassName")
    account: str = Field(description="A name under accounts.")
    feed: str = Field(description="A name under feeds.")
    params: dict[str, Any] = Field(default_factory=dict, description="Fields of the strategy's own config class.")
    on_stop: Literal["keep", "cancel", "flatten"] = Field(
        "cancel",
        description="At the end: keep its orders, cancel them, or cancel them and close its positions.",
    )
    schedule: ScheduleConfig | None = None
    limits: RiskLimits | None = None
    shared: Flag = Field(False, description="Another strategy may trade the same instrument on the same account.")

    @field_validator("params", mode="before")
    @classmethod
    def _params(cls, value: Any) -> Any:
        return without_nulls(value)


class _ByClass(Section):
    class_: ClassPath = Field(alias="class", description="package.module:ClassName")
    params: dict[str, Any] = Field(default_factory=dict, description="Fields of its own config class.")

    @field_validator("params", mode="before")
    @classmethod
    def _params(cls, value: Any) -> Any:
        return without_nulls(value)


class ActorConfig(_ByClass):
    """What hears and computes and sends no orders: any Nautilus `Actor`, by its import path."""


class ExecAlgorithmConfig(_ByClass):
    """How an order is carried out in parts: any Nautilus `ExecAlgorithm`, by its import path."""


class MetricsConfig(Section):
    listen: ListenAddress | None = Field(
        None, description="host:port that Prometheus scrapes; without it there is no endpoint."
    )

    @property
    def host(self) -> str | None:
        return self.listen.rpartition(":")[0].strip("[]") if self.listen else None

    @property
    def port(self) -> int | None:
        return int(self.listen.rpartition(":")[2]) if self.listen else None


class ControlConfig(Section):
    """Commands to the running node. Its own user always reaches it over a Unix socket; this is for others."""

    listen: ListenAddress | None = Field(
        None, description="host:port for `runner status --url` and the like, over plain HTTP; needs a token."
    )
    token: SecretRef | None = Field(None, description="At least 16 characters, known to whoever may command the node.")

    @model_validator(mode="after")
    def _guarded(self) -> ControlConfig:
        if self.listen is not None and self.token is None:
            raise wrong("listen without a token would let anybody command the node, add token: {env: NAME}")
        if self.token is not None and self.listen is None:
            raise wrong("token is for listen, which is not given (the Unix socket needs none)")
        return self

    @property
    def host(self) -> str | None:
        return self.listen.rpartition(":")[0].strip("[]") if self.listen else None

    @property
    def port(self) -> int | None:
        return int(self.listen.rpartition(":")[2]) if self.listen else None


class LogConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = Field(None, description="A folder for log files; without it only the terminal.")
    format: Literal["text", "json"] = Field("text", description="Of the log files.")


class RedisConfig(Section):
    """A Redis server (6.2 or newer): for strategies' state and for fan-out, never for the truth about orders."""

    host: str = "127.0.0.1"
    port: int = Field(6379, ge=1, le=65_535)
    username: str | None = None
    password: SecretRef | None = None
    tls: Flag = Field(False, description="Connect by TLS.")
    streams: Flag = Field(
        True, description="Publish Nautilus's messages (orders, positions, accounts, state) to streams NAME:TOPIC."
    )


class StateConfig(Section):
    """What outlives the process. Simulated runs (`--sim`) keep nothing."""

    dir: Path | None = Field(
        None,
        description="A folder for the journal of orders, NAME/ENVIRONMENT.sqlite in it; by default `runner` in the "
        "user's state folder ($XDG_STATE_HOME or ~/.local/state). On a local disk, never on a network share.",
    )
    synchronous: Literal["normal", "full"] = Field(
        "normal",
        description="SQLite's words. With normal, an order is in the journal before it leaves, whatever ends the "
        "process, and on the disk a moment later. With full, it waits for the disk: a power cut can't come in between.",
    )
    retention: Duration = Field(
        timedelta(days=1),
        description="How long orders that have ended stay in memory, where strategies find them; the journal keeps "
        "them for 30 days. Of more than 2,000 an account the oldest go sooner.",
    )
    redis: RedisConfig | None = Field(
        None, description="Share strategies' saved state between machines, and publish messages to streams."
    )


class ReloadConfig(Section):
    """When a running node takes a changed file over: on `runner reload` and SIGHUP always, and where this says so."""

    watch: Flag = Field(False, description="Reload when one of the node's files is saved.")
    settle: Duration = Field(
        timedelta(seconds=1), description="With watch: a file counts as saved when it has not changed for so long."
    )


class NodeConfig(Section):
    """Deadlines of the node's own life."""

    connect_timeout: Duration = Field(timedelta(seconds=30), description="All clients connected, or exit 69.")
    reconcile_timeout: Duration = Field(
        timedelta(seconds=30), description="Orders and positions reconciled, or exit 71."
    )
    stop_timeout: Duration = Field(timedelta(seconds=10), description="From the signal to the end of the process.")
    unhealthy_after: Duration = Field(
        timedelta(seconds=2), description="A loop that stands still so long is reported as unhealthy."
    )
    hang_limit: Duration = Field(
        timedelta(seconds=10), description="A loop that stands still so long ends the process with 72."
    )
    unknown_order_timeout: Duration = Field(
        timedelta(seconds=30),
        description="An order of unknown outcome that the venue never shows is rejected after so long.",
    )
    http_timeout: Duration = Field(
        timedelta(seconds=10), description="One request, from its start to the end of the reply."
    )
    assets_refresh: Duration = Field(
        timedelta(hours=1), description="How often it is read what is tradable, shortable and marginable."
    )

    @model_validator(mode="after")
    def _order(self) -> NodeConfig:
        if self.unhealthy_after > self.hang_limit:
            raise wrong("hang_limit is shorter than unhealthy_after, make it longer")
        return self


def _sections(kind: str) -> Any:
    return Field(min_length=1, description=f"{kind}, each under a name of its own.")


class RunnerConfig(Section):
    """The whole file."""

    name: NodeName = Field(description="Of this node: in logs, metrics and order ids.")
    environment: Environment = Field(
        description="sim: the simulated exchange; paper: Alpaca's paper trading; live: real money."
    )
    feeds: Annotated[dict[Name, FeedConfig], BeforeValidator(without_nulls)] = _sections("Market data")
    accounts: Annotated[dict[Name, AccountConfig], BeforeValidator(without_nulls)] = _sections("Accounts at a broker")
    strategies: Annotated[dict[Name, StrategyConfig], BeforeValidator(without_nulls)] = _sections("Strategies")
    actors: Annotated[dict[Name, ActorConfig], BeforeValidator(without_nulls)] = Field(
        default_factory=dict, description="Actors, each under its id. They are started first, and end last."
    )
    exec_algorithms: Annotated[dict[Name, ExecAlgorithmConfig], BeforeValidator(without_nulls)] = Field(
        default_factory=dict,
        description="Execution algorithms, each under its id: the `exec_algorithm_id` that an order names.",
    )
    risk: RiskLimits = Field(default_factory=RiskLimits, description="Limits over all accounts.")
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    control: ControlConfig = Field(default_factory=ControlConfig)
    alerts: AlertsConfig = Field(default_factory=AlertsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    state: StateConfig = Field(default_factory=StateConfig)
    reload: ReloadConfig = Field(default_factory=ReloadConfig)
    node: NodeConfig = Field(default_factory=NodeConfig)
    paths: list[str] = Field(
        default_factory=list,
        description="More folders to look for classes in; relative to the file's folder.",
    )
    tests: list[Trial] = Field(
        default_factory=list, description="Orders that the limits allow or deny; `runner test FILE` judges them."
    )

    def feed_credentials(self, feed: str) -> tuple[SecretRef, SecretRef]:
        """Key and secret of a feed: its own, or those of the first account."""
        own = self.feeds[feed]
        if own.key is not None and own.secret is not None:
            return own.key, own.secret
        first = next(iter(self.accounts.values()))
        return first.key, first.secret

    def limits(self) -> list[tuple[str, RiskLimits]]:
        """Every level that has limits, as (path in the file, limits), the top first."""
        levels = [("risk", self.risk)]
        levels += [(f"accounts.{name}.limits", a.limits) for name, a in self.accounts.items() if a.limits is not None]
        levels += [
            (f"strategies.{name}.limits", s.limits) for name, s in self.strategies.items() if s.limits is not None
        ]
        return levels


__all__ = [
    "AccountConfig",
    "ActorConfig",
    "AlertsConfig",
    "ControlConfig",
    "Environment",
    "ExecAlgorithmConfig",
    "FeedConfig",
    "LogConfig",
    "MetricsConfig",
    "NodeConfig",
    "RateLimit",
    "RedisConfig",
    "ReloadConfig",
    "RiskLimits",
    "RunnerConfig",
    "ScheduleConfig",
    "SecretRef",
    "State",
    "StateConfig",
    "StrategyConfig",
]
