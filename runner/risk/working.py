"""The orders that may still be filled: kept up by events, so that a decision adds up nothing.

What counts of an order is told by its reservation, or, where the gate has never seen it (an order made elsewhere, or
before a restart), by the order itself. Their sums are the book's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nautilus_trader.model.identifiers import is_generic_spread_id

from runner.risk.book import Book
from runner.risk.exposure import Leg
from runner.risk.reservations import Reservations


class Working:
    """All of them. `other` makes a leg of an order without a reservation."""

    def __init__(self, reservations: Reservations, cache: Any, book: Book, other: Callable[[Any], Leg]) -> None:
        self._reservations = reservations
        self._cache = cache
        self._book = book
        self.other = other
        self._legs: dict[Any, tuple[Leg, Any]] = {}  # with the account
        self._by_part: dict[tuple[Any, Any], dict[Any, Leg]] = {}  # by instrument and account, then the order's id
        self._children: dict[Any, set[Any]] = {}  # how much of them can be filled depends on their parent

    def note(self, client_order_id: Any) -> None:
        """Something happened to this order: look at it anew."""
        self._note(client_order_id)
        if self._children and (children := self._children.get(client_order_id)) is not None:
            for child in tuple(children):
                self._note(child)

    def _note(self, client_order_id: Any) -> None:
        was, found = self._legs.get(client_order_id), self._look(client_order_id)
        if was is not None:
            if found is None:
                self._book.drop(client_order_id)  # while it is known here: where that fails it is tried once more
            self._forget(client_order_id, *was)
        if found is not None:
            self.add(*found)
            self._book.put(*found)

    def add(self, leg: Leg, account_id: Any) -> None:
        """An order that is not known yet works: the book is told of it elsewhere."""
        client_order_id = leg.order.client_order_id
        self._legs[client_order_id] = leg, account_id
        part = (leg.instrument_id, account_id)
        if (legs := self._by_part.get(part)) is None:
            legs = self._by_part[part] = {}
        legs[client_order_id] = leg
        if leg.order.parent_order_id is not None:
            self._children.setdefault(leg.order.parent_order_id, set()).add(client_order_id)

    def _forget(self, client_order_id: Any, leg: Leg, account_id: Any) -> None:
        del self._legs[client_order_id]
        part = (leg.instrument_id, account_id)
        legs = self._by_part[part]
        del legs[client_order_id]
        if not legs:
            del self._by_part[part]
        parent_id = leg.order.parent_order_id
        if parent_id is not None and (children := self._children.get(parent_id)) is not None:
            children.discard(client_order_id)
            if not children:
                del self._children[parent_id]

    def __contains__(self, client_order_id: Any) -> bool:
        return client_order_id in self._legs

    def instruments(self, account_id: Any) -> set[Any]:
        """Every instrument that the account has working orders of."""
        return {instrument_id for instrument_id, account in self._by_part if account == account_id}

    def spreads(self, account_id: Any) -> Iterable[Leg]:
        """The account's working orders of option spreads, whose legs are other instruments."""
        for (instrument_id, account), legs in self._by_part.items():
            if account == account_id and is_generic_spread_id(instrument_id):
                yield from legs.values()

    def legs(self, instrument_id: Any, account_id: Any) -> Iterable[Leg]:
        """Each of them, both sides."""
        return self._by_part.get((instrument_id, account_id), {}).values()

    def _look(self, client_order_id: Any) -> tuple[Leg, Any] | None:
        reservation = self._reservations.get(client_order_id)
        if reservation is not None:
            return None if reservation.order.is_closed else (reservation.leg(), reservation.account_id)
        order = self._cache.order(client_order_id)
        if order is None or order.is_closed or not (order.is_open or order.is_inflight):
            return None
        return self.other(order), order.account_id
