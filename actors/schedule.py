"""When something is due: the grammar of `self.every`, and the moment after any other moment.

Pure: a `Schedule` is a value with a stable text, and `next_after(now_ms, zone)` computes. Nothing
here keeps, fires or reads a clock.

```python
every.minute(fn)               every(15).minutes(fn)       every.hour(fn)       every(2).hours(fn)
every.day.at("3am")(fn)        every.sunday.at("16:30")(fn)      every.monday(fn)  # at midnight
```

In the object's time zone, whatever its clocks do:

* A time of day that a jump forward skips is due at the first instant after the jump. One that
  happens twice is due once, at the first.
* An interval is due when the local clock shows a multiple of it, counted from midnight of
  1970-01-01: full hours are the zone's own, at offsets of 30 or 45 minutes too. A multiple that a
  jump forward skips is due at the first instant after it. In an hour that happens twice an
  interval no longer than the jump is due each time (`every.hour` then comes 25 times that day), a
  longer one only the first time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import INTERVAL_MINUTES_MAX

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS: Final = 60_000
_TWELVE: Final = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?(am|pm)")
_TWENTY_FOUR: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_INTERVAL: Final = re.compile(r"every (?:([0-9]+) )?(minute|hour)s?")
_CALENDAR: Final = re.compile(r"every ([a-z]+) at ([0-9]{2}:[0-9]{2})")

Handler = TypeVar("Handler", bound=Callable[..., Any])
Register = Callable[["Schedule", Callable[..., Any]], object]


@dataclass(frozen=True, slots=True)
class Interval:
    """Due whenever the local clock shows a multiple of so many minutes."""

    minutes: int

    @property
    def spec(self) -> str:
        """The text form: equal schedules have equal texts, in every version of raydo."""
        count, unit = self.minutes, "minute"
        if count % 60 == 0:
            count, unit = count // 60, "hour"
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"

    def next_after(self, now_ms: int, zone: ZoneInfo) -> int:
        """Return the first moment after `now_ms` at which this is due."""
        offset = _offset_ms(now_ms, zone)
        step = self.minutes * _MINUTE_MS
        due = ((now_ms + offset) // step + 1) * step - offset
        if _offset_ms(due, zone) != offset:
            due = self._over_a_jump(now_ms, due, zone)
        return due if not self._again(due, zone) else self.next_after(due, zone)

    def _over_a_jump(self, now_ms: int, due: int, zone: ZoneInfo) -> int:
        jump = _first_jump(now_ms, due, zone)
        before, after = _offset_ms(now_ms, zone), _offset_ms(jump, zone)
        if due + before <= jump + after:  # the clock jumps over it, or to it
            return jump
        step = self.minutes * _MINUTE_MS
        return -(-(jump + after) // step) * step - after

    def _again(self, due: int, zone: ZoneInfo) -> bool:
        local = _local(due, zone)
        if not local.fold:
            return False
        first, second = local.replace(fold=0).utcoffset(), local.utcoffset()
        assert first is not None
        assert second is not None
        return timedelta(minutes=self.minutes) > first - second


@dataclass(frozen=True, slots=True)
class Calendar:
    """Due at one time of day, every day or on one day of the week (0 is Monday)."""

    weekday: int | None
    hour: int
    minute: int

    @property
    def spec(self) -> str:
        """The text form: equal schedules have equal texts, in every version of raydo."""
        day = "day" if self.weekday is None else DAYS[self.weekday]
        return f"every {day} at {self.hour:02}:{self.minute:02}"

    def next_after(self, now_ms: int, zone: ZoneInfo) -> int:
        """Return the first moment after `now_ms` at which this is due."""
        day = _local(now_ms, zone).date()
        while True:
            if self.weekday is None or day.weekday() == self.weekday:
                due = self._moment(day, zone)
                if due > now_ms:
                    return due
            day += timedelta(days=1)

    def _moment(self, day: date, zone: ZoneInfo) -> int:
        local = datetime(day.year, day.month, day.day, self.hour, self.minute, tzinfo=zone)
        later = _ms(local)  # when the clock skips this time, as long after the jump as it lacks
        if _local(later, zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return later
        return _first_jump(_ms(local.replace(fold=1)) - 1, later, zone)


Schedule = Interval | Calendar


def parse_at(text: str) -> tuple[int, int]:
    """Read a time of day: `9am`, `9:30am`, `14:30`, `noon`, `midnight`, in any case.

    Raises:
        InvalidArgument: anything else.
    """
    plain = text.lower() if isinstance(text, str) else ""
    if plain in ("noon", "midnight"):
        return (12 if plain == "noon" else 0), 0
    if (found := _TWELVE.fullmatch(plain)) and 1 <= int(found[1]) <= 12:
        hour, minute = int(found[1]) % 12 + 12 * (found[3] == "pm"), int(found[2] or 0)
    elif found := _TWENTY_FOUR.fullmatch(plain):
        hour, minute = int(found[1]), int(found[2])
    else:
        hour, minute = 24, 0
    if hour > 23 or minute > 59:
        raise InvalidArgument(
            f"{text!r} is no time of day; write it like '3am', '9:30am', '14:30' or 'noon'."
        )
    return hour, minute


def parse_spec(spec: str) -> Schedule:
    """Read a schedule's text form back.

    Raises:
        InvalidArgument: no schedule is written like this.
    """
    if found := _INTERVAL.fullmatch(spec):
        return _interval(int(found[1] or 1), 60 if found[2] == "hour" else 1)
    found = _CALENDAR.fullmatch(spec)
    if found and found[1] in ("day", *DAYS):
        weekday = None if found[1] == "day" else DAYS.index(found[1])
        return Calendar(weekday, *parse_at(found[2]))
    raise InvalidArgument(f"{spec!r} is no schedule.")


class When:
    """One schedule that waits for its handler."""

    def __init__(self, schedule: Schedule, register: Register) -> None:
        self._schedule = schedule
        self._register = register

    def __call__(self, handler: Handler) -> Handler:
        """Register `handler` and return it."""
        self._register(self._schedule, handler)
        return handler


class Day(When):
    """A day that waits for its time; without one it means midnight."""

    def __init__(self, weekday: int | None, register: Register) -> None:
        super().__init__(Calendar(weekday, 0, 0), register)
        self._weekday = weekday

    def at(self, time: str) -> When:
        """Set the time of day.

        Raises:
            InvalidArgument: not a time of day (see `parse_at`).
        """
        return When(Calendar(self._weekday, *parse_at(time)), self._register)


class Count:
    """A number that waits for its unit."""

    def __init__(self, count: int, register: Register) -> None:
        self._count = count
        self._register = register

    @property
    def minutes(self) -> When:
        return When(_interval(self._count, 1), self._register)

    @property
    def hours(self) -> When:
        return When(_interval(self._count, 60), self._register)


class Every:
    """Build schedules as sentences; each ends by handing its handler to `register`."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def __call__(self, count: int) -> Count:
        return Count(count, self._register)

    @property
    def minute(self) -> When:
        return self(1).minutes

    @property
    def hour(self) -> When:
        return self(1).hours

    @property
    def day(self) -> Day:
        return Day(None, self._register)

    @property
    def monday(self) -> Day:
        return Day(0, self._register)

    @property
    def tuesday(self) -> Day:
        return Day(1, self._register)

    @property
    def wednesday(self) -> Day:
        return Day(2, self._register)

    @property
    def thursday(self) -> Day:
        return Day(3, self._register)

    @property
    def friday(self) -> Day:
        return Day(4, self._register)

    @property
    def saturday(self) -> Day:
        return Day(5, self._register)

    @property
    def sunday(self) -> Day:
        return Day(6, self._register)


def _interval(count: int, unit_minutes: int) -> Interval:
    if isinstance(count, bool) or not isinstance(count, int):
        raise InvalidArgument(f"An interval is a whole number, not {count!r}.")
    if not 1 <= count * unit_minutes <= INTERVAL_MINUTES_MAX:
        raise InvalidArgument(
            f"An interval has 1 to {INTERVAL_MINUTES_MAX} minutes, not {count * unit_minutes}."
        )
    return Interval(count * unit_minutes)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _local(now_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, zone)


def _offset_ms(now_ms: int, zone: ZoneInfo) -> int:
    offset = _local(now_ms, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _first_jump(before_ms: int, after_ms: int, zone: ZoneInfo) -> int:
    """Find the instant in `(before_ms, after_ms]` from which on another offset holds.

    Zones change their offset at whole seconds, weeks apart, so there is one to find.
    """
    old, low, high = _offset_ms(before_ms, zone), before_ms // 1000, after_ms // 1000
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(middle * 1000, zone) == old:
            low = middle
        else:
            high = middle
    return high * 1000
