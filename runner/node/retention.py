"""What a node that is up for weeks lets go of, so that neither its memory nor its latency grows."""

from __future__ import annotations

from runner.node.node import BaseHook, Node
from runner.report.lives import Lives
from runner.report.trades import Trades

#: Closed trades that Nautilus's analyzer can be asked about, the newest.
MOST_TRADES = 10_000


class RetentionHook(BaseHook):
    """Lets go while the node runs. With `keep`, for a report at the end, what statistics look at stays."""

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._lives: Lives | None = None

    def built(self, node: Node) -> None:
        assert node.parts is not None
        kernel = node.parts.kernel
        Trades(kernel.portfolio.analyzer, most=None if self._keep else MOST_TRADES)
        self._lives = Lives(kernel.cache, keep=self._keep)
        self._lives.listen(kernel.msgbus)

    async def stopped(self, node: Node) -> None:
        if self._lives is not None:
            self._lives.restore()
