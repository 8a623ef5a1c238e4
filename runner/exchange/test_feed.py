"""FAKEPACA on `/v2/test`: made-up messages round the clock, stamped with the wall clock, whatever is replayed."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from itertools import count
from typing import Final

from runner.exchange.bars import MINUTE_NS, BarBuilder
from runner.exchange.calendar import Calendar
from runner.exchange.generator import Stock
from runner.exchange.hub import Hub
from runner.exchange.settings import Settings
from runner.exchange.wire import Message, canonical, loads, stamp

SYMBOL: Final = "FAKEPACA"


class TestFeed:
    """Publishes while somebody listens. It is not part of the replay: lock-step does not count it."""

    __test__ = False  # not a test case, whatever its name says

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._hub = hub
        self._interval_s = settings.test_interval_s
        self._builder = BarBuilder(Calendar())
        self._minute_ns = 0
        # A core session without end, from an arbitrary second: only the shape of the messages matters.
        stocks = (Stock(SYMBOL, settings.seed + run, settings.day) for run in count())
        self._messages = (message for stock in stocks for message in stock.day(60, 23_460, 60, 23_460, 1.0))

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            if self._hub.wants_test():
                self.publish(time.time_ns())
                self._hub.flush()

    def publish(self, now_ns: int) -> None:
        """Publish the next message as of `now_ns`, and the bar of the minute before when that has ended."""
        minute_ns = now_ns - now_ns % MINUTE_NS
        if minute_ns != self._minute_ns:
            for symbol, bar in self._builder.minutes():
                self._hub.publish_test(Message(now_ns, "b", symbol, canonical("b", symbol, bar.to_json())))
            self._minute_ns = minute_ns
        message = next(self._messages)
        fields = {**loads(message.raw), "t": stamp(now_ns)}
        if message.kind == "t":
            self._builder.trade(SYMBOL, Decimal(fields["p"]), Decimal(fields["s"]), now_ns, fields["c"])
        self._hub.publish_test(Message(now_ns, message.kind, SYMBOL, canonical(message.kind, SYMBOL, fields)))
