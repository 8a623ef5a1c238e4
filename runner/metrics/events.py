"""From Nautilus's order events to counters and latencies.

Latencies are told by the node's clock (`ts_init` of events and ticks), which in a replay at speed still runs at 1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.metrics.registry import Metrics

# By the event's class name: nothing here needs Nautilus to be imported, so neither does a scrape's test.
_STATES = {
    "OrderSubmitted": "submitted",
    "OrderAccepted": "accepted",
    "OrderCanceled": "canceled",
    "OrderRejected": "rejected",
    "OrderDenied": "denied",
    "OrderExpired": "expired",
}
_OVER = {"OrderCanceled", "OrderRejected", "OrderDenied", "OrderExpired"}
_REMEMBERED = 10_000
#: In the info of the two fills by which positions are set off against each other, as `runner.risk.halves` has it.
_HALF = "half"


class OrderEvents:
    """Counts events, and remembers of each working order when it was decided on and acknowledged."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._cache: Any = None
        self._strategies: dict[str, str] = {}
        self._accounts: dict[str, str] = {}
        self._homes: dict[str, str] = {}
        self._decisions: list[float] = []
        self._steps: OrderedDict[Any, tuple[str, int]] = OrderedDict()
        self._filled: OrderedDict[Any, None] = OrderedDict()

    def attach(
        self,
        cache: Any,
        *,
        strategies: dict[str, str] | None = None,
        accounts: dict[str, str] | None = None,
        homes: dict[str, str] | None = None,
    ) -> None:
        """Tell what ids mean: `strategies` and `accounts` map an id's text to the file's name for it.

        `homes` maps a strategy's name to its account's, for events that carry no account yet. `cache` is Nautilus's,
        for the newest tick and for whether an order is filled.
        """
        self._cache = cache
        self._strategies = strategies or {}
        self._accounts = accounts or {}
        self._homes = homes or {}

    def names(self, event: Any) -> tuple[str, str]:
        """The strategy and the account of an event, as the file calls them."""
        id_ = event.strategy_id.value
        strategy = self._strategies.get(id_, id_.rpartition("-")[2])
        if event.account_id is None:
            return strategy, self._homes.get(strategy, "")
        account = event.account_id.value
        return strategy, self._accounts.get(account, account.partition("-")[0])

    def handle(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "OrderInitialized":
            self._decided(event)
            return
        if self._decisions:
            self._observe_decisions()
        strategy, account = self.names(event)
        if kind == "OrderFilled":
            if _HALF in (event.info or {}):
                return  # nothing was executed
            self._metrics.fill(strategy, account)
            if self._complete(event):
                self._metrics.order("filled", strategy, account)
        elif (state := _STATES.get(kind)) is not None:
            self._metrics.order(state, strategy, account)
        if kind in ("OrderDenied", "OrderModifyRejected"):
            code = event.reason.partition(":")[0]
            # A modification that the venue refused is no denial; one that the gate refused begins with its code.
            if kind == "OrderDenied" or (code.isupper() and "_" in code and " " not in code):
                self._metrics.denied(code, strategy, account)
        self._time(kind, event)

    def _complete(self, event: Any) -> bool:
        order = self._cache.order(event.client_order_id) if self._cache is not None else None
        if order is None or not order.is_closed or event.client_order_id in self._filled:
            return False
        _remember(self._filled, event.client_order_id, None)
        return True

    def _time(self, kind: str, event: Any) -> None:
        id_ = event.client_order_id
        if kind == "OrderAccepted":
            self._observe(id_, "decision_to_ack", event.ts_init)
            _remember(self._steps, id_, ("ack_to_fill", event.ts_init))
        elif kind == "OrderFilled":
            self._observe(id_, "ack_to_fill", event.ts_init)
        elif kind in _OVER:
            self._steps.pop(id_, None)

    def _decided(self, event: Any) -> None:
        """The order has not left yet: what can be done later is done at the next event."""
        id_ = event.client_order_id
        tick_ns = self._newest_tick_ns(event.instrument_id, event.ts_init)
        if tick_ns is not None:
            self._decisions.append((event.ts_init - tick_ns) / 1e9)
        # What an execution algorithm carries out is sent when the algorithm likes; its parts are orders, too.
        if event.exec_spawn_id != id_:
            _remember(self._steps, id_, ("decision_to_ack", event.ts_init))

    def _observe_decisions(self) -> None:
        for seconds in self._decisions:
            self._metrics.observe_latency("tick_to_decision", seconds)
        self._decisions.clear()

    def _observe(self, id_: Any, step: str, now_ns: int) -> None:
        begun = self._steps.pop(id_, None)
        if begun is not None and begun[0] == step:
            self._metrics.observe_latency(step, (now_ns - begun[1]) / 1e9)

    def _newest_tick_ns(self, instrument_id: Any, now_ns: int) -> int | None:
        if self._cache is None:
            return None
        ticks = [self._cache.quote_tick(instrument_id), self._cache.trade_tick(instrument_id)]
        ticks += [self._cache.bar(bar_type) for bar_type in self._cache.bar_types(instrument_id)]
        known = [tick.ts_init for tick in ticks if tick is not None and tick.ts_init <= now_ns]
        return max(known, default=None)


def _remember(memory: OrderedDict[Any, Any], id_: Any, value: Any) -> None:
    memory[id_] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
