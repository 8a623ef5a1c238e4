"""What a cell of the grid does: a strategy's orders, the market and the clock, alike in a backtest and live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce, TriggerType
from nautilus_trader.model.identifiers import InstrumentId, new_generic_spread_id
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.derived import spread
from runner.node.gate import illegal, illegal_list
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook
from tests.risk.conftest import IBM
from tests.risk.test_margin_options import C100, C110, contract

START_NS = int(datetime(2026, 1, 12, 10, 0, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9
SECOND, HOUR = 10**9, 3600 * 10**9
BAC = InstrumentId.from_str("BAC.ALPACA")  # has no quote
CALLS = [contract(C100), contract(C110)]
#: One call of 100 is sold, one of 110 bought: at 8.00 and 3.00 it brings 5.00, and counts for 1,100 dollars.
VERTICAL = spread(new_generic_spread_id([(CALLS[0].id, -1), (CALLS[1].id, 1)]), [(CALLS[0], -1), (CALLS[1], 1)])
#: Two calls are sold and one is bought.
RATIO = spread(new_generic_spread_id([(CALLS[0].id, 1), (CALLS[1].id, -2)]), [(CALLS[0], 1), (CALLS[1], -2)])
OPTION_QUOTES = {C100: ("8.00", "8.00"), C110: ("3.00", "3.00")}
DAY = TimeInForce.DAY

#: Where the limits stand.
LEVELS: dict[str, Callable[[Limits], LimitsBook]] = {
    "top": lambda limits: LimitsBook(top=limits),
    "account": lambda limits: LimitsBook(accounts={"main": limits}),
    "strategy": lambda limits: LimitsBook(strategies={"s": limits}),
}

Do = Callable[["Hand"], Any]


@dataclass(frozen=True)
class Step:
    """Something that the strategy does, and the code that it is denied with; None where it passes."""

    do: Do
    code: str | None = None
    market: tuple[str, str] | None = None
    """IBM's bid and ask from here on."""
    call: tuple[str, str] | None = None
    """Those of the call of 100."""


@dataclass(frozen=True)
class Cell:
    """Steps under limits; the market is at 100.00 on both sides."""

    limits: Limits
    steps: Sequence[Step]
    stranger: bool = False
    """Whether nobody can tell the account."""


class Hours:
    """A schedule as the cell sets it."""

    over: str | None = None

    def closed(self, _strategy: str) -> str | None:
        return self.over

    def flattening(self, _strategy: str) -> str | None:
        return None


