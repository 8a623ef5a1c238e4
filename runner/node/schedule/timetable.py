"""What a strategy's schedule says of a moment, by the clock in New York and the exchange's calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from runner.alpaca.calendar import NEW_YORK, TradingCalendar
from runner.alpaca.constants import NANOS
from runner.config.fields import duration_text
from runner.config.schedule import CORE_CLOSE, CORE_OPEN, EVENING, ScheduleConfig, time_text

_DAY = timedelta(days=1)
#: How long before an early close a position is closed whose `stop` would come after it.
EARLY = timedelta(minutes=5)
_SATURDAY = 5
_Span = tuple[int, int]
#: How far ahead the next opening is looked for: longer than any row of holidays.
_AHEAD_DAYS = 15
_MOST_BOUNDS = 8


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
        for _ in range(_AHEAD_DAYS * _MOST_BOUNDS):
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
            next_day = " of the next day" if spec.over_midnight else ""
            ends = time_text(spec.stop) + next_day if spec.stop else "24:00"
            parts.append(f"{time_text(spec.start or time(0))} to {ends}")
        if spec.flat_before_close is not None:
            parts.append(f"flat {duration_text(spec.flat_before_close)} before the close")
        return "; ".join(parts)

    def _look(self, now_ns: int) -> Moment:
        day = datetime.fromtimestamp(now_ns // NANOS, NEW_YORK).date()
        begins, ends = _ns(day, time(0)), _ns(day + _DAY, time(0))
        if self._calendar is None:
            windows, flat = self._round_the_clock(day, begins, ends)
        elif self.spec.over_midnight:
            windows, flat = self._nights(day, begins, ends)
        else:
            windows, flat = self._hours(day, ends)
        bounds = {begins, ends, *(at for span in (*windows, *flat) for at in span if begins < at < ends)}
        since = max(at for at in bounds if at <= now_ns)
        until = min(at for at in bounds if at > now_ns)
        known = self._knows(day) and (not self.spec.over_midnight or self._knows(day + _DAY))
        return Moment(known and _within(since, windows), _within(since, flat), since, until, known)

    def _knows(self, day: date) -> bool:
        return self._calendar is None or self._calendar.knows(day)

    def _close(self, day: date) -> time | None:
        """When the exchange closes on a day, by what is usual where the calendar does not tell; None: it is closed."""
        assert self._calendar is not None
        if self._calendar.knows(day):
            return self._calendar.close(day)
        return CORE_CLOSE if day.weekday() < _SATURDAY else None

    def _round_the_clock(self, day: date, begins: int, ends: int) -> tuple[list[_Span], list[_Span]]:
        """The windows of a day, and when nothing may be held on it."""
        spec = self.spec
        windows: list[_Span] = []
        if spec.over_midnight and spec.stop is not None and spec.on((day - _DAY).weekday()):
            windows.append((begins, _ns(day, spec.stop)))
        if spec.on(day.weekday()):
            starts = begins if spec.start is None else _ns(day, spec.start)
            windows.append((starts, ends if spec.stop is None or spec.over_midnight else _ns(day, spec.stop)))
        return windows, _between(begins, ends, windows) if spec.on_stop == "flatten" else []

    def _hours(self, day: date, ends: int) -> tuple[list[_Span], list[_Span]]:
        """The same by the exchange's days and closes."""
        spec, close = self.spec, self._close(day)
        if close is None:
            return [], []
        closes, last = _ns(day, close), ends
        flat: list[_Span] = []
        if spec.stop is not None:
            last = self._last(day, closes)
        if spec.flat_before_close is not None:
            # Also on days that are none of its own: what could not be closed on one of those is not kept on.
            flat.append((closes - _nanos(spec.flat_before_close), closes))
            last = min(last, flat[0][0])
        if not spec.on(day.weekday()):
            return [], flat
        if spec.on_stop == "flatten":
            flat.append((last, closes))
        return [(_ns(day, spec.start or time(0)), last)], flat

    def _nights(self, day: date, begins: int, ends: int) -> tuple[list[_Span], list[_Span]]:
        """The same for windows over midnight. From 20:00 on the night belongs to the trading day that follows."""
        spec, close = self.spec, self._close(day)
        assert spec.start is not None
        windows: list[_Span] = []
        flat: list[_Span] = []
        starts, evening = _ns(day, spec.start), _ns(day, EVENING)
        is_own = spec.on(day.weekday())
        if close is not None:
            closes, last = _ns(day, close), begins
            if spec.on((day - _DAY).weekday()):
                last = self._last(day, closes)
                if spec.flat_before_close is not None:
                    last = min(last, closes - _nanos(spec.flat_before_close))
                windows.append((begins, last))
            if spec.flat_before_close is not None:
                flat.append((closes - _nanos(spec.flat_before_close), closes))
            if spec.on_stop == "flatten":
                # Not before the opening, when nothing is sold at the market; and on any day, as what a Friday's window
                # has opened can't be closed on the Saturday on which it ends.
                flat.append((max(last, _ns(day, CORE_OPEN)), min(closes, starts) if is_own else closes))
            if is_own:
                windows.append((starts, evening))
        if is_own and self._close(day + _DAY) is not None:
            windows.append((max(starts, evening), ends))
        return windows, flat

    def _last(self, day: date, closes: int) -> int:
        """Its `stop` on a day that closes then."""
        spec = self.spec
        assert spec.stop is not None
        last = _ns(day, spec.stop)
        if spec.stop <= CORE_CLOSE and last >= closes:  # a day that closes early
            last = closes - (_nanos(EARLY) if spec.on_stop == "flatten" else 0)
        return last


def _within(at_ns: int, spans: list[_Span]) -> bool:
    return any(first <= at_ns < last for first, last in spans)


def _between(begins: int, ends: int, windows: list[_Span]) -> list[_Span]:
    """What the windows leave of a day."""
    found, at = [], begins
    for first, last in sorted(windows):
        found.append((at, first))
        at = max(at, last)
    return [*found, (at, ends)]


def _ns(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp()) * NANOS


def _nanos(length: timedelta) -> int:
    return length // timedelta(microseconds=1) * 1_000
