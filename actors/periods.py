"""The periods of a metric: hours, days, weeks or months of a tenant's calendar, in order.

A range is whole periods: it begins with the one that holds its first date and ends with the one
that holds its last, so no number is of a week that was silently cut. What has not ended is marked
`partial` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from raydo.actors.buckets import BUCKET_MS, DAY, bucket_of, cover_date, date_of, hour_of
from raydo.actors.zone import parse_date
from raydo.actors.zone import zone as find_zone
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import POINTS_MAX

DEFAULTS: Final = {"hour": 1, "day": 30, "week": 12, "month": 12}  # periods; of hours: days
WEEK_STARTS: Final = {"monday": 0, "sunday": 6}


@dataclass(frozen=True, slots=True)
class Range:
    """The periods of one kind from the date `first` to the date `last`."""

    interval: str
    first: date
    last: date
    zone: ZoneInfo
    week_start: str = "monday"

    @property
    def buckets(self) -> range:
        """The buckets of these dates, and perhaps a few others at both ends."""
        return range(cover_date(self.first, self.zone).start, cover_date(self.last, self.zone).stop)

    @property
    def bounds_ms(self) -> tuple[int, int]:
        """Between which moments the dates lie: from the first on, before the second."""
        inside = self._inside
        return inside.start * BUCKET_MS, inside.stop * BUCKET_MS

    @property
    def exact(self) -> bool:
        """Whether nothing else lies between the bounds: a clock may go back over midnight."""
        inside = self._inside
        ends = (*inside[:_BUCKETS_NEAR], *inside[-_BUCKETS_NEAR:])
        return all(map(self._has, ends))

    @property
    def _inside(self) -> range:
        start, stop = self.buckets.start, self.buckets.stop
        while start < stop and not self._has(start):
            start += 1
        while stop > start and not self._has(stop - 1):
            stop -= 1
        return range(start, stop)

    def _has(self, bucket: int) -> bool:
        return self.first <= date_of(bucket, self.zone) <= self.last

    def label(self, bucket: int) -> str:
        """Name the period that a bucket belongs to: its first date, or its hour."""
        if self.interval == "hour":
            return f"{hour_of(bucket, self.zone):%Y-%m-%dT%H}:00"
        return begin_of(self.interval, date_of(bucket, self.zone), self.week_start).isoformat()

    def labels(self) -> list[str]:
        """Name all periods, in order; an hour that summer time skips is none."""
        if self.interval == "hour":
            return sorted({self.label(bucket) for bucket in self.buckets if self._has(bucket)})
        begins = [begin_of(self.interval, self.first, self.week_start)]
        while (begin := _step(self.interval, begins[-1], 1)) <= self.last:
            begins.append(begin)
        return [begin.isoformat() for begin in begins]

    def previous(self) -> Range:
        """Return as many periods right before these."""
        count = (self.last - self.first).days + 1 if self.interval == "hour" else len(self.labels())
        first = _step(self.interval, self.first, -count)
        return Range(self.interval, first, self.first - DAY, self.zone, self.week_start)

    def wire(self) -> list[str]:
        """Write it as plain data, for `range_of`."""
        first, last = self.first.isoformat(), self.last.isoformat()
        return [self.interval, first, last, self.zone.key, self.week_start]


def range_of(wire: Sequence[Any]) -> Range:
    """Read what `Range.wire` wrote."""
    interval, first, last, zone, week_start = wire
    ends = date.fromisoformat(first), date.fromisoformat(last)
    return Range(interval, *ends, ZoneInfo(zone), week_start)


def find_range(
    interval: str, since: str | None, to: str | None, *, zone: str, week_start: str, now_ms: int
) -> Range:
    """Return the periods that hold the dates `since` to `to`; by default the latest few, to today.

    Raises:
        InvalidArgument: no such interval, date, zone or week, in the wrong order, or too many.
    """
    where = find_zone(zone)
    if interval not in DEFAULTS:
        raise InvalidArgument(f"An interval is {', '.join(DEFAULTS)}, not {interval!r:.40}.")
    check_week_start(week_start)
    last = date_of(bucket_of(now_ms), where) if to is None else parse_date(to)
    begin = begin_of(interval, last, week_start)
    if since is None:
        first = _step(interval, begin, 1 - DEFAULTS[interval])
    else:
        first = begin_of(interval, parse_date(since), week_start)
    if first > last:
        raise InvalidArgument(f"from is not after to: {first} to {last}.")
    days = (last - first).days + 1
    if days * _PER_DAY[interval] > POINTS_MAX:
        raise InvalidArgument(
            f"A metric has at most {POINTS_MAX} points: {first} to {last} by {interval} is more."
        )
    return Range(interval, first, _step(interval, begin, 1) - DAY, where, week_start)


def begin_of(period: str, day: date, week_start: str = "monday") -> date:
    """Return when the period of a day began; an hour's is looked for by its day.

    Raises:
        InvalidArgument: no such period.
    """
    match period:
        case "day" | "hour":
            return day
        case "week":
            return day - timedelta(days=(day.weekday() - WEEK_STARTS[week_start]) % 7)
        case "month":
            return day.replace(day=1)
    raise InvalidArgument(f"A period is day, week or month, not {period!r:.40}.")


def check_week_start(name: str) -> None:
    """Refuse what no week begins with.

    Raises:
        InvalidArgument: neither monday nor sunday.
    """
    if name not in WEEK_STARTS:
        raise InvalidArgument(f"week_start is {' or '.join(WEEK_STARTS)}, not {name!r:.40}.")


_BUCKETS_NEAR: Final = 108  # of an end: 27 hours
_PER_DAY: Final = {"hour": 25, "day": 1, "week": 1 / 7, "month": 1 / 28}


def _step(interval: str, begin: date, count: int) -> date:
    """Go some periods on, or back, from the begin of one."""
    if interval == "month":
        year, month = divmod(begin.year * 12 + begin.month - 1 + count, 12)
        return date(year, month + 1, 1)
    return begin + DAY * (count * 7 if interval == "week" else count)
