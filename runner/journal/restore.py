"""From the journal's rows back to Nautilus's cache: orders with their events, positions from their fills.

Orders and positions are put into the cache directly. Nothing is published, as it is no news: strategies, gate and
metrics look at the cache when they start.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from nautilus_trader.core.fsm import InvalidStateTrigger
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled, OrderInitialized
from nautilus_trader.model.identifiers import ClientOrderId, is_generic_spread_id
from nautilus_trader.model.objects import Money, Quantity
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position

from runner.journal.records import decode
from runner.journal.store import Reader

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
    def of(read: Reader, account: str) -> Rows:
        """All of an account. Raises JournalError."""
        broker = read("SELECT broker_id FROM accounts WHERE name = ?", (account,))
        orders = read("SELECT client_order_id, init, params, closed_ns FROM orders WHERE account = ?", (account,))
        sends = read("SELECT client_order_id, order_id, kind, qty, family FROM sends ORDER BY ts_ns, client_order_id")
        events = read("SELECT client_order_id, kind, body FROM events WHERE account = ? ORDER BY seq", (account,))
        return Rows(
            broker[0][0] if broker else None,
            _orders_of(orders),
            [(name, kind, body) for name, kind, body in events],
            _sends_of(sends),
            _booked_of(read("SELECT * FROM booked")),
        )

    @staticmethod
    def around(read: Reader, account: str, order_id: str, client_order_id: str, *, in_text: bool) -> Rows:
        """The order that the venue has under one of these ids, and those that went out with it; maybe none."""
        names = _family(read, _named(read, account, order_id, client_order_id, in_text))
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for name in sorted(names):
            rows["orders"] += read(
                "SELECT client_order_id, init, params, closed_ns FROM orders WHERE account = ? AND client_order_id = ?",
                (account, name),
            )
            rows["sends"] += read(
                "SELECT client_order_id, order_id, kind, qty, family FROM sends WHERE order_id = ? "
                "ORDER BY ts_ns, client_order_id",
                (name,),
            )
            rows["booked"] += read("SELECT * FROM booked WHERE order_id = ?", (name,))
            rows["events"] += read(
                "SELECT client_order_id, kind, body FROM events WHERE account = ? AND client_order_id = ? ORDER BY seq",
                (account, name),
            )
        events = [(name, kind, body) for name, kind, body in rows["events"]]
        return Rows(None, _orders_of(rows["orders"]), events, _sends_of(rows["sends"]), _booked_of(rows["booked"]))


def _named(read: Reader, account: str, order_id: str, client_order_id: str, in_text: bool) -> str | None:
    """The client order id that the order has here."""
    asked: list[tuple[str, tuple[str, ...]]] = [
        ("SELECT client_order_id FROM orders WHERE account = ? AND client_order_id = ?", (account, client_order_id)),
        ("SELECT order_id FROM sends WHERE client_order_id = ?", (client_order_id,)),
        ("SELECT order_id FROM booked WHERE venue_order_id = ?", (order_id,)),
    ]
    if in_text:
        sql = "SELECT client_order_id FROM events WHERE account = ? AND instr(body, ?) LIMIT 1"
        asked.append((sql, (account, f'"venue_order_id":"{order_id}"')))
    for sql, parameters in asked:
        if rows := read(sql, parameters):
            return str(rows[0][0])
    return None


def _family(read: Reader, name: str | None) -> set[str]:
    if name is None:
        return set()
    names = {name}
    sql = "SELECT order_id, family FROM sends WHERE family IS NOT NULL AND (order_id = ? OR instr(family, ?))"
    for order_id, family in read(sql, (name, f'"{name}"')):
        names |= {order_id, *(row["id"] for row in msgspec.json.decode(family)["members"])}
    return names


def _orders_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[str, str, bool]]:
    return {name: (init, params, closed is not None) for name, init, params, closed in rows}


def _sends_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Send]]:
    sends = defaultdict(list)
    for name, order_id, kind, qty, family in rows:
        group = None if family is None else msgspec.json.decode(family)
        sends[order_id].append(Send(name, kind, Decimal(qty), group))
    return sends


def _booked_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Booked]]:
    booked = defaultdict(list)
    for venue_id, order_id, spans, notional, carried in rows:
        pairs = [(Decimal(start), Decimal(end)) for start, end in msgspec.json.decode(spans)]
        booked[order_id].append(Booked(venue_id, pairs, Decimal(notional), Decimal(carried)))
    return booked


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
    past = _orders(rows, wanted, events, anchors, cache)
    for fills in cycles.values():
        _position(fills, cache)
    return past


def recall(rows: Rows, cache: Any) -> list[PastOrder]:
    """Put orders that have ended into the cache again; positions are as they are."""
    events = defaultdict(list)
    for name, _, body in rows.events:
        events[name].append(body)
    return _orders(rows, set(rows.orders), events, set(rows.orders), cache)


def _orders(
    rows: Rows, wanted: set[str], events: Mapping[str, list[str]], anchors: set[str], cache: Any
) -> list[PastOrder]:
    past: list[PastOrder] = []
    for name, (init, params, _) in rows.orders.items():
        if name not in wanted:
            continue
        order = cache.order(ClientOrderId(name))
        if order is None:
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
        if not _is_of_position(fill):
            continue
        key = (fill.instrument_id.value, fill.strategy_id.value)
        before = sums[key]
        sums[key] = before + _signed(fill)
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


def spent(rows: Rows, fills: Iterable[tuple[int, str]], before_ns: int) -> list[int]:
    """Of an account's fills (number and body, the oldest first), those of which no position is made any more.

    They are of before a moment, not older than `before_ns`, at which their strategy held nothing of their instrument.
    """
    found: list[int] = []
    open_: dict[tuple[str, str], list[int]] = defaultdict(list)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    young: set[tuple[str, str]] = set()
    for number, body in fills:
        fill = decode(body)
        key = (fill.instrument_id.value, fill.strategy_id.value)
        if key in young:
            continue
        if fill.ts_init >= before_ns:
            young.add(key)
            continue
        if not _is_of_position(fill) or (sums[key] == 0 and _is_reduce_only(rows, fill)):
            found.append(number)
            continue
        open_[key].append(number)
        sums[key] += _signed(fill)
        if sums[key] == 0:
            found += open_.pop(key)
    return found


def _is_of_position(fill: Any) -> bool:
    # Of a spread as a whole the legs have positions, though the fill names one. What others hold is the broker's to
    # tell; here are only orders that closed it by command.
    is_spread = fill.position_id is None or is_generic_spread_id(fill.instrument_id)
    return not is_spread and fill.strategy_id.value != EXTERNAL


def _signed(fill: Any) -> Decimal:
    qty: Decimal = fill.last_qty.as_decimal()
    return qty if fill.order_side == OrderSide.BUY else -qty


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
