"""From the journal's rows back to Nautilus's cache: orders with their events, positions from their fills.

Orders and positions are put into the cache directly. Nothing is published, as it is no news: strategies, gate and
metrics look at the cache when they start.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from nautilus_trader.core.fsm import InvalidStateTrigger
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled, OrderInitialized
from nautilus_trader.model.identifiers import is_generic_spread_id
from nautilus_trader.model.objects import Money, Quantity
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position

from runner.journal.records import decode
from runner.journal.store import Store

log = logging.getLogger("runner.journal")
ZERO = Decimal(0)
#: Nautilus's name for whoever trades the account and is no strategy of the node.
EXTERNAL = "EXTERNAL"


@dataclass(frozen=True, slots=True)
class Send:
    """A request that left, or may have: the id that the venue knows it by, and its quantity."""

    client_order_id: str
    kind: str
    qty: Decimal
    family: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Booked:
    """Which part of an order at the venue had been told."""

    venue_order_id: str
    spans: list[tuple[Decimal, Decimal]]
    notional: Decimal
    carried: Decimal


@dataclass(slots=True)
class PastOrder:
    """An order of an earlier life that had not ended, as far as the journal knows, or one that others went out with."""

    order: Any
    params: dict[str, Any]
    sends: list[Send]
    booked: list[Booked] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Ids whose events are its own or its silent legs'."""
        found = [self.order.client_order_id.value]
        for send in self.sends:
            found += [row["id"] for row in (send.family or {}).get("members", ())]
        return found


@dataclass(slots=True)
class Rows:
    """One account's rows, read before the writing begins."""

    broker_id: str | None
    orders: dict[str, tuple[str, str, bool]]
    """By client order id: init, params, whether it had ended."""
    events: list[tuple[str, str, str]]
    """Client order id, kind, body; oldest first."""
    sends: dict[str, list[Send]]
    booked: dict[str, list[Booked]]

    @staticmethod
    def of(store: Store, account: str) -> Rows:
        """Raises JournalError."""
        broker = store.read("SELECT broker_id FROM accounts WHERE name = ?", (account,))
        orders = {
            name: (init, params, closed is not None)
            for name, init, params, closed in store.read(
                "SELECT client_order_id, init, params, closed_ns FROM orders WHERE account = ?", (account,)
            )
        }
        sends, booked = defaultdict(list), defaultdict(list)
        for name, order_id, kind, qty, family in store.read(
            "SELECT client_order_id, order_id, kind, qty, family FROM sends ORDER BY ts_ns, client_order_id"
        ):
            group = None if family is None else msgspec.json.decode(family)
            sends[order_id].append(Send(name, kind, Decimal(qty), group))
        for venue_id, order_id, spans, notional, carried in store.read("SELECT * FROM booked"):
            pairs = [(Decimal(start), Decimal(end)) for start, end in msgspec.json.decode(spans)]
            booked[order_id].append(Booked(venue_id, pairs, Decimal(notional), Decimal(carried)))
        events = store.read("SELECT client_order_id, kind, body FROM events WHERE account = ? ORDER BY seq", (account,))
        return Rows(broker[0][0] if broker else None, orders, events, sends, booked)


def instruments_of(rows: Rows) -> set[str]:
    """Instrument ids of orders that had not ended, and of positions."""
    fills = _cycles(rows)
    found = {fill.instrument_id.value for fills_of in fills.values() for fill in fills_of}
    for init, _, closed in rows.orders.values():
        if not closed:
            found.add(decode(init).instrument_id.value)
    return found


def restore(rows: Rows, cache: Any) -> list[PastOrder]:
    """Fill the cache. Returns the orders that had not ended, and those that went out with others that had not."""
    cycles = _cycles(rows)
    needed = {fill.client_order_id.value for fills in cycles.values() for fill in fills}
    wanted = needed | {name for name, row in rows.orders.items() if not row[2]}
    anchors: set[str] = set()
    for anchor, sends in rows.sends.items():
        family = {row["id"] for send in sends for row in (send.family or {}).get("members", ())}
        if any(name in rows.orders and not rows.orders[name][2] for name in family):
            anchors.add(anchor)
            wanted |= family  # An order that has ended is needed where one that went out with it has not.
    events = defaultdict(list)
    for name, _, body in rows.events:
        if name in wanted:
            events[name].append(body)
    past: list[PastOrder] = []
    for name, (init, params, _) in rows.orders.items():
        if name not in wanted:
            continue
        order = OrderUnpacker.from_init(_plain(decode(init)))
        for body in events[name]:
            _apply(order, decode(body))
        cache.add_order(order, order.position_id)
        cache.update_order(order)
        if not order.is_closed or name in anchors:
            booked = [
                *rows.booked.get(name, ()),
                *(row for leg in _silent(rows.sends.get(name, ())) for row in rows.booked.get(leg, ())),
            ]
            past.append(PastOrder(order, msgspec.json.decode(params), rows.sends.get(name, []), booked))
    for fills in cycles.values():
        _position(fills, cache)
    return past


