"""Hears what a person must know of, and hands it to the sink of alerts. Nothing waits for the webhook but the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from runner.alerts.sink import AlertSink
from runner.config.alerts import AlertsConfig
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.guard import Fault
from runner.node.node import BaseHook, Node
from runner.risk.codes import Code

log = logging.getLogger("runner.node")


class AlertsHook(BaseHook):
    """Looks at states and streams once in `every_s`; denials and faults come by themselves."""

    def __init__(self, config: AlertsConfig, every_s: float = 1.0) -> None:
        self._config = config
        self._every_s = every_s
        self._sink: AlertSink | None = None
        self._task: asyncio.Task[None] | None = None
        self._states: dict[str, str] = {}
        self._up: dict[str, bool] = {}
        self._inferred: dict[str, int] = {}
        self._gate_errors = 0
        self._denied: dict[str, int] = {}

    def built(self, node: Node) -> None:
        """Raises NodeError (configuration) where the address is none."""
        if self._config.webhook is None:
            return
        url = self._config.webhook.url.value
        if not url.get_secret_value().startswith(("https://", "http://")):
            raise NodeError(
                ExitCode.CONFIG,
                f"alerts.webhook.url: what {self._config.webhook.url.place} holds is not a web address",
                "it begins with https://",
            )
        self._sink = AlertSink(
            url,
            node.plan.config.name,
            format=self._config.format,
            min_interval_s=self._config.min_interval.total_seconds(),
        )
        self._sink.start()
        node.tally.listeners.append(self._order)

    def stats(self) -> dict[str, int]:
        """Messages since the start, by what became of them."""
        return {"sent": 0, "failed": 0} if self._sink is None else self._sink.stats()

    def schedule(self, words: str) -> None:
        """A strategy is not flat when its schedule says so."""
        self._send("schedule", words)

    async def started(self, node: Node) -> None:
        if self._sink is not None:
            self._task = asyncio.create_task(self._run(node), name="alerts")
            if node.reloader is not None:
                node.reloader.listeners.append(lambda _: self._reload(node))

    def faulted(self, node: Node, fault: Fault) -> None:
        word = fault.kind.word
        self._send(f"{word} fault", f"{word} {fault.name} is stopped: {fault.error} in {fault.where}")

    async def stopped(self, node: Node) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._sink is None:
            return
        self._look(node, streams=False)
        for name, agreement in node.books.items():
            if agreement.agree is False:
                told = "; ".join([*map(str, agreement.differences), *filter(None, [agreement.reason])])
                self._send("books disagree", f"account {name}: {told}")
        budget_s = node.plan.config.node.stop_timeout.total_seconds() * 0.08
        if not await asyncio.to_thread(self._sink.close, budget_s):
            log.warning("some alerts could not be sent before the end")

    def _send(self, kind: str, line: str) -> None:
        if self._sink is not None:
            self._sink.send(kind, line)

    def _reload(self, node: Node) -> None:
        last = node.reloader.last if node.reloader is not None else None
        if last is not None and last["result"] not in ("applied", "unchanged"):
            self._send("reload", f"the reload was {last['result']}: {last['outcome']}")

    def _order(self, event: Any, strategy: str) -> None:
        kind = type(event).__name__
        if kind == "OrderSubmitted":
            self._denied[strategy] = 0
        elif kind == "OrderDenied" and not event.reason.startswith(Code.SCHEDULE_CLOSED):
            self._denied[strategy] = count = self._denied.get(strategy, 0) + 1
            if count % self._config.denials_in_row == 0:
                self._send("denials", f"strategy {strategy}: {count} denials in a row, the last: {event.reason}")

    async def _run(self, node: Node) -> None:
        while True:
            try:
                self._look(node)
            except Exception:
                log.exception("alerts could not look at the node")
            await asyncio.sleep(self._every_s)

    def _look(self, node: Node, *, streams: bool = True) -> None:
        assert node.parts is not None
        if node.gate is not None:
            if (errors := node.gate.errors) > self._gate_errors:
                self._send("gate fault", f"the risk gate failed {errors - self._gate_errors} times: see the log")
                self._gate_errors = errors
            for standing in node.gate.states.all():
                scope, state = str(standing.scope), str(standing.state)
                if self._states.get(scope, "active") != state:
                    self._states[scope] = state
                    self._send("state", f"{scope} is {state}: {standing.why}")
        for name, client in node.parts.exec_clients.items():
            inferred = int(client.stream_stats().get("inferred_fills", 0))
            if inferred > self._inferred.get(name, 0):
                self._send("inferred fills", f"account {name}: {inferred} fills were inferred, not reported")
            self._inferred[name] = inferred
            if streams:
                self._stream(f"trade updates of account {name}", bool(getattr(client, "ready", True)))
        for name, client in node.parts.data_clients.items():
            if streams and (state := client.stream_stats().get("state")) is not None:
                self._stream(f"feed {name}", state == 3)

    def _stream(self, what: str, up: bool) -> None:
        if self._up.get(what, True) is not up:
            self._up[what] = up
            self._send("streams", f"{what}: {'back' if up else 'down'}")
