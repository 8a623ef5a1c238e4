"""Counts what happened to orders, for the summary, and says each fill as it comes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.model.events import (
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
)

from runner.node.progress import fill_line
from runner.risk.codes import Code
from runner.risk.halves import half_of

log = logging.getLogger("runner.fills")
_KINDS = {
    OrderSubmitted: "submitted",
    OrderAccepted: "accepted",
    OrderCanceled: "canceled",
    OrderRejected: "rejected",
    OrderDenied: "denied",
}
#: In the ids of fills that belong to a leg of an order.
LEG = "-LEG-"
STATES = ("submitted", "accepted", "filled", "canceled", "rejected", "denied")


@dataclass
class Tally:
    """Orders by what became of them (each counted once a state) and fills of this node's strategies.

    Positions that are set off against each other are none: nothing was executed.
    """

    fills: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    """Orders denied, by the code that their reason begins with."""
    strategies: dict[str, Counter[str]] = field(default_factory=dict)
    """By strategy: the states of its orders, and `fills`."""
    seen: dict[str, set[str]] = field(default_factory=lambda: {state: set() for state in STATES})
    gone: Counter[str] = field(default_factory=Counter)
    """Orders that were let go of, by state."""
    listeners: list[Callable[[Any, str], None]] = field(default_factory=list)
    _off_hours: set[str] = field(default_factory=set)
    """Strategies whose last order was denied by their schedule."""

    def order_event(self, event: Any, strategy: str) -> None:
        """`strategy` is the name in the file; orders from outside carry Nautilus's `EXTERNAL`."""
        # Before the line is written: who reads it and then the metrics must find it counted.
        for listener in self.listeners:
            listener(event, strategy)
        kind = _KINDS.get(type(event))
        key = event.client_order_id.value
        if (counts := self.strategies.get(strategy)) is None:
            counts = self.strategies[strategy] = Counter()
        if kind is not None and key not in self.seen[kind]:
            self.seen[kind].add(key)
            counts[kind] += 1
            if kind == "denied":
                self.denials[event.reason.partition(":")[0]] += 1
        if kind in ("rejected", "denied"):
            # A strategy that goes on trying outside of its hours would fill the log with nothing else.
            again = event.reason.startswith(Code.SCHEDULE_CLOSED) and strategy in self._off_hours
            level = logging.DEBUG if again else logging.WARNING
            log.log(level, "%s: order %s %s: %s", strategy, key, kind, event.reason)
        if kind == "submitted":
            self._off_hours.discard(strategy)
        elif kind == "denied" and event.reason.startswith(Code.SCHEDULE_CLOSED):
            self._off_hours.add(strategy)
        if isinstance(event, OrderFilled) and half_of(event) is None:
            # A spread trades as its legs, whose fills follow: they are what was executed, and the spread is the order.
            if LEG not in key and key not in self.seen["filled"]:
                self.seen["filled"].add(key)
                counts["filled"] += 1
            if not event.instrument_id.symbol.value.startswith("("):
                self.fills += 1
                counts["fills"] += 1
                if log.isEnabledFor(logging.INFO):
                    log.info("%s", fill_line(strategy, event))

    def orders(self) -> dict[str, int]:
        return {state: len(keys) + self.gone[state] for state, keys in self.seen.items()}

    def let_go(self, key: str) -> None:
        """Of an order that has ended only the number is kept."""
        for state, keys in self.seen.items():
            if key in keys:
                keys.remove(key)
                self.gone[state] += 1

    def take_back(self, key: str, events: Iterable[Any]) -> None:
        """The opposite, of an order that had these events: should one come again, it is not counted twice."""
        for state in {_KINDS.get(type(event), "filled" if isinstance(event, OrderFilled) else "") for event in events}:
            if state and key not in self.seen[state]:
                self.seen[state].add(key)
                self.gone[state] -= 1
