"""The report of a run (`--report`): recorded while it trades, written when the node is over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from runner.node.node import BaseHook, Node
from runner.node.summary import SummaryHook
from runner.report.page import wall, write_report
from runner.report.recorder import Recorder
from runner.report.statistics import statistics

log = logging.getLogger("runner.node")


class ReportHook(BaseHook):
    """Records from before the first strategy starts. Stands behind the hook that makes the summary."""

    def __init__(self, path: Path, summary: SummaryHook, what: str) -> None:
        """`what` was run, in words: a simulated run, for one."""
        self._path = path
        self._summary = summary
        self._what = what
        self._name = ""
        self._recorder: Recorder | None = None
        self._whole: dict[str, Any] | None = None

    async def connected(self, node: Node) -> None:
        assert node.parts is not None
        names, kernel = node.parts.names, node.parts.kernel
        self._name = node.plan.config.name
        self._recorder = Recorder(kernel.cache, lambda strategy_id: names.get(strategy_id, strategy_id))
        self._recorder.listen(kernel.msgbus)

    async def stopped(self, node: Node) -> None:
        summary = self._summary.summary
        if self._recorder is None or summary is None or node.parts is None:
            return
        self._recorder.close()
        self._whole = {
            **summary,
            "strategies": {name: node.tally.strategies.get(name, {}) for name in node.plan.strategies},
            "statistics": statistics(node.parts.kernel, self._recorder),
        }

    def write(self) -> None:
        """Write the page, if there was anything to record. That takes too long for the node's last seconds."""
        recorder, whole = self._recorder, self._whole
        if recorder is None or whole is None:
            return
        fact = self._what
        if recorder.first is not None and recorder.last is not None:
            fact += f" from {wall(recorder.first.ts_ns)[:16]} to {wall(recorder.last.ts_ns)[:16]}"
        try:
            write_report(self._path, recorder, whole, title=self._name, facts=[f"{fact}; times are New York's."])
        except OSError as error:
            log.error("the report %s can't be written: %s", self._path, error.strerror)  # noqa: TRY400
            return
        log.info("report: %s", self._path)
