"""The node's own life: connect, reconcile, start, trade, wind down; each stage under a deadline, each end with a code.

Nautilus's own runner spins while it connects, stays up when nothing started, and can't be stopped when a coroutine
hangs (so its `run()` isn't called); see `stages` for how waiting always ends here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from runner.config.classes import EXEC_ALGORITHM, STRATEGY
from runner.node.books import Agreement
from runner.node.build import Adapter, NodePlan, Parts, build
from runner.node.closer import cancel_of_algorithm
from runner.node.closing import activities_before, close_books
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.explain import explain_connect
from runner.node.guard import Fault
from runner.node.stages import Interrupted, StageTimeout, bounded
from runner.node.takeback import TakeBack
from runner.node.tally import Tally
from runner.node.winddown import WindDown
from runner.risk.state import Scope

if TYPE_CHECKING:
    from runner.node.reload.reloader import Reloader

log = logging.getLogger("runner.node")


class Hook(Protocol):
    """Something that lives as long as the node: watchdog, metrics, control channel, lock. Called in the order given."""

    def built(self, node: Node) -> None:
        """The parts exist, nothing is connected."""

    async def reconciling(self, node: Node) -> None:
        """Clients are connected; what is still to be settled before reconciliation. Bounded by its deadline."""

    async def connected(self, node: Node) -> None:
        """Accounts are known and reconciled, strategies don't run yet."""

    async def started(self, node: Node) -> None:
        """All strategies have been started."""

    def faulted(self, node: Node, fault: Fault) -> None:
        """A strategy, an actor or an execution algorithm is down."""

    def replanned(self, node: Node) -> None:
        """A reload has put another plan in force; what it removes is gone, what it adds is not there yet."""

    async def reloaded(self, node: Node) -> None:
        """A reload is through: what it added runs, or has failed."""

    def stopping(self, node: Node) -> None:
        """The end has begun."""

    async def stopped(self, node: Node) -> None:
        """Orders are settled, the books are read; connections are still there."""


class StateKeeper(Protocol):
    """Where the saved state of strategies outlives the process."""

    async def kept(self, name: str) -> dict[str, bytes] | None: ...
    async def keep(self, name: str, state: dict[str, bytes]) -> None: ...


class BaseHook:
    """A hook that does nothing."""

    def built(self, node: Node) -> None: ...
    async def reconciling(self, node: Node) -> None: ...
    async def connected(self, node: Node) -> None: ...
    async def started(self, node: Node) -> None: ...
    def faulted(self, node: Node, fault: Fault) -> None: ...
    def replanned(self, node: Node) -> None: ...
    async def reloaded(self, node: Node) -> None: ...
    def stopping(self, node: Node) -> None: ...
    async def stopped(self, node: Node) -> None: ...


