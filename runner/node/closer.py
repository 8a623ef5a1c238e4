"""Taking orders back and closing positions of some strategies, and of whoever else trades their accounts.

The order matters. Resting orders are cancelled first and waited for, as they hold the shares that are to be sold. Then
short options are bought back, since what is held beside them (longs of the spread, shares) is their cover; the rest is
closed after that, and where a short could not be bought back, its cover is kept.

The broker knows an account's position alone, so no order may be larger than that: opposite positions of one instrument
are set off against each other first (`netting`), and where others keep the opposite, as much is closed as the account
holds. What goes beyond would open at the venue. It is sent by itself, and judged by the gate like any order that opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.enums import InstrumentClass, OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import ClientId, ClientOrderId
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Quantity
from nautilus_trader.model.orders import MarketOrder, Order

from runner.node.build import Parts
from runner.node.netting import net, refusal, set_off
from runner.node.stages import Condition

log = logging.getLogger("runner.node")
NODE_TAG = "RUNNER_STOP"
"""On every order that closes for the node: for whoever reads it later. It is told by `Parts.closing` alone."""
# A closing order that was denied or rejected (a share is still held, another strategy's order is in its way) is sent
# again: when the account's position has changed, or after this time.
TRIES = 5
PAUSE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Owner:
    """Who trades an account of the file and is not in it: `EXTERNAL`, or a strategy that was taken out."""

    name: str
    strategy_id: Any
    account_id: Any
    client_id: ClientId


@dataclass(frozen=True, slots=True)
class Closing:
    """What became of one position: quantity (signed) and symbol as it was, `why` in words unless it is closed.

    `working`: its closing order is at the venue. `refused`: the gate, or the venue, did not take one. `kept`: none was
    sent.
    """

    owner: str
    quantity: str
    symbol: str
    result: Literal["closed", "working", "refused", "kept"]
    why: str = ""

    def __str__(self) -> str:
        what = f"{self.owner}: {self.quantity} {self.symbol}"
        return {
            "closed": f"{what} is closed",
            "working": f"{what} is not closed yet: {self.why}",
            "refused": f"{what} is not closed: {self.why}",
            "kept": f"{what} is kept: {self.why}",
        }[self.result]


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be brought to its end in time, client order ids and positions; and positions that are closed."""

    orders: tuple[str, ...] = ()
    positions: tuple[Closing, ...] = ()
    closed: tuple[Closing, ...] = ()
    elsewhere: int = 0
    """Orders among those cancelled that were placed elsewhere, or by a strategy that is not in the file any more."""
    unread: tuple[str, ...] = ()
    """Of which accounts it could not be read what works there, and why."""

    def __bool__(self) -> bool:
        return bool(self.orders or self.positions or self.unread)


def cancel_orders(
    parts: Parts,
    name: str,
    *,
    sent: set[str] | None = None,
    spare: Collection[str] = frozenset(),
    everything: bool = False,
) -> int:
    """Ask for the cancellation of all that a strategy has working, except (unless `everything`) closing orders that the
    node itself sent; how many it asked.

    `sent` are client order ids that were asked for before, and aren't again; `spare` ones are left alone.
    """
    strategy = parts.strategies.get(name)
    if strategy is None:  # a reload has removed it meanwhile
        return 0
    asked = 0
    for order in parts.kernel.cache.orders(strategy_id=strategy.id):
        key = order.client_order_id.value
        if key in spare or (sent is not None and key in sent):
            continue
        if not cancel_order(parts, name, order, everything=everything):
            continue
        asked += 1
        if sent is not None:
            sent.add(key)
    return asked


def cancel_order(parts: Parts, name: str, order: Any, *, everything: bool = False) -> bool:
    """Ask for the cancellation of a strategy's order, as `cancel_orders` does of each; whether it could be asked."""
    if order.is_closed or order.is_pending_cancel:
        return False
    # An order of which nothing has come back yet can't be cancelled: whoever wants that looks again when it has.
    if order.status == OrderStatus.INITIALIZED and not parts.algorithms.holds(order):
        return False
    if order.client_order_id in parts.closing and not everything:
        return False
    try:
        parts.strategies[name].cancel_order(order)
    except Exception:  # the other orders must still be cancelled
        log.exception("%s: order %s could not be cancelled", name, order.client_order_id)
    return True


def cancel_held(parts: Parts, name: str) -> None:
    """End what of a strategy's orders an execution algorithm still holds: nobody would carry it out any more."""
    strategy = parts.strategies.get(name)
    for order in parts.algorithms.held(strategy.id) if strategy is not None else ():
        log.info("%s: order %s is canceled, of which %s was not sent yet", name, order.client_order_id, order.quantity)
        parts.algorithms.cancel(order)


