"""The node's metrics as objects: made from the declarations, set by the node, read by a scrape.

All methods may be called on the loop while another thread scrapes. Values become floats here and only here, which is
all that Prometheus knows.
"""

from __future__ import annotations

import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from runner.metrics.declarations import (
    DECLARATIONS,
    DENIAL_CODES,
    LATENCY_BUCKETS,
    ORDER_STATES,
    RELOAD_RESULTS,
    RISK_STATES,
    STEPS,
    Declaration,
    Source,
)
from runner.metrics.events import OrderEvents

Stats = Callable[[], Mapping[str, Any]]
_READY = 3  # the stream's state that means subscribed or listening


class Metrics:
    """All metrics of one node, in a registry of their own.

    Parameters
    ----------
    strategies : mapping, optional
        Each strategy's account, by the names of the file. Their series, and the accounts', exist at 0 from the start.
    accounts : iterable, optional
        Accounts' names, those without a strategy included.

    """

    def __init__(self, strategies: Mapping[str, str] | None = None, accounts: Iterable[str] = ()) -> None:
        # A "_created" series beside every counter doubles the scrape and is no metric of ours.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._own: dict[str, Any] = {}
        self._series: dict[tuple[str, ...], Any] = {}
        for declaration in DECLARATIONS:
            if declaration.source is None:
                self._own[declaration.name] = _make(declaration, self.registry)
        self._attached = _Attached(self._own["runner_scrape_errors_total"])
        self.registry.register(self._attached)
        ProcessCollector(registry=self.registry)
        self._positions: dict[str, set[str]] = {}
        self._gate_errors = 0
        self.events = OrderEvents(self)
        self._begin()
        strategies = strategies or {}
        for account in dict.fromkeys([*accounts, *strategies.values()]):
            self.declare_account(account)
        for strategy, account in strategies.items():
            self.declare_strategy(strategy, account)

    # -- series that exist from the start --------------------------------------------------------------------------

    def declare_strategy(self, strategy: str, account: str) -> None:
        """Let the strategy's series exist at 0."""
        self._own["runner_strategy_up"].labels(strategy)
        self._own["runner_strategy_faults_total"].labels(strategy)
        self.set_schedule(strategy, is_open=True, left=0)
        self._own["runner_fills_total"].labels(strategy, account)
        self._own["runner_orders_working"].labels(strategy, account)
        for state in ORDER_STATES:
            self._own["runner_orders_total"].labels(strategy, account, state)
        for code in DENIAL_CODES:
            self._own["runner_denials_total"].labels(code, strategy, account)
        self.set_risk_state("strategy", strategy, "active")

    def forget_strategy(self, strategy: str, account: str) -> None:
        """A strategy has left the node: what is of this moment ends with it, what was counted stays."""
        for name in ("runner_strategy_up", "runner_schedule_open", "runner_schedule_positions_left"):
            self._own[name].remove(strategy)
        self._own["runner_orders_working"].remove(strategy, account)
        for state in RISK_STATES:
            self._own["runner_risk_state"].remove("strategy", strategy, state)

    def declare_account(self, account: str) -> None:
        """Let the account's series exist at 0."""
        for value in ("cash", "equity", "buying_power", "realized_pnl", "unrealized_pnl"):
            self._own[f"runner_account_{value}_usd"].labels(account)
        self.set_risk_state("account", account, "active")

    def _begin(self) -> None:
        self._own["runner_build_info"].labels(
            _version("guarded-runner"), _version("nautilus_trader"), platform.python_version()
        ).set(1)
        self._own["runner_start_time_seconds"].set(time.time())
        self._own["runner_python_blocks"].set_function(sys.getallocatedblocks)
        for step in STEPS:
            self._own["runner_order_latency_seconds"].labels(step)
        for result in RELOAD_RESULTS:
            self._own["runner_config_reloads_total"].labels(result)
        self.set_risk_state("node", "", "active")

    # -- the node --------------------------------------------------------------------------------------------------

    def set_up(self, up: bool) -> None:
        self._own["runner_up"].set(up)

    def set_ready(self, ready: bool) -> None:
        self._own["runner_ready"].set(ready)

    def set_loop_lag(self, seconds: float) -> None:
        self._own["runner_loop_lag_seconds"].set(seconds)

    def strategy_up(self, strategy: str, up: bool) -> None:
        self._own["runner_strategy_up"].labels(strategy).set(up)

    def set_schedule(self, strategy: str, *, is_open: bool, left: int) -> None:
        self._own["runner_schedule_open"].labels(strategy).set(is_open)
        self._own["runner_schedule_positions_left"].labels(strategy).set(left)

    def strategy_fault(self, strategy: str) -> None:
        self._own["runner_strategy_faults_total"].labels(strategy).inc()

    def component_up(self, kind: str, name: str, up: bool) -> None:
        """Of an actor or an execution algorithm; its series exist from the first call on."""
        self._own["runner_component_up"].labels(kind, name).set(up)
        self._own["runner_component_faults_total"].labels(kind, name)

    def component_fault(self, kind: str, name: str) -> None:
        self._own["runner_component_faults_total"].labels(kind, name).inc()

    def forget_component(self, kind: str, name: str) -> None:
        """It has left the node."""
        self._own["runner_component_up"].remove(kind, name)

    def sample_error(self) -> None:
        self._own["runner_sample_errors_total"].inc()

    # -- the file --------------------------------------------------------------------------------------------------

    def loaded(self, hash_: str) -> None:
        """The file with this fingerprint is in force since now."""
        self._own["runner_config_last_reload_successful"].set(1)
        self._own["runner_config_last_reload_success_timestamp_seconds"].set(time.time())
        self._own["runner_config_info"].clear()
        self._own["runner_config_info"].labels(hash_).set(1)

    def reloaded(self, result: str, *, successful: bool, hash_: str) -> None:
        """A reload has come to this result."""
        self._own["runner_config_reloads_total"].labels(result).inc()
        if successful:
            self.loaded(hash_)
            return
        self._own["runner_config_last_reload_successful"].set(0)
        self._own["runner_config_info"].clear()
        self._own["runner_config_info"].labels(hash_).set(1)

    # -- streams and REST ------------------------------------------------------------------------------------------

    def attach_stream(
        self, name: str, protocol: str, stats: Stats, venue_now_ns: Callable[[], int] | None = None
    ) -> None:
        """Read a stream's counters at each scrape. `protocol`: market or trading. `stats` may be called on any thread.

        `venue_now_ns` is the clock that the newest event's age is told by (UNIX nanoseconds; default: the computer's).
        """
        self._attached.streams[name, protocol] = (stats, venue_now_ns or time.time_ns)

    def attach_http(self, name: str, stats: Stats) -> None:
        """Read a REST client's counters at each scrape. `stats` may be called on any thread."""
        self._attached.https[name] = stats

    def attach(self, source: Source, stats: Stats) -> None:
        """Read the counters of the journal, or of the alerts, at each scrape. `stats` may be called on any thread."""
        self._attached.others[source] = stats

    # -- orders ----------------------------------------------------------------------------------------------------

    def on_order_event(self, event: Any) -> None:
        """Count an order's event, denials by their code included: subscribe it to `events.order.*`."""
        self.events.handle(event)

    def order(self, state: str, strategy: str, account: str) -> None:
        self._of("runner_orders_total", strategy, account, state).inc()

    def fill(self, strategy: str, account: str) -> None:
        self._of("runner_fills_total", strategy, account).inc()

    def denied(self, code: str, strategy: str, account: str) -> None:
        """Count a denial. `on_order_event` does so by itself; an unknown code is counted as OTHER."""
        known = code if code in DENIAL_CODES else "OTHER"
        self._own["runner_denials_total"].labels(known, strategy, account).inc()

    def set_working(self, strategy: str, account: str, orders: int) -> None:
        self._own["runner_orders_working"].labels(strategy, account).set(orders)

    def observe_latency(self, step: str, seconds: float) -> None:
        self._of("runner_order_latency_seconds", step).observe(max(seconds, 0.0))

    def _of(self, name: str, *labels: str) -> Any:
        """A series that is never removed. To ask for it by its labels costs more than to count."""
        key = (name, *labels)
        if (found := self._series.get(key)) is None:
            found = self._series[key] = self._own[name].labels(*labels)
        return found

    # -- risk and money --------------------------------------------------------------------------------------------

    def gate_errors(self, total: int) -> None:
        """The gate's own count of its exceptions, which only grows."""
        self._own["runner_gate_errors_total"].inc(max(total - self._gate_errors, 0))
        self._gate_errors = max(total, self._gate_errors)

    def set_limit_used(self, limit: str, scope: str, name: str, fraction: Decimal) -> None:
        self._own["runner_limit_used_ratio"].labels(limit, scope, name).set(float(fraction))

    def forget_limits(self) -> None:
        """Limits may have gone; those that stand are told anew."""
        self._own["runner_limit_used_ratio"].clear()

    def set_risk_state(self, scope: str, name: str, state: str) -> None:
        for each in RISK_STATES:
            self._own["runner_risk_state"].labels(scope, name, each).set(each == state)

    def set_account(self, account: str, **values: Decimal | None) -> None:
        """Any of cash, equity, buying_power, realized_pnl, unrealized_pnl (USD); None leaves a value as it is."""
        for name, value in values.items():
            if value is not None:
                self._own[f"runner_account_{name}_usd"].labels(account).set(float(value))

    def set_position(self, account: str, instrument: str, qty: Decimal, market_value: Decimal | None) -> None:
        """A signed position and its value (USD; None where there is no price)."""
        self._positions.setdefault(account, set()).add(instrument)
        value = math.nan if market_value is None else float(market_value)
        self._own["runner_position_quantity"].labels(account, instrument).set(float(qty))
        self._own["runner_position_market_value_usd"].labels(account, instrument).set(value)

    def set_positions(self, account: str, positions: Mapping[str, tuple[Decimal, Decimal | None]]) -> None:
        """All positions of an account: what was held before and is not among them is 0 now."""
        for gone in self._positions.get(account, set()) - positions.keys():
            self.set_position(account, gone, Decimal(0), Decimal(0))
        for instrument, (qty, value) in positions.items():
            self.set_position(account, instrument, qty, value)


