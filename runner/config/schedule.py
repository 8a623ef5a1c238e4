"""A strategy's schedule: when it may open positions, and when it must hold none."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from runner.config.errors import instead
from runner.config.fields import Duration, wrong
from runner.config.section import Section

#: In the order of `date.weekday()`.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKEND = frozenset({"sat", "sun"})
#: The core session in New York, on a day that does not end early.
CORE_OPEN, CORE_CLOSE = time(9, 30), time(16)
#: From then on the night belongs to the next trading day.
EVENING = time(20)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_CORE = timedelta(hours=6, minutes=30)


def parse_time(text: str) -> time | None:
    """A time of day as a file has it; None where it is none."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups())
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _time_of_day(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (found := parse_time(value)) is None:
        hint = "leave it out for the day's end" if value == "24:00" else "write hours and minutes, such as 09:45"
        raise wrong(f"`{value}` is no time of day, {hint}")
    return found


def _day(value: Any) -> Any:
    if isinstance(value, str) and value not in DAYS:
        short = value[:3].lower()
        meant = f"write {short}" if short in DAYS and value.isalpha() else instead(value, DAYS, "days")
        raise wrong(f"`{value}` is no day of the week here, {meant}")
    return value


def time_text(value: time) -> str:
    return f"{value:%H:%M:%S}" if value.second else f"{value:%H:%M}"


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(time_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,2}:\d{2}(:\d{2})?$", "examples": ["09:45", "15:30"]}),
]
Day = Annotated[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], BeforeValidator(_day)]


class ScheduleConfig(Section):
    """When a strategy may open positions, by the clock in New York. Outside of that it runs on, and may only close."""

    days: list[Day] | None = Field(
        None,
        min_length=1,
        description="mon to sun, those on which a window begins; by default every day. Of these, days on which the "
        "exchange is closed count for a strategy of a crypto feed only.",
    )
    start: TimeOfDay | None = Field(None, description="Nothing is opened before; by default from midnight.")
    stop: TimeOfDay | None = Field(
        None,
        description="Nothing is opened from then on; by default until midnight. One that is before `start` is of the "
        "next day (22:00 to 04:00). Up to 16:00 it moves to the close of a day that closes earlier.",
    )
    flat_before_close: Duration | None = Field(
        None,
        description="So long before the exchange closes (on half days too) all orders are canceled and all positions "
        "closed, and nothing is opened on that day any more. Not for a crypto feed, which has no close.",
    )
    on_stop: Literal["keep", "cancel", "flatten"] = Field(
        "cancel",
        description="At `stop`: keep its orders, cancel those that could still open a position (exits stay), or cancel "
        "all and close its positions.",
    )

    @model_validator(mode="after")
    def _possible(self) -> ScheduleConfig:
        days = self.days or []
        if twice := next((day for day in days if days.count(day) > 1), None):
            raise wrong(f"{twice} stands there twice")
        if self.start is not None and self.start == self.stop:
            raise wrong(
                f"start and stop are both {time_text(self.start)}: leave both out for whole days; a stop before start "
                "is of the next day"
            )
        if self.flat_before_close is not None:
            self._before_close(self.flat_before_close)
        bounds = (self.start, self.stop, self.flat_before_close)
        if bounds == (None, None, None) and len(days or DAYS) == len(DAYS):
            raise wrong("it holds nothing back, write days, start, stop or flat_before_close, or leave schedule out")
        return self

    def _before_close(self, flat: timedelta) -> None:
        if flat >= _CORE:
            raise wrong("flat_before_close is as long as the core session (6h30m) or longer, nothing could be opened")
        close = timedelta(hours=CORE_CLOSE.hour)
        if self.over_midnight:
            assert self.start is not None
            if self.start < CORE_CLOSE:
                raise wrong(
                    f"a window over midnight that begins before the exchange closes (16:00; here at "
                    f"{time_text(self.start)}) holds positions over the close: leave flat_before_close out, or write a "
                    "start from 16:00 on"
                )
        elif self.start is not None and _since_midnight(self.start) >= close - flat:
            raise wrong(
                f"nothing could be opened: start {time_text(self.start)} is not before the exchange closes (16:00) "
                "less flat_before_close"
            )

    @property
    def over_midnight(self) -> bool:
        """Whether `stop` is of the day after the one on which the window begins."""
        return self.start is not None and self.stop is not None and self.stop < self.start

    def on(self, weekday: int) -> bool:
        """Whether a day of the week (0 is Monday) is one of its days: a window is of the day on which it begins."""
        return self.days is None or DAYS[weekday] in self.days


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
