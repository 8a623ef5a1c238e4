"""Keeps what the gate knows as of now: change by change from Nautilus's events, and by prices once a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nautilus_trader.model.events import OrderFilled, OrderUpdated

from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject
from runner.risk.collateral import Collateral
from runner.risk.halves import half_of
from runner.risk.ledger import Ledger
from runner.risk.losses import Losses
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.reservations import Reservations
from runner.risk.state import NODE, State, States
from runner.risk.working import Working

_FRESH_NS = 1_000_000_000
_LEG = "-LEG-"


class Follower:
    """`on_fill` hears of every fill last. `failed` hears of each exception, with what was being done."""

    def __init__(
        self,
        *,
        cache: Any,
        now_ns: Callable[[], int],
        states: States,
        reservations: Reservations,
        positions: Positions,
        working: Working,
        ledger: Ledger,
        book: Book,
        collateral: Collateral,
        margin: Margin,
        losses: Losses,
        on_fill: Callable[[Any], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._cache = cache
        self._now_ns = now_ns
        self._states = states
        self._reservations = reservations
        self._positions = positions
        self._working = working
        self._ledger = ledger
        self._book = book
        self._collateral = collateral
        self._margin = margin
        self._losses = losses
        self._on_fill = on_fill
        self._failed = failed
        self._begun = False
        self._marked_ns: int | None = None  # venue time
        self._exercises: dict[Any, Any] = {}  # by their orders' ids: those of the shares that they bring or take
        self._told: dict[Any, Any] = {}  # by account: the id of the last state that the broker told
        reservations.on_change = self._noted

    # -- by time -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count losses from here on."""
        self._begun = True
        try:
            # Orders and positions may have been put back into the cache after a restart, with no event to tell of it.
            self._positions.clear()
            self.take_up()
            self._ledger.begin()
            self._losses.begin()
        except Exception as error:
            # What was lost before a restart can't be told.
            self._failed("beginning to count losses", error)
            self._states.set(State.REDUCING, scope=NODE, why="the day's losses could not be read", by="fault")

    def tick(self) -> None:
        """Look at all prices anew."""
        if not self._begun:
            return
        try:
            now_ns = self._now_ns()
            self._ledger.mark()
            self._losses.check()
            self._book.mark()
            self._collateral.mark()
            self._marked_ns = now_ns
        except Exception as error:
            self._marked_ns = None
            self._failed("valuing positions", error)

    def fresh(self, now_ns: int) -> None:
        """No decision rests on values that are older than a second. Raises RuntimeError where there are none."""
        if not self._begun:
            self.begin()
            self.tick()
        elif self._marked_ns is None or not 0 <= now_ns - self._marked_ns < _FRESH_NS:
            self.tick()
        if self._marked_ns is None:
            raise RuntimeError("positions could not be valued")

    # -- by decision -------------------------------------------------------------------------------------------------

    def take(self, candidates: Sequence[Candidate], subject: Subject, now_ns: int) -> None:
        """Orders passed as one command: take their room, then count them."""
        taken = [*candidates]
        for candidate in candidates:
            if (shares := candidate.shares) is not None:
                self._exercises[candidate.order.client_order_id] = shares.order.client_order_id
                taken.append(shares)
        wholes = [self._reserve(each, subject) for each in taken]
        self._book.take(taken, wholes, subject, now_ns, counted=len(candidates))

    def _reserve(self, candidate: Candidate, subject: Subject) -> int | None:
        """What it costs as a whole, where its price does not tell."""
        leg = candidate.leg
        self._reservations.reserve(candidate.order, subject.account_id, leg.worth, leg)
        self._working.add(leg, subject.account_id)
        return self._margin.whole(candidate, subject) if self._margin.enabled else None

    # -- by event ----------------------------------------------------------------------------------------------------

    def take_up(self) -> None:
        """Take up the orders that the cache holds already, and the positions that they may close."""
        self._book.take_up()
        for order in (*self._cache.orders_open(), *self._cache.orders_inflight()):
            self._noted(order.client_order_id)

    def on_order(self, event: Any) -> None:
        order_id, is_fill = event.client_order_id, isinstance(event, OrderFilled)
        if is_fill:
            # First, and by itself: nothing else tells of what it cost.
            booked = self._do("booking a fill", partial(self._ledger.on_fill, event))
        if isinstance(event, OrderUpdated):
            self._margin.stands_anew(order_id)
        self._do(
            "following an order", partial(self._reservations.on_event, event), partial(self._look_up_order, order_id)
        )
        if self._exercises and (shares := self._exercises.get(order_id)) is not None:
            self._do(
                "following an exercise",
                partial(self._follow_shares, order_id, shares),
                partial(self._look_up_shares, order_id, shares),
            )
        if is_fill:
            self._do("following a fill", partial(self._moved, event), partial(self._look_up_position, event))
            half = half_of(event)
            if half is None:
                self._do("following a fill's cost", partial(self._margin.on_fill, event.account_id))
            if booked and self._begun and half != 1:  # the first half alone may look like a loss
                self._check()
            if not event.reconciliation and not self._is_legs(event):
                self._do("counting a fill", partial(self._on_fill, event))

    def on_position(self, event: Any) -> None:
        self._do("following a position", partial(self._moved, event), partial(self._look_up_position, event))

    def on_account(self, event: Any) -> None:
        if "buying_power" not in (event.info or {}):
            return  # worked out by Nautilus, not told by a broker
        # Nautilus publishes an account's last state again with every event of an order or a position: nobody has
        # told it anew.
        if event.id == self._told.get(event.account_id):
            return
        self._told[event.account_id] = event.id
        self._do("following an account", partial(self._margin.on_account, event))
        try:
            account_id = event.account_id
            settled = not len(self._reservations) and not self._margin.unseen(account_id)
            if settled and self._margin.is_current(account_id):
                self._ledger.rebase(account_id)
        except Exception as error:
            # What was told before holds on, or is asked for where it is needed.
            self._failed("going by an account's figures", error)

    def _do(self, doing: str, part: Callable[[], Any], anew: Callable[[], Any] | None = None) -> Any:
        """A part of what an event asks for; the others are done whatever becomes of it.

        Where it fails, what it keeps is made `anew`, by default by doing it once more. Where that fails too, limits
        count on what is no longer so, and nothing opens until somebody has looked at it.
        """
        try:
            return part()
        except Exception as error:
            self._failed(doing, error)
        try:
            return (anew or part)()
        except Exception as error:
            self._failed(f"{doing} once more", error)
            why = f"{doing} failed, so limits may count on what is no longer so: restart the node ({error!r})"
            self._states.set(State.REDUCING, scope=NODE, why=why, by="fault")

    def _follow_shares(self, order_id: Any, shares: Any) -> None:
        self._reservations.follow(shares)
        if self._reservations.get(shares) is None:
            del self._exercises[order_id]

    def _look_up_shares(self, order_id: Any, shares: Any) -> None:
        """No cache has their order: the reservation, while there is one, tells how it stands."""
        self._follow_shares(order_id, shares)
        self._noted(shares)

    def _is_legs(self, event: Any) -> bool:
        """Whether it is part of another fill, as of a spread's leg, or booked without any, as a split: Nautilus takes
        such fills of no order by this mark. One of a spread's own is the execution of the order, and counts.
        """
        return _LEG in event.client_order_id.value and self._cache.order(event.client_order_id) is None

    def _look_up_order(self, client_order_id: Any) -> None:
        order = self._cache.order(client_order_id)
        if order is not None and order.is_closed:
            self._reservations.release(client_order_id)
        self._noted(client_order_id)
        if self._reservations.is_moving(client_order_id):
            raise RuntimeError(f"which modifications of {client_order_id} may still come can't be told any more")

    def _moved(self, event: Any) -> None:
        """A position changed."""
        self._positions.on_event(event)
        self._book.touch(event.instrument_id)
        self._collateral.touch(event.account_id, event.instrument_id)
        self._margin.moved(event.account_id, event.instrument_id)

    def _look_up_position(self, event: Any) -> None:
        self._positions.clear()
        self._book.take_up()
        self._moved(event)

    def _check(self) -> None:
        try:
            self._losses.check()
        except Exception as error:
            self._marked_ns = None  # the next decision looks again, or is none
            self._failed("looking at the losses", error)

    def _noted(self, client_order_id: Any) -> None:
        """Something happened to an order."""
        self._working.note(client_order_id)
        self._margin.note(client_order_id)