@dataclass(frozen=True, slots=True)
class _Found:
    """Statistics of one scrape, and the labels that say whose they are."""

    labels: tuple[str, ...]
    protocol: str
    stats: Mapping[str, Any] | None
    clock: Callable[[], int] = time.time_ns


class _Attached:
    """Values that others count: read when somebody scrapes."""

    def __init__(self, errors: Counter) -> None:
        self.streams: dict[tuple[str, str], tuple[Stats, Callable[[], int]]] = {}
        self.https: dict[str, Stats] = {}
        self.others: dict[str, Stats] = {}
        self._errors = errors

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        found: dict[str, list[_Found]] = {"stream": [], "http": []}
        for (name, protocol), (stats, clock) in list(self.streams.items()):
            found["stream"].append(_Found((name, protocol), protocol, self._read(stats), clock))
        for name, stats in list(self.https.items()):
            found["http"].append(_Found((name,), "", self._read(stats)))
        for source, stats in list(self.others.items()):
            found[source] = [_Found((), "", self._read(stats))]
        families: dict[str, Metric] = {}
        for declaration in DECLARATIONS:
            if declaration.source is None:
                continue
            family = families.setdefault(declaration.name, _family(declaration))
            for each in found.get(declaration.source, ()):
                if each.stats is None or (declaration.only and declaration.only != each.protocol):
                    continue
                try:
                    value = _value(declaration, each.stats, each.clock)
                except KeyError:  # it counts no such thing: a mistake of ours, and no reason to scrape nothing
                    self._errors.inc()
                    continue
                fixed = [label for _, label in declaration.extra]
                family.add_metric([*each.labels, *fixed], value)  # type: ignore[attr-defined]
        return iter(families.values())

    def _read(self, stats: Stats) -> Mapping[str, Any] | None:
        try:
            return stats()
        except Exception:
            self._errors.inc()
            return None


def _value(declaration: Declaration, stats: Mapping[str, Any], clock: Callable[[], int]) -> float:
    value = stats[declaration.key]
    if declaration.key == "last_event_ns":
        return max((clock() - value) / 1e9, 0.0) if value else math.nan
    if declaration.key == "state":
        return float(value == _READY)
    return float(value)


def _family(declaration: Declaration) -> Metric:
    make = CounterMetricFamily if declaration.kind == "counter" else GaugeMetricFamily
    return make(declaration.family, declaration.help, labels=declaration.labels)


def _make(declaration: Declaration, registry: CollectorRegistry) -> Any:
    if declaration.kind == "histogram":
        return Histogram(
            declaration.name, declaration.help, declaration.labels, registry=registry, buckets=LATENCY_BUCKETS
        )
    make = Counter if declaration.kind == "counter" else Gauge
    return make(declaration.family, declaration.help, declaration.labels, registry=registry)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
