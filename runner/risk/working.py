"""The orders that may still be filled, with their sums by side: kept up by events, so that a decision adds up nothing.

What counts of an order is told by its reservation, or, where the gate has never seen it (an order made elsewhere, or
before a restart), by the order itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any

from nautilus_trader.model.identifiers import is_generic_spread_id

from runner.risk.exposure import ZERO, Leg, Orders, Sum, parts, summed
from runner.risk.reservations import Reservations

Key = tuple[Any, Any, Any]
"""Instrument, account, and the strategy, or None for all of the account's."""

_FEW = 64


class Side:
    """One side's working orders of one instrument."""

    __slots__ = ("_heap", "_prices", "_qty", "_unpriced", "_value", "plain", "special")

    def __init__(self) -> None:
        self.plain: dict[Any, Leg] = {}
        """Each counts by itself."""
        self.special: dict[Any, Leg] = {}
        """What they count depends on each other, or on a parent."""
        self._qty = ZERO
        self._value = ZERO
        self._unpriced = 0
        self._prices: dict[Decimal, int] = {}  # how many have each
        self._heap: list[Decimal] = []  # negated, so that the dearest comes first; those that nothing has any more too

    def __bool__(self) -> bool:
        return bool(self.plain or self.special)

    def put(self, client_order_id: Any, leg: Leg) -> None:
        if client_order_id in self.plain or client_order_id in self.special:
            self.drop(client_order_id)
        if not leg.plain:
            self.special[client_order_id] = leg
            return
        self.plain[client_order_id] = leg
        self._qty += leg.qty
        if leg.price is None:
            self._unpriced += 1
            return
        self._value += leg.qty * leg.price
        count = self._prices.get(leg.price, 0)
        self._prices[leg.price] = count + 1
        if not count:
            heappush(self._heap, leg.price.copy_negate())
            if len(self._heap) > 2 * len(self._prices) + _FEW:
                self._heap = sorted(price.copy_negate() for price in self._prices)

    def drop(self, client_order_id: Any) -> None:
        self.special.pop(client_order_id, None)
        leg = self.plain.pop(client_order_id, None)
        if leg is None:
            return
        self._qty -= leg.qty
        if leg.price is None:
            self._unpriced -= 1
            return
        self._value -= leg.qty * leg.price
        count = self._prices[leg.price] - 1
        if count:
            self._prices[leg.price] = count
        else:
            del self._prices[leg.price]

    def sum(self, orders: Orders) -> Sum:
        """The sums of what works."""
        if self.special:
            return self.with_candidates({}, orders)
        return Sum(self._qty, self._value, self._newest_dearest(), self._unpriced > 0)

    def plus(self, leg: Leg) -> Sum:
        """The sums with one more plain order, where nothing that works here depends on another."""
        dearest = self._newest_dearest()
        if leg.qty <= 0:
            return Sum(self._qty, self._value, dearest, self._unpriced > 0)
        if leg.price is None:
            return Sum(self._qty + leg.qty, self._value, dearest, True)
        if dearest is None or leg.price > dearest:
            dearest = leg.price
        return Sum(self._qty + leg.qty, self._value + leg.qty * leg.price, dearest, self._unpriced > 0)

    def with_candidates(self, own: Mapping[Any, Leg], orders: Orders) -> Sum:
        """The sums with these orders too, each in the place of the working one that it would replace."""
        replaced = [self.plain[key] for key in own if key in self.plain]
        mixed = [leg for key, leg in self.special.items() if key not in own] if self.special else []
        more = summed(parts([*mixed, *own.values()], orders=orders))
        qty, value, unpriced = self._qty, self._value, self._unpriced
        for leg in replaced:
            qty -= leg.qty
            if leg.price is None:
                unpriced -= 1
            else:
                value -= leg.qty * leg.price
        if replaced:
            rest = (leg.price for key, leg in self.plain.items() if key not in own and leg.price is not None)
            dearest = max(rest, default=None)
        else:
            dearest = self._newest_dearest()
        prices = [price for price in (dearest, more.dearest) if price is not None]
        return Sum(
            qty + more.qty,
            value + more.value,
            max(prices, default=None),
            unpriced > 0 or more.unpriced,
        )

    def resting(self) -> Iterable[Any]:
        """The orders themselves, those that count by themselves."""
        return (leg.order for leg in self.plain.values())

    def _newest_dearest(self) -> Decimal | None:
        heap = self._heap
        while heap:
            dearest = heap[0].copy_negate()
            if dearest in self._prices:
                return dearest
            heappop(heap)
        return None