def cancel_of_algorithm(parts: Parts, name: str) -> None:
    """Cancel all that an execution algorithm has under way, whose ever it is: nobody looks after it any more."""
    for order in parts.algorithms.working(name):
        if parts.algorithms.holds(order):
            parts.algorithms.cancel(order)
            continue
        owner = parts.strategies.get(parts.names.get(order.strategy_id.value, ""))
        if owner is None or order.is_pending_cancel:
            continue
        try:
            owner.cancel_order(order)
        except Exception:  # the other orders must still be cancelled
            log.exception("%s: order %s could not be cancelled", name, order.client_order_id)


@dataclass
class _Attempt:
    """One position's closing: what it was, how often an order was sent in vain, and the last of them."""

    owner: str
    quantity: str
    symbol: str
    tries: int = 0
    tried_ns: int = 0
    then: tuple[Decimal, Decimal] | None = None
    """What the position was at the last try, and the account's."""
    error: str = ""
    order_id: Any = None

    @property
    def is_over(self) -> bool:
        return bool(self.error) or self.tries >= TRIES


@dataclass
class Closer:
    """Cancels and closes for some strategies of a node. Use it as a context manager: it listens while it is open.

    `everything`: closing orders that the node itself sent (an earlier flatten after hours) are cancelled as well.
    `now_ns`: the time by which it waits (UNIX nanoseconds), by default the node's clock. `beside`: strategies that are
    being closed as well, by other closers: their positions may be set off against these.
    """

    parts: Parts
    everything: bool = False
    now_ns: Callable[[], int] | None = None
    beside: Callable[[], Iterable[str]] = tuple
    _changed: Condition = field(default_factory=Condition)
    _attempts: dict[str, _Attempt] = field(default_factory=dict)
    _told: set[Any] = field(default_factory=set)
    """Where it has been said that opposite positions can't be set off."""

    def __enter__(self) -> Closer:
        bus = self.parts.kernel.msgbus
        bus.subscribe("events.order.*", self._changed.poke)
        bus.subscribe("events.position.*", self._changed.poke)
        return self

    def __exit__(self, *_: object) -> None:
        bus = self.parts.kernel.msgbus
        bus.unsubscribe("events.order.*", self._changed.poke)
        bus.unsubscribe("events.position.*", self._changed.poke)

    def working(self, name: str, spare: Collection[str] = frozenset()) -> list[str]:
        """Client order ids of what a strategy has working."""
        strategy = self.parts.strategies.get(name)
        orders = self.parts.kernel.cache.orders(strategy_id=strategy.id) if strategy is not None else ()
        return [
            order.client_order_id.value
            for order in orders
            if not order.is_closed
            and (self.everything or order.client_order_id not in self.parts.closing)
            and order.client_order_id.value not in spare
        ]

    async def cancel(self, names: Iterable[str], timeout_s: float, spare: Collection[str] = frozenset()) -> list[str]:
        """Cancel all that works and wait until the venue has confirmed it; what is left after `timeout_s`."""
        names, sent = list(names), set[str]()

        def gone() -> bool:
            for name in names:
                cancel_orders(self.parts, name, sent=sent, spare=spare, everything=self.everything)
            return not any(self.working(name, spare) for name in names)

        await self._changed.until(gone, timeout_s)
        return [each for name in names for each in self.working(name, spare)]

    async def cancel_once(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """Cancel what works now and wait for that; what is sent meanwhile works on. What is left after `timeout_s`."""
        names = list(names)
        wanted = {each for name in names for each in self.working(name)}
        sent = set[str]()

        def left() -> list[str]:
            return [each for name in names for each in self.working(name) if each in wanted]

        def gone() -> bool:
            for name in names:
                newer = set(self.working(name)) - wanted
                cancel_orders(self.parts, name, sent=sent, spare=newer, everything=self.everything)
            return not left()

        await self._changed.until(gone, timeout_s)
        return left()

    async def finish(self, name: str, timeout_s: float) -> None:
        """Let what works come to its own end."""
        await self._changed.until(lambda: not self.working(name), timeout_s)

    async def close(self, names: Iterable[str], timeout_s: float, *, others: Sequence[Owner] = ()) -> list[Closing]:
        """Close all positions, what needs no cover first; what became of each, at most `timeout_s` later."""
        owners: list[str | Owner] = [*names, *others]
        self._attempts.clear()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        await self._changed.until(lambda: self.step(owners, shorts_first=True), timeout_s / 2)
        await self._changed.until(lambda: self.step(owners, shorts_first=False), deadline - loop.time())
        results = self.outcome(owners)
        for result in results:
            if result.result != "closed":
                log.error("%s", result)
        return results

    def outcome(self, owners: Sequence[str | Owner]) -> list[Closing]:
        """What has become of each position so far."""
        open_ = {position.id.value: position for _, position in self._positions(owners)}
        return [self._result(attempt, open_.get(key)) for key, attempt in self._attempts.items()]

    def try_again(self) -> None:
        """Forget what was refused, so that it is tried as if for the first time; what is under way goes on."""
        self._attempts = {key: each for key, each in self._attempts.items() if self._is_closing(each)}

    @property
    def under_way(self) -> set[str]:
        """Client order ids of closing orders that have not come to their end."""
        return {each.order_id.value for each in self._attempts.values() if self._is_closing(each)}

    def step(self, owners: Sequence[str | Owner], *, shorts_first: bool) -> bool:
        """Send what is still to be sent; whether nothing is left to wait for."""
        open_ = self._positions(owners)
        mine = {position.id for _, position in open_}
        others = [position for _, position in self._positions(self.beside()) if position.id not in mine]
        for owner, position in open_:
            self._attempts.setdefault(
                position.id.value,
                _Attempt(
                    owner if isinstance(owner, str) else owner.name,
                    f"{position.signed_decimal_qty().normalize():f}",
                    position.instrument_id.symbol.value,
                ),
            )
        try:
            set_off(self.parts, [*(position for _, position in open_), *others], told=self._told)
        except Exception:  # what the account holds must still be closed
            log.exception("opposite positions could not be set off against each other")
        open_ = [each for each in open_ if each[1].is_open]
        shorts = [each for each in open_ if self._is_short_option(each[1])]
        uncovered = {self._root(position) for _, position in shorts}
        for owner, position in shorts:
            self._send(owner, position)
        if shorts_first:
            return all(self._is_over(position) for _, position in shorts)
        rest = [each for each in open_ if each not in shorts and self._root(each[1]) not in uncovered]
        for owner, position in rest:
            self._send(owner, position)
        # Cover waits for its short; where that is given up, so is this.
        return all(self._is_over(position) for _, position in (*shorts, *rest))

    def _is_over(self, position: Any) -> bool:
        """Whether nothing more is to be expected for a position that is still open."""
        attempt = self._attempts[position.id.value]
        return attempt.is_over and not self._is_closing(attempt)

    def _send(self, owner: str | Owner, position: Any) -> None:
        attempt = self._attempts[position.id.value]
        if self._is_closing(attempt):
            return
        held, whole = position.signed_decimal_qty(), net(self.parts, position)
        if attempt.then is not None and abs(held) < abs(attempt.then[0]):
            attempt.tries = 0  # it was not in vain
        now_ns = (self.now_ns or self.parts.kernel.clock.timestamp_ns)()
        if attempt.is_over or (attempt.then == (held, whole) and now_ns - attempt.tried_ns < PAUSE_NS):
            return
        quantity = self._quantity(position, held, whole)
        if quantity is None:
            return
        attempt.tries, attempt.tried_ns, attempt.then = attempt.tries + 1, now_ns, (held, whole)
        try:
            self._close(owner, position, quantity, attempt)
        except Exception as error:  # the other positions must still be closed
            attempt.error = f"{type(error).__name__}: {error}"
            log.exception("%s: %s could not be closed", attempt.owner, attempt.symbol)

    def _quantity(self, position: Any, held: Decimal, whole: Decimal) -> Any:
        """What of a position (signed: `held`, of which the account has `whole`) the next order closes: no more than the
        account holds, as long as it holds anything on this side.

        None while a closing order of another position of the instrument works, which may leave nothing.
        """
        working = self._working_on(position)
        side = Order.closing_side(position.side)
        room = abs(whole) if held * whole > 0 else Decimal(0)
        room -= sum((order.leaves_qty.as_decimal() for order in working if order.side == side), Decimal(0))
        if room >= abs(held):
            return position.quantity
        if room > 0:
            return Quantity(room, position.size_precision)
        return None if any(order.client_order_id in self.parts.closing for order in working) else position.quantity

    def _working_on(self, position: Any) -> list[Any]:
        """What works of a position's instrument on its account, or is about to."""
        cache, known = self.parts.kernel.cache, {"instrument_id": position.instrument_id}
        orders = {
            order.client_order_id: order for order in (*cache.orders_open(**known), *cache.orders_inflight(**known))
        }
        for attempt in self._attempts.values():
            order = cache.order(attempt.order_id) if self._is_closing(attempt) else None
            if order is not None and order.instrument_id == position.instrument_id:
                orders[order.client_order_id] = order
        return [each for each in orders.values() if each.account_id in (None, position.account_id)]

    def _close(self, owner: str | Owner, position: Any, quantity: Any, attempt: _Attempt) -> None:
        side = Order.closing_side(position.side)
        terms = {"time_in_force": self._time_in_force(position), "tags": [NODE_TAG]}
        if isinstance(owner, Owner):
            self._close_for(owner, position, side, quantity, terms, attempt)
            return
        strategy = self.parts.strategies[owner]
        order = strategy.order_factory.market(position.instrument_id, side, quantity, **terms)
        with self._sending(order, attempt):
            strategy.submit_order(order, position_id=position.id)

    def _close_for(
        self, owner: Owner, position: Any, side: OrderSide, quantity: Any, terms: dict[str, Any], attempt: _Attempt
    ) -> None:
        """An order as a strategy would send it, through Nautilus's risk engine and the gate."""
        kernel = self.parts.kernel
        order = MarketOrder(
            trader_id=kernel.trader_id,
            strategy_id=owner.strategy_id,
            instrument_id=position.instrument_id,
            client_order_id=ClientOrderId(f"FLATTEN-{UUID4()}"),
            order_side=side,
            quantity=quantity,
            init_id=UUID4(),
            ts_init=kernel.clock.timestamp_ns(),
            **terms,
        )
        command = SubmitOrder(
            trader_id=kernel.trader_id,
            strategy_id=owner.strategy_id,
            order=order,
            command_id=UUID4(),
            ts_init=kernel.clock.timestamp_ns(),
            position_id=position.id,
            client_id=owner.client_id,
        )
        with self._sending(order, attempt):
            kernel.cache.add_order(order, position.id, owner.client_id)
            kernel.msgbus.send(endpoint="RiskEngine.execute", msg=command)

    @contextlib.contextmanager
    def _sending(self, order: Any, attempt: _Attempt) -> Iterator[None]:
        """Known for the node's own before it is sent, and no more where that fails."""
        attempt.order_id = order.client_order_id
        self.parts.closing.add(order)
        try:
            yield
        except Exception:
            self.parts.closing.discard(order)
            raise

    def _time_in_force(self, position: Any) -> TimeInForce:
        instrument = self.parts.kernel.cache.instrument(position.instrument_id)
        return TimeInForce.GTC if isinstance(instrument, CurrencyPair) else TimeInForce.DAY

    def _is_closing(self, attempt: _Attempt) -> bool:
        """Whether its closing order is under way."""
        order = self.parts.kernel.cache.order(attempt.order_id) if attempt.order_id is not None else None
        return order is not None and not order.is_closed

    def _result(self, attempt: _Attempt, position: Any) -> Closing:
        what = (attempt.owner, attempt.quantity, attempt.symbol)
        if position is None:
            return Closing(*what, "closed")
        order = self.parts.kernel.cache.order(attempt.order_id) if attempt.order_id is not None else None
        if attempt.error:
            return Closing(*what, "refused", attempt.error)
        if order is None:
            return Closing(*what, "kept", "it covers a short option that could not be bought back, or time was up")
        name = order.client_order_id.value
        if not order.is_closed:
            return Closing(*what, "working", f"its closing order {name} is {order.status_string().lower()}")
        reason = getattr(order.last_event, "reason", "") or f"its closing order {name} ended as {order.status_string()}"
        held, whole = position.signed_decimal_qty(), net(self.parts, position)
        if whole * held <= 0 or abs(held) > abs(whole):
            why = refusal(self.parts, position)
            reason += (
                f"; {held.normalize():f} are left, of which the account holds {whole.normalize():f} in all, as others "
                "on it hold the opposite: "
            )
            reason += "flatten the account, where they are set off against each other" if why is None else why
        return Closing(*what, "refused", reason)

    def _positions(self, owners: Iterable[str | Owner]) -> list[tuple[str | Owner, Any]]:
        cache = self.parts.kernel.cache
        found: list[tuple[str | Owner, Any]] = []
        for owner in owners:
            if isinstance(owner, Owner):
                rows = cache.positions_open(strategy_id=owner.strategy_id, account_id=owner.account_id)
            elif (strategy := self.parts.strategies.get(owner)) is None:  # a reload has removed it meanwhile
                rows = []
            else:
                rows = cache.positions_open(strategy_id=strategy.id)
            found += [(owner, position) for position in rows]
        return found

    def _is_short_option(self, position: Any) -> bool:
        instrument = self.parts.kernel.cache.instrument(position.instrument_id)
        return position.is_short and instrument is not None and instrument.instrument_class == InstrumentClass.OPTION

    def _root(self, position: Any) -> str:
        instrument = self.parts.kernel.cache.instrument(position.instrument_id)
        underlying = getattr(instrument, "underlying", None)
        return str(underlying or position.instrument_id.symbol.value)
