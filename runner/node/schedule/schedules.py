"""The schedules of a node's strategies: what the gate, the adapter, status and metrics ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.alpaca.constants import NANOS
from runner.config.models import RunnerConfig
from runner.node.schedule.timetable import Moment, Timetable


class Schedules:
    """By the names of the file. `now_ns` is venue time, UNIX nanoseconds."""

    def __init__(self, config: RunnerConfig, calendar: TradingCalendar, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.tables: dict[str, Timetable] = {}
        self.busy = False
        """Whether something that happened is still to be looked at: in lock-step the venue waits for that."""
        self.left: Callable[[str], int] = lambda _strategy: 0
        """How many positions a strategy still has that its schedule was to have closed; who closes them says so."""
        self._calendar = calendar
        self._said: dict[str, tuple[Moment, str]] = {}
        self.follow(config)

    def follow(self, config: RunnerConfig) -> None:
        """Obey this file from now on."""
        tables = {}
        for name, strategy in config.strategies.items():
            if strategy.schedule is None:
                continue
            round_the_clock = config.feeds[strategy.feed].market == "crypto"
            tables[name] = Timetable(strategy.schedule, None if round_the_clock else self._calendar)
        self.tables = tables

    def moment(self, strategy: str) -> Moment | None:
        """What holds for a strategy now; None where it has no schedule."""
        table = self.tables.get(strategy)
        return None if table is None else table.at(self.now_ns())

    def closed(self, strategy: str) -> str | None:
        """What keeps a strategy from opening anything now, in words."""
        moment = self.moment(strategy)
        if moment is None or moment.open:
            return None
        said = self._said.get(strategy)
        if said is None or said[0] is not moment:
            said = self._said[strategy] = (moment, self._why(strategy, moment))
        return said[1]

    def _why(self, strategy: str, moment: Moment) -> str:
        if not moment.known:
            return f"strategies.{strategy}.schedule goes by the exchange's calendar, which could not be read yet"
        opens_ns = self.tables[strategy].opens_ns(self.now_ns())
        until = "" if opens_ns is None else f" until {when(opens_ns)}"
        return f"strategies.{strategy}.schedule lets nothing be opened{until}"

    def flattening(self, strategy: str) -> str | None:
        """What keeps a strategy from letting orders rest now, in words: its positions are being closed."""
        moment = self.moment(strategy)
        if moment is None or not moment.flat:
            return None
        return f"strategies.{strategy}.schedule is closing its positions"


def when(ts_ns: int) -> str:
    """A time as a person in New York says it."""
    return f"{datetime.fromtimestamp(ts_ns // NANOS, NEW_YORK):%a %Y-%m-%d %H:%M:%S}".removesuffix(":00")
