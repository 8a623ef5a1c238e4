"""The core session in a backtest: what is sent outside of it waits for the next opening, and DAY orders end with it.

Nautilus's venue trades whenever there is a price. Alpaca takes an order at night and lets it wait, unless it says
`extended_hours`. Pairs trade round the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ComponentId
from nautilus_trader.model.instruments import CurrencyPair

from runner.alpaca.calendar import TradingCalendar
from runner.alpaca.models import CalendarDay
from runner.exchange.calendar import Calendar
from runner.node.algorithms import orders_of
from runner.risk.answers import PROCESS, order_canceled

_SECOND = 1_000_000_000


def trading_calendar(start_ns: int, end_ns: int) -> TradingCalendar:
    """What Alpaca's calendar says of the days between two times (UNIX ns), and a few around them."""
    rules, found = Calendar(), TradingCalendar()
    first, last = (datetime.fromtimestamp(each // _SECOND, UTC).date() for each in (start_ns, end_ns))
    first, last = first - timedelta(days=7), last + timedelta(days=7)
    days = [day for n in range((last - first).days + 1) if rules.is_trading_day(day := first + timedelta(days=n))]
    rows = [
        CalendarDay(
            date=day.isoformat(),
            open=f"{rules.open_time(day):%H:%M}",
            close=f"{rules.close_time(day):%H:%M}",
            session_close=f"{rules.session_close_time(day):%H%M}",
        )
        for day in days
    ]
    found.fill(rows, first, last)
    return found


class CoreSession(Actor):
    """Stands behind the gate: `execute` is where what passed goes."""

    def __init__(self, kernel: Any, execute: Callable[[Any], None]) -> None:
        super().__init__(ActorConfig(component_id=ComponentId("runner-CoreSession")))
        self._kernel = kernel
        self._inner = execute
        self.over = False
        """Set when the data has ended: from then on nothing waits for an opening that never comes."""
        self._calendar = Calendar()
        self._held: dict[Any, Any] = {}  # client order id to the command that waits
        self._extended: set[Any] = set()

    def on_start(self) -> None:
        self._alarms()

    def is_core(self, ts_ns: int) -> bool:
        """Whether stocks trade in their core session at a time (UNIX ns); holidays and half days are known."""
        return self._calendar.session(ts_ns) == "core"

    def is_extended(self, client_order_id: Any) -> bool:
        """Whether an order was sent for the extended hours, too."""
        return client_order_id in self._extended

    # -- commands ----------------------------------------------------------------------------------------------------

    def execute(self, command: Any) -> None:
        """Pass a command on, or keep it until the opening."""
        if isinstance(command, SubmitOrder | SubmitOrderList):
            orders = orders_of(command)
            if (command.params or {}).get("extended_hours"):
                self._extended.update(order.client_order_id for order in orders)
            elif not self.over and not self._pair(orders[0]) and not self.is_core(self.clock.timestamp_ns()):
                self._held.update((order.client_order_id, command) for order in orders)
                return
        elif isinstance(command, CancelOrder):
            if self._take_back([command.client_order_id]):
                return
        elif isinstance(command, BatchCancelOrders):
            if self._take_back([cancel.client_order_id for cancel in command.cancels]) == len(command.cancels):
                return
        elif isinstance(command, CancelAllOrders):
            self._take_back(self._matching(command))
        self._inner(command)

    def take_back_all(self, strategy_id: Any) -> None:
        """Cancel what of a strategy still waits."""
        cache = self._kernel.cache
        self._take_back([key for key in self._held if cache.order(key).strategy_id == strategy_id])

    def _matching(self, command: Any) -> list[Any]:
        return [
            order.client_order_id
            for order in map(self._kernel.cache.order, self._held)
            if order.strategy_id == command.strategy_id
            and order.instrument_id == command.instrument_id
            and command.order_side in (OrderSide.NO_ORDER_SIDE, order.side)
        ]

    def _take_back(self, keys: Iterable[Any]) -> int:
        """Cancel waiting orders, each with its list; how many of `keys` waited."""
        found = [self._held[key] for key in keys if key in self._held]
        for command in dict.fromkeys(found):
            for order in orders_of(command):
                self._held.pop(order.client_order_id, None)
                self._canceled(order)
        return len(found)

    def _canceled(self, order: Any) -> None:
        self._kernel.msgbus.send(PROCESS, order_canceled(order, self.clock.timestamp_ns()))

    # -- the day -----------------------------------------------------------------------------------------------------

    def _alarms(self) -> None:
        now_ns = self.clock.timestamp_ns()
        opens, closes = self._calendar.next_open(now_ns), self._calendar.next_close(now_ns)
        self._at("open", opens, self._open)
        self._at("close", closes, lambda _event: self._close(extended=False))
        day = datetime.fromtimestamp(closes // _SECOND, UTC).date()  # 16:00 in New York is the same day in UTC
        self._at("extended close", self._calendar.session_close(day), lambda _event: self._close(extended=True))

    def _at(self, name: str, ts_ns: int, callback: Callable[[Any], None]) -> None:
        self.clock.set_time_alert_ns(name, ts_ns, callback)

    def _open(self, _event: Any) -> None:
        waiting = list(dict.fromkeys(self._held.values()))
        self._held.clear()
        for command in waiting:
            self._inner(command)

    def _close(self, *, extended: bool) -> None:
        cache = self._kernel.cache
        for order in cache.orders_open():
            ends = order.time_in_force == TimeInForce.DAY and (order.client_order_id in self._extended) == extended
            if ends and not self._pair(order) and not order.is_pending_cancel:
                self._inner(
                    CancelOrder(
                        order.trader_id,
                        order.strategy_id,
                        order.instrument_id,
                        order.client_order_id,
                        order.venue_order_id,
                        UUID4(),
                        self.clock.timestamp_ns(),
                    )
                )
        if extended:
            self._alarms()

    def _pair(self, order: Any) -> bool:
        return isinstance(self._kernel.cache.instrument(order.instrument_id), CurrencyPair)