_NONE = Side()  # nothing is ever put into it


class Working:
    """All of them. `other` makes a leg of an order without a reservation; None where it can't be filled any more."""

    def __init__(self, reservations: Reservations, cache: Any, other: Callable[[Any], Leg]) -> None:
        self._reservations = reservations
        self._cache = cache
        self.other = other
        self._sides: dict[Key, tuple[Side, Side]] = {}
        self._where: dict[Any, tuple[tuple[Key, Key], bool]] = {}
        self._counts: Counter[tuple[Any, Any]] = Counter()
        self.on_change: Callable[[Key, bool], None] | None = None
        """Called with each key whose sums have changed, and the side (True: buys)."""

    def note(self, client_order_id: Any) -> None:
        """Something happened to this order: look at it anew."""
        was = self._where.pop(client_order_id, None)
        if was is not None:
            for key in was[0]:
                sides = self._sides[key]
                sides[was[1]].drop(client_order_id)
                if not sides[0] and not sides[1]:
                    del self._sides[key]
                self._counts[key[1:]] -= 1
                if self.on_change is not None:
                    self.on_change(key, was[1])
        found = self._look(client_order_id)
        if found is None:
            return
        leg, account_id = found
        order = leg.order
        keys = (
            (order.instrument_id, account_id, None),
            (order.instrument_id, account_id, order.strategy_id),
        )
        for key in keys:
            sides = self._sides.get(key) or self._sides.setdefault(key, (Side(), Side()))
            sides[leg.buy].put(client_order_id, leg)
            self._counts[key[1:]] += 1
            if self.on_change is not None:
                self.on_change(key, leg.buy)
        self._where[client_order_id] = (keys, leg.buy)

    def count(self, account_id: Any = None, strategy_id: Any = None) -> int:
        """How many orders work: of one account, of one strategy on it, or of all."""
        return len(self._where) if account_id is None else self._counts[account_id, strategy_id]

    def instruments(self, account_id: Any) -> set[Any]:
        """Every instrument that the account has working orders of."""
        return {key[0] for key in self._sides if key[1] == account_id and key[2] is None}

    def spreads(self, account_id: Any) -> Iterable[Leg]:
        """The account's working orders of option spreads, whose legs are other instruments."""
        for key, sides in self._sides.items():
            if key[1] == account_id and key[2] is None and is_generic_spread_id(key[0]):
                for side in sides:
                    yield from side.plain.values()
                    yield from side.special.values()

    def side(self, instrument_id: Any, account_id: Any, strategy_id: Any, *, buy: bool) -> Side:
        sides = self._sides.get((instrument_id, account_id, strategy_id))
        return _NONE if sides is None else sides[buy]

    def legs(self, instrument_id: Any, account_id: Any, strategy_id: Any = None) -> Iterable[Leg]:
        """Each of them, both sides."""
        for side in self._sides.get((instrument_id, account_id, strategy_id), ()):
            yield from side.plain.values()
            yield from side.special.values()

    def _look(self, client_order_id: Any) -> tuple[Leg, Any] | None:
        reservation = self._reservations.get(client_order_id)
        if reservation is not None:
            return None if reservation.order.is_closed else (reservation.leg(), reservation.account_id)
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or not (order.is_open or order.is_inflight):
            return None
        return self.other(order), order.account_id
