"""The one way by which a running node takes a changed file over, whoever asks for it; one at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.config.diff import digest
from runner.config.fresh import Sources
from runner.node.node import Node
from runner.node.reload.apply import apply
from runner.node.reload.origin import Origin
from runner.node.reload.prepare import Prepared, prepare
from runner.node.reload.report import Busy, CheckFailed, Result

log = logging.getLogger("runner.node")


class Reloader:
    """Reloads one node. `listeners` hear of each reload's result; they are called on the loop."""

    def __init__(self, node: Node, origin: Origin) -> None:
        self.origin = origin
        self.seen = origin.loaded or origin.fingerprint()
        """Of the files as they were looked at last."""
        self.hash = digest(node.plan.config)
        self.listeners: list[Callable[[Result], None]] = []
        self.last: dict[str, Any] | None = None
        """Result, outcome and time (UNIX seconds) of the last reload; None before there was one."""
        self._node = node
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._applying = False
        self._sources = Sources()
        self._sources.take(self._sources.look())

    async def plan(self, files: Sequence[Path] = ()) -> dict[str, Any]:
        """What a reload would do, with every check it would make; nothing is changed. Raises Busy."""
        async with self._one():
            try:
                prepared = await self._prepare(files)
            except CheckFailed as error:
                return self._answer("refused" if error.refused else "failed", str(error), None, error.problems)
            prepared.code.close()
            result: Result = "applied" if prepared.steps else "unchanged"
            outcome = prepared.steps.summary(done=False) if prepared.steps else "nothing to do"
            return self._answer(result, outcome, prepared)

    async def reload(self, files: Sequence[Path] = ()) -> dict[str, Any]:
        """Do it. Raises Busy; every other trouble is in the answer."""
        async with self._one():
            # A task of its own: whoever asked may go away, and then it still comes to its end.
            self._task = asyncio.create_task(self._reload(files), name="reload")
            try:
                answer = await asyncio.shield(self._task)
            except asyncio.CancelledError:
                if not self._task.cancelled():  # it is whoever asked that goes
                    raise
                return self._answer("failed", "the node ends, and the reload is given up", None)
        result: Result = answer["result"]
        self.last = {"result": result, "outcome": answer["outcome"], "at": time.time()}
        for listener in self.listeners:
            listener(result)
        return answer

    async def finish(self) -> None:
        """The node ends: a reload that still checks is given up, one that applies comes to its end."""
        if self._task is None or self._task.done():
            return
        if not self._applying:
            self._task.cancel()
        await asyncio.wait([self._task])

    async def idle(self) -> None:
        """Wait until no reload is under way."""
        async with self._lock:
            pass

    def _one(self) -> asyncio.Lock:
        if self._lock.locked():
            raise Busy
        return self._lock

    async def _prepare(self, files: Sequence[Path]) -> Prepared:
        origin = replace(self.origin, files=tuple(files)) if files else self.origin
        return await prepare(self._node, origin, self._sources, self.origin)

    async def _reload(self, files: Sequence[Path]) -> dict[str, Any]:
        try:
            fingerprint = self.origin.fingerprint()
            prepared = await self._prepare(files)
        except CheckFailed as error:
            log.error("the reload is not done, everything stays as it was: %s", error.text())  # noqa: TRY400
            return self._answer("refused" if error.refused else "failed", str(error), None, error.problems)
        except Exception as error:
            log.exception("the reload is not done, everything stays as it was")
            return self._answer("failed", f"a check itself failed: {type(error).__name__}", None)
        finally:
            self.seen = fingerprint
        try:
            if not prepared.steps:
                prepared.code.keep()
                return self._answer("unchanged", "nothing to do", prepared)
            self._applying = self._node.reloading = True
            problems = await apply(self._node, prepared)
        except Exception as error:
            log.exception("the reload was not carried out whole")
            return self._answer("incomplete", "it broke off", None, [f"{type(error).__name__}: {error}"])
        finally:
            self._applying = self._node.reloading = False
            prepared.code.close()
        self.origin, self.hash = prepared.origin, digest(prepared.plan.config)
        if files:
            self.seen = self.origin.fingerprint()
        await self._node.reloaded()
        for problem in problems:
            log.error("reload: %s", problem)
        return self._answer(
            "incomplete" if problems else "applied", prepared.steps.summary(done=True), prepared, problems
        )

    def _answer(
        self, result: Result, outcome: str, prepared: Prepared | None, problems: Sequence[str] = ()
    ) -> dict[str, Any]:
        if result == "incomplete":
            outcome = f"{outcome}; {'; '.join(problems)}"
        return {
            "result": result,
            "outcome": outcome,
            "hash": self.hash if prepared is None else digest(prepared.plan.config),
            "changes": None if prepared is None else prepared.steps.as_dict(),
            "problems": list(problems),
            "left": {},
        }