class Hand:
    """Sends the orders of one strategy. `market` is told by whoever runs the cell."""

    def __init__(self, cell: Cell, level: str) -> None:
        self.cell = cell
        self._level = level
        self.stranger = cell.stranger
        self.outage: str | None = None
        self.schedule = Hours()
        self.orders: list[Any] = []
        self.resting: Any = None
        self.other: Any = None
        self.sent = 0
        """Orders, lists and modifications."""
        self.strategy: Any = None
        self.gate: Any = None
        self._skipped_ns = 0
        self._age_ns: int | None = None
        self._aged = IBM

    def make_gate(self, kernel: Any) -> RiskGate:
        """As a node's, save that the clock is the test's, and faults can be put in."""
        return RiskGate(
            msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=self.book(self.cell.limits),
            **self.parts(),
        )  # fmt: skip

    def book(self, limits: Limits) -> LimitsBook:
        return LEVELS[self._level](limits)

    def parts(self) -> dict[str, Any]:
        return {
            "account_name": lambda _id: "main",
            "strategy_name": lambda _id: "s",
            "venue_now_ns": self.now_ns,
            "outage": lambda _account, _strategy: self.outage,
            "schedule": self.schedule,
            "legality": lambda order, instrument, params: illegal(order, instrument, params, None),
            "list_legality": lambda orders, find, params: illegal_list(orders, find, params, None),
            "account_of": lambda _command: None if self.stranger else self.strategy.cache.accounts()[0].id,
        }

    # -- time and limits -----------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """Venue time: it stands still until a step moves it, or goes with a quote at a distance."""
        if self._age_ns is not None:
            return int(self.strategy.cache.quote_tick(self._aged).ts_event) + self._age_ns
        return START_NS + self._skipped_ns

    def later(self, ns: int) -> None:
        self._skipped_ns += ns

    def age(self, ns: int, of: Any = IBM) -> None:
        """From now on the newest quote of that is so old."""
        self._age_ns, self._aged = ns, of

    def second(self) -> None:
        """Long enough for what is held to be valued anew."""
        self.later(SECOND)

    def nothing(self) -> None: ...

    def limit_to(self, limits: Limits) -> None:
        self.gate.set_limits(self.book(limits))

    def break_gate(self) -> None:
        """A bug in the gate: whatever it is asked, it raises."""

        def broken(*_args: Any, **_kwargs: Any) -> Any:
            raise RuntimeError("a bug")

        self.gate.judge.submit = self.gate.judge.modify = broken

    # -- orders --------------------------------------------------------------------------------------------------------

    def held(self) -> Decimal:
        positions = self.strategy.cache.positions_open(instrument_id=IBM)
        return sum((position.signed_decimal_qty() for position in positions), Decimal(0))

    def buy(self, qty: int, price: str | None = None, **more: Any) -> Any:
        return self.send(OrderSide.BUY, qty, price, **more)

    def sell(self, qty: int, price: str | None = None, **more: Any) -> Any:
        return self.send(OrderSide.SELL, qty, price, **more)

    def send(
        self,
        side: Any,
        qty: int,
        price: str | None = None,
        *,
        of: Any = IBM,
        tif: Any = DAY,
        emulated: bool = False,
    ) -> Any:
        factory, size = self.strategy.order_factory, Quantity.from_int(qty)
        if price is None:
            order = factory.market(of, side, size, time_in_force=tif)
        else:
            trigger = TriggerType.BID_ASK if emulated else TriggerType.NO_TRIGGER
            order = factory.limit(of, side, size, Price.from_str(price), time_in_force=tif, emulation_trigger=trigger)
        self.orders.append(order)
        self._submit(order)
        return order

    def _submit(self, order: Any) -> None:
        self.sent += 1
        self.strategy.submit_order(order)

    def emulate(self, side: Any, qty: int, **more: Any) -> Any:
        """An order that the emulator releases as soon as it sees the quote that is there."""
        quote = self.strategy.cache.quote_tick(IBM)
        price = quote.ask_price if side == OrderSide.BUY else quote.bid_price
        return self.send(side, qty, str(price), emulated=True, **more)

    def stop(self, qty: int, *, side: Any = OrderSide.BUY, tif: Any = DAY) -> Any:
        """Far from the market."""
        price = Price.from_str("110.00" if side == OrderSide.BUY else "90.00")
        order = self.strategy.order_factory.stop_market(IBM, side, Quantity.from_int(qty), price, time_in_force=tif)
        self.orders.append(order)
        self._submit(order)
        return order

    def rest(self, qty: int = 1, price: str = "90.00", **more: Any) -> None:
        """An order that stays, for `modify`."""
        self.resting = self.buy(qty, price, **more)

    def modify(self, qty: int | None = None, price: str | None = None) -> None:
        self.sent += 1
        size = None if qty is None else Quantity.from_int(qty)
        self.strategy.modify_order(self.resting, size, None if price is None else Price.from_str(price))

    def grow(self) -> None:
        self.modify(int(self.resting.quantity) + 1)

    def cancel(self, order: Any = None) -> None:
        self.strategy.cancel_order(self.resting if order is None else order)

    def cross(self) -> Any:
        """One more than is held, the other way."""
        held = self.held()
        return self.send(OrderSide.SELL if held > 0 else OrderSide.BUY, int(abs(held)) + 1)

    def bracket(
        self,
        qty: int,
        entry: str = "90.00",
        stop: str = "80.00",
        target: str = "110.00",
        *,
        side: Any = OrderSide.BUY,
        tif: Any = DAY,
    ) -> Any:
        orders = self.strategy.order_factory.bracket(
            IBM, side, Quantity.from_int(qty), time_in_force=tif, sl_time_in_force=tif, tp_time_in_force=tif,
            entry_order_type=OrderType.LIMIT, entry_price=Price.from_str(entry),
            sl_trigger_price=Price.from_str(stop), tp_price=Price.from_str(target), tp_post_only=False,
        )  # fmt: skip
        self.orders.extend(orders.orders)
        self.sent += 1
        self.strategy.submit_order_list(orders)
        return orders

    def spread(
        self, qty: int, price: str = "-5.50", *, side: Any = OrderSide.BUY, of: Any = VERTICAL, **more: Any
    ) -> Any:
        """Asks for more than there is, so that it rests."""
        return self.send(side, qty, price, of=of.id, **more)


class Seen:
    """What came of one step."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._sent, self._judged = hand.sent, self._count()
        hand.strategy.events.clear()

    def _count(self) -> int:
        return int(self._hand.gate.passed + sum(self._hand.gate.denied.values()))

    def codes(self) -> set[str]:
        """Empty where all passed."""
        found = codes_of(self._hand.strategy.events)
        if self._hand.sent > self._sent and self._count() == self._judged:
            found.add("the gate was never asked")
        return found


def codes_of(events: Sequence[Any]) -> set[str]:
    """Codes of what was denied; what somebody else than the gate refused, in words."""
    found = set()
    for event in events:
        name = type(event).__name__
        if name == "OrderDenied" or (name == "OrderModifyRejected" and event.reason.split(":")[0].isupper()):
            found.add(event.reason.split(":")[0])
        elif name in {"OrderRejected", "OrderModifyRejected", "OrderCancelRejected"}:
            found.add(f"{name}: {event.reason}")
    return found
