"""What a strategy's schedule says of a moment, by the clock in New York and the exchange's calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.alpaca.constants import NANOS
from runner.config.fields import duration_text
from runner.config.schedule import CORE_CLOSE, ScheduleConfig, time_text

_DAY = timedelta(days=1)
#: How long before an early close a position is closed whose `stop` would come after it.
EARLY = timedelta(minutes=5)
_SATURDAY = 5
_Span = tuple[int, int]
_NEVER: _Span = (0, 0)
#: How far ahead the next opening is looked for: longer than any row of holidays.
_AHEAD_DAYS = 15


@dataclass(frozen=True, slots=True)
class Moment:
    """What holds from `since_ns` until `until_ns` (venue time, UNIX nanoseconds).

    `flat`: nothing may be held. `known`: False where the exchange's calendar does not tell of the day; then nothing
    is opened, and it counts as closing at its regular time.
    """

    open: bool
    flat: bool
    since_ns: int
    until_ns: int
    known: bool = True


class Timetable:
    """One strategy's. `calendar` None: it trades round the clock, and knows neither holidays nor a close."""

    def __init__(self, spec: ScheduleConfig, calendar: TradingCalendar | None) -> None:
        self.spec = spec
        self._calendar = calendar
        self._now = Moment(False, False, 0, 0)

    def at(self, now_ns: int) -> Moment:
        """Answers from memory until the next change, so that asking costs two comparisons."""
        if not self._now.since_ns <= now_ns < self._now.until_ns or not self._now.known:
            self._now = self._look(now_ns)
        return self._now

    def opens_ns(self, now_ns: int) -> int | None:
        """When something may be opened again after `now_ns`; None where that is not to be seen."""
        moment = self._look(now_ns)
        for _ in range(_AHEAD_DAYS * 4):
            if moment.open:
                return moment.since_ns
            moment = self._look(moment.until_ns)
        return None

    def closes_ns(self, now_ns: int) -> int | None:
        """When the window that `now_ns` lies in ends; None where that is not to be seen, or it lies in none."""
        moment = self._look(now_ns)
        if not moment.open:
            return None
        for _ in range(_AHEAD_DAYS):
            moment = self._look(moment.until_ns)
            if not moment.open:
                return moment.since_ns
        return None

    def words(self) -> str:
        """The schedule on one line."""
        spec = self.spec
        parts = [", ".join(spec.days)] if spec.days is not None else []
        if spec.start is not None or spec.stop is not None:
            parts.append(f"{time_text(spec.start or time(0))} to {time_text(spec.stop) if spec.stop else '24:00'}")
        if spec.flat_before_close is not None:
            parts.append(f"flat {duration_text(spec.flat_before_close)} before the close")
        return "; ".join(parts)

    def _look(self, now_ns: int) -> Moment:
        day = datetime.fromtimestamp(now_ns // NANOS, NEW_YORK).date()
        begins, ends = _ns(day, time(0)), _ns(day + _DAY, time(0))
        window, flat = self._round_the_clock(day, begins, ends) if self._calendar is None else self._hours(day, ends)
        bounds = {begins, ends, *(at for span in (window, *flat) for at in span if begins < at < ends)}
        since = max(at for at in bounds if at <= now_ns)
        until = min(at for at in bounds if at > now_ns)
        known = self._calendar is None or self._calendar.knows(day)
        return Moment(
            known and window[0] <= since < window[1], any(a <= since < b for a, b in flat), since, until, known
        )

    def _round_the_clock(self, day: date, begins: int, ends: int) -> tuple[_Span, list[_Span]]:
        """The window of a day, and when nothing may be held on it."""
        spec = self.spec
        window = (begins, begins)
        if spec.on(day.weekday()):
            window = (
                begins if spec.start is None else _ns(day, spec.start),
                ends if spec.stop is None else _ns(day, spec.stop),
            )
        return window, [(begins, window[0]), (window[1], ends)] if spec.on_stop == "flatten" else []

    def _hours(self, day: date, ends: int) -> tuple[_Span, list[_Span]]:
        """The same by the exchange's days and closes."""
        spec, calendar = self.spec, self._calendar
        assert calendar is not None
        close = calendar.close(day) if calendar.knows(day) else (CORE_CLOSE if day.weekday() < _SATURDAY else None)
        if close is None:
            return _NEVER, []
        closes, last = _ns(day, close), ends
        flat: list[_Span] = []
        if spec.stop is not None:
            last = _ns(day, spec.stop)
            if spec.stop <= CORE_CLOSE and last >= closes:  # a day that closes early
                last = closes - (_nanos(EARLY) if spec.on_stop == "flatten" else 0)
        if spec.flat_before_close is not None:
            # Also on days that are none of its own: what could not be closed on one of those is not kept on.
            flat.append((closes - _nanos(spec.flat_before_close), closes))
            last = min(last, flat[0][0])
        if not spec.on(day.weekday()):
            return _NEVER, flat
        if spec.on_stop == "flatten":
            flat.append((last, closes))
        start = spec.start or time(0)
        return (_ns(day, start), last), flat


def _ns(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * NANOS


def _nanos(length: timedelta) -> int:
    return length // timedelta(microseconds=1) * 1_000
