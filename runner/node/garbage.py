"""Python's collector of cyclic garbage, out of the way of orders.

What a node was made of stays, and looking through it again and again stops the loop for tens of milliseconds; so it is
put where the collector does not look. An order leaves no cycle behind, yet by default the youngest objects are looked
through some hundred times a second in a busy market, each time for longer than a decision takes.
"""

from __future__ import annotations

import gc

# So many containers more than were freed make a look worth its while; by default 700.
_YOUNG = 10_000


class Collector:
    """Puts it out of the way, and back as it was."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def calm(self) -> None:
        """Call when everything that stays is made."""
        self._before = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(_YOUNG, *self._before[1:])

    def restore(self) -> None:
        """Does nothing where it was never calmed."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None