def _plain(init: Any) -> Any:
    """An execution algorithm knows nothing of an earlier life: what it had sent is the strategy's alone from now on.

    Nautilus would look for the order that a part was spawned of at each fill, and that was never sent.
    """
    if init.exec_algorithm_id is None:
        return init
    without = dict.fromkeys(("exec_algorithm_id", "exec_algorithm_params", "exec_spawn_id"))
    return OrderInitialized.from_dict(OrderInitialized.to_dict(init) | without)


def _silent(sends: Iterable[Send]) -> list[str]:
    return [row["id"] for send in sends for row in (send.family or {}).get("members", ()) if row.get("silent")]


def _apply(order: Any, event: Any) -> None:
    try:
        order.apply(event)
    except (InvalidStateTrigger, KeyError, ValueError) as error:
        # Nautilus passes such events on as well; what they were meant to bring about was there already.
        log.debug("%s: %s was not applied again: %s", order.client_order_id, type(event).__name__, error)


def _cycles(rows: Rows) -> dict[tuple[str, str], list[Any]]:
    """By instrument and strategy, the fills since it was last flat; nothing where it is flat now."""
    fills: dict[tuple[str, str], list[Any]] = defaultdict(list)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for _, kind, body in rows.events:
        if kind != "OrderFilled":
            continue
        fill = decode(body)
        if fill.position_id is None or is_generic_spread_id(fill.instrument_id):
            continue  # of a spread as a whole: its legs have positions, though the fill names one
        if fill.strategy_id.value == EXTERNAL:
            continue  # What others hold is the broker's to tell; here are only orders that closed it by command.
        key = (fill.instrument_id.value, fill.strategy_id.value)
        before = sums[key]
        signed = fill.last_qty.as_decimal() * (1 if fill.order_side == OrderSide.BUY else -1)
        sums[key] = before + signed
        if before == 0 and _is_reduce_only(rows, fill):
            sums[key] = before  # Nautilus counts it for no position: there is none of this strategy's.
            continue
        if sums[key] == 0:
            fills[key] = []
            continue
        if before * sums[key] < 0:
            fills[key] = [_part(fill, abs(sums[key]))]  # It went through zero: the rest opened anew.
            continue
        fills[key].append(fill)
    return {key: found for key, found in fills.items() if found}


def _is_reduce_only(rows: Rows, fill: Any) -> bool:
    row = rows.orders.get(fill.client_order_id.value)
    return row is not None and bool(decode(row[0]).reduce_only)


def _part(fill: Any, qty: Decimal) -> Any:
    """A fill of less, as Nautilus makes one where a position goes through zero."""
    share = qty / fill.last_qty.as_decimal()
    return OrderFilled(
        trader_id=fill.trader_id,
        strategy_id=fill.strategy_id,
        instrument_id=fill.instrument_id,
        client_order_id=fill.client_order_id,
        venue_order_id=fill.venue_order_id,
        account_id=fill.account_id,
        trade_id=fill.trade_id,
        position_id=fill.position_id,
        order_side=fill.order_side,
        order_type=fill.order_type,
        last_qty=Quantity(qty, fill.last_qty.precision),
        last_px=fill.last_px,
        currency=fill.currency,
        commission=Money(fill.commission.as_decimal() * share, fill.commission.currency),
        liquidity_side=fill.liquidity_side,
        event_id=UUID4(),
        ts_event=fill.ts_event,
        ts_init=fill.ts_init,
    )


def _position(fills: list[Any], cache: Any) -> None:
    first, *later = fills
    instrument = cache.instrument(first.instrument_id)
    if instrument is None:
        log.error(
            "the position of %s in %s can't be taken up: the broker lists no such instrument any more",
            first.strategy_id,
            first.instrument_id,
        )
        return
    position = Position(instrument, first)
    for fill in later:
        position.apply(fill)
    cache.add_position(position, OmsType.NETTING)
    cache.update_position(position)
    for fill in fills:
        cache.add_position_id(position.id, first.instrument_id.venue, fill.client_order_id, first.strategy_id)
