"""The node's side of a simulated day: the control channel, the bar, and what lock-step must know of the node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from runner.node.build import Parts
from runner.node.control import Control, Progress
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.node import BaseHook, Node
from runner.node.progress import ReplayBar
from runner.node.simulation import Exchange, Ready
from runner.node.stages import Condition, StageTimeout, bounded

log = logging.getLogger("runner.exchange")


class NodeGauge:
    """What has reached the node, and whether it still works on anything; see `control.Gauge`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._data = list(parts.data_clients.values())
        self._exec = list(parts.exec_clients.values())
        self._clients = [*self._data, *self._exec]
        self._http = list({id(c.http): c.http for c in self._clients}.values())
        kernel = parts.kernel
        data, risk, execution = kernel.data_engine, kernel.risk_engine, kernel.exec_engine
        self._queues = (
            data.cmd_qsize,
            data.req_qsize,
            data.res_qsize,
            data.data_qsize,
            risk.cmd_qsize,
            risk.evt_qsize,
            execution.cmd_qsize,
            execution.evt_qsize,
        )
        # Changes of the stream's state go through the same queue as its messages.
        self._states = sum(_left(c.stream_stats()) - _arrived(c.stream_stats()) for c in self._data)

    def data_delivered(self) -> int:
        """What was parsed, and has been handed on: a message is counted before it stands in the stream's queue."""
        arrived, left = 0, 0
        for client in self._data:
            stats = client.stream_stats()
            arrived += _arrived(stats) - stats.get("backlog", 0)
            left += _left(stats)
        return min(arrived, left - self._states)

    def trading_delivered(self) -> int:
        return sum(client.stream_stats().get("updates", 0) for client in self._exec)

    def requests_answered(self) -> int:
        return sum(http.stats()["replies"] for http in self._http)

    def busy(self) -> bool:
        return (
            any(qsize() for qsize in self._queues)
            or (self._parts.schedules is not None and self._parts.schedules.busy)
            or any(not task.done() for client in self._clients for task in client._tasks)
            or any(http.stats()["in_flight"] for http in self._http)
            # What streams before the venue knows of a subscription would be lost to it, more or less as chance will.
            or any(client.settling for client in self._data)
        )


class ReplayHook(BaseHook):
    """Follows the replay from the first tick to its end, which is the node's end too."""

    def __init__(self, exchange: Exchange, ready: Ready, *, lockstep: bool, bar: ReplayBar) -> None:
        self._exchange = exchange
        self._ready = ready
        self._lockstep = lockstep
        self._bar = bar
        self._control: Control | None = None
        self._node: Node | None = None
        self._first_ns: int | None = None

    async def connected(self, node: Node) -> None:
        self._node = node
        loop = asyncio.get_running_loop()

        def gone(code: int) -> None:
            loop.call_soon_threadsafe(self._on_exit, code)

        self._exchange.on_exit(gone)
        self._control = Control(
            self._ready.ws_url, lockstep=self._lockstep, on_progress=self._on_progress, on_end=self._on_end
        )
        try:
            hello = await bounded(self._control.open(), node.plan.config.node.connect_timeout.total_seconds())
        except (StageTimeout, OSError) as error:
            raise NodeError(
                ExitCode.CONNECT, f"the simulated exchange's control channel is not there: {error!r}"
            ) from error
        what = "a made-up (synthetic) day" if hello.synthetic else f"{self._ready.date}"
        log.info("replaying %s of %s from %s", what, ", ".join(self._ready.symbols), self._ready.url)

    async def started(self, node: Node) -> None:
        assert node.parts is not None
        assert self._control is not None
        assert self._control.hello is not None
        await _subscribed(node, node.plan.config.node.connect_timeout.total_seconds())
        self._bar.start(self._control.hello.total)
        await self._control.start(NodeGauge(node.parts))

    async def stopped(self, node: Node) -> None:
        self._bar.stop()
        if self._control is not None:
            await self._control.close()

    def _on_progress(self, progress: Progress) -> None:
        hello = self._control.hello if self._control is not None else None
        if self._lockstep or hello is None:
            self._bar.update(progress.venue_ns, progress.sent, progress.total)
        else:
            # At a given speed it is venue time that passes evenly, not the messages, which crowd at the open.
            first = self._first_ns = self._first_ns or progress.venue_ns
            self._bar.update(progress.venue_ns, progress.venue_ns - first, hello.end_ns - first)

    def _on_end(self, problem: str | None) -> None:
        assert self._node is not None
        if problem is None:
            self._node.request_stop(ExitCode.OK, "the replay has ended")
        else:
            self._node.request_stop(ExitCode.CONNECT, problem)

    def _on_exit(self, code: int) -> None:
        assert self._node is not None
        words = self._exchange.last_words()
        self._node.request_stop(ExitCode.CONNECT, f"the simulated exchange ended by itself with code {code}{words}")


def _arrived(stats: Mapping[str, int]) -> int:
    return sum(stats.get(kind, 0) for kind in ("quotes", "trades", "bars", "other"))


def _left(stats: Mapping[str, int]) -> int:
    return sum(stats.get(kind, 0) for kind in ("delivered", "unmapped", "conflated", "dropped"))


async def _subscribed(node: Node, timeout_s: float) -> None:
    """Wait until the venue has confirmed what the strategies subscribed to when they started.

    Otherwise a second symbol misses the first steps, or not, as chance will have it.
    """
    assert node.parts is not None
    clients = list(node.parts.data_clients.values())
    engine = node.parts.kernel.data_engine

    def confirmed() -> bool:
        queued = engine.cmd_qsize() + engine.req_qsize()
        return not queued and all(client.subscriptions_confirmed for client in clients)

    # What the strategies asked for stands in the engine's queue only after the loop has turned.
    for _ in range(3):
        await asyncio.sleep(0)
    if not await Condition(period_s=0.002).until(confirmed, timeout_s):
        log.warning("some subscriptions are not confirmed after %g s", timeout_s)
