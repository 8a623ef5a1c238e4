"""Nautilus's analyzer of closed trades, with its records kept in a list until somebody asks for them.

Nautilus (1.231) copies all records before each one that it adds, so that every trade takes longer than the one before.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import pandas as pd


class Trades:
    """Stands in an analyzer's own place for records. The statistics are those that it would have come to by itself.

    With `most`, of records that nobody has asked for only so many are kept, the newest.
    """

    def __init__(self, analyzer: Any, *, most: int | None = None) -> None:
        self._waiting: deque[tuple[dict[Any, Any], dict[Any, Any], str, Any, int | None]] = deque(maxlen=most)
        self._realized_pnls = analyzer.realized_pnls
        analyzer._append_pnl_record = self._add
        analyzer.realized_pnls = self._all

    def _add(
        self, *, pnls: Any, timestamps: Any, position_id: Any, realized_pnl: Any, ts_event: int | None = None
    ) -> None:
        self._waiting.append((pnls, timestamps, position_id.value, realized_pnl, ts_event))

    def _all(self, currency: Any = None) -> Any:
        self._hand_over()
        return self._realized_pnls(currency)

    def _hand_over(self) -> None:
        # The analyzer has one pair of dicts for what was recorded on the way, and one for what is added at the end.
        rows: dict[tuple[int, Any], list[Any]] = defaultdict(list)
        for row in self._waiting:
            rows[id(row[0]), row[3].currency].append(row)
        for (_, currency), of_currency in rows.items():
            pnls, timestamps = of_currency[0][:2]
            index = [row[2] for row in of_currency]
            money = pd.Series([row[3].as_double() for row in of_currency], index=index, dtype="float64")
            times = pd.Series(
                [None if row[4] is None else int(row[4]) for row in of_currency], index=index, dtype=object
            )
            for held, new in ((pnls, money), (timestamps, times)):
                held[currency] = new if (before := held.get(currency)) is None else pd.concat([before, new])
        self._waiting.clear()
