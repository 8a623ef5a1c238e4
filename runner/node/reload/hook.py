"""The reload beside the node: SIGHUP, the watch, and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from runner.metrics.registry import Metrics
from runner.node.logs import log_names
from runner.node.node import BaseHook, Node
from runner.node.reload.origin import Origin
from runner.node.reload.reloader import Reloader
from runner.node.reload.report import Result
from runner.node.remote.commands import Command, Commands, Refused

log = logging.getLogger("runner.node")
# What the file system tells is gathered for so long (milliseconds); `reload.settle` comes on top.
_DEBOUNCE_MS, _STEP_MS = 100, 20


class ReloadHook(BaseHook):
    """Stands behind the telemetry and the control server among the hooks.

    `metrics` gives the node's metrics once it is built. `watch` is the command line's, beside the file's.
    `on_names` hears what the log calls the components after each reload.
    """

    def __init__(
        self,
        origin: Origin,
        metrics: Callable[[], Metrics | None],
        *,
        watch: bool = False,
        on_names: Callable[[set[str]], None] = lambda _: None,
    ) -> None:
        self._origin = origin
        self._metrics = metrics
        self._always = watch
        self._on_names = on_names
        self._node: Node | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._again = asyncio.Event()

    def built(self, node: Node) -> None:
        self._node = node
        node.reloader = reloader = Reloader(node, self._origin)
        reloader.listeners.append(self._tell)
        if (metrics := self._metrics()) is not None:
            metrics.loaded(reloader.hash)

    async def started(self, node: Node) -> None:
        self._watching = asyncio.create_task(self._watch(node), name="watch")

    async def reloaded(self, node: Node) -> None:
        self._on_names(log_names(node.plan))
        self._again.set()

    def stopping(self, node: Node) -> None:
        for task in (self._watching, *self._asked):
            if task is not None:
                task.cancel()

    def request(self, who: str, why: str) -> None:
        """Reload, as a command of `who`. On the loop's thread; what comes of it is in the log."""
        if len(self._asked) > 1:  # one is carried out, and the one that waits will see the file as it is then
            return
        task = asyncio.get_running_loop().create_task(self._do(who, why))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _do(self, who: str, why: str) -> None:
        assert self._node is not None
        # Nobody stands there to be told to try again; and what was saved during a reload must not be missed.
        if self._node.reloader is not None:
            await self._node.reloader.idle()
        with contextlib.suppress(Refused):  # audited already
            await Commands(self._node).do("reload", Command(why=why), who)

    def _tell(self, result: Result) -> None:
        metrics, node = self._metrics(), self._node
        if metrics is not None and node is not None and node.reloader is not None:
            metrics.reloaded(result, successful=result in ("applied", "unchanged"), hash_=node.reloader.hash)

    async def _watch(self, node: Node) -> None:
        """Reload whenever the files have come to rest with another content than was looked at last."""
        reloader = node.reloader
        assert reloader is not None
        told = False
        while True:
            self._again.clear()
            if not (self._always or node.plan.config.reload.watch):
                await self._again.wait()
                continue
            if not told:
                log.info("watching %s", ", ".join(map(str, reloader.origin.files)))
                told = True
            try:
                await self._follow(node, reloader)
            except OSError as error:
                log.error("the files can't be watched, `runner reload` still works: %s", error)  # noqa: TRY400
                await self._again.wait()

    async def _follow(self, node: Node, reloader: Reloader) -> None:
        """Until a reload may have changed what is to be watched. Raises OSError."""
        from watchfiles import awatch

        # Folders, because editors put a new file in the old one's place; a link's target lies in another.
        folders = {each.parent for path in reloader.origin.files for each in (path.absolute(), path.resolve())}
        changes = awatch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._again,
            recursive=False,
        )
        await self._settled(node, reloader)  # what was saved before the watch began
        async for _ in changes:
            await self._settled(node, reloader)

    async def _settled(self, node: Node, reloader: Reloader) -> None:
        settle_s = node.plan.config.reload.settle.total_seconds()
        found = reloader.origin.fingerprint()
        while found != reloader.seen:
            await asyncio.sleep(settle_s)
            before, found = found, reloader.origin.fingerprint()
            if found == before and found != reloader.seen:
                await self._do("watch", "the file was saved")
                return
