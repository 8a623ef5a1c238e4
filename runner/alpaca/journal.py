"""What the execution client asks of a journal, which it knows by this shape alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol


class Send(Protocol):
    """A request that had left before the restart, or may have. `kind` is "submit" or "replace"."""

    @property
    def client_order_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def family(self) -> Mapping[str, Any] | None: ...


class Booked(Protocol):
    """Which part of an order at the venue has been told: intervals of its cumulative quantity."""

    @property
    def venue_order_id(self) -> str: ...
    @property
    def spans(self) -> Sequence[tuple[Decimal, Decimal]]: ...
    @property
    def notional(self) -> Decimal: ...
    @property
    def carried(self) -> Decimal: ...


class PastOrder(Protocol):
    """An order of an earlier life that had not ended, as far as the journal knows; `order` is in Nautilus's cache."""

    @property
    def order(self) -> Any: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def sends(self) -> Sequence[Send]: ...
    @property
    def booked(self) -> Sequence[Booked]: ...


class OrderJournal(Protocol):
    """Of one account. The two `before_…` raise OSError where the order can't be kept; it is not sent then."""

    @property
    def problem(self) -> str | None:
        """Why no order can be kept at the moment."""

    @property
    def last_ns(self) -> int:
        """When (UNIX ns) something became of an order last in an earlier life, as far as is known; 0: never."""

    def open_account(self, broker_id: str) -> bool:
        """Whether this account was traded before. Raises OSError where it is another one than then."""
        ...

    def instruments(self) -> set[str]:
        """Instrument ids that must be loaded before `restore`."""
        ...

    def restore(self) -> Sequence[PastOrder]:
        """Put orders and positions of earlier lives into Nautilus's cache."""
        ...

    def follow(self, client_order_id: str) -> None:
        """Keep the events under this id, though no order of it is ever sent."""
        ...

    def unfollow(self, client_order_id: str) -> None:
        """Events under this id are not expected any more."""
        ...

    def recall(self, order_id: str, client_order_id: str, *, in_text: bool) -> Sequence[PastOrder]:
        """The order that the venue has under one of these ids, and those that went out with it, ended all of them.

        `in_text`: the venue's id is looked for in all events, too, which takes its time. Nautilus's cache has them
        again. Nothing where none is known. Raises OSError where that can't be told.
        """
        ...

    async def before_submit(
        self,
        orders: Sequence[Any],
        *,
        order_id: str,
        client_order_id: str,
        qty: Decimal,
        params: Mapping[str, Any],
        family: Mapping[str, Any] | None = None,
        silent: Sequence[str] = (),
    ) -> None:
        """`order_id`'s request `client_order_id` is about to leave, with `orders`; `silent` legs have none."""
        ...

    async def before_replace(self, *, order_id: str, client_order_id: str, qty: Decimal) -> None:
        """A replacement of `order_id` is about to leave."""
        ...

    def booked(
        self,
        order_id: str,
        venue_order_id: str,
        spans: Sequence[tuple[Decimal, Decimal]],
        notional: Decimal,
        carried: Decimal,
        *,
        trade_id: str | None,
    ) -> None:
        """So much of an order at the venue is told once Nautilus has applied the fill `trade_id` (None: now)."""
        ...
