"""Feeds the metrics of a node and serves them, from before it connects until everything has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from runner.config.classes import ACTOR, STRATEGY
from runner.metrics.declarations import Source
from runner.metrics.registry import Metrics
from runner.metrics.sampler import Sampler
from runner.metrics.server import ListenError, MetricsServer
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.guard import Fault
from runner.node.node import BaseHook, Node

log = logging.getLogger("runner.node")


class TelemetryHook(BaseHook):
    """`host` None counts without serving. `healthy` is asked from the server's thread.

    With `any_port` a port that is taken gives way to a free one: simulated runs stand side by side with the node
    whose file they try out, while a real node's scraper would look in vain.
    """

    def __init__(
        self,
        host: str | None,
        port: int | None,
        healthy: Callable[[], tuple[bool, str]],
        *,
        any_port: bool = False,
    ) -> None:
        self._address = (host, port)
        self._any_port = any_port
        self._healthy = healthy
        self._task: asyncio.Task[None] | None = None
        self._node: Node | None = None
        self._homes: dict[str, str] = {}
        self._actors: set[str] = set()
        self._sampler: Sampler | None = None
        self.sources: dict[Source, Callable[[], Mapping[str, int]]] = {}
        """Statistics of what lives beside the node, to be read at each scrape."""
        self.metrics: Metrics | None = None
        self.server: MetricsServer | None = None

    def built(self, node: Node) -> None:
        """Raises NodeError (configuration) where the address is taken."""
        parts, plan = node.parts, node.plan
        assert parts is not None
        self._node = node
        self._homes = homes = _homes(node)
        self._actors = set(plan.actors)
        self.metrics = metrics = Metrics(homes, plan.config.accounts)
        accounts = {name: client.account_id for name, client in parts.exec_clients.items()}
        metrics.events.attach(
            parts.kernel.cache,
            strategies=parts.names,
            accounts={account_id.value: name for name, account_id in accounts.items()},
            homes=homes,
        )
        node.tally.listeners.append(lambda event, _: metrics.on_order_event(event))
        self._sampler = Sampler(
            metrics,
            cache=parts.kernel.cache,
            portfolio=parts.kernel.portfolio,
            accounts=accounts,
            strategies=_ids(node),
            schedules=parts.schedules,
            gate=node.gate,
            ready=self.ready,
        )
        for name, client in parts.data_clients.items():
            metrics.attach_stream(name, "market", client.stream_stats, _venue_now(client))
        for name, client in parts.exec_clients.items():
            metrics.attach_stream(name, "trading", client.stream_stats, _venue_now(client))
        for source, stats in self.sources.items():
            metrics.attach(source, stats)
        for guard in parts.others():
            metrics.component_up(guard.kind.label, guard.name, False)
        metrics.set_up(True)
        host, port = self._address
        if host is not None and port is not None:
            self.server = self._serve(host, port, metrics)
            log.info("metrics at %s/metrics", self.server.url)

    def _serve(self, host: str, port: int, metrics: Metrics) -> MetricsServer:
        server = MetricsServer(host, port, metrics, self._healthy, self.ready)
        try:
            server.start()
        except ListenError as error:
            if not self._any_port:
                raise NodeError(ExitCode.CONFIG, str(error)) from error
            server = MetricsServer(host, 0, metrics, self._healthy, self.ready)
            try:
                server.start()
            except ListenError:
                raise NodeError(ExitCode.CONFIG, str(error)) from error
            log.warning("metrics: port %d is taken, so they are served elsewhere", port)
        return server

    async def connected(self, node: Node) -> None:
        parts, metrics = node.parts, self.metrics
        assert parts is not None
        assert metrics is not None
        # Clients of the same keys share one HTTP client, which is counted once, under its account's name.
        seen: set[int] = set()
        for name, client in (*parts.exec_clients.items(), *parts.data_clients.items()):
            http = getattr(client, "http", None)
            if http is not None and id(http) not in seen:
                seen.add(id(http))
                metrics.attach_http(name, http.stats)
        assert self._sampler is not None
        self._task = asyncio.create_task(self._sampler.run(), name="metrics")

    def replanned(self, node: Node) -> None:
        metrics, homes = self.metrics, _homes(node)
        assert metrics is not None
        assert self._sampler is not None
        for name in self._actors - set(node.plan.actors):
            metrics.forget_component(ACTOR.label, name)
        self._actors = set(node.plan.actors)
        for name in self._homes.keys() - homes.keys():
            metrics.forget_strategy(name, self._homes[name])
        for name, home in homes.items():
            metrics.declare_strategy(name, home)
        # The mapping is known to those who count events.
        self._homes.clear()
        self._homes.update(homes)
        metrics.forget_limits()
        self._sampler.strategies = _ids(node)

    async def reloaded(self, node: Node) -> None:
        assert self._sampler is not None
        self._sampler.strategies = _ids(node)
        await self.started(node)
        self._sampler.sample()

    async def started(self, node: Node) -> None:
        assert self.metrics is not None
        assert node.parts is not None
        for name, guard in node.parts.guards.items():
            self.metrics.strategy_up(name, not guard.down)
        for guard in node.parts.others():
            self.metrics.component_up(guard.kind.label, guard.name, not guard.down)

    def faulted(self, node: Node, fault: Fault) -> None:
        if self.metrics is None:
            return
        if fault.kind is STRATEGY:
            self.metrics.strategy_up(fault.name, False)
            self.metrics.strategy_fault(fault.name)
        else:
            self.metrics.component_up(fault.kind.label, fault.name, False)
            self.metrics.component_fault(fault.kind.label, fault.name)

    def stopping(self, node: Node) -> None:
        if self.metrics is not None and node.parts is not None:
            self.metrics.set_ready(False)

    async def stopped(self, node: Node) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._sampler is not None:
            self._sampler.sample()

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()

    def ready(self) -> tuple[bool, str]:
        """Whether it trades: strategies run, and every account's trade updates arrive. May be asked from any thread."""
        node = self._node
        if node is None or node.parts is None or not node.ready:
            return False, f"not trading: {'starting' if node is None else node.stage}"
        down = [name for name, client in node.parts.exec_clients.items() if not getattr(client, "ready", True)]
        if down:
            return False, f"no trade updates from {', '.join(down)}"
        return True, "trading"


def _homes(node: Node) -> dict[str, str]:
    """Each strategy's account, by the names of the file."""
    return {name: str(each.spec.account) for name, each in node.plan.strategies.items()}


def _ids(node: Node) -> dict[str, tuple[Any, str]]:
    assert node.parts is not None
    made = node.parts.strategies
    return {name: (made[name].id, home) for name, home in _homes(node).items() if name in made}


def _venue_now(client: Any) -> Callable[[], int] | None:
    clock = getattr(client, "venue_clock", None)
    now_ns: Callable[[], int] | None = None if clock is None else clock.now_ns
    return now_ns
