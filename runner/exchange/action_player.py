"""Plays the corporate actions of a file on the accounts, on the day that each becomes effective."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from runner.exchange.actions import CorporateActions
from runner.exchange.errors import AlpacaError

log = logging.getLogger(__name__)

#: What changes positions or cash here; other kinds are listed only.
_PLAYED: Final = ("cash_dividend", "forward_split", "reverse_split")


class ActionPlayer:
    """Splits and cash dividends, each at the beginning of its ex-date in New York, which `on_clock` waits for.

    A dividend is paid at once, to who holds the shares then.
    """

    def __init__(self, actions: CorporateActions, after_ns: int, order: Callable[[dict[str, Any]], int]) -> None:
        """`order` carries one out, in the words of `POST /control/broker`. What is effective by `after_ns` is past."""
        self._due = deque(row for row in actions.by_ex_date(_PLAYED) if row[0] > after_ns)
        self._order = order

    def on_clock(self, now_ns: int) -> None:
        """Venue time is `now_ns` (UNIX ns)."""
        while self._due and self._due[0][0] <= now_ns:
            _, kind, row = self._due.popleft()
            if kind == "cash_dividend":
                members = {"symbol": row["symbol"], "rate": _text(row["rate"])}
                document = {"dividend": members}
            else:
                members = {name: _text(row[name]) for name in ("new_rate", "old_rate")}
                document = {"split": {"symbol": row["symbol"], **members}}
            try:
                self._order(document)
            except AlpacaError as error:
                log.warning("the %s of %s on %s is not played: %s", kind, row["symbol"], row["ex_date"], error)


def _text(number: object) -> str:
    return f"{Decimal(str(number)):f}"
