"""Listens to a run: equity over time, prices of what is traded, fills.

It reads Nautilus's bus and keeps a ledger of its own, so that a run which is recorded trades as one that is not. Times
are the venue's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model.data import Bar
from nautilus_trader.model.events import OrderFilled

from runner.risk.ledger import Ledger
from runner.risk.prices import Prices

#: Every so often the books are valued (ns of venue time); with more points than `KEEP` every second one is dropped.
STEP_NS = 1_000_000_000
KEEP = 4_000
#: Instruments whose prices are kept whether or not they are traded.
MOST = 20
_FIRST = 1_000  # before the strategies, which may trade at the same instant


@dataclass(frozen=True, slots=True)
class Point:
    """Equity and cash of all accounts together, in USD."""

    ts_ns: int
    equity: Decimal
    cash: Decimal


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `quantity` is signed."""

    ts_ns: int
    strategy: str
    symbol: str
    quantity: Decimal
    price: Decimal


class Series[T]:
    """A series that stays short: when it grows too long, every second value goes, and later ones come half as often."""

    def __init__(self, keep: int = KEEP) -> None:
        self.values: list[T] = []
        self._keep = keep
        self._every = 1
        self._seen = 0

    def add(self, value: T) -> None:
        if self._seen % self._every == 0:
            self.values.append(value)
            if len(self.values) > self._keep:
                del self.values[1::2]
                self._every *= 2
        self._seen += 1


class Recorder:
    """`listen` once the accounts are known and before any strategy starts; `close` when everything is over."""

    def __init__(self, cache: Any, strategy_name: Callable[[str], str]) -> None:
        """`strategy_name`: of a strategy id (text), the name in the file."""
        self.fills: list[Fill] = []
        self.prices: dict[str, Series[tuple[int, Decimal]]] = {}
        self.points: Series[Point] = Series()
        self.first: Point | None = None
        self.last: Point | None = None
        self.peak: Decimal | None = None
        self.drawdown = Decimal(0)
        """The deepest fall below a peak, USD."""
        self.drawdown_ratio = Decimal(0)
        """The same as a part of that peak."""
        self.fees = Decimal(0)
        self._cache = cache
        self._name = strategy_name
        self._prices = Prices(cache)
        self._ledger = Ledger(cache, self._prices)
        self._seen: dict[str, Any] = {}
        self._traded: set[str] = set()
        self._due_ns = 0
        self._now_ns = 0

    def listen(self, msgbus: Any) -> None:
        self._ledger.begin()
        for kind in ("quotes", "trades", "bars"):
            msgbus.subscribe(f"data.{kind}.*", self._on_data, _FIRST)
        msgbus.subscribe("events.order.*", self._on_order_event, _FIRST)

    def close(self) -> None:
        """The last point, as things stand."""
        if self._now_ns:
            self._value(self._now_ns)
            if self.last is not None and self.points.values[-1:] != [self.last]:
                self.points.values.append(self.last)

    def price(self, instrument_id: Any) -> Decimal | None:
        """What one unit is worth now; None where nothing is known."""
        return self._prices.middle(instrument_id)

    def _on_data(self, data: Any) -> None:
        ts_ns = data.ts_event
        self._now_ns = max(self._now_ns, ts_ns)
        instrument_id = data.bar_type.instrument_id if isinstance(data, Bar) else data.instrument_id
        self._seen[instrument_id.symbol.value] = instrument_id
        if ts_ns >= self._due_ns:
            # A moment that lies on the grid, so that runs of the same data are valued at the same moments.
            self._due_ns = ts_ns - ts_ns % STEP_NS + STEP_NS
            self._value(ts_ns)

    def _value(self, ts_ns: int) -> None:
        for symbol, instrument_id in self._seen.items():
            # A whole chain of options is too much to draw: then it is what was traded.
            if len(self._seen) > MOST and symbol not in self._traded:
                continue
            price = self._prices.middle(instrument_id)
            if price is not None:
                self.prices.setdefault(symbol, Series()).add((ts_ns, price))
        accounts = [account.id for account in self._cache.accounts()]
        self._ledger.mark()
        equity = self._ledger.equities(accounts)
        if equity is None:
            return
        cash = sum((self._ledger.cash(account_id) for account_id in accounts), Decimal(0))
        point = Point(ts_ns, equity, cash)
        self.first = self.first or point
        self.last = point
        self.points.add(point)
        if self.peak is None or equity > self.peak:
            self.peak = equity
        fall = self.peak - equity
        self.drawdown = max(self.drawdown, fall)
        if self.peak > 0:
            self.drawdown_ratio = max(self.drawdown_ratio, fall / self.peak)

    def _on_order_event(self, event: Any) -> None:
        if not isinstance(event, OrderFilled) or not self._ledger.on_fill(event):
            return
        commission = event.commission
        if commission is not None and commission.currency == event.currency:
            self.fees += commission.as_decimal()
        qty: Decimal = event.last_qty.as_decimal()
        self._traded.add(event.instrument_id.symbol.value)
        self.fills.append(
            Fill(
                event.ts_event,
                self._name(event.strategy_id.value),
                event.instrument_id.symbol.value,
                qty if event.is_buy else -qty,
                event.last_px.as_decimal(),
            )
        )
