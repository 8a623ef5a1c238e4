"""When orders live: expiry of DAY and GTC orders, starts of sessions. All times UNIX ns of venue time.

Source: docs.alpaca.markets "Orders at Alpaca", time in force: a DAY order sent after the close is queued for the
next day; a GTC order is cancelled 90 days after it was made, by a job at 16:15.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from runner.exchange.broker.wire import SECOND_NS, day_of, new_york_ns
from runner.exchange.calendar import Calendar, Session

GTC_DAYS: Final = 90
DAY_NS: Final = 86_400 * SECOND_NS


class Sessions:
    """The calendar, as orders ask it."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._asked: tuple[Session, int] | None = None
        self._start_ns = 0

    def close_after(self, now_ns: int, *, extended: bool = False) -> int:
        """The end of the trading day that an order sent now belongs to: the close, or the end of the late session."""
        if not extended:
            return self._calendar.next_close(now_ns)
        day = day_of(now_ns)
        while not self._calendar.is_trading_day(day) or self._calendar.session_close(day) <= now_ns:
            day += timedelta(days=1)
        return self._calendar.session_close(day)

    def expiry(self, time_in_force: str, now_ns: int, *, extended: bool) -> int:
        """When an order sent now ends by itself."""
        if time_in_force == "gtc":
            return new_york_ns(day_of(now_ns) + timedelta(days=GTC_DAYS), 16, 15)
        return self.close_after(now_ns, extended=extended)

    def start_of(self, session: Session, now_ns: int) -> int:
        """When the session that is on now began: a quote from before it says nothing about it."""
        # Asked for each quote of a symbol with open orders. No core session spans two days of UTC; an early and a late
        # one are told apart by name.
        asked = (session, now_ns // DAY_NS)
        if asked != self._asked:
            self._asked, self._start_ns = asked, self._computed_start(session, now_ns)
        return self._start_ns

    def _computed_start(self, session: Session, now_ns: int) -> int:
        day = day_of(now_ns)
        if session == "core":
            return self._calendar.open_ns(day)
        return self._calendar.close_ns(day) if session == "post" else self._calendar.session_open(day)
