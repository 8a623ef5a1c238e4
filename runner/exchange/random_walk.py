"""Random numbers that the generators share."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def poisson(rnd: random.Random, mean: float) -> int:
    """Knuth's method: fine for the small means here."""
    if mean > 30:
        return max(0, round(rnd.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rnd.random()
    while product > limit:
        count += 1
        product *= rnd.random()
    return count


def pick[T](rnd: random.Random, options: Sequence[T]) -> T:
    """`choice` at a third of its cost, which a day of a hundred thousand messages feels."""
    return options[int(rnd.random() * len(options))]
