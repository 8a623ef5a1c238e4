"""Puts a node together with everything that lives beside it. Imports Nautilus; runs on the node's loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runner.config.models import RunnerConfig
from runner.config.strategies import Plans
from runner.journal import Journal
from runner.node.adapter import AlpacaAdapter, trading_url
from runner.node.alerts import AlertsHook
from runner.node.build import Endpoint, NodePlan
from runner.node.calendar import CalendarHook
from runner.node.endpoints import real, simulated
from runner.node.gate import GateHook, install_gate
from runner.node.journal import JournalHook, lock_account, open_journal, open_shared
from runner.node.lock import AccountLock
from runner.node.node import Hook, Node
from runner.node.progress import ReplayBar
from runner.node.reload.hook import ReloadHook
from runner.node.reload.origin import Origin
from runner.node.remote.hook import RemoteHook
from runner.node.replay import ReplayHook
from runner.node.report import ReportHook
from runner.node.retention import RetentionHook
from runner.node.schedule.hook import ScheduleHook
from runner.node.simulation import Exchange, Ready, SimOptions
from runner.node.summary import SummaryHook
from runner.node.telemetry import TelemetryHook
from runner.node.watchdog import WatchdogHook

_QUOTA_PER_MIN = 200
_QUOTA_AT_MAX = 1_000_000


@dataclass
class Assembled:
    """A node, and what must be let go of after it."""

    node: Node
    watchdog: WatchdogHook
    telemetry: TelemetryHook
    result: SummaryHook
    remote: RemoteHook
    reload: ReloadHook | None = None
    locks: list[AccountLock] = field(default_factory=list)
    journal: Journal | None = None
    report: ReportHook | None = None

    def close(self) -> None:
        self.watchdog.stop()
        self.telemetry.close()
        self.remote.close()
        if self.journal is not None:
            self.journal.close()
        for lock in self.locks:
            lock.release()


def assemble(
    config: RunnerConfig,
    plans: Plans,
    *,
    exchange: Exchange | None,
    ready: Ready | None,
    sim: SimOptions | None,
    live: bool,
    bar: ReplayBar,
    report: Path | None = None,
    origin: Origin | None = None,
    watch: bool = False,
    on_names: Callable[[set[str]], None] = lambda _: None,
) -> Assembled:
    """Raises NodeError where the run must not begin: live trading half asked for, an account in use.

    `origin` is where the file was read, for a node that can be reloaded; `watch` and `on_names` as for `ReloadHook`.
    """
    watchdog = WatchdogHook(trading_url)
    telemetry = TelemetryHook(config.metrics.host, config.metrics.port, watchdog.healthy, any_port=exchange is not None)
    result = SummaryHook()
    remote = RemoteHook(config.control, "sim" if exchange is not None else config.environment)
    reload = None
    if origin is not None:
        reload = ReloadHook(origin, lambda: telemetry.metrics, watch=watch, on_names=on_names)
    alerts = AlertsHook(config.alerts)
    calendar = CalendarHook()
    reloads = [reload] if reload is not None else []
    hooks: list[Hook] = [
        RetentionHook(keep=report is not None),
        calendar,
        GateHook(),
        ScheduleHook(calendar, alerts.schedule),
        watchdog,
        telemetry,
        result,
        *reloads,
        remote,
    ]
    page: ReportHook | None = None
    if report is not None:
        what = "Simulated run" if exchange is not None else f"Run on the {config.environment} account"
        page = ReportHook(report, result, what)
        hooks.append(page)
    locks: list[AccountLock] = []
    journal: Journal | None = None
    if exchange is not None and ready is not None and sim is not None:
        accounts, feeds = simulated(config, ready)
        adapter = AlpacaAdapter(quota_per_min=simulated_quota(sim.speed), simulated=True)
        hooks.append(ReplayHook(exchange, ready, lockstep=sim.lockstep, bar=bar))
    else:
        accounts, feeds = real(config, live=live)
        hooks.append(alerts)
        adapter = AlpacaAdapter()
        locks = lock_accounts(accounts)
        # A simulated venue ends with the node, so that nothing of it is there to be found again.
        journal = open_journal(config, lock_account(locks))
        hooks.insert(0, JournalHook(journal, open_shared(config)))
        telemetry.sources |= {"journal": journal.store.stats, "alerts": alerts.stats}
    plan = NodePlan(
        config,
        plans.strategies,
        accounts,
        feeds,
        serial=sim is not None and sim.lockstep,
        real_time=sim is None or sim.speed == "1",
        journal=journal,
        streams=journal is not None and config.state.redis is not None and config.state.redis.streams,
        actors=plans.actors,
        exec_algorithms=plans.exec_algorithms,
    )
    node = Node(plan, adapter, hooks=tuple(hooks), install_gate=partial(install_gate, latches=journal))
    return Assembled(node, watchdog, telemetry, result, remote, reload, locks, journal, page)


def simulated_quota(speed: str) -> int:
    """Requests a minute that the simulated exchange allows at a speed; it grows, as the day is shorter."""
    if speed == "max":
        return _QUOTA_AT_MAX
    return int(_QUOTA_PER_MIN * max(1.0, float(speed)))


def lock_accounts(accounts: Mapping[str, Endpoint]) -> list[AccountLock]:
    """One lock for each key: whoever has the key trades the account."""
    taken: list[AccountLock] = []
    try:
        for name, endpoint in accounts.items():
            venue = endpoint.trading_url or ("paper" if endpoint.paper else "live")
            taken.append(AccountLock(name, endpoint.key, venue=venue).acquire())
    except BaseException:
        for lock in taken:
            lock.release()
        raise
    return taken
