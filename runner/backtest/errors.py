"""What ends `fetch` and `backtest` with a sentence in place of a traceback."""

from __future__ import annotations

from runner.node.exit_codes import ExitCode, NodeError


class DataError(NodeError):
    """History that is not there or can't be used: what, where, and how to get it. Exit code 66."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(ExitCode.NO_DATA, message, hint)