class Node:
    """One run of a plan. `await run()` returns the exit code; it doesn't raise but for KeyboardInterrupt."""

    def __init__(
        self,
        plan: NodePlan,
        adapter: Adapter,
        *,
        hooks: tuple[Hook, ...] = (),
        install_gate: Callable[[NodePlan, Parts], Any] | None = None,
    ) -> None:
        self.plan = plan
        self.parts: Parts | None = None
        self.gate: Any = None
        self.tally = Tally()
        self.books: dict[str, Agreement] = {}
        self.closing: dict[str, Any] = {}
        self._before: dict[str, frozenset[str]] = {}
        self.stage = "build"
        self.ready = False
        self.traded = False
        """Whether the strategies were started at all."""
        self.reloader: Reloader | None = None
        self.reloading = False
        """Whether a reload stops and starts strategies at this moment."""
        self.flattening = asyncio.Lock()
        """Held while a command closes positions."""
        self.keeper: StateKeeper | None = None
        self._kept: dict[str, dict[str, bytes]] = {}
        self._adapter = adapter
        self._hooks = hooks
        self._install_gate = install_gate
        self._stop = asyncio.Event()
        self._code = ExitCode.OK

    @property
    def ending(self) -> bool:
        """Whether the end has begun."""
        return self._stop.is_set()

    def request_stop(self, code: ExitCode = ExitCode.OK, why: str = "") -> None:
        """Begin the end. The first reason counts; on the loop's thread only."""
        if self._stop.is_set():
            return
        self._code = code
        if why:
            log.log(logging.INFO if code is ExitCode.OK else logging.ERROR, "%s", why)
        self._stop.set()

    async def kept_state(self, name: str) -> dict[str, bytes] | None:
        """What a strategy of this name saved last. Raises where it can't be read."""
        return self._kept.get(name) if self.keeper is None else await self.keeper.kept(name)

    async def keep_state(self, name: str, state: dict[str, bytes]) -> None:
        """Keep it for the next one of this name. Raises where it can't be written."""
        if not state:
            return
        self._kept[name] = state
        if self.keeper is not None:
            await self.keeper.keep(name, state)

    def replan(self, plan: NodePlan) -> None:
        """A reload puts another plan in force."""
        assert self.parts is not None
        self.plan, self.parts.config = plan, plan.config
        for hook in self._hooks:
            try:
                hook.replanned(self)
            except Exception:  # the strategies must still be started
                log.exception("%s could not follow the reload", type(hook).__name__)

    async def reloaded(self) -> None:
        """A reload is through."""
        for hook in self._hooks:
            try:
                await hook.reloaded(self)
            except Exception:
                log.exception("%s could not follow the reload", type(hook).__name__)

    async def run(self) -> ExitCode:
        try:
            await self._live()
        except Interrupted:
            pass
        except asyncio.CancelledError:  # nobody of ours does that
            self._code = ExitCode.FAILED
            log.error("a strategy's code, or a library of it, cancelled the node's own task, so the node ends")  # noqa: TRY400
        except NodeError as error:
            self._code = error.code
            log.error("%s", error.text())  # noqa: TRY400 (no traceback: it is an answer, not a fault)
        except Exception:
            self._code = ExitCode.FAILED
            log.exception("the node failed while it was to %s", self.stage)
        finally:
            self.ready = False
            self._stop.set()
        await self._end()
        return self._code

    async def _live(self) -> None:
        times = self.plan.config.node
        self.parts = build(self.plan, self._adapter, self.on_fault)
        self.parts.taking_back = TakeBack(self.parts)
        kernel = self.parts.kernel
        kernel.msgbus.subscribe("commands.system.shutdown", self._on_engine_failure)
        kernel.msgbus.subscribe("events.order.*", self._on_order_event)
        if self._install_gate is not None:
            self.gate = self._install_gate(self.plan, self.parts)
        else:
            self.parts.router.install(kernel.msgbus, kernel.exec_engine)
        for hook in self._hooks:
            hook.built(self)
        kernel.data_engine.start()
        kernel.risk_engine.start()
        kernel.exec_engine.start()
        self.stage = "connect"
        await self._connect(times.connect_timeout.total_seconds())
        self.stage = "reconcile"
        await self._reconcile(times.reconcile_timeout.total_seconds())
        self._before = await activities_before(self.parts.exec_clients, times.http_timeout.total_seconds())
        for hook in self._hooks:
            await hook.connected(self)
        self.stage = "start"
        kernel.emulator.start()
        kernel.portfolio.initialize_orders()
        kernel.portfolio.initialize_positions()
        kernel.trader.start()
        if not kernel.trader.is_running:
            raise NodeError(ExitCode.FAILED, "the strategies could not be started", "see the log above")
        self.ready = self.traded = True
        for hook in self._hooks:
            await hook.started(self)
        self.stage = "trade"
        await self._stop.wait()

    async def _connect(self, timeout_s: float) -> None:
        assert self.parts is not None
        named = [(f"feed {n}", c, self.plan.feeds[n]) for n, c in self.parts.data_clients.items()]
        named += [(f"account {n}", c, self.plan.accounts[n]) for n, c in self.parts.exec_clients.items()]

        async def one(client: Any) -> None:
            # What `connect()` does, but with the exception coming here instead of only into the log.
            await client._connect()
            client._set_connected(True)

        tasks = [asyncio.ensure_future(one(client)) for _, client, _ in named]

        async def every() -> None:
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

        try:
            await bounded(every(), timeout_s, stop=self._stop)
        except StageTimeout:
            late = [n for (n, c, _) in named if not c.is_connected]
            for name, client, endpoint in named:
                if not client.is_connected and (trouble := getattr(client, "trouble", "")):
                    raise explain_connect(ConnectionError(trouble), name, endpoint) from None
            raise NodeError(
                ExitCode.CONNECT,
                f"not connected within {timeout_s:g} s: {', '.join(late)}",
                "check the network and the venue's status, or raise node.connect_timeout",
            ) from None
        except Interrupted:
            raise
        except Exception as error:
            failed = next(
                (
                    (n, endpoint)
                    for (n, _, endpoint), task in zip(named, tasks, strict=True)
                    if task.done() and not task.cancelled() and task.exception() is error
                ),
                ("a client", named[0][2]),
            )
            raise explain_connect(error, *failed) from error

    async def _reconcile(self, timeout_s: float) -> None:
        assert self.parts is not None
        engine = self.parts.kernel.exec_engine
        problem = "orders of before the restart could not be settled: the venue does not say whether it has them"
        wait_s = timeout_s + self.plan.config.node.unknown_order_timeout.total_seconds()
        try:
            for hook in self._hooks:
                await bounded(hook.reconciling(self), wait_s, stop=self._stop)
        except StageTimeout:
            raise NodeError(ExitCode.RECONCILE, problem, "see the log above, and the account's orders") from None
        problem = f"orders and positions could not be reconciled within {timeout_s:g} s"
        try:
            if await bounded(engine.reconcile_execution_state(timeout_secs=timeout_s), timeout_s, stop=self._stop):
                return
            problem = "orders and positions could not be reconciled with the broker's"
        except StageTimeout:
            pass
        except Interrupted:
            raise
        except Exception as error:
            problem = f"orders and positions could not be reconciled: {error}"
            log.debug("reconciliation", exc_info=True)
        raise NodeError(
            ExitCode.RECONCILE,
            problem,
            "nothing was traded; the log above says which report failed, `log.level: debug` says more",
        )

    async def _end(self) -> None:
        """Wind down within the file's stop_timeout. Every step is bounded, and one that fails doesn't stop the next."""
        parts = self.parts
        if parts is None:
            return
        budget = self.plan.config.node.stop_timeout.total_seconds()
        started, self.stage = parts.kernel.trader.is_running, "stop"
        for hook in self._hooks:
            try:
                hook.stopping(self)
            except Exception:
                log.exception("%s failed while stopping", type(hook).__name__)
        if self.reloader is not None:
            await self._step("finish the reload", self.reloader.finish(), budget * 0.5)
        if started:
            await self._step("wind down the strategies", WindDown(self.plan, parts).run(budget * 0.5), budget * 0.55)
            self._stop_others(parts)
            await self._step("settle the books", self._close_books(budget * 0.25), budget * 0.3)
        for hook in self._hooks:
            await self._step(f"end {type(hook).__name__}", hook.stopped(self), budget * 0.1)
        clients = [*parts.data_clients.values(), *parts.exec_clients.values()]
        await self._step("disconnect", asyncio.gather(*(_disconnect(c) for c in clients)), max(budget * 0.15, 0.2))
        self._dispose(parts)

    def _stop_others(self, parts: Parts) -> None:
        """Actors and algorithms hear of all that the strategies do at their end."""
        for guard in parts.others():
            if guard.component.is_running:
                guard.component.stop()

    async def _close_books(self, timeout_s: float) -> None:
        assert self.parts is not None
        self.books, self.closing = await close_books(self.parts.exec_clients, self._before, timeout_s)

    async def _step(self, what: str, work: Any, timeout_s: float) -> None:
        async def awaited() -> None:
            await work

        try:
            await bounded(awaited(), timeout_s)
        except StageTimeout:
            log.warning("could not %s within %.1f s, going on", what, timeout_s)
        except Exception:
            log.exception("could not %s", what)

    def _dispose(self, parts: Parts) -> None:
        kernel = parts.kernel
        try:
            if kernel.trader.is_running:
                kernel.trader.stop()
            for engine in (kernel.data_engine, kernel.risk_engine, kernel.exec_engine, kernel.emulator):
                if engine.is_running:
                    engine.stop()
            kernel.dispose()
        except Exception:
            log.debug("dispose", exc_info=True)
        parts.executor.shutdown(wait=False, cancel_futures=True)

    def on_fault(self, fault: Fault) -> None:
        assert self.parts is not None
        if fault.kind is not STRATEGY:
            self._on_other_fault(fault)
            return
        account = self.parts.account_of(fault.name, self.plan)
        log.error(
            "strategy %s is stopped, its orders on account %s are cancelled: %s in %s\n%s",
            fault.name,
            account,
            fault.error,
            fault.where,
            fault.trace,
        )
        if self.gate is not None:
            why = f"{fault.error} in {fault.where}"
            self.gate.set_state("halted", scope=Scope("strategy", fault.name), why=why, by="fault")
        self.parts.taking_back.begin(fault.name)
        for hook in self._hooks:
            hook.faulted(self, fault)
        if all(guard.down for guard in self.parts.guards.values()) and not self.reloading:
            # Not from inside the handler: the commands just given must leave first.
            asyncio.get_running_loop().call_soon(
                self.request_stop, ExitCode.STRATEGY, "every strategy has failed, the node ends"
            )

    def _on_other_fault(self, fault: Fault) -> None:
        assert self.parts is not None
        algorithm = fault.kind is EXEC_ALGORITHM
        log.error(
            "%s %s is stopped%s: %s in %s\n%s",
            fault.kind.word,
            fault.name,
            ", what it has under way is cancelled" if algorithm else "",
            fault.error,
            fault.where,
            fault.trace,
        )
        if algorithm:
            cancel_of_algorithm(self.parts, fault.name)
        for hook in self._hooks:
            hook.faulted(self, fault)

    def _on_engine_failure(self, command: Any) -> None:
        self.request_stop(ExitCode.FAILED, f"Nautilus asked to shut down: {command.reason}")

    def _on_order_event(self, event: Any) -> None:
        assert self.parts is not None
        try:
            name = self.parts.names.get(event.strategy_id.value, event.strategy_id.value)
            self.tally.order_event(event, name)
        except Exception:
            log.exception("an order event could not be counted")


async def _disconnect(client: Any) -> None:
    await client._disconnect()
    await client.cancel_pending_tasks(timeout_secs=0.5)
    client._set_connected(False)
