"""Orders that ended some time ago are let go of, and taken back from the journal should the venue speak of one again.

What is let go of is no stranger's: the journal keeps it for weeks. And nothing that is let go of can come up in a
list again, as lists are asked for from the last whole look at the account on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runner.alpaca.constants import NANOS
from runner.alpaca.models import Order
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

#: An order must have ended so long before what the next list begins with (the venue's hosts need not agree).
MARGIN_NS = 60 * NANOS
#: So many are looked at in one go, or the loop would stand still for what nobody waits for.
BATCH = 200


class Retention:
    """Of one account. Times are the venue's, UNIX nanoseconds."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._due: deque[tuple[int, Tracked]] = deque()
        self._strange: set[str] = set()
        #: Orders that had been submitted before that may be in the journal alone; 0 where there are none.
        self.until_ns = 0
        #: Venue's ids of orders of which the journal could not say whether they are ours.
        self.doubtful: set[str] = set()
        #: Called with Nautilus's order when one is taken back.
        self.on_taken_back: Callable[[Any], None] = lambda _order: None
        self.let_go = 0
        self.taken_back = 0

    def __len__(self) -> int:
        """Orders that have ended and are kept still."""
        return len(self._due) + len(self._client.tracker.ended) + len(self._client.external)

    def sweep(self, keep_ns: int, most: int) -> list[Any]:
        """Let go of orders that ended `keep_ns` ago, and of the oldest beyond `most` sooner, a batch at a time.

        Returns the client order ids of those that Nautilus has to let go of too. Without a journal, none.
        """
        client, now_ns = self._client, self._client.venue_clock.now_ns()
        while client.tracker.ended:
            self._due.append((now_ns, client.tracker.ended.popleft()))
        client.fills.fold(min(now_ns - keep_ns, self._listed_ns()), BATCH)
        if client.journal is None or client.journal.problem is not None or not client.ready or client.gaps.is_busy:
            return []
        released: list[Any] = []
        for _ in range(min(BATCH, len(self._due))):
            ended_ns, tracked = self._due[0]
            if ended_ns >= self._listed_ns() or (ended_ns > now_ns - keep_ns and len(self._due) <= most):
                break
            self._due.popleft()
            if client.tracker.get(tracked.id) is not tracked:
                continue  # with others of its group
            if self._is_needed(tracked):
                self._due.append((now_ns, tracked))
                continue
            released += self._release(tracked, ended_ns)
        gone = client.external.release(now_ns, now_ns - keep_ns, self._listed_ns(), most, BATCH)
        self.let_go += len(gone)
        return released + gone

    def _listed_ns(self) -> int:
        """What ended before will be in no list that is asked for from now on."""
        synced_ns: int = self._client.gaps.synced_ns
        return synced_ns - int(self._client.config.overlap_s * NANOS) - MARGIN_NS

    def _is_needed(self, tracked: Tracked) -> bool:
        """Whether one of those that went out together is not over, or has opened a position that is still there."""
        return any(
            not each.closed or each.is_unknown or self.is_in_use(each.client_order_id) for each in _together(tracked)
        )

    def is_in_use(self, client_order_id: Any) -> bool:
        """Whether Nautilus's order is not over, or has opened a position that is still there."""
        cache = self._client._cache
        order = cache.order(client_order_id)
        if order is None:
            return False
        spawned = () if order.exec_spawn_id is None else cache.orders_for_exec_spawn(order.exec_spawn_id)
        if not all(row.is_closed for row in (order, *spawned)):
            return True
        position = None if order.position_id is None else cache.position(order.position_id)
        return bool(position is not None and position.is_open and position.opening_order_id == order.client_order_id)

    def _release(self, tracked: Tracked, ended_ns: int) -> list[Any]:
        client, released = self._client, []
        for each in _together(tracked):
            client.tracker.drop(each)
            for order_id in each.order_ids:
                client.fills.forget(order_id)
            if client._cache.order(each.client_order_id) is not None:
                released.append(each.client_order_id)
            assert client.journal is not None
            client.journal.unfollow(each.id)
            self.let_go += 1
        self.until_ns = max(self.until_ns, ended_ns)
        return released

    def forget(self, order_id: str) -> None:
        """An order of somebody else's is over, and let go of."""
        self._strange.discard(order_id)
        self.doubtful.discard(order_id)

    # -- the other way -------------------------------------------------------------------------------------------------

    def find(self, order: Order) -> tuple[Tracked, Part] | None:
        """The order of ours that an order at the venue belongs to, one that was let go of too: it is ours again."""
        client = self._client
        client.external.take_back(order.id)
        found = client.find(order)
        if found is not None or order.submitted_ns > self.until_ns or order.id in self._strange:
            return found
        if client.journal is None:
            return None
        try:
            # A leg's ids are of the venue's making, and one that had not filled is in the text of its events alone.
            is_leg = order.order_class not in ("", "simple")
            past = client.journal.recall(order.id, order.client_order_id, in_text=is_leg)
        except (OSError, ValueError) as error:
            # Whose it is can't be told: what it fills must not pass for somebody else's in silence.
            if order.id not in self.doubtful:
                client.log.error(f"Whose order {order.id} is can't be read in the journal: {error}")  # noqa: TRY400
                client.emitter.lost_fills += 1
            self.doubtful.add(order.id)
            return None
        self.doubtful.discard(order.id)
        if not past:
            self._strange.add(order.id)
            return None
        client.resume.take_back(past)
        self.taken_back += len(past)
        for each in past:
            self.on_taken_back(each.order)
        client.log.warning(f"The venue speaks of {order.client_order_id} again, which had ended: {order.status}")
        return client.find(order)


def _together(tracked: Tracked) -> list[Tracked]:
    return tracked.group.orders if tracked.group is not None else [tracked]
