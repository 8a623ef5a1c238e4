"""The strategies that a bench names in its file. What they find out goes to a named pipe, one JSON line a round."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.data.engine import DataEngine
from nautilus_trader.live.data_engine import LiveDataEngine
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from benches.venue import END_SIZE
from runner.alpaca.data import AlpacaDataClient


class PipeConfig(StrategyConfig, frozen=True):
    """`report`: the pipe. `wanted`: quotes of one round."""

    instrument_id: InstrumentId
    report: str
    wanted: int = 0


def the_only(kind: type) -> Any:
    """The one object of a kind in this process: a strategy is not handed the engine that it runs in."""
    gc.unfreeze()  # the node has put what it was made of where the collector does not look
    try:
        return next(each for each in gc.get_objects() if isinstance(each, kind))
    finally:
        gc.freeze()


class Reporter(Strategy):
    """What they share."""

    def __init__(self, config: PipeConfig) -> None:
        super().__init__(config)

    def report(self, **values: Any) -> None:
        # What a strategy prints is a log line in this node, so the figures go another way.
        Path(self.config.report).write_text(json.dumps(values) + "\n")


class Counter(Reporter):
    """Says how long a round of quotes took from the first to the last, and the same ticks in a plain loop."""

    def __init__(self, config: PipeConfig) -> None:
        super().__init__(config)
        self.seen = 0
        self.began = 0.0
        self.plain = False
        self.kept: list[Any] = []

    def on_start(self) -> None:
        self.engine = the_only(LiveDataEngine)
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: Any) -> None:
        self.seen += 1
        if self.seen == 1:
            self.began = time.perf_counter()
        elif self.seen == self.config.wanted:
            took = time.perf_counter() - self.began
            self.seen = 0
            if not self.plain:
                asyncio.get_running_loop().call_soon(self.again, took)

    def again(self, took: float) -> None:
        """The engine's own limit: ready-made ticks, no socket, the same strategy behind its guard."""
        if not self.kept:
            client = the_only(AlpacaDataClient)
            quote = self.cache.quote_tick(self.config.instrument_id)
            self.kept = [
                type(quote)(
                    quote.instrument_id, quote.bid_price, quote.ask_price, quote.bid_size, quote.ask_size, ns, ns
                )
                for ns in range(quote.ts_event, quote.ts_event + self.config.wanted)
            ]
            assert client.stream_stats()["conflated"] == 0
        self.plain = True
        process, engine = DataEngine.process, self.engine
        began = time.perf_counter()
        for tick in self.kept:
            process(engine, tick)
        plain = time.perf_counter() - began
        self.plain = False
        self.report(seconds=took, plain=plain)


class Aged(Reporter):
    """Keeps the age of each quote that it is given; a trade of a known size says that a burst is over."""

    def on_start(self) -> None:
        self.client = the_only(AlpacaDataClient)
        self.start_anew()
        self.subscribe_quote_ticks(self.config.instrument_id)
        self.subscribe_trade_ticks(self.config.instrument_id)

    def start_anew(self) -> None:
        self.ages: list[int] = []
        self.waits: list[int] = []
        self.trades = 0
        self.newest = 0
        self.before = self.client.stream_stats()
        self.rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def on_quote_tick(self, tick: Any) -> None:
        now = time.time_ns()
        self.ages.append(now - tick.ts_event)
        self.waits.append(now - tick.ts_init)
        self.newest = tick.ts_event

    def on_trade_tick(self, tick: Any) -> None:
        if tick.size != END_SIZE:
            self.trades += 1
            return
        stats = self.client.stream_stats()
        counts = {name: stats[name] - self.before[name] for name in ("conflated", "dropped")}
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.rss
        cuts, waits = statistics.quantiles(self.ages, n=100), statistics.quantiles(self.waits, n=100)
        found = dict(
            quotes=len(self.ages), trades=self.trades, newest_ns=self.newest, grown_kb=grown, p50_ns=cuts[49],
            p99_ns=cuts[98], wait_p99_ns=waits[98], **counts,
        )  # fmt: skip
        # Before the report, which brings on the next burst.
        self.start_anew()
        self.report(**found)


class Starter(Reporter):
    """Says that it was started: from here on it would trade."""

    def on_start(self) -> None:
        self.report(started=True)


class ReactorConfig(StrategyConfig, frozen=True):
    """`trade_size`: shares of each order."""

    instrument_id: InstrumentId
    trade_size: Decimal = Decimal(1)


class Reactor(Strategy):
    """Sends a market order for each quote."""

    def __init__(self, config: ReactorConfig) -> None:
        super().__init__(config)

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.size = self.instrument.make_qty(self.config.trade_size)
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: Any) -> None:
        self.submit_order(
            self.order_factory.market(
                self.config.instrument_id, OrderSide.BUY, self.size, time_in_force=TimeInForce.DAY
            )
        )
